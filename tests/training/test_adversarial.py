"""The student's gradient is the sum it is said to be; heads learn, and are saved with the run."""

import pytest
import torch

from sr3.diffusion.denoiser import Example
from sr3.diffusion.schedule import LogNormal
from sr3.metric.grid import excess
from sr3.model import recipe as recipes
from sr3.model.checkpoint import read_tensors
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.random import Stream
from sr3.training import adversarial, board
from sr3.training.adversarial import Adversarial
from sr3.training.critic import Pixels, doubt, hinge
from sr3.training.data import Crops
from sr3.training.plan import objective_of
from sr3.training.run import Run
from sr3.training.train import make_accelerator

SETTINGS = [
    "training.batch=2",
    "training.crop=32",
    "training.precision=fp32",
    "training.warmup=0",
    "model.network={kind='plain',patch=4,width=8,blocks=1,stirred=true}",
]


def small(*more):
    return recipes.load("photo-4x-fast", [*SETTINGS, *more])


@pytest.fixture
def student():
    torch.manual_seed(0)
    model = Model(small().model)
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def shown(student, objective, seed=1):
    rng = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 3, 32, 32, generator=rng) * 2 - 1
    example = student.prepare(student.task.degrade(clean))._replace(target=clean)
    made = []
    denoiser = student.denoiser()
    inner = type(denoiser).__call__

    class Kept(type(denoiser)):
        def __call__(self, *given):
            made.append(inner(self, *given))
            made[0].retain_grad()
            return made[0]

    kept = Kept(**denoiser.__dict__)
    loss = objective(kept, example, rng=Stream(seed, [0, 1]))
    loss.each.mean().backward()
    return made[0], clean, loss.each


def test_alone_the_error_is_the_absolute_one(student):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.0, grid=0.0)
    made, clean, each = shown(student, objective)
    torch.testing.assert_close(each, (made - clean).abs().flatten(1).mean(1) / 0.1)
    torch.testing.assert_close(made.grad, (made - clean).sign() / made.numel() / 0.1)


def test_of_luminance_and_colour_apart_the_slope_is_that_of_jpegs_three_planes(student):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.0, colour=0.7)
    made, clean, each = shown(student, objective)
    error = (made.detach() - clean).double().requires_grad_(True)
    planes = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]).double()
    y, cb, cr = torch.einsum("pc,bchw->pbhw", planes, error).abs().sum(dim=(1, 2, 3))  # T.871, of JPEG files
    (expected,) = torch.autograd.grad(y + 0.7 * (cb + cr), error)
    torch.testing.assert_close(made.grad, (expected / error.numel() / 0.1).float(), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(each, error.abs().flatten(1).mean(1).float() / 0.1)  # what is told stays


@pytest.mark.parametrize(
    ("verdict", "feature", "fine", "grid"),
    [(1.5, 0.0, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.0, 0.0, 0.0, 0.7), (0.0, 0.0, 1.2, 0.0)],
)
def test_each_part_is_as_long_as_it_is_told(student, verdict, feature, fine, grid):
    schedule = LogNormal(-2.3, 1.4, 0.001, 5.0)
    torch.manual_seed(2)
    made, clean, _ = shown(student, Adversarial(schedule, verdict=verdict, feature=feature, fine=fine, grid=grid))
    other = made.grad * made.numel() * 0.1 - (made - clean).sign()
    lengths = other.flatten(1).norm(dim=1) / (made - clean).sign().flatten(1).norm(dim=1)
    patterned = (excess((made + 1) / 2, 4) > excess((clean + 1) / 2, 4)).float()
    assert patterned.sum() == 1  # the other one is not pulled at
    torch.testing.assert_close(lengths, verdict + feature + fine + grid * patterned, rtol=1e-3, atol=1e-6)


def test_a_second_part_is_as_long_as_it_is_told_beside_the_sum_of_those_before_it(student):
    """As the shipped weights were taught: 0.6 of the error and the features together."""
    found = []
    for fine in (0.0, 0.6):
        torch.manual_seed(2)
        objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.5, fine=fine, grid=0.0)
        found.append(shown(student, objective)[0].grad)
    one, both = found
    lengths = (both - one).flatten(1).norm(dim=1) / one.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((2,), 0.6), rtol=1e-3, atol=1e-6)


