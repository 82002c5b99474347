"""Uncropping: what may have been beside a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sr3.picture.picture import Picture, PictureError
from sr3.random import Stream
from sr3.task.base import Given
from sr3.task.holes import FILLINGS, Fill, side_of
from sr3.task.inpainting import Filling

SIDES = ("left", "right", "top", "bottom", "all")


@dataclass(frozen=True)
class Uncropping(Filling):
    """Make a picture wider or higher: Palette's fourth task (Saharia et al. 2022, section 4.3).

    In training half of each picture is missing, at one side or around: `around` is the share of the latter.
    share: how much of the picture is missing.  measured: the side that is missing of what is measured.
    fill, marked, context: as for inpainting.
    """

    around: float = 0.5
    share: float = 0.5
    measured: Literal["left", "right", "top", "bottom", "all"] = "right"
    fill: Fill = "smooth"
    marked: bool = False
    context: float = 0.5
    command = "uncrop photo.jpg --right 64"
    given_name = "cropped"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.around <= 1:
            raise ValueError(f"around={self.around:g} is no share; give a number from 0 to 1")
        if not 0 < self.share < 1:
            raise ValueError(f"a share of {self.share:g} of a picture cannot be missing; give one between 0 and 1")
        if self.measured not in SIDES or self.fill not in FILLINGS:
            raise ValueError(f"measured is one of {', '.join(SIDES)}, and fill one of {', '.join(FILLINGS)}")

    @property
    def degradation(self) -> str:
        where = "around" if self.measured == "all" else f"at the {self.measured}"
        return f"{self.share:.0%} of the picture missing {where}, filled with noise"

    def holes(self, clean: Tensor, rng: Stream | None) -> Tensor:
        size = (clean.shape[-2], clean.shape[-1])
        if rng is None:
            return side_of(size, self._bands(size, self.measured)).expand(len(clean), -1, -1, -1)
        around, which = rng.uniform() < self.around, rng.integers(4)
        names = ["all" if every else SIDES[k] for every, k in zip(around.tolist(), which.tolist(), strict=True)]
        return torch.cat([side_of(size, self._bands(size, name)) for name in names])

    def _bands(self, size: tuple[int, int], side: str) -> Sequence[int]:
        """Pixels missing at the left, right, top and bottom."""
        height, width = size
        if side == "all":
            kept = math.sqrt(1 - self.share)
            high, wide = (length - max(1, round(length * kept)) for length in size)
            return wide // 2, wide - wide // 2, high // 2, high - high // 2
        along = width if side in ("left", "right") else height
        return [round(along * self.share) * (side == name) for name in SIDES[:4]]

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        raise PictureError("how far this picture is to grow is not said; give pixels for at least one side")
