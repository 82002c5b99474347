"""Picture files in and out, and everything that people hold a picture in.

Files go through libvips; what its build cannot read (BMP, JPEG 2000 …) through Pillow.  libvips is loaded when the
first file is opened.
"""

import mmap
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sr3.files import replacing
from sr3.picture import metadata
from sr3.picture.exchange import from_array, from_pil, from_tensor, to_pil
from sr3.picture.picture import (
    Picture,
    PictureError,
    check_finite,
    cmyk_to_srgb,
    from_samples,
    load_vips,
    shown,
    to_samples,
)

__all__ = [
    "PICTURE_SUFFIXES",
    "WRITABLE",
    "Picture",
    "PictureError",
    "find_pictures",
    "from_any",
    "read",
    "read_note",
    "to_pil",
    "write",
]

WRITABLE = {
    ".png": "pngsave",
    ".jpg": "jpegsave",
    ".jpeg": "jpegsave",
    ".webp": "webpsave",
    ".tif": "tiffsave",
    ".tiff": "tiffsave",
    ".avif": "heifsave",
}
"""The suffixes that `write` knows, with libvips' name of what writes them."""

PICTURE_SUFFIXES = frozenset(
    {*WRITABLE, ".jpe", ".jfif", ".heic", ".heif", ".gif", ".bmp", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""The suffixes that count as pictures when a folder is walked; a file that is named may have any."""

_BLOCKS = ("icc-profile-data", "exif-data", "xmp-data", "iptc-data")
_PILLOW = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "SGI", "TIFF", "WEBP")
_NOT_PIXELS = ("csv", "matrix", "vips", "raw", "mat")  # loaders of libvips that take nearly any text for a picture
_FOREIGN = {"lab", "labs", "labq", "lch", "cmc", "xyz", "yxy", "hsv"}
_LONGEST = {"jpegsave": 65500, "webpsave": 16383, "heifsave": 16384}
_JPEG_BLOCK = 65_000
"""Bytes of XMP that surely fit into one JPEG segment; libvips leaves larger packets out without a word."""


def read(path: str | Path, *, max_pixels: int = 2**30) -> Picture:
    """The picture in a file of any format, whatever its name ends in; of several pages or frames the first.

    Upright, as its EXIF orientation says.  Palettes are expanded.  8 or 16 bits by the file's own sample format.  Grey
    and RGB keep their profile and their values; CMYK, LAB and other spaces become sRGB and lose it.

    max_pixels: more than this are refused by the header, before anything is decoded.
    Raises PictureError for files that are missing, unreadable, truncated, damaged, too large, no pictures, or of
    floating-point or 32-bit samples.
    """
    path = Path(path)
    name = _check_file(path)
    vips = load_vips()
    try:
        image = _open(vips, path)
    except vips.Error as error:
        return _read_by_pillow(path, name, max_pixels, error)
    if str(image.get("vips-loader")).startswith(_NOT_PIXELS):
        raise PictureError(_no_picture(name))
    _check_size(name, image.width, image.height, max_pixels)
    try:
        plain = _plain(image, name)
        upright = plain.copy_memory().autorot()
        samples = np.frombuffer(upright.write_to_memory(), np.uint16 if upright.format == "ushort" else np.uint8)
    except vips.Error as error:
        raise PictureError(f"{name} is damaged or incomplete ({_reason(error)}); give a whole copy of it") from error
    except MemoryError as error:
        size = f"{image.width}x{image.height}"
        raise PictureError(f"{name} ({size} pixels) does not fit into memory; give a smaller picture") from error
    samples = samples.reshape(upright.height, upright.width, upright.bands)
    keep = _kept(image, path, 1 if upright.bands < 3 else 3)
    dpi = None if image.xres == image.yres == 1 else (25.4 * upright.xres, 25.4 * upright.yres)
    return from_samples(samples, keep, dpi)


def _open(vips: Any, path: Path) -> Any:
    # through a source: a plain name ending in [...] would be read as options
    return vips.Image.new_from_source(vips.Source.new_from_file(str(path)), "", access="sequential", fail_on="error")


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


def _kept(image: Any, path: Path, channels: int) -> dict[str, bytes]:
    """The metadata of an opened file that still holds for its upright grey or RGB pixels."""
    keep = {block: bytes(image.get(block)) for block in _BLOCKS if image.get_typeof(block)}
    found: dict[str, bytes | None] = {**keep}
    if str(image.get("vips-loader")).startswith("tiff"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            data: Any = whole  # libvips neither reads EXIF from TIFF nor all of its IPTC
            found |= {"exif-data": metadata.clean_exif(data), "iptc-data": metadata.iptc_of_tiff(data)}
    else:
        found["exif-data"] = metadata.clean_exif(keep.get("exif-data", b""))
        found["iptc-data"] = metadata.bare_iptc(keep.get("iptc-data", b""))
    if not metadata.fits_icc(keep.get("icc-profile-data", b""), channels):
        found["icc-profile-data"] = None
    return {block: data for block, data in found.items() if data}


def _read_by_pillow(path: Path, name: str, max_pixels: int, first: Exception) -> Picture:
    """What libvips could not open; `first` is what it said."""
    Image.init()
    formats = [f for f in _PILLOW if f in Image.OPEN]  # not EPS and its like, which start programs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(path, formats=formats)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} claims to be too large ({error}); give a smaller picture") from error
    except Exception as error:  # Pillow's parsers raise nearly everything on damaged files
        if "known format" in str(first):
            raise PictureError(_no_picture(name)) from first
        raise PictureError(f"{name} is damaged or incomplete ({_reason(first)}); give a whole copy of it") from error
    with opened:
        _check_size(name, opened.width, opened.height, max_pixels)
        return from_pil(opened, name)


def _no_picture(name: str) -> str:
    return f"{name} is not a picture, or is damaged at its start; give a PNG, JPEG, WebP, TIFF, AVIF, GIF or BMP file"


def _reason(error: Exception) -> str:
    """The last thing a library said, short, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(lines[-1] if len(lines) > 1 else "its header makes no sense")[:200]


def _check_file(path: Path) -> str:
    """The file's name for messages; PictureError where there is no readable, non-empty file."""
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


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureError(
            f"{name} says it is {width}x{height}, {width * height} pixels, and at most {max_pixels} are read; "
            "give a smaller picture"
        )


def write(path: str | Path, picture: Picture, *, note: Mapping[str, str] | None = None, quality: int = 95) -> None:
    """Write a picture to a file of the format its suffix names (see `WRITABLE`), whole or not at all.

    Samples are clamp((x + 1) / 2) * 255 or * 65535, halves to even.  16 bits go into PNG and TIFF; the others hold 8.
    JPEG has no alpha: the picture is laid on white.  The profile, EXIF and XMP are written into every format, IPTC
    into JPEG and TIFF, which alone can hold it; XMP beyond 65 kB does not fit into JPEG and is left out.
    note: what made the picture (model, seed …); `read_note` gives it back.  quality: 1 to 100, of the lossy formats.
    Raises PictureError for other suffixes, pixels that are not finite, sizes the format cannot hold, and files that
    cannot be written.
    """
    path = Path(path)
    name, saver = shown(path), WRITABLE.get(path.suffix.lower())
    if saver is None:
        raise PictureError(f"cannot write {name}: its name must end in one of {', '.join(sorted(WRITABLE))}")
    if not 1 <= quality <= 100:
        raise PictureError(f"cannot write {name} with quality {quality}; give 1 to 100")
    if path.is_dir():
        raise PictureError(f"cannot write {name}: it is a folder; give a file's name")
    width, height = picture.size
    longest = _LONGEST.get(saver, 2**31 - 1)
    if max(width, height) > longest:
        raise PictureError(f"cannot write {name}: {width}x{height} exceeds the format's {longest} a side; use .png")
    bits = picture.bits if saver in ("pngsave", "tiffsave") else 8
    samples = to_samples(picture, bits, opaque=saver == "jpegsave", name=f"the picture for {name}")
    vips = load_vips()
    blocks = _blocks(picture, note, saver)
    image = _dressed(vips, samples, picture.dpi or (72, 72), blocks, saver)
    options: dict[str, Any] = {
        "pngsave": {},
        "jpegsave": {"Q": quality, "optimize_coding": True},
        "webpsave": {"Q": quality},
        "tiffsave": {"compression": "deflate", "predictor": "horizontal", "bigtiff": samples.nbytes > 3 * 2**30},
        "heifsave": {"Q": quality, "compression": "av1"},
    }[saver]
    try:
        with replacing(Path(os.path.realpath(path))) as temporary:
            getattr(image, saver)(str(temporary), **options)
            if saver == "pngsave":
                metadata.amend_png(temporary, blocks.get("xmp-data"))
            elif saver == "tiffsave":
                metadata.amend_tiff(temporary, blocks.get("exif-data"), blocks.get("iptc-data"))
    except vips.Error as error:
        raise PictureError(f"cannot write {name} ({_reason(error)}); check the disk and the format") from error
    except OSError as error:
        raise PictureError(f"cannot write {name} ({error.strerror or error}); check the folder and the disk") from error


def _blocks(picture: Picture, note: Mapping[str, str] | None, saver: str) -> dict[str, bytes]:
    """The metadata to write."""
    blocks = dict(picture.keep)
    if not metadata.fits_icc(blocks.get("icc-profile-data", b""), len(picture.pixels)):
        blocks.pop("icc-profile-data", None)
    xmp = metadata.clean_xmp(blocks.pop("xmp-data", b""), picture.size)
    if note is not None:
        packet = metadata.add_note(xmp, note)
        fits = saver != "jpegsave" or len(packet) <= _JPEG_BLOCK
        xmp = packet if fits else metadata.add_note(None, note)
    return blocks | ({"xmp-data": xmp} if xmp else {})


def _dressed(vips: Any, samples: Any, dpi: tuple[float, float], blocks: Mapping[str, bytes], saver: str) -> Any:
    """The libvips image of samples [H, W, C], with the metadata that libvips writes well."""
    height, width, bands = samples.shape
    deep = samples.dtype == np.uint16
    space = ("grey16" if deep else "b-w") if bands < 3 else ("rgb16" if deep else "srgb")
    image = vips.Image.new_from_memory(samples, width, height, bands, "ushort" if deep else "uchar")
    image = image.copy(interpretation=space, xres=dpi[0] / 25.4, yres=dpi[1] / 25.4)
    for block, data in blocks.items():
        if block == "iptc-data":
            if saver == "jpegsave":
                image.set_type(vips.GValue.blob_type, block, metadata.wrapped_iptc(data))
        elif block in _BLOCKS and (block, saver) != ("xmp-data", "pngsave"):
            image.set_type(vips.GValue.blob_type, block, data)
    return image


def read_note(path: str | Path) -> dict[str, str]:
    """The note that `write` left in a file; empty where there is none.  Raises PictureError for unreadable files."""
    path = Path(path)
    name = _check_file(path)
    vips = load_vips()
    try:
        image = _open(vips, path)
    except vips.Error as error:
        raise PictureError(f"{name} cannot be read as a picture ({_reason(error)})") from error
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


def find_pictures(root: str | Path) -> list[Path]:
    """Every picture in a folder and its sub-folders, by suffix, sorted; hidden files and folders are left out."""
    root = Path(root)
    if not root.is_dir():
        raise PictureError(f"{shown(root)} is not a folder; give one that holds pictures")

    def refuse(error: OSError) -> None:
        raise PictureError(f"{shown(error.filename)} cannot be listed ({error.strerror})") from error

    found: list[Path] = []
    for folder, below, files in os.walk(root, onerror=refuse):
        below[:] = [b for b in below if not b.startswith(".")]
        found += [
            Path(folder, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in PICTURE_SUFFIXES
        ]
    return sorted(found)
