"""Pictures too large for the memory: on the disk, written from the top down and read again by whoever saves them."""

import os
import struct
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sr3.files import temporary_folder
from sr3.picture.picture import TOP, Picture, from_samples

STRIP = 16
"""Rows that are read at once."""


class Scratch:
    """A plain TIFF file (BigTIFF, uncompressed, in strips) that samples are written into from the top down.

    size: (width, height).  bands: 1 to 4, as grey, grey + alpha, RGB, RGB + alpha.
    near: the folder to be in, or None for the system's.  The file is removed when nobody holds this any more.
    """

    def __init__(self, size: tuple[int, int], bands: int, bits: int, near: Path | None = None):
        stack = ExitStack()
        self.path = stack.enter_context(temporary_folder(near)) / "picture.tif"
        self.size, self.bands, self.bits = size, bands, bits
        self.close = weakref.finalize(self, stack.close)
        self.restart()

    def restart(self) -> None:
        """Forget what was written."""
        self.rows = 0
        head = _header(self.size, self.bands, self.bits)
        self.start = len(head)
        self.path.write_bytes(head)

    def write(self, samples: "np.ndarray[Any, Any]") -> None:
        """Add rows [n, W, C] of uint8 or uint16; ValueError where they are not of this picture."""
        if samples.shape[1:] != (self.size[0], self.bands) or samples.dtype.itemsize * 8 != self.bits:
            raise ValueError(f"rows {list(samples.shape)} of {samples.dtype} are none of this picture")
        self.rows += len(samples)
        with self.path.open("ab") as file:
            file.write(samples.astype(samples.dtype.newbyteorder("<")).tobytes())

    def image(self, vips: Any) -> Any:
        """A libvips image of it that can be read once, from the top down."""
        if self.rows != self.size[1]:
            raise ValueError(f"{self.rows} of {self.size[1]} rows are written")
        return vips.Image.tiffload(os.fsencode(self.path), access="sequential")


class LargePicture(Picture):
    """A picture that is kept in a file of its own, which goes with it: read whole only where its pixels are asked for.

    What saves it reads it from the top down; keep and dpi as of `Picture`.
    """

    def __init__(
        self,
        scratch: Scratch,
        keep: Mapping[str, bytes] | None = None,
        dpi: tuple[float, float] | None = None,
        window: tuple[slice, slice] | None = None,
    ):
        rows, columns = window or (slice(0, scratch.size[1]), slice(0, scratch.size[0]))
        own = {"scratch": scratch, "bits": scratch.bits, "keep": keep or {}, "dpi": dpi, "window": (rows, columns)}
        for name, value in own.items():
            object.__setattr__(self, name, value)

    scratch: Scratch
    window: tuple[slice, slice]
    """The rows and the columns of the file that are the picture."""

    @property
    def pixels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All of them, in memory."""
        return self.whole().pixels

    @property
    def alpha(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All of it, in memory."""
        return self.whole().alpha

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        rows, columns = self.window
        return columns.stop - columns.start, rows.stop - rows.start

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return 1 if self.scratch.bands < 3 else 3

    def kept(self, keep: Mapping[str, bytes]) -> "LargePicture":
        """The same with other metadata."""
        return LargePicture(self.scratch, keep, self.dpi, self.window)

    def cropped(self, rows: slice, columns: slice) -> "LargePicture":
        """Some of its rows and columns."""
        (top, left), (high, wide) = (part.start for part in self.window), (rows, columns)
        window = slice(top + high.start, top + high.stop), slice(left + wide.start, left + wide.stop)
        return LargePicture(self.scratch, self.keep, self.dpi, window)

    def image(self, vips: Any, bits: int, *, opaque: bool = False) -> Any:
        """A libvips image of it in samples of so many bits, read once and from the top down.

        opaque: laid on white, without alpha.
        """
        image, top = self.scratch.image(vips), TOP[self.bits]
        if self.size != self.scratch.size:
            rows, columns = self.window
            image = image.crop(columns.start, rows.start, *self.size)
        if opaque and self.scratch.bands > self.channels:
            colours, alpha = image.extract_band(0, n=self.channels), image.extract_band(self.channels)
            image = (colours * alpha + (top - alpha) * top) / top
        elif bits == self.bits:
            return image
        return (image * (TOP[bits] / top)).rint().cast("uchar" if bits == 8 else "ushort")

    def whole(self) -> Picture:
        """The same in memory."""
        (width, height), kind = self.scratch.size, np.dtype("<u1" if self.bits == 8 else "<u2")
        samples = np.fromfile(self.scratch.path, kind, offset=self.scratch.start)
        samples = samples.reshape(height, width, -1)[self.window].astype(kind.newbyteorder("="))
        return from_samples(samples, dict(self.keep), self.dpi)


def _header(size: tuple[int, int], bands: int, bits: int) -> bytes:
    """What comes before the samples: the table of a BigTIFF file, and the places and lengths of its strips."""
    width, height = size
    count = -(-height // STRIP)
    row = width * bands * bits // 8
    colours = 1 if bands < 3 else 3
    table = [
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (bits,) * bands),
        (259, _SHORT, (1,)),  # not compressed
        (262, _SHORT, (1 if colours == 1 else 2,)),  # grey, from black to white, or RGB
        (273, _LONG, (0,) * count),  # where the strips are
        (277, _SHORT, (bands,)),
        (278, _LONG, (STRIP,)),
        (279, _LONG, tuple(row * min(STRIP, height - STRIP * k) for k in range(count))),
        (284, _SHORT, (1,)),  # samples of a pixel together
        *([(338, _SHORT, (2,))] if bands > colours else []),  # alpha, not multiplied into the others
    ]
    lists = 16 + 8 + 20 * len(table) + 8
    start = lists + (16 * count if count > 1 else 0)
    table[5] = (273, _LONG, tuple(start + row * STRIP * k for k in range(count)))
    entries, after = b"", b""
    for tag, kind, values in table:
        packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'Q'}", *values)
        if len(packed) > 8:  # too long to stand in the table
            packed, after = struct.pack("<Q", lists + len(after)), after + packed
        entries += struct.pack("<HHQ", tag, kind, len(values)) + packed.ljust(8, b"\0")
    return b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, len(table)) + entries + bytes(8) + after


_SHORT, _LONG = 3, 16
"""TIFF's types of 16 and 64 bits."""
