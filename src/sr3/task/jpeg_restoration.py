"""JPEG restoration: what a coder threw away."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sr3.picture.jpeg import BINS, JpegBins
from sr3.picture.jpeg_twin import compress
from sr3.picture.picture import Picture
from sr3.picture.resize import round8
from sr3.random import Stream
from sr3.task.base import Given, SameSize

CHROMA = {"4:2:0": 2, "4:4:4": 0}
"""Pillow's numbers for how chroma is subsampled."""

INSET = 2.0
"""How far inside its bin a coefficient ends, in steps of 8 bits: what two roundings to whole samples may move it."""


@dataclass(frozen=True)
class JpegRestoration(SameSize):
    """A picture from its JPEG: Palette's third task (Saharia et al. 2022, section 4.4), by libjpeg's own arithmetic.

    low, high: qualities in training, 1 to 100, whole numbers; quality q is drawn in proportion to exp(-q / falloff).
    halved: the share of training examples with chroma at half the resolution (4:2:0); the others have 4:4:4.
    quality, chroma: of the files that are measured.

    What is given with its file is held to it: the result, compressed again with the file's tables, has the file's
    quantised coefficients, but for the few (below 0.1 %) that the coder's own roundings move to the next bin.
    """

    low: int = 5
    high: int = 30
    falloff: float = 10.0
    halved: float = 0.5
    quality: int = 10
    chroma: Literal["4:2:0", "4:4:4"] = "4:2:0"
    command = "dejpeg photo.jpg"
    baseline_name = "jpeg"
    given_name = "JPEG"

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high <= 100:
            raise ValueError(f"qualities from {self.low} to {self.high} are no range; give low and high, from 1 to 100")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"the quality {self.quality} is out of range; give a whole number from 1 to 100")
        if not (math.isfinite(self.falloff) and self.falloff > 0):
            raise ValueError(f"the falloff {self.falloff:g} must be a positive number")
        if not 0 <= self.halved <= 1:
            raise ValueError(f"halved={self.halved:g} is no share; give a number from 0 to 1")
        if self.chroma not in CHROMA:
            raise ValueError(f"there is no chroma {self.chroma!r}; there are {', '.join(CHROMA)}")

    @property
    def degradation(self) -> str:
        return f"JPEG by libjpeg, quality {self.quality}, {self.chroma}"

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        """The pixels, and the bins of the file that they were read from."""
        files = None if file is None else (JpegBins.of(file).checked(picture),)
        return super().take(picture)._replace(files=files)

    def certain(self, given: Given) -> str:
        return "" if given.files is None else BINS

    def again(self, made: Tensor, given: Given) -> Tensor:
        return torch.cat([_opened(_file(x, self.quality, self.chroma)) for x in made.cpu()]).to(made)

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        if rng is None:
            files = [_file(x, self.quality, self.chroma) for x in clean.cpu()]
            image = torch.cat([_opened(file) for file in files]).to(clean)
            return Given(image, files=tuple(JpegBins.of(file) for file in files))
        quality, halved = self.qualities(rng.uniform()), rng.uniform() < self.halved
        image = torch.empty_like(clean)
        for half in (False, True):
            chosen = (halved == half).nonzero().flatten()
            if len(chosen):
                there = chosen.to(clean.device)
                image[there] = compress(clean[there], quality[chosen].to(clean.device), halved=half)
        return Given(image)

    def qualities(self, uniform: Tensor) -> Tensor:
        """The qualities that uniform numbers of [0, 1) draw: [B] -> [B], whole."""
        every = torch.arange(self.low, self.high + 1, dtype=torch.float64)
        ends = torch.exp(-(every - self.low) / self.falloff).cumsum(0)
        return every[torch.searchsorted(ends / ends[-1], uniform, right=True).clamp(max=len(every) - 1)]

    def project(self, made: Tensor, given: Given) -> Tensor:
        # one visit is near enough within a walk
        return self._held(made, given, rounds=1)

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return self._held(made, given, rounds=100).clamp(-1, 1)

    def _held(self, made: Tensor, given: Given, *, rounds: int) -> Tensor:
        if given.files is None:
            return made
        each = zip(made.split(1), given.files, strict=True)
        return torch.cat([bins.project(x, inset=INSET, rounds=rounds) for x, bins in each])


def _file(x: Tensor, quality: int, chroma: str) -> bytes:
    """A picture [3, H, W] in [-1, 1] as the bytes of a JPEG file."""
    samples = ((round8(x) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG", quality=quality, subsampling=CHROMA[chroma])
    return file.getvalue()


def _opened(file: bytes) -> Tensor:
    """A JPEG file's picture, [1, 3, H, W] in [-1, 1]."""
    with Image.open(io.BytesIO(file)) as opened:
        samples = np.array(opened.convert("RGB"))
    return torch.from_numpy(samples).permute(2, 0, 1)[None].float() / 127.5 - 1
