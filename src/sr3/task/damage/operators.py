"""What damages pictures, one function each: pictures [B, C, H, W] in [-1, 1] and one number per picture for each knob.

The knobs are float tensors [B] on the pictures' device; lengths are in pixels of the picture.  Nothing is clamped but
by the coders, which write 8 bits.
"""

import io
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sr3.picture import jpeg_twin
from sr3.random import Stream

Kernel = Literal["bicubic", "bilinear", "area", "nearest"]
"""Antialiased bicubic; bilinear of the four nearest pixels, which aliases; mean over the pixel's area; nearest."""

KERNELS: tuple[Kernel, ...] = ("bicubic", "bilinear", "area", "nearest")

_CUT = 3.5
"""Sigmas after which a Gaussian ends; its variance loses 1.3 %."""


def _grid(reach: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """(y, x) of a square of 2 reach + 1 pixels around 0, [K, 1] and [1, K]."""
    at = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    return at[:, None], at[None]


def gaussian(along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """Gaussian kernels [B, K, K] of sum 1: sigma `along` the angle (radians, from x towards y) and `across` it."""
    reach = max(1, int(torch.ceil(_CUT * torch.maximum(along, across).max())))
    y, x = _grid(reach, along)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    u, v = u / along.clamp(min=1e-3)[:, None, None], v / across.clamp(min=1e-3)[:, None, None]
    # cut along its own ellipse, so that a wider neighbour in the batch changes nothing; a sigma of 0 is no blur
    far = u * u + v * v
    kernel = torch.where(far <= _CUT**2, torch.exp(-0.5 * far), 0.0)
    return kernel / kernel.sum((1, 2), keepdim=True)


def disc(radius: Tensor) -> Tensor:
    """Discs [B, K, K] of height 1 whose edge is a ramp one pixel wide: what is out of focus.  The sum is the area."""
    reach = int(torch.ceil(radius.max() + 0.5))
    y, x = _grid(reach, radius)
    return (radius[:, None, None] + 0.5 - (x * x + y * y).sqrt()).clamp(0, 1)


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Each picture with its own kernel [B, K, K], K odd, centred; edges are repeated.  By FFT, as kernels are large."""
    _b, _c, h, w = x.shape
    reach = kernel.shape[-1] // 2
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    size = [-(-n // 16) * 16 for n in padded.shape[-2:]]  # sides that the FFT is quick for
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel, s=size)[:, None]
    blurred = torch.fft.irfft2(spectrum, s=size)
    return blurred[..., 2 * reach : 2 * reach + h, 2 * reach : 2 * reach + w]


def blur(x: Tensor, along: Tensor, across: Tensor, angle: Tensor, *, shape: str) -> Tensor:
    """Gaussian blur, or a disc ("disc") with the variance of a Gaussian whose sigma is `along`."""
    if shape == "gaussian":
        return convolve(x, gaussian(along, across, angle))
    kernel = disc(2 * along)  # a disc of radius R has a variance of R^2 / 4 along each axis
    return convolve(x, kernel / kernel.sum((1, 2), keepdim=True))


def resize(x: Tensor, *, size: tuple[int, int], kernel: Kernel) -> Tensor:
    """To (height, width)."""
    if kernel == "bicubic":
        return F.interpolate(x, size=size, mode="bicubic", antialias=True)
    if kernel == "bilinear":
        return F.interpolate(x, size=size, mode="bilinear")
    return F.interpolate(x, size=size, mode="area" if kernel == "area" else "nearest-exact")


def noise(x: Tensor, sigma: Tensor, shot: Tensor, grey: Tensor, *, rng: Stream) -> Tensor:
    """Gaussian noise of `sigma` and shot noise whose variance is `shot` times the brightness, both of a range [0, 1].

    shot: 1 / photons at white.  Poisson's counts are drawn as normal ones: at 100 photons and more, rounded to 8
    bits, nobody can tell.  grey: 1 where all channels share the noise, 0 where each has its own.
    """
    sigma, shot, grey = (knob[:, None, None, None] for knob in (sigma, shot, grey))
    z = rng.normal(x)
    light = (x.clamp(-1, 1) + 1) / 2
    z, light = torch.where(grey > 0, z[:, :1], z), torch.where(grey > 0, light.mean(1, keepdim=True), light)
    return x + 2 * (sigma**2 + shot * light).sqrt() * z


def sharpen(x: Tensor, amount: Tensor, sigma: Tensor) -> Tensor:
    """Unsharp masking: what a Gaussian blur would take away is added `amount` times."""
    return x + amount[:, None, None, None] * (x - convolve(x, gaussian(sigma, sigma, torch.zeros_like(sigma))))


def jpeg(x: Tensor, quality: Tensor, down: Tensor, right: Tensor, *, halved: bool) -> Tensor:
    """JPEG as `sr3.picture.jpeg_twin` has it, its blocks beginning so many (0 to 15) pixels above and left of x.

    A crop of a larger picture seldom begins where a block does.
    """
    _b, _, h, w = x.shape
    rows = torch.arange(h + 16, device=x.device) - down.long()[:, None]
    columns = torch.arange(w + 16, device=x.device) - right.long()[:, None]
    moved = _picked(x, rows.clamp(0, h - 1), columns.clamp(0, w - 1))
    coded = jpeg_twin.compress(moved, quality, halved=halved)
    back = [torch.arange(n, device=x.device) + by.long()[:, None] for n, by in ((h, down), (w, right))]
    return _picked(coded, *back)


def _picked(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rows [B, h] and columns [B, w] of pictures [B, C, H, W]."""
    each = torch.arange(len(x), device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def webp(x: Tensor, quality: Tensor) -> Tensor:
    """WebP by Pillow's encoder, on the CPU wherever x lies."""
    samples = ((x.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
    opened: list[Tensor] = []
    for picture, q in zip(samples, quality.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "WEBP", quality=round(q), method=0)
        with Image.open(file) as coded:
            opened.append(torch.from_numpy(np.array(coded.convert("RGB"))))
    return torch.stack(opened).permute(0, 3, 1, 2).to(x) / 127.5 - 1
