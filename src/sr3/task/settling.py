"""The end of a walk, visited until it agrees and is in range: everywhere once, and then only where it does not yet.

A projection changes what is around a pixel and little else, so a place that agrees is not visited again because
another, far off, does not.  That is what the same picture in bands or within a larger one would have of it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.windows import blocks

Grid = tuple[tuple[int, int], tuple[int, int]]
"""(step, offset) of rows and of columns: where a part of a picture may begin and end."""

Visit = Callable[[Tensor, tuple[slice, slice], int], tuple[Tensor, Tensor]]
"""(x [1, C, H, W], the pixels (rows, columns) given that it is of, how many visits there were) -> x as it should be,
and bool [h, w] of the pixels given, where it should be visited once more."""

_CELL, _GROUP = 16, 8
"""Pixels given of a cell's side, which is visited or not, and cells of the side of what is visited at once: of a
projection nothing is left beyond a cell, and so neighbours of those to be visited are visited too."""

_MUCH = 0.4
"""From which share of the cells on all are visited at once."""


class _Part(NamedTuple):
    """Cells (rows, columns), the pixels given that they are, and those around them that must be seen."""

    cells: tuple[slice, slice]
    core: tuple[slice, slice]
    seen: tuple[slice, slice]


def settled(made: Tensor, size: tuple[int, int], grid: Grid, visits: int, visit: Visit) -> Tensor:
    """`made` [1, C, H, W] after so many visits, or fewer, each to where the one before says, and its neighbours.

    size: (height, width) of the picture given, of which H and W are a multiple.
    """
    cells, factor = _Cells(grid, size), made.shape[-1] // size[1]
    active = torch.ones(cells.shape, dtype=torch.bool)
    for number in range(visits):
        # on an accelerator a large part takes no longer than many small ones
        much = made.device.type != "cpu" or active.float().mean().item() > _MUCH
        changes: list[Tensor] = []
        parts, again = [cells.all] if much else list(cells.parts(active)), torch.zeros_like(active)
        for part in parts:  # all see the picture as it was
            held, far = visit(made[(..., *times(part.seen, factor))], part.seen, number)
            inner = within(part.core, part.seen)
            again[part.cells] = cells.any(far[inner], part)
            changes.append(held[(..., *times(inner, factor))])
        for part, held in zip(parts, changes, strict=True):
            if part is cells.all and active.all():
                made = held
            else:
                cells.put(held, made[(..., *times(part.core, factor))], active, part, factor)
        active = F.max_pool2d((again & active).float()[None, None], 3, 1, 1)[0, 0] > 0
        if not active.any():
            break
    return made


def within(core: tuple[slice, slice], seen: tuple[slice, slice]) -> tuple[slice, slice]:
    """Where the core is in what is seen."""
    rows, columns = (slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True))
    return rows, columns


def times(parts: tuple[slice, slice], factor: int) -> tuple[slice, slice]:
    """The pixels of the result that those given become."""
    rows, columns = parts
    return slice(rows.start * factor, rows.stop * factor), slice(columns.start * factor, columns.stop * factor)


class _Cells:
    """The cells of a picture given, of (height, width): squares of `_CELL` pixels or, where a JPEG's units are larger,
    of one of these, from where units begin."""

    def __init__(self, grid: Grid, size: tuple[int, int]):
        self.edges: list[list[slice]] = []
        for (step, offset), side in zip(grid, size, strict=True):
            self.edges.append(blocks(slice(0, side), side, max(step, _CELL), offset % max(step, _CELL), 1))
        self.size = size
        self.shape = len(self.edges[0]), len(self.edges[1])
        whole = slice(0, size[0]), slice(0, size[1])
        self.all = _Part((slice(0, self.shape[0]), slice(0, self.shape[1])), whole, whole)

    def parts(self, active: Tensor) -> Iterator[_Part]:
        """What must be visited so that all active cells are."""
        for top in range(0, self.shape[0], _GROUP):
            for left in range(0, self.shape[1], _GROUP):
                found = active[top : top + _GROUP, left : left + _GROUP].nonzero()
                if len(found):
                    (up, first), (down, last) = found.amin(0).tolist(), found.amax(0).tolist()
                    yield self._part(slice(top + up, top + down + 1), slice(left + first, left + last + 1))

    def _part(self, rows: slice, columns: slice) -> _Part:
        core: list[slice] = []
        seen: list[slice] = []
        for edges, cells in zip(self.edges, (rows, columns), strict=True):
            core.append(slice(edges[cells.start].start, edges[cells.stop - 1].stop))
            seen.append(slice(edges[max(0, cells.start - 1)].start, edges[min(len(edges), cells.stop + 1) - 1].stop))
        return _Part((rows, columns), (core[0], core[1]), (seen[0], seen[1]))

    def any(self, far: Tensor, part: _Part) -> Tensor:
        """Whether any pixel of each of a part's cells is far, bool [h, w]."""
        most = far.cpu().to(torch.uint8)
        for axis in (0, 1):
            edges = self.edges[axis][part.cells[axis]]
            begin = edges[0].start
            most = torch.stack([most.narrow(axis, e.start - begin, e.stop - e.start).amax(axis) for e in edges], axis)
        return most > 0

    def put(self, held: Tensor, onto: Tensor, active: Tensor, part: _Part, factor: int) -> None:
        """Copy a part's pixels, `factor` times as many as those given, where cells are active."""
        rows, columns = (self.edges[axis][part.cells[axis]] for axis in (0, 1))
        wide = torch.tensor([factor * (e.stop - e.start) for e in columns])
        for row, edge in zip(active[part.cells], rows, strict=True):
            first, after = factor * (edge.start - rows[0].start), factor * (edge.stop - rows[0].start)
            old, new = onto[..., first:after, :], held[..., first:after, :]
            if row.all():
                old.copy_(new)
            elif row.any():
                old.copy_(torch.where(row.repeat_interleave(wide).to(old.device), new, old))
