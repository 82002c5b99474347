"""Sides that a network's levels divide."""

import torch.nn.functional as F
from torch import Tensor


def padded(x: Tensor, stride: int) -> Tensor:
    """[B, C, H, W] with its last row and column repeated until H and W are multiples of stride."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
