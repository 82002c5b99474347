"""Intervals and p-values against SciPy and the normal ones, and how often they hold the truth."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from sr3.metric.stats import interval, jackknife, paired, ratio, sign_flip, student


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


def draws(count, seed=0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_paired_is_scipys_bootstrap_of_the_differences():
    hard = 5 * draws(60)
    a, b = hard + 0.3 + 0.5 * draws(60, 1), hard + 0.5 * draws(60, 2)
    mean, low, high = paired(a.tolist(), b.tolist(), 0, draws=20_000)
    assert mean == pytest.approx((a - b).mean().item())
    rng = np.random.default_rng(0)
    ends = scipy.stats.bootstrap(((a - b).numpy(),), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    width = high - low
    assert low == pytest.approx(ends.confidence_interval.low, abs=0.03 * width)
    assert high == pytest.approx(ends.confidence_interval.high, abs=0.03 * width)
    # pairing takes out what makes pictures hard
    alone = interval(a.tolist(), 0)
    assert alone[1] - alone[0] > 5 * width
    assert paired([1, math.nan, 3], [0, 1, 2], 0) == (1, 1, 1)
    with pytest.raises(ValueError, match="not pairs"):
        paired([1, 2, 3], [1, 2], 0)


def test_sign_flip_is_scipys_permutation_test():
    a, b = draws(30) + 0.35, draws(30, 1)
    options = dict(permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0))
    want = scipy.stats.permutation_test((a.numpy(), b.numpy()), lambda x, y: np.mean(x - y), **options).pvalue
    found = sign_flip(a.tolist(), b.tolist(), 0, draws=20_000)
    assert found == pytest.approx(want, abs=4 * math.sqrt(2 * want * (1 - want) / 20_000))
    # four differences of one sign: 2 of the 16 flips are as far from 0
    assert sign_flip([2, 2, 2, 2], [1, 1, 1, 1], 0) == pytest.approx(1 / 8, abs=0.02)
    assert sign_flip([1, 2, 3], [1, 2, 3], 0) == 1


def test_p_values_of_no_difference_are_uniform():
    p = [sign_flip(draws(12, 2 * i).tolist(), draws(12, 2 * i + 1).tolist(), i, draws=300) for i in range(400)]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01


def test_student_is_scipys():
    for freedom in (1, 2, 3, 5, 9, 19, 100):
        assert student(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=0.02)
    assert student(19) == pytest.approx(scipy.stats.t.ppf(0.975, 19), rel=1e-4)


def test_jackknife_of_a_mean_is_the_t_interval():
    """Leaving one value out at a time, the jackknife of the mean is exactly s / sqrt(n)."""
    x = draws(20)
    without = [(x.sum() - v).item() / 19 for v in x]
    low, high = jackknife(x.mean().item(), without)
    want = scipy.stats.t.interval(0.95, 19, loc=x.mean().item(), scale=x.std().item() / math.sqrt(20))
    assert (low, high) == pytest.approx(want, rel=1e-3)
    with pytest.raises(ValueError, match="two groups"):
        jackknife(1, [1])


def test_ratio_is_scipys_bootstrap():
    x, y = draws(80).square(), 2 * draws(80, 1).square()
    low, high = ratio(x.tolist(), y.tolist(), 0, draws=20_000)

    def statistic(a, b, axis):
        return np.sqrt(a.mean(axis=axis) / b.mean(axis=axis))

    pairs, rng = (x.numpy(), y.numpy()), np.random.default_rng(0)
    ends = scipy.stats.bootstrap(pairs, statistic, paired=True, n_resamples=20_000, method="percentile", rng=rng)
    assert (low, high) == pytest.approx(tuple(ends.confidence_interval), abs=0.03 * (high - low))
