"""The U-Net of the most used public code for SR3, so that the weights people trained with it can be used."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.embed import NoiseEmbedding
from sr3.nn.ladder import Ladder, Resample, resampled


class _Attention(nn.Module):
    """x + attention(norm(x)) over all positions, one head, no biases on the way in.  [B, C, H, W] -> the same."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).flatten(2).mT.chunk(3, dim=-1)  # [B, H * W, C] each
        return x + self.out(F.scaled_dot_product_attention(query, key, value).mT.reshape(x.shape))


class _Block(nn.Module):
    """skip(x) + conv(dropout(swish(norm(conv(swish(norm(x))) + linear(embedding))))), and attention after it."""

    def __init__(self, width_in: int, width_out: int, embedding: int, groups: int, dropout: float, attend: bool):
        super().__init__()
        self.norm_first = nn.GroupNorm(groups, width_in)
        self.first = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.told = nn.Linear(embedding, width_out)
        self.norm_second = nn.GroupNorm(groups, width_out)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.skip = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()
        self.attention = _Attention(width_out, groups) if attend else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], embedding [B, E] -> [B, width_out, H, W]."""
        h = self.first(F.silu(self.norm_first(x))) + self.told(embedding)[:, :, None, None]
        return self.attention(self.skip(x) + self.second(self.dropout(F.silu(self.norm_second(h)))))


class _Between(nn.Module):
    """A convolution of stride 2, padded alike on all sides, or repetition and a convolution."""

    def __init__(self, width: int, resample: Resample):
        super().__init__()
        self.resample: Resample = resample
        self.conv = nn.Conv2d(width, width, 3, stride=2 if resample == "down" else 1, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], an embedding that is not used -> [B, C, H', W']."""
        return self.conv(x if self.resample == "down" else resampled(x, "up"))


class JanspiryUNet(Ladder):
    """The network of github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement, commonly called "SR3".

    DDPM's network that is told sqrt(alpha-bar), unscaled; it is not the paper's, which is `SR3UNet`: sums are not
    divided by sqrt 2, levels are joined by convolutions, and the embedding is as narrow as the first level and enters
    the blocks without a nonlinearity.  Arguments and H and W as for `SR3UNet`, but for these.

    attention: the levels, 0 the finest, whose blocks are followed by attention.  The middle always has it.
    groups: of every norm.  ValueError where a width is no multiple of it.
    """

    def __init__(
        self,
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 4, 8, 8),
        blocks: int = 2,
        attention: Sequence[int] = (3,),
        groups: int = 32,
        *,
        in_channels: int = 3,
        cond_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ):
        super().__init__(len(multipliers), cond_channels, checkpointing)
        self.embed = NoiseEmbedding(channels, channels, 4 * channels)
        self.enter = nn.Conv2d(in_channels + cond_channels, channels, 3, padding=1)

        def rung(width_in: int, width_out: int, resample: Resample | None, attend: bool) -> nn.Module:
            if resample is not None:
                return _Between(width_in, resample)
            return _Block(width_in, width_out, channels, groups, dropout, attend)

        attends = [level in attention for level in range(len(multipliers))]
        width = self.climb(rung, channels, [channels * multiplier for multiplier in multipliers], blocks, attends)
        self.norm = nn.GroupNorm(groups, width)
        self.leave = nn.Conv2d(width, out_channels, 3, padding=1)
