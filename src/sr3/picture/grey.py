"""Grey pictures and the coloured ones that become them."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.picture import TOP, Picture
from sr3.picture.resize import resize

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
    # in bands, as each is a few copies of its part
    bands = zip(x.split(_BAND, dim=-2), grey.split(_BAND, dim=-2), strict=True)
    return torch.cat([_coloured(a, b, 2**bits - 1) for a, b in bands], dim=-2)


_BAND = 256
"""Rows."""


def _coloured(x: Tensor, grey: Tensor, top: int) -> Tensor:
    level, x = (grey + 1) * (top / 2), (x + 1) * (top / 2)
    level = level.round()
    colour = x - luminance(x)
    room = torch.where(colour > 0, top - level, level)
    share = (room / colour.abs().clamp(min=1e-6)).amin(1, keepdim=True).clamp(max=1)
    red, _, blue = (level + share * colour).round().clamp(0, top).split(1, dim=1)
    green = ((level - WEIGHTS[0] * red - WEIGHTS[2] * blue) / WEIGHTS[1]).round().clamp(0, top)
    return torch.cat([red, green, blue], dim=1) / (top / 2) - 1


RADIUS, SOFT = 1, 0.1
"""Of the windows in which colours follow the luminance, in small pixels; and the variance of luminance, in [-1, 1],
at which they follow half way.  `experiments/guided.py` has other values, which are better for photographs by less than
they are worse for faces."""


def guided(small: Tensor, grey: Tensor, large: Tensor) -> Tensor:
    """A small coloured picture [B, 3, h, w] enlarged, its colours led by a large luminance [B, 1, H, W]; in [-1, 1].

    grey: the large luminance as it was reduced, [B, 1, h, w].

    In small windows colour is nearly a line over luminance, C = a Y + b; He et al. (2013), eq. 5 and 8, and on the
    small picture as in He & Sun (2015).  The enlarged slopes a turn detail of the large luminance into detail of
    colour: C = up(C) + up(a) Y - up(a y), which is the bicubic enlargement where the luminance is plain, and keeps its
    luminance everywhere.
    """
    chroma = small - luminance(small)
    mean = _mean(grey)
    slope = _mean((_mean(grey * chroma) - mean * _mean(chroma)) / (_mean(grey * grey) - mean**2 + SOFT))
    size = (large.shape[-2], large.shape[-1])
    out = resize(small, size)
    for k in range(3):  # one after another, as large pictures fill the memory
        out[:, k : k + 1] += resize(slope[:, k : k + 1], size) * large - resize(slope[:, k : k + 1] * grey, size)
    return out.clamp_(-1, 1)


def _mean(x: Tensor) -> Tensor:
    """Over a window around each pixel, of what of it is inside."""
    return F.avg_pool2d(x, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)