def test_what_processes_share_is_all_that_it_has_learnt(student):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=1.0, feature=0.0, fine=1.0)
    shown(student, objective)
    for vector in objective.vectors():
        vector.fill_(7)
    assert all((tensor == 7).all() for tensor in objective.state().values())


@pytest.mark.parametrize(("verdict", "feature", "asked"), [(0.0, 0.0, 0), (1.0, 0.0, 2), (0.0, 1.0, 2)])
def test_the_judge_is_asked_only_where_its_answer_counts(student, verdict, feature, asked):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=verdict, feature=feature, fine=1.0)
    calls = []
    objective.judge.net.register_forward_pre_hook(lambda *_: calls.append(1))
    shown(student, objective)
    assert len(calls) == asked


def test_features_pull_towards_the_photograph(student):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=1.0, grid=0.0)
    made, clean, _ = shown(student, objective)
    example = student.prepare(student.task.degrade(clean))
    sigma, noise = torch.full((2,), 0.02, dtype=torch.float64), torch.zeros_like(clean)
    pull = made.grad - (made - clean).sign() / made.numel() / 0.1
    with torch.no_grad():
        true = objective._features(clean, example, sigma, noise)
        nearer, here, farther = (
            sum((a - b).abs().mean() for a, b in zip(objective._features(x, example, sigma, noise), true))
            for x in (made - 5 * pull, made, made + 5 * pull)
        )
    assert nearer < here < farther


def test_a_pattern_of_the_factors_period_is_pulled_out_and_nothing_else():
    torch.manual_seed(0)
    clean = 0.2 * torch.randn(1, 3, 64, 64)
    dots = torch.zeros(64, 64)
    dots[::4, ::4] = 0.3
    made = (clean + dots).requires_grad_(True)
    more = adversarial._pattern(made, clean, 4)
    assert more.item() == pytest.approx((excess((made + 1) / 2, 4) - excess((clean + 1) / 2, 4)).item())
    assert more > 3
    (slope,) = torch.autograd.grad(more, made)
    assert adversarial._pattern(made - 2 * slope, clean, 4) < more
    # it is the pattern that is pulled: the slope is that of dots, more than of their neighbours
    assert slope[..., ::4, ::4].mean() > 10 * slope.mean().abs()
    assert adversarial._pattern(clean, made.detach(), 4) == 0  # less than the photograph's is no fault
    assert adversarial._pattern(made, clean, 1) == 0
    assert adversarial._pattern(made[..., :31, :], clean[..., :31, :], 4) == 0


def test_the_student_begins_from_noise_and_the_judge_sees_a_little(student, monkeypatch):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), sigma=0.05, span=0.0)
    begun, judged = [], []
    student.net.register_forward_pre_hook(lambda _net, given: begun.append(given[0]))
    objective.judge.net.register_forward_pre_hook(lambda _net, given: judged.append(given[0]))
    made, clean, _ = shown(student, objective)
    # the network is shown what it was told is noise of variance 1, of each picture its own
    assert abs(begun[0].mean()) < 0.05
    assert begun[0].std(correction=0) == pytest.approx(1, abs=0.03)
    assert (begun[0][0] - begun[0][1]).std() > 1
    # result and photograph come with the same noise, of sigma 0.05, and less what the judge takes as known
    base = student.prepare(student.task.degrade(clean)).base
    unit = (0.05**2 + 0.1**2) ** 0.5
    noise = [(judged[0] * unit - (made - base)).detach(), judged[1] * unit - (clean - base)]
    torch.testing.assert_close(*noise, rtol=0, atol=1e-4)
    assert noise[0].std() == pytest.approx(0.05, rel=0.03)


def test_heads_learn_to_tell_and_forget_what_was_not_finite(student):
    torch.manual_seed(0)
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0))
    clean = torch.rand(2, 3, 32, 32) * 2 - 1
    example = Example(target=clean, cond=clean, base=torch.zeros_like(clean))
    sigma, noise = torch.full((2,), 0.02, dtype=torch.float64), torch.zeros_like(clean)
    with torch.no_grad():
        true, false = (objective._features(x, example, sigma, noise) for x in (clean, clean * 0.2))
    for _ in range(40):
        objective._learn(false, true, clean, clean)
        objective.step(torch.tensor(1.0))
    said = objective._verdicts(false), objective._verdicts(true)
    assert doubt(said[0]) > 0 > doubt(said[1])
    assert hinge(*said) < 1  # 2 where nothing is known
    held = objective.state()
    kept = {name: value.clone() for name, value in held.items()}
    objective.flat.gradient.fill_(torch.nan)
    objective.step(torch.tensor(0.0))
    assert all(torch.equal(kept[name], value) for name, value in objective.state().items())
    assert not objective.flat.gradient.any()


