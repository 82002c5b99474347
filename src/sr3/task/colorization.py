"""Colorization: grey in, colours out."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.picture.grey import coloured, guided, luminance
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize, round8
from sr3.random import Stream
from sr3.task.base import Given, SameSize


@dataclass(frozen=True)
class Colorization(SameSize):
    """Colours for a grey picture: Palette's first task (Saharia et al. 2022, section 4.1).

    What is given is grey in three equal channels, the luminance of `sr3.picture.grey`; the result has that luminance.
    Where `Given.colours` are known, it has those too: their differences from their own luminance are put into every
    estimate, as known pixels are.
    """

    command = "colorize photo.jpg"
    baseline_name = "grey"
    given_name = "grey"
    degradation = "luminance of BT.601, rounded to 8 bits"
    colours = True

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        pixels = picture.pixels
        if len(pixels) == 3 and not (pixels[:1] == pixels).all():
            raise PictureError("this picture has colours already; make it grey first")
        return Given(picture.rgb, bits=picture.bits)

    def certain(self, given: Given) -> str:
        return "the luminance given" + ("" if given.colours is None else " and the colours known")

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        small = given._replace(image=round8(resize(given.image, size)), bits=8)
        if given.mask is None or given.colours is None:
            return small
        # the mean of what is known in a pixel; one that knows nothing is to be made
        weight = F.adaptive_avg_pool2d((~given.mask).float(), size)
        chroma = torch.where(given.mask, 0, given.colours - luminance(given.colours))
        chroma = F.adaptive_avg_pool2d(chroma, size) / weight.clamp(min=1e-12)
        return small._replace(mask=weight == 0, colours=small.image + chroma)

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        # what of the luminance was lost in the reduction is no colour, and known
        lost = given.image[:, :1] - resize(small.image[:, :1], self.result_size(given))
        return guided(made, small.image[:, :1], given.image[:, :1]) + lost

    def again(self, made: Tensor, given: Given) -> Tensor:
        return round8(luminance(made)).expand_as(made)

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        return Given(self.again(clean, Given(clean)))

    def project(self, made: Tensor, given: Given) -> Tensor:
        # all channels by the same: of the pictures with this luminance the one that keeps the colour differences
        chroma = made - luminance(made)
        if given.mask is not None and given.colours is not None:
            chroma = torch.where(given.mask, chroma, given.colours - luminance(given.colours))
        return chroma + given.image[:, :1]

    def finish(self, made: Tensor, given: Given) -> Tensor:
        held = made if given.colours is None else self.project(made, given)
        return coloured(held.clamp(-1, 1), given.image[:, :1], given.bits)


def hinted(given: Given, hints: Picture) -> Given:
    """A grey picture with the colours of `hints`, a picture of its size, known where that is opaque.

    PictureError for one of another size, without transparency, or with nothing opaque.
    """
    high, wide = given.image.shape[-2:]
    if hints.size != (wide, high):
        raise PictureError(
            f"the hints are {hints.size[0]}x{hints.size[1]} and the picture is {wide}x{high}; give hints of its size"
        )
    if hints.alpha is None:
        raise PictureError("the hints have no transparency, which would say where no colour is known; give them alpha")
    mask = hints.alpha[None] < 0.5
    if mask.all():
        raise PictureError("the hints are transparent all over; paint the colours that are known")
    return given._replace(mask=mask, colours=hints.rgb)
