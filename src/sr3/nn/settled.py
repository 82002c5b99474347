"""A network that is told one noise level for ever, as in an exported graph: what depends on the level alone is done."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.unet import Block, UNet


class SettledBlock(nn.Module):
    """A `Block` at one noise level: its modulation is the scale and shift of its norm.

    embedding [1, E]: what the network makes of the level.  (x [B, C, H, W], ignored) -> [B, C, H, W].
    """

    def __init__(self, block: Block, embedding: Tensor):
        super().__init__()
        scale, shift = block.modulate(embedding)[0].detach().chunk(2)
        self.weight, self.bias = nn.Buffer(1 + scale), nn.Buffer(shift.clone())
        self.first, self.second = block.first, block.second

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """See the class."""
        h = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.weight, self.bias, eps=1e-5).permute(0, 3, 1, 2)
        return x + self.second(F.silu(self.first(h)))


def settled(net: nn.Module, told: float, pads: bool = True) -> nn.Module:
    """A copy of a network, in evaluation, for one noise level: it must be told that, and no other.

    pads: see the networks' own; False where the sides are always multiples of `stride`.
    """
    net = deepcopy(net).eval().requires_grad_(False)
    setattr(net, "pads", pads)  # noqa: B010, as a module's attributes are typed as tensors and modules
    if isinstance(net, UNet):
        with torch.no_grad():
            embedding = F.silu(net.embed(torch.tensor([told], dtype=torch.float32)))
        for stage in (*net.down, *net.up):
            assert isinstance(stage, nn.ModuleList)
            for index, block in enumerate(stage):
                assert isinstance(block, Block)
                stage[index] = SettledBlock(block, embedding)
    return net
