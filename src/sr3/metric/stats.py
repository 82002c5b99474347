"""How sure a mean is."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sr3.random import generator


def interval(values: Sequence[float], seed: int, draws: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap percentile interval of the mean of the values: (low, high).

    The values, one per picture, are drawn again with replacement `draws` times; the interval holds the middle
    `level` of the means; Efron & Tibshirani (1993), section 13.3.  A function of its arguments alone.  With fewer
    than about 20 pictures it is somewhat too short.  ValueError for fewer than two values, or values not finite.
    """
    x = torch.tensor(list(values), dtype=torch.float64)
    if len(x) < 2 or not x.isfinite().all():
        raise ValueError(f"an interval needs at least two finite values, not {list(values)[:8]}")
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is between 0 and 1, not {level}")
    chosen = torch.randint(len(x), (draws, len(x)), generator=generator(seed, len(x)))
    tail = (1 - level) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = x[chosen].mean(dim=1).quantile(ends).tolist()
    return low, high


def wilson(hits: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The score interval of a proportion, (low, high); Wilson (1927).

    (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n).  ValueError unless 0 <= hits <= trials and
    trials > 0.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} of {trials} is no proportion")
    p, n = hits / trials, trials
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    # at the ends the formula gives 0 and 1 exactly, and floating point nearly
    return (0.0 if hits == 0 else low), (1.0 if hits == trials else high)


def share(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of values that are each 0 or 1: `wilson`'s.

    Where none or all are 1 the bootstrap draws the same again and says that it is sure.  ValueError for other values.
    """
    if not {*values} <= {0, 1}:
        raise ValueError(f"a share is of values that are 0 or 1, not {list(values)[:8]}")
    return wilson(int(sum(values)), len(values))


GROUPS = 20
"""Into how many groups the pictures are divided for `jackknife`."""


def jackknife(whole: float, without: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval (low, high) of a measure of a whole set, by leaving out one group of pictures after another.

    without: the measure on the set without group g, for G groups of about equal size.
    The standard error is sqrt((G - 1) / G * sum (without_g - mean)^2); Efron & Tibshirani (1993), eq. 11.5.  The
    interval is whole +- t * error with Student's t for G - 1 degrees of freedom.
    """
    x = torch.tensor(list(without), dtype=torch.float64)
    if len(x) < 2:
        raise ValueError(f"the jackknife needs at least two groups, not {len(x)}")
    error = ((len(x) - 1) / len(x) * (x - x.mean()).square().sum()).sqrt().item()
    half = student(len(x) - 1) * error
    return whole - half, whole + half


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t.  Abramowitz & Stegun (1964), 26.7.5: within 2 % from 3 degrees of freedom on."""
    if freedom < 3:
        return {1: 12.706, 2: 4.303}[freedom]
    x = 1.959964
    g1, g2 = (x**3 + x) / 4, (5 * x**5 + 16 * x**3 + 3 * x) / 96
    g3 = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
    return x + g1 / freedom + g2 / freedom**2 + g3 / freedom**3


def paired(
    a: Sequence[float], b: Sequence[float], seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """How much larger `a` is than `b` on the same pictures: (mean difference, low, high), by `interval`.

    Values of one picture stand at one place.  What makes a picture hard is in both and cancels, so this tells runs
    apart whose own intervals overlap.  Pairs with NaN are left out.  ValueError where the lengths differ.
    """
    x = _differences(a, b)
    low, high = interval(x, seed, draws, level)
    return sum(x) / len(x), low, high


def sign_flip(a: Sequence[float], b: Sequence[float], seed: int, draws: int = 10_000) -> float:
    """The two-sided p-value of "a and b differ by chance alone", by flipping the signs of the paired differences.

    (1 + the number of random flips whose mean is at least as far from 0) / (1 + draws); Phipson & Smyth (2010),
    section 4.  Exact but for the draws when the differences are symmetric about 0.  Pairs with NaN are left out.
    """
    x = torch.tensor(_differences(a, b), dtype=torch.float64)
    if len(x) < 2 or not x.isfinite().all():
        raise ValueError("a paired comparison needs at least two finite pairs")
    signs = 2 * torch.randint(2, (draws, len(x)), generator=generator(seed, len(x), 1)).double() - 1
    # equal means must count as equal whatever the order in which they were summed
    reached = (signs @ x).abs() >= x.sum().abs() - 1e-12 * x.abs().sum()
    return (1 + int(reached.sum())) / (1 + draws)


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values are not pairs")
    return [d for d in (x - y for x, y in zip(a, b, strict=True)) if d == d]


def nearer_to_one(
    a: Sequence[float], b: Sequence[float], seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """How much further from 1 the mean of `a` is than that of `b`, on the same pictures: (difference, low, high).

    By the bootstrap of |mean(a) - 1| - |mean(b) - 1| over pictures.  Pairs with NaN are left out.  ValueError where
    the lengths differ, and below two pairs.
    """
    pairs = torch.tensor(list(zip(a, b, strict=True)), dtype=torch.float64)
    x = pairs[~pairs.isnan().any(-1)]
    if len(x) < 2:
        raise ValueError("a paired comparison needs at least two finite pairs")
    chosen = torch.randint(len(x), (draws, len(x)), generator=generator(seed, len(x)))

    def further(means: Tensor) -> Tensor:
        return (means[..., 0] - 1).abs() - (means[..., 1] - 1).abs()

    tail = (1 - level) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = further(x[chosen].mean(1)).quantile(ends).tolist()
    return further(x.mean(0)).item(), low, high


def ratio(
    above: Sequence[float], below: Sequence[float], seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """The bootstrap percentile interval of sqrt(mean(above) / mean(below)): (low, high); pictures are drawn whole."""
    x, y = (torch.tensor(list(v), dtype=torch.float64) for v in (above, below))
    if len(x) < 2 or len(x) != len(y):
        raise ValueError("an interval of a ratio needs at least two pictures, with two values each")
    chosen = torch.randint(len(x), (draws, len(x)), generator=generator(seed, len(x)))
    tail = (1 - level) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = (x[chosen].mean(1) / y[chosen].mean(1)).sqrt().quantile(ends).tolist()
    return low, high
