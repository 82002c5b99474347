"""The efficient U-Net of the shipped models: convolutions only, below full resolution, with a bounded view."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sr3.nn.embed import NoiseEmbedding, labelled
from sr3.nn.pad import padded
from sr3.nn.strips import answer, fits


class PixelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, without weights.  [B, C, H, W].

    Unlike GroupNorm it looks at one pixel only, so a picture cut into tiles gives the same result as the whole.
    """

    def forward(self, x: Tensor) -> Tensor:
        # in channels-last memory this permutation is free and the native kernel runs over contiguous channels
        return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), eps=1e-5).permute(0, 3, 1, 2)


class Block(nn.Module):
    """norm, scale and shift by the noise level, conv, SiLU, conv (zero at first), added to its input."""

    def __init__(self, width: int, embedding: int, dropout: float = 0.0):
        super().__init__()
        self.norm = PixelNorm()
        self.modulate = nn.Linear(embedding, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.modulate, self.second):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], embedding [B, E] -> [B, C, H, W]."""
        scale, shift = self.modulate(embedding)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm(x), 1 + scale)
        return x + self.second(self.dropout(F.silu(self.first(h))))


class Attention(nn.Module):
    """Every position looks at every other: norm, attention (Vaswani et al. 2017, eq. 1), added to its input.

    Global, so a picture cut into tiles does not give the result of the whole; meant for the coarsest level only.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} channels cannot be shared by {heads} attention heads")
        self.heads = heads
        self.norm = PixelNorm()
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.leave = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C, H, W]."""
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, N, C / heads] each
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h, w, c)
        return x + self.leave(mixed.permute(0, 3, 1, 2))


class UNet(nn.Module):
    """A convolutional U-Net that works at 1/patch of the resolution.

    (x [B, in, H, W], noise [B], cond [B, cond, H, W] | None) -> [B, out, H, W], any H and W of at least 1.

    Pixels are moved into channels (pixel-unshuffle), so that all work is done where pictures are small; each further
    level halves the resolution again.  No norm over the picture and, unless asked for, no attention: what a pixel
    becomes depends on the pixels within `reach` only, so that tiles are exact.

    in_channels, cond_channels, out_channels: of x, of the conditioning picture, and of the answer.
    patch: side of the square of pixels that becomes one position.
    widths: channels at each level, finest first.
    blocks: residual blocks at each level, on the way down and again on the way up (the last level: once).
    attention: heads of the one global attention, in the middle of the last level; 0: none.
    labels: how many labels it may be told, each with a vector that is added to the noise level's; 0: none.
    """

    pads = True
    """Whether the border is repeated up to multiples of `stride`; needless where sides always are, as in exports."""

    strips = True
    """Whether it may go by strips of rows where nobody asks for gradients; hooks on its blocks are not called then."""

    def __init__(
        self,
        in_channels: int = 3,
        cond_channels: int = 3,
        out_channels: int = 3,
        patch: int = 4,
        widths: Sequence[int] = (64, 96),
        blocks: Sequence[int] = (3, 3),
        embedding: int = 128,
        dropout: float = 0.0,
        checkpointing: bool = False,
        attention: int = 0,
        labels: int = 0,
    ):
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"the U-Net needs as many widths as blocks: {len(widths)} widths, {len(blocks)} blocks")
        self.patch, self.blocks, self.cond_channels = patch, tuple(blocks), cond_channels
        self.checkpointing = checkpointing
        self.stride = patch * 2 ** (len(widths) - 1)
        self.embed = NoiseEmbedding(embedding, embedding)
        self.label = nn.Embedding(labels, embedding) if labels else None
        if self.label is not None:
            nn.init.zeros_(self.label.weight)
        self.enter = nn.Conv2d((in_channels + cond_channels) * patch**2, widths[0], 3, padding=1)

        def stage(width: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, embedding, dropout) for _ in range(count))

        self.down = nn.ModuleList(stage(w, n) for w, n in zip(widths, blocks, strict=True))
        self.attend = Attention(widths[-1], attention) if attention else None
        self.up = nn.ModuleList(stage(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(4 * fine, coarse, 1) for fine, coarse in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairwise(widths))
        self.merge = nn.ModuleList(nn.Conv2d(2 * fine, fine, 1) for fine in widths[:-1])
        self.leave = nn.Conv2d(widths[0], out_channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    @property
    def reach(self) -> int | None:
        """How far, in pixels of x, a pixel of the answer can see: the halo that makes tiles exact; None: no bound."""
        if self.attend is not None:
            return None
        rings = 2 * self.patch  # enter and leave
        for level, count in enumerate(self.blocks):
            both_ways = 1 if level == len(self.blocks) - 1 else 2
            rings += both_ways * count * 2 * self.patch * 2**level
        return rings + self.stride  # and within one position of the coarsest grid

    def forward(self, x: Tensor, noise: Tensor, cond: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """See the class; noise is the told scalar, [B], and label int64 [B]."""
        if self.strips and fits(x) and not self.training:
            return answer(self, x, noise, cond, label)
        height, width = x.shape[-2:]
        h = x if cond is None else torch.cat([cond, x], dim=1)
        h = padded(h, self.stride) if self.pads else h
        h = self.enter(F.pixel_unshuffle(h, self.patch).contiguous(memory_format=torch.channels_last))
        embedding = F.silu(labelled(self.embed(noise), self.label, label))
        kept: list[Tensor] = []
        for level, stage in enumerate(self.down):
            if level:
                kept.append(h)
                h = self.shrink[level - 1](F.pixel_unshuffle(h, 2))
            h = self._run(stage, h, embedding, self.attend if level == len(self.blocks) - 1 else None)
        for level in reversed(range(len(self.up))):
            h = F.pixel_shuffle(self.grow[level](h), 2)
            h = self.merge[level](torch.cat([h, kept.pop()], dim=1))
            h = self._run(self.up[level], h, embedding)
        h = F.pixel_shuffle(self.leave(F.silu(h)), self.patch)
        return h[..., :height, :width].contiguous()

    def _run(self, stage: nn.Module, h: Tensor, embedding: Tensor, attend: nn.Module | None = None) -> Tensor:
        blocks = list(stage.children())
        for index, block in enumerate(blocks):
            if attend is not None and index == len(blocks) // 2:
                h = attend(h)
            if self.checkpointing and self.training:
                h = checkpoint(block, h, embedding, use_reentrant=False)
            else:
                h = block(h, embedding)
        return h