def test_the_loss_of_critics_is_the_hinge():
    false, true = [torch.tensor([-2.0, 0.5])], [torch.tensor([3.0, 0.0])]
    assert hinge(false, true).item() == pytest.approx((0 + 1.5) / 2 + (0 + 1) / 2)
    assert hinge(false * 2, true * 2).item() == pytest.approx(1.25)  # the mean of the maps
    assert doubt([torch.tensor([1.0, 2.0]), torch.tensor([3.0])]).item() == pytest.approx(-2.25)


def test_dots_of_one_pixel_are_learnt_from_pixels():
    torch.manual_seed(0)
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.0, fine=1.0)
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, scale_factor=4, mode="bicubic")
    dotted = smooth.clone()
    dotted[..., ::4, ::4] += 0.1
    for _ in range(60):
        objective._learn([], [], dotted[:2], smooth[:2])
        objective.step(torch.tensor(1.0))
    # pictures that were not learnt from; what is wrong with them is where the dots are
    shown = dotted[2:].requires_grad_(True)
    assert doubt(objective.pixels(shown)) > doubt(objective.pixels(smooth[2:])) + 0.5
    (slope,) = torch.autograd.grad(doubt(objective.pixels(shown)), shown)
    assert slope[..., ::4, ::4].mean() > 4 * slope.mean().abs()


def test_pixels_are_seen_with_noise_of_one_step(student, monkeypatch):
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.0, fine=1.0)
    seen, inner = [], objective.pixels.forward
    monkeypatch.setattr(objective.pixels, "forward", lambda x: (seen.append(x.detach()), inner(x))[1])
    made, clean, _ = shown(student, objective)
    # the student's verdict, then both for learning: results and photographs with the same noise
    assert len(seen) == 3
    noise = [seen[0] - made.detach(), seen[1] - made.detach(), seen[2] - clean]
    for one in noise:
        torch.testing.assert_close(one, noise[2], rtol=0, atol=1e-5)
    assert noise[0].std() == pytest.approx(2 / 255, rel=0.03)


def test_verdicts_are_of_three_sizes():
    found = Pixels((4, 5, 6))(torch.zeros(2, 3, 32, 24))
    assert [v.shape for v in found] == [(2, 1, 32, 24), (2, 1, 16, 12), (2, 1, 8, 6)]
    # the finest sees 7 by 7 pixels, the widest 70 by 70, each of them
    torch.manual_seed(0)
    x = torch.rand(1, 3, 160, 160, requires_grad=True)
    maps = Pixels()(x)
    for verdict, wide in ((maps[0], 7), (maps[-1], 70)):
        (slope,) = torch.autograd.grad(
            verdict[0, 0, verdict.shape[-2] // 2, verdict.shape[-1] // 2], x, retain_graph=True
        )
        rows, columns = slope.abs().sum((0, 1)).nonzero(as_tuple=True)
        assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == wide


@pytest.mark.parametrize("fine", ["0.0", "1.0"])
def test_a_run_goes_on_with_its_critics(folder, tmp_path, fine):
    recipe = small("training.pictures=8", f"training.objective={{kind='adversarial',fine={fine}}}")
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"begin": None})})

    def run(out, steps):
        made = Run(recipe, Crops(load(folder), 32), tmp_path / out, make_accelerator("cpu"))
        for _ in range(steps):
            made.step()
        made.save()
        return read_tensors(tmp_path / out / "state.safetensors")[0]

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 2)
    critics = {name for name in whole if name.startswith("objective.heads")}
    assert critics
    assert any(".enter." in name for name in critics) == (fine == "1.0")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=0)


