"""The test for repeating patterns: patterns and noise of known power, and what must not count."""

import math

import pytest
import torch

from sr3.metric.grid import PERIODS, Grid, excess


def noise(sigma: float, side: int = 512, seed: int = 0):
    """Grey noise of a standard deviation, of 255, around 1/2: [1, 3, side, side]."""
    rng = torch.Generator().manual_seed(seed)
    return 0.5 + (sigma / 255) * torch.randn(1, 1, side, side, generator=rng, dtype=torch.float64).expand(1, 3, -1, -1)


def pattern(period: int, size: float, side: int = 512):
    """One pixel of each period x period is brighter, by a size of 255: all lines are equal.  [1, 1, side, side]."""
    found = torch.zeros(1, 1, side, side, dtype=torch.float64)
    found[..., ::period, ::period] = size / 255
    return found


def test_nothing_that_repeats_is_nothing():
    found = torch.cat([excess(noise(5, seed=seed), 4) for seed in range(8)])
    # three of the 15 frequencies are real, with a mean log power 3 dB lower: 9 / 15, less what rounding adds
    assert found.mean().item() == pytest.approx(-0.5, abs=0.12)
    # no finer than the rounding of 8 bits, a flat picture has no pattern
    assert excess(torch.full((1, 3, 64, 64), 0.3), 4).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_a_pattern_in_noise_has_the_excess_of_its_spectrum(factor):
    """Lines of (size / factor^2)^2 (sum w)^2 in noise of sigma^2 sum w^2, whose mean log is 2.51 dB below its log."""
    sigma, size, side = 5.0, 15.0 * factor**2, PERIODS * factor
    grey = 219 / 255  # of luma, for grey
    w = torch.hann_window(side, dtype=torch.float64)
    w = w[:, None] * w
    line = (grey * size / factor**2 * w.sum()) ** 2
    floor = ((grey * sigma) ** 2 + 1 / 12) * w.square().sum()
    want = 10 * math.log10(1 + line / floor) + 2.507
    assert excess(noise(sigma) + pattern(factor, size), factor).item() == pytest.approx(want, abs=0.35)


def test_a_pattern_of_another_period_does_not_count():
    plain = noise(5, 256)
    for period, seen in ((4, True), (2, True), (3, False), (5, False)):
        metric = Grid(4)
        metric.update(plain + pattern(period, 30, 256), plain, plain)
        assert (metric.compute()["grid"] > 1) == seen, period


def test_more_of_it_is_more_and_what_the_original_has_is_none():
    plain = noise(5, 256)
    sizes, metric = (0, 4, 8, 16, 32), Grid(4)
    for size in sizes:
        metric.update(plain + pattern(4, size, 256), plain, plain)
    found = metric.each()["grid"]
    assert found[0] == 0
    assert found == sorted(found)
    again = Grid(4)
    with_it = plain + pattern(4, 32, 256)
    again.update(with_it, with_it, plain)
    again.update(plain, with_it, plain)  # less than the original has
    assert again.each()["grid"] == [0, 0]


def test_too_small_pictures_have_none():
    x = torch.rand(2, 3, 31, 40)
    assert all(math.isnan(v) for v in excess(x, 4).tolist())
    assert all(math.isnan(v) for v in excess(torch.rand(1, 3, 64, 64), 1).tolist())
    assert torch.isfinite(excess(torch.rand(2, 3, 32, 40), 4)).all()
    assert math.isnan(Grid(4).compute()["grid"])
