"""Holes that lie apart in a picture: windows around them that do not overlap."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

Window = tuple[slice, slice]
"""Rows and columns."""

_FINE, _CELLS = 8, 256
"""The least side of a cell in pixels, and how many there are along a side at most: what is nearer is not told apart."""


def apart(mask: Tensor, around: Callable[[slice, slice], Window]) -> list[Window]:
    """Windows around the holes of a mask [H, W], True in a hole: in each the whole of those that it meets, and no two
    windows overlap.  From the top left on; none for a mask without a hole.

    around: the window of a hole's rows and columns, which holds them.  Where two would overlap, one is made for both.
    """
    holes = mask.numpy()
    cell = max(_FINE, -(-max(mask.shape) // _CELLS))
    boxes = _patches(F.max_pool2d(mask[None].float(), cell, ceil_mode=True)[0].numpy() > 0)
    while True:
        windows = [around(*_tight(holes, rows, columns, cell)) for rows, columns in boxes]
        seen = np.zeros([-(-side // cell) for side in mask.shape], dtype=bool)
        for rows, columns in windows:
            seen[rows.start // cell : -(-rows.stop // cell), columns.start // cell : -(-columns.stop // cell)] = True
        joined = _patches(seen)
        if len(joined) == len(windows):
            return sorted(windows, key=lambda window: (window[0].start, window[1].start))
        boxes = joined


def _tight(holes: "np.ndarray[Any, Any]", rows: slice, columns: slice, cell: int) -> Window:
    """The rows and columns of the hole within a box of cells."""
    top, left = rows.start * cell, columns.start * cell
    part = holes[top : rows.stop * cell, left : columns.stop * cell]
    down, across = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
    return (
        slice(top + int(down[0]), top + int(down[-1]) + 1),
        slice(left + int(across[0]), left + int(across[-1]) + 1),
    )


def _patches(cells: "np.ndarray[Any, Any]") -> list[Window]:
    """The boxes around the patches of cells [H, W] that are True and touch, also at corners."""
    left = np.pad(cells, 1)
    found: list[Window] = []
    for row, column in np.argwhere(left).tolist():
        if not left[row, column]:
            continue
        left[row, column] = False
        edge, own = [(row, column)], [(row, column)]
        while edge:
            y, x = edge.pop()
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if left[near]:
                    left[near] = False
                    edge.append(near)
                    own.append(near)
        down, across = zip(*own, strict=True)
        found.append((slice(min(down) - 1, max(down)), slice(min(across) - 1, max(across))))
    return found
