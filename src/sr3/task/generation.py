"""Generation: pictures from nothing but noise, of a class where the model knows classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.random import Stream
from sr3.task.base import Given


@dataclass(frozen=True)
class Generation:
    """Make pictures of one size without being given any: the network sees no picture.

    What is given has no channels, [B, 0, H, W], and only says how many pictures there are and how large; and, where
    there are classes, of which class each is.

    size: the side of the pictures in pixels, or (height, width).
    classes: what the network is told beside the noise level: how many classes there are, or their names in order.
    """

    size: int | tuple[int, int] = 32
    classes: int | Sequence[str] = 0
    method = "generated"
    command = "generate --count 4"

    def __post_init__(self) -> None:
        if min(self.sides) < 1:
            raise ValueError(f"pictures of {self.sides[1]}x{self.sides[0]} cannot be made; a side is at least 1 pixel")
        if self.count < 0 or len(set(self.names)) < self.count:
            raise ValueError("classes is how many there are, or their names, each once")

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) of what is made."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def count(self) -> int:
        """How many classes there are; 0: it knows none."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def names(self) -> list[str]:
        """Of the classes: their numbers where they have no others."""
        return [str(k) for k in range(self.count)] if isinstance(self.classes, int) else list(self.classes)

    def number(self, name: str | int) -> int:
        """Of a class by its name, or by its number itself.  ValueError where there is none such."""
        if str(name) in self.names:
            return self.names.index(str(name))
        if str(name).isascii() and str(name).isdigit() and int(name) < self.count:
            return int(name)
        if not self.count:
            raise ValueError("it knows no classes")
        more = f" and {self.count - 8} more" if self.count > 8 else ""
        raise ValueError(f"there is no class {name!r}; there are {', '.join(self.names[:8])}{more}")

    @property
    def channels(self) -> int:
        return 0

    @property
    def factor(self) -> int:
        return 1

    def result_size(self, given: Given) -> tuple[int, int]:
        return given.image.shape[-2], given.image.shape[-1]

    def empty(self, count: int, label: Tensor | None = None) -> Given:
        """What `count` pictures are made from; label: int64 [count], their classes, by default each in turn."""
        return Given(torch.zeros(count, 0, *self.sides), label=label)

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        return Given(clean[:, :0])

    def prepare(self, given: Given) -> Example:
        """The class alone.  Where none is told, the pictures are of each class in turn."""
        label = given.label
        if self.count and label is None:
            label = torch.arange(len(given.image), device=given.image.device) % self.count
        return Example(label=label if self.count else None)

    def project(self, made: Tensor, given: Given) -> Tensor:
        return made

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return made.clamp(-1, 1)
