"""What every measure is, and sums that merge."""

from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor


class Metric(Protocol):
    """A measure over a set of pictures.  `update` adds pictures, `merge` adds another's sums, `compute` ends."""

    higher_is_better: bool

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        """Add a batch: made and target [B, 3, H, W], the low-resolution pictures given [B, 3, h, w], in [0, 1]."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another instance has seen."""
        ...

    def compute(self) -> dict[str, float]:
        """The measure by name; NaN where nothing was seen."""
        ...


class Means:
    """Means over pictures of several numbers, kept as sums so that they merge."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, each: Tensor) -> None:
        """Add one number per example, [B]."""
        self.sums[name] = self.sums.get(name, 0.0) + each.double().sum().item()
        self.counts[name] = self.counts.get(name, 0) + len(each)

    def merge(self, other: "Means") -> None:
        """Add another's sums."""
        for name, total in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total
            self.counts[name] = self.counts.get(name, 0) + other.counts[name]

    def compute(self) -> dict[str, float]:
        """The mean of each."""
        return {name: self.sums[name] / self.counts[name] for name in self.sums}


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


def nan(count: int) -> Tensor:
    """[count] of NaN."""
    return torch.full((count,), float("nan"), dtype=torch.float64)
