"""How a network hears the noise level: a number per example becomes a vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(noise: Tensor, dim: int) -> Tensor:
    """The sines, then the cosines, of a number at dim / 2 frequencies: [B] -> [B, dim] float32.

    Frequencies exp(-ln(1e4) k / (dim / 2)), k = 0 … dim / 2 - 1; Vaswani et al. (2017), section 3.5, in the order of
    Ho et al. (2020).  The shortest wave is 2 pi long, so `noise` must be scaled until neighbours are about 1 apart.
    ValueError where dim is odd or zero.
    """
    _check(dim)
    half = dim // 2
    rates = torch.exp(-math.log(1e4) / half * torch.arange(half, dtype=torch.float32, device=noise.device))
    # float32 whatever autocast says: 5000 in bfloat16 is rounded to multiples of 32
    angle = noise.float()[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _check(dim: int) -> None:
    if dim < 2 or dim % 2:
        raise ValueError(f"a sinusoid needs an even, positive number of features, and {dim} is not one")


class NoiseEmbedding(nn.Module):
    """A noise level, already scaled, as a vector: sinusoid, linear, SiLU, linear: [B] -> [B, out].

    features: of the sinusoid; hidden: width of the layer between, by default `out`.
    ValueError where `features` is odd or zero.
    """

    def __init__(self, features: int, out: int, hidden: int | None = None):
        super().__init__()
        _check(features)
        self.features = features
        self.first = nn.Linear(features, hidden or out)
        self.second = nn.Linear(hidden or out, out)

    def forward(self, noise: Tensor) -> Tensor:
        h = sinusoid(noise, self.features).to(self.first.weight.dtype)
        return self.second(F.silu(self.first(h)))


def labelled(told: Tensor, table: nn.Embedding | None, label: Tensor | None) -> Tensor:
    """What the network is told of the noise level, [B, E], with its vector for each label [B] added.

    Without a label nothing is added: the network is asked for no class in particular.
    ValueError for a label where there is no table.
    """
    if label is None:
        return told
    if table is None:
        raise ValueError("the network was built without labels and is told one; set labels to their number")
    return told + table(label)
