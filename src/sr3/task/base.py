"""What every task is: three verbs and a projection; and what those that restore a picture add, to be measured."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.picture.jpeg import JpegBins
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize
from sr3.random import Stream


class Given(NamedTuple):
    """What a user hands in: a picture [B, C, h, w] in [-1, 1], and what else is known of it."""

    image: Tensor
    mask: Tensor | None = None
    """Bool [B, 1, h, w], True where pixels are missing; None: nowhere."""
    files: tuple[JpegBins, ...] | None = None
    """What each picture's JPEG file says of it; None where that is not known, as in training, which does not ask."""
    label: Tensor | None = None
    """int64 [B], which of several tasks each picture is for; None where there is one."""
    bits: int = 8
    """The depth of the file that the result goes to, where that matters to the last bit."""
    colours: Tensor | None = None
    """[B, 3, h, w]: pixels of a picture to be coloured whose colour is known, there where the mask is False."""
    mixed: bool = False
    """Whether the pictures are for several tasks, all as large as their results; see `sr3.task.several`."""

    def to(self, device: torch.device) -> Self:
        """The same with its tensors on a device."""
        parts = {name: part.to(device) for name, part in self._asdict().items() if isinstance(part, Tensor)}
        return self._replace(**parts)

    def of(self, chosen: Sequence[int]) -> Self:
        """What was given of some pictures of the batch, by their places in it."""
        index = torch.tensor(list(chosen), dtype=torch.long, device=self.image.device)
        parts = {name: part[index] for name, part in self._asdict().items() if isinstance(part, Tensor)}
        files = None if self.files is None else tuple(self.files[k] for k in chosen)
        return self._replace(**parts, files=files)

    def cut(self, rows: slice, columns: slice) -> Self:
        """What was given of a part of the pictures; what is known of their files is of the whole and left out."""
        parts = {name: getattr(self, name) for name in ("image", "mask", "colours")}
        return self._replace(files=None, **{n: p[..., rows, columns] for n, p in parts.items() if p is not None})


def own_stream(clean: Tensor, seed: int = 0) -> Stream:
    """Randomness that depends on each picture [B, C, H, W] alone, for degradations that are drawn and yet measured.

    The hole of a picture is then the same in every batch, order and run.
    """
    samples = ((clean.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().contiguous().numpy()
    return Stream(seed, [zlib.crc32(one.tobytes()) for one in samples])


class Task(Protocol):
    """What the world does, what the network sees, what the user gets.  Training and use share `prepare`."""

    @property
    def method(self) -> str:
        """What tables call a sample of a diffusion model for this task: the paper's name."""
        ...

    @property
    def command(self) -> str:
        """What is typed after `sr3` to use a model for this task."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the conditioning picture; the network is built from it."""
        ...

    @property
    def factor(self) -> int:
        """How many times larger the result's sides are than the given picture's; those of clean pictures are multiples
        of it."""
        ...

    def result_size(self, given: Given) -> tuple[int, int]:
        """(height, width) of what is made of what is given."""
        ...

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        """What the world does to clean pictures [B, C, H, W].  Without rng: the plain degradation, as measured."""
        ...

    def prepare(self, given: Given) -> Example:
        """What the network sees."""
        ...

    def project(self, made: Tensor, given: Given) -> Tensor:
        """The picture nearest to `made` that agrees with what was given."""
        ...

    def finish(self, made: Tensor, given: Given) -> Tensor:
        """What the user gets: in [-1, 1], and in agreement with what was given."""
        ...


@runtime_checkable
class Restoration(Task, Protocol):
    """A task that begins with a picture."""

    @property
    def baseline_name(self) -> str:
        """What tables call `baseline`."""
        ...

    @property
    def given_name(self) -> str:
        """What is said over the picture given."""
        ...

    @property
    def degradation(self) -> str:
        """What `degrade` does, for protocols."""
        ...

    @property
    def border(self) -> int:
        """Pixels at each edge that PSNR and SSIM leave out by the custom of the field."""
        ...

    @property
    def colours(self) -> bool:
        """Whether the result of a grey picture has colours."""
        ...

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        """What a picture says by itself, without more from its user.  PictureError where that is too little.

        file: the JPEG file that it was read from, of tasks that ask for it.  PictureError where it cannot be used.
        """
        ...

    def certain(self, given: Given) -> str:
        """What results are held to, in words; "" where nothing is certain."""
        ...

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        """The same of a picture reduced to (height, width).  PictureError where that is another task altogether."""
        ...

    def windows(self, given: Given, least: int) -> list[tuple[slice, slice]]:
        """The rows and columns of a picture that must be seen to restore it: all, or those around what is missing.

        One window for each part that can be restored alone; no two overlap.
        least: a side below which nothing is gained by less.
        """
        ...

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        """What was made of `small`, which is `given` reduced, as large as the result of that: [B, 3, H, W]."""
        ...

    def again(self, made: Tensor, given: Given) -> Tensor:
        """What `given.image` would be if results `made` were the truth; the consistency is measured with it."""
        ...

    def baseline(self, given: Given) -> Tensor:
        """What one gets without a model, [B, 3, H, W]; what every method is compared with."""
        ...


def again(task: Restoration, made: Tensor, given: Given) -> Tensor:
    """What would have been given of the results `made`: both on [0, 1]; see `Restoration.again`."""
    return (task.again(2 * made - 1, given) + 1) / 2


class SameSize:
    """What tasks have in common whose results are as large as what is given, and which correct that: Palette's."""

    method = "palette"
    channels = 3
    factor = 1
    border = 0
    colours = False

    def result_size(self, given: Given) -> tuple[int, int]:
        """(height, width)."""
        return given.image.shape[-2], given.image.shape[-1]

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        """The pixels, of which nothing more is known."""
        return Given(picture.rgb, bits=picture.bits)

    def certain(self, given: Given) -> str:
        """Nothing."""
        return ""

    def baseline(self, given: Given) -> Tensor:
        """What is given, as it is."""
        return given.image

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        """Of most tasks: what was done to a picture is gone when it is reduced.  PictureError."""
        raise PictureError(
            "what is to be restored is lost where a picture is reduced to what the model is for; use another model"
        )

    def windows(self, given: Given, least: int) -> list[tuple[slice, slice]]:
        """All of it."""
        return [(slice(0, given.image.shape[-2]), slice(0, given.image.shape[-1]))]

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        """By bicubic interpolation."""
        return resize(made, self.result_size(given)).clamp(-1, 1)

    def again(self, made: Tensor, given: Given) -> Tensor:
        """The result itself: nobody knows what was done to it."""
        return made

    def prepare(self, given: Given) -> Example:
        """The network sees what is given, and begins from the baseline."""
        return Example(cond=given.image, base=self.baseline(given), mask=given.mask)

    def project(self, made: Tensor, given: Given) -> Tensor:
        """Nothing is certain."""
        return made

    def finish(self, made: Tensor, given: Given) -> Tensor:
        """Within the range."""
        return made.clamp(-1, 1)
