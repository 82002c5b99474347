"""What a picture seems to be in need of, for models of several tasks."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from sr3.picture.kinds import is_jpeg
from sr3.picture.noise import noise_level
from sr3.picture.picture import Picture, PictureError
from sr3.task import Given, Restoration

LOW = 60.0
"""JPEG files of this quality and above are left as they are; their faults are hard to see."""

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of quality 50 for luminance: ITU-T T.81 (1992), table K.1."""


class UndamagedError(PictureError):
    """A picture that is in need of nothing: among others it is left as it is."""

    left = "shows no damage"


class NoJpegError(PictureError):
    """No JPEG file, where those are restored: found in a folder it is left as it is."""

    left = "no JPEG file"


def jpeg_alone(task: Restoration, picture: Picture, file: Path | None) -> Given:
    """What a task takes of a JPEG file; NoJpegError of another.  None: of the picture alone."""
    try:
        return task.take(picture, file)
    except PictureError as error:
        if file is None or is_jpeg(file):
            raise
        raise NoJpegError(str(error)) from error


class Need(NamedTuple):
    """A task's kind, and why a picture seems to need it."""

    kind: str
    why: str


_UNREADABLE = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, KeyError, ValueError, AttributeError,
)  # fmt: skip
"""What Pillow raises over files whose tables it does not read, very large ones among them."""


def quality(file: bytes) -> float:
    """The quality, 1 to 100, of which libjpeg's table for luminance is nearest to that of a JPEG file.

    libjpeg multiplies the standard's table by 50 / q below 50 and by 2 - q / 50 above, and rounds to 1 … 255.
    PictureError for a file that cannot be looked into.
    """
    try:
        with Image.open(io.BytesIO(file), formats=["JPEG"]) as opened:
            table = np.array(opened.quantization[0], dtype=np.float64).reshape(8, 8)  # pyright: ignore[reportAttributeAccessIssue]
    except _UNREADABLE as error:
        raise PictureError("this JPEG file's tables cannot be read; open and save it with another program") from error
    standard = np.array(_LUMA, dtype=np.float64)
    scales = [(q, 50 / q if q < 50 else 2 - q / 50) for q in range(1, 101)]
    off = {q: np.abs(np.floor(standard * scale + 0.5).clip(1, 255) - table).sum() for q, scale in scales}
    return float(min(off, key=off.__getitem__))


def needs(picture: Picture, file: bytes | None = None, *, hole: bool = False) -> Iterator[Need]:
    """What the picture seems to be in need of, the surest first.  file: the JPEG file that it was read from.

    hole: whether more than the picture says where one is.
    """
    if hole or (picture.alpha is not None and (picture.alpha < 0.5).any()):
        yield Need("inpainting", "it has a hole")
    if len(picture.pixels) == 1 or (picture.pixels[:1] == picture.pixels).all():
        yield Need("colorization", "it is grey")
    if file is not None:
        try:
            found = quality(file)
        except PictureError:
            found = 100.0
        if found < LOW:
            yield Need("jpeg-restoration", f"it is a JPEG file of quality {found:.0f}")
        return  # what compression left of noise is not white
    if sigma := noise_level(picture.pixels):
        yield Need("denoising", f"it has noise of sigma {sigma:.0f}")
