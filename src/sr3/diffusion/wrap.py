"""Wrappers: functions that take a denoiser and return one.  What samplers need no option for."""

from collections.abc import Callable

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.level import Level
from sr3.picture.windows import Window, taper, windows


def clipped(denoise: Denoise, low: float = -1.0, high: float = 1.0) -> Denoise:
    """Keeps the estimate of x0 within the range of pictures."""
    return lambda x, level: denoise(x, level).clamp(low, high)


def projected(denoise: Denoise, project: Callable[[Tensor], Tensor]) -> Denoise:
    """Holds the estimate of x0 to what is given: the range–null space correction of Wang et al. (2023, DDNM), eq. 13.

    project: x0 -> x0 + A⁺(y - A x0) for a linear degradation A with pseudo-inverse A⁺ and the given y = A x0.
    """
    return lambda x, level: project(denoise(x, level))


def known(denoise: Denoise, picture: Tensor, mask: Tensor) -> Denoise:
    """Puts the known pixels into the estimate of x0.

    picture: [B, C, H, W], looked at where mask, bool and broadcast to it, is False; True = pixels to be made.
    """
    return lambda x, level: torch.where(mask, denoise(x, level), picture.to(x.dtype))


def tiled(
    cut: Callable[[Window], Denoise],
    size: tuple[int, int],
    tile: int,
    halo: int,
    stride: int = 1,
    blend: int = 0,
) -> Denoise:
    """Evaluates the denoiser window by window, and fuses the estimates of x0 at every step.

    The sampler walks one noise field over the whole picture, so there is nothing left to join at the end.

    cut: gives the denoiser of a window, that is, one whose conditioning is cut to `window.outer`.
    size: (height, width) of x.  tile: side of the largest core.  halo, stride, blend: see `windows.windows`.

    blend = 0: each pixel is taken from the one window whose core it is in.  For a network that sees at most `halo`
        pixels far, on a grid of `stride`, the result is that of the whole picture, whatever the tile.
    blend > 0: neighbouring cores overlap and are averaged with smooth weights: for networks without such a bound.
    """
    pieces = [(window, cut(window)) for window in windows(size, tile, halo=halo, stride=stride, blend=blend)]
    weights = [taper(window, size, blend) for window, _ in pieces] if blend else []
    total = torch.zeros(size)
    for (window, _), weight in zip(pieces, weights, strict=False):
        total[window.core] += weight

    def denoise(x: Tensor, level: Level) -> Tensor:
        if tuple(x.shape[-2:]) != tuple(size):
            raise ValueError(f"x is {x.shape[-2]}x{x.shape[-1]} and the tiles were cut for {size[0]}x{size[1]}")
        fused = torch.zeros_like(x)
        for k, (window, part) in enumerate(pieces):
            made = part(x[(..., *window.outer)], level)[(..., *window.inner)]
            if blend:
                share = weights[k] / total[window.core]
                fused[(..., *window.core)] += made * share.to(x.dtype).to(x.device)
            else:
                fused[(..., *window.core)] = made
        return fused

    return denoise
