"""Samplers: generators that walk a path from noise to a picture.

A sampler is `(denoise, x, path, *, noise, …options) -> Iterator[Step]`.  x is at the first level of the path; each
step yields where the walk has come to.  Progress, previews, stopping and time limits belong to whoever iterates.
All work for any (alpha, sigma).  In the bodies (a, s) is the level here and (b, r) the cleaner level there.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.level import Level
from sr3.diffusion.path import Path

Noise = Callable[[Tensor], Tensor]
"""Standard normal noise of its argument's shape, type and device: torch.randn_like, or a `random.Seeds`."""


class Step(NamedTuple):
    """One step of a walk."""

    x: Tensor
    """Where the walk is, [B, ...]."""
    x0: Tensor
    """Where it was thought to end, when the step was taken."""
    level: Level
    """The noise level of x, of shape []."""
    accepted: Tensor | None = None
    """[B], the share of the proposals since the step before that were accepted; None where nothing is refused."""


Sampler = Callable[..., Iterator[Step]]


def ancestral(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    variance: Literal["fixed", "posterior"] = "fixed",
    spread: float = 1.0,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """SR3's Algorithm 2 (Saharia et al. 2021), which is that of Ho et al. (2020).

    The mean is that of q(x_there | x_here, x0), Ho et al., eq. 7.  No noise is added at the step to the clean level.

    variance: "posterior", that of the same (their beta-tilde), right if the data were one point; or "fixed", the
        larger 1 - alpha_t of SR3, right if the data were standard normal.
    spread: the standard deviation d of what is diffused, which the latter supposes.  If x0 is N(m, d**2), x_there and
        x_here are jointly normal with variances b**2 d**2 + r**2 and a**2 d**2 + s**2, and x_here = (a / b) x_there +
        noise of variance v = s**2 - (a r / b)**2; conditioning the first on the second leaves the variance
        v (b**2 d**2 + r**2) / (a**2 d**2 + s**2).  With d = 1 and levels that preserve variance it is v = 1 - alpha_t.
    """
    if variance not in ("fixed", "posterior"):
        raise ValueError(f"there is no variance {variance!r}; there are 'fixed', 'posterior'")
    for here, there in path:
        x0 = denoise(x, here)
        (a, s), (b, r) = here, there
        step = s**2 - (a * r / b) ** 2  # variance of q(x_here | x_there): 1 - alpha_t
        x = (a * r**2) / (b * s**2) * x + b * step / s**2 * x0
        if r > 0:
            d = 0.0 if variance == "posterior" else spread  # one point has no spread
            x = x + (((b * d) ** 2 + r**2) / ((a * d) ** 2 + s**2) * step).sqrt() * noise(x)
        yield Step(x, x0, there)


def ddim(
    denoise: Denoise, x: Tensor, path: Path, *, eta: float = 0.0, noise: Noise = torch.randn_like
) -> Iterator[Step]:
    """Song et al. (2021, DDIM), eq. 12.  eta = 0: deterministic; eta = 1: `ancestral` with the posterior variance."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is between 0 and 1, not {eta}")
    for here, there in path:
        x0 = denoise(x, here)
        (a, s), (b, r) = here, there
        if r == 0:  # none of the noise is left
            x = b * x0
        else:
            eps = (x - a * x0) / s
            fresh = eta * r * (1 - (a * r / (b * s)) ** 2).sqrt()
            x = b * x0 + (r**2 - fresh**2).sqrt() * eps
            if fresh > 0:
                x = x + fresh * noise(x)
        yield Step(x, x0, there)


def heun(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    churn: float = 0.0,
    churn_low: float = 0.0,
    churn_high: float = float("inf"),
    churn_noise: float = 1.0,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """Karras et al. (2022), Algorithm 2; with churn = 0 it is Algorithm 1 and deterministic.

    Two evaluations a step, one at the step to the clean level.  The algorithm is written for y = x / alpha, whose
    noise is sigma / alpha.  churn, churn_low, churn_high and churn_noise are the paper's S_churn, S_tmin, S_tmax and
    S_noise.
    """
    for here, there in path:
        if churn > 0 and churn_low <= here.ratio <= churn_high:
            up = _noisier(here, 1 + min(churn / len(path), 2**0.5 - 1))
            y = x / here.alpha + (up.ratio**2 - here.ratio**2).sqrt() * churn_noise * noise(x)
            here, x = up, up.alpha * y
        x0 = denoise(x, here)
        if there.sigma == 0:
            x = there.alpha * x0
        else:
            y = x / here.alpha
            slope = (y - x0) / here.ratio
            ahead = y + (there.ratio - here.ratio) * slope
            slope_ahead = (ahead - denoise(there.alpha * ahead, there)) / there.ratio
            x = there.alpha * (y + (there.ratio - here.ratio) * (slope + slope_ahead) / 2)
        yield Step(x, x0, there)


def dpmpp(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    order: Literal[1, 2] = 2,
    eta: float = 0.0,
    noise: Noise = torch.randn_like,
) -> Iterator[Step]:
    """DPM-Solver++ in its multistep form, Lu et al. (2022, DPM-Solver++), Algorithm 2; one evaluation a step.

    order 1 is DDIM.  eta = 1 solves the reverse SDE instead of the ODE (their section 5, SDE-DPM-Solver++) and eta
    between the two mixes them: order 1 with eta = 1 is `ancestral` with the posterior variance.  The first step, and
    the one to the clean level, where the log-SNR is infinite, are of order 1.
    """
    if order not in (1, 2):
        raise ValueError(f"the order is 1 or 2, not {order}")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is between 0 and 1, not {eta}")
    before: tuple[Tensor, Tensor] | None = None  # the last step's estimate and length
    for here, there in path:
        x0 = denoise(x, here)
        (_, s), (b, r) = here, there
        if r == 0:
            x = b * x0
        else:
            h = (there.logsnr - here.logsnr) / 2
            towards = x0
            if order == 2 and before is not None:
                towards = x0 + h / (2 * before[1]) * (x0 - before[0])
            x = r / s * torch.exp(-eta * h) * x - b * torch.expm1(-(1 + eta) * h) * towards
            del towards  # walks by bands wait with what they hold
            if eta > 0:
                x = x + r * (-torch.expm1(-2 * eta * h)).sqrt() * noise(x)
            before = x0, h
        yield Step(x, x0, there)


def once(denoise: Denoise, x: Tensor, path: Path, *, noise: Noise = torch.randn_like) -> Iterator[Step]:
    """One evaluation at the first level, for regressors, which need no walk.  The rest of the path is not visited."""
    x0 = denoise(x, path.first)
    one = torch.ones((), dtype=torch.float64)
    yield Step(x0, x0, Level(one, one - one))


def last(steps: Iterator[Step]) -> Tensor:
    """Where a walk ends: its last x."""
    x = None
    for step in steps:
        x = step.x
    if x is None:
        raise ValueError("the walk is over: it has no step left")
    return x


def _noisier(level: Level, factor: float) -> Level:
    """The level whose sigma / alpha is `factor` times as large, of the same kind: alpha = 1 stays 1 (variance
    exploding), and otherwise alpha**2 + sigma**2 stays what it is."""
    a, s = level
    shrink = torch.ones_like(a) if a == 1 else ((a**2 + s**2) / (a**2 + (factor * s) ** 2)).sqrt()
    return Level(a * shrink, factor * s * shrink)


WALKS: dict[str, Sampler] = {f.__name__: f for f in (ancestral, ddim, heun, dpmpp, once)}
