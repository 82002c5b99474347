"""The U-Net of the SR3 paper: BigGAN residual blocks, skips over sqrt 2, attention where pictures are small."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.embed import NoiseEmbedding
from sr3.nn.ladder import Ladder, Resample, resampled


def _norm(width: int) -> nn.GroupNorm:
    """Groups of at least four channels, and at most 32 groups."""
    return nn.GroupNorm(min(width // 4, 32), width, eps=1e-6)


Norm = Callable[[int], nn.GroupNorm]
"""Makes the norm of so many channels."""


def _conv(width_in: int, width_out: int, side: int, *, zero: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size; variance-preserving at first, or zero."""
    conv = nn.Conv2d(width_in, width_out, side, padding=side // 2)
    if zero:
        nn.init.zeros_(conv.weight)
    else:
        nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class Attention(nn.Module):
    """(x + attention(norm(x))) * scale over all positions, in one or more heads.  [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, width: int, scale: float = 0.5**0.5, heads: int = 1, norm: Norm = _norm):
        super().__init__()
        self.scale, self.heads = scale, heads
        self.norm = norm(width)
        self.qkv = _conv(width, 3 * width, 1)
        self.out = _conv(width, width, 1, zero=True)
        # three maps of width -> width side by side, and each is to preserve the variance on its own
        with torch.no_grad():
            for part in self.qkv.weight.chunk(3):
                nn.init.xavier_uniform_(part)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)  # [B, H * W, 3 C]
        if self.heads > 1:
            q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, H * W, C / heads] each
            h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        else:
            h = F.scaled_dot_product_attention(*qkv.chunk(3, dim=2))
        h = h.transpose(1, 2).reshape(x.shape)
        return (x + self.out(h)) * self.scale


class ResidualBlock(nn.Module):
    """BigGAN's residual block, (skip(x) + h(x, embedding)) / sqrt 2, with resampling inside and attention after it.

    h: norm, swish, resample, conv, + linear(swish(embedding)), norm, swish, dropout, conv (zero at first).
    skip: resample, and a 1 x 1 convolution where the channels or the size change.
    scale: of the sum, 1 / sqrt 2 in SR3 and 1 in DDPM.
    guided: as in Dhariwal & Nichol (2021): the noise level scales and shifts what the second norm leaves, the skip of a
        resampled picture is the picture, and attention has heads of 64 channels.
    heads: of attention, where it is not one, or not as guided says.
    norm: makes the norms, where they are not the paper's.
    (x [B, C, H, W], embedding [B, E]) -> [B, width_out, H', W'].  Song et al. (2021, score SDE), appendix H.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        embedding: int,
        *,
        dropout: float = 0.0,
        resample: Resample | None = None,
        attend: bool = False,
        scale: float = 0.5**0.5,
        guided: bool = False,
        heads: int | None = None,
        norm: Norm = _norm,
    ):
        super().__init__()
        self.guided = guided
        self.resample: Resample | None = resample
        self.scale = scale
        self.norm_first = norm(width_in)
        self.first = _conv(width_in, width_out, 3)
        self.told = nn.Linear(embedding, 2 * width_out if guided else width_out)
        nn.init.xavier_uniform_(self.told.weight)
        nn.init.zeros_(self.told.bias)
        self.norm_second = norm(width_out)
        self.dropout = nn.Dropout(dropout)
        self.second = _conv(width_out, width_out, 3, zero=True)
        changes = width_in != width_out or (resample is not None and not guided)
        self.skip = _conv(width_in, width_out, 1) if changes else nn.Identity()
        heads = heads or (max(1, width_out // 64) if guided else 1)
        self.attention = Attention(width_out, scale, heads, norm) if attend else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.first(resampled(F.silu(self.norm_first(x)), self.resample))
        told = self.told(F.silu(embedding))[:, :, None, None]
        if self.guided:
            scale, shift = told.chunk(2, dim=1)
            h = self.norm_second(h) * (1 + scale) + shift
        else:
            h = self.norm_second(h + told)
        h = self.second(self.dropout(F.silu(h)))
        return self.attention((self.skip(resampled(x, self.resample)) + h) * self.scale)


class Between(nn.Module):
    """DDPM's way between levels: a convolution of stride 2, or repetition and a convolution; Ho et al. (2020)."""

    def __init__(self, width: int, resample: Resample):
        super().__init__()
        self.resample: Resample | None = resample
        self.conv = _conv(width, width, 3)
        if resample == "down":  # one more row and column at the end, none at the beginning, as TensorFlow pads
            self.conv.stride, self.conv.padding = (2, 2), (0, 0)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], an embedding that is not used -> [B, C, H', W']."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.resample == "down" else resampled(x, "up"))


class SR3UNet(Ladder):
    """The SR3 network; Saharia et al. (2021), section 2.4 and appendix A, with the blocks of the score SDE's code.

    (x [B, in, H, W], noise [B], cond [B, cond, H, W] | None) -> [B, out, H, W].  The answer is 0 before training.
    H and W may be anything from 1: they are padded by repeating the border, and cut back.  The norms look at the
    whole picture, so a picture in tiles differs from the whole; `sr3.nn.unet.UNet` does not have this fault.

    channels: of the first level; the embedding is four times as wide.
    multipliers: of the channels at each level, finest first; every level halves the resolution.
    blocks: residual blocks at each level on the way down; one more on the way up.
    resolution: the side of the pictures the network is meant for.  It only decides which levels have attention.
    attention_at: the sides at which blocks are followed by attention.  The middle always has it.
    cond_channels: of the conditioning picture; 0 for an unconditional network, whose cond is None.
    ddpm: the network of Ho et al. (2020), which the paper changed: sums are not divided by sqrt 2, and levels are
        joined by convolutions instead of residual blocks.
    guided: the network of Dhariwal & Nichol (2021), which Palette has: see `ResidualBlock`; no sum is divided.  With
        ddpm, that of Nichol & Dhariwal (2021): blocks as here, levels joined as there.
    heads: of attention everywhere; None: one, or as `guided` says.
    labels: how many labels it may be told, each with a vector that is added to the noise level's; 0: none.
    checkpointing: recompute the blocks in the backward pass: less memory, a third more time.
    """

    def __init__(
        self,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4, 8, 8),
        blocks: int = 3,
        resolution: int = 128,
        attention_at: Sequence[int] = (16,),
        *,
        in_channels: int = 3,
        cond_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        ddpm: bool = False,
        guided: bool = False,
        heads: int | None = None,
        labels: int = 0,
        checkpointing: bool = False,
    ):
        super().__init__(len(multipliers), cond_channels, checkpointing)
        if channels % 4:
            raise ValueError(f"the norms need groups of at least four channels: {channels} is not a multiple of 4")
        embedding = 4 * channels
        self.embed = NoiseEmbedding(channels, embedding)
        if labels:
            self.label = nn.Embedding(labels, embedding)
        self.enter = _conv(in_channels + cond_channels, channels, 3)

        def rung(width_in: int, width_out: int, resample: Resample | None, attend: bool) -> ResidualBlock | Between:
            if ddpm and resample is not None:
                return Between(width_in, resample)
            scale = 1.0 if ddpm or guided else 0.5**0.5
            options: dict[str, Any] = {"dropout": dropout, "resample": resample, "attend": attend, "scale": scale}
            return ResidualBlock(width_in, width_out, embedding, guided=guided, heads=heads, **options)

        attends = [resolution // 2**level in attention_at for level in range(len(multipliers))]
        width = self.climb(rung, channels, [channels * multiplier for multiplier in multipliers], blocks, attends)
        self.norm = _norm(width)
        self.leave = _conv(width, out_channels, 3, zero=True)


PUBLISHED: dict[str, dict[str, Any]] = {
    "16-128": {"channels": 128, "multipliers": (1, 2, 4, 8, 8), "blocks": 3, "resolution": 128, "dropout": 0.2},
    "64-256": {"channels": 128, "multipliers": (1, 2, 4, 4, 8, 8), "blocks": 3, "resolution": 256},
    "64-512": {"channels": 64, "multipliers": (1, 2, 4, 8, 8, 16, 16), "blocks": 3, "resolution": 512},
    "palette": {
        "channels": 256,
        "multipliers": (1, 1, 2, 2, 4, 4),
        "blocks": 2,
        "resolution": 256,
        "attention_at": (32, 16, 8),
        "guided": True,
    },
    "256-1024": {"channels": 16, "multipliers": (1, 2, 4, 8, 16, 32, 32, 32), "blocks": 2, "resolution": 1024},
}
"""The shapes of Saharia et al. (2021), appendix A: `SR3UNet(**PUBLISHED["16-128"])`; and Palette's."""
