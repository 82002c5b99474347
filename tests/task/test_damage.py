"""Each operator against an oracle, the shares against the configuration, and training against use."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr3.model.config import ConfigError, build
from sr3.picture.image import read
from sr3.picture.resize import round8, shrink
from sr3.random import Stream
from sr3.task import TASKS, Given, SuperResolution
from sr3.task.damage import Damage, operators
from sr3.task.damage.run import OPERATORS, Step, run

NEVER = Damage(clean=0, twice=0, blur=0, noise=0, sharpen=0, jpeg=0, webp=0, kernels=(1, 0, 0, 0))
EVER = Damage(clean=0, twice=1, blur=1, noise=1, sharpen=1, jpeg=0.8, webp=0.2)


def knob(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def smooth(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Pictures of 8 bits, so that sums of their pixels hardly round."""
    small = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    return round8(2 * F.interpolate(small, size=(side, side), mode="bicubic") - 1)


def moments(kernel: torch.Tensor) -> torch.Tensor:
    """Covariance [[xx, xy], [xy, yy]] of one kernel taken as a distribution."""
    at = torch.arange(kernel.shape[-1], dtype=torch.float64) - kernel.shape[-1] // 2
    k = kernel.double() / kernel.double().sum()
    return torch.stack([(k * at * at).sum(), (k * at * at[:, None]).sum(), (k * (at * at)[:, None]).sum()])


# operators


@pytest.mark.parametrize(("along", "across", "angle"), [(1.0, 1.0, 0.0), (3.0, 1.2, 0.0), (2.5, 0.9, 0.6), (4, 1, 2)])
def test_gaussians_have_their_covariance(along, across, angle):
    kernel = operators.gaussian(knob(along), knob(across), knob(angle))[0]
    c, s, a, b = math.cos(angle), math.sin(angle), along**2, across**2
    truth = torch.tensor([a * c * c + b * s * s, (a - b) * s * c, a * s * s + b * c * c], dtype=torch.float64)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(moments(kernel), truth, rtol=0.025, atol=0.01)  # 1.3 % is cut off


@pytest.mark.parametrize("radius", [1.5, 3.0, 7.3])
def test_discs_have_their_area_and_variance(radius):
    kernel = operators.disc(knob(radius))[0]
    assert kernel.sum() == pytest.approx(math.pi * radius**2, rel=0.06)
    assert moments(kernel)[0] == pytest.approx(radius**2 / 4, rel=0.1, abs=0.1)
    assert kernel.max() == 1
    assert kernel.min() == 0


def test_a_small_sigma_is_no_blur():
    x = smooth(1, 16)
    for shape in ("gaussian", "disc"):
        blurred = operators.blur(x, knob(0.05), knob(0.05), knob(0.0), shape=shape)
        torch.testing.assert_close(blurred, x, rtol=0, atol=1e-5)


def test_the_disc_is_twice_as_wide_as_its_sigma():
    dot = torch.zeros(1, 1, 31, 31)
    dot[..., 15, 15] = 1
    found = operators.blur(dot, knob(2.0), knob(2.0), knob(0.0), shape="disc")[0, 0]
    assert moments(found)[0] == pytest.approx(4, rel=0.05)
    assert (found > 1e-4).sum() == pytest.approx(math.pi * 4.5**2, rel=0.1)


def test_convolution_is_torchs():
    x, kernel = smooth(2, 24), torch.rand(2, 7, 7)
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
    truth = [F.conv2d(p[:, None], k.flip(0, 1)[None, None])[:, 0] for p, k in zip(padded, kernel)]
    torch.testing.assert_close(operators.convolve(x, kernel), torch.stack(truth), rtol=1e-4, atol=1e-4)


