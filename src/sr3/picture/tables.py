"""The tables of tags that EXIF blocks and TIFF files are made of, as bytes: read, and written again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

EXIF_HEADER = b"Exif\0\0"
TIFF_HEADER = b"II*\0\x08\0\0\0"
EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
"""Tags that hold where another table is."""
IPTC = 0x83BB
_UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
"""Bytes that change places between byte orders, by type; rationals (5, 10) are two of them."""


class Entry(NamedTuple):
    """What a tag says: its type, how many of it, and these, little-endian."""

    kind: int
    amount: int
    data: bytes


@dataclass
class Table:
    """One table of tags, and by tag the tables that it points to."""

    entries: dict[int, Entry] = field(default_factory=dict[int, Entry])
    below: "dict[int, Table]" = field(default_factory=dict[int, "Table"])


def parse(data: bytes, without: Collection[int] = ()) -> Table | None:
    """The first table of an EXIF block or a whole TIFF file; None where there is none (BigTIFF included).

    without: tags of it that nobody asks for, and which are not read.
    Each table is read once, and its values are no longer together than the data, so that tables which point to
    themselves, and thousands of tags that share one value, take neither time nor memory.
    """
    if data[:6] == EXIF_HEADER:
        data = data[6:]
    big = {b"II*\0": False, b"MM\0*": True}.get(bytes(data[:4]))
    if big is None:
        return None
    table = _Reader(data, big, without).table(number(data[4:8], big), {EXIF, GPS})
    return table if table.entries or table.below else None


class _Reader:
    def __init__(self, data: bytes, big: bool, without: Collection[int]):
        self.data, self.big, self.without = data, big, without
        self.left = len(data)
        """Bytes that values may still take."""

    def table(self, start: int, pointers: Collection[int]) -> Table:
        data, big, table = self.data, self.big, Table()
        for k in range(number(data[start : start + 2], big)):
            row = data[start + 2 + 12 * k : start + 14 + 12 * k]
            if len(row) < 12:
                break
            tag, kind, count, where = (number(row[a:b], big) for a, b in ((0, 2), (2, 4), (4, 8), (8, 12)))
            if tag in pointers:
                if tag not in table.below:
                    table.below[tag] = self.table(where, {INTEROP} if tag == EXIF else ())
                continue
            unit = _UNIT.get(kind, 0)
            size = count * unit * (2 if kind in (5, 10) else 1)
            if not unit or size > self.left or (EXIF in pointers and tag in self.without):
                continue
            value = row[8 : 8 + size] if size <= 4 else data[where : where + size]
            if len(value) == size:
                self.left -= size
                # IPTC is often marked as 32-bit numbers but is a run of bytes
                table.entries[tag] = Entry(kind, count, _swapped(value, unit) if big and tag != IPTC else bytes(value))
        return table


def number(data: bytes, big: bool) -> int:
    """An unsigned integer."""
    return int.from_bytes(data, "big" if big else "little")


def _swapped(data: bytes, unit: int) -> bytes:
    return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))


def pack(table: Table, base: int, rows: Mapping[int, bytes] | None = None, after: bytes = bytes(4)) -> bytes:
    """A table in little-endian bytes for the place `base`; `rows` are ready-made and win over entries.

    after: where the next table is, of the next page.
    """
    rows = dict(rows or {})
    wanted = {tag for tag in (*table.entries, *table.below) if tag not in rows}
    head = 2 + 12 * (len(wanted) + len(rows)) + 4
    tail = bytearray()
    for tag in sorted(wanted):
        place = base + head + len(tail)
        if tag in table.below:
            kind, count, value = 4, 1, place.to_bytes(4, "little")
            tail += pack(table.below[tag], place)
        else:
            kind, count, value = table.entries[tag]
            if len(value) > 4:
                tail += value + b"\0" * (len(value) % 2)
                value = place.to_bytes(4, "little")
        rows[tag] = b"".join(n.to_bytes(w, "little") for n, w in ((tag, 2), (kind, 2), (count, 4))) + value.ljust(
            4, b"\0"
        )
    return len(rows).to_bytes(2, "little") + b"".join(rows[tag] for tag in sorted(rows)) + after + bytes(tail)
