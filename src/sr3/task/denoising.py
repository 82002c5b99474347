"""Denoising: Gaussian noise of a known size, away."""

from dataclasses import dataclass

from torch import Tensor

from sr3.picture.resize import round8
from sr3.random import Stream
from sr3.task.base import Given, SameSize, own_stream


@dataclass(frozen=True)
class Denoising(SameSize):
    """A picture without its noise.  sigma: of the noise, in steps of 8 bits; the noisy picture has 8 bits too."""

    sigma: float = 25.0
    command = "restore photo.jpg"
    baseline_name = "noisy"
    given_name = "noisy"

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 255:
            raise ValueError(f"the noise's sigma {self.sigma:g} is out of range; give a number above 0, at most 255")

    @property
    def degradation(self) -> str:
        return f"Gaussian noise of sigma {self.sigma:g} of 255, rounded to 8 bits"

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        noise = (rng or own_stream(clean)).normal(clean)
        return Given(round8(clean + self.sigma / 127.5 * noise))
