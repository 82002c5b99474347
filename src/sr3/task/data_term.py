"""Data terms: which small pictures agree with the one given, and which of them is nearest to a small picture.

A result x is held to what it is made of through its reduction A x, and A A⁺ = 1.  So a data term need only know small
pictures: with s the one that agrees and is nearest to A x, x + A⁺(s - A x) reduces to s, and only what A sees of x is
changed; the rest, which A does not see, stays as it was.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from sr3.picture.jpeg import BINS, JpegBins, cosines
from sr3.task.base import Restoration
from sr3.task.settling import Grid


@runtime_checkable
class Reduction(Restoration, Protocol):
    """A restoration of pictures that were made small: one that can be held to a data term."""

    def reduce(self, made: Tensor) -> Tensor:
        """A x, the linear part of what the world does, not rounded: [B, C, H, W] -> [B, C, h, w]."""
        ...


class DataTerm(Protocol):
    """Which small pictures agree with the one given."""

    @property
    def said(self) -> str:
        """What results are held to, for notes and progress."""
        ...

    @property
    def grid(self) -> Grid:
        """Where a part of a picture may begin and end, so that it agrees by itself where the whole does."""
        ...

    def cut(self, rows: slice, columns: slice) -> Self:
        """The term of a part of the picture given, whose edges are on the grid or the picture's."""
        ...

    def nearest(self, small: Tensor, given: Tensor, *, rounds: int = 1) -> Tensor:
        """Of the pictures that agree with `given` the nearest to `small`, all [B, C, h, w] in [-1, 1].

        rounds: of approximation, where it takes some; within a walk 1 is enough.
        """
        ...


@dataclass(frozen=True)
class Exact:
    """The picture given and no other: right for one that nothing but the reduction has happened to."""

    said: str = "the picture given, exactly"
    grid = ((1, 0), (1, 0))

    def cut(self, rows: slice, columns: slice) -> Self:
        return self

    def nearest(self, small: Tensor, given: Tensor, *, rounds: int = 1) -> Tensor:
        return given


BEYOND = 2.0
"""How many of the noise's standard deviations a coefficient may be off; 95 % of the noise's own are not."""


@dataclass(frozen=True)
class InBins:
    """The pictures that a JPEG file may have been made of: coefficients in its quantisation bins.

    A coefficient of the picture before it was compressed lay within half a step of the file's, and anywhere there with
    about the same right; the decoder shows the middle.  So the model chooses within the bin, and is held to its ends.

    sigma: white noise that was in the picture when it was compressed, in steps of 8 bits: the bins are wider by
        `BEYOND` times as much on either side.  JFIF's Y, Cb and Cr of independent noise have less than its sigma.
    """

    bins: JpegBins
    sigma: float = 0.0

    @property
    def said(self) -> str:
        return BINS + (f", and noise of sigma {self.sigma:g}" if self.sigma else "")

    @property
    def grid(self) -> Grid:
        return self.bins.grid

    def cut(self, rows: slice, columns: slice) -> Self:
        return replace(self, bins=self.bins.cut(rows, columns))

    def nearest(self, small: Tensor, given: Tensor, *, rounds: int = 1) -> Tensor:
        return self.bins.project(small, inset=1 - BEYOND * self.sigma, rounds=rounds)


@dataclass(frozen=True)
class Soft:
    """The pictures that differ from the one given by no more than white noise does.

    Where y = A x + n and n is white with standard deviation sigma, the coefficients of y - A x in any orthonormal basis
    are independent and of that deviation.  So A x agrees with y where in each 8 x 8 block no coefficient of the
    difference's DCT exceeds `BEYOND` sigma: a box, whose nearest point is had by clipping.  Unlike a bound on pixels or
    on the norm it holds the mean of a block, and so colours, eight times as tightly as a pixel; and it leaves alone
    what is inside, so that a model which took noise away has it not put back.  As sigma goes to 0 it becomes `Exact`.

    sigma: in steps of 8 bits; source: where that is from, said in brackets.
    """

    sigma: float
    source: str = "given"
    grid = ((8, 0), (8, 0))

    def cut(self, rows: slice, columns: slice) -> Self:
        return self

    @property
    def said(self) -> str:
        return f"the picture given, within noise of sigma {self.sigma:.3g} ({self.source})"

    def nearest(self, small: Tensor, given: Tensor, *, rounds: int = 1) -> Tensor:
        change, most = small - given, BEYOND * self.sigma / 127.5
        for rows, height in _parts(small.shape[-2]):
            for columns, width in _parts(small.shape[-1]):
                down, across = cosines(height).to(change), cosines(width).to(change)
                part = change[..., rows, columns].unflatten(-1, (-1, width)).unflatten(-3, (-1, height))
                blocks = down @ part.transpose(-3, -2) @ across.T
                part = (down.T @ blocks.clamp(-most, most) @ across).transpose(-3, -2)
                change[..., rows, columns] = part.flatten(-2).flatten(-3, -2)
        return given + change


def _parts(size: int) -> list[tuple[slice, int]]:
    """An axis as (where, block's side): whole blocks of 8, and one smaller block for what is left over."""
    whole = size // 8 * 8
    return [(slice(a, b), min(8, b - a)) for a, b in ((0, whole), (whole, size)) if b > a]
