"""Structural similarity."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.metric.base import Means, cut, luma, nan

SIDE, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def _window(x: Tensor) -> Tensor:
    taps = torch.exp(-0.5 * ((torch.arange(SIDE, dtype=x.dtype, device=x.device) - SIDE // 2) / SIGMA) ** 2)
    return taps / taps.sum()


def ssim(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """Wang et al. (2004), eq. 13: 11 x 11 Gaussian window, sigma 1.5, where it fits whole; mean over channels: [B].

    NaN for pictures smaller than the window.
    """
    a, b = cut(made, border).double(), cut(target, border).double()
    if min(a.shape[-2:]) < SIDE:
        return nan(len(a))
    channels = a.shape[1]
    taps = _window(a)

    def mean(x: Tensor) -> Tensor:
        rows = F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(rows, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

    ma, mb = mean(a), mean(b)
    va, vb, ab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = K1**2, K2**2
    each = (2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return each.flatten(1).mean(1)


def ssim_y(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """`ssim` on the luma, see `luma`."""
    return ssim(luma(made.double()), luma(target.double()), border)


class SSIM:
    """Mean over pictures of `ssim` and `ssim_y`; pictures smaller than the window are left out."""

    higher_is_better = True

    def __init__(self, border: int = 0):
        self.border, self.means = border, Means()

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        for name, measure in (("ssim", ssim), ("ssim_y", ssim_y)):
            each = measure(made, target, self.border)
            self.means.add(name, each[each.isfinite()])

    def merge(self, other: "SSIM") -> None:
        self.means.merge(other.means)

    def compute(self) -> dict[str, float]:
        known = {k: v for k, v in self.means.sums.items() if self.means.counts[k]}
        return {"ssim": float("nan"), "ssim_y": float("nan")} | {k: v / self.means.counts[k] for k, v in known.items()}
