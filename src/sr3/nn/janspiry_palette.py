"""The U-Net of the most used public code for Palette, so that the weights people trained with it can be used."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from sr3.nn.embed import NoiseEmbedding
from sr3.nn.ladder import Ladder, Resample
from sr3.nn.sr3_unet import ResidualBlock


class JanspiryPaletteUNet(Ladder):
    """The network of github.com/Janspiry/Palette-Image-to-Image-Diffusion-Models: guided-diffusion's, without classes.

    Its blocks are the guided ones of `SR3UNet`; but all norms have equally many groups, heads of attention have as many
    channels as is told, and the network is told alpha-bar, unscaled.  H and W and other arguments as for `SR3UNet`.

    channels: of the sinusoid; the embedding is four times as wide.
    widths: channels of each level, finest first.
    attention: the levels, 0 the finest, whose blocks are followed by attention.  The middle always has it.
    groups: of every norm.  head: channels of each head of attention; 0: one head has them all.
    ValueError where a width is no multiple of these.
    """

    def __init__(
        self,
        channels: int = 64,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: int = 2,
        attention: Sequence[int] = (),
        groups: int = 32,
        head: int = 32,
        *,
        in_channels: int = 3,
        cond_channels: int = 3,
        out_channels: int = 3,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ):
        if not widths or head < 0:
            raise ValueError(f"a network needs levels and heads, and not widths={list(widths)} and head={head}")
        super().__init__(len(widths), cond_channels, checkpointing)
        self.embed = NoiseEmbedding(channels, 4 * channels)
        self.enter = nn.Conv2d(in_channels + cond_channels, widths[0], 3, padding=1)
        norm = partial(nn.GroupNorm, groups)

        def rung(width_in: int, width_out: int, resample: Resample | None, attend: bool) -> ResidualBlock:
            if attend and head and width_out % head:
                raise ValueError(f"{width_out} channels are no heads of {head} each")
            return ResidualBlock(
                width_in,
                width_out,
                4 * channels,
                dropout=dropout,
                resample=resample,
                attend=attend,
                scale=1.0,
                guided=True,
                heads=width_out // head if head else 1,
                norm=norm,
            )

        width = self.climb(rung, widths[0], widths, blocks, [level in attention for level in range(len(widths))])
        self.norm = norm(width)
        self.leave = nn.Conv2d(width, out_channels, 3, padding=1)
