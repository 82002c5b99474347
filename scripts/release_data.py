"""Batches for `train_release.py`: drawn many at once, and each made while the step before it runs."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sr3.random import Stream, mix, uniforms
from sr3.task import Given
from sr3.training.data import Crops, reduction

CHUNK = 16_384
"""Crops whose places are drawn at once: some milliseconds on the CPU, and one copy to the GPU of half a megabyte."""


class Places(NamedTuple):
    """Where the crops of one batch lie."""

    numbers: Tensor
    """int64 [B, 5] on the device: first pixel, step along rows, step along columns, last index, which matrix."""
    largest: int
    plain: bool
    """Cut at the size that is wanted: nothing to resample."""


class Cutter:
    """`Crops` without waiting: crop n is the same function of (seed, n), bit for bit on a CPU.

    All squares that the pictures allow are known beforehand, and so are the matrices that resample them.
    """

    def __init__(self, crops: Crops):
        self.crops = crops
        low, high = crops.zoom
        whole = np.unique(np.minimum(crops.heights, crops.widths))
        wanted = crops._cut(np.arange(low, high + 1), crops.side)  # pyright: ignore[reportPrivateUsage]
        self.sizes = np.unique(np.minimum(wanted[:, None], whole[None]))
        table = torch.zeros(len(self.sizes), crops.side, int(self.sizes.max()))
        for row, size in enumerate(self.sizes.tolist()):
            table[row, :, :size] = reduction(size, crops.side, crops.resample)
        self.table = table.to(crops.device)

    def draw(self, indices: Iterable[int]) -> np.ndarray:
        """int64 [B, 5], see `Places`; the arithmetic of `Crops`."""
        c, (low, high) = self.crops, self.crops.zoom
        draws = uniforms(c.seed, list(indices), 7)
        chosen = np.searchsorted(c.shares, draws[:, 0], side="right").clip(max=len(c.shares) - 1)
        height, width = c.heights[chosen], c.widths[chosen]
        wanted = c._cut(low + (draws[:, 6] * (high - low + 1)).astype(np.int64), c.side)  # pyright: ignore[reportPrivateUsage]
        cut = np.minimum(wanted, np.minimum(height, width))
        top, left = ((draws[:, k] * (room - cut + 1)).astype(np.int64) for k, room in ((1, height), (2, width)))
        first, down, right = c.starts[chosen] + top * width + left, width, np.ones_like(width)
        mirror = draws[:, 3] < 0.5
        first, right = first + mirror * (cut - 1), np.where(mirror, -1, right)
        mirror = (draws[:, 4] < 0.5) & c.turn
        first, down = first + mirror * (cut - 1) * width, np.where(mirror, -down, down)
        turn = (draws[:, 5] < 0.5) & c.turn
        rows, columns = np.where(turn, right, down), np.where(turn, down, right)
        return np.stack([first, rows, columns, cut - 1, np.searchsorted(self.sizes, cut)], axis=1)

    def __call__(self, places: Places) -> Tensor:
        """The crops: float32 [B, 3, side, side] in [-1, 1]."""
        first, rows, columns, end, which = (n[:, None, None] for n in places.numbers.unbind(1))
        steps = torch.arange(places.largest, device=self.crops.device)
        down, right = torch.minimum(steps[None, :, None], end), torch.minimum(steps[None, None, :], end)
        square = self.crops.flat[first + rows * down + columns * right].permute(0, 3, 1, 2).float() / 127.5 - 1
        if places.plain:
            return square.contiguous()
        matrix = self.table[which[:, 0, 0], :, : places.largest][:, None]
        return (matrix @ square @ matrix.transpose(-1, -2)).clamp(-1, 1).contiguous()


class Batch(NamedTuple):
    """Clean pictures, what is given of them, the randomness of their step, and when they are ready."""

    clean: Tensor
    given: Given
    rng: Stream
    ready: Any = None


class Batches:
    """The pictures of a run, cut and degraded on the device; call `prepare` to have the next ones made meanwhile.

    On a GPU they are made on a stream of their own, which the step in progress does not wait for: copying a constant
    of the task from the host then holds up that stream alone.
    """

    def __init__(self, crops: Crops, task: Any, seed: int, batch: int):
        self.cutter, self.task, self.seed, self.batch = Cutter(crops), task, seed, batch
        self.device = crops.device
        self.side = torch.cuda.Stream(self.device, priority=-1) if self.device.type == "cuda" else None
        self.drawn: dict[int, Places] = {}
        self.held: dict[int, Batch] = {}
        if self.side is not None:
            # the pictures and matrices were copied on the other stream
            self.side.wait_stream(torch.cuda.current_stream(self.device))

    def places(self, seen: int) -> Places:
        """Of the batch that begins with crop `seen`; those of the batches after it are drawn too."""
        if seen not in self.drawn:
            count = max(1, CHUNK // self.batch)
            numbers = self.cutter.draw(range(seen, seen + count * self.batch))
            cut = numbers[:, 3].reshape(count, self.batch) + 1
            there = torch.from_numpy(numbers)
            if self.side is not None:
                there = there.pin_memory().to(self.device, non_blocking=True)
            plain = (cut == self.cutter.crops.side).all(1).tolist()
            parts = zip(there.split(self.batch), cut.max(1).tolist(), plain, strict=True)
            self.drawn = {seen + k * self.batch: Places(*part) for k, part in enumerate(parts)}
        return self.drawn[seen]

    def _made(self, seen: int) -> Batch:
        indices = range(seen, seen + self.batch)
        rng = Stream(mix(self.seed, 0x5EED), indices, self.device)
        clean = self.cutter(self.places(seen))
        return Batch(clean, self.task.degrade(clean, rng=rng), rng)

    @torch.no_grad()
    def prepare(self, seen: int) -> None:
        """Begin to make a batch; on a CPU nothing is done before it is asked for."""
        if self.side is None:
            return
        with torch.cuda.stream(self.side):
            made = self._made(seen)
            ready = torch.cuda.Event()
            ready.record(self.side)
        self.held = {seen: made._replace(ready=ready)}

    @torch.no_grad()
    def __call__(self, seen: int) -> Batch:
        """The batch that begins with crop `seen`."""
        if self.side is None:
            return self._made(seen)
        if seen not in self.held:
            self.prepare(seen)
        made = self.held.pop(seen)
        main = torch.cuda.current_stream(self.device)
        main.wait_event(made.ready)
        for tensor in (made.clean, *made.given):
            if tensor is not None:
                tensor.record_stream(main)  # or its memory might be handed out while the step still reads it
        return made
