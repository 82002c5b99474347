"""Pictures resampled some rows at a time: what `sr3.picture.resize.resize` makes of all of them at once."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sr3.picture.resize import cubic, resize

LOBES = 2
"""How far Keys' cubic reaches."""


def seen_by(rows: slice, size: int, side: int) -> slice:
    """Of an axis of `size` pixels, those that some pixels of the `side` which it is resampled to are made of."""
    scale = size / side
    far = LOBES * max(scale, 1.0)
    first, last = (rows.start + 0.5) * scale - far, (rows.stop - 0.5) * scale + far
    return slice(max(0, math.floor(first - 0.5)), min(size, math.ceil(last + 0.5)))


def weights(size: int, side: int, rows: slice, seen: slice, kernel: Callable[[Tensor], Tensor] = cubic) -> Tensor:
    """What some pixels of the `side` that an axis of `size` is resampled to are made of, [rows, seen], float64.

    Antialiased: the kernel is stretched by size / side where that is above 1.  Rows sum to 1; taps beyond the border
    are dropped.
    """
    scale = size / side
    centres = (torch.arange(rows.start, rows.stop, dtype=torch.float64)[:, None] + 0.5) * scale
    places = torch.arange(seen.start, seen.stop, dtype=torch.float64) + 0.5
    found = kernel((places - centres) / max(scale, 1.0))
    return found / found.sum(1, keepdim=True)


def resampled(x: Tensor, start: int, rows: slice, have: tuple[int, int], want: tuple[int, int]) -> Tensor:
    """Some rows of a picture that is resampled by antialiased bicubic, [C, rows, W'].

    x: [C, n, W] of its own rows, from number `start` on, all that `seen_by` names among them.
    have, want: its (height, width), and the size it is resampled to.
    """
    seen = seen_by(rows, have[0], want[0])
    part = x[:, seen.start - start : seen.stop - start]
    if have[1] != want[1]:
        part = resize(part[None], (part.shape[1], want[1]))[0]
    return weights(have[0], want[0], rows, seen).to(part) @ part


class Resampling:
    """Rows that come from the top down, and each as soon as it can be made of them.

    have, want: (height, width) of what comes and of what is made.
    """

    def __init__(self, have: tuple[int, int], want: tuple[int, int]):
        self.have, self.want = have, want
        self.kept, self.start, self.made = torch.empty(0), 0, 0

    def __call__(self, rows: Tensor) -> Tensor:
        """The next rows [C, n, W]; those that can be made now, [C, m, W']."""
        if self.have == self.want:
            return rows
        self.kept = torch.cat([self.kept, rows], 1) if len(self.kept) else rows
        come, high = self.start + self.kept.shape[1], self.want[0]
        ready = self.made
        while ready < high and seen_by(slice(ready, ready + 1), self.have[0], high).stop <= come:
            ready += 1
        if ready == self.made:
            return rows.new_empty(len(rows), 0, self.want[1])
        done = resampled(self.kept, self.start, slice(self.made, ready), self.have, self.want)
        self.made = ready
        if ready < high:
            first = seen_by(slice(ready, ready + 1), self.have[0], high).start
            self.kept, self.start = self.kept[:, first - self.start :].clone(), first
        return done
