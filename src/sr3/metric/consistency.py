"""Consistency: is the result, made small again, what was given?"""

from collections.abc import Callable

from torch import Tensor

from sr3.metric.base import PerPicture, same


def consistency(made: Tensor, given: Tensor, degrade: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean square error on [0, 1] between what was given and the result degraded again, in units of 1e-5: [B].

    Saharia et al. (2021), table 1; they do not state their range and rounding.
    """
    again = degrade(made)
    same(again, given)
    return (again.double() - given.double()).square().flatten(1).mean(1) * 1e5


class Consistency(PerPicture):
    """Mean over pictures of `consistency`.  degrade: [B, 3, H, W] -> [B, 3, h, w], both in [0, 1].

    By default nothing: what is handed over as made has been degraded already, by the task that knows what was given.
    name: of the measure.
    """

    higher_is_better = False

    def __init__(self, degrade: Callable[[Tensor], Tensor] = lambda x: x, name: str = "consistency"):
        super().__init__()
        self.degrade, self.names = degrade, (name,)

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.means.add(self.names[0], consistency(made, given, self.degrade))