def test_what_cannot_be_a_student_or_a_judge():
    with pytest.raises(ConfigError, match="needs a diffusion model"):
        objective_of(small("model.kind=regression", "model.sampling={sampler={kind='once'},steps=1}"))
    with pytest.raises(ConfigError, match="judge photo-4x-regression must be a diffusion model"):
        objective_of(small("training.objective={kind='adversarial',judge='photo-4x-regression'}"))
    with pytest.raises(ConfigError, match="at least 0"):
        objective_of(small("training.objective={kind='adversarial',verdict=-1.0}"))
    for none in ("rate=0.0", "sigma=0.0", "colour=-0.1"):
        with pytest.raises(ConfigError, match="and sigma and rate above 0"):
            objective_of(small(f"training.objective={{kind='adversarial',{none}}}"))


def saved(folder, name, *settings, first=None):
    """A file of a small model with drawn weights."""
    recipe = recipes.load("photo-4x-fast", [*SETTINGS, "model.network.kind=unet", "model.network.patch=2", *settings])
    torch.manual_seed(len(name))
    model = Model(recipe.model.model_copy(update={"name": name, "first": first}))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return str(model.save_pretrained(folder / name))


@pytest.fixture
def begun(tmp_path):
    """A regression, and a diffusion model that begins from it."""
    network = "model.network={kind='unet',widths=[8],blocks=[1],embedding=8}"
    once = ["model.kind=regression", "model.sampling={sampler={kind='once'},steps=1}", network]
    first, other = (saved(tmp_path, name, *once) for name in ("answer", "another"))
    return first, other, saved(tmp_path, "judge", network, first=first)


def test_a_student_begins_from_the_model_that_the_judge_begins_from(begun, tmp_path):
    first, other, judge = begun
    told = f"training.objective={{kind='adversarial',judge='{judge}',fine=0.5,sigma=0.05,span=0.0}}"
    recipe = small(told, f"model.first={first}")
    student = Model(recipe.model)
    objective = objective_of(recipe)
    judged = []
    objective.judge.net.register_forward_pre_hook(lambda _net, given: judged.append(given[0]))
    _, clean, each = shown(student, objective)
    assert torch.isfinite(each).all()
    # the photograph less the first model's answer, which is not what the task prepares, and noise of sigma 0.05
    given = student.task.degrade(clean)
    unit = (0.05**2 + 0.1**2) ** 0.5
    for example, wanted in ((student.prepare(given), True), (student.task.prepare(given), False)):
        noise = judged[1] * unit - (clean - example.base)
        assert (noise.std().item() == pytest.approx(0.05, rel=0.03)) is wanted
    # by another name, by the same name with other weights, and from none
    retrained = Model.from_pretrained(first)
    next(retrained.net.parameters()).data += 0.1
    retrained = retrained.save_pretrained(tmp_path / "again")
    for begins in ([f"model.first={other}"], [f"model.first={retrained}"], []):
        with pytest.raises(ConfigError, match="must begin from what the student does"):
            objective_of(small(told, *begins))
    with pytest.raises(ConfigError, match="judge photo-4x must begin from what"):
        objective_of(small(f"model.first={first}"))


def test_heads_of_two_processes_learn_from_the_mean(student, monkeypatch):
    clean = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sigma, noise = torch.full((2,), 0.02, dtype=torch.float64), torch.zeros(2, 3, 32, 32)
    example = Example(target=clean[:2], cond=clean[:2], base=torch.zeros(2, 3, 32, 32))
    alone, *processes = (Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0)) for _ in range(3))
    with torch.no_grad():
        maps = [
            alone._features(x, example, sigma, noise) for x in (clean[:2], clean[2:], clean[:2] * 0.2, clean[2:] * 0.2)
        ]
    for k, one in enumerate(processes):
        one._learn(maps[2 + k], maps[k], clean[:2], clean[:2])
    false, true = ([torch.cat(pair) for pair in zip(*maps[k : k + 2])] for k in (2, 0))
    alone._learn(false, true, clean[:2], clean[:2])
    torch.testing.assert_close(sum(one.flat.gradient for one in processes) / 2, alone.flat.gradient)
    # what leaves this process is a sum, and what it learns from a mean
    other = processes[1].flat.gradient.clone()
    monkeypatch.setattr("sr3.training.adversarial.dist.is_initialized", lambda: True)
    monkeypatch.setattr("sr3.training.adversarial.dist.get_world_size", lambda: 2)
    monkeypatch.setattr("sr3.training.adversarial.dist.all_reduce", lambda tensor: tensor.add_(other))
    processes[0].step(torch.tensor(1.0))
    learnt, wanted = (
        one.flat.views(v) for one, v in ((processes[0], processes[0].moments["exp_avg"]), (alone, alone.flat.gradient))
    )
    for name, moment in learnt.items():  # Muon's momentum is a sum, Adam's of what is no matrix an average
        torch.testing.assert_close(moment, wanted[name] * (1 if moment.ndim > 1 else 0.5))


