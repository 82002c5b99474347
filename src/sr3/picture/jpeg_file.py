"""What a JPEG file says before it becomes pixels: its quantised cosine coefficients, tables and sampling.

Huffman-coded files of 8 bits, sequential or progressive (ITU-T T.81, 1992; sections in parentheses).
"""

import struct
from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sr3.picture.jpeg_scan import Component, DamagedError, Scan, decode, huffman
from sr3.picture.picture import PictureError

Colours = Literal["grey", "ycc", "rgb"]

# fmt: off
ZIGZAG = np.array([
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
])
# fmt: on
"""Where the n-th coefficient of a file stands in its block, row by row (A.3.6)."""

_LARGEST = 2**28
"""Pixels; a coefficient needs two bytes, and a damaged header may ask for any number."""

_FRAMES = (0xC0, 0xC1, 0xC2)
_OTHER = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}


@dataclass(frozen=True)
class Plane:
    """One component: samples per unit down and across, its table [8, 8], and its coefficients [rows, columns, 8, 8].

    int32 and int16; a coefficient is a number of the table's steps.
    """

    down: int
    across: int
    table: "np.ndarray[Any, Any]"
    coefficients: "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class JpegFile:
    """(width, height) as stored, what the planes mean, and the planes."""

    size: tuple[int, int]
    colours: Colours
    planes: tuple[Plane, ...]


def parse(data: bytes, name: str = "the file") -> JpegFile:
    """Read a JPEG file's coefficients: half a second for a megapixel of good quality, as this is plain Python.

    Raises PictureError for files that are no JPEG, damaged, CMYK, or of a kind that nearly nobody writes: arithmetic
    codes, lossless, 12 bits.
    """
    try:
        return _Reader(data).read()
    except DamagedError as error:
        raise PictureError(f"{name} {error}; give a whole JPEG file of 8 bits, grey or in colour") from error
    except (struct.error, IndexError, KeyError, ValueError, OverflowError) as error:
        raise PictureError(f"{name} is a damaged JPEG file; give a whole copy of it") from error


@dataclass
class _Reader:
    """The file's segments (B.2), one after the other."""

    data: bytes
    size: tuple[int, int] = (0, 0)
    components: list[Component] = field(default_factory=list[Component])
    tables: dict[int, "np.ndarray[Any, Any]"] = field(default_factory=dict)
    used: dict[int, "np.ndarray[Any, Any]"] = field(default_factory=dict)
    codes: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    restart: int = 0
    progressive: bool = False
    adobe: int | None = None
    jfif: bool = False

    def read(self) -> JpegFile:
        if self.data[:2] != b"\xff\xd8":
            raise DamagedError("is no JPEG file")
        at = 2
        while True:
            if self.data[at] != 0xFF:
                raise DamagedError("is a damaged JPEG file")
            marker = self.data[at + 1]
            if marker == 0xFF:  # a marker may be preceded by any number of these
                at += 1
                continue
            if marker == 0xD9:
                return self._result()
            (length,) = struct.unpack_from(">H", self.data, at + 2)
            body, at = self.data[at + 4 : at + 2 + length], at + 2 + length
            if marker in _OTHER:
                raise DamagedError("is a lossless, hierarchical or arithmetic-coded JPEG file")
            if marker in _FRAMES:
                self._frame(marker, body)
            elif marker == 0xDA:
                at = decode(self._scan(body), self.data, at)
                if at == len(self.data):  # some writers leave the end marker out
                    return self._result()
            elif marker in (0xC4, 0xDB, 0xDD, 0xE0, 0xEE):
                self._tables(marker, body)

    def _tables(self, marker: int, body: bytes) -> None:
        if marker == 0xDD:
            (self.restart,) = struct.unpack_from(">H", body)
        elif marker == 0xE0:
            self.jfif |= body.startswith(b"JFIF\0")
        elif marker == 0xEE and body.startswith(b"Adobe"):
            self.adobe = body[11]
        while marker == 0xC4 and body:
            counts, key = body[1:17], body[0]
            self.codes[key] = huffman(counts, body[17 : 17 + sum(counts)])
            body = body[17 + sum(counts) :]
        while marker == 0xDB and body:
            wide = 1 + (body[0] >> 4 > 0)
            steps = np.frombuffer(body, ">u2" if wide == 2 else "u1", 64, 1)
            table = np.zeros(64, np.int32)
            table[ZIGZAG] = steps
            self.tables[body[0] & 15] = table.reshape(8, 8)
            body = body[1 + 64 * wide :]

    def _frame(self, marker: int, body: bytes) -> None:
        bits, height, width, count = struct.unpack_from(">BHHB", body)
        if bits != 8 or count not in (1, 3):
            raise DamagedError(f"is a JPEG file of {count} components of {bits} bits")
        if not width or not height:
            raise DamagedError("is a JPEG file that does not say its size")
        if width * height > _LARGEST:
            raise DamagedError(f"is a JPEG file of {width}x{height} pixels, and more than {_LARGEST} are too many")
        self.progressive, self.size = marker == 0xC2, (width, height)
        parts = [struct.unpack_from("BBB", body, 6 + 3 * n) for n in range(count)]
        if count == 1:  # the factors of a component that is alone mean nothing (A.2.2)
            parts = [(parts[0][0], 0x11, parts[0][2])]
        self.components = [Component(i, f & 15, f >> 4, table) for i, f, table in parts]
        down, across = max(c.down for c in self.components), max(c.across for c in self.components)
        if any(not c.down or not c.across or down % c.down or across % c.across for c in self.components):
            raise DamagedError("is a JPEG file with sampling factors that do not divide one another")
        self.units = (-(-height // (8 * down)), -(-width // (8 * across)))
        for c in self.components:
            c.rows = -(height * c.down // (-8 * down))
            c.columns = -(width * c.across // (-8 * across))
            c.stride = self.units[1] * c.across
            c.values = array("h", bytes(2 * 64 * c.stride * self.units[0] * c.down))

    def _scan(self, body: bytes) -> Scan:
        known = {c.identity: c for c in self.components}
        parts: list[tuple[Component, list[int], list[int]]] = []
        for n in range(body[0]):
            identity, keys = body[1 + 2 * n], body[2 + 2 * n]
            component = known[identity]
            # tables may change between scans, and a component's is the one at its first
            self.used.setdefault(identity, self.tables[component.table])
            parts.append((component, self.codes.get(keys >> 4, []), self.codes.get(16 | keys & 15, [])))
        first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
        return Scan(parts, first, last, bits >> 4, bits & 15, self.progressive, self.restart, self.units)

    def _result(self) -> JpegFile:
        if not self.components or len(self.used) < len(self.components):
            raise DamagedError("is a JPEG file without a picture, or breaks off")
        planes: list[Plane] = []
        for c in self.components:
            table = self.used[c.identity]
            stored = np.frombuffer(c.values, np.int16).reshape(-1, c.stride, 64)[: c.rows, : c.columns]
            blocks = np.zeros_like(stored)
            blocks[..., ZIGZAG] = stored
            planes.append(Plane(c.down, c.across, table, blocks.reshape(c.rows, c.columns, 8, 8)))
        return JpegFile(self.size, self._colours(), tuple(planes))

    def _colours(self) -> Colours:
        """As libjpeg decides: JFIF is YCbCr, Adobe says so or not, else the names of the components."""
        if len(self.components) == 1:
            return "grey"
        names = bytes(c.identity for c in self.components)
        plain = self.adobe == 0 if self.adobe is not None else names == b"RGB"
        return "rgb" if plain and not self.jfif else "ycc"
