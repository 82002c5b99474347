"""JPEG's coder as tensor arithmetic: what a picture is after libjpeg has compressed and opened it, on any device.

ITU-T T.81 (1992) with JFIF's colours and all that libjpeg and libjpeg-turbo do by default: 8-bit YCbCr, chroma halved
by boxes and enlarged by triangles ("fancy upsampling"), and the accurate integer transforms of Loeffler et al. (1989),
which round once after the rows and once after the columns and so are matrices of whole numbers.  The pixels are
libjpeg's, bit for bit; on a device without float64 some differ by a little.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""


@lru_cache(maxsize=1)
def _standard() -> Tensor:
    """T.81's tables K.1 (luma) and K.2 (chroma): [2, 8, 8]."""
    return torch.tensor([float(n) for n in (_LUMA + _CHROMA).split()]).view(2, 8, 8)


def tables(quality: Tensor) -> Tensor:
    """libjpeg's quantisation tables, luma and chroma, for qualities 1 to 100: [B] -> [B, 2, 8, 8], 1 to 255."""
    quality = quality.to(torch.float32).round()
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    scaled = (_standard().to(quality.device) * percent[:, None, None, None] + 50) / 100
    return scaled.floor().clamp(1, 255)


_ODD = (
    (2260, 6437, 9633, 11363),
    (-6436, -11362, -2259, 9633),
    (9633, 2261, -11362, 6437),
    (-11363, 9633, -6436, 2260),
)
_EVEN = ((8192, 8192), (4433, 10703), (-8192, 8192), (-10704, 4433))


@lru_cache(maxsize=1)
def _transform() -> Tensor:
    """libjpeg's forward transform of 8 samples in units of 1/8192 and of sqrt(8): [8, 8], float64; its inverse is the
    transpose.  Even rows are symmetric, odd ones antisymmetric."""
    rows: list[list[int]] = []
    for n, odd in enumerate(_ODD):
        inner, outer = _EVEN[n]
        half = [outer, inner, inner, outer] if n % 2 == 0 else [outer, inner, -inner, -outer]
        rows += [half + half[::-1], [*odd[::-1], *(-c for c in odd)]]
    return torch.tensor(rows, dtype=torch.float64)


def split(plane: Tensor) -> Tensor:
    """[..., H, W] of whole 8x8 blocks -> [..., H / 8, W / 8, 8, 8]."""
    h, w = plane.shape[-2:]
    return plane.unflatten(-1, (w // 8, 8)).unflatten(-3, (h // 8, 8)).transpose(-3, -2)


def join(blocks: Tensor) -> Tensor:
    """The inverse of `split`."""
    return blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """x / 2^bits to the nearest whole number, halves up."""
    return (x / 2**bits + 0.5).floor()


# libjpeg's colours in 65536ths; whole numbers below 2^24, so that float32 is exact
_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_RGB = ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0))


def _mixed(samples: Tensor, matrix: tuple[tuple[int, ...], ...], down: int) -> Tensor:
    """Whole samples [B, 3, H, W] through a matrix of 65536ths, halves up in all but the last `down` rows."""
    half = samples.new_tensor([32768.0] * (3 - down) + [32767.0] * down)
    mixed = samples.new_tensor(matrix) @ samples.flatten(2) + half[:, None]
    return (mixed / 65536).floor().view_as(samples)


def whole(plane: Tensor, rows: int, columns: int) -> Tensor:
    """Rows and columns repeated at the bottom and the right up to multiples of so many."""
    h, w = plane.shape[-2:]
    return F.pad(plane, (0, -w % columns, 0, -h % rows), mode="replicate")


def _coded(plane: Tensor, table: Tensor) -> Tensor:
    """Samples [B, C, h, w] centred at 0, quantised with a table [B, 8, 8] and opened again: integers, -128 to 127."""
    h, w = plane.shape[-2:]
    kind = torch.float32 if plane.device.type == "mps" else torch.float64
    d, table = _transform().to(plane.device, kind), table[:, None, None, None].to(kind)
    eighths = _shifted(d @ _shifted(split(whole(plane, 8, 8)).to(kind) @ d.T, 11), 15)
    kept = ((eighths.abs() + 4 * table) / (8 * table)).floor() * eighths.sign() * table
    opened = _shifted(_shifted(d.T @ kept, 11) @ d, 18)
    return join(opened.to(plane.dtype))[..., :h, :w].clamp(-128, 127)


def _halved(plane: Tensor) -> Tensor:
    """Means of 2x2; halves go down in even columns and up in odd ones, as libjpeg rounds.

    Columns are filled up to whole blocks before the halving and rows after it, as libjpeg does.
    """
    mean = F.avg_pool2d(whole(plane, 2, 16), 2)
    bias = 0.25 + 0.25 * (torch.arange(mean.shape[-1], device=plane.device) % 2)
    return (mean + bias).floor()


def _doubled(plane: Tensor) -> Tensor:
    """libjpeg's "fancy" enlargement: weights 3/4 and 1/4 along each axis; samples repeated where 2 wide or less."""
    if plane.shape[-1] <= 2:
        return plane.repeat_interleave(2, -1).repeat_interleave(2, -2)
    x = F.pad(plane, (1, 1, 1, 1), mode="replicate")
    near = 3 * x[..., 1:-1, :]
    x = torch.stack([near + x[..., :-2, :], near + x[..., 2:, :]], dim=-2).flatten(-3, -2)
    near = 3 * x[..., 1:-1]
    pair = torch.stack([near + x[..., :-2] + 8, near + x[..., 2:] + 7], dim=-1)
    return (pair / 16).floor().flatten(-2)


def compress(x: Tensor, quality: Tensor, *, halved: bool = True) -> Tensor:
    """Pictures [B, 1 or 3, H, W] in [-1, 1] after JPEG of these qualities [B]; what comes back has 8 bits.

    halved: chroma at half the resolution (4:2:0), libjpeg's and Pillow's default, or at the whole (4:4:4).
    """
    h, w = x.shape[-2:]
    table = tables(quality.to(x.device))
    samples = ((x.clamp(-1, 1) + 1) * 127.5).round()
    if x.shape[1] == 1:
        return (_coded(samples - 128, table[:, 0]) + 128) / 127.5 - 1
    ycc = _mixed(samples, _YCC, down=2)
    luma = _coded(ycc[:, :1] - 128, table[:, 0])
    chroma = ycc[:, 1:]
    if halved:
        chroma = _coded(_halved(chroma), table[:, 1])[..., : (h + 1) // 2, : (w + 1) // 2]
        chroma = _doubled(chroma)[..., :h, :w]
    else:
        chroma = _coded(chroma, table[:, 1])
    # luma is added to the rounded sums of chroma, which is the same as rounding the whole
    rgb = _mixed(torch.cat([luma, chroma], dim=1), _RGB, down=0) + 128
    return rgb.clamp(0, 255) / 127.5 - 1
