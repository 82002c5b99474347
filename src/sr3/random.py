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
    """A CPU generator that is a function of the numbers alone."""
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
        return torch.stack(fields).to(x.dtype).to(x.device)


class Stream:
    """The randomness of one training batch, a function of (seed, index of each example) on the CPU.

    On an accelerator one device generator serves the whole batch, keyed by its first example: drawing on the CPU
    would starve the device.
    """

    def __init__(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.size = len(indices)
        if self.device.type == "cpu":
            self.generators = [generator(seed, index) for index in indices]
        else:
            self.shared = Generator(self.device).manual_seed(mix(seed, indices[0]))

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
        # double only once it is on the CPU: Apple's accelerator has no float64
        return torch.rand(self.size, generator=self.shared, device=self.device, dtype=torch.float32).cpu().double()

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
