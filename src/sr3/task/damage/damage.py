"""`Damage`: the shares and ranges that a recipe may set, and the plans drawn from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sr3.picture.resize import round8
from sr3.random import Stream, uniforms
from sr3.task.damage.operators import KERNELS
from sr3.task.damage.run import Plan, Step, run

Range = tuple[float, float]

_PLANS = 0xDA3A6E
_DRAWS = 64
"""Uniform numbers for one plan; more than it can need."""

_AT_MOST_ONE = ("clean", "twice", "blur", "noise", "poisson", "grey", "sharpen", "jpeg", "halved", "webp")
_BOUNDS = {
    "sigma": (0.01, 10),
    "stretch": (0.01, 1),
    "scale": (0.125, 8),
    "gaussian": (0.01, 255),
    "photons": (10, 1e9),
    "amount": (0, 10),
    "radius": (0.01, 10),
    "quality": (1, 100),
    "first_quality": (1, 100),
    "webp_quality": (1, 100),
}
"""What each range may reach."""


@dataclass(frozen=True)
class Damage:
    """What happens to a picture between the clean one and the small file: how often, and how badly.

    After Real-ESRGAN (Wang et al. 2021, section 3): blur, resizing, noise and unsharp masking in random order, then
    compression; in half of the examples a second time, the first with its compression anywhere in the order.  Shares
    are between 0 and 1 and ranges are (low, high).  Lengths are in pixels of the small picture, whatever the size of
    the one they act on, so that they hold for any factor.  Blur, noise and scales are uniform in the logarithm:
    little damage is commoner than much.

    clean: share of examples that suffer the plain reduction and nothing else.
    twice: share of the others that are damaged twice.
    blur: share of passes that blur.  sigma: of the Gaussian, or of the disc, whose radius is twice its sigma.
    shapes: how round Gaussians, long Gaussians and discs (out of focus) share the blurs.
    stretch: a long Gaussian's smaller sigma in parts of its larger one.
    kernels: how bicubic, bilinear, area and nearest share the resizings.
    scale: where there are two passes, the first ends at this size in parts of the small picture's; in eighths.
    noise: share of passes with noise.  gaussian: its sigma in steps of 8 bits.
    poisson: the share of noise that is shot noise instead; photons: counted at a white pixel.
    grey: the share of noise that is the same in all channels.
    sharpen: share of passes with unsharp masking, of this amount and this radius (the Gaussian's sigma).
    jpeg: share of passes with a JPEG of this quality, or, in the first of two passes, of `first_quality`, as cameras
        and sites write better files than those who pass them on.
    halved: the share of JPEGs with 4:2:0 chroma; the others have 4:4:4.
    webp: share of passes with WebP instead.  It has no twin on the device and goes through the CPU.
    """

    clean: float = 1 / 3
    twice: float = 0.5
    blur: float = 0.6
    sigma: Range = (0.1, 0.7)
    shapes: tuple[float, float, float] = (0.5, 0.3, 0.2)
    stretch: Range = (0.3, 1.0)
    kernels: tuple[float, float, float, float] = (0.5, 0.2, 0.27, 0.03)
    scale: Range = (0.6, 2.0)
    noise: float = 0.5
    gaussian: Range = (1.0, 10.0)
    poisson: float = 0.4
    photons: Range = (400.0, 20000.0)
    grey: float = 0.4
    sharpen: float = 0.15
    amount: Range = (0.2, 1.2)
    radius: Range = (0.3, 1.2)
    jpeg: float = 0.75
    quality: Range = (30, 95)
    first_quality: Range = (60, 95)
    halved: float = 0.7
    webp: float = 0.05
    webp_quality: Range = (40, 95)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # a misspelt key in a recipe is an error

    def __post_init__(self) -> None:
        for name in _AT_MOST_ONE:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"damage.{name}={getattr(self, name):g} is no share; give a number from 0 to 1")
        if self.jpeg + self.webp > 1:
            raise ValueError(f"damage.jpeg + damage.webp = {self.jpeg + self.webp:g}; together they may be at most 1")
        for name, (least, most) in _BOUNDS.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"damage.{name}=({low:g}, {high:g}) is no range; give low and high, from {least:g} to {most:g}"
                )
        for name in ("shapes", "kernels"):
            shares: tuple[float, ...] = getattr(self, name)
            if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
                raise ValueError(f"damage.{name} sums to {sum(shares):g}; give shares of at least 0 that sum to 1")

    def __call__(self, clean: Tensor, factor: int, *, rng: Stream) -> Tensor:
        """The small pictures of clean ones: [B, 3, H, W] -> [B, 3, H / factor, W / factor], in [-1, 1] with 8 bits.

        Example i's damage is a function of its own stream, on the CPU to the last bit.
        """
        plans = self.plans(clean.shape[-2:], factor, rng)
        return round8(run(clean, plans, rng))

    def plans(self, size: Sequence[int], factor: int, rng: Stream) -> list[Plan]:
        """One plan for each example of the stream, for clean pictures of (height, width)."""
        keys = (rng.uniform() * 2**53).long().tolist()
        return [self._plan(row, size, factor) for row in uniforms(_PLANS, keys, _DRAWS)]

    def _plan(self, draws: np.ndarray, size: Sequence[int], factor: int) -> Plan:
        draw = iter(draws.tolist())
        if next(draw) < self.clean:
            return (Step("plain", (("factor", factor),)),)
        small = (size[0] // factor, size[1] // factor)
        steps: list[Step] = []
        now = float(factor)  # the side in parts of the small picture's
        if next(draw) < self.twice:
            eighths = round(8 * _log(self.scale, next(draw)))
            between = (max(1, small[0] * eighths // 8), max(1, small[1] * eighths // 8))
            some, now = self._pass(draw, now, eighths / 8, between, shuffled=True)
            steps += some
        some, _ = self._pass(draw, now, 1.0, small, shuffled=False)
        return (*steps, *some)

    def _pass(
        self, draw: Iterator[float], now: float, then: float, size: tuple[int, int], *, shuffled: bool
    ) -> tuple[list[Step], float]:
        """One pass from a side of `now` to one of `then` small pictures', and that side."""
        resize = Step("resize", (("size", size), ("kernel", KERNELS[_pick(self.kernels, next(draw))])))
        order = {name: next(draw) for name in ("blur", "noise", "sharpen", "resize")}
        order["first_file" if shuffled else "file"] = next(draw) if shuffled else 1.0
        steps: list[Step] = []
        for name in sorted(order, key=order.__getitem__):
            if name == "resize":
                steps.append(resize)
                now = then
            else:
                made = getattr(self, f"_{name}")(draw, now)
                steps += [made] if made else []
        return steps, now

    def _blur(self, draw: Iterator[float], scale: float) -> Step | None:
        use, shape, size, stretch, angle = (next(draw) for _ in range(5))
        if use >= self.blur:
            return None
        sigma = scale * _log(self.sigma, size)
        kind = _pick(self.shapes, shape)
        if kind == 2:
            return Step("blur", (("shape", "disc"),), (sigma, sigma, 0.0))
        across = sigma * _between(self.stretch, stretch) if kind == 1 else sigma
        return Step("blur", (("shape", "gaussian"),), (sigma, across, math.pi * angle))

    def _noise(self, draw: Iterator[float], scale: float) -> Step | None:
        use, shot, size, grey = (next(draw) for _ in range(4))
        if use >= self.noise:
            return None
        sigma, rate = _log(self.gaussian, size) / 255, 1 / _log(self.photons, 1 - size)
        knobs = (0.0, rate) if shot < self.poisson else (sigma, 0.0)
        return Step("noise", (), (*knobs, float(grey < self.grey)))

    def _sharpen(self, draw: Iterator[float], scale: float) -> Step | None:
        use, amount, radius = (next(draw) for _ in range(3))
        if use >= self.sharpen:
            return None
        return Step("sharpen", (), (_between(self.amount, amount), scale * _between(self.radius, radius)))

    def _first_file(self, draw: Iterator[float], scale: float) -> Step | None:
        return self._coded(draw, self.first_quality)

    def _file(self, draw: Iterator[float], scale: float) -> Step | None:
        return self._coded(draw, self.quality)

    def _coded(self, draw: Iterator[float], range_: Range) -> Step | None:
        use, halved, quality, down, right = (next(draw) for _ in range(5))
        if use < self.jpeg:
            corner = (float(int(16 * down)), float(int(16 * right)))
            knobs = (float(round(_between(range_, quality))), *corner)
            return Step("jpeg", (("halved", halved < self.halved),), knobs)
        if use < self.jpeg + self.webp:
            return Step("webp", (), (float(round(_between(self.webp_quality, quality))),))
        return None


def _log(range_: Range, u: float) -> float:
    """Uniform in the logarithm."""
    return range_[0] * (range_[1] / range_[0]) ** u


def _between(range_: Range, u: float) -> float:
    return range_[0] + (range_[1] - range_[0]) * u


def _pick(shares: Sequence[float], u: float) -> int:
    """The index whose share u falls into."""
    return min(int(np.searchsorted(np.cumsum(shares), u, side="right")), len(shares) - 1)
