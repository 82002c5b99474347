"""How sure a mean is."""

from collections.abc import Sequence

import torch

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
