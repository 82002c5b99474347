"""Tint: is the result as light and of the same colour as the original?"""

import math
from typing import Self

import torch
from torch import Tensor

from sr3.metric.base import same
from sr3.metric.stats import interval


def tint(made: Tensor, target: Tensor) -> Tensor:
    """|mean(made) - mean(target)| of each channel over the pixels, of 255: [B, 3]."""
    same(made, target)
    return (made.mean((2, 3)) - target.mean((2, 3))).abs().double() * 255


class Tint:
    """Mean over pictures of `tint`, of the channel where it is largest."""

    higher_is_better = False

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.kept.append(tint(made, target))

    def merge(self, other: Self) -> None:
        self.kept.extend(other.kept)

    def compute(self) -> dict[str, float]:
        return {"tint": torch.cat(self.kept).mean(0).max().item() if self.kept else math.nan}

    def each(self) -> dict[str, list[float]]:
        """`tint` of the channel where the mean over pictures is largest."""
        if not self.kept:
            return {"tint": []}
        values = torch.cat(self.kept)
        return {"tint": values[:, int(values.mean(0).argmax())].tolist()}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        values = self.each()["tint"]
        return {"tint": interval(values, seed)} if len(values) > 1 else {}
