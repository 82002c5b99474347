"""What a JPEG file knows of its picture, as a convex set: each coefficient lies within half a step of the file's.

Many pictures make the same file; `project` finds one of them near a given picture.  The coder is T.81's with JFIF's
colours and chroma reduced by boxes, as libjpeg reduces it; linear here, without the coder's roundings to whole samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.jpeg_file import Colours, parse
from sr3.picture.jpeg_twin import join, split
from sr3.picture.picture import Picture, PictureError, shown
from sr3.picture.turn import TURNS, orientation, stored, upright
from sr3.picture.windows import blocks

BINS = "the JPEG file's quantisation bins"
"""What a picture is held to that is held to a file's."""

_APART = 10.0
"""By how many steps of 8 bits, root mean square, what was decoded from a JPEG file may lie outside its bins."""

_BAND = 1024
"""Rows that are compared at once."""

_CLOSE = 0.05
"""How far outside its bin a coefficient may stay when `project` ends, in steps of 8 bits."""

_STRIDE = 1.8
"""How many times as far as the bins each visit but the first goes: below 2 it converges, and sooner than with 1."""


@lru_cache(maxsize=8)
def cosines(size: int = 8) -> Tensor:
    """The orthonormal DCT-II of so many points, [size, size], float64; of 8 that of T.81, A.3.3."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * n[None] + 1) * n[:, None] / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def _to_ycc(rgb: Tensor) -> Tensor:
    """JFIF's Y, Cb and Cr of RGB [B, 3, H, W], all centred at 0."""
    r, g, b = rgb.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772, (r - y) / 1.402], dim=1)


def _to_rgb(ycc: Tensor) -> Tensor:
    """The inverse of `_to_ycc`."""
    y, cb, cr = ycc.unbind(1)
    r, b = y + 1.402 * cr, y + 1.772 * cb
    return torch.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], dim=1)