def test_resizing():
    x = smooth(1, 24)
    mean = x[0].numpy().reshape(3, 6, 4, 6, 4).mean((2, 4))
    area = operators.resize(x, size=(6, 6), kernel="area")[0]
    np.testing.assert_allclose(area.numpy(), mean, atol=1e-6)
    torch.testing.assert_close(operators.resize(x, size=(6, 6), kernel="bicubic"), shrink(x, 4), rtol=0, atol=1e-5)
    bilinear = operators.resize(x, size=(6, 6), kernel="bilinear")[0]
    inner = x[0].numpy().reshape(3, 6, 4, 6, 4)[:, :, 1:3, :, 1:3].mean((2, 4))  # the four pixels around the centre
    np.testing.assert_allclose(bilinear.numpy(), inner, atol=1e-6)
    nearest = operators.resize(x, size=(8, 8), kernel="nearest")
    assert torch.equal(nearest, x[..., 1::3, 1::3])  # the pixel in the middle of each 3x3
    assert operators.resize(x, size=(30, 17), kernel="area").shape == (1, 3, 30, 17)


def test_gaussian_noise_has_its_sigma():
    x = torch.zeros(2, 3, 100, 100)
    made = operators.noise(x, knob(0.02, 0.05), knob(0, 0), knob(0, 1), rng=Stream(0, [0, 1])) / 2
    assert made[0].std() == pytest.approx(0.02, rel=0.02)
    assert made[1].std() == pytest.approx(0.05, rel=0.03)
    assert torch.corrcoef(made[0].flatten(1))[0, 1].abs() < 0.03
    assert torch.equal(made[1, 0], made[1, 2])  # grey


def test_shot_noise_varies_as_the_light():
    """Poisson: the variance of n counts is n, so that of n / N is n / N^2 = light / N."""
    light = torch.tensor([0.1, 0.4, 1.0]).view(1, 3, 1, 1).expand(1, 3, 200, 200)
    made = operators.noise(2 * light - 1, knob(0), knob(1 / 500), knob(0), rng=Stream(0, [0]))
    counts = 500 * (made + 1) / 2
    torch.testing.assert_close(counts.var((2, 3)), 500 * light[..., 0, 0], rtol=0.03, atol=0)
    torch.testing.assert_close(counts.mean((2, 3)), 500 * light[..., 0, 0], rtol=0.01, atol=0)
    grey = operators.noise(2 * light - 1, knob(0), knob(1 / 500), knob(1), rng=Stream(0, [0])) - (2 * light - 1)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    assert (grey / 2).var() == pytest.approx(0.5 / 500, rel=0.03)


def test_sharpening_adds_what_blurring_takes():
    x = smooth(1, 16)
    soft = operators.blur(x, knob(1.3), knob(1.3), knob(0), shape="gaussian")
    torch.testing.assert_close(operators.sharpen(x, knob(0.7), knob(1.3)), x + 0.7 * (x - soft))


def test_jpeg_blocks_begin_where_they_are_told():
    """What is cut out of a larger coded picture is the same, away from what the crop cannot know."""
    large = smooth(1, 64)
    coded = OPERATORS["jpeg"](large, knob(40), knob(0), knob(0), halved=False)
    cut = OPERATORS["jpeg"](large[..., 5:53, 11:59], knob(40), knob(5), knob(11), halved=False)
    torch.testing.assert_close(cut[..., 8:40, 8:40], coded[..., 13:45, 19:51], rtol=0, atol=1e-6)
    assert not torch.equal(cut, OPERATORS["jpeg"](large[..., 5:53, 11:59], knob(40), knob(0), knob(0), halved=False))


def test_webp_is_a_lossy_file():
    x = smooth(2, 32)
    rough, fine = (operators.webp(x, knob(q, q)) for q in (10, 95))
    assert (fine - x).square().mean() < 0.5 * (rough - x).square().mean()
    assert (fine - x).abs().mean() < 0.1
    samples = (fine + 1) * 127.5
    torch.testing.assert_close(samples, samples.round(), rtol=0, atol=1e-3)
    ends = torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 16, 16)
    torch.testing.assert_close(operators.webp(ends, knob(95, 95)), ends, rtol=0, atol=1e-6)


# the whole


