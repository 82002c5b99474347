"""Grey pictures and the coloured ones that become them."""

from dataclasses import replace

import torch
from torch import Tensor

from sr3.picture.picture import TOP, Picture

WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue in luminance: BT.601's, on the values as they are stored, as JPEG and Pillow's mode L have."""


def luminance(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W], of the same range."""
    r, g, b = x.split(1, dim=1)
    return WEIGHTS[0] * r + WEIGHTS[1] * g + WEIGHTS[2] * b


def as_grey(picture: Picture) -> Picture:
    """A picture without its colours, in whole samples of its own depth."""
    if len(picture.pixels) == 1:
        return picture
    half = TOP[picture.bits] / 2
    return replace(picture, pixels=((luminance(picture.pixels[None])[0] + 1) * half).round() / half - 1)


def coloured(x: Tensor, grey: Tensor, bits: int = 8) -> Tensor:
    """The colours of x [B, 3, H, W] at the luminance of `grey` [B, 1, H, W], as a file of so many bits holds them.

    Both in [-1, 1], grey in whole samples of that depth.  The result, made grey again and rounded, is `grey`, sample
    for sample: colours are drawn towards grey where they would leave the range, red and blue are rounded, and green is
    chosen for them, which leaves less than half a sample.
    """
    top = 2**bits - 1
    level, x = (grey + 1) * (top / 2), (x + 1) * (top / 2)
    level = level.round()
    colour = x - luminance(x)
    room = torch.where(colour > 0, top - level, level)
    share = (room / colour.abs().clamp(min=1e-6)).amin(1, keepdim=True).clamp(max=1)
    red, _, blue = (level + share * colour).round().clamp(0, top).split(1, dim=1)
    green = ((level - WEIGHTS[0] * red - WEIGHTS[2] * blue) / WEIGHTS[1]).round().clamp(0, top)
    return torch.cat([red, green, blue], dim=1) / (top / 2) - 1
