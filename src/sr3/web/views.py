"""Pictures for the screen: WebP no larger than asked, in sRGB, of whatever file the package reads."""

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sr3.picture.image import PictureError
from sr3.picture.metadata import fits_icc
from sr3.picture.opened import check, opened
from sr3.picture.picture import Picture, load_vips, reason, to_samples
from sr3.picture.resize import resize
from sr3.restore.restorer import Progress

THUMBNAIL, PREVIEW, LARGEST = 320, 1024, 4096
"""The longest side of a thumbnail and of a preview, and the greatest width of a view, in pixels."""

QUALITY = 82

Box = tuple[int, int, int, int]


def view(path: Path, size: tuple[int, int], box: Box | None = None) -> bytes:
    """A picture file as WebP, upright, at most so (wide, high); never enlarged.

    box: (left, top, width, height) of the upright picture: that part of it alone.  Of a large file without a box no
    more is held in memory than a few of its rows.
    PictureError where it cannot be read, and for a box that is not inside.
    """
    vips, name = load_vips(), path.name
    image = opened(path, check(path), 2**30)
    try:
        if isinstance(image, Image.Image):
            with image:
                whole = _of_pillow(image)
        elif box is None:
            # reads a JPEG at the size that is needed; that the loader is a safe one, `opened` has seen
            source = vips.Source.new_from_file(str(path))
            return _webp(vips.Image.thumbnail_source(source, size[0], height=size[1], size="down", **_SRGB))
        else:
            whole = image.copy_memory().autorot() if image.get_typeof("orientation") else image
        if box is not None:
            left, top, wide, high = box
            if left + wide > whole.width or top + high > whole.height:
                raise PictureError(f"the box is not inside the picture, which is {whole.width}x{whole.height}")
            whole = whole.crop(*box)
        return _webp(whole.thumbnail_image(size[0], height=size[1], size="down", **_SRGB))
    except vips.Error as error:
        raise PictureError(f"{name} is damaged or incomplete ({reason(error)}); give a whole copy of it") from error


def _of_pillow(image: Image.Image) -> Any:
    """What Pillow has opened, of 8 or 16 bits, with the profile that says what its colours are."""
    vips = load_vips()
    if image.mode == "I" or image.mode.startswith("I;"):
        samples = np.asarray(image).clip(0, 65535).astype(np.uint16)
        found = vips.Image.new_from_array(samples).copy(interpretation="grey16")
    else:
        plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
        found = vips.Image.new_from_array(np.asarray(plain)).copy(interpretation="srgb")
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and fits_icc(profile, 1 if found.bands < 3 else 3):
        found.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    return found


LARGE = 12_000_000
"""Pixels of a picture of which parts are cut from a pyramid, as decoding it for each of them would take too long."""

_making = threading.Lock()


def part(path: Path, size: tuple[int, int], box: Box) -> bytes:
    """`view` of a part of a picture file; a large one is first written beside it as tiles in several sizes, once."""
    pixels = opened(path, check(path), 2**30)
    if pixels.width * pixels.height < LARGE or isinstance(pixels, Image.Image):
        return view(path, size, box)
    kept = path.with_name(f"{path.stem}.zoom")
    vips = load_vips()
    try:
        with _making:
            if not kept.exists():
                half = kept.with_name(f"{kept.name}.half")
                source = vips.Source.new_from_file(str(path))
                whole = vips.Image.thumbnail_source(source, 10**7, height=10**7, size="down", **_SRGB)
                whole = whole.colourspace("srgb")  # of 16 bits or grey
                how = {"compression": "deflate"} if whole.hasalpha() else {"compression": "jpeg", "Q": 92}
                whole.tiffsave(str(half), tile=True, pyramid=True, tile_width=256, tile_height=256, bigtiff=True, **how)
                half.replace(kept)
        first = vips.Image.tiffload(str(kept))
        left, top, wide, high = box
        if left + wide > first.width or top + high > first.height:
            raise PictureError(f"the box is not inside the picture, which is {first.width}x{first.height}")
        shrink = max(1.0, wide / size[0], high / size[1])
        level = min(int(math.log2(shrink)), first.get("n-pages") - 1)
        there = vips.Image.tiffload(str(kept), page=level)
        across, down = there.width / first.width, there.height / first.height
        x, y = min(int(left * across), there.width - 1), min(int(top * down), there.height - 1)
        w, h = max(1, min(round(wide * across), there.width - x)), max(1, min(round(high * down), there.height - y))
        return _webp(there.crop(x, y, w, h).thumbnail_image(size[0], height=size[1], size="down"))
    except vips.Error as error:
        raise PictureError(
            f"{path.name} is damaged or incomplete ({reason(error)}); give a whole copy of it"
        ) from error


_SRGB: dict[str, Any] = {"export_profile": "srgb", "fail_on": "error"}


def _webp(image: Any) -> bytes:
    return bytes(image.webpsave_buffer(Q=QUALITY, strip=True, effort=1))


def preview(progress: Progress) -> bytes:
    """What a walk now thinks that the picture becomes, as WebP of at most `PREVIEW` pixels a side."""
    x = progress.step.x0[:1].float().cpu()
    high, wide = x.shape[-2:]
    if (large := max(high, wide)) > PREVIEW:
        x = resize(x, (max(1, high * PREVIEW // large), max(1, wide * PREVIEW // large)))
    return encoded(x[0])


def encoded(pixels: Tensor) -> bytes:
    """Pixels [3, H, W] in [-1, 1] as WebP."""
    samples = to_samples(Picture(pixels.clamp(-1, 1).nan_to_num()), 8)
    vips = load_vips()
    return _webp(vips.Image.new_from_array(np.ascontiguousarray(samples)).copy(interpretation="srgb"))
