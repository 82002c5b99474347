"""A repeating pattern at the scale's period, which pixel shuffle and strided convolutions leave: a test of spectra."""

import torch
from torch import Tensor

from sr3.metric.base import PerPicture, luma, nan, same

PERIODS = 8
"""A window is so many periods wide: the frequencies looked at are then 8 bins apart."""

NEAR, FAR = 2, 3
"""Neighbours are so many bins away, beyond the main lobe of Hann's window and within half the way to the next."""


def excess(x: Tensor, factor: int) -> Tensor:
    """Power at the multiples of 1 / factor over its neighbours', in dB, of pictures [B, 3, H, W] in [0, 1]: [B].

    Luma in windows of 8 factor x 8 factor, half overlapping, mean taken off, under Hann's window; log of the power,
    and from it the mean log power of the bins 2 to 3 away; mean over all (i, j) / factor but (0, 0), then over windows.
    Power has that of 8-bit rounding added, so that flat places say 0 rather than anything.  About 0 where nothing
    repeats, though not exactly: photographs are not alike in all directions, and of noise the mean log at the (up to
    three) frequencies of real numbers is 3 dB lower than at the others.  NaN for pictures smaller than a window.
    """
    side = PERIODS * factor
    if factor < 2 or min(x.shape[-2:]) < side:
        return nan(len(x))
    windows = (255 * luma(x.double()))[:, 0].unfold(1, side, side // 2).unfold(2, side, side // 2)
    hann = torch.hann_window(side, dtype=torch.float64, device=x.device)
    hann = hann[:, None] * hann
    flat = windows - windows.mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(flat * hann).abs().square() + hann.square().sum() / 12
    log = 10 * power.log10()
    lines = torch.cartesian_prod(*2 * [torch.arange(0, side, PERIODS)])[1:]
    steps = torch.cartesian_prod(*2 * [torch.arange(-FAR, FAR + 1)])
    around = (lines[:, None] + steps[steps.abs().amax(1) >= NEAR]) % side
    above = log[..., lines[:, 0], lines[:, 1]] - log[..., around[..., 0], around[..., 1]].mean(-1)
    return above.flatten(1).mean(1).cpu()


class Grid(PerPicture):
    """How much more of a pattern of period `factor` the result has than its original, in dB, at least 0, per picture.

    The difference of `excess`: what repeats in the scene itself or was left by JPEG is in both.  Blur and
    interpolation leave less than the original there, which no eye minds: that counts as 0.
    """

    higher_is_better = False
    names = ("grid",)

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        same(made, target)
        self.means.add("grid", (excess(made, self.factor) - excess(target, self.factor)).clamp(min=0))
