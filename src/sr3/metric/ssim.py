"""Structural similarity."""

import torch
from torch import Tensor

from sr3.metric.base import PerPicture, cut, luma, nan, same

SIDE, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def _taps() -> list[float]:
    taps = torch.exp(-0.5 * ((torch.arange(SIDE, dtype=torch.float64) - SIDE // 2) / SIGMA) ** 2)
    return (taps / taps.sum()).tolist()


def _along(x: Tensor) -> Tensor:
    """The window along the last axis, where it fits whole.  Sums of slices: far quicker than a convolution."""
    taps, middle, size = _taps(), SIDE // 2, x.shape[-1] - SIDE + 1
    out = taps[middle] * x[..., middle : middle + size]
    for i in range(middle):
        out.add_(x[..., i : i + size] + x[..., SIDE - 1 - i : SIDE - 1 - i + size], alpha=taps[i])
    return out


def _mean(x: Tensor) -> Tensor:
    return _along(_along(x).transpose(-1, -2).contiguous()).transpose(-1, -2)


def ssim(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """Wang et al. (2004), eq. 13: 11 x 11 Gaussian window, sigma 1.5, where it fits whole; mean over channels: [B].

    NaN for pictures smaller than the window.
    """
    same(made, target)
    # about mid-grey float32 is enough: the variances, which do not see the shift, keep their digits (error below 1e-6)
    a, b = ((cut(x, border) - 0.5).float() for x in (made, target))
    if min(a.shape[-2:]) < SIDE:
        return nan(len(a))
    ma, mb = _mean(a), _mean(b)
    va, vb, ab = _mean(a * a) - ma**2, _mean(b * b) - mb**2, _mean(a * b) - ma * mb
    ma, mb = ma + 0.5, mb + 0.5
    c1, c2 = K1**2, K2**2
    each = (2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return each.flatten(1).double().mean(1)


def ssim_y(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """`ssim` on the luma, see `luma`."""
    return ssim(luma(made.double()), luma(target.double()), border)


class SSIM(PerPicture):
    """Mean over pictures of `ssim` and `ssim_y`; pictures smaller than the window are left out."""

    higher_is_better = True
    names = ("ssim", "ssim_y")

    def __init__(self, border: int = 0):
        super().__init__()
        self.border = border

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.means.add("ssim", ssim(made, target, self.border))
        self.means.add("ssim_y", ssim_y(made, target, self.border))
