"""Schedules against their papers."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from sr3.diffusion.schedule import SCHEDULES, Cosine, Geometric, Karras, LinearBeta, LogNormal

T = torch.linspace(0, 1, 501, dtype=torch.float64)
EVERY = [make() for make in SCHEDULES.values()] + [
    LinearBeta(between="alpha"),
    LinearBeta(1e-4, 0.09, 1000),
    Cosine(high=12, low=-12, shift=-1.4),
]


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_when_is_the_inverse(schedule):
    inside = T[1:]  # at t = 0 the log-SNR may be infinite
    torch.testing.assert_close(schedule.when(schedule(inside).logsnr), inside, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(schedule.when(schedule(T).logsnr)[0], T[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_the_road_only_gets_noisier(schedule):
    level = schedule(T)
    assert (level.logsnr.diff() < 0).all()
    assert level.alpha.dtype == level.sigma.dtype == torch.float64
    assert (level.alpha > 0).all()
    preserving, exploding = level.alpha**2 + level.sigma**2, level.alpha
    one = torch.ones_like(T)
    assert torch.allclose(preserving, one, atol=1e-12) or torch.equal(exploding, one)


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_any_shape_of_time(schedule):
    grid = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(schedule(grid).sigma[1, 2], schedule(grid[1, 2]).sigma)


@pytest.mark.parametrize("schedule", EVERY, ids=str)
def test_time_ends_at_one(schedule):
    assert torch.equal(schedule(torch.tensor(1.25)).logsnr, schedule(torch.tensor(1.0)).logsnr)


@pytest.mark.parametrize(
    ("schedule", "signal"),
    [(LinearBeta(), 4.386e-5), (LinearBeta(1e-4, 0.09, 1000), 6.6e-21), (LinearBeta(1e-4, 0.02, 1000), 4.036e-5)],
    ids=["SR3", "Palette's sampling", "DDPM"],
)
def test_linear_betas_end_where_the_papers_end(schedule, signal):
    alpha_bar = np.prod(1 - np.linspace(schedule.start, schedule.stop, schedule.steps))
    assert schedule(torch.tensor(1.0)).alpha.item() ** 2 == pytest.approx(alpha_bar, rel=1e-9)
    assert alpha_bar == pytest.approx(signal, rel=1e-2)
    assert schedule(torch.tensor(1 / schedule.steps)).sigma.item() ** 2 == pytest.approx(schedule.start, rel=1e-4)


@pytest.mark.parametrize("between", ["alpha_bar", "alpha"])
def test_a_uniform_time_is_sr3s_draw_in_two_steps(between):
    """SR3, section 2.4: a step at random, then a level uniformly between its knot and the one before."""
    rng, count = np.random.default_rng(0), 400_000
    betas = np.linspace(1e-4, 0.3, 10)  # few and large, so that what is linear between the knots matters
    power = 1 if between == "alpha_bar" else 0.5
    knots = np.append(1, np.cumprod(1 - betas)) ** power
    step = rng.integers(1, 11, count)
    drawn = rng.uniform(knots[step], knots[step - 1]) ** (1 / power)
    ours = LinearBeta(1e-4, 0.3, 10, between)(torch.from_numpy(rng.uniform(size=count))).alpha ** 2
    ranks = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(np.quantile(ours.numpy(), ranks), np.quantile(drawn, ranks), atol=3e-3)


def test_cosine_is_the_cosine():
    uncut = Cosine(high=80, low=-80)
    torch.testing.assert_close(uncut(T).alpha, torch.cos(math.pi / 2 * T), rtol=1e-9, atol=1e-9)
    shifted = Cosine(high=80, low=-80, shift=-2.0)
    torch.testing.assert_close(shifted(T[1:-1]).logsnr, uncut(T[1:-1]).logsnr - 2)
    assert Cosine(high=9, low=-7)(torch.tensor([0.0, 1.0])).logsnr.tolist() == pytest.approx([9, -7])


def test_geometric_is_geometric():
    assert Geometric(0.01, 100)(torch.tensor([0, 0.5, 1])).sigma.tolist() == pytest.approx([0.01, 1, 100])


def test_karras_levels_are_edms():
    low, high, steps = 0.002, 80.0, 18
    theirs = [(high ** (1 / 7) + i / (steps - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(steps)]
    ours = Karras()(torch.linspace(1, 0, steps, dtype=torch.float64)).sigma
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_log_sigma_is_normal():
    """Over evenly spread times, as over random ones."""
    times = (torch.arange(20_000) + 0.5) / 20_000
    log = LogNormal(mean=-1.2, std=1.2, sigma_min=1e-4, sigma_max=1e3)(times).sigma.log()
    assert log.mean().item() == pytest.approx(-1.2, abs=2e-3)
    assert log.std().item() == pytest.approx(1.2, abs=2e-3)
    assert ((log + 1.2) / 1.2).pow(4).mean().item() == pytest.approx(3, abs=0.02)


def test_what_schedules_are_unless_they_are_told():
    """SR3's betas as its first public code has them; NCSN's levels; EDM's, table 1."""
    assert asdict(LinearBeta()) == {"start": 1e-6, "stop": 1e-2, "steps": 2000, "between": "alpha_bar"}
    assert asdict(SCHEDULES["cosine"]()) == {"high": 15.0, "low": -15.0, "shift": 0.0}
    assert asdict(SCHEDULES["geometric"]()) == {"sigma_min": 0.01, "sigma_max": 50.0}
    assert asdict(SCHEDULES["karras"]()) == {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}
    assert asdict(LogNormal()) == {"mean": -1.2, "std": 1.2, "sigma_min": 0.002, "sigma_max": 80.0}
