"""Colourfulness: has the result as much colour as the original?"""

import math
from typing import Self

import torch
from torch import Tensor

from sr3.metric.base import same
from sr3.metric.stats import interval


def colourfulness(x: Tensor) -> Tensor:
    """Of pictures [B, 3, H, W] in [0, 1], on the scale of 255: [B].

    Hasler & Süsstrunk (2003), eq. 4 to 6: with rg = R - G and yb = (R + G) / 2 - B it is the root of the sum of their
    variances and three tenths of the root of the sum of their squared means.  Grey has 0; 59 is "quite colourful".
    """
    r, g, b = (255 * x.double()).unbind(1)
    opponent = torch.stack([r - g, (r + g) / 2 - b]).flatten(2)
    spread = opponent.var(-1, correction=0).sum(0).sqrt()
    return spread + 0.3 * opponent.mean(-1).square().sum(0).sqrt()


class Colourfulness:
    """The mean of `colourfulness` over the results, "colourfulness", and as a share of the originals' mean,
    "colourfulness_share": 1 where results are as colourful, NaN where the originals are grey.
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.made: list[float] = []
        self.target: list[float] = []

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        same(made, target)
        self.made += colourfulness(made).tolist()
        self.target += colourfulness(target).tolist()

    def merge(self, other: Self) -> None:
        self.made += other.made
        self.target += other.target

    def compute(self) -> dict[str, float]:
        own, whole = sum(self.made), sum(self.target)
        return {
            "colourfulness": own / len(self.made) if self.made else math.nan,
            "colourfulness_share": own / whole if whole > 0 else math.nan,
        }

    def each(self) -> dict[str, list[float]]:
        """A picture's own share is no measure of the set's, so there is none."""
        return {"colourfulness": list(self.made)}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """The share's is that of the mean over the originals' mean, which is taken as known."""
        if len(self.made) < 2:
            return {}
        low, high = interval(self.made, seed)
        mean = sum(self.target) / len(self.target)
        share = {"colourfulness_share": (low / mean, high / mean)} if mean > 0 else {}
        return {"colourfulness": (low, high), **share}
