"""Picture files in, and everything that people hold a picture in.  The one way in: all that is decoded is decoded here.

Files go through libvips; what its build cannot read (BMP, JPEG 2000 …) through Pillow.  libvips is loaded when the
first file is opened.
"""

import io
import mmap
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sr3.picture import metadata
from sr3.picture.exchange import from_array, from_pil, from_tensor, to_pil
from sr3.picture.picture import (
    BLOCKS,
    Picture,
    PictureError,
    check_finite,
    cmyk_to_srgb,
    from_samples,
    load_vips,
    reason,
    shown,
    to_samples,
)
from sr3.picture.write import WRITABLE, write

__all__ = [
    "WRITABLE",
    "Picture",
    "PictureError",
    "from_any",
    "read",
    "read_note",
    "read_rgb8",
    "read_size",
    "to_pil",
    "write",
]

MAX_PIXELS = 2**30
"""More are refused by the header, before anything is decoded."""

_PILLOW = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "SGI", "TIFF", "WEBP")
_NOT_PIXELS = ("csv", "matrix", "vips", "raw", "mat")  # loaders of libvips that take nearly any text for a picture
_FOREIGN = {"lab", "labs", "labq", "lch", "cmc", "xyz", "yxy", "hsv"}


def read(source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file of any format, whatever its name ends in; of several pages or frames the first.

    Upright, as its EXIF orientation says.  Palettes are expanded.  8 or 16 bits by the file's own sample format.  Grey
    and RGB keep their profile and their values; CMYK, LAB and other spaces become sRGB and lose it.

    source: the file's path, or its contents, which `name` then names in messages.
    max_pixels: more than this are refused by the header, before anything is decoded.
    Raises PictureError for files that are missing, unreadable, truncated, damaged, too large, no pictures, or of
    floating-point or 32-bit samples.
    """
    name = _check(source, name)
    image = _opened(source, name, max_pixels)
    if isinstance(image, Image.Image):
        with image:
            return from_pil(image, name)
    samples, upright = _samples(image, name)
    keep = _kept(image, source, 1 if upright.bands < 3 else 3)
    dpi = None if image.xres == image.yres == 1 else (25.4 * upright.xres, 25.4 * upright.yres)
    return from_samples(samples, keep, dpi)


def read_rgb8(source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """What `read` reads, as uint8 [H, W, 3]: grey is repeated, alpha and metadata left out, 16 bits rounded to 8."""
    name = _check(source, name)
    image = _opened(source, name, max_pixels)
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
    image = _opened(source, _check(source, name), MAX_PIXELS)
    if isinstance(image, Image.Image):
        with image:
            turned, size = image.getexif().get(0x0112, 1) >= 5, image.size
    else:
        turned, size = _orientation(image) >= 5, (image.width, image.height)
    return (size[1], size[0]) if turned else size


def _opened(source: str | Path | bytes, name: str, max_pixels: int) -> Any:
    """A libvips image, or Pillow's where libvips cannot read the format; nothing but its header is read."""
    vips = load_vips()
    try:
        image = _open(vips, source)
    except vips.Error as error:
        image = _open_by_pillow(source, name, error)
    else:
        if str(image.get("vips-loader")).startswith(_NOT_PIXELS):
            raise PictureError(_no_picture(name))
    if image.width * image.height > max_pixels:
        if isinstance(image, Image.Image):
            image.close()
        raise PictureError(
            f"{name} says it is {image.width}x{image.height}, {image.width * image.height} pixels, and at most "
            f"{max_pixels} are read; give a smaller picture"
        )
    return image


def _open(vips: Any, source: str | Path | bytes) -> Any:
    # through a source: a plain name ending in [...] would be read as options
    new = vips.Source.new_from_memory if isinstance(source, bytes) else vips.Source.new_from_file
    opened = new(source if isinstance(source, bytes) else str(source))
    return vips.Image.new_from_source(opened, "", access="sequential", fail_on="error")


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


def _open_by_pillow(source: str | Path | bytes, name: str, first: Exception) -> Image.Image:
    """What libvips could not open; `first` is what it said."""
    Image.init()
    formats = [f for f in _PILLOW if f in Image.OPEN]  # not EPS and its like, which start programs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} claims to be too large ({error}); give a smaller picture") from error
    except Exception as error:  # Pillow's parsers raise nearly everything on damaged files
        if "known format" in str(first):
            raise PictureError(_no_picture(name)) from first
        raise PictureError(f"{name} is damaged or incomplete ({reason(first)}); give a whole copy of it") from error


def _no_picture(name: str) -> str:
    return f"{name} is not a picture, or is damaged at its start; give a PNG, JPEG, WebP, TIFF, AVIF, GIF or BMP file"


def _check(source: str | Path | bytes, name: str = "") -> str:
    """The file's name for messages; PictureError where there is no readable, non-empty file."""
    if isinstance(source, bytes):
        if not source:
            raise PictureError(f"{shown(name)} is empty (0 bytes); give a whole copy of it")
        return shown(name) or "the picture"
    path = Path(source)
    name = shown(path)
    try:
        if path.is_dir():
            raise PictureError(f"{name} is a folder; give a picture file")
        if path.exists() and not path.is_file():
            raise PictureError(f"{name} is not a regular file; give a picture file")
        with path.open("rb") as file:
            if not file.read(1):
                raise PictureError(f"{name} is empty (0 bytes); give a whole copy of it")
    except FileNotFoundError as error:
        raise PictureError(f"{name} does not exist; check its name") from error
    except OSError as error:
        raise PictureError(f"{name} cannot be opened ({error.strerror}); give a readable file") from error
    except ValueError as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{name} cannot be a file's name; check it") from error
    return name


def read_note(path: str | Path) -> dict[str, str]:
    """The note that `write` left in a file; empty where there is none.  Raises PictureError for unreadable files."""
    path = Path(path)
    name = _check(path)
    vips = load_vips()
    try:
        image = _open(vips, path)
    except vips.Error as error:
        raise PictureError(f"{name} cannot be read as a picture ({reason(error)})") from error
    return metadata.find_note(bytes(image.get("xmp-data"))) if image.get_typeof("xmp-data") else {}


def from_any(thing: Any) -> Picture:
    """The picture in a path, PIL image, NumPy array, PyTorch tensor, or `Picture`, which is given back as it is.

    Arrays are [H, W] or [H, W, 1 to 4], uint8, uint16, or floating point in [0, 1]; tensors are [C, H, W] or
    [1, C, H, W] in [-1, 1].  Raises PictureError for wrong shapes, types, ranges, NaN and infinity.
    """
    if isinstance(thing, Picture):
        return check_finite(thing, "the picture")
    if isinstance(thing, str | Path):
        return read(thing)
    if isinstance(thing, Image.Image):
        return from_pil(thing)
    if isinstance(thing, np.ndarray):
        return from_array(thing)
    if isinstance(thing, torch.Tensor):
        return from_tensor(thing)
    raise PictureError(
        f"a {type(thing).__name__} is no picture; give a path, a PIL image, an array, a tensor or a Picture"
    )
