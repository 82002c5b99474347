"""Inpainting: what may have been in a hole."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize, round8
from sr3.random import Stream, staged
from sr3.task.apart import apart
from sr3.task.base import Given, SameSize, own_stream
from sr3.task.holes import FILLINGS, Fill, filled, masks, smooth

_HOLE = 0x401E
"""The stage of a picture's making in which its hole is filled with noise."""


class Filling(SameSize):
    """What tasks have in common that make some pixels and leave the others as they are, bit for bit.

    The hole of what is given holds standard normal noise, as in Palette (Saharia et al. 2022, section 4.2), which has
    no channel for the mask; the loss is taken in the hole alone.  Where it is `marked`, the network is shown the
    baseline's filling instead of that noise, and a channel that is 1 in the hole and 0 elsewhere.
    """

    fill: Fill
    marked: bool
    context: float

    def __post_init__(self) -> None:
        if not 0 <= self.context <= 100:
            raise ValueError(f"context={self.context:g} is no number of a hole's sides; give one from 0 to 100")

    @property
    def channels(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 4 if self.marked else 3

    def holes(self, clean: Tensor, rng: Stream | None) -> Tensor:
        """Bool [B, 1, H, W], True where pixels are to be made; without rng, the holes that are measured."""
        raise NotImplementedError

    @property
    def baseline_name(self) -> str:
        return self.fill

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        mask = self.holes(clean, rng).to(clean.device)
        return hollow(clean, mask, rng or own_stream(clean, 1))

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        """What the picture's own alpha leaves out."""
        if picture.alpha is None or not (mask := picture.alpha[None] < 0.5).any():
            raise PictureError("nothing says where this picture's hole is; give a mask, a box or transparent pixels")
        if mask.all():
            raise PictureError("all of this picture is transparent, with nothing to go by; leave some of it as it is")
        return hollow(picture.rgb, mask, noise_of(0))

    def certain(self, given: Given) -> str:
        return "" if given.mask is None else "the pixels around the hole"

    def prepare(self, given: Given) -> Example:
        plain = super().prepare(given)
        if not self.marked or plain.base is None:
            return plain
        mask = torch.zeros_like(plain.base[:, :1]) if given.mask is None else given.mask.to(plain.base)
        return plain._replace(cond=torch.cat([plain.base, mask], dim=1))

    def baseline(self, given: Given) -> Tensor:
        return given.image if given.mask is None else filled(given.image, given.mask, self.fill)

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        if given.mask is None:
            return given._replace(image=resize(given.image, size))
        image = round8(resize(smooth(given.image, given.mask), size))
        # a pixel that holds anything unknown is unknown
        mask = F.adaptive_max_pool2d(given.mask.float(), size) > 0
        return hollow(image, mask, own_stream(image, 1))

    def windows(self, given: Given, least: int) -> list[tuple[slice, slice]]:
        """Around each hole, with `context` times the larger of its two counts of pixels on every side; of holes so near
        to each other that these overlap, around all of them."""
        if given.mask is None or not given.mask.any():
            return super().windows(given, least)
        height, width = given.mask.shape[-2:]

        def around(rows: slice, columns: slice) -> tuple[slice, slice]:
            margin = math.ceil(self.context * max(rows.stop - rows.start, columns.stop - columns.start))
            return (
                _within(rows.start, rows.stop, margin, least, height),
                _within(columns.start, columns.stop, margin, least, width),
            )

        return apart(given.mask.any(0).any(0).cpu(), around)

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        return joined(super().enlarged(made, small, given), given)

    def again(self, made: Tensor, given: Given) -> Tensor:
        return made if given.mask is None else torch.where(given.mask, given.image.to(made), made)

    def project(self, made: Tensor, given: Given) -> Tensor:
        return made if given.mask is None else torch.where(given.mask, made, given.image.to(made))

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return self.project(made.clamp(-1, 1), given)


def _within(begin: int, end: int, margin: int, least: int, size: int) -> slice:
    """begin to end with a margin on both sides, at least so much, moved to lie within the picture."""
    length = min(size, max(end - begin + 2 * margin, least))
    first = min(max(0, (begin + end - length) // 2), size - length)
    return slice(first, first + length)


def joined(made: Tensor, given: Given) -> Tensor:
    """A filling [B, 3, H, W] found in a smaller picture, without a step where it meets the pixels around it.

    What it is off at the known pixels is spread smoothly over the hole and taken away; after Perez et al. (2003),
    section 3, whose membrane is `smooth` here.
    """
    if given.mask is None:
        return made
    return (made + smooth(torch.where(given.mask, 0, given.image - made), given.mask)).clamp(-1, 1)


def noise_of(seed: int) -> Stream:
    """What a picture's hole is filled with: not what the walk into it begins with, which is of the same seed."""
    return Stream(staged(seed, _HOLE), [0])


def hollow(image: Tensor, mask: Tensor, rng: Stream) -> Given:
    """Pictures [B, 3, H, W] with noise where the mask [B, 1, H, W] is True."""
    return Given(torch.where(mask, rng.normal(image), image), mask)


@dataclass(frozen=True)
class Inpainting(Filling):
    """Fill holes: Palette's second task.

    strokes: the share of training holes that are free-form; the others are 1 to 5 boxes.
    area: the least and the most of a picture that is missing.
    measured: the hole of what is measured, and how much of the picture it is: `measured_area`.
    fill: what a hole is filled with without a model: "smooth", or OpenCV's "telea" or "navier-stokes".
    marked: whether the network is told where the hole is, and shown that filling, instead of noise in the hole.
    context: how much of a large picture a model for small ones is shown around a hole, in sides of the hole.
    """

    strokes: float = 0.6
    area: tuple[float, float] = (0.1, 0.4)
    measured: Literal["strokes", "boxes"] = "strokes"
    measured_area: float = 0.25
    fill: Fill = "smooth"
    marked: bool = False
    context: float = 0.5
    command = "inpaint photo.png --box 10,10,40x40"
    given_name = "with a hole"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.strokes <= 1:
            raise ValueError(f"strokes={self.strokes:g} is no share; give a number from 0 to 1")
        for low, high in (self.area, (self.measured_area,) * 2):
            if not 0 < low <= high < 1:
                raise ValueError(f"holes of {low:g} to {high:g} of a picture cannot be; give shares between 0 and 1")
        if self.measured not in ("strokes", "boxes") or self.fill not in FILLINGS:
            raise ValueError(f"measured is strokes or boxes, and fill one of {', '.join(FILLINGS)}")

    @property
    def degradation(self) -> str:
        kind = "free-form strokes" if self.measured == "strokes" else "1 to 5 boxes"
        return f"{kind} over {self.measured_area:.0%} of the picture, filled with noise"

    def holes(self, clean: Tensor, rng: Stream | None) -> Tensor:
        size = (clean.shape[-2], clean.shape[-1])
        if rng is not None:
            return masks(size, rng, self.strokes, self.area)
        share = 1.0 if self.measured == "strokes" else 0.0
        return masks(size, own_stream(clean), share, (self.measured_area, self.measured_area))