def test_a_third_is_the_plain_reduction():
    x, count = smooth(8, 32), 600
    task, plain = SuperResolution(4, damage=Damage()), SuperResolution(4).degrade(x).image
    same = 0
    for first in range(0, count, 8):
        made = task.degrade(x, rng=Stream(7, range(first, first + 8))).image
        same += sum(map(torch.equal, made, plain))
    # 1 / 3, and the few of the others that draw no damage or none that survives rounding
    assert 0.30 < same / count < 0.41
    plans = Damage().plans((32, 32), 4, Stream(7, range(count)))
    assert sum(plan[0].kind == "plain" for plan in plans) / count == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("damage", [Damage(), Damage(0.1, 0.8, 0.3, noise=0.9, sharpen=0.5, jpeg=0.4, webp=0.3)])
def test_shares_are_as_configured(damage):
    count = 4000
    plans = damage.plans((128, 128), 4, Stream(3, range(count)))
    damaged = [plan for plan in plans if plan[0].kind != "plain"]
    passes = sum(step.kind == "resize" for plan in damaged for step in plan)

    def share(of: int, kind: str, having=lambda step: True) -> float:
        return sum(step.kind == kind and having(step) for plan in damaged for step in plan) / of

    near = lambda value: pytest.approx(value, abs=0.035)  # noqa: E731
    assert 1 - len(damaged) / count == near(damage.clean)
    assert passes / len(damaged) - 1 == near(damage.twice)
    for kind in ("blur", "noise", "sharpen", "jpeg", "webp"):
        assert share(passes, kind) == near(getattr(damage, kind)), kind
    for kernel, expected in zip(operators.KERNELS, damage.kernels):
        assert share(passes, "resize", lambda s, k=kernel: dict(s.options)["kernel"] == k) == near(expected)
    blurs, noises, jpegs = (share(1, kind) for kind in ("blur", "noise", "jpeg"))
    disc = lambda s: dict(s.options)["shape"] == "disc"  # noqa: E731
    round_ = lambda s: not disc(s) and s.values[0] == s.values[1]  # noqa: E731
    assert share(blurs, "blur", disc) == near(damage.shapes[2])
    assert share(blurs, "blur", round_) == near(damage.shapes[0])
    assert share(noises, "noise", lambda s: s.values[1] > 0) == near(damage.poisson)
    assert share(noises, "noise", lambda s: s.values[2] == 1) == near(damage.grey)
    assert share(jpegs, "jpeg", lambda s: dict(s.options)["halved"]) == near(damage.halved)


def test_ranges_are_kept_and_filled():
    once = replace(EVER, twice=0, shapes=(0, 1, 0), poisson=0.5)
    steps = [step for plan in once.plans((64, 64), 1, Stream(0, range(3000))) for step in plan]

    def values(kind: str, which: int, keep=lambda s: True) -> np.ndarray:
        return np.array([s.values[which] for s in steps if s.kind == kind and keep(s)])

    shot = lambda s: s.values[1] > 0  # noqa: E731
    found = {
        "sigma": values("blur", 0),
        "stretch": values("blur", 1) / values("blur", 0),
        "gaussian": 255 * values("noise", 0, lambda s: not shot(s)),
        "photons": 1 / values("noise", 1, shot),
        "amount": values("sharpen", 0),
        "radius": values("sharpen", 1),
        "quality": values("jpeg", 0),
        "webp_quality": values("webp", 0),
    }
    for name, drawn in found.items():
        low, high = getattr(once, name)
        spare = 0.03 * (high - low)
        assert low - 1e-6 <= drawn.min() <= low + spare, name
        assert high - spare <= drawn.max() <= high + 1e-6, name
        middle = math.sqrt(low * high) if name in ("sigma", "gaussian", "photons") else (low + high) / 2
        assert (drawn < middle).mean() == pytest.approx(0.5, abs=0.06), name
    assert {int(v) for v in values("jpeg", 1)} == set(range(16)) == {int(v) for v in values("jpeg", 2)}
    angles = values("blur", 2)
    assert angles.max() - angles.min() == pytest.approx(math.pi, rel=0.02)


