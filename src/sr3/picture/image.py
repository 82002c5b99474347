"""Picture files in, and everything that people hold a picture in.  The one way in: all that is decoded is decoded here.

Files go through libvips; what its build cannot read (BMP, JPEG 2000 …) through Pillow.  libvips is loaded when the
first file is opened.
"""

import io
import mmap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from sr3.picture import metadata
from sr3.picture.exchange import from_array, from_pil, from_tensor, to_pil
from sr3.picture.large import LargePicture
from sr3.picture.opened import MAX_PIXELS, check, open_by_vips, opened
from sr3.picture.picture import (
    BLOCKS,
    Picture,
    PictureError,
    check_finite,
    cmyk_to_srgb,
    from_samples,
    load_vips,
    reason,
    to_samples,
)
from sr3.picture.write import WRITABLE, write

__all__ = [
    "WRITABLE",
    "Decoded",
    "Picture",
    "PictureError",
    "decoded",
    "from_any",
    "read",
    "read_note",
    "read_rgb8",
    "read_size",
    "to_pil",
    "write",
]

_FOREIGN = {"lab", "labs", "labq", "lch", "cmc", "xyz", "yxy", "hsv"}


def read(
    source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, lenient: bool = False, page: int = 0
) -> Picture:
    """The picture in a file of any format, whatever its name ends in; of several pages or frames the first.

    Upright, as its EXIF orientation says.  Palettes are expanded.  8 or 16 bits by the file's own sample format.  Grey
    and RGB keep their profile and their values; CMYK, LAB and other spaces become sRGB and lose it.

    source: the file's path, or its contents, which `name` then names in messages.
    max_pixels: more than this are refused by the header, before anything is decoded.
    lenient: of a damaged or cut-off file take what can be decoded; the rest is grey, or of some formats black
        or transparent.
    page: of a TIFF file, from 0; animations are read by `sr3.picture.frames`.
    Raises PictureError for files that are missing, unreadable, truncated, damaged, too large, no pictures, or of
    floating-point or 32-bit samples.
    """
    name = check(source, name)
    image = opened(source, name, max_pixels, lenient=lenient, page=page)
    if isinstance(image, Image.Image):
        with image:
            return from_pil(image, name)
    samples, upright = _samples(image, name)
    keep = _kept(image, source, 1 if upright.bands < 3 else 3)
    dpi = None if image.xres == image.yres == 1 else (25.4 * upright.xres, 25.4 * upright.yres)
    if dpi is not None and _orientation(image) >= 5:  # as width and height are
        dpi = dpi[::-1]
    return from_samples(samples, keep, dpi)


