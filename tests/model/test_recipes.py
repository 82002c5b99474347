"""Recipes: what they average and what they say of the papers, against the papers' own units."""

import math
from collections import namedtuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sr3.diffusion.denoiser import Example
from sr3.model import recipe as recipes
from sr3.model.model import Model
from sr3.training.estimate import estimate

DECAYS = {
    "sr3-16-128": 0.9999,
    "sr3-16-128-regression": 0.9999,
    "sr3-64-256": 0.9999,
    "sr3-64-512": 0.9999,
    "sr3-256-1024": 0.9999,
    "ddpm-32": 0.9999,
    "ddpm-64": 0.9999,
    "ncsn-32": 0.999,
    "ncsn-64": 0.999,
    **{f"palette-{task}": 0.9999 for task in ("colorize", "inpaint", "uncrop", "jpeg", "multi")},
}
"""Of the moving average, at each step: Palette's (SR3 names none), Ho et al. (2020), Song & Ermon (2020)."""


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


@pytest.mark.parametrize("task", ["colorize", "inpaint", "uncrop", "jpeg", "multi"])
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
