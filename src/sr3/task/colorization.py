"""Colorization: grey in, colours out."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sr3.picture.grey import coloured, luminance
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize, round8
from sr3.random import Stream
from sr3.task.base import Given, SameSize


@dataclass(frozen=True)
class Colorization(SameSize):
    """Colours for a grey picture: Palette's first task (Saharia et al. 2022, section 4.1).

    What is given is grey in three equal channels, the luminance of `sr3.picture.grey`; the result has that luminance.
    """

    command = "colorize photo.jpg"
    baseline_name = "grey"
    degradation = "luminance of BT.601, rounded to 8 bits"
    colours = True

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        pixels = picture.pixels
        if len(pixels) == 3 and not (pixels[:1] == pixels).all():
            raise PictureError("this picture has colours already; make it grey first")
        return Given(picture.rgb, bits=picture.bits)

    def certain(self, given: Given) -> str:
        return "the luminance given"

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        return given._replace(image=round8(resize(given.image, size)), bits=8)

    def again(self, made: Tensor, given: Given) -> Tensor:
        return round8(luminance(made)).expand_as(made)

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        return Given(self.again(clean, Given(clean)))

    def project(self, made: Tensor, given: Given) -> Tensor:
        # all channels by the same: of the pictures with this luminance the one that keeps the colour differences
        return made + (given.image[:, :1] - luminance(made))

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return coloured(made.clamp(-1, 1), given.image[:, :1], given.bits)
