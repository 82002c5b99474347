"""Windows: how a picture is cut into pieces that a network can take."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Window(NamedTuple):
    """One piece of a picture: the pixels a network is shown, and those of its answer that are kept.

    Both are (rows, columns) in the picture's own coordinates, so `picture[(..., *window.outer)]` cuts it out.
    """

    outer: tuple[slice, slice]
    core: tuple[slice, slice]

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core within the outer piece: `answer[(..., *window.inner)]` is what is kept."""
        rows, columns = (
            slice(core.start - outer.start, core.stop - outer.start)
            for core, outer in zip(self.core, self.outer, strict=True)
        )
        return rows, columns


def windows(size: tuple[int, int], tile: int, *, halo: int = 0, stride: int = 1, blend: int = 0) -> list[Window]:
    """Windows over a picture of `size` = (height, width), row by row.

    tile: the side of the largest core.  Cores are made as equal as they can be.
    halo: how many pixels the outer piece has at least on each side of the core, where the picture has them.
    stride: outer pieces start at multiples of it, and end at multiples of it or at the picture's border, so that a
        network which works on a coarse grid finds its grid, and the border, where the whole picture has them.
    blend: by how many pixels neighbouring cores overlap.  With 0 every pixel is in exactly one core.
    """
    if min(size) < 1 or tile < 1 or stride < 1 or halo < 0 or not 0 <= blend < tile:
        raise ValueError(
            f"cannot cut {size[0]}x{size[1]} pixels: tile ({tile}) and stride ({stride}) must be at least 1, "
            f"halo ({halo}) at least 0 and blend ({blend}) from 0 to less than a tile"
        )
    rows, columns = (_pieces(length, tile, halo, stride, blend) for length in size)
    return [Window(outer=(row[0], column[0]), core=(row[1], column[1])) for row in rows for column in columns]


def taper(window: Window, size: tuple[int, int], blend: int) -> Tensor:
    """The weight of a core's pixels, float32: 1 inside, a sine's square over the `blend` pixels next to neighbours.

    The ramps of two neighbours add up to 1; divide by the sum all the same, as three may meet where tiles are small.
    """
    rows, columns = (_ramp(core, length, blend) for core, length in zip(window.core, size, strict=True))
    return rows[:, None] * columns[None, :]


def _pieces(size: int, tile: int, halo: int, stride: int, blend: int) -> list[tuple[slice, slice]]:
    """(outer, core) along one axis."""
    count = max(1, math.ceil((size - blend) / (tile - blend)))
    pitch = min(tile - blend, math.ceil(math.ceil((size - blend) / count) / stride) * stride)
    pieces: list[tuple[slice, slice]] = []
    for start in range(0, max(1, size - blend), max(1, pitch)):
        stop = min(size, start + pitch + blend)
        first = max(0, start - halo) // stride * stride
        after = min(size, math.ceil((stop + halo) / stride) * stride)
        pieces.append((slice(first, after), slice(start, stop)))
    return pieces


def around(core: slice, size: int, halo: int, step: int = 1, offset: int = 0) -> slice:
    """The piece of an axis with at least `halo` pixels on each side of the core, where there are such.

    It begins and ends at offset + a multiple of step, or at the axis's ends.
    """
    first = (core.start - halo - offset) // step * step + offset
    after = -((offset - core.stop - halo) // step) * step + offset
    return slice(max(0, first), min(size, after))


def blocks(whole: slice, size: int, step: int, offset: int, length: int) -> list[slice]:
    """Pieces of an axis that follow one another, of about `length` and of whole steps, as `around` counts these."""
    pieces: list[slice] = []
    start = whole.start
    while start < whole.stop:
        stop = min(whole.stop, around(slice(start, start + max(1, length - step)), size, 0, step, offset).stop)
        stop = stop if stop > start else whole.stop
        pieces.append(slice(start, stop))
        start = stop
    return pieces


def _ramp(core: slice, size: int, blend: int) -> Tensor:
    weight = torch.ones(core.stop - core.start)
    rise = torch.sin(torch.pi / 2 * (torch.arange(blend) + 0.5) / max(1, blend)) ** 2
    if core.start > 0:
        weight[:blend] *= rise
    if core.stop < size:
        weight[len(weight) - blend :] *= rise.flip(0)
    return weight
