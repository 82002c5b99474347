"""Generation: pictures from nothing but noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.diffusion.denoiser import NOTHING, Example
from sr3.random import Stream
from sr3.task.base import Given


@dataclass(frozen=True)
class Generation:
    """Make pictures of one size without being given any: the network is unconditional.

    What is given has no channels, [B, 0, H, W], and only says how many pictures there are and how large.

    size: the side of the pictures in pixels, or (height, width).
    """

    size: int | tuple[int, int] = 32
    method = "generated"
    command = "generate --count 4"

    def __post_init__(self) -> None:
        if min(self.sides) < 1:
            raise ValueError(f"pictures of {self.sides[1]}x{self.sides[0]} cannot be made; a side is at least 1 pixel")

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) of what is made."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def channels(self) -> int:
        return 0

    @property
    def factor(self) -> int:
        return 1

    def result_size(self, given: Given) -> tuple[int, int]:
        return given.image.shape[-2], given.image.shape[-1]

    def empty(self, count: int) -> Given:
        """What `count` pictures are made from."""
        return Given(torch.zeros(count, 0, *self.sides))

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        return Given(clean[:, :0])

    def prepare(self, given: Given) -> Example:
        return NOTHING

    def project(self, made: Tensor, given: Given) -> Tensor:
        return made

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return made.clamp(-1, 1)
