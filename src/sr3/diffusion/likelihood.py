"""How likely a model finds a picture: the change of density along the probability flow."""

import math

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.level import Level
from sr3.diffusion.path import Path
from sr3.diffusion.sample import Noise


def log_likelihood(
    denoise: Denoise,
    x: Tensor,
    path: Path,
    *,
    probes: int | None = 1,
    mean: float | Tensor = 0.0,
    spread: float = 0.0,
    noise: Noise = torch.randn_like,
) -> Tensor:
    """log p(x) in nats, [B], at the path's cleanest level that has noise; Song et al. (2021, SDE), eq. 39.

    For y = x / alpha and u = log(sigma / alpha) the probability flow is dy/du = y - x0(alpha * y), so that
    d log p / du = -D + trace(d x0 / d y).  Both are taken together from the cleanest level up to the noisiest by
    the classical Runge-Kutta method of order 4 on the levels of the path; even log-SNR suits it.

    mean, spread: of the data, as far as known: at the noisy end p is taken to be N(alpha * mean, sigma**2 + (alpha *
        spread)**2).  What they leave out costs about |error of the mean| * alpha / sigma nats there.

    x: [B, ...] at that level (the picture itself, where the level is finer than its steps of grey).
    probes: random signs for Hutchinson's trace, the same for the whole way (Grathwohl et al. 2019): unbiased, one
        backward pass each at each of the 4 evaluations of a step; None: the exact trace, one pass for each dimension.
    denoise must be differentiable: neither under `torch.inference_mode` nor rounded.
    """
    if probes is not None and probes < 1:
        raise ValueError(f"the trace needs one probe or more, not {probes}; None: the exact trace")
    draws = None
    if probes is not None:
        draws = [torch.where(noise(x) < 0, -1.0, 1.0).to(x.dtype) for _ in range(probes)]
    pairs = [(there, here) for here, there in path if there.sigma > 0][::-1]  # from clean to noise
    if not pairs:
        raise ValueError("the probability flow needs a path of two levels with noise or more")
    begin, end = pairs[0][0], pairs[-1][1]
    size = x[0].numel()
    y = x / begin.alpha
    gained = -size * begin.alpha.log() * torch.ones(len(x), dtype=x.dtype, device=x.device)  # from dx to dy
    for here, there in pairs:
        h = there.ratio.log() - here.ratio.log()
        middle = _between(here, there)
        k1, g1 = _flow(denoise, y, here, draws)
        k2, g2 = _flow(denoise, y + h / 2 * k1, middle, draws)
        k3, g3 = _flow(denoise, y + h / 2 * k2, middle, draws)
        k4, g4 = _flow(denoise, y + h * k3, there, draws)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        gained = gained + h / 6 * (g1 + 2 * g2 + 2 * g3 + g4)
    variance = end.ratio**2 + spread**2
    prior = -((y - mean) ** 2) / (2 * variance) - 0.5 * (2 * math.pi * variance).log()
    return prior.flatten(1).sum(1) + gained


def bits_per_dim(log_density: Tensor, size: int, width: float = 2 / 255) -> Tensor:
    """Bits for each number of a picture, of log_density's shape; lower is better.

    log_density: in nats.  size: numbers in a picture.  width: of a step of grey in the picture's units; pictures in
    [-1, 1] from 8 bits have 2 / 255.  A density is a probability only where the picture was made continuous, by
    noise of about that width (Theis et al. 2016, section 3.1).
    """
    return -log_density / (size * math.log(2)) - math.log2(width)


def _flow(denoise: Denoise, y: Tensor, level: Level, draws: list[Tensor] | None) -> tuple[Tensor, Tensor]:
    """dy/du, and its divergence [B]."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        slope = y - denoise(level.alpha * y, level)
        if draws is None:
            flat = slope.flatten(1)
            rows = (_row(flat[:, i].sum(), y)[:, i] for i in range(flat.shape[1]))
            growth = torch.stack(list(rows)).sum(0)
        else:
            growth = torch.stack([(_row((v * slope).sum(), y) * v.flatten(1)).sum(1) for v in draws]).mean(0)
    return slope.detach(), growth


def _between(here: Level, there: Level) -> Level:
    """The level half way in log(sigma / alpha), of the same kind: alpha = 1, or alpha**2 + sigma**2 in between."""
    ratio = (here.ratio * there.ratio).sqrt()
    if here.alpha == 1 == there.alpha:
        return Level(torch.ones_like(ratio), ratio)
    power = ((here.alpha**2 + here.sigma**2) * (there.alpha**2 + there.sigma**2)).sqrt()
    alpha = (power / (1 + ratio**2)).sqrt()
    return Level(alpha, ratio * alpha)


def _row(value: Tensor, y: Tensor) -> Tensor:
    return torch.autograd.grad(value, y, retain_graph=True)[0].flatten(1)
