"""Training crops: random squares of a set of pictures, cut on the training device."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sr3.picture.collection import DataError, Pictures
from sr3.picture.grey import luminance
from sr3.picture.resize import cubic
from sr3.picture.rows import weights
from sr3.random import uniforms

Kernel = Literal["lanczos", "bicubic"]
"""What crops are resampled by: Lanczos' kernel of three lobes, or Keys' cubic (a = -0.5) as in `sr3.picture.resize`."""


def reduction(size: int, side: int, kernel: Kernel = "lanczos") -> Tensor:
    """The matrix that resamples `size` samples to `side` of them: [side, size].

    What Pillow's LANCZOS and BICUBIC compute, without their rounding; see `sr3.picture.rows.weights`.
    """
    return weights(size, side, slice(0, side), slice(0, size), lanczos if kernel == "lanczos" else cubic).float()


def lanczos(x: Tensor) -> Tensor:
    """Lanczos' kernel of three lobes (Duchon 1979), of any shape; 0 beyond 3."""
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


_FINE = 2**24
"""Steps of the numbers that say in which light a crop is."""


class Places(NamedTuple):
    """Where the crops of one batch lie, found on the host and sent to the device in one copy."""

    numbers: Tensor
    """int64 [B, 9]: first pixel, step along rows, step along columns, last index, which matrix, which class, and three
    for the colours, uniform from 0 to `_FINE`."""
    largest: int
    plain: bool
    """Cut at the size that is wanted: nothing to resample."""


