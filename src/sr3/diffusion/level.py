"""The noise level, the one coordinate system of the package: x_t = alpha * x0 + sigma * eps."""

from typing import NamedTuple

import torch
from torch import Tensor


class Level(NamedTuple):
    """How much signal and how much noise: x_t = alpha * x0 + sigma * eps.

    Both are of shape [] (one level for all) or [B] (one per example), and float64: near the clean end
    1 - alpha**2 loses all its digits in float32.
    """

    alpha: Tensor
    sigma: Tensor

    @property
    def logsnr(self) -> Tensor:
        """log(alpha**2 / sigma**2); Kingma et al. (2021), eq. 2 ff."""
        return 2 * (self.alpha.log() - self.sigma.log())

    @property
    def ratio(self) -> Tensor:
        """sigma / alpha, the noise level of Karras et al. (2022)."""
        return self.sigma / self.alpha

    def like(self, x: Tensor) -> "Level":
        """The same level in x's type, on x's device, ready to multiply x.  The only broadcasting in the package."""
        shape = (-1,) + (1,) * (x.ndim - 1)
        return Level(*(c.to(x.dtype).to(x.device).reshape(shape if c.ndim else ()) for c in self))


def from_logsnr(logsnr: Tensor) -> Level:
    """The variance-preserving level (alpha**2 + sigma**2 = 1) of a log signal-to-noise ratio."""
    logsnr = logsnr.double()
    return Level(torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt())


def diffuse(x0: Tensor, eps: Tensor, level: Level) -> Tensor:
    """A draw from q(x_t | x_0), given the noise eps; Ho et al. (2020), eq. 4."""
    a, s = level.like(x0)
    return a * x0 + s * eps


def eps_from(x0: Tensor, x: Tensor, level: Level) -> Tensor:
    """The noise in x, when x0 is the picture in it.  Needs sigma > 0."""
    a, s = level.like(x)
    return (x - a * x0) / s


def x0_from(eps: Tensor, x: Tensor, level: Level) -> Tensor:
    """The picture in x, when eps is the noise in it.  Needs alpha > 0."""
    a, s = level.like(x)
    return (x - s * eps) / a
