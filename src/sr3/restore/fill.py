"""Filling: what is made inside a picture and beside it, joined to what is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.bleed import bled
from sr3.picture.picture import Picture, PictureError
from sr3.random import staged
from sr3.restore.restored import Restored
from sr3.restore.restorer import Progress
from sr3.task import Given
from sr3.task.holes import grown, side_of
from sr3.task.inpainting import hollow, noise_of

Steps = Iterator[Progress | Restored]


class Go(Protocol):
    """What restores a picture of which something is given: `sr3.restore.whole.stream` with a restorer and its options,
    of which some may be others."""

    def __call__(self, picture: Picture, given: Given, /, **others: Any) -> Steps: ...


_STEP = 0x57E9
"""The stages after this one of a picture's making are those of the steps of uncropping but the first."""

MOST = 2.0
"""How many times larger, in area, a picture becomes at once by uncropping: what models have seen."""


def ramp(mask: Tensor, pixels: int) -> Tensor:
    """1 in the mask [B, 1, H, W], and falling to 0 in equal steps over so many pixels around it; float32."""
    total = now = mask.float()
    for _ in range(pixels):
        now = F.max_pool2d(now, 3, stride=1, padding=1)
        total = total + now
    return total / (pixels + 1)


def inpainted(picture: Picture, mask: Tensor, go: Go, *, grow: int = 0, feather: int = 0, seed: int = 0) -> Steps:
    """Fill a hole: the steps, and last the result, in which pixels beyond hole and feather are as they were.

    mask: bool [1, 1, H, W], True in the hole.  grow: pixels by which it is made larger first.
    feather: pixels around it that are made too, and mixed with the old ones.
    seed: of the noise in the hole.  PictureError where nothing of the picture would be left.
    """
    share = ramp(grown(mask, grow), feather)
    if (share > 0).all():
        raise PictureError("grown and feathered the hole covers the whole picture; give smaller numbers")

    def joined(made: Picture) -> Picture:
        pixels = made.pixels.expand_as(picture.pixels)
        mixed = torch.lerp(picture.pixels, pixels, share[0])
        return replace(made, pixels=torch.where(share[0] > 0, mixed, picture.pixels))

    given = hollow(bled(picture).rgb, share > 0, noise_of(seed))
    if picture.alpha is not None:  # what is made is seen
        picture = replace(picture, alpha=picture.alpha.lerp(torch.ones_like(picture.alpha), share[0]))
    for step in go(picture, given):
        if isinstance(step, Restored):
            mean = None if step.mean is None else joined(step.mean)
            step = replace(step, variants=[joined(made) for made in step.variants], mean=mean)
        yield step


def plan(size: tuple[int, int], sides: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """The pixels to add in each of several steps, none of which makes the area more than twice as large.

    size: (width, height).  sides: pixels at the left, right, top and bottom, in all.  All sides grow in proportion.
    """
    width, height = size
    done: tuple[int, ...] = (0, 0, 0, 0)
    found: list[tuple[int, int, int, int]] = []

    def area(sizes: Sequence[int]) -> int:
        return (width + sizes[0] + sizes[1]) * (height + sizes[2] + sizes[3])

    while done != tuple(sides):
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            fits = area([round(side * middle) for side in sides]) <= MOST * area(done)
            low, high = (middle, high) if fits else (low, middle)
        after = tuple(round(side * low) for side in sides)
        if after == done:  # a picture of a pixel or two: by one pixel
            after = tuple(min(side, now + 1) for side, now in zip(sides, done, strict=True))
        left, right, top, bottom = (a - d for a, d in zip(after, done, strict=True))
        found.append((left, right, top, bottom))
        done = after
    return found


def uncropped(picture: Picture, sides: Sequence[int], go: Go, *, seed: int = 0) -> Steps:
    """Make a picture larger at its sides, in as many steps as it takes: the steps, and last the result.

    sides: pixels to add at the left, right, top and bottom.  Alpha is kept, and what is added is opaque; what it hides
    is not shown to the model.  Several variants differ in the last step; each before it makes one.
    seed: of all noise, that of the walks by `go` too.
    """
    *before, final = plan(picture.size, sides)
    kept = picture
    for number, some in enumerate(before):
        result: Progress | Restored | None = None
        for result in _once(kept, some, partial(go, samples=1), _seed(seed, number)):
            if isinstance(result, Progress):
                yield result
        assert isinstance(result, Restored)
        kept = result.variants[0]
    for step in _once(kept, final, go, _seed(seed, len(before))):
        if isinstance(step, Restored) and step.note:  # the seed that makes it again, and not that of a step
            step = replace(step, note={**step.note, "seed": str(seed)})
        yield step


def _seed(seed: int, number: int) -> int:
    """The seed of a step: with one for all, each band would begin from the noise of the band before it."""
    return staged(seed, number and _STEP + number)


def _once(picture: Picture, sides: Sequence[int], go: Go, seed: int) -> Steps:
    left, right, top, bottom = sides
    wide = F.pad(picture.pixels[None], (left, right, top, bottom), mode="constant", value=0.0)
    mask = side_of((wide.shape[-2], wide.shape[-1]), sides)
    alpha = None if picture.alpha is None else F.pad(picture.alpha, (left, right, top, bottom), value=1.0)
    return inpainted(replace(picture, pixels=wide[0], alpha=alpha), mask, partial(go, seed=seed), seed=seed)
