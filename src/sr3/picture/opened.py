"""Picture files opened: only loaders that are safe, nothing but the header read, and a sentence for all else."""

import io
import os
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from sr3.picture.deep import deep_ppm
from sr3.picture.kinds import HEIC, kind
from sr3.picture.memory import READING, lacking
from sr3.picture.picture import PictureError, load_vips, reason, shown

MAX_PIXELS = 2**30
"""More are refused by the header, before anything is decoded; so are those that do not fit into memory."""

LOADERS = ("png", "jpeg", "webp", "tiff", "gif", "heif")
"""Of libvips'; SVG, PDF and its own format are no pictures here, or run what the file says."""

_PILLOW = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "SGI", "TIFF", "WEBP")


def opened(source: str | Path | bytes, name: str, max_pixels: int, *, lenient: bool = False, page: int = 0) -> Any:
    """A libvips image, or Pillow's where libvips cannot read the format; nothing but its header is read.

    name: for messages.  page: of a TIFF file, from 0.
    PictureError for what is no picture, or is too large for max_pixels or for the memory.
    """
    vips = load_vips()
    try:
        image = open_by_vips(source, lenient=lenient, page=page)
    except vips.Error as error:
        image = deep_ppm(vips, source) or _open_by_pillow(source, name, error)
    else:
        if str(image.get("vips-loader")).startswith("tiff"):
            image = _tiff(image, source, lenient=lenient, page=page)
        if image.get_typeof("heif-compression") and str(image.get("heif-compression")) == "hevc":
            # libvips reads its header but may have nothing to decode it with
            image = _open_by_pillow(source, name, vips.Error("no decoder of HEVC"))
    pixels = image.width * image.height
    size = f"{name} says it is {image.width}x{image.height}, {pixels} pixels"
    lack = lacking(pixels, _each(image))
    if pixels <= max_pixels and lack is None:
        return image
    if isinstance(image, Image.Image):
        image.close()
    if pixels > max_pixels:
        raise PictureError(f"{size}, and at most {max_pixels} are read; give a smaller picture")
    raise PictureError(f"{size}, which take {lack}; give a smaller picture")


def _each(image: Any) -> int:
    """Bytes that a pixel takes while it is read."""
    if isinstance(image, Image.Image):
        return READING
    turned = image.get_typeof("orientation") != 0 and int(image.get("orientation")) > 1
    return READING + 8 * (image.format != "uchar") + 8 * (image.bands in (2, 4)) + 4 * turned


_COPY = 5
"""Bits of TIFF's NewSubfileType: a smaller copy of another page, or a mask."""
_SUBFILE, _EXTRA = 0x00FE, 0x0152


def _tiff(image: Any, source: str | Path | bytes, *, lenient: bool, page: int) -> Any:
    """The page, and without a channel of which the file does not say that it is alpha, as a saved selection is.

    The first page is the first that is no smaller copy of another.
    """
    total = int(image.get("n-pages")) if image.get_typeof("n-pages") else 1
    clear = image.bands in (2, 4) and image.interpretation != "cmyk"
    if not clear and (page or total == 1):
        return image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=["TIFF"]) as tags:
                wanted = page or next(k for k in range(total) if not int(_tags(tags, k).get(_SUBFILE, 0)) & _COPY)
                extra = _tags(tags, wanted).get(_EXTRA, ())
    except Exception:  # of kinds that Pillow does not read, or nothing but copies
        return image
    if wanted != page:
        image = open_by_vips(source, lenient=lenient, page=wanted)
        clear = image.bands in (2, 4) and image.interpretation != "cmyk"
    if clear and tuple(extra if isinstance(extra, tuple) else (extra,))[:1] == (0,):
        return image.extract_band(0, n=image.bands - 1)
    return image


def _tags(image: Image.Image, page: int) -> Mapping[int, Any]:
    image.seek(page)
    return getattr(image, "tag_v2", {})


_WRONG = Lock()


def open_by_vips(source: str | Path | bytes, *, lenient: bool = False, page: int = 0) -> Any:
    """A libvips image by one of its safe loaders; its own error where there is none, or the header is damaged."""
    vips = load_vips()
    options = {"page": page} if page else {}

    def header() -> Any:
        # through a source: a plain name ending in [...] would be read as options
        if isinstance(source, bytes):
            stream = vips.Source.new_from_memory(source)
        else:  # as bytes: a name need not be text
            stream = vips.Source.new_from_file(os.fsencode(source))
        fails = "none" if lenient else "error"
        return vips.Image.new_from_source(stream, "", access="sequential", fail_on=fails, **options)

    try:
        image = header()
    except vips.Error:
        # libvips keeps one text of errors for all threads, and what others left there is told now: so once more, which
        # leaves another file's reason only where that fails at the same moment
        with _WRONG:
            image = header()
    loader = str(image.get("vips-loader")) if image.get_typeof("vips-loader") else "no loader"
    if not loader.startswith(LOADERS):
        raise vips.Error("the loader is not trusted", "\nnot in a known format")
    return image


def _open_by_pillow(source: str | Path | bytes, name: str, first: Exception) -> Image.Image:
    """What libvips could not open; `first` is what it said."""
    Image.init()
    formats = [f for f in _PILLOW if f in Image.OPEN]  # not EPS and its like, which start programs
    what = kind(*_ends(source), Path(name if isinstance(source, bytes) else source).suffix)
    if what == HEIC:
        formats = [*_heic(name)]
    elif what is not None:
        raise PictureError(f"{name} is {what}, which sr3 does not read; save it as PNG, JPEG, WebP or TIFF") from first
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} claims to be too large ({error}); give a smaller picture") from error
    except Exception as error:  # Pillow's parsers raise nearly everything on damaged files
        if "known format" in str(first) and what is None:
            raise PictureError(_no_picture(name)) from first
        raise PictureError(f"{name} is damaged or incomplete ({reason(first)}); give a whole copy of it") from error


def _heic(name: str) -> tuple[str]:
    """Pillow's name of the format, once pi-heif has told it how to read one."""
    try:
        import_module("pi_heif").register_heif_opener()
    except ImportError as error:
        raise PictureError(
            f"{name} is a HEIC picture, as iPhones make them, and needs pi-heif to be read; "
            "install it with: pip install pi-heif"
        ) from error
    return ("HEIF",)


def _ends(source: str | Path | bytes) -> tuple[bytes, bytes]:
    if isinstance(source, bytes):
        return source[:512], source[-18:]
    with Path(source).open("rb") as file:
        head = file.read(512)
        file.seek(max(0, file.seek(0, 2) - 18))
        return head, file.read(18)


def _no_picture(name: str) -> str:
    return f"{name} is not a picture, or is damaged at its start; give a PNG, JPEG, WebP, TIFF, AVIF, GIF or BMP file"


def check(source: str | Path | bytes, name: str = "") -> str:
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