def lit(x: Tensor, by: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] in another light.

    by: [B, 3], logarithms of what brightness, saturation and the ratio of red to blue are multiplied by.
    """
    bright, strong, warm = by.float().exp()[:, :, None, None, None].unbind(1)
    picture = (x + 1) / 2
    grey = luminance(picture)
    gains = bright * torch.cat([warm.sqrt(), torch.ones_like(warm), warm.rsqrt()], 1)
    return ((grey + strong * (picture - grey)) * gains).clamp(0, 1) * 2 - 1


class Crops:
    """Random square crops of a set of pictures, flipped, turned and resampled, made on the training device.

    Crop n is a function of (seed, n) alone: n counts the pictures seen, so a resumed run goes on where it stopped and
    any number of processes share one order.  A picture is drawn in proportion to how many crops of the largest size fit
    into it, as a larger one holds more different ones; where that is the whole picture, all alike.  All pictures lie in
    one uint8 tensor, and so do the matrices of all sizes that can be cut, so that on a GPU nothing waits for the host.

    side: of the crops.
    turn: also upside down and by quarter turns, as photographs of textures allow; faces only left and right.
    zoom: the square that is cut has a side of (low … high) * side, uniform in sixteenths of `side`, at most what the
        picture has, and is resampled to `side`.  High beyond what the pictures have gives the whole picture often.
    labels: the class of each picture, where there are classes; a crop is of its picture's.
    colour: how far the light may differ from the picture's: brightness, saturation and the ratio of red to blue are
        each multiplied by exp(u * colour), u uniform from -1 to 1; 0: not at all.
    resample: the kernel; "bicubic" makes of a whole picture what `sr3.picture.resize.shrink` does.
    DataError for a picture smaller than the smallest square that is cut from large ones, or than `side`.
    """

    ZOOM_STEPS = 16
    ZOOM_MOST = 1000
    TABLE, GATHERED = 2**26, 2**25
    """Numbers in the table of all matrices, and pixels of a batch, beyond which there is no table, and no batch."""

    def __init__(
        self,
        pictures: Pictures,
        side: int,
        *,
        seed: int = 0,
        turn: bool = True,
        zoom: tuple[float, float] = (1.0, 1.0),
        colour: float = 0.0,
        resample: Kernel = "lanczos",
        labels: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ):
        low, high = self._steps(zoom)
        self.zoom = (low, high)
        self.side, self.seed, self.turn, self.device = side, seed, turn, torch.device(device)
        self.colour = colour
        smallest = self.smallest(side, zoom)
        if short := [n for n, p in zip(pictures.names, pictures.pixels, strict=True) if min(p.shape[:2]) < smallest]:
            raise DataError(f"{short[0]} has a side below {smallest} pixels, the size of the crops")
        self.names = list(pictures.names)
        self.labelled = labels is not None
        self.labels = np.array(labels if labels is not None else [0] * len(pictures), dtype=np.int64)
        if len(self.labels) != len(pictures):
            raise DataError(f"there are {len(self.labels)} labels for {len(pictures)} pictures; give each one")
        shapes = np.array([p.shape[:2] for p in pictures.pixels], dtype=np.int64)
        areas = shapes.prod(axis=1)
        self.heights, self.widths = shapes[:, 0], shapes[:, 1]
        self.starts = np.concatenate([[0], np.cumsum(areas)[:-1]])
        squares = np.minimum(self._cut(np.array(high)), shapes.min(axis=1)) ** 2
        worth = areas if (squares == squares[0]).all() else areas / squares
        self.shares = np.cumsum(worth) / worth.sum()
        flat = np.concatenate([p.reshape(-1, 3) for p in pictures.pixels])
        self.flat = torch.from_numpy(flat).to(self.device)
        wanted, whole = self._cut(np.arange(low, high + 1)), np.unique(shapes.min(axis=1))
        self.sizes = np.unique(np.minimum(wanted[:, None], whole[None]))
        self.table: Tensor | None = None
        self._one = lru_cache(64)(lambda size: reduction(size, side, resample).to(self.device))
        if len(self.sizes) * side * int(self.sizes.max()) <= self.TABLE:
            table = torch.zeros(len(self.sizes), side, int(self.sizes.max()))
            for row, size in enumerate(self.sizes.tolist()):
                table[row, :, :size] = reduction(size, side, resample)
            self.table = table.to(self.device)

    @classmethod
    def smallest(cls, side: int, zoom: tuple[float, float]) -> int:
        """Pixels that each side of a picture must have."""
        return max(1, min(cls._steps(zoom)[0], cls.ZOOM_STEPS) * side // cls.ZOOM_STEPS)

    @classmethod
    def _steps(cls, zoom: tuple[float, float]) -> tuple[int, int]:
        if not 0 < zoom[0] <= zoom[1] <= cls.ZOOM_MOST:
            raise DataError(
                f"the zoom {zoom[0]:g} to {zoom[1]:g} is no range; give two positive numbers, low and high, "
                f"up to {cls.ZOOM_MOST}"
            )
        return max(1, round(zoom[0] * cls.ZOOM_STEPS)), max(1, round(zoom[1] * cls.ZOOM_STEPS))

    def _cut(self, steps: np.ndarray) -> np.ndarray:
        return np.maximum(1, steps * self.side // self.ZOOM_STEPS)

    def draw(self, indices: Sequence[int]) -> np.ndarray:
        """Where crops number `indices` lie, and in which light: int64 [B, 9], the rows of `Places`."""
        low, high = self.zoom
        draws = uniforms(self.seed, indices, 10)
        chosen = np.searchsorted(self.shares, draws[:, 0], side="right").clip(max=len(self.shares) - 1)
        height, width = self.heights[chosen], self.widths[chosen]
        wanted = self._cut(low + (draws[:, 6] * (high - low + 1)).astype(np.int64))
        cut = np.minimum(wanted, np.minimum(height, width))
        top, left = ((draws[:, k] * (room - cut + 1)).astype(np.int64) for k, room in ((1, height), (2, width)))
        # a pixel of the crop is at first + row * down + column * right: flips and turns are only signs
        first, down, right = self.starts[chosen] + top * width + left, width, np.ones_like(width)
        mirror = draws[:, 3] < 0.5
        first, right = first + mirror * (cut - 1), np.where(mirror, -1, right)
        mirror = (draws[:, 4] < 0.5) & self.turn
        first, down = first + mirror * (cut - 1) * width, np.where(mirror, -down, down)
        turn = (draws[:, 5] < 0.5) & self.turn
        rows, columns = np.where(turn, right, down), np.where(turn, down, right)
        which = np.searchsorted(self.sizes, cut)
        light = (draws[:, 7:] * _FINE).astype(np.int64)
        return np.column_stack([first, rows, columns, cut - 1, which, self.labels[chosen], light])

    def places(self, drawn: np.ndarray, batch: int) -> list[Places]:
        """What `draw` found, sent to the device, in batches of so many crops."""
        cut = drawn[:, 3].reshape(-1, batch) + 1
        there = torch.from_numpy(drawn)
        if self.device.type == "cuda":
            there = there.pin_memory()
        there = there.to(self.device, non_blocking=True)
        plain = (cut == self.side).all(1).tolist()
        return [Places(*part) for part in zip(there.split(batch), cut.max(1).tolist(), plain, strict=True)]

    def cut(self, places: Places) -> Tensor:
        """The crops themselves: float32 [B, 3, side, side] in [-1, 1].

        One by one where together, each as large as the largest, they would take too much: whole photographs.
        """
        count, plain = len(places.numbers), places.plain
        if not plain and (self.table is None or count * places.largest**2 > self.GATHERED) and count > 1:
            ends = places.numbers[:, 3].tolist()
            each = [Places(row, end + 1, False) for row, end in zip(places.numbers.split(1), ends, strict=True)]
            return torch.cat([self.cut(one) for one in each])
        first, rows, columns, end, which, *_ = (n[:, None, None] for n in places.numbers.unbind(1))
        # all are gathered as large as the largest; what lies beyond a smaller one repeats its edge and is never used
        steps = torch.arange(places.largest, device=self.device)
        down, right = torch.minimum(steps[None, :, None], end), torch.minimum(steps[None, None, :], end)
        square = self.flat[first + rows * down + columns * right].permute(0, 3, 1, 2).float() / 127.5 - 1
        if not places.plain:
            own = self._one(places.largest)[None] if self.table is None else self.table[which[:, 0, 0]]
            matrix = own[..., : places.largest][:, None]
            square = (matrix @ square @ matrix.transpose(-1, -2)).clamp(-1, 1)
        if self.colour:
            square = lit(square, self.colour * (2 * places.numbers[:, 6:] / _FINE - 1))
        return square.contiguous()

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """Crops number `indices`: float32 [B, 3, side, side] in [-1, 1]."""
        return self.cut(self.places(self.draw(indices), len(indices))[0])
