"""Randomness as an argument: noise that depends on a seed and a count, never on batch, tile, device or history."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Generator, Tensor

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """One well-stirred 63-bit seed from several integers (splitmix64's finaliser, Steele et al. 2014)."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state + (number & _MASK) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def staged(seed: int, stage: int) -> int:
    """The seed of a later stage of one picture's making, whose noise must not begin like the first's; that of stage 0
    is the picture's own."""
    return seed if stage == 0 else mix(seed, stage)


def generator(*numbers: int) -> Generator:
    """A CPU generator that is a function of the numbers alone.

    PyTorch takes 32 bits of its seed: of 400 000 examples about 20 pairs have the same noise.
    """
    return Generator().manual_seed(mix(*numbers))


class Seeds:
    """Standard normal noise with one seed per picture, drawn on the CPU whatever the device.

    Picture i's k-th draw is a function of (seeds[i], k) and the picture's size only, so the same seed makes the
    same picture in any batch, in any order and on any device.
    """

    def __init__(self, seeds: Sequence[int]):
        self.seeds = list(seeds)
        self.draws = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Noise of x's shape [B, ...], type and device; B must be the number of seeds."""
        if len(x) != len(self.seeds):
            raise ValueError(f"a batch of {len(x)} pictures needs as many seeds, and there are {len(self.seeds)}")
        fields = [torch.randn(x.shape[1:], generator=generator(seed, self.draws)) for seed in self.seeds]
        self.draws += 1
        field = fields[0][None] if len(fields) == 1 else torch.stack(fields)  # a large one is not copied
        return field.to(x.dtype).to(x.device)


class Rows:
    """One draw of `Seeds` for one picture, handed out row by row: the same values, without the whole field at once.

    PyTorch draws a field of 16 numbers or more as uniform ones in a row, makes them normal in blocks of 16, and draws
    the last 16 anew where blocks do not fill the field.  So each channel's rows can be drawn as whole blocks, by a
    generator of its own that has gone on to where the channel begins.

    seed, draw: as of `Seeds`.  shape: (channels, height, width), of rows of at least 16 numbers; else ValueError.
    """

    def __init__(self, seed: int, draw: int, shape: tuple[int, int, int]):
        channels, height, self.width = shape
        if self.width < _BLOCK:
            raise ValueError(f"rows of {self.width} numbers cannot be drawn one by one; give {_BLOCK} or more")
        self.row = 0
        ahead, at, size = generator(seed, draw), 0, channels * height * self.width
        self.channels: list[_Channel] = []
        for channel in range(channels):
            start = channel * height * self.width
            own = Generator()
            own.set_state(_gone_on(ahead, start // _BLOCK * _BLOCK - at).get_state())
            at = start // _BLOCK * _BLOCK
            self.channels.append(_Channel(own, at, size))
            self.channels[-1](start - at)

    def __call__(self, rows: slice) -> Tensor:
        """Rows [C, n, W], float32 on the CPU: from the top down, each once; ValueError for others than the next."""
        if rows.start != self.row:
            raise ValueError(f"the rows from {rows.start} on are asked for, and those from {self.row} on are next")
        self.row = rows.stop
        count = rows.stop - rows.start
        return torch.stack([channel(count * self.width).view(count, self.width) for channel in self.channels])


class _Channel:
    """A field of `size` numbers from the `at`-th on, a multiple of 16 at which the generator is."""

    def __init__(self, own: Generator, at: int, size: int):
        self.own, self.at, self.size = own, at, size
        self.left = torch.empty(0)

    def __call__(self, count: int) -> Tensor:
        """The next so many numbers."""
        blocks = -(-max(0, count - len(self.left)) // _BLOCK) * _BLOCK
        ends = self.at + blocks > self.size  # in the last block, which is not a whole one
        blocks -= _BLOCK if ends else 0
        have = torch.cat([self.left, torch.randn(blocks, generator=self.own)] if blocks else [self.left])
        self.at += blocks
        if ends:
            rest = self.size - self.at
            last = torch.randn(_BLOCK, generator=_gone_on(self.own, rest))
            have = torch.cat([have[: len(have) + rest - _BLOCK], last])
        self.left = have[count:].clone()
        return have[:count]


_BLOCK = 16


def _gone_on(ahead: Generator, count: int) -> Generator:
    """The generator, which has drawn so many numbers more."""
    for at in range(0, count, 1 << 20):
        torch.rand(min(1 << 20, count - at), generator=ahead)
    return ahead


class Stream:
    """The randomness of one training batch, a function of (seed, index of each example) on the CPU.

    On an accelerator two generators serve the whole batch, keyed by its first example: one of the device for noise, as
    drawing that on the CPU would starve it, and one of the CPU for the few numbers that are wanted there.
    """

    def __init__(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.size = len(indices)
        if self.device.type == "cpu":
            self.generators = [generator(seed, index) for index in indices]
        else:
            self.shared = Generator(self.device).manual_seed(mix(seed, indices[0]))
            self.levels = generator(seed, indices[0])

    def of(self, chosen: Sequence[int]) -> "Stream":
        """The same randomness for some examples of the batch, by their places in it; what it draws is drawn here."""
        some = copy(self)
        some.size = len(chosen)
        if self.device.type == "cpu":
            some.generators = [self.generators[i] for i in chosen]
        return some

    def uniform(self) -> Tensor:
        """[B] float64 in [0, 1), on the CPU, where noise levels live."""
        if self.device.type == "cpu":
            return torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in self.generators])
        # not drawn where the noise is: to fetch it would wait for all that the device has still to do
        return torch.rand(self.size, generator=self.levels, dtype=torch.float64)

    def normal(self, x: Tensor) -> Tensor:
        """Standard normal noise of x's shape [B, ...], type and device."""
        if self.device.type == "cpu":
            return torch.stack([torch.randn(x.shape[1:], generator=g) for g in self.generators]).to(x)
        return torch.randn(x.shape, generator=self.shared, device=self.device, dtype=x.dtype)

    def integers(self, high: int) -> Tensor:
        """[B] int64 in [0, high), on the CPU."""
        return (self.uniform() * high).long().clamp(max=high - 1)


def uniforms(seed: int, indices: Sequence[int], count: int) -> np.ndarray:
    """[len(indices), count] float64 in [0, 1): row i is a function of (seed, indices[i]) alone."""
    with np.errstate(over="ignore"):
        state = np.asarray(indices, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15) + np.uint64(mix(seed))
        state = state ^ (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03))
        for multiplier in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xBF58476D1CE4E5B9):
            state = (state ^ (state >> np.uint64(30))) * np.uint64(multiplier)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) / 2**53
