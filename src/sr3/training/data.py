"""Training crops: random squares of a set of pictures, cut on the training device."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.collection import DataError, Pictures
from sr3.picture.resize import cubic
from sr3.random import uniforms

Kernel = Literal["lanczos", "bicubic"]
"""What crops are resampled by: Lanczos' kernel of three lobes, or Keys' cubic (a = -0.5) as in `sr3.picture.resize`."""


def reduction(size: int, side: int, kernel: Kernel = "lanczos") -> Tensor:
    """The matrix that resamples `size` samples to `side` of them: [side, size].

    Antialiased: the kernel is stretched by size / side where that is above 1.  Rows sum to 1; taps beyond the border
    are dropped.  What Pillow's LANCZOS and BICUBIC compute, without their rounding.
    """
    scale = size / side
    centres = (torch.arange(side, dtype=torch.float64)[:, None] + 0.5) * scale
    x = (torch.arange(size, dtype=torch.float64) + 0.5 - centres) / max(scale, 1.0)
    lanczos = torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)
    weights = lanczos if kernel == "lanczos" else cubic(x)
    return (weights / weights.sum(1, keepdim=True)).float()


class Crops:
    """Random square crops of a set of pictures, flipped, turned and resampled, made on the training device.

    Crop n is a function of (seed, n) alone: n counts the pictures seen, so a resumed run goes on where it stopped and
    any number of processes share one order.  A picture is drawn in proportion to its area, since a larger one holds
    more different crops.  All pictures lie in one uint8 tensor, so that on a GPU nothing waits for the host.

    side: of the crops.
    turn: also upside down and by quarter turns, as photographs of textures allow; faces only left and right.
    zoom: the square that is cut has a side of (low … high) * side, uniform in sixteenths of `side`, at most what the
        picture has, and is resampled to `side`.  High beyond what the pictures have gives the whole picture often.
    resample: the kernel; "bicubic" makes of a whole picture what `sr3.picture.resize.shrink` does.
    DataError for a picture smaller than the smallest square that is cut from large ones, or than `side`.
    """

    ZOOM_STEPS = 16

    def __init__(
        self,
        pictures: Pictures,
        side: int,
        *,
        seed: int = 0,
        turn: bool = True,
        zoom: tuple[float, float] = (1.0, 1.0),
        resample: Kernel = "lanczos",
        device: torch.device | str = "cpu",
    ):
        if not 0 < zoom[0] <= zoom[1]:
            raise DataError(f"the zoom {zoom[0]:g} to {zoom[1]:g} is no range; give two positive numbers, low and high")
        self.zoom = tuple(max(1, round(z * self.ZOOM_STEPS)) for z in zoom)
        smallest = self._cut(np.array(min(self.zoom[0], self.ZOOM_STEPS)), side)
        if short := [n for n, p in zip(pictures.names, pictures.pixels, strict=True) if min(p.shape[:2]) < smallest]:
            raise DataError(f"{short[0]} has a side below {smallest} pixels, the size of the crops")
        self.side, self.seed, self.turn, self.device = side, seed, turn, torch.device(device)
        self.resample: Kernel = resample
        shapes = np.array([p.shape[:2] for p in pictures.pixels], dtype=np.int64)
        areas = shapes.prod(axis=1)
        self.heights, self.widths = shapes[:, 0], shapes[:, 1]
        self.starts = np.concatenate([[0], np.cumsum(areas)[:-1]])
        self.shares = np.cumsum(areas) / areas.sum()
        flat = np.concatenate([p.reshape(-1, 3) for p in pictures.pixels])
        self.flat = torch.from_numpy(flat).to(self.device)
        self.matrices: dict[int, Tensor] = {}

    def _cut(self, steps: np.ndarray, side: int) -> np.ndarray:
        return np.maximum(1, steps * side // self.ZOOM_STEPS)

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """Crops number `indices`: float32 [B, 3, side, side] in [-1, 1]."""
        draws = uniforms(self.seed, indices, 7)
        chosen = np.searchsorted(self.shares, draws[:, 0], side="right").clip(max=len(self.shares) - 1)
        low, high = self.zoom
        wanted = self._cut(low + (draws[:, 6] * (high - low + 1)).astype(np.int64), self.side)
        whole = np.minimum(self.heights[chosen], self.widths[chosen])
        cut = np.minimum(wanted, whole)
        top = (draws[:, 1] * (self.heights[chosen] - cut + 1)).astype(np.int64)
        left = (draws[:, 2] * (self.widths[chosen] - cut + 1)).astype(np.int64)
        width = self.widths[chosen]
        # a pixel of the crop is at start + row * along_rows + column * along_columns: flips and turns are only signs
        down, right = width.copy(), np.ones_like(width)
        first = self.starts[chosen] + top * width + left
        flip = draws[:, 3] < 0.5
        first, right = np.where(flip, first + (cut - 1) * right, first), np.where(flip, -right, right)
        if self.turn:
            flip = draws[:, 4] < 0.5
            first, down = np.where(flip, first + (cut - 1) * down, first), np.where(flip, -down, down)
        turn = (draws[:, 5] < 0.5) & self.turn
        rows, columns = np.where(turn, right, down), np.where(turn, down, right)
        first, rows, columns = (torch.from_numpy(a).to(self.device) for a in (first, rows, columns))
        # all are gathered as large as the largest; what lies beyond a smaller one repeats its edge and is never used
        steps = torch.arange(int(cut.max()), device=self.device)
        inside = torch.minimum(steps[None], torch.from_numpy(cut - 1).to(self.device)[:, None])
        at = first[:, None, None] + rows[:, None, None] * inside[:, :, None] + columns[:, None, None] * inside[:, None]
        square = self.flat[at].permute(0, 3, 1, 2).float() / 127.5 - 1
        if (cut == self.side).all():
            return square.contiguous()
        matrix = torch.stack([self._matrix(int(c), len(steps)) for c in cut])[:, None]
        return (matrix @ square @ matrix.transpose(-1, -2)).clamp(-1, 1).contiguous()

    def _matrix(self, cut: int, columns: int) -> Tensor:
        """`reduction` of the first `cut` of so many columns, on the device."""
        if cut not in self.matrices:
            self.matrices[cut] = reduction(cut, self.side, self.resample).to(self.device)
        return F.pad(self.matrices[cut], (0, columns - cut))
