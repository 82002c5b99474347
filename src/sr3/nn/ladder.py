"""The ladder that U-Nets of residual blocks share: down, through the middle, and up again with what was kept."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sr3.nn.embed import labelled
from sr3.nn.pad import padded

Resample = Literal["up", "down"]

Rung = Callable[[int, int, Resample | None, bool], nn.Module]
"""(width in, width out, resampling to the next level, whether attention follows) -> (x, embedding) -> x."""


def resampled(x: Tensor, resample: Resample | None) -> Tensor:
    """Twice as large by repetition, half as large by the mean of four, or as it is."""
    if resample == "up":
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.avg_pool2d(x, 2) if resample == "down" else x


class Ladder(nn.Module):
    """(x [B, in, H, W], noise [B], cond [B, cond, H, W] | None) -> [B, out, H, W].

    H and W may be anything from 1: they are padded by repeating the border, and cut back.  Those who inherit set
    `embed`, `enter`, `norm` and `leave`, and call `climb` between the second and the third; and `label`, where the
    network may be told one.
    ValueError where cond is missing, unexpected, or not as large as x.
    """

    pads = True
    """Whether the border is repeated up to multiples of `stride`; needless where sides always are, as in exports."""
    embed: nn.Module
    enter: nn.Module
    norm: nn.Module
    leave: nn.Module

    def __init__(self, levels: int, cond_channels: int, checkpointing: bool = False):
        super().__init__()
        self.cond_channels, self.checkpointing = cond_channels, checkpointing
        self.stride = 2 ** (levels - 1)
        self.label: nn.Embedding | None = None

    def climb(self, rung: Rung, channels: int, widths: Sequence[int], blocks: int, attends: Sequence[bool]) -> int:
        """Make the blocks of every level, finest first, and return the width that comes out.

        channels: that come in.  widths, attends: of each level.  blocks: on the way down; one more on the way up.
        """
        last = len(widths) - 1
        width = channels
        kept = [width]
        down: list[nn.Module] = []
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                down.append(rung(width, wide, None, attends[level]))
                width = wide
                kept.append(width)
            if level < last:
                down.append(rung(width, width, "down", False))
                kept.append(width)
        middle = [rung(width, width, None, True), rung(width, width, None, False)]
        up: list[nn.Module] = []
        takes: list[bool] = []
        for level in range(last, -1, -1):
            for _ in range(blocks + 1):
                up.append(rung(width + kept.pop(), widths[level], None, attends[level]))
                width = widths[level]
            takes += [True] * (blocks + 1)
            if level:
                up.append(rung(width, width, "up", False))
                takes.append(False)
        self.down, self.middle, self.up = nn.ModuleList(down), nn.ModuleList(middle), nn.ModuleList(up)
        self.takes = tuple(takes)  # which blocks of `up` are fed what was kept
        return width

    def forward(self, x: Tensor, noise: Tensor, cond: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """See the class; noise is the told scalar, [B], and label int64 [B]."""
        height, width = x.shape[-2:]
        self._check(x, cond)
        h = x if cond is None else torch.cat([cond, x], dim=1)
        h = padded(h, self.stride) if self.pads else h
        embedding = labelled(self.embed(noise), self.label, label)
        h = self.enter(h)
        kept = [h]
        for block in self.down:
            h = self._run(block, h, embedding)
            kept.append(h)
        for block in self.middle:
            h = self._run(block, h, embedding)
        for block, takes in zip(self.up, self.takes, strict=True):
            h = self._run(block, torch.cat([h, kept.pop()], dim=1) if takes else h, embedding)
        return self.leave(F.silu(self.norm(h)))[..., :height, :width].contiguous()

    def _run(self, block: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(block, h, embedding, use_reentrant=False)
        return block(h, embedding)

    def _check(self, x: Tensor, cond: Tensor | None) -> None:
        if (0 if cond is None else cond.shape[1]) != self.cond_channels:
            has = "none" if cond is None else f"one of {cond.shape[1]} channels"
            raise ValueError(
                f"the network needs a conditioning picture of {self.cond_channels} channels, and got {has}"
            )
        if cond is not None and cond.shape[-2:] != x.shape[-2:]:
            raise ValueError(
                f"the conditioning picture is {cond.shape[-1]}x{cond.shape[-2]}, "
                f"and the noisy picture {x.shape[-1]}x{x.shape[-2]}: enlarge it first"
            )
