"""Predictions: what a network is asked for, and how its answer becomes the clean picture."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sr3.diffusion.level import Level


class Prediction(Protocol):
    """What a network is asked for.  `clean(target(x0, eps, level), x, level) = x0` for every level."""

    def enter(self, x: Tensor, level: Level) -> Tensor:
        """What the network is shown of x_t [B, ...]: of about unit variance."""
        ...

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        """What the network should answer."""
        ...

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        """The estimate of x0 that the answer `out` to x_t stands for."""
        ...


@dataclass(frozen=True)
class Eps:
    """The noise; Ho et al. (2020), eq. 14, and SR3, eq. 6.  Needs alpha > 0 to find x0 again."""

    def enter(self, x: Tensor, level: Level) -> Tensor:
        return x

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        return eps

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        return (x - s * out) / a


@dataclass(frozen=True)
class X0:
    """The clean picture itself."""

    def enter(self, x: Tensor, level: Level) -> Tensor:
        return x

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        return x0

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        return out


@dataclass(frozen=True)
class V:
    """v = alpha * eps - sigma * x0; Salimans & Ho (2022), appendix D, on any (alpha, sigma).

    Divided by r = sqrt(alpha**2 + sigma**2), which is 1 on variance-preserving schedules and keeps the target's
    variance near 1 elsewhere; x is divided by r on the way in for the same reason.
    """

    def enter(self, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        return x / (a**2 + s**2).sqrt()

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        a, s = level.like(x0)
        return (a * eps - s * x0) / (a**2 + s**2).sqrt()

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        r = (a**2 + s**2).sqrt()
        return (a * x / r - s * out) / r


@dataclass(frozen=True)
class Score:
    """The gradient of the log density: -eps / sigma; Song & Ermon (2019), eq. 5.  Needs alpha > 0."""

    def enter(self, x: Tensor, level: Level) -> Tensor:
        return x

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        return -eps / level.like(x0).sigma

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        return (x + s**2 * out) / a


@dataclass(frozen=True)
class EDM:
    """The preconditioned output of Karras et al. (2022), eq. 7 and table 1, on any (alpha, sigma).

    Written for y = x / alpha with noise s = sigma / alpha:  x0 = c_skip(s) y + c_out(s) out, and the network is
    shown c_in(s) y.  sigma_data is the spread of what is diffused: about 0.5 for pictures in [-1, 1], about 0.1 for
    the residual over an enlarged picture.
    """

    sigma_data: float = 0.5

    def enter(self, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        return x / (s**2 + (a * self.sigma_data) ** 2).sqrt()

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        a, s = level.like(x0)
        d = self.sigma_data
        total = (s**2 + (a * d) ** 2).sqrt()
        # (x0 - c_skip y) / c_out, multiplied out so that s = 0 divides nothing by nothing
        return (s * x0 - a * d**2 * eps) / (d * total)

    def clean(self, out: Tensor, x: Tensor, level: Level) -> Tensor:
        a, s = level.like(x)
        d = self.sigma_data
        total = (s**2 + (a * d) ** 2).sqrt()
        kept, made = a * d**2 / total**2 * x, s * d / total * out
        if kept.shape == made.shape and kept.dtype == made.dtype:
            return kept.add_(made)  # large pictures are slow to find room for
        return kept + made


PREDICTIONS = {"eps": Eps, "x0": X0, "v": V, "score": Score, "edm": EDM}