def test_the_judges_noise_is_log_normal():
    found = adversarial._normal(Stream(0, range(4000)))
    assert found.mean() == pytest.approx(0, abs=0.06)
    assert found.std() == pytest.approx(1, rel=0.04)
    # the median of sigma, and where one standard deviation of its logarithm lies
    assert torch.quantile(found, 0.8413).item() == pytest.approx(1, abs=0.08)


def test_a_loss_that_was_taken_to_count_teaches_the_critics_nothing(folder, tmp_path):
    recipe = small("training.pictures=8", "training.objective={kind='adversarial',fine=1.0}")
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"begin": None})})
    learnt = []
    for counted in (False, True):
        made = Run(recipe, Crops(load(folder), 32), tmp_path / str(counted), make_accelerator("cpu"))
        if counted:
            assert board.flops(made) > 0
            assert made.objective.flat.gradient.abs().max() > 0
        made.step()
        learnt.append(made.objective.flat.weights.detach().clone())
    assert torch.equal(*learnt)


def test_the_pattern_looked_for_is_that_of_the_students_factor(student, monkeypatch):
    """And not of the judge's, which enlarges four times."""
    telling = "training.objective={kind='adversarial',verdict=0.0,feature=0.0,grid=1.0}"
    assert Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0)).factor == 4
    for task, factor in (
        ("{kind='super-resolution',factor=2,damage={}}", 2),
        ("{kind='jpeg-restoration'}", 1),
    ):
        assert objective_of(small(telling, f"model.task={task}")).factor == factor
    asked = []
    monkeypatch.setattr(adversarial, "excess", lambda x, factor: (asked.append(factor), excess(x, factor))[1])
    shown(student, Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0), verdict=0.0, feature=0.0, grid=1.0, factor=2))
    assert asked == [2, 2]


@pytest.mark.parametrize("kind", ["adversarial", "colours"])
def test_a_student_that_is_used_from_another_level_is_refused(kind):
    for where in ("noisiest=2.0", "schedule={kind='linear-beta'}"):
        sampling = f"model.sampling={{sampler={{kind='ddim'}},steps=1,{where}}}"
        with pytest.raises(ConfigError, match=f"objective {kind} begins where model.schedule ends"):
            objective_of(small(f"training.objective={{kind='{kind}'}}", sampling))
    objective = objective_of(small(f"training.objective={{kind='{kind}'}}"))
    used = Model(small().model).walk.path(small().model.sampling).first
    torch.testing.assert_close(torch.stack(objective.noisiest).double(), torch.stack(used))


class Noted:
    """An optimiser, with the gradients that it was given."""

    def __init__(self, inner, flat):
        self.inner, self.flat, self.learnt = inner, flat, []

    def step(self, *given):
        self.learnt.append(self.flat.gradient.clone())
        self.inner.step(*given)


def test_critics_learn_the_same_from_a_batch_in_parts(folder, tmp_path):
    found = []
    for parts in (1, 2):
        more = (f"training.accumulate={parts}", "training.objective={kind='adversarial',fine=1.0}")
        recipe = small("training.pictures=8", *more)
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"begin": None})})
        run = Run(recipe, Crops(load(folder), 32), tmp_path / str(parts), make_accelerator("cpu"))
        run.objective.optimiser = Noted(run.objective.optimiser, run.objective.flat)
        run.step()
        run.step()
        found.append(run.objective.optimiser.learnt)
    for one, two in zip(*found, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3 * one.abs().max().item())


def test_the_weights_of_a_judge_are_told_from_others(begun):
    *_, judge = begun
    objective = Adversarial(LogNormal(-2.3, 1.4, 0.001, 5.0))
    assert objective.mark == Model.from_pretrained("photo-4x").mark != Model.from_pretrained(judge).mark
    colours = objective_of(small("training.objective={kind='colours'}"))
    assert colours.mark == Model.from_pretrained("photo-4x-fast").mark
