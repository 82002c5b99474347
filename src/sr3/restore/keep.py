"""Keeping: where the picture given must stay as it is, and nothing may be made up."""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.wrap import known
from sr3.picture.picture import PictureError
from sr3.task import Given, Restoration


class Keep(NamedTuple):
    """What stays: a picture [1, 3, H, W] of the result's size, and where it does not, bool [1, 1, H, W].

    A denoiser that is wrapped sees it at every step, so that what is made around it goes with it.
    """

    picture: Tensor
    made: Tensor

    @classmethod
    def of(cls, task: Restoration, given: Given, where: Tensor) -> Self:
        """What one gets without a model, kept where `where`, bool [1, 1, h, w] of the picture given, is True.

        PictureError where the sizes differ.
        """
        if where.shape[-2:] != given.image.shape[-2:]:
            (high, wide), (h, w) = where.shape[-2:], given.image.shape[-2:]
            raise PictureError(f"the mask is {wide}x{high} and the picture {w}x{h}; give a mask of the same size")
        size = task.result_size(given)
        return cls(task.baseline(given), ~(F.interpolate(where.float(), size) > 0))

    def wrap(self, denoise: Denoise) -> Denoise:
        """A denoiser that knows what stays."""

        def told(x: Tensor) -> Keep:
            return Keep(self.picture.to(x.device), self.made.to(x.device))

        return lambda x, level: known(denoise, *told(x))(x, level)

    def join(self, made: Tensor) -> Tensor:
        """What was made, with what stays in its place."""
        return torch.where(self.made, made, self.picture.to(made))
