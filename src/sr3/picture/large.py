"""Pictures too large for the memory: on the disk, written from the top down and read again by whoever saves them."""

import os
import struct
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sr3.files import temporary_folder

STRIP = 16
"""Rows that are read at once."""


class Scratch:
    """A plain TIFF file (BigTIFF, uncompressed, in strips) that samples are written into from the top down.

    size: (width, height).  near: the folder to be in, or None for the system's; it is removed when nobody holds it.
    """

    def __init__(self, size: tuple[int, int], channels: int, bits: int, near: Path | None = None):
        stack = ExitStack()
        self.path = stack.enter_context(temporary_folder(near)) / "picture.tif"
        self.size, self.channels, self.bits = size, channels, bits
        self.close = weakref.finalize(self, stack.close)
        self.restart()

    def restart(self) -> None:
        """Forget what was written."""
        self.rows = 0
        self.path.write_bytes(_header(self.size, self.channels, self.bits))

    def write(self, samples: "np.ndarray[Any, Any]") -> None:
        """Add rows [n, W, C] of uint8 or uint16; ValueError where they are not of this picture."""
        if samples.shape[1:] != (self.size[0], self.channels) or samples.dtype.itemsize * 8 != self.bits:
            raise ValueError(f"rows {list(samples.shape)} of {samples.dtype} are none of this picture")
        self.rows += len(samples)
        with self.path.open("ab") as file:
            file.write(samples.astype(samples.dtype.newbyteorder("<")).tobytes())

    def image(self, vips: Any) -> Any:
        """A libvips image of it that can be read once, from the top down."""
        if self.rows != self.size[1]:
            raise ValueError(f"{self.rows} of {self.size[1]} rows are written")
        return vips.Image.tiffload(os.fspath(self.path), access="sequential")


@dataclass(frozen=True)
class LargePicture:
    """A picture in a file of its own, without alpha; bits, keep and dpi as of `Picture`, which it is used as to save.

    It is gone with the object.
    """

    scratch: Scratch
    keep: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    dpi: tuple[float, float] | None = None

    @property
    def bits(self) -> int:
        """8 or 16."""
        return self.scratch.bits

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.scratch.size

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.scratch.channels

    def save(self, path: str | Path, *, quality: int = 95) -> None:
        """Write it to a file by the format that its name ends in; as `sr3.picture.write.write`."""
        from sr3.picture.write import write

        write(path, self, quality=quality)

    def image(self, vips: Any, bits: int) -> Any:
        """A libvips image of it in samples of so many bits, read once and from the top down."""
        image = self.scratch.image(vips)
        return image if bits == self.bits else (image / 257).rint().cast("uchar")


def _header(size: tuple[int, int], channels: int, bits: int) -> bytes:
    """What comes before the samples."""
    width, height = size
    count = -(-height // STRIP)
    row = width * channels * bits // 8
    # the two lists that do not fit into the table follow it, and then the samples
    lists = 16 + 8 + 20 * 10 + 8
    start = lists + 16 * count
    offsets = [start + row * STRIP * k for k in range(count)]
    lengths = [row * min(STRIP, height - STRIP * k) for k in range(count)]
    short, long8 = 3, 16

    def inline(kind: int, *values: int) -> bytes:
        packed = b"".join(struct.pack("<H" if kind == short else "<Q", value) for value in values)
        return packed.ljust(8, b"\0")

    # one strip's list is short enough to stand in the table
    at = [
        inline(long8, offsets[0] if count == 1 else lists),
        inline(long8, lengths[0] if count == 1 else lists + 8 * count),
    ]
    table = [
        (256, long8, 1, inline(long8, width)),
        (257, long8, 1, inline(long8, height)),
        (258, short, channels, inline(short, *[bits] * channels)),
        (259, short, 1, inline(short, 1)),
        (262, short, 1, inline(short, 1 if channels == 1 else 2)),
        (273, long8, count, at[0]),
        (277, short, 1, inline(short, channels)),
        (278, long8, 1, inline(long8, STRIP)),
        (279, long8, count, at[1]),
        (284, short, 1, inline(short, 1)),
    ]
    body = b"".join(struct.pack("<HHQ", tag, kind, n) + value for tag, kind, n, value in table)
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16) + struct.pack("<Q", len(table)) + body + bytes(8)
    return head + b"".join(struct.pack("<Q", n) for n in (*offsets, *lengths))
