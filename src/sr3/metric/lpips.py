"""LPIPS, the learned perceptual distance, from `torchmetrics`; the weights come at first use."""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from sr3.metric.base import PerPicture, same
from sr3.metric.features import MissingError

NETWORK = "alex"
"""What most tables report; the authors' own recommendation for judging results."""


def lpips_distance(device: torch.device | str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Zhang et al. (2018), version 0.1 over AlexNet: two batches [B, 3, H, W] in [0, 1] -> [B].

    Needs torchmetrics and torchvision, and downloads AlexNet's weights (233 MB) at first use.
    MissingError where these are not to be had.
    """
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        importlib.import_module("torchvision")  # torchmetrics hides its absence until the first use
    except Exception as error:  # packages that do not fit one another fail in many ways
        raise MissingError(
            "LPIPS needs the packages torchmetrics and torchvision (the extra `metrics`): "
            + " ".join(str(error).split())
        ) from error
    try:
        net = LearnedPerceptualImagePatchSimilarity(NETWORK, normalize=True).net
    except Exception as error:
        raise MissingError(
            f"the weights that LPIPS needs could not be fetched: {' '.join(str(error).split())}"
        ) from error
    net.eval().requires_grad_(False).to(device)

    def distance(made: Tensor, target: Tensor) -> Tensor:
        same(made, target)
        with torch.inference_mode():
            found = net(made.float().to(device), target.float().to(device), normalize=True)
        return found.flatten(1).mean(1).double().cpu()

    return distance


class LPIPS(PerPicture):
    """Mean over pictures of a perceptual distance: two batches on [0, 1] -> [B].  name: of the measure."""

    higher_is_better = False

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], name: str = "lpips"):
        super().__init__()
        self.distance, self.names = distance, (name,)

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        self.means.add(self.names[0], self.distance(made, target))
