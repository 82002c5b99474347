"""Where in a picture: holes by masks, boxes and transparency, and what is added at its sides."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.model.config import ConfigError
from sr3.picture.image import Picture, PictureError, read

Box = tuple[int, int, int, int]


class Mask(NamedTuple):
    """A mask, bool [1, 1, H, W] and True where something is painted, and the file that it was read from."""

    file: Path
    hole: Tensor

    @property
    def mark(self) -> str:
        """What tells it from other masks of its size: the CRC-32 of its pixels, in hexadecimal."""
        return f"{zlib.crc32(self.hole.byte().numpy().tobytes()):08x}"


FAINT = 1 / 8
"""Of white, and of opaque: what is no brighter is not painted, as the rings of a mask in a JPEG file."""


def read_mask(file: Path) -> Mask:
    """The mask in a picture file: what is not black, in any colour; on a layer that is transparent elsewhere, what is
    painted there, and if all of that is black, that.  PictureError where it cannot be read."""
    picture = read(file)
    bright = (picture.pixels.amax(0) + 1) / 2 > FAINT
    if picture.alpha is not None:
        there = picture.alpha[0] > FAINT
        bright = bright & there if (bright & there).any() or there.all() else there
    return Mask(file, bright[None, None])


def mark_of(picture: Picture) -> str:
    """What tells a picture's pixels and alpha from others: their CRC-32, in hexadecimal."""
    alpha = picture.pixels[:0] if picture.alpha is None else picture.alpha
    return f"{zlib.crc32(alpha.numpy().tobytes(), zlib.crc32(picture.pixels.numpy().tobytes())):08x}"


def hole(picture: Picture, source: Path, mask: Mask | None, boxes: Sequence[Box]) -> tuple[Tensor, Picture]:
    """What is to be made, bool [1, 1, H, W], and the picture, which is opaque there.

    PictureError for a mask of another size, for boxes outside, and where nothing or all is to be made.
    """
    width, height = picture.size
    found = torch.zeros(1, 1, height, width, dtype=torch.bool)
    if mask is not None:
        high, wide = mask.hole.shape[-2:]
        if (wide, high) != picture.size:
            raise PictureError(
                f"the mask {mask.file} is {wide}x{high} and {source} is {width}x{height}; give a mask of the same size"
            )
        found |= mask.hole
    for left, top, wide, high in boxes:
        if left + wide > width or top + high > height:
            raise PictureError(f"the box {left},{top},{wide}x{high} is not inside {source}, which is {width}x{height}")
        found[..., top : top + high, left : left + wide] = True
    if mask is None and not boxes:
        if picture.alpha is None:
            raise PictureError(f"nothing says where the hole of {source} is; give --mask, --box or transparent pixels")
        found |= picture.alpha[None] < 0.5
        picture = replace(picture, alpha=None)
    elif picture.alpha is not None:
        alpha = torch.where(found[0], 1.0, picture.alpha)
        picture = replace(picture, alpha=None if bool((alpha == 1).all()) else alpha)
    if not found.any():
        what = f"the mask {mask.file} is black all over" if mask else f"{source} has no transparent pixel"
        raise PictureError(f"{what}, so there is nothing to make; mark what is to be made")
    if found.all():
        raise PictureError(f"all of {source} would be made anew, with nothing to go by; leave some of it as it is")
    return found, picture


def check_bands(sides: Sequence[int], to: tuple[int, int] | None) -> None:
    """ConfigError where both or neither of pixels and a size are asked for."""
    if (to is not None) == any(sides):
        raise ConfigError("give --to or pixels for at least one of --left, --right, --top, --bottom, and not both")


def bands(source: Path, size: tuple[int, int], sides: Box, to: tuple[int, int] | None) -> Box:
    """Pixels to add at the left, right, top and bottom.  PictureError where a size is asked for that is smaller."""
    if to is None:
        return sides
    wide, high = to[0] - size[0], to[1] - size[1]
    if min(wide, high) < 0 or not (wide or high):
        raise PictureError(f"{source} is {size[0]}x{size[1]} and {to[0]}x{to[1]} is no larger; give a larger size")
    return wide // 2, wide - wide // 2, high // 2, high - high // 2
