"""Peak signal-to-noise ratio."""

from torch import Tensor

from sr3.metric.base import PerPicture, cut, luma, same

MOST = 100.0
"""dB that a picture counts with at most in a mean: one that is its original exactly would make all others' nothing."""


def psnr(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """-10 log10 of the mean square error over pixels and channels, in dB, one number per example: [B].

    border: pixels left out at each side; the literature's habit is the scale.  Infinite for equal pictures.
    """
    same(made, target)
    error = (cut(made, border).double() - cut(target, border).double()).square().flatten(1).mean(1)
    return -10 * error.log10()


def psnr_y(made: Tensor, target: Tensor, border: int = 0) -> Tensor:
    """`psnr` on the luma, see `luma`."""
    return psnr(luma(made.double()), luma(target.double()), border)


class PSNR(PerPicture):
    """Mean over pictures of `psnr` and `psnr_y`, each at most `MOST`."""

    higher_is_better = True
    names = ("psnr", "psnr_y")

    def __init__(self, border: int = 0):
        super().__init__()
        self.border = border

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.means.add("psnr", psnr(made, target, self.border).clamp(max=MOST))
        self.means.add("psnr_y", psnr_y(made, target, self.border).clamp(max=MOST))
