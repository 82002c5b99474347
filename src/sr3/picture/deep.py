"""PPM files of more than 8 bits, as raw converters write them: Pillow reads 8 of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np

_GAP = rb"\s+(?:#[^\r\n]*[\r\n]\s*)*"
_HEAD = re.compile(rb"P6" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")


def deep_ppm(vips: Any, source: str | Path | bytes) -> Any:
    """A libvips image of RGB in 16 bits, read as it is asked for; None for anything else, and for what is cut off.

    source: a file's path, or its contents.  Values are scaled so that the file's largest, 256 to 65535, is 65535.
    """
    if isinstance(source, bytes):
        head = source[:512]
    else:
        with Path(source).open("rb") as file:
            head = file.read(512)
    found = _HEAD.match(head)
    if found is None:
        return None
    width, height, most = map(int, found.groups())
    whole = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if not (255 < most < 65536 and width and height and whole >= found.end() + 6 * width * height):
        return None
    shape = (height, width, 3)
    if isinstance(source, bytes):
        values = np.frombuffer(source, ">u2", 3 * width * height, found.end()).reshape(shape)
    else:
        values = np.memmap(source, ">u2", "r", found.end(), shape)
    image = vips.Image.new_from_memory(values.data, width, height, 3, "ushort").byteswap()
    if most < 65535:
        image = (image * (65535 / most)).rint().cast("ushort")
    image = image.copy(interpretation="rgb16")
    image.set_type(vips.GValue.gstr_type, "vips-loader", "ppm")
    return image
