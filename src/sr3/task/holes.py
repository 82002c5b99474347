"""Holes: masks as people paint them and as boxes, and what a hole is filled with for want of better."""

import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from sr3.random import Stream, uniforms

_HOLES = 0x401E5
_DRAWS = 1024
"""Uniform numbers for one mask; a stroke needs at most 29, and strokes end with them."""

BOXES = (1, 5)
VERTICES = (4, 12)
"""Of one stroke, as in the authors' own settings."""
WIDTHS = (12 / 256, 40 / 256)
"""Of one stroke, in parts of the smaller side."""
TURN = (2 * math.pi / 5 - 2 * math.pi / 15, 2 * math.pi / 5 + 2 * math.pi / 15)
"""The angle between one line of a stroke and the next, which goes on the other way round."""

Draws = Iterator[float]

Fill = Literal["smooth", "telea", "navier-stokes"]
"""What a hole can be filled with without a model; the last two are OpenCV's."""

FILLINGS: tuple[Fill, ...] = ("smooth", "telea", "navier-stokes")


def masks(size: tuple[int, int], rng: Stream, strokes: float, area: tuple[float, float]) -> Tensor:
    """Bool [B, 1, height, width], True in the hole, one mask for each example of the stream.

    strokes: the share of masks painted free-hand; the others are boxes.  area: the least and the most of the picture
    that is missing, uniform between.  What is drawn last is drawn whole, so that strokes can cover more, and boxes
    may overlap and cover less.
    """
    keys = (rng.uniform() * 2**53).long().tolist()
    made: list[np.ndarray[Any, Any]] = []
    for row in uniforms(_HOLES, keys, _DRAWS):
        draw = iter(row.tolist())
        free, wanted = next(draw) < strokes, area[0] + (area[1] - area[0]) * next(draw)
        made.append(painted(size, draw, wanted) if free else boxes(size, draw, wanted))
    return torch.from_numpy(np.stack(made))[:, None]


def boxes(size: tuple[int, int], draw: Draws, area: float) -> "np.ndarray[Any, Any]":
    """1 to 5 boxes that together cover about `area` of the picture: bool [height, width]."""
    height, width = size
    mask = np.zeros(size, dtype=bool)
    count = BOXES[0] + int(next(draw) * (BOXES[1] - BOXES[0] + 1))
    shares = np.array([0.5 + next(draw) for _ in range(count)])
    for share in area * shares / shares.sum():
        tall = math.sqrt(share) * 2 ** (next(draw) - 0.5)
        high = min(height, max(1, round(tall * height)))
        wide = min(width, max(1, round(share / tall * width)))
        top, left = (int(next(draw) * (room + 1)) for room in (height - high, width - wide))
        mask[top : top + high, left : left + wide] = True
    return mask


def painted(size: tuple[int, int], draw: Draws, area: float) -> "np.ndarray[Any, Any]":
    """Free-form strokes until `area` of the picture is covered: bool [height, width].

    Yu et al. (2019, gated convolution), algorithm 1: lines that turn to and fro by about 72 degrees, with round ends,
    turned over at random.
    """
    height, width = size
    picture = Image.new("L", (width, height))
    while np.asarray(picture).mean() < 255 * area:
        try:
            _stroke(ImageDraw.Draw(picture), width, height, draw)
        except StopIteration:
            break
    mask = np.asarray(picture) > 0
    for axis in (0, 1):
        mask = np.flip(mask, axis) if next(draw, 0.0) < 0.5 else mask
    return np.ascontiguousarray(mask)


def _stroke(canvas: ImageDraw.ImageDraw, width: int, height: int, draw: Draws) -> None:
    radius = math.hypot(width, height) / 8
    vertices = VERTICES[0] + int(next(draw) * (VERTICES[1] - VERTICES[0] + 1))
    turn = TURN[0] + (TURN[1] - TURN[0]) * next(draw)
    thick = max(1.0, min(width, height) * (WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * next(draw)))
    x, y = next(draw) * width, next(draw) * height
    for step in range(vertices):
        angle = turn * (0.75 + 0.5 * next(draw))
        angle = 2 * math.pi - angle if step % 2 == 0 else angle
        length = radius * (0.5 + next(draw))
        end = (min(max(x + length * math.cos(angle), 0), width), min(max(y + length * math.sin(angle), 0), height))
        canvas.line((x, y, *end), fill=255, width=max(1, round(thick)))
        x, y = end
        canvas.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)