@dataclass(frozen=True)
class _Bin:
    """One component: pixels per sample down and across, its table [8, 8], and the file's coefficients in steps."""

    down: int
    across: int
    table: Tensor
    steps: Tensor

    @property
    def whole(self) -> tuple[int, int]:
        """Rows and columns of pixels of its blocks."""
        return len(self.steps) * 8 * self.down, self.steps.shape[1] * 8 * self.across

    def rows(self, size: int) -> Tensor:
        """For each row of whole blocks the picture's row that it repeats: the last sample, as libjpeg fills up."""
        whole = -(-size // self.down) * self.down
        filled = torch.arange(len(self.steps) * 8 * self.down)
        return torch.where(filled < whole, filled, whole - self.down + filled % self.down).clamp(max=size - 1)

    def columns(self, size: int) -> Tensor:
        """For each column of whole blocks the picture's column that it repeats: the last pixel."""
        return torch.arange(self.steps.shape[1] * 8 * self.across).clamp(max=size - 1)

    def values(self, filled: Tensor) -> Tensor:
        """[B, H, W] of whole blocks -> coefficients [B, rows, columns, 8, 8], not divided by the table."""
        d = cosines().to(filled)
        return d @ split(F.avg_pool2d(filled[:, None], (self.down, self.across))[:, 0]) @ d.T

    def nearest(self, values: Tensor, inset: float) -> Tensor:
        """The nearest coefficients whose distance from the bin's ends is at least `inset`, or 3/8 of the bin."""
        table = self.table.to(values)
        reach = torch.maximum(table / 2 - inset, table / 8)
        middle = self.steps.to(values) * table
        return torch.maximum(torch.minimum(values, middle + reach), middle - reach)


@dataclass(frozen=True)
class JpegBins:
    """The set of pictures that a JPEG file may have been made of.

    size: (width, height) of the upright picture.
    turned: EXIF's orientation, 1 to 8: pictures here are upright, as `sr3.picture.image.read` gives them.
    """

    size: tuple[int, int]
    colours: Colours
    planes: tuple[_Bin, ...]
    turned: int = 1

    @classmethod
    def of(cls, file: str | Path | bytes) -> "JpegBins":
        """The set of a file, by its name or its bytes.  PictureError where it is no JPEG of 8 bits, grey or colour."""
        name = "the file" if isinstance(file, bytes) else shown(file)
        try:
            data = file if isinstance(file, bytes) else Path(file).read_bytes()
        except OSError as error:
            raise PictureError(f"{name} cannot be read ({error.strerror}); give the name of a JPEG file") from error
        found = parse(data, name)
        down, across = max(p.down for p in found.planes), max(p.across for p in found.planes)
        planes = tuple(
            _Bin(
                down // p.down,
                across // p.across,
                torch.from_numpy(p.table).float(),
                torch.from_numpy(p.coefficients),
            )
            for p in found.planes
        )
        turned, (width, height) = orientation(data), found.size
        return cls((height, width) if turned > 4 else (width, height), found.colours, planes, turned)

    def checked(self, picture: Picture) -> "JpegBins":
        """Themselves; PictureError where the file does not look like the picture that was read from it."""
        if self.size != picture.size:
            raise PictureError(
                f"the file's coefficients are of {self.size[0]}x{self.size[1]} pixels; give a plain JPEG"
            )
        # of luma, or red, as a decoder smooths chroma that was halved, and leaves its bins where colours are strong
        total, count = 0.0, 0
        step, offset = self.grid[0]
        for rows in blocks(slice(0, picture.size[1]), picture.size[1], step, offset, _BAND):
            part = self.cut(rows, slice(0, picture.size[0]))
            found, first = part.forward(picture.rgb[..., rows, :])[0], part.planes[0]
            beyond = ((found - first.steps).abs() - 0.5).clamp(min=0) * first.table
            total, count = total + beyond.double().square().sum().item(), count + beyond.numel()
        apart = math.sqrt(total / count)
        if apart > _APART:
            raise PictureError(
                f"the file's coefficients are {apart:.0f} steps of 8 bits from its pixels; give a plain JPEG"
            )
        return self

    @property
    def grid(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(step, offset) of the rows and of the columns of the upright picture at which units of blocks begin.

        Of a picture that EXIF turns over, units are counted from the other end.
        """
        transposed, *flips = TURNS[self.turned]
        steps = [8 * max(bin_.down for bin_ in self.planes), 8 * max(bin_.across for bin_ in self.planes)]
        if transposed:
            steps.reverse()
        rows, columns = (
            (step, size % step if flip else 0)
            for step, size, flip in zip(steps, (self.size[1], self.size[0]), flips, strict=True)
        )
        return rows, columns

    def cut(self, rows: slice, columns: slice) -> "JpegBins":
        """The set of a part of the pictures, whose edges are on the grid or the picture's; ValueError where not."""
        transposed, *flips = TURNS[self.turned]
        parts: list[slice] = []
        for part, size, flip, (step, offset) in zip(
            (rows, columns), (self.size[1], self.size[0]), flips, self.grid, strict=True
        ):
            if any(edge not in (0, size) and edge % step != offset % step for edge in (part.start, part.stop)):
                raise ValueError(f"a part from {part.start} to {part.stop} cuts the file's blocks")
            parts.append(slice(size - part.stop, size - part.start) if flip else part)
        if transposed:
            parts.reverse()
        planes = tuple(
            replace(
                bin_,
                steps=bin_.steps[
                    parts[0].start // (8 * bin_.down) : -(-parts[0].stop // (8 * bin_.down)),
                    parts[1].start // (8 * bin_.across) : -(-parts[1].stop // (8 * bin_.across)),
                ],
            )
            for bin_ in self.planes
        )
        return replace(self, size=(columns.stop - columns.start, rows.stop - rows.start), planes=planes)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Each component's coefficients in steps of its table, [B, rows, columns, 8, 8], not rounded.

        x: upright pictures [B, 1 or 3, H, W] in [-1, 1] of the file's size; ValueError for another.
        """
        planes = self._planes(x)
        return [
            bin_.values(_filled(plane, bin_)) / bin_.table.to(plane)
            for bin_, plane in zip(self.planes, planes, strict=True)
        ]

    def agree(self, x: Tensor) -> float:
        """The share of coefficients of pictures as in `forward` that round to the file's, over all components."""
        inside = [
            ((found - bin_.steps.to(found)).abs() <= 0.5).flatten()
            for found, bin_ in zip(self.forward(x), self.planes, strict=True)
        ]
        return torch.cat(inside).double().mean().item()

    def project(self, x: Tensor, *, inset: float = 1.0, rounds: int = 100) -> Tensor:
        """The picture of the set near x, with values in [-1, 1]: [B, 1 or 3, H, W] -> the same.

        Without values beyond the range, and with sides of whole blocks, it is the nearest in YCbCr, found at once.
        Else the coefficients' bins, the range, and what libjpeg fills incomplete blocks with are three convex sets
        that are visited in turn, until no coefficient is more than 0.05 steps of 8 bits outside, or `rounds` times.

        inset: how far inside their bins coefficients end, in steps of 8 bits and at most 3/8 of a bin, so that
            rounding the picture to 8 bits and the coder's own roundings do not throw them out again.  Below 0: how
            far outside they may be.
        rounds: 1 is enough within a walk; the end of one deserves them all.
        """
        for n in range(rounds):
            made, outside = self._inside(x, inset, _STRIDE if n else 1.0)
            x = made.clamp(-1, 1)
            if outside <= _CLOSE:
                break
        return x

    def _inside(self, x: Tensor, inset: float, stride: float) -> tuple[Tensor, float]:
        """One visit to the bins, and how far outside x was, in steps of 8 bits."""
        planes, outside = self._planes(x), 0.0
        for n, bin_ in enumerate(self.planes):
            filled = _filled(planes[n], bin_)
            values = bin_.values(filled)
            change = bin_.nearest(values, inset) - values
            outside = max(outside, change.abs().max().item())
            d = cosines().to(change)
            # boxes of one mean are changed alike: the pseudo-inverse of the mean
            moved = join(d.T @ change @ d).repeat_interleave(bin_.down, -2).repeat_interleave(bin_.across, -1)
            planes[n] = planes[n] + stride * _folded(moved, bin_, planes[n].shape[-2:])
        return self._picture(planes, x.shape[1]), outside

    def _planes(self, x: Tensor) -> list[Tensor]:
        """The components [B, H, W] of upright pictures, as stored: 255 for the whole range, centred at 0."""
        width, height = self.size
        if x.ndim != 4 or x.shape[1] not in (1, 3) or x.shape[-2:] != (height, width):
            raise ValueError(
                f"these pictures are {list(x.shape)}, and the JPEG file's are [B, 1 or 3, {height}, {width}]"
            )
        x = stored(x * 127.5 - 0.5, self.turned)  # 8-bit samples less 128
        if self.colours == "grey":
            return [x[:, 0] if x.shape[1] == 1 else _to_ycc(x)[:, 0]]
        x = x.expand(-1, 3, -1, -1)
        return list((x if self.colours == "rgb" else _to_ycc(x)).unbind(1))

    def _picture(self, planes: Sequence[Tensor], channels: int) -> Tensor:
        """The inverse of `_planes`; a grey file's pictures are grey, and a colour file's have colours."""
        x = torch.stack(list(planes), dim=1)
        if self.colours == "ycc":
            x = _to_rgb(x)
        x = x.expand(-1, max(channels, len(planes)), -1, -1)
        return (upright(x, self.turned) + 0.5) / 127.5


def _filled(plane: Tensor, bin_: _Bin) -> Tensor:
    """A plane [B, H, W] with rows and columns repeated up to whole blocks."""
    if plane.shape[-2:] == bin_.whole:
        return plane
    rows, columns = bin_.rows(plane.shape[-2]), bin_.columns(plane.shape[-1])
    return plane[:, rows.to(plane.device)][:, :, columns.to(plane.device)]


def _folded(filled: Tensor, bin_: _Bin, size: Sequence[int]) -> Tensor:
    """The plane that is nearest to a filled one when it is filled itself: means over what repeats one pixel."""
    if tuple(size) == bin_.whole:
        return filled
    for axis, index in ((-2, bin_.rows(size[0])), (-1, bin_.columns(size[1]))):
        count = torch.bincount(index, minlength=size[axis]).to(filled)
        shape = [*filled.shape]
        shape[axis] = size[axis]
        total = filled.new_zeros(shape).index_add_(axis, index.to(filled.device), filled)
        filled = total / (count[:, None] if axis == -2 else count)
    return filled
