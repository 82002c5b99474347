"""Picture files out: pixels, metadata, and a note of what made them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sr3.files import disk_full, replacing
from sr3.picture import metadata
from sr3.picture.large import LargePicture
from sr3.picture.picture import BLOCKS, Picture, PictureError, load_vips, reason, shown, to_samples

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

_LONGEST = {"jpegsave": 65500, "webpsave": 16383, "heifsave": 16384}
_OWN_CHUNKS = ("icc-profile-data", "xmp-data")
"""What goes into a PNG file without libvips."""
_JPEG_BLOCK = 65_000
"""Bytes of XMP that surely fit into one JPEG segment; libvips leaves larger packets out without a word."""


def write(path: str | Path, picture: Picture, *, note: Mapping[str, str] | None = None, quality: int = 95) -> None:
    """Write a picture to a file of the format its suffix names (see `WRITABLE`), whole or not at all.

    Samples are clamp((x + 1) / 2) * 255 or * 65535, halves to even.  16 bits go into PNG and TIFF; the others hold 8.
    JPEG has no alpha: the picture is laid on white.  The profile, EXIF and XMP are written into every format, IPTC
    into JPEG and TIFF, which alone can hold it; XMP and IPTC beyond 65 kB do not fit into JPEG and are left out, and
    libvips leaves tags that it does not know out of the EXIF of WebP and AVIF.
    note: what made the picture (model, seed …); `read_note` gives it back.  quality: 1 to 100, of the lossy formats.
    Raises PictureError for other suffixes, pixels that are not finite, sizes the format cannot hold, and files that
    cannot be written.
    """
    path = Path(path)
    name, saver = shown(path), check_format(path, picture.size)
    if not 1 <= quality <= 100:
        raise PictureError(f"cannot write {name} with quality {quality}; give 1 to 100")
    if path.is_dir():
        raise PictureError(f"cannot write {name}: it is a folder; give a file's name")
    bits = picture.bits if saver in ("pngsave", "tiffsave") else 8
    vips = load_vips()
    blocks = blocks_of(picture, note, saver)
    large = isinstance(picture, LargePicture)
    if large:
        plain = picture.image(vips, bits, opaque=saver == "jpegsave")
    else:
        plain = image_of(vips, to_samples(picture, bits, opaque=saver == "jpegsave", name=f"the picture for {name}"))
    if saver in _IN_COLOURS:
        plain, blocks = in_colours(vips, plain, blocks)
    image = dressed(vips, plain, picture.dpi or (72, 72), blocks, saver)
    whole = image.width * image.height * image.bands * bits // 8
    options: dict[str, Any] = {
        "pngsave": {},
        # codes that are the best for the file ask for all of it at once
        "jpegsave": {"Q": quality, "optimize_coding": not large},
        "webpsave": {"Q": quality},
        "tiffsave": {"compression": "deflate", "predictor": "horizontal", "bigtiff": whole > 3 * 2**30},
        "heifsave": {"Q": quality, "compression": "av1"},
    }[saver]
    try:
        with replacing(path) as temporary:
            getattr(image, saver)(os.fsencode(temporary), **options)
            if saver == "pngsave":
                metadata.amend_png(temporary, *map(blocks.get, (*_OWN_CHUNKS, "exif-data")))
            elif saver == "jpegsave":
                metadata.amend_jpeg(temporary, blocks.get("exif-data"))
            elif saver == "tiffsave":
                metadata.amend_tiff(temporary, blocks.get("exif-data"), blocks.get("iptc-data"))
    except vips.Error as error:
        if disk_full(error):
            raise PictureError(f"cannot write {name}: the disk is full") from error
        raise PictureError(f"cannot write {name} ({reason(error)}); check the disk and the format") from error
    except OSError as error:
        if disk_full(error):
            raise PictureError(f"cannot write {name}: the disk is full") from error
        raise PictureError(f"cannot write {name} ({error.strerror or error}); check the folder and the disk") from error


def check_format(path: Path, size: tuple[int, int]) -> str:
    """libvips' name of what writes files of this suffix; PictureError where none does, or none of this size."""
    saver = WRITABLE.get(path.suffix.lower())
    if saver is None:
        raise PictureError(f"cannot write {shown(path)}: its name must end in one of {', '.join(sorted(WRITABLE))}")
    longest = _LONGEST.get(saver, 2**31 - 1)
    if max(size) > longest:
        raise PictureError(
            f"cannot write {shown(path)}: {size[0]}x{size[1]} exceeds the format's {longest} a side; use .png"
        )
    return saver


def blocks_of(
    picture: Picture, note: Mapping[str, str] | None, saver: str, size: tuple[int, int] | None = None
) -> dict[str, bytes]:
    """The metadata to write, by libvips' names, with the note in them.

    size: (width, height) of what is written, where that is not the picture's own.
    """
    blocks = dict(picture.keep)
    profile = blocks.pop("icc-profile-data", b"")
    profile = profile[: int.from_bytes(profile[:4], "big")]  # what lies beyond it some readers fail over
    if metadata.fits_icc(profile, picture.channels):
        blocks["icc-profile-data"] = profile
    xmp = metadata.clean_xmp(blocks.pop("xmp-data", b""), size or picture.size)
    if note is not None:
        packet = metadata.add_note(xmp, note)
        fits = saver != "jpegsave" or len(packet) <= _JPEG_BLOCK
        xmp = packet if fits else metadata.add_note(None, note)
    return blocks | ({"xmp-data": xmp} if xmp else {})


_IN_COLOURS = ("webpsave", "heifsave")
"""What makes three channels of grey, which a profile of grey then describes no more."""


def in_colours(vips: Any, image: Any, blocks: dict[str, bytes]) -> tuple[Any, dict[str, bytes]]:
    """Grey of 8 bits that has a profile as sRGB, which needs none; anything else as it is.

    image: of libvips.  blocks: as `blocks_of` gives them.  Returns both as they are to be written.
    """
    profile = blocks.get("icc-profile-data")
    if image.bands > 2 or profile is None:
        return image, blocks
    grey = image.copy(interpretation="b-w")
    grey.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    coloured = grey.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    coloured.remove("icc-profile-data")
    return coloured, {key: data for key, data in blocks.items() if key != "icc-profile-data"}


def image_of(vips: Any, samples: Any) -> Any:
    """The libvips image of samples [H, W, C], uint8 or uint16."""
    height, width, bands = samples.shape
    return vips.Image.new_from_memory(
        samples, width, height, bands, "ushort" if samples.dtype == np.uint16 else "uchar"
    )


def dressed(vips: Any, image: Any, dpi: tuple[float, float], blocks: Mapping[str, bytes], saver: str) -> Any:
    """A libvips image of plain samples, with the metadata that libvips writes well."""
    deep = image.format == "ushort"
    space = ("grey16" if deep else "b-w") if image.bands < 3 else ("rgb16" if deep else "srgb")
    image = image.copy(interpretation=space, xres=dpi[0] / 25.4, yres=dpi[1] / 25.4)
    for block, data in blocks.items():
        if block == "iptc-data":
            if saver == "jpegsave":
                image.set_type(vips.GValue.blob_type, block, metadata.wrapped_iptc(data))
        elif block in BLOCKS and (saver != "pngsave" or block not in _OWN_CHUNKS):
            image.set_type(vips.GValue.blob_type, block, data)
    return image
