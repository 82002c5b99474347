"""What tells results from photographs in adversarial training: heads on a model's features, and a network of pixels."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """Looks at one map of features and says for each of its positions whether it is of a photograph."""

    def __init__(self, width: int, inside: int = 64):
        super().__init__()
        self.first = nn.Conv2d(width, inside, 3, padding=1)
        self.second = nn.Conv2d(inside, inside, 3, padding=1)
        self.leave = nn.Conv2d(inside, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 1, h, w]; above 0 for photographs."""
        h = F.leaky_relu(self.first(features), 0.2)
        return self.leave(F.leaky_relu(self.second(h), 0.2))


class Pixels(nn.Module):
    """Looks at the picture itself, at several sizes, and says of each position whether it is of a photograph.

    A model's features, of a noised picture, do not hold what lies below the noise: dots and combs one pixel wide pass
    them.  These convolutions see every pixel, as the discriminators of Isola et al. (2017, PatchGAN) and of Wang et
    al. (2021, Real-ESRGAN) do; the finest verdict is of 7×7 pixels, the widest of 70×70.

    widths: channels at the whole size, at a half, a quarter and so on.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 64, 96)):
        super().__init__()
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1)
        self.looks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.leaves = nn.ModuleList(nn.Conv2d(width, 1, 3, padding=1) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] in [-1, 1] -> maps of verdicts, [B, 1, H, W], its half, and so on."""
        h = F.leaky_relu(self.enter(x), 0.2)
        verdicts: list[Tensor] = []
        for index, (look, leave) in enumerate(zip(self.looks, self.leaves, strict=True)):
            if index:
                h = F.leaky_relu(self.downs[index - 1](h), 0.2)
            h = F.leaky_relu(look(h), 0.2)
            verdicts.append(leave(h))
        return verdicts


def hinge(false: list[Tensor], true: list[Tensor]) -> Tensor:
    """The critics' loss, mean of the maps: results below -1, photographs above 1 (Lim and Ye 2017)."""
    return torch.stack([F.relu(1 + f).mean() + F.relu(1 - t).mean() for f, t in zip(false, true, strict=True)]).mean()


def doubt(false: list[Tensor]) -> Tensor:
    """The student's loss: minus the mean verdict."""
    return -torch.stack([f.mean() for f in false]).mean()