def smooth(image: Tensor, mask: Tensor) -> Tensor:
    """The picture [B, C, H, W] with a smooth filling where the mask [B, 1, H, W] is True.

    Pull and push (Gortler et al. 1996, section 3.4): coarser and coarser means of what is known, and back.  On the way
    back each pixel to be filled is drawn a few times to the mean of its neighbours, so that a filling meets what is
    known at borders where coarse pixels end too.  Where nothing is known, grey.
    """
    weight = (~mask).to(image.dtype)
    return torch.where(mask, _pulled(torch.where(mask, 0, image), weight), image)


_DRAWN = 8
"""Times; more bring little."""


def _pulled(sums: Tensor, weight: Tensor) -> Tensor:
    """What is known, sums / weight, and elsewhere what its surroundings are in the mean."""
    own = sums / weight.clamp(min=1e-6)
    if max(sums.shape[-2:]) == 1:
        return own
    pad = (0, sums.shape[-1] % 2, 0, sums.shape[-2] % 2)
    below, covered = (F.avg_pool2d(F.pad(part, pad), 2) for part in (sums, weight))
    full = (covered > 0).to(sums.dtype)
    # a coarse pixel that knows anything knows it: weights saturate
    coarse = _pulled(below / covered.clamp(min=1e-6) * full, full)
    finer = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")[..., : sums.shape[-2], : sums.shape[-1]]
    out = weight * own + (1 - weight) * finer
    for _ in range(_DRAWN):
        edge = F.pad(out, (1, 1, 1, 1), mode="replicate")
        mean = (edge[..., 1:-1, 2:] + edge[..., 1:-1, :-2] + edge[..., 2:, 1:-1] + edge[..., :-2, 1:-1]) / 4
        out = weight * own + (1 - weight) * mean
    return out


def filled(image: Tensor, mask: Tensor, how: Fill) -> Tensor:
    """The picture [B, 3, H, W] in [-1, 1] with its hole [B, 1, H, W] filled in one of these ways.

    Telea's (2004) and Bertalmio's (2001) are OpenCV's, of samples rounded to 8 bits; ModuleNotFoundError without it.
    """
    if how == "smooth":
        return smooth(image, mask)
    cv2: Any = import_module("cv2")  # an extra
    method = cv2.INPAINT_TELEA if how == "telea" else cv2.INPAINT_NS
    made: list[Tensor] = []
    for one, hole in zip(image.cpu(), mask.cpu(), strict=True):
        samples = ((one.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        found = cv2.inpaint(samples, hole[0].to(torch.uint8).numpy(), 3, method)
        made.append(torch.from_numpy(found).permute(2, 0, 1).float() / 127.5 - 1)
    return torch.where(mask, torch.stack(made).to(image), image)


def grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask [B, 1, H, W], larger by so many pixels in every direction, as the crow flies."""
    if pixels <= 0:
        return mask
    height, width = mask.shape[-2:]
    # how many are in the hole from the left on: a difference of two of these says whether any is between
    sums = F.pad(mask.int(), (pixels + 1, pixels)).cumsum(-1)
    out = torch.zeros_like(mask)
    for row in range(min(pixels, height - 1) + 1):
        reach = math.isqrt(pixels**2 - row**2)  # of the disc's row, to the left and right
        wide = sums[..., pixels + 1 + reach :][..., :width] > sums[..., pixels - reach :][..., :width]
        out[..., row:, :] |= wide[..., : height - row, :]
        out[..., : height - row, :] |= wide[..., row:, :]
    return out


def side_of(size: tuple[int, int], sides: Sequence[int]) -> Tensor:
    """Bool [1, 1, height, width], True in bands at the sides.

    size: (height, width).  sides: pixels that the bands at the left, right, top and bottom are wide.
    """
    height, width = size
    left, right, top, bottom = sides
    mask = torch.ones(1, 1, height, width, dtype=torch.bool)
    mask[..., top : height - bottom, left : width - right] = False
    return mask
