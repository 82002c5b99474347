"""Antialiased bicubic by an integer factor, as a linear operator with its adjoint and its pseudo-inverse.

The kernel is Keys' cubic with a = -0.5 stretched by the factor, weights normalised at every output pixel, taps
beyond the border dropped: what `torch.nn.functional.interpolate(mode="bicubic", antialias=True)` and Pillow's BICUBIC
compute.  It has an exact adjoint, which projection needs.  Along each axis both are products with a narrow band of a
matrix, and done by blocks of it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

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


class _Block(NamedTuple):
    """Some neighbouring small pixels of an axis, large ones, and what the latter count in the former.

    weights: [small, large], float64.
    """

    small: slice
    large: slice
    weights: Tensor


@lru_cache(maxsize=128)
def _blocks(size: int, factor: int, length: int, *, adjoint: bool) -> Sequence[_Block]:
    """The reduction along an axis of `size` large pixels, by so many small ones at a time.

    Each block has all large pixels that its small ones see; with `adjoint` all small ones that its large ones are seen
    by.
    """
    taps, before, count = _taps(factor), _before(factor), size // factor
    blocks: list[_Block] = []
    for first in range(0, count, length):
        after = min(count, first + length)
        if adjoint:
            small, large = slice(max(0, first - 2), min(count, after + 2)), slice(first * factor, after * factor)
        else:
            start, stop = first * factor - before, (after + 3) * factor - before
            small, large = slice(first, after), slice(max(0, start), min(size, stop))
        rows, columns = torch.arange(small.start, small.stop), torch.arange(large.start, large.stop)
        place = columns - factor * rows[:, None] + before
        weights = torch.where((place >= 0) & (place < 4 * factor), taps[place.clamp(0, 4 * factor - 1)], 0.0)
        weights /= _weight_sums(size, factor)[small, None]
        if blocks and torch.equal(weights, blocks[-1].weights):
            weights = blocks[-1].weights  # within a picture all are alike
        blocks.append(_Block(small, large, weights))
    return tuple(blocks)


@lru_cache(maxsize=128)
def _as(weights: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return weights.to(dtype).to(device)


def _length(x: Tensor) -> int:
    """Small pixels of a block: few on a CPU, where its arithmetic is what counts, and many where its calls do."""
    return 16 if x.device.type == "cpu" else 512


def _across(x: Tensor, factor: int) -> Tensor:
    """Shrink the last axis of [B, C, H, W]."""
    blocks = _blocks(x.shape[-1], factor, _length(x), adjoint=False)
    return torch.cat([x[..., large] @ _as(weights, x.dtype, x.device).T for _, large, weights in blocks], dim=-1)


def _down(x: Tensor, factor: int) -> Tensor:
    """Shrink the last axis but one."""
    blocks = _blocks(x.shape[-2], factor, _length(x), adjoint=False)
    return torch.cat([_as(weights, x.dtype, x.device) @ x[..., large, :] for _, large, weights in blocks], dim=-2)


def _across_adjoint(y: Tensor, factor: int) -> Tensor:
    """The transpose of `_across`, onto factor times as many pixels."""
    blocks = _blocks(y.shape[-1] * factor, factor, _length(y), adjoint=True)
    return torch.cat([y[..., small] @ _as(weights, y.dtype, y.device) for small, _, weights in blocks], dim=-1)


def _down_adjoint(y: Tensor, factor: int, onto: Tensor | None = None) -> Tensor:
    """The transpose of `_down`; onto: [B, C, H, W], what it is added to."""
    blocks = _blocks(y.shape[-2] * factor, factor, _length(y), adjoint=True)
    out = y.new_empty(*y.shape[:-2], y.shape[-2] * factor, y.shape[-1])
    for small, large, weights in blocks:
        part = _as(weights, y.dtype, y.device).T @ y[..., small, :]
        out[..., large, :] = part if onto is None else part.add_(onto[..., large, :])
    return out


def shrink(x: Tensor, factor: int) -> Tensor:
    """A x: antialiased bicubic reduction.  [B, C, H, W] -> [B, C, H / factor, W / factor]; H, W multiples of factor."""
    if x.shape[-1] % factor or x.shape[-2] % factor:
        raise ValueError(
            f"a picture of {x.shape[-1]}x{x.shape[-2]} cannot be reduced by {factor}: "
            f"its sides must be multiples of {factor}"
        )
    if factor == 1:
        return x
    return _across(_down(x, factor), factor)


def shrink_adjoint(y: Tensor, factor: int) -> Tensor:
    """A^T y: <A x, y> = <x, A^T y>.  [B, C, h, w] -> [B, C, h * factor, w * factor]."""
    if factor == 1:
        return y
    return _down_adjoint(_across_adjoint(y, factor), factor)


@lru_cache(maxsize=32)
def _gram_inverse(size: int, factor: int) -> Tensor:
    """(A A^T)^-1 along one axis of `size` low-resolution pixels, float32 [size, size].

    A A^T is banded and well conditioned (about 4), so the inverse is harmless; it is made in float64.
    """
    # some rows at a time, as each is many times as long in between
    rows = torch.eye(size, dtype=torch.float64).split(64)
    gram = torch.cat([_across(_across_adjoint(some, factor), factor) for some in rows])
    return torch.linalg.inv(gram).float()


def shrink_inverse(y: Tensor, factor: int) -> Tensor:
    """A^+ y = A^T (A A^T)^-1 y, the smallest picture that shrinks to y: `shrink(shrink_inverse(y)) = y`."""
    if factor == 1:
        return y
    return shrink_adjoint(_unmixed(y, factor), factor)


_AT_ONCE, _FADES = 512, 32
"""Pixels of an axis whose inverse is applied by one matrix, and beside them those that still count: it falls by more
than half from one pixel to the next."""


def _unmixed(y: Tensor, factor: int) -> Tensor:
    """(A A^T)^-1 y, some of an axis at a time: a matrix of all of it would grow with its square."""
    down = [inverse @ y[..., seen, :] for seen, inverse in _inverses(y.shape[-2], factor, y)]
    along = torch.cat(down, dim=-2) if len(down) > 1 else down[0]
    across = [along[..., seen] @ inverse.T for seen, inverse in _inverses(y.shape[-1], factor, y)]
    return torch.cat(across, dim=-1) if len(across) > 1 else across[0]


def _inverses(size: int, factor: int, like: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The pixels of an axis that are seen, and the rows of the inverse that make some of it of them."""
    for first in range(0, size, _AT_ONCE):
        after = min(size, first + _AT_ONCE)
        seen = slice(max(0, first - _FADES), min(size, after + _FADES))
        inverse = _gram_inverse(seen.stop - seen.start, factor)[first - seen.start : after - seen.start]
        yield seen, inverse.to(like.dtype).to(like.device)


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
    if factor == 1:
        return x + (y - x)
    change = _unmixed(y - shrink(x, factor), factor)
    return _down_adjoint(_across_adjoint(change, factor), factor, onto=x)


def round8(x: Tensor) -> Tensor:
    """[-1, 1] as a file with 8 bits holds it: clamped and rounded to 256 values."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
