"""Langevin dynamics: samplers that wander by the score, score = (alpha * x0 - x) / sigma**2.

They are samplers like those of `sr3.diffusion.sample`, for any (alpha, sigma).  One update at a level is

    x <- x + step / 2 * (alpha * x0 - x) + sqrt(step) * sigma * z,

which is Langevin's x + d / 2 * score + sqrt(d) * z with d = step * sigma**2.  So `step` has no unit, is the same in x
and in x / alpha, and NCSN's step sizes epsilon * sigma_i**2 / sigma_L**2 are one number: step = epsilon / sigma_L**2.
Papers that write x + d * score + sqrt(2 d) * z mean half of our d.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.level import Level
from sr3.diffusion.path import Path, given
from sr3.diffusion.sample import Noise, Sampler, Step, ancestral, ddim, last

LogDensity = Callable[[Tensor, Level], Tensor]
"""(x [B, ...], level) -> log p(x) up to a constant, [B]."""


def langevin(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    updates: int = 10,
    step: float = 0.2,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """The unadjusted Langevin algorithm at one level, the path's cleanest that has noise; Song & Ermon (2019), eq. 4.

    `updates` updates for each step of the path: what annealing is measured against.  Of the path's other levels only
    the first is visited, where it is noisier: one deterministic step of `ddim` brings x from there, one evaluation.
    Keeps a bias of the order of `step`.  Between modes that are far apart it never changes over.
    """
    _positive(updates, step)
    level = _cleanest(path)
    x = _arrive(denoise, x, path, level)
    for _ in path:
        x0 = x
        for _ in range(updates):
            x0 = denoise(x, level)
            x = _ahead(x, x0, level, step) + step**0.5 * level.sigma * noise(x)
        yield Step(x, x0, level)


def mala(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    updates: int = 10,
    step: float = 0.2,
    inside: int = 1,
    log_density: LogDensity | None = None,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """`langevin` made exact by accepting or refusing each update; Roberts & Tweedie (1996), section 1.4.1.

    log_density: what to decide by.  None: the difference of log densities is the integral of the score along the
        straight line between the two points, taken by Gauss-Lobatto quadrature: the ends, whose scores are needed
        anyway, and `inside` points between them, each one more evaluation.  Exact where the score is a polynomial of
        degree 2 * inside + 1 along the line, so for a Gaussian even with none.
    Each step tells the share of accepted updates, `Step.accepted`; 0.57 is best in many dimensions (Roberts &
    Rosenthal 1998).  The score of a network need not be a gradient, and then this is exact only as far as it is one.
    """
    _positive(updates, step)
    level = _cleanest(path)
    if inside < 0:
        raise ValueError(f"the number of points inside the line is 0 or more, not {inside}")
    x = _arrive(denoise, x, path, level)
    x0 = denoise(x, level)
    spread = step**0.5 * level.sigma
    for _ in path:
        accepted = torch.zeros(len(x), device=x.device)
        for _ in range(updates):
            z = noise(x)
            there = _ahead(x, x0, level, step) + spread * z
            there_x0 = denoise(there, level)
            back = (x - _ahead(there, there_x0, level, step)) / spread
            gain = (
                log_density(there, level) - log_density(x, level)
                if log_density is not None
                else _rise(denoise, (x, x0), (there, there_x0), level, inside)
            )
            ratio = gain + _sum(z**2 - back**2) / 2
            # the uniform number comes from the same source as all noise: the normal distribution function of a draw
            chance = torch.special.ndtr(noise(x).flatten(1)[:, 0])
            yes = chance.log() < ratio
            accepted += yes
            keep = yes.view(-1, *[1] * (x.ndim - 1))
            x, x0 = torch.where(keep, there, x), torch.where(keep, there_x0, x0)
        yield Step(x, x0, level, accepted / updates)


def annealed(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    updates: int = 5,
    step: float | None = None,
    denoised: bool = True,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """Annealed Langevin dynamics: `updates` updates at each level, noisiest first; Song & Ermon (2019), Algorithm 1.

    step: epsilon / sigma_L**2; NCSN's is 0.2 with 100 updates.  None: `steady_step` for the path's mean ratio.
    denoised: at the step to the clean level take the estimate of x0 and no noise, Song & Ermon (2020), Algorithm 1;
        one more evaluation.  False: leave the noise of the last level in.
    Their levels are `ncsn_path`, the noisiest from `widest`.  Going to the next level keeps x / alpha.
    """
    levels = [here for here, _ in path] + ([] if path.ends_clean else [path[-1][1]])
    if step is None:
        ratio = (levels[0].ratio / levels[-1].ratio).item() ** (1 / max(len(levels) - 1, 1))
        step = steady_step(ratio, updates)
    _positive(updates, step)
    for k, (here, there) in enumerate(path):
        x0 = x
        # a path that ends with noise has one more level than steps
        for level in [here, there] if k == len(path) - 1 and not path.ends_clean else [here]:
            x = level.alpha / here.alpha * x
            for _ in range(updates):
                x0 = denoise(x, level)
                x = _ahead(x, x0, level, step) + step**0.5 * level.sigma * noise(x)
        if there.sigma == 0:
            if denoised:
                x0 = denoise(x, here)
            x = there.alpha * (x0 if denoised else x / here.alpha)
        elif k < len(path) - 1:
            x = there.alpha / here.alpha * x
        yield Step(x, x0, there)


def predictor_corrector(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    predictor: Literal["ancestral", "ddim"] = "ancestral",
    updates: int = 1,
    snr: float = 0.16,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """A step of another sampler, then Langevin updates at the level it came to; Song et al. (2021, SDE), Algorithm 1.

    predictor: "ddim" (the probability flow) or "ancestral", their ancestral sampling: where alpha falls its variance
        is that of DDPM, 1 - alpha_t (eq. 4), and where it stays, as on variance-exploding levels, that of the
        posterior, r**2 (s**2 - r**2) / s**2 from sigma = s to r (appendix F).
    updates: corrector updates at each level, none at the clean one.
    snr: r of their Algorithms 4 and 5, the norm of the step by the score over that of the noise: d = 2 (r |z| / |g|)**2
        for x + d * g + sqrt(2 d) * z, g the score.  The same in x and in x / alpha; Algorithm 5's further factor
        1 - beta is taken to be 1.
    The norms are each picture's own, not the batch's mean, so that a picture does not depend on its batch; d is at
    most sigma**2, which pictures do not come near, but a few dimensions do where the score vanishes.
    """
    if predictor not in ("ancestral", "ddim"):
        raise ValueError(f"there is no predictor {predictor!r}; there are 'ancestral', 'ddim'")
    if updates < 0 or not snr > 0:
        raise ValueError(f"updates is 0 or more and snr is positive, not {updates} and {snr}")
    for here, there in path:
        leg = given([here, there])
        if predictor == "ancestral":
            variance = "posterior" if here.alpha == there.alpha else "fixed"
            (step,) = ancestral(denoise, x, leg, variance=variance, noise=noise)
        else:
            (step,) = ddim(denoise, x, leg, noise=noise)
        x, x0 = step.x, step.x0
        for _ in range(updates if there.sigma > 0 else 0):
            x0 = denoise(x, there)
            score = (there.alpha * x0 - x) / there.sigma**2
            z = noise(x)
            d = 2 * snr**2 * _sum(z**2) / _sum(score**2)
            d = d.clamp(max=there.sigma.item() ** 2).view(-1, *[1] * (x.ndim - 1))
            x = x + d * score + (2 * d).sqrt() * z
        yield Step(x, x0, there)


def steady_step(ratio: float, updates: int) -> float:
    """The step that brings the spread of one level nearest to that of the next: Song & Ermon (2020), technique 4.

    ratio: sigma / alpha of a level over that of the next, > 1.  With h = step / 2 (their epsilon / sigma_L**2), the
    variance after T updates over the level's own is (1 - h)**(2 T) * (ratio**2 - c) + c, c = 2 / (2 - h), which is
    made least; it stays a little above 1.
    """
    h = np.linspace(1e-4, 1, 10_000)
    c = 2 / (2 - h)
    return 2 * float(h[np.argmin((1 - h) ** (2 * updates) * (ratio**2 - c) + c)])


def ncsn_path(sigma_max: float, sigma_min: float, size: int) -> Path:
    """The geometric levels of Song & Ermon (2020), technique 2, for pictures of `size` numbers; alpha = 1, clean last.

    Neighbours are so near that a draw from one is likely at the next: with C = Phi(sqrt(2 size) (r - 1) + 3 r) -
    Phi(sqrt(2 size) (r - 1) - 3 r), the ratio r makes C = 0.5.  The levels run from sigma_max to sigma_min.
    """
    if not 0 < sigma_min < sigma_max or size < 1:
        raise ValueError(f"levels run from a larger sigma to a smaller, not from {sigma_max} to {sigma_min}")

    def overlap(r: float) -> float:
        centre, phi = math.sqrt(2 * size) * (r - 1), lambda v: (1 + math.erf(v / math.sqrt(2))) / 2
        return phi(centre + 3 * r) - phi(centre - 3 * r)

    low, high = 1.0, 1e6
    if overlap(high) >= 0.5:  # 4 numbers or fewer: at any ratio
        low = high = sigma_max / sigma_min
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if overlap(middle) > 0.5 else (low, middle)
    count = max(2, 1 + round(math.log(sigma_max / sigma_min) / math.log(low)))
    sigma = torch.logspace(math.log10(sigma_max), math.log10(sigma_min), count, dtype=torch.float64)
    sigma = torch.cat([sigma, sigma.new_zeros(1)])
    return Path(Level(torch.ones_like(sigma), sigma))


def widest(data: Tensor) -> float:
    """The greatest distance between two examples of `data` [N, ...]: the noisiest sigma of technique 1, ibid."""
    flat = data.flatten(1)
    return torch.cdist(flat, flat).max().item()


def _ahead(x: Tensor, x0: Tensor, level: Level, step: float) -> Tensor:
    """The mean of an update."""
    return x + step / 2 * (level.alpha * x0 - x)


def _rise(
    denoise: Denoise, here: tuple[Tensor, Tensor], there: tuple[Tensor, Tensor], level: Level, inside: int
) -> Tensor:
    """log p(there) - log p(here), [B], by quadrature of the score on the line; each end comes with its x0."""
    order = np.polynomial.legendre.Legendre.basis(inside + 1)
    total = torch.zeros(len(here[0]), dtype=here[0].dtype, device=here[0].device)
    away = there[0] - here[0]
    for u in [-1.0, *np.sort(order.deriv().roots().real).tolist(), 1.0]:
        x = here[0] if u == -1 else there[0] if u == 1 else here[0] + (1 + u) / 2 * away
        x0 = here[1] if u == -1 else there[1] if u == 1 else denoise(x, level)
        weight = 1 / ((inside + 1) * (inside + 2) * float(order(u)) ** 2)
        total = total + weight * _sum((level.alpha * x0 - x) / level.sigma**2 * away)
    return total


def _arrive(denoise: Denoise, x: Tensor, path: Path, level: Level) -> Tensor:
    """x, brought from the path's first level to this one."""
    return last(ddim(denoise, x, given([path.first, level]))) if path.first.ratio > level.ratio else x


def _cleanest(path: Path) -> Level:
    """The least noisy level that has noise."""
    here, there = path[-1]
    return here if path.ends_clean else there


def _sum(x: Tensor) -> Tensor:
    """[B, ...] -> [B]."""
    return x.flatten(1).sum(1)


def _positive(updates: int, step: float) -> None:
    if updates < 1 or not 0 < step < 4:
        raise ValueError(f"Langevin needs one update or more and a step between 0 and 4, not {updates} and {step:g}")


LANGEVIN: dict[str, Sampler] = {f.__name__: f for f in (langevin, mala, annealed, predictor_corrector)}
