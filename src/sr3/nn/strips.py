"""The efficient U-Net by strips of rows, where nobody asks for gradients: the same answer, within the cache.

A layer over a whole picture writes tens of megabytes, and the next one reads them again: on a CPU that, and getting
such memory from the system anew for every layer, takes as long as a third of the arithmetic.  Here one strip of rows
goes through all of a block before the next does, and blocks change their input in place.  Convolutions see two rows
more than a strip has, so what comes out does not depend on where strips begin.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.embed import labelled
from sr3.nn.pad import padded

STRIP = 2**20
"""Values of one strip of the widest layer for each thread: 4 MB in float32, a share of a core's cache and its own."""


def fits(x: Tensor) -> bool:
    """Whether a network may be run so: on a CPU, without gradients, and not while it is being traced."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def answer(net: Any, x: Tensor, noise: Tensor, cond: Tensor | None, label: Tensor | None) -> Tensor:
    """What a `UNet` answers, as by its `forward`, in evaluation."""
    embedding = F.silu(labelled(net.embed(noise), net.label, label)).expand(len(x), -1)
    return torch.cat(
        [
            _one(net, x[n : n + 1], None if cond is None else cond[n : n + 1], embedding[n : n + 1])
            for n in range(len(x))
        ]
    )


def _one(net: Any, x: Tensor, cond: Tensor | None, embedding: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    parts = [x] if cond is None else [cond, x]
    if net.pads and (height % net.stride or width % net.stride):
        parts = [padded(part, net.stride) for part in parts]
    patch, (high, wide) = net.patch, parts[0].shape[-2:]

    def unshuffled(first: int, after: int) -> Tensor:
        seen = torch.cat([part[:, :, first * patch : after * patch] for part in parts], dim=1)
        return F.pixel_unshuffle(seen, patch).contiguous(memory_format=torch.channels_last)

    h = _layer(net.enter, (high // patch, wide // patch), unshuffled)
    kept: list[Tensor] = []
    for level, stage in enumerate(net.down):
        if level:
            kept.append(h)
            h = _shrunk(net.shrink[level - 1], h)
        _blocks(stage, h, embedding, net.attend if level == len(net.blocks) - 1 else None)
    for level in reversed(range(len(net.up))):
        h = _grown(net.grow[level], net.merge[level], h, kept.pop())
        _blocks(net.up[level], h, embedding)
    return _left(net.leave, h, patch)[..., :height, :width].contiguous()


def _strips(high: int, wide: int, channels: int) -> Iterator[tuple[int, int]]:
    """(first, after) of the rows of each strip of a layer; none has fewer than three, but where that is all."""
    rows = max(4, STRIP * torch.get_num_threads() // (wide * channels))
    count = max(1, round(high / rows))
    edges = [high * k // count for k in range(count + 1)]
    yield from pairwise(edges)


def _rows(conv: nn.Conv2d, x: Tensor, top: bool, bottom: bool) -> Tensor:
    """A 3 x 3 convolution of a strip, without the outermost rows but where they are the picture's own."""
    if not (top or bottom):
        # not `conv._conv_forward`: the padding is another
        return F.conv2d(x, conv.weight, conv.bias, padding=(0, 1))
    made = conv(x)
    return made[:, :, 0 if top else 1 : None if bottom else -1]


def _layer(conv: nn.Module, size: tuple[int, int], shown: Callable[[int, int], Tensor]) -> Tensor:
    """A 3 x 3 convolution of what `shown` gives of rows, which is as large as `size`."""
    assert isinstance(conv, nn.Conv2d)
    high, wide = size
    out: Tensor | None = None
    for first, after in _strips(high, wide, conv.out_channels):
        made = _rows(conv, shown(max(0, first - 1), min(high, after + 1)), first == 0, after == high)
        if out is None:
            out = _blank(made, conv.out_channels, high, wide)
        out[:, :, first:after] = made
    assert out is not None
    return out


def _blank(like: Tensor, channels: int, high: int, wide: int) -> Tensor:
    return torch.empty(1, channels, high, wide, dtype=like.dtype, memory_format=torch.channels_last)


def _blocks(stage: nn.Module, h: Tensor, embedding: Tensor, attend: nn.Module | None = None) -> None:
    """A stage of blocks, in place."""
    blocks = list(stage.children())
    for index, block in enumerate(blocks):
        if attend is not None and index == len(blocks) // 2:
            h.copy_(attend(h))
        _block(block, h, embedding)


def _block(block: Any, x: Tensor, embedding: Tensor) -> None:
    """A block [1, C, H, W], in place; the modulation is the scale and shift of its norm."""
    channels, high, wide = x.shape[1:]
    scale, shift = block.modulate(embedding)[0].to(x.dtype).chunk(2)
    scale = 1 + scale
    late: Tensor | None = None  # the last rows of a strip, which the next strip must still see as they were
    for first, after in _strips(high, wide, channels):
        seen = x[:, :, max(0, first - 2) : min(high, after + 2)].permute(0, 2, 3, 1)
        h = F.layer_norm(seen, (channels,), scale, shift, eps=1e-5).permute(0, 3, 1, 2)
        h = F.silu(_rows(block.first, h, first == 0, after == high), inplace=True)
        h = _rows(block.second, h, first == 0, after == high)
        if late is not None:
            x[:, :, first - 2 : first] = late
        stop = after if after == high else after - 2
        late = x[:, :, stop:after] + h[:, :, stop - first :]
        x[:, :, first:stop] += h[:, :, : stop - first]


def _shrunk(conv: nn.Module, x: Tensor) -> Tensor:
    """The next coarser level."""
    assert isinstance(conv, nn.Conv2d)
    high, wide = x.shape[-2] // 2, x.shape[-1] // 2
    out: Tensor | None = None
    for first, after in _strips(high, wide, conv.in_channels):
        made = conv(F.pixel_unshuffle(x[:, :, 2 * first : 2 * after], 2))
        if out is None:
            out = _blank(made, conv.out_channels, high, wide)
        out[:, :, first:after] = made
    assert out is not None
    return out


def _grown(grow: nn.Module, merge: nn.Module, x: Tensor, kept: Tensor) -> Tensor:
    """The next finer level, joined with what was kept of it, and in its place."""
    for first, after in _strips(x.shape[-2], x.shape[-1], 4 * kept.shape[1]):
        fine = kept[:, :, 2 * first : 2 * after]
        grown = F.pixel_shuffle(grow(x[:, :, first:after]), 2)
        fine.copy_(merge(torch.cat([grown, fine], dim=1)))
    return kept


def _left(conv: nn.Module, h: Tensor, patch: int) -> Tensor:
    """The answer [1, C, H * patch, W * patch]."""
    assert isinstance(conv, nn.Conv2d)
    high, wide = h.shape[-2:]
    out: Tensor | None = None
    for first, after in _strips(high, wide, h.shape[1]):
        seen = F.silu(h[:, :, max(0, first - 1) : min(high, after + 1)])
        made = F.pixel_shuffle(_rows(conv, seen, first == 0, after == high), patch)
        if out is None:
            out = torch.empty(1, made.shape[1], high * patch, wide * patch, dtype=made.dtype)
        out[:, :, first * patch : after * patch] = made
    assert out is not None
    return out