def test_lengths_follow_the_pictures_size():
    """Blur is measured in pixels of the small picture: four times as many on the large one, unless resized before."""
    one = replace(NEVER, blur=1, sigma=(0.5, 0.5), shapes=(1, 0, 0))
    for plan in one.plans((64, 64), 4, Stream(0, range(50))):
        kinds = [step.kind for step in plan]
        sigma = plan[kinds.index("blur")].values[0]
        assert sigma == pytest.approx(2.0 if kinds.index("blur") < kinds.index("resize") else 0.5)
    twice = replace(one, twice=1, scale=(2, 2))
    between = {dict(plan[0].options).get("size") for plan in twice.plans((64, 64), 4, Stream(0, range(50)))}
    assert between == {(32, 32), None}


def test_order_is_random_and_the_file_comes_last():
    kinds = [[s.kind for s in p] for p in replace(EVER, twice=0).plans((64, 64), 4, Stream(0, range(400)))]
    assert all(k[-1] in ("jpeg", "webp") and len(k) == 5 for k in kinds)
    assert len({tuple(k[:-1]) for k in kinds}) == math.factorial(4)
    first = [[s.kind for s in p][:5] for p in EVER.plans((64, 64), 4, Stream(0, range(400)))]
    places = [next(i for i, k in enumerate(f) if k in ("jpeg", "webp")) for f in first if {*f} & {"jpeg", "webp"}]
    assert {*places} == {0, 1, 2, 3, 4}
    one = replace(EVER, webp=0, jpeg=1, quality=(40, 40), first_quality=(80, 80))
    for plan in one.plans((64, 64), 4, Stream(0, range(20))):
        assert [s.values[0] for s in plan if s.kind == "jpeg"] == [80, 40]


def test_damage_does_not_depend_on_neighbours():
    x, task = smooth(6, 64), SuperResolution(4, damage=EVER)
    whole = task.degrade(x, rng=Stream(5, range(10, 16))).image
    part = task.degrade(x[[4, 1]], rng=Stream(5, [14, 11])).image
    assert torch.equal(whole[[4, 1]], part)
    assert torch.equal(whole, task.degrade(x, rng=Stream(5, range(10, 16))).image)
    assert not torch.equal(whole, task.degrade(x, rng=Stream(6, range(10, 16))).image)
    assert (
        len({p.numpy().tobytes() for p in task.degrade(x[:1].expand(6, -1, -1, -1), rng=Stream(5, range(6))).image})
        == 6
    )


def test_batched_steps_are_the_single_ones():
    """What accelerators do together is what the CPU does one by one."""
    x = smooth(3, 32)
    options = {
        "blur": ({"shape": "gaussian"}, 3),
        "resize": ({"size": (9, 13), "kernel": "bicubic"}, 0),
        "sharpen": ({}, 2),
        "jpeg": ({"halved": True}, 3),
    }
    for kind, (shared, knobs) in options.items():
        values = [
            [30.0 + 9 * i + k if kind == "jpeg" and k == 0 else 0.5 + i + k for k in range(knobs)] for i in range(3)
        ]
        steps = [(Step(kind, tuple(shared.items()), tuple(v)),) for v in values]
        alone = run(x, steps, Stream(0, range(3)))
        together = OPERATORS[kind](x, *torch.tensor(values).unbind(1), **shared)
        torch.testing.assert_close(together, alone, rtol=0, atol=2e-2 if kind == "jpeg" else 1e-5)


