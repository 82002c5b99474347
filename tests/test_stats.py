"""The bootstrap interval against the normal one, and how often it holds the truth."""

import math

import pytest
import torch

from sr3.metric.stats import interval


def test_of_a_large_sample_is_the_normal_interval():
    x = 30 + 2 * torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = interval(x.tolist(), seed=1, draws=20_000)
    half = 1.96 * x.std(correction=0).item() / math.sqrt(400)
    assert low == pytest.approx(x.mean().item() - half, abs=0.05 * half)
    assert high == pytest.approx(x.mean().item() + half, abs=0.05 * half)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_holds_the_truth_as_often_as_it_says(level):
    samples = torch.randn(400, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    held = [low <= 0 <= high for low, high in (interval(x.tolist(), 0, draws=500, level=level) for x in samples)]
    # four standard errors of the share, and 0.01 because the bootstrap of 50 values is a little short
    slack = 4 * math.sqrt(level * (1 - level) / len(samples)) + 0.01
    assert sum(held) / len(held) == pytest.approx(level, abs=slack)


def test_depends_on_its_arguments_alone():
    x = torch.randn(40, generator=torch.Generator().manual_seed(0)).tolist()
    first = interval(x, seed=3)
    torch.manual_seed(99)
    assert interval(x, seed=3) == first
    assert interval(x, seed=4) != first
    assert interval([7.0] * 5, seed=0) == (7, 7)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.inf], [1.0, math.nan]])
def test_refuses_what_has_no_interval(values):
    with pytest.raises(ValueError, match="at least two finite values"):
        interval(values, seed=0)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_refuses_levels_that_are_not_shares(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval([1.0, 2.0], seed=0, level=level)
