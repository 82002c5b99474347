"""What every task is: three verbs and a projection; and what those that restore a picture add, to be measured."""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.random import Stream


class Given(NamedTuple):
    """What a user hands in: a picture [B, C, h, w] in [-1, 1], and where pixels are missing."""

    image: Tensor
    mask: Tensor | None = None


class Task(Protocol):
    """What the world does, what the network sees, what the user gets.  Training and use share `prepare`."""

    @property
    def method(self) -> str:
        """What tables call a sample of a diffusion model for this task: the paper's name."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the conditioning picture; the network is built from it."""
        ...

    @property
    def factor(self) -> int:
        """How many times larger the result's sides are than the given picture's; those of clean pictures are multiples
        of it."""
        ...

    def result_size(self, given: Given) -> tuple[int, int]:
        """(height, width) of what is made of what is given."""
        ...

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        """What the world does to clean pictures [B, C, H, W].  Without rng: the plain degradation, as measured."""
        ...

    def prepare(self, given: Given) -> Example:
        """What the network sees."""
        ...

    def project(self, made: Tensor, given: Given) -> Tensor:
        """The picture nearest to `made` that agrees with what was given."""
        ...

    def finish(self, made: Tensor, given: Given) -> Tensor:
        """What the user gets: in [-1, 1], and in agreement with what was given."""
        ...


@runtime_checkable
class Restoration(Task, Protocol):
    """A task that begins with a picture."""

    @property
    def baseline_name(self) -> str:
        """What tables call `baseline`."""
        ...

    @property
    def degradation(self) -> str:
        """What `degrade` does, for protocols."""
        ...

    @property
    def border(self) -> int:
        """Pixels at each edge that PSNR and SSIM leave out by the custom of the field."""
        ...

    def baseline(self, given: Given) -> Tensor:
        """What one gets without a model, [B, 3, H, W]; what every method is compared with."""
        ...