def read_rgb8(source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """What `read` reads, as uint8 [H, W, 3]: grey is repeated, alpha and metadata left out, 16 bits rounded to 8."""
    name = check(source, name)
    image = opened(source, name, max_pixels)
    if isinstance(image, Image.Image):
        with image:
            samples = to_samples(replace(from_pil(image, name), alpha=None), 8)
    else:
        samples, _ = _samples(image, name)
    samples = samples[..., : 1 if samples.shape[-1] < 3 else 3]
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 257 * 255
    return np.ascontiguousarray(np.broadcast_to(samples, (*samples.shape[:2], 3)))


def read_size(source: str | Path | bytes, *, name: str = "") -> tuple[int, int]:
    """(width, height) of an upright picture, by its header alone.  Raises PictureError where that cannot be read."""
    image = opened(source, check(source, name), MAX_PIXELS)
    if isinstance(image, Image.Image):
        with image:
            turned, size = False, image.size
            with suppress(Exception):  # damaged EXIF is no reason to refuse the picture
                turned = image.getexif().get(0x0112, 1) >= 5
    else:
        turned, size = _orientation(image) >= 5, (image.width, image.height)
    return (size[1], size[0]) if turned else size


def _samples(image: Any, name: str) -> tuple["np.ndarray[Any, Any]", Any]:
    """The decoded samples of a libvips image, [H, W, 1 to 4], uint8 or uint16, and the image of them."""
    vips = load_vips()
    try:
        plain = _plain(image, name)
        # turning needs all pixels at hand; without it they can be handed over as they are decoded
        upright = plain.copy_memory().autorot() if _orientation(image) > 1 else plain
        samples = np.frombuffer(upright.write_to_memory(), np.uint16 if upright.format == "ushort" else np.uint8)
    except vips.Error as error:
        raise PictureError(f"{name} is damaged or incomplete ({reason(error)}); give a whole copy of it") from error
    except MemoryError as error:
        size = f"{image.width}x{image.height}"
        raise PictureError(f"{name} ({size} pixels) does not fit into memory; give a smaller picture") from error
    return samples.reshape(upright.height, upright.width, upright.bands), upright


def _orientation(image: Any) -> int:
    """As EXIF has it: 1 upright, from 5 on with width and height exchanged."""
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _plain(image: Any, name: str) -> Any:
    """Grey, grey + alpha, RGB or RGB + alpha of 8 or 16 bits."""
    space = image.interpretation
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
    if image.get_typeof("heif-compression") and 8 < bits < 16:  # moved up by as many bits: white is not yet 65535
        image = (image * (65535 / ((2**bits - 1) << (16 - bits)))).rint().cast("ushort").copy(interpretation=space)
    if space == "cmyk" and image.format in ("uchar", "ushort"):
        image = cmyk_to_srgb(image)
    elif space in _FOREIGN and bits in (8, 16):
        image = image.colourspace("rgb16" if bits == 16 else "srgb")
    if image.format not in ("uchar", "ushort"):
        raise PictureError(f"{name} has samples of type {image.format}; convert it to 8 or 16 bits per sample")
    if image.bands > (2 if space in ("b-w", "grey16") else 4):
        raise PictureError(f"{name} has {image.bands} channels; give grey, RGB or CMYK, with or without alpha")
    return image


def _kept(image: Any, source: str | Path | bytes, channels: int) -> dict[str, bytes]:
    """The metadata of an opened file that still holds for its upright grey or RGB pixels."""
    keep = {block: bytes(image.get(block)) for block in BLOCKS if image.get_typeof(block)}
    found: dict[str, bytes | None] = {**keep}
    if str(image.get("vips-loader")).startswith("tiff"):
        # libvips neither reads EXIF from TIFF nor all of its IPTC
        if isinstance(source, bytes):
            found |= _of_tiff(source)
        else:
            with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                found |= _of_tiff(whole)
    else:
        found["exif-data"] = metadata.clean_exif(keep.get("exif-data", b""))
        found["iptc-data"] = metadata.bare_iptc(keep.get("iptc-data", b""))
    if not metadata.fits_icc(keep.get("icc-profile-data", b""), channels):
        found["icc-profile-data"] = None
    return {block: data for block, data in found.items() if data}


def _of_tiff(whole: Any) -> dict[str, bytes | None]:
    return {"exif-data": metadata.clean_exif(whole), "iptc-data": metadata.iptc_of_tiff(whole)}


def read_note(source: str | Path | bytes, name: str = "") -> dict[str, str]:
    """The note that `write` left in a file, or in the contents of one; empty where there is none.

    name: for messages about contents.  Raises PictureError for what cannot be read.
    """
    source = source if isinstance(source, bytes) else Path(source)
    name = check(source, name)
    vips = load_vips()
    try:
        image = open_by_vips(source)
    except vips.Error as error:
        raise PictureError(f"{name} cannot be read as a picture ({reason(error)})") from error
    if str(image.get("vips-loader")).startswith("gif"):
        return metadata.find_note(_comment(source))
    return metadata.find_note(bytes(image.get("xmp-data"))) if image.get_typeof("xmp-data") else {}


def _comment(source: Path | bytes) -> bytes:
    """What a GIF has in the place of metadata; empty where there is none, or the file is damaged."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with suppress(Exception), Image.open(file, formats=["GIF"]) as image:
        return bytes(image.info.get("comment", b""))
    return b""


class Decoded(NamedTuple):
    """A picture, and the file, or the contents of one, that it is decoded from; None: there is none."""

    picture: Picture
    origin: Path | bytes | None = None


def from_any(thing: Any) -> Picture:
    """The picture in whatever `decoded` takes; PictureErrors as there."""
    return decoded(thing).picture


def decoded(thing: Any) -> Decoded:
    """The picture in a path, an open file, its bytes, a PIL image, NumPy array, PyTorch tensor or `Picture`.

    A `Picture` and a `Decoded` are given back as they are.  Arrays are [H, W] or [H, W, 1 to 4], uint8, uint16, or
    floating point in [0, 1]; tensors are [C, H, W] or [1, C, H, W] in [-1, 1].  Raises PictureError for wrong shapes,
    types, ranges, NaN and infinity.
    """
    if isinstance(thing, Decoded):
        return thing
    if isinstance(thing, LargePicture):
        return Decoded(thing.whole())
    if isinstance(thing, Picture):
        return Decoded(check_finite(thing, "the picture"))
    if isinstance(thing, str | Path):
        return Decoded(read(thing), Path(thing))
    if isinstance(thing, Image.Image):
        return Decoded(from_pil(thing))
    if isinstance(thing, np.ndarray):
        return Decoded(from_array(thing))
    if isinstance(thing, torch.Tensor):
        return Decoded(from_tensor(thing))
    if callable(getattr(thing, "read", None)):
        name, thing = getattr(thing, "name", ""), thing.read()
        if isinstance(thing, str):
            raise PictureError("the file is open as text; open it with mode 'rb'")
    else:
        name = ""
    if isinstance(thing, bytes | bytearray | memoryview):
        contents = bytes(thing)
        return Decoded(read(contents, name=name if isinstance(name, str) else ""), contents)
    raise PictureError(
        f"a {type(thing).__name__} is no picture; give a path, an open file, bytes, a PIL image, an array, a tensor or "
        "a Picture"
    )
