"""What every measure is, and values per picture that merge."""

import math
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.metric.stats import interval, share


class Metric(Protocol):
    """A measure over a set of pictures.  `update` adds pictures, `merge` adds another's, `compute` ends."""

    higher_is_better: bool

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        """Add a batch: made and target [B, 3, H, W], the low-resolution pictures given [B, 3, h, w], in [0, 1]."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another instance has seen, after what this one has."""
        ...

    def compute(self) -> dict[str, float]:
        """The measure by name; NaN where nothing was seen."""
        ...

    def each(self) -> dict[str, list[float]]:
        """One number per picture, in the order seen, NaN where there is none; empty for measures of a whole set."""
        ...

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """The 95 % interval (low, high) of each measure that has one."""
        ...


class Means:
    """Several numbers per picture, kept in order, and their means."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def add(self, name: str, each: Tensor) -> None:
        """Add one number per example, [B]; NaN where a picture has none."""
        self.values.setdefault(name, []).extend(each.double().tolist())

    def merge(self, other: "Means") -> None:
        """Append another's values."""
        for name, values in other.values.items():
            self.values.setdefault(name, []).extend(values)

    def compute(self) -> dict[str, float]:
        """The mean of each over the pictures that have one, NaN where none has."""
        found: dict[str, float] = {}
        for name, values in self.values.items():
            known = [v for v in values if not math.isnan(v)]
            found[name] = sum(known) / len(known) if known else math.nan
        return found

    def each(self) -> dict[str, list[float]]:
        """The values."""
        return {name: list(values) for name, values in self.values.items()}

    def intervals(self, seed: int, *, shares: bool = False) -> dict[str, tuple[float, float]]:
        """`sr3.metric.stats.interval` of each that has two values or more and no infinite one.

        shares: the values are 0 or 1; then `sr3.metric.stats.share`.
        """
        found: dict[str, tuple[float, float]] = {}
        for name, values in self.values.items():
            known = [v for v in values if not math.isnan(v)]
            if len(known) > 1 and all(map(math.isfinite, known)):
                found[name] = share(known) if shares else interval(known, seed)
        return found


class PerPicture:
    """The part that all measures with one number per picture share; `names` are there even when nothing was seen."""

    names: tuple[str, ...] = ()
    shares = False
    """Whether each number is 0 or 1, and the mean a share."""

    def __init__(self) -> None:
        self.means = Means()

    def merge(self, other: Self) -> None:
        self.means.merge(other.means)

    def compute(self) -> dict[str, float]:
        return dict.fromkeys(self.names, math.nan) | self.means.compute()

    def each(self) -> dict[str, list[float]]:
        return self.means.each()

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        return self.means.intervals(seed, shares=self.shares)


def luma(x: Tensor) -> Tensor:
    """Y of BT.601 in studio range, on [0, 1]: (16 + 65.481 R + 128.553 G + 24.966 B) / 255.  [B, 3, …] -> [B, 1, …].

    What the super-resolution literature calls "PSNR on Y".
    """
    weights = x.new_tensor([65.481, 128.553, 24.966])[:, None, None]
    return ((x * weights).sum(1, keepdim=True) + 16) / 255


def cut(x: Tensor, border: int) -> Tensor:
    """Without `border` pixels on each side; ValueError where nothing would be left."""
    if min(x.shape[-2:]) <= 2 * border:
        raise ValueError(f"a picture of {x.shape[-1]}x{x.shape[-2]} has nothing left inside a border of {border}")
    return F.pad(x, (-border,) * 4) if border else x


def same(made: Tensor, target: Tensor) -> None:
    """ValueError where two batches do not have the same shape: broadcasting would measure something else."""
    if made.shape != target.shape:
        a, b = ("x".join(map(str, x.shape)) for x in (made, target))
        raise ValueError(f"pictures of shape {a} cannot be compared with pictures of shape {b}")


def nan(count: int) -> Tensor:
    """[count] of NaN."""
    return torch.full((count,), float("nan"), dtype=torch.float64)