def test_whole_plans_go_together_too():
    x, one = smooth(24, 64), replace(EVER, jpeg=0, webp=0, clean=0.2, scale=(1, 1))
    plans = one.plans((64, 64), 4, Stream(4, range(24)))
    alone, together = (run(x, plans, Stream(4, range(24)), alone=a) for a in (True, False))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_sizes_and_values(factor):
    x = smooth(4, 48)[..., :24]
    made = SuperResolution(factor, damage=EVER).degrade(x, rng=Stream(0, range(4))).image
    assert made.shape == (4, 3, 48 // factor, 24 // factor)
    assert made.min() >= -1
    assert made.max() <= 1
    assert torch.equal(made, round8(made))


def test_use_sees_what_training_saw(tmp_path):
    """The given picture of training is one that a file can hold, and from the file comes the same tensor."""
    task = SuperResolution(4, damage=Damage())
    given = task.degrade(smooth(6, 64), rng=Stream(2, range(6)))
    for i, image in enumerate(given.image):
        samples = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(samples).save(tmp_path / f"{i}.png")
        opened = read(tmp_path / f"{i}.png").rgb
        torch.testing.assert_close(opened, image[None], rtol=0, atol=3e-7)
        mine, theirs = task.prepare(Given(image[None])), task.prepare(Given(opened))
        torch.testing.assert_close(mine.cond, theirs.cond, rtol=0, atol=2e-6)


def test_a_jpeg_of_training_is_a_jpeg_of_use(tmp_path):
    """Damage by JPEG alone is the plain reduction written by Pillow and opened by the reader."""
    clean = smooth(1, 128)
    one = replace(NEVER, jpeg=1, quality=(60, 60), halved=1)
    numbers = range(3000)  # those whose blocks begin at the corner, as a whole file's do
    plans = one.plans((128, 128), 4, Stream(0, numbers))
    number = next(n for n, plan in zip(numbers, plans) if plan[-1].values[1:] == (0, 0))
    given = SuperResolution(4, damage=one).degrade(clean, rng=Stream(0, [number])).image
    small = ((round8(shrink(clean, 4))[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(small).save(tmp_path / "a.jpg", quality=60)
    # the last row and column enlarge chroma from what lies beyond a crop, and not beyond a file
    opened = read(tmp_path / "a.jpg").rgb
    torch.testing.assert_close(opened[..., :-1, :-1], given[..., :-1, :-1], rtol=0, atol=3e-7)
    assert (opened - given).abs().mean() < 0.005


def test_without_randomness_nothing_is_damaged():
    x = smooth(2, 32)
    assert torch.equal(SuperResolution(4, damage=EVER).degrade(x).image, SuperResolution(4).degrade(x).image)


def test_settings_are_checked():
    make = lambda damage: build("task", TASKS, {"kind": "super-resolution", "factor": 4, "damage": damage})  # noqa: E731
    assert make({}).damage == Damage()
    assert make({"sigma": [0.2, 1], "webp": 0}).damage == Damage(sigma=(0.2, 1), webp=0)
    # six digits are enough for a third
    assert make({"shapes": [0.3333333, 0.3333333, 0.3333333]}).damage.shapes[0] == 0.3333333
    for wrong, says in (
        ({"sigm": 1}, "sigm"),
        ({"blur": 2}, "damage.blur=2 is no share; give a number from 0 to 1"),
        ({"sigma": [2, 1]}, r"damage.sigma=\(2, 1\) is no range; give low and high, from 0.01 to 10"),
        ({"quality": [0, 90]}, "damage.quality"),
        ({"kernels": [1, 1, 0, 0]}, "damage.kernels sums to 2; give shares"),
        ({"shapes": [1.5, -0.5, 0]}, "damage.shapes"),
        ({"jpeg": 0.9, "webp": 0.2}, "at most 1"),
        ({"noise": "much"}, "noise"),
    ):
        with pytest.raises(ConfigError, match=says):
            make(wrong)


def test_every_setting_matters():
    """Each field changes what happens to some example."""
    x = smooth(40, 32)
    usual = SuperResolution(4, damage=Damage()).degrade(x, rng=Stream(0, range(40))).image
    other = {
        **dict.fromkeys(("clean", "twice", "blur", "noise", "poisson", "grey", "sharpen", "jpeg", "halved"), 0.0),
        **dict.fromkeys(("sigma", "stretch", "radius", "amount"), (0.3, 0.4)),
        **dict.fromkeys(("gaussian", "photons", "quality", "first_quality", "webp_quality"), (20, 21)),
        "webp": 0.2,
        "scale": (1.0, 1.0),
        "shapes": (0, 0, 1),
        "kernels": (0, 0, 0, 1),
    }
    assert {*other} == {field.name for field in fields(Damage)}
    for name, value in other.items():
        changed = SuperResolution(4, damage=Damage(**{name: value})).degrade(x, rng=Stream(0, range(40))).image
        assert not torch.equal(usual, changed), name
