"""A plain stack of convolutions at the resolution of the picture given: one look at it, no noise, no norm."""

import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.pad import padded


class Residual(nn.Module):
    """conv, ReLU, conv, added to its input; Lim et al. (2017, EDSR), figure 2c."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # a deep stack without norms begins near the identity
        if not self.second.weight.is_meta:  # where it is, this draws nothing, and loads PyTorch's compiler
            nn.init.normal_(self.second.weight, std=0.1 * (9 * width) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.second(F.relu(self.first(x)))


class PlainNet(nn.Module):
    """The network of a regression that works at 1/patch of the resolution from beginning to end.

    (x, noise, cond [B, cond, H, W]) -> [B, out, H, W], any H and W of at least 1.  The noise level is not looked at,
    and x is only where `stirred`: a regression has neither, and what the network sees is the conditioning picture
    alone; a model that takes one step from pure noise has one level, and x is that noise.  With patch the factor of a
    super-resolution, all convolutions run over as many positions as the picture given has pixels, and one
    pixel-shuffle at the end makes the large picture, as in ESPCN (Shi et al. 2016) and EDSR.

    in_channels: of x; cond_channels, out_channels: of the conditioning picture and of the answer.
    patch: side of the square of pixels that becomes one position.  width: channels; blocks: residual blocks.
    stirred: add a convolution of x to that of the conditioning picture; without it the weights are the same, so that
        a regression's can be begun from.
    """

    pads = True
    """Whether the border is repeated up to multiples of `stride`; needless where sides always are, as in exports."""

    def __init__(
        self,
        in_channels: int = 3,
        cond_channels: int = 3,
        out_channels: int = 3,
        patch: int = 4,
        width: int = 64,
        blocks: int = 5,
        stirred: bool = False,
    ):
        super().__init__()
        if not cond_channels:
            raise ValueError("a plain network sees nothing but the conditioning picture, and this task has none")
        self.patch = self.stride = patch
        self.cond_channels = cond_channels
        self.enter = nn.Conv2d(cond_channels * patch**2, width, 3, padding=1)
        self.stir = nn.Conv2d(in_channels * patch**2, width, 3, padding=1, bias=False) if stirred else None
        self.body = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, out_channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    @property
    def reach(self) -> int:
        """How far, in pixels, a pixel of the answer can see: the halo that makes tiles exact."""
        return self.patch * (2 * len(self.body) + 3) + self.patch

    def forward(self, x: Tensor, noise: Tensor, cond: Tensor | None = None) -> Tensor:
        """See the class."""
        seen = x if cond is None else cond
        height, width = seen.shape[-2:]
        begin = h = self.enter(self._unshuffled(seen))
        if self.stir is not None:
            begin = h = h + self.stir(self._unshuffled(x))
        for block in self.body:
            h = block(h)
        h = F.pixel_shuffle(self.leave(begin + self.last(h)), self.patch)
        return h[..., :height, :width].contiguous()

    def _unshuffled(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(padded(x, self.patch) if self.pads else x, self.patch)
