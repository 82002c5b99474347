"""Identity: is a result nearer to its own original than to everybody else's?"""

import math
from typing import Self

import torch
from torch import Tensor

from sr3.metric.features import Features, MissingError, alike, rows
from sr3.metric.stats import share


class Identity:
    """The share of pictures whose features are nearer to their own original's than to all the others' ("identity").

    With a network that recognises faces: how often it would find the right person among those of the originals; first
    rank in the gallery of all originals.  Chance is one over the number of pictures, so compare at equal numbers.
    Distances are Euclidean; of features of tiles their mean counts; a tie with another original is no success.
    """

    higher_is_better = True

    def __init__(self, features: Features):
        self.features = features
        self.made: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        for kept, pictures in ((self.made, made), (self.target, target)):
            found = rows(self.features, pictures)
            kept.append(alike(found if found.ndim == 2 else found.mean(1), kept))

    def merge(self, other: Self) -> None:
        self.made += other.made
        self.target += other.target

    def compute(self) -> dict[str, float]:
        values = self._values()
        return {"identity": sum(values) / len(values) if values else math.nan}

    def each(self) -> dict[str, list[float]]:
        return {"identity": self._values()}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        values = self._values()
        return {"identity": share(values)} if len(values) > 1 else {}

    def _values(self) -> list[float]:
        if not self.made:
            return []
        made, target = torch.cat(self.made), torch.cat(self.target)
        if made.shape[1] != target.shape[1]:
            raise MissingError(
                f"the features have {made.shape[1]} and {target.shape[1]} numbers, and cannot be compared"
            )
        # as they are: a distance by products would round away the little that tells likenesses apart
        apart = torch.cdist(made, target, compute_mode="donot_use_mm_for_euclid_dist")
        own = apart.diagonal().clone()
        apart.fill_diagonal_(math.inf)
        return (own < apart.min(1).values).double().tolist() if len(made) > 1 else [math.nan]
