"""Diversity: how much do the answers to one picture differ, and as much as they are wrong?

SR3's authors name the lack of it as the method's weakness (Saharia et al. 2021, section 5); distortion does not see it.
"""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from sr3.metric.base import Means, same
from sr3.metric.stats import ratio


def spread(samples: Tensor) -> Tensor:
    """Standard deviation over K samples [K, B, 3, H, W] on [0, 1], mean over pixels and channels, of 255: [B].

    With K - 1 in the denominator.
    """
    return samples.std(0).flatten(1).mean(1).double() * 255


def pairwise(samples: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The mean distance over all pairs of K samples [K, B, 3, H, W]; distance: two batches -> [B].  [B]."""
    count = len(samples)
    pairs = [distance(samples[i], samples[j]) for i in range(count) for j in range(i)]
    return torch.stack(pairs).mean(0)


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two batches on [0, 1], of 255: [B]."""
    return (a - b).abs().flatten(1).mean(1).double() * 255


def moments(samples: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What `Diversity`'s calibration is the ratio of, for each picture: [B] and [B].

    First (K + 1) / K * s^2, with s^2 the variance over the samples (K - 1 in the denominator), then the square error
    of the samples' mean; both are means over pixels and channels.  When the original is itself one more draw from
    where the samples come from, the two have the same expectation: s^2 for the draw and s^2 / K for the mean.
    """
    same(samples[0], target)
    count = len(samples)
    within = samples.var(0) * (count + 1) / count
    error = (samples.mean(0) - target).square()
    return within.flatten(1).mean(1).double(), error.flatten(1).mean(1).double()


class Diversity:
    """Over the samples of each picture: "spread", "pairwise", "calibration", and "pairwise_lpips" where it is given.

    spread, pairwise: means over pictures of `spread` and of `pairwise` with `apart`.
    calibration: the root mean square spread, with sqrt((K + 1) / K), over the root mean square error of the samples'
        mean, see `moments`.  1 is calibrated; below 1 the samples are surer than they are right.
    lpips: a distance (two batches on [0, 1] -> [B]) for "pairwise_lpips".
    """

    def __init__(self, lpips: Callable[[Tensor, Tensor], Tensor] | None = None):
        self.lpips, self.means = lpips, Means()
        self.within: list[float] = []
        self.error: list[float] = []

    def update(self, samples: Tensor, target: Tensor) -> None:
        """Add a batch: samples [K, B, 3, H, W] with K > 1, originals [B, 3, H, W], in [0, 1]."""
        if len(samples) < 2:
            raise ValueError("diversity needs at least two samples of each picture")
        self.means.add("spread", spread(samples))
        self.means.add("pairwise", pairwise(samples, apart))
        if self.lpips is not None:
            self.means.add("pairwise_lpips", pairwise(samples, self.lpips))
        within, error = moments(samples, target)
        self.within += within.tolist()
        self.error += error.tolist()

    def merge(self, other: Self) -> None:
        """Append what another has seen."""
        self.means.merge(other.means)
        self.within += other.within
        self.error += other.error

    def compute(self) -> dict[str, float]:
        """The measures by name."""
        known = sum(self.error) > 0
        return self.means.compute() | {
            "calibration": math.sqrt(sum(self.within) / sum(self.error)) if known else math.nan
        }

    def each(self) -> dict[str, list[float]]:
        """One number per picture; "calibration" is then the picture's own ratio, whose mean is not the set's."""
        ratios = [math.sqrt(w / e) if e > 0 else math.nan for w, e in zip(self.within, self.error, strict=True)]
        return self.means.each() | {"calibration": ratios}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """95 %, by the bootstrap over pictures."""
        found = self.means.intervals(seed)
        if len(self.error) > 1 and all(e > 0 for e in self.error):
            found["calibration"] = ratio(self.within, self.error, seed)
        return found
