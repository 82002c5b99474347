"""The entropy-coded part of a JPEG file: Huffman codes to quantised coefficients (ITU-T T.81, annexes F and G)."""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


class DamagedError(ValueError):
    """A file that breaks the rules or off; half a sentence that says how."""


@dataclass
class Component:
    """One plane of a picture: how often it is sampled in each unit, and its coefficients.

    rows, columns: of 8x8 blocks that hold samples.  stride: of blocks in a row of the array, filled up to whole units.
    """

    identity: int
    down: int
    across: int
    table: int
    rows: int = 0
    columns: int = 0
    stride: int = 0
    values: "array[int]" = field(default_factory=lambda: array("h"))


@dataclass(frozen=True)
class Scan:
    """One scan's header (B.2.3): its components with their DC and AC codes, and which bits of which coefficients."""

    parts: Sequence[tuple[Component, list[int], list[int]]]
    first: int
    last: int
    high: int
    low: int
    progressive: bool
    restart: int
    units: tuple[int, int]
    """Rows and columns of the units of an interleaved scan."""


def huffman(counts: bytes, symbols: bytes) -> list[int]:
    """A table over the next 16 bits: 256 * length + symbol; 0 where no code begins so (C.2)."""
    table = [0] * 65536
    code, at = 0, 0
    for length, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            begin = code << (16 - length)
            if begin >= 65536:
                raise DamagedError("has Huffman codes that cannot be")
            table[begin : begin + (1 << (16 - length))] = [length << 8 | symbol] * (1 << (16 - length))
            code += 1
        at += count
        code <<= 1
    return table


class _Bits:
    """A reader of bits, of Huffman codes and of the signed numbers that follow them."""

    __slots__ = ("at", "count", "data", "value")

    def __init__(self, data: bytes):
        self.data, self.at, self.value, self.count = data, 0, 0, 0

    def _fill(self) -> None:
        if self.at > len(self.data) + 6:  # the end may be looked beyond, but not read beyond
            raise DamagedError("breaks off")
        piece = self.data[self.at : self.at + 6].ljust(6, b"\0")
        self.value = (self.value & ((1 << self.count) - 1)) << 48 | int.from_bytes(piece)
        self.at += 6
        self.count += 48

    def code(self, table: list[int]) -> int:
        if self.count < 16:
            self._fill()
        entry = table[self.value >> (self.count - 16) & 0xFFFF]
        if not entry:
            raise DamagedError("has a code that its tables do not know")
        self.count -= entry >> 8
        return entry & 255

    def take(self, n: int) -> int:
        if self.count < n:
            self._fill()
        self.count -= n
        return self.value >> self.count & ((1 << n) - 1)

    def signed(self, n: int) -> int:
        """F.2.2.1, EXTEND: of n bits, those that begin with 0 are negative."""
        bits = self.take(n)
        return bits if n == 0 or bits >> (n - 1) else bits - (1 << n) + 1


def decode(scan: Scan, data: bytes, start: int) -> int:
    """Read a scan's data into its components' values; returns where the next marker is."""
    pieces, end = _pieces(data, start)
    units = _units(scan)
    for piece in pieces:
        block = _Block(scan, _Bits(piece.replace(b"\xff\x00", b"\xff")))
        for count, unit in enumerate(units, 1):
            for which, begin in unit:
                block.read(which, begin)
            if count == scan.restart:
                break
    return end


def _pieces(data: bytes, start: int) -> tuple[list[bytes], int]:
    """What lies between restart markers, and where another marker ends it."""
    pieces: list[bytes] = []
    begin = start
    for found in re.compile(rb"\xff+[\x01-\xfe]").finditer(data, start):
        pieces.append(data[begin : found.start()])
        begin = found.end()
        if not 0xD0 <= data[begin - 1] <= 0xD7:
            return pieces, found.start()
    return [*pieces, data[begin:]], len(data)


def _units(scan: Scan) -> Iterator[list[tuple[int, int]]]:
    """For each unit of a scan its blocks: which of the scan's components, and where in its values (A.2)."""
    if len(scan.parts) == 1:
        part = scan.parts[0][0]
        for row in range(part.rows):
            for column in range(part.columns):
                yield [(0, 64 * (row * part.stride + column))]
        return
    for row in range(scan.units[0]):
        for column in range(scan.units[1]):
            yield [
                (which, 64 * ((row * part.down + i) * part.stride + column * part.across + j))
                for which, (part, _, _) in enumerate(scan.parts)
                for i in range(part.down)
                for j in range(part.across)
            ]


class _Block:
    """Reads block after block of one piece; holds what is carried from one to the next."""

    def __init__(self, scan: Scan, bits: _Bits):
        self.scan, self.bits = scan, bits
        self.before = [0] * len(scan.parts)
        self.run = 0
        """Blocks that are still to be passed over (G.1.2.2, EOBRUN)."""
        self.read: Callable[[int, int], None] = self._whole
        if scan.progressive:
            names = (self._dc_again if scan.high else self._dc, self._ac_again if scan.high else self._ac)
            self.read = names[scan.first > 0]

    def _dc(self, which: int, begin: int) -> None:
        part, codes, _ = self.scan.parts[which]
        self.before[which] += self.bits.signed(self.bits.code(codes))
        part.values[begin] = self.before[which] << self.scan.low

    def _dc_again(self, which: int, begin: int) -> None:
        if self.bits.take(1):
            self.scan.parts[which][0].values[begin] |= 1 << self.scan.low

    def _whole(self, which: int, begin: int) -> None:
        self._dc(which, begin)
        self._rest(which, begin, 1, 63)

    def _ac(self, which: int, begin: int) -> None:
        if self.run:
            self.run -= 1
        else:
            self._rest(which, begin, self.scan.first, self.scan.last)

    def _rest(self, which: int, begin: int, k: int, last: int) -> None:
        """Coefficients k to last (F.2.2.2), or what is known of them at first (G.1.2.2)."""
        part, _, codes = self.scan.parts[which]
        bits, values, low = self.bits, part.values, self.scan.low
        while k <= last:
            symbol = bits.code(codes)
            zeros, size = symbol >> 4, symbol & 15
            if size == 0 and zeros < 15:  # nothing more here, nor in as many blocks as the run says
                self.run = (1 << zeros) - 1 + bits.take(zeros)
                return
            k += zeros
            if k > last:
                raise DamagedError("has more coefficients in a block than fit")
            if size:
                values[begin + k] = bits.signed(size) * (1 << low)
            k += 1

    def _ac_again(self, which: int, begin: int) -> None:
        """One more bit of each coefficient already there, and those that begin only now (G.1.2.3)."""
        part, _, codes = self.scan.parts[which]
        bits, values, one = self.bits, part.values, 1 << self.scan.low
        k, end = begin + self.scan.first, begin + self.scan.last + 1
        while not self.run and k < end:
            symbol = bits.code(codes)
            zeros, fresh = symbol >> 4, 0
            if symbol & 15:
                fresh = one if bits.take(1) else -one
            elif zeros < 15:
                self.run = (1 << zeros) + bits.take(zeros)
                break
            while k < end:
                if values[k]:
                    self._refine(k, values, one)
                elif zeros:
                    zeros -= 1
                else:
                    values[k] = fresh
                    k += 1
                    break
                k += 1
        if self.run:
            for n in range(k, end):
                if values[n]:
                    self._refine(n, values, one)
            self.run -= 1

    def _refine(self, k: int, values: "array[int]", one: int) -> None:
        if self.bits.take(1):
            values[k] += one if values[k] > 0 else -one
