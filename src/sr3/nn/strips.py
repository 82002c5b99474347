"""The efficient U-Net by strips of rows, where nobody asks for gradients: the same answer, within the cache.

A layer over a whole picture writes tens of megabytes, and the next one reads them again: on a CPU that, and getting
such memory from the system anew for every layer, takes as long as a third of the arithmetic.  Here one strip of rows
goes through all of a block before the next does, and blocks change their input in place.  Convolutions see two rows
more than a strip has, so what comes out does not depend on where strips begin.

Nor are pixels moved into channels and back where one convolution can take them from where they are: that of what was
unshuffled by p is one of p times the kernel, in steps of p, with the same weights in another order.
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
    made = [
        _one(net, x[n : n + 1], None if cond is None else cond[n : n + 1], embedding[n : n + 1]) for n in range(len(x))
    ]
    return torch.cat(made) if len(made) != 1 else made[0]


def _one(net: Any, x: Tensor, cond: Tensor | None, embedding: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    parts = [x] if cond is None else [cond, x]
    if net.pads and (height % net.stride or width % net.stride):
        parts = [padded(part, net.stride) for part in parts]
    patch, (high, wide) = net.patch, parts[0].shape[-2:]

    weight, bias = _of_pixels(net.enter, patch)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype

    def entered(first: int, after: int) -> Tensor:
        above, below = first == 0, after == high // patch
        rows = slice(max(0, first - 1) * patch, min(high, (after + 1) * patch))
        seen = torch.cat([part[:, :, rows] for part in parts], dim=1)
        seen = seen.to(dtype=dtype, memory_format=torch.channels_last)
        made = F.conv2d(seen, weight, bias, stride=patch, padding=(patch if above or below else 0, patch))
        return _own(made, above, below)

    h = _layer(net.enter, (high // patch, wide // patch), entered)
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
    return _own(conv(x), top, bottom)


def _own(made: Tensor, top: bool, bottom: bool) -> Tensor:
    """The rows of a strip, of a convolution that was padded above and below where either is the picture's edge."""
    return made[:, :, 0 if top else 1 : None if bottom else -1] if top or bottom else made


def _of_pixels(conv: nn.Module, patch: int) -> tuple[Tensor, Tensor | None]:
    """The (weight, bias) that do to pixels what a convolution does to them when each patch is one position.

    Its kernel is `patch` times as high and wide, and goes in steps of `patch`.
    """
    assert isinstance(conv, nn.Conv2d)
    out, channels, high, wide = conv.weight.shape
    apart = conv.weight.view(out, channels // patch**2, patch, patch, high, wide).permute(0, 1, 4, 2, 5, 3)
    weight = apart.reshape(out, -1, high * patch, wide * patch)
    return weight.contiguous(memory_format=torch.channels_last), conv.bias


def _layer(conv: nn.Module, size: tuple[int, int], made_of: Callable[[int, int], Tensor]) -> Tensor:
    """A convolution that gives what is as large as `size`: `made_of` gives its rows from the first to the last."""
    assert isinstance(conv, nn.Conv2d)
    high, wide = size
    out: Tensor | None = None
    for first, after in _strips(high, wide, conv.out_channels):
        made = made_of(first, after)
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
    weight, bias = _of_pixels(conv, 2)

    def shrunk(first: int, after: int) -> Tensor:
        return F.conv2d(x[:, :, 2 * first : 2 * after], weight, bias, stride=2)

    return _layer(conv, (x.shape[-2] // 2, x.shape[-1] // 2), shrunk)


def _grown(grow: nn.Module, merge: nn.Module, x: Tensor, kept: Tensor) -> Tensor:
    """The next finer level, joined with what was kept of it, and in its place.

    Nothing bends between `grow` and `merge`, so that what the latter does to the former's is one layer on the coarser
    level, and the two need not be put side by side.
    """
    weight, bias, own, base = _joined(grow, merge)
    for first, after in _strips(x.shape[-2], x.shape[-1], 4 * kept.shape[1]):
        fine = kept[:, :, 2 * first : 2 * after]
        made = F.conv2d(fine, own, base)
        made += F.pixel_shuffle(F.conv2d(x[:, :, first:after], weight, bias), 2)
        fine.copy_(made)
    return kept


def _joined(grow: nn.Module, merge: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(weight, bias) of `grow` with its half of `merge` behind it, and (weight, bias) of the other half."""
    assert isinstance(grow, nn.Conv2d)
    assert isinstance(merge, nn.Conv2d)
    assert grow.bias is not None
    assert merge.bias is not None
    width, dtype = merge.out_channels, grow.weight.dtype
    ours, own = merge.weight.split(width, dim=1)
    with torch.autocast("cpu", enabled=False):  # rounded once, as a layer's weights are
        exact = torch.promote_types(dtype, torch.float32)
        mixed, grown = ours[:, :, 0, 0].to(exact), grow.weight.to(exact).view(width, 4, -1)
        weight = torch.einsum("of,fpc->opc", mixed, grown).reshape(4 * width, -1, 1, 1)
        bias = (mixed @ grow.bias.to(exact).view(width, 4)).flatten()
    return weight.to(dtype), bias.to(dtype), own.contiguous(), merge.bias


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
