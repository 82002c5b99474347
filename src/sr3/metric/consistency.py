"""Consistency: is the result, made small again, what was given?"""

from collections.abc import Callable

from torch import Tensor

from sr3.metric.base import Means


def consistency(made: Tensor, given: Tensor, degrade: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean square error on [0, 1] between what was given and the result degraded again, in units of 1e-5: [B].

    Saharia et al. (2021), section 4.1; they do not state their range and rounding.
    """
    return (degrade(made).double() - given.double()).square().flatten(1).mean(1) * 1e5


class Consistency:
    """Mean over pictures of `consistency`.  degrade: [B, 3, H, W] -> [B, 3, h, w], both in [0, 1]."""

    higher_is_better = False

    def __init__(self, degrade: Callable[[Tensor], Tensor]):
        self.degrade, self.means = degrade, Means()

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.means.add("consistency", consistency(made, given, self.degrade))

    def merge(self, other: "Consistency") -> None:
        self.means.merge(other.means)

    def compute(self) -> dict[str, float]:
        return {"consistency": float("nan"), **self.means.compute()}
