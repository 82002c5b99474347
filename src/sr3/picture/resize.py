"""Antialiased bicubic by an integer factor, as a linear operator with its adjoint and its pseudo-inverse.

The kernel is Keys' cubic with a = -0.5 stretched by the factor, weights normalised at every output pixel, taps
beyond the border dropped: what `torch.nn.functional.interpolate(mode="bicubic", antialias=True)` and Pillow's BICUBIC
compute.  Written as a strided convolution it has an exact adjoint, which projection needs.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel (1981), eq. 4 with a = -0.5, of any shape; 0 beyond 2."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _before(factor: int) -> int:
    """How many pixels the window of 4 * factor taps begins before the block of pixels it stands for."""
    return (3 * factor + 1) // 2


@lru_cache(maxsize=16)
def _taps(factor: int) -> Tensor:
    """The kernel's 4 * factor taps around one output pixel, float64, unnormalised sum 1 in the interior."""
    offsets = torch.arange(4 * factor, dtype=torch.float64) - _before(factor) - (factor - 1) / 2
    taps = cubic(offsets / factor)
    return taps / taps.sum()


@lru_cache(maxsize=64)
def _weight_sums(size: int, factor: int) -> Tensor:
    """How much of the kernel lies inside the picture at each of size // factor outputs."""
    taps = _taps(factor)
    padding = _before(factor)
    ones = F.pad(torch.ones(size, dtype=torch.float64), (padding, padding + factor))
    return ones.unfold(0, 4 * factor, factor)[: size // factor] @ taps


def _one_axis(x: Tensor, factor: int) -> Tensor:
    """Shrink the last axis of [B, C, H, W]."""
    padding = _before(factor)
    out = x.shape[-1] // factor
    taps = _taps(factor).to(x.dtype).to(x.device)
    windows = F.pad(x, (padding, padding + factor)).unfold(-1, 4 * factor, factor)[..., :out, :]
    return (windows @ taps) / _weight_sums(x.shape[-1], factor).to(x.dtype).to(x.device)


def _one_axis_adjoint(y: Tensor, factor: int) -> Tensor:
    """The transpose of `_one_axis`, onto factor times as many pixels."""
    padding = _before(factor)
    size = y.shape[-1] * factor
    taps = _taps(factor).to(y.dtype).to(y.device)
    y = y / _weight_sums(size, factor).to(y.dtype).to(y.device)
    lead = y.shape[:-1]
    spread = F.conv_transpose1d(y.reshape(-1, 1, y.shape[-1]), taps[None, None], stride=factor)
    return spread[..., padding : padding + size].reshape(*lead, size)


def shrink(x: Tensor, factor: int) -> Tensor:
    """A x: antialiased bicubic reduction.  [B, C, H, W] -> [B, C, H / factor, W / factor]; H, W multiples of factor."""
    if x.shape[-1] % factor or x.shape[-2] % factor:
        raise ValueError(
            f"a picture of {x.shape[-1]}x{x.shape[-2]} cannot be reduced by {factor}: "
            f"its sides must be multiples of {factor}"
        )
    if factor == 1:
        return x
    x = _one_axis(x.transpose(-1, -2), factor).transpose(-1, -2)
    return _one_axis(x, factor)


def shrink_adjoint(y: Tensor, factor: int) -> Tensor:
    """A^T y: <A x, y> = <x, A^T y>.  [B, C, h, w] -> [B, C, h * factor, w * factor]."""
    if factor == 1:
        return y
    y = _one_axis_adjoint(y, factor)
    return _one_axis_adjoint(y.transpose(-1, -2), factor).transpose(-1, -2)


@lru_cache(maxsize=32)
def _gram_inverse(size: int, factor: int) -> Tensor:
    """(A A^T)^-1 along one axis of `size` low-resolution pixels, float32 [size, size].

    A A^T is banded and well conditioned (about 4), so the inverse is harmless; it is made in float64.
    """
    unit = torch.eye(size, dtype=torch.float64)[:, None, None, :]
    # some rows at a time, as each is many times as long in between
    gram = torch.cat([_one_axis(_one_axis_adjoint(rows, factor), factor)[:, 0, 0, :] for rows in unit.split(64)])
    return torch.linalg.inv(gram).float()


def shrink_inverse(y: Tensor, factor: int) -> Tensor:
    """A^+ y = A^T (A A^T)^-1 y, the smallest picture that shrinks to y: `shrink(shrink_inverse(y)) = y`."""
    if factor == 1:
        return y
    across = _gram_inverse(y.shape[-1], factor).to(y.dtype).to(y.device)
    along = _gram_inverse(y.shape[-2], factor).to(y.dtype).to(y.device)
    return shrink_adjoint(along @ y @ across.T, factor)


def enlarge(y: Tensor, factor: int) -> Tensor:
    """Bicubic enlargement, [B, C, h, w] -> [B, C, h * factor, w * factor]; torch's kernel with a = -0.5, as Pillow's.

    `antialias=True` changes nothing when enlarging but the kernel: without it torch uses a = -0.75.
    """
    if factor == 1:
        return y
    return F.interpolate(y, scale_factor=factor, mode="bicubic", antialias=True)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bicubic to (height, width)."""
    return F.interpolate(x, size=size, mode="bicubic", antialias=True)


def project(x: Tensor, y: Tensor, factor: int) -> Tensor:
    """The picture nearest to x that shrinks to y: x + A^+ (y - A x); Wang et al. (2022, DDNM), eq. 13."""
    return x + shrink_inverse(y - shrink(x, factor), factor)


def round8(x: Tensor) -> Tensor:
    """[-1, 1] as a file with 8 bits holds it: clamped and rounded to 256 values."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
