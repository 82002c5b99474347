"""Noise schedules: the road from clean (t = 0) to noise (t = 1)."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from sr3.diffusion.level import Level, from_logsnr


class Schedule(Protocol):
    """A road from clean (t = 0) to noise (t = 1).

    Training draws t uniformly, so a schedule is also the distribution of the noise levels seen in training.
    """

    def __call__(self, t: Tensor) -> Level:
        """The level at time t, any shape, in [0, 1]."""
        ...

    def when(self, logsnr: Tensor) -> Tensor:
        """The time at which a log-SNR is reached; the inverse of the schedule."""
        ...


class Knots:
    """Alpha-bar piecewise linear between the knots that betas give: alpha-bar_k = prod_{i<=k} (1 - beta_i), k = 0 ….

    SR3 (Saharia et al. 2021, section 2.4) draws a step uniformly and then the level uniformly between that knot and the
    one before.  With alpha-bar piecewise linear in t through the knots, both draws together are `schedule(uniform)`.
    Those who inherit have `betas`, [steps] float64 with the clean end's first, and `between`: the quantity that is
    linear between knots, "alpha_bar" (as SR3 prints it) or "alpha", its root (as WaveGrad's code draws it).  With 2000
    steps the two hardly differ.
    """

    between: Literal["alpha_bar", "alpha"] = "alpha_bar"

    @property
    def betas(self) -> Tensor:
        raise NotImplementedError

    @cached_property
    def knots(self) -> tuple[Tensor, Tensor]:
        """What is linear in t, and 1 minus it, at the knots: each [steps + 1] float64.

        Both, because the first loses its digits at the clean end and the second at the noisy one.
        """
        log = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-self.betas).cumsum(0)])
        log = log if self.between == "alpha_bar" else log / 2
        return log.exp(), -torch.expm1(log)

    @property
    def _last(self) -> int:
        return len(self.knots[0]) - 1

    def __call__(self, t: Tensor) -> Level:
        place = t.double().clamp(0, 1) * self._last
        left = place.floor().clamp(max=self._last - 1).long()
        kept, lost = (torch.lerp(k.to(t.device)[left], k.to(t.device)[left + 1], place - left) for k in self.knots)
        if self.between == "alpha":
            return Level(kept, (lost * (2 - lost)).sqrt())  # 1 - (1 - lost)**2
        return Level(kept.sqrt(), lost.sqrt())

    def when(self, logsnr: Tensor) -> Tensor:
        kept, lost = torch.sigmoid(logsnr.double()), torch.sigmoid(-logsnr.double())
        if self.between == "alpha":
            kept, lost = kept.sqrt(), lost / (1 + kept.sqrt())
        place = torch.where(lost < 0.5, self._place(self.knots[1], lost), self._place(-self.knots[0], -kept))
        return place.clamp(0, self._last) / self._last

    def _place(self, knots: Tensor, value: Tensor) -> Tensor:
        """Where among the rising knots a value lies, in [0, steps]; beyond it for values that are beyond."""
        knots = knots.to(value.device)
        right = torch.searchsorted(knots, value).clamp(1, self._last)
        low, high = knots[right - 1], knots[right]
        return (right - 1) + (value - low) / (high - low)


@dataclass(frozen=True)
class LinearBeta(Knots):
    """DDPM's linear betas, from `start` to `stop` in so many steps, with SR3's continuous noise level."""

    start: float = 1e-6
    stop: float = 1e-2
    steps: int = 2000
    between: Literal["alpha_bar", "alpha"] = "alpha_bar"

    @property
    def betas(self) -> Tensor:
        return torch.linspace(self.start, self.stop, self.steps, dtype=torch.float64)


@dataclass(frozen=True)
class Betas(Knots):
    """Any betas, the clean end's first: what a search over schedules finds; Chen et al. (2021, WaveGrad), section 3.3.

    Walked in as many steps, spaced in t, as SR3's Algorithm 2 walks them.  ValueError unless all are between 0 and 1.
    """

    values: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 0.99)

    def __post_init__(self) -> None:
        if not self.values or not all(0 < beta < 1 for beta in self.values):
            raise ValueError("betas are one number or more, each above 0 and below 1")

    @property
    def betas(self) -> Tensor:
        return torch.tensor(self.values, dtype=torch.float64)


@dataclass(frozen=True)
class Cosine:
    """The cosine schedule, cut at a highest and a lowest log-SNR.

    logsnr(t) = -2 log tan(angle) + shift, the angle linear in t: Nichol & Dhariwal (2021) in the form of Hoogeboom
    et al. (2023), eq. 5 ff., whose `shift` moves the noise to suit the picture's resolution.
    """

    high: float = 15.0
    low: float = -15.0
    shift: float = 0.0

    def _angles(self) -> tuple[float, float]:
        return math.atan(math.exp(-self.high / 2)), math.atan(math.exp(-self.low / 2))

    def __call__(self, t: Tensor) -> Level:
        first, last = self._angles()
        angle = first + (last - first) * t.double().clamp(0, 1)
        return from_logsnr(-2 * angle.tan().log() + self.shift)

    def when(self, logsnr: Tensor) -> Tensor:
        first, last = self._angles()
        angle = torch.atan(torch.exp(-(logsnr.double() - self.shift) / 2))
        return ((angle - first) / (last - first)).clamp(0, 1)


@dataclass(frozen=True)
class Geometric:
    """Variance exploding: alpha = 1, sigma rising geometrically; NCSN, Song & Ermon (2019), and Song et al. (2021)."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __call__(self, t: Tensor) -> Level:
        t = t.double().clamp(0, 1)
        sigma = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return Level(torch.ones_like(sigma), sigma)

    def when(self, logsnr: Tensor) -> Tensor:
        sigma = torch.exp(-logsnr.double() / 2)
        return ((sigma / self.sigma_min).log() / math.log(self.sigma_max / self.sigma_min)).clamp(0, 1)


@dataclass(frozen=True)
class Karras:
    """Variance exploding with sigma**(1/rho) linear in t; Karras et al. (2022), eq. 5."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __call__(self, t: Tensor) -> Level:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        sigma = (low + (high - low) * t.double().clamp(0, 1)) ** self.rho
        return Level(torch.ones_like(sigma), sigma)

    def when(self, logsnr: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        root = torch.exp(-logsnr.double() / (2 * self.rho))
        return ((root - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True)
class LogNormal:
    """Variance exploding with log sigma normal when t is uniform: EDM's training draw, Karras et al. (2022), table 1.

    mean, std: of log sigma.  The tails beyond sigma_min and sigma_max are cut off.
    """

    mean: float = -1.2
    std: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def _cut(self) -> tuple[float, float]:
        ends = torch.tensor([self.sigma_min, self.sigma_max], dtype=torch.float64).log()
        low, high = torch.special.ndtr((ends - self.mean) / self.std).tolist()
        return low, high

    def __call__(self, t: Tensor) -> Level:
        low, high = self._cut()
        z = torch.special.ndtri(low + (high - low) * t.double().clamp(0, 1))
        sigma = (self.mean + self.std * z).exp().clamp(self.sigma_min, self.sigma_max)
        return Level(torch.ones_like(sigma), sigma)

    def when(self, logsnr: Tensor) -> Tensor:
        low, high = self._cut()
        z = (-logsnr.double() / 2 - self.mean) / self.std
        return ((torch.special.ndtr(z) - low) / (high - low)).clamp(0, 1)


SCHEDULES = {
    "betas": Betas,
    "linear-beta": LinearBeta,
    "cosine": Cosine,
    "geometric": Geometric,
    "karras": Karras,
    "log-normal": LogNormal,
}
