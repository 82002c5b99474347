"""Recipes: what they average and what they say of the papers, against the papers' own units."""

import math
import tomllib
from collections import namedtuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sr3.diffusion.denoiser import Example
from sr3.model import recipe as recipes
from sr3.model.cascade import CascadeFile
from sr3.model.model import Model
from sr3.training.estimate import estimate

PALETTE = ("colorize", "inpaint", "uncrop", "jpeg", "multi")
DECAYS = {
    "sr3-16-128": 0.9999,
    "sr3-16-128-regression": 0.9999,
    "sr3-64-256": 0.9999,
    "sr3-64-256-cascade": 0.9999,
    "sr3-64-256-regression": 0.9999,
    "sr3-64-512": 0.9999,
    "sr3-64-512-regression": 0.9999,
    "improved-ddpm-64": 0.9999,
    "sr3-256-1024": 0.9999,
    "ddpm-32": 0.9999,
    "ddpm-64": 0.9999,
    "ncsn-32": 0.999,
    "ncsn-64": 0.999,
    **{f"palette-{task}{end}": 0.9999 for task in PALETTE for end in ("", "-regression")},
}
"""Of the moving average, at each step: Palette's (SR3 names none), Ho et al. (2020), Song & Ermon (2020),
Nichol & Dhariwal (2021)."""


@pytest.mark.parametrize("name", DECAYS)
def test_the_half_life_of_the_average_is_the_papers_decay(name):
    """decay ** (half-life / batch) = 1 / 2, in pictures seen."""
    training = recipes.load(name).training
    steps = math.log(0.5) / math.log(DECAYS[name])
    assert training.average == pytest.approx(steps * training.batch, rel=1e-3)


@pytest.mark.parametrize("name", [n for n in recipes.names() if n not in DECAYS])
def test_our_own_recipes_average_too(name):
    """A half-life between a twenty-fifth and a sixth of the run: long enough to help, short enough to forget."""
    training = recipes.load(name).training
    assert 1 / 40 < training.average / training.pictures < 1 / 5


@pytest.mark.parametrize("task", PALETTE)
def test_palettes_recipes_are_the_papers(task):
    """Saharia et al. (2022), section 4 and appendix: batch, steps, rates and both schedules; 552 million parameters."""
    recipe = recipes.load(f"palette-{task}")
    training, sampling = recipe.training, recipe.model.sampling
    assert (training.batch, training.pictures) == (1024, 1_000_000 * 1024)
    assert (training.rate, training.warmup, training.decay) == (1e-4, 10_000 * 1024, "constant")
    assert training.objective == {"kind": "denoising", "loss": "l2"}
    assert recipe.model.schedule == {"kind": "linear-beta", "start": 1e-6, "stop": 1e-2, "steps": 2000}
    assert sampling.schedule == {"kind": "linear-beta", "start": 1e-4, "stop": 0.09, "steps": 1000}
    with torch.device("meta"):
        model = Model(recipe.model)
    assert sum(p.numel() for p in model.net.parameters()) == pytest.approx(552e6, rel=0.01)


def test_palettes_recipes_can_be_run_dry(monkeypatch):
    """Where there is no room for one picture it is said so, and nothing is allocated to find out."""
    little = namedtuple("Memory", "total available")(2**30, 2**30)
    monkeypatch.setattr("sr3.training.estimate.psutil.virtual_memory", lambda: little)
    found = estimate(recipes.load("palette-multi"), "cpu")
    assert found.parameters == pytest.approx(552e6, rel=0.01)
    # weights, gradients, two moments and the average, in four bytes each
    assert found.memory > 20 * found.parameters
    assert "time: unknown, as not even one picture fits" in found.text()


def test_a_walk_goes_along_its_own_schedule_where_it_has_one():
    """Palette's 1000 levels are the knots of its own betas, not those of training."""
    with torch.device("meta"):
        model = Model(recipes.load("palette-jpeg").model)
    levels = []

    def denoise(x, level):
        levels.append(level)
        return torch.zeros_like(x)

    steps = model.walk(denoise, torch.zeros(1, 3, 2, 2), torch.randn_like, model.config.sampling, Example())
    for _ in range(3):
        next(steps)
    betas = torch.linspace(1e-4, 0.09, 1000, dtype=torch.float64)
    wanted = (1 - betas).cumprod(0).sqrt().flip(0)
    for level, alpha in zip(levels, wanted, strict=False):
        assert float(level.alpha) == pytest.approx(float(alpha), rel=1e-9)


@pytest.mark.parametrize(("name", "side"), [("photo-jpeg-regression", 128), ("face-palette-regression", 64)])
def test_regressions_can_be_trained_on_a_processor(name, side):
    """At most 5 GFLOP a crop, forward and backward: ten a second and more where a core does 70 a second."""
    recipe = recipes.load(name)
    model = Model(recipe.model)
    x = torch.zeros(1, 3, side, side)
    assert recipe.training.crop == side
    with FlopCounterMode(display=False) as counter:
        model.net(x, torch.zeros(1), x).square().mean().backward()
    assert counter.get_total_flops() < 5e9


@pytest.mark.parametrize("name", ["sr3-16-128", "sr3-64-256", "sr3-64-512"])
def test_sr3s_regressions_are_the_papers(name):
    """Saharia et al. (2021), section 4 and appendix A: as the model, but squared error, a tenth of the rate, the best
    PSNR kept; and none other of ours keeps it."""
    model, baseline = recipes.load(name), recipes.load(f"{name}-regression")
    assert baseline.training.rate == pytest.approx(1e-5)
    assert baseline.training.objective == {"kind": "regression", "loss": "l2"}
    assert (baseline.training.keep, model.training.keep) == ("psnr", "last")
    changed = {"rate", "objective", "keep"}
    one, two = (r.training.model_dump(exclude=changed) for r in (model, baseline))
    assert one == two
    assert baseline.model.network == model.model.network
    assert baseline.model.task == model.model.task


