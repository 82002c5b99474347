"""Sliced Wasserstein distance over a Laplacian pyramid: are the textures distributed like those of photographs?

Needs no downloaded weights.  Karras et al. (2018, Progressive GAN), section 5.
"""

import math
from typing import Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sr3.metric.base import same
from sr3.metric.stats import GROUPS, jackknife

SIDE = 7
SOME = 32
"""So many directions tell how the distance varies with the pictures: what varies is the same along all."""

MANY = 32
"""Sets of more pictures than this give fewer patches of each, see `patches_for`."""


def patches_for(pictures: int) -> int:
    """How many patches to take of each picture of a set: 1024, and of more than 32 pictures 2^15 in all, at least 16.

    2^15 patches of 3 x 7 x 7 float32 are 19 MB per level and set; above 2048 pictures 16 of each are 9.4 kB a picture.
    """
    return 1024 if pictures <= MANY else max(16, 1024 * MANY // pictures)


def pyramid(x: Tensor, smallest: int = 16) -> list[Tensor]:
    """Laplacian pyramid of [B, 3, H, W], finest first; the last level is what is left.  Burt & Adelson (1983)."""
    levels: list[Tensor] = []
    while min(x.shape[-2:]) >= 2 * smallest:
        small = F.interpolate(x, size=(x.shape[-2] // 2, x.shape[-1] // 2), mode="bilinear", antialias=True)
        levels.append(x - F.interpolate(small, size=x.shape[-2:], mode="bilinear"))
        x = small
    return [*levels, x]


def descriptors(level: Tensor, count: int, rng: Generator) -> Tensor:
    """`count` random 7 x 7 patches of each picture, at the same places in all: [B * count, 3 * 49]."""
    rows = torch.randint(level.shape[-2] - SIDE + 1, (count,), generator=rng)
    columns = torch.randint(level.shape[-1] - SIDE + 1, (count,), generator=rng)
    windows = level.unfold(2, SIDE, 1).unfold(3, SIDE, 1)[:, :, rows, columns]  # [B, 3, count, 7, 7]
    return windows.permute(0, 2, 1, 3, 4).reshape(len(level) * count, -1)


def directions(size: int, count: int, rng: Generator) -> Tensor:
    """`count` directions of length 1, uniform on the sphere: [size, count]."""
    along = torch.randn(size, count, generator=rng)
    return along / along.norm(dim=0)


def sliced_distance(a: Tensor, b: Tensor, projections: int, rng: Generator) -> Tensor:
    """Mean over random directions of the 1-D Wasserstein-1 distance between point sets [N, D] of equal size: []."""
    along = directions(a.shape[1], projections, rng).to(a)
    return ((a @ along).sort(0).values - (b @ along).sort(0).values).abs().mean()


class SWD:
    """Sliced Wasserstein distance between made and target pictures, x1e3.

    "swd" is the mean of "swd_0" (finest), …, "swd_low".

    The patches lie at the same random places in both sets, which the seed and the picture's size fix: only the
    pictures differ.  Each channel is normalised by the TARGET set's mean and spread, so that a wrong tint or contrast
    counts.  A picture too small for a level adds nothing to it.

    patches: per picture and level; projections: random directions.
    """

    higher_is_better = False

    def __init__(self, patches: int = 1024, projections: int = 128, seed: int = 0):
        self.patches, self.projections, self.seed = patches, projections, seed
        self.made: dict[str, list[Tensor]] = {}
        self.target: dict[str, list[Tensor]] = {}
        self.which: dict[str, list[int]] = {}
        self.pictures = 0
        self.sorted: dict[str, _Sorted] | None = None

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        same(made, target)
        self.sorted = None
        # keyed by what is in the picture's place, not by its turn, so that merged halves equal the whole
        key = self.seed + made.shape[-1] * 65_537 + made.shape[-2]
        for kept, pictures in ((self.made, made), (self.target, target)):
            levels = pyramid(pictures.float())
            for index, level in enumerate(levels):
                if min(level.shape[-2:]) < SIDE:
                    continue
                # what is left is no band: pictures of other sizes must not mix theirs with it
                name = "swd_low" if index == len(levels) - 1 else f"swd_{index}"
                rng = Generator().manual_seed(key + index)
                kept.setdefault(name, []).append(descriptors(level, self.patches, rng))
                if kept is self.made:
                    self.which.setdefault(name, []).extend(range(self.pictures, self.pictures + len(made)))
        self.pictures += len(made)

    def merge(self, other: Self) -> None:
        """Add another's patches; ValueError where its settings differ."""
        mine, theirs = ((m.patches, m.projections, m.seed) for m in (self, other))
        if mine != theirs:
            raise ValueError(
                "distances of different settings cannot be merged: "
                f"(patches, projections, seed) are {mine} and {theirs}"
            )
        self.sorted = None
        for kept, more in ((self.made, other.made), (self.target, other.target)):
            for name, level in more.items():
                kept.setdefault(name, []).extend(level)
        for name, which in other.which.items():
            self.which.setdefault(name, []).extend(self.pictures + number for number in which)
        self.pictures += other.pictures

    def compute(self) -> dict[str, float]:
        return _with_mean({name: level.distance() for name, level in self._levels().items()})

    def each(self) -> dict[str, list[float]]:
        return {}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """By the jackknife over groups of pictures (`sr3.metric.stats.jackknife`), normalisation held; from 0 on, as no
        distance is less.

        The bootstrap does not fit: a picture drawn twice is a set with less variety, which this distance counts.
        """
        groups = self._groups()
        if not self.made or groups < 4:
            return {}
        levels = self._levels()
        whole = self.compute()
        without = [_with_mean({n: level.distance(g) for n, level in levels.items()}) for g in range(groups)]
        found = {name: jackknife(value, [w[name] for w in without]) for name, value in whole.items()}
        self.sorted = None  # as large as the patches
        # NaN: all pictures that have this level are in one group
        return {name: (max(0.0, low), high) for name, (low, high) in found.items() if not math.isnan(low)}

    def _groups(self) -> int:
        return min(GROUPS, self.pictures)

    def _levels(self) -> "dict[str, _Sorted]":
        """Each level sorted; kept until more is seen, as the distance and its interval both need it."""
        if self.sorted is None:
            self.sorted = {name: self._sorted(name) for name in sorted(self.made)}
        return self.sorted

    def _sorted(self, name: str) -> "_Sorted":
        a, b = torch.cat(self.made[name]), torch.cat(self.target[name])
        shape = (-1, 3, SIDE * SIDE)
        mean = b.view(shape).mean((0, 2), keepdim=True)
        # flat levels: no finer than the rounding noise of 8 bits
        std = b.view(shape).std((0, 2), keepdim=True).clamp(min=1 / (255 * 12**0.5))
        rng = Generator().manual_seed(self.seed)
        along = directions(a.shape[1], self.projections, rng).to(a)
        a, b = (((x.view(shape) - mean) / std).flatten(1) @ along for x in (a, b))
        # in one byte: every point is asked for its group as often as there are groups
        group = (torch.tensor(self.which[name]) % max(1, self._groups())).to(torch.uint8)
        return _Sorted(a, b, group.repeat_interleave(self.patches))


class _Sorted:
    """Two point sets of one level along each direction, [N, P] -> sorted [P, N], and the groups of their pictures."""

    def __init__(self, a: Tensor, b: Tensor, group: Tensor):
        self.sets: list[tuple[Tensor, Tensor]] = []
        for x in (a, b):
            values, order = x.T.contiguous().sort(1)
            self.sets.append((values, group[order]))

    def distance(self, left_out: int | None = None) -> float:
        """x1e3; without the pictures of one group: along `SOME` of the directions alone, NaN where none is left."""
        if left_out is None:
            a, b = (values for values, _ in self.sets)
        else:
            some = slice(SOME)
            a, b = (values[some][group[some] != left_out].view(len(values[some]), -1) for values, group in self.sets)
        return 1e3 * (a - b).abs().mean().item()


def _with_mean(levels: dict[str, float]) -> dict[str, float]:
    return {"swd": sum(levels.values()) / len(levels) if levels else float("nan"), **levels}