@pytest.mark.parametrize("name", [*(f"palette-{task}" for task in PALETTE), "photo-denoise"])
def test_other_regressions_differ_from_their_models_in_the_noise_alone(name):
    """Saharia et al. (2022), section 4: the model's network, trained by squared error."""
    model, baseline = recipes.load(name), recipes.load(f"{name}-regression")
    assert (baseline.model.name, baseline.model.kind) == (f"{name}-regression", "regression")
    assert baseline.training.objective == {"kind": "regression", "loss": "l2"}
    assert (baseline.model.sampling.sampler, baseline.model.sampling.steps) == ({"kind": "once"}, 1)
    own = {"name", "kind", "sampling"}
    assert baseline.model.model_dump(exclude=own) == model.model.model_dump(exclude=own)
    assert baseline.training.model_copy(update={"objective": model.training.objective}) == model.training


def test_the_blur_is_in_the_cascades_recipe_alone():
    """Saharia et al. (2021), table 5, is of the 64 to 256 stage of a cascade; how much is Ho et al.'s (2021)."""
    blurred = {n for n in recipes.names() if recipes.load(n).model.task.get("blur")}
    assert blurred == {"sr3-64-256-cascade"}
    own, plain = recipes.load("sr3-64-256-cascade"), recipes.load("sr3-64-256")
    assert own.model.task == {**plain.model.task, "blur": 0.5}
    assert own.training == plain.training
    assert own.model.model_copy(update={"name": plain.model.name, "task": plain.model.task}) == plain.model


def count_of_improved_ddpm(channels=192, multipliers=(1, 2, 3, 4), blocks=3, classes=1000, leaves=3):
    """The parameters of Nichol & Dhariwal's network, added up layer by layer from its description."""
    told = 4 * channels

    def block(a, b):
        norms, convs, scale_and_shift = 2 * a + 2 * b, 9 * a * b + b + 9 * b * b + b, told * 2 * b + 2 * b
        return norms + convs + scale_and_shift + (a * b + b if a != b else 0)

    def attention(a):
        return 2 * a + 3 * a * a + 3 * a + a * a + a

    total = channels * told + told + told * told + told + classes * told + 9 * 3 * channels + channels
    width, kept = channels, [channels]
    for level, multiplier in enumerate(multipliers):
        for _ in range(blocks):
            total += block(width, multiplier * channels)
            width = multiplier * channels
            total += attention(width) if 64 // 2**level in (16, 8) else 0
            kept.append(width)
        if level < len(multipliers) - 1:
            total += 9 * width * width + width
            kept.append(width)
    total += 2 * block(width, width) + attention(width)
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for _ in range(blocks + 1):
            total += block(width + kept.pop(), multiplier * channels)
            width = multiplier * channels
            total += attention(width) if 64 // 2**level in (16, 8) else 0
        total += 9 * width * width + width if level else 0
    return total + 2 * width + 9 * width * leaves + leaves


def test_a_cascades_file_says_again_what_it_said():
    first = {"recipe": "improved-ddpm-64", "model": "a.safetensors", "steps": 250, "spacing": "time"}
    told = CascadeFile.model_validate({"name": "two", "stages": [first, {"recipe": "sr3-64-256", "sampler": "ddim"}]})
    assert CascadeFile.model_validate(tomllib.loads(told.text())) == told
    assert told.asked() == {"steps": [250, None], "sampler": [None, "ddim"], "spacing": ["time", None]}
    odd = CascadeFile.model_validate({"name": 'a "b"', "stages": [{"recipe": "stages\\mine.toml", "model": "é.st"}]})
    assert CascadeFile.model_validate(tomllib.loads(odd.text())) == odd
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        CascadeFile.model_validate({"name": "none", "stages": [{"recipe": "sr3-64-256", "steps": 0}]})


def test_the_cascades_first_stage_is_improved_ddpms():
    """270 million parameters as they say, 273 as counted, 250 000 steps of 2048; Nichol & Dhariwal (2021)."""
    recipe = recipes.load("improved-ddpm-64")
    with torch.device("meta"):
        model = Model(recipe.model)
    count = sum(p.numel() for p in model.net.parameters())
    assert count == count_of_improved_ddpm()
    assert count_of_improved_ddpm(leaves=6) == pytest.approx(270e6, rel=0.015)  # with their learnt variance
    assert model.net.label.weight.shape == (1000, 768)
    t = recipe.training
    assert (t.pictures, t.batch, t.rate, t.crop) == (250_000 * 2048, 2048, 3e-4, 64)
    assert {a.heads for a in model.net.modules() if hasattr(a, "qkv")} == {4}
    assert (t.warmup, t.objective) == (0, {"kind": "denoising", "loss": "l2"})
    assert recipe.model.sampling.steps == 250  # of its table of samples
    # the first of its cosine's 4000 steps: alpha-bar of 1 / 4000, with the offset of 0.008
    angle = [(t + 0.008) / 1.008 * math.pi / 2 for t in (1 / 4000, 0.0)]
    bar = (math.cos(angle[0]) / math.cos(angle[1])) ** 2
    first, last = (float(model.schedule(torch.tensor(end, dtype=torch.float64)).logsnr) for end in (0.0, 1.0))
    assert first == pytest.approx(math.log(bar / (1 - bar)), abs=0.05)
    assert last == pytest.approx(-12)
