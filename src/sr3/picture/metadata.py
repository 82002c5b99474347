"""Metadata as bytes: EXIF, XMP, IPTC and ICC put right, and the note that sr3 leaves in what it makes.

libvips carries these blocks from file to file but knows little of what is in them.  Here they are corrected where
enlarging or turning a picture made them wrong.  Nothing here raises for damaged blocks: what cannot be understood is
left out.
"""

import html
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_EXIF_HEADER = b"Exif\0\0"
_TIFF_HEADER = b"II*\0\x08\0\0\0"
_UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
"""Bytes that change places between byte orders, by type; rationals (5, 10) are two of them."""
_EXIF, _GPS, _INTEROP, _IPTC = 0x8769, 0x8825, 0xA005, 0x83BB
_STRUCTURE = {
    *range(0xFE, 0x104), 0x106, 0x107, 0x108, 0x109, 0x10A, 0x111, *range(0x115, 0x11A), 0x11C, *range(0x120, 0x126),
    0x12D, 0x13D, *range(0x140, 0x148), 0x14A, 0x14C, 0x152, 0x153, *range(0x154, 0x15C), *range(0x200, 0x20A),
    *range(0x211, 0x215), 0x2BC, 0x830E, _IPTC, 0x8482, 0x8649, 0x8773, 0x87AF, 0x87B0, 0x87B1,
}  # fmt: skip
"""Tags of the first table that say how some file's samples are stored, or hold a block that travels by itself."""


class _Entry(NamedTuple):
    kind: int
    amount: int
    data: bytes  # little-endian


@dataclass
class _Table:
    """One table of tags, and by tag the tables that it points to."""

    entries: dict[int, _Entry] = field(default_factory=dict[int, _Entry])
    below: "dict[int, _Table]" = field(default_factory=dict[int, "_Table"])


def _parse(data: bytes) -> _Table | None:
    """The first table of an EXIF block or a whole TIFF file; None where there is none (BigTIFF included)."""
    if data[:6] == _EXIF_HEADER:
        data = data[6:]
    big = {b"II*\0": False, b"MM\0*": True}.get(bytes(data[:4]))
    if big is None:
        return None
    table = _parse_table(data, _int(data[4:8], big), big, {_EXIF, _GPS})
    return table if table.entries or table.below else None


def _parse_table(data: bytes, start: int, big: bool, pointers: set[int]) -> _Table:
    table = _Table()
    for k in range(_int(data[start : start + 2], big)):
        row = data[start + 2 + 12 * k : start + 14 + 12 * k]
        if len(row) < 12:
            break
        tag, kind, count = _int(row[:2], big), _int(row[2:4], big), _int(row[4:8], big)
        if tag in pointers:
            table.below[tag] = _parse_table(data, _int(row[8:12], big), big, {_INTEROP} if tag == _EXIF else set())
            continue
        unit = _UNIT.get(kind, 0)
        size = count * unit * (2 if kind in (5, 10) else 1)
        where = _int(row[8:12], big)
        value = row[8 : 8 + size] if size <= 4 else data[where : where + size]
        if unit and len(value) == size:
            # IPTC is often marked as 32-bit numbers but is a run of bytes
            table.entries[tag] = _Entry(kind, count, _swapped(value, unit) if big and tag != _IPTC else bytes(value))
    return table


def _int(data: bytes, big: bool) -> int:
    return int.from_bytes(data, "big" if big else "little")


def _swapped(data: bytes, unit: int) -> bytes:
    return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))


def _pack(table: _Table, base: int, rows: Mapping[int, bytes] | None = None, after: bytes = bytes(4)) -> bytes:
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
            tail += _pack(table.below[tag], place)
        else:
            kind, count, value = table.entries[tag]
            if len(value) > 4:
                tail += value + b"\0" * (len(value) % 2)
                value = place.to_bytes(4, "little")
        rows[tag] = b"".join(n.to_bytes(w, "little") for n, w in ((tag, 2), (kind, 2), (count, 4))) + value.ljust(
            4, b"\0"
        )
    return len(rows).to_bytes(2, "little") + b"".join(rows[tag] for tag in sorted(rows)) + after + bytes(tail)


def clean_exif(data: bytes) -> bytes | None:
    """An EXIF block, or that of a whole TIFF file, for pixels that stand upright.

    Orientation is 1; sizes, the thumbnail and tags that say how a file is stored are left out.  A maker's note is
    kept as it is, though those that count offsets from the start of the file no longer find their own tables.
    None where nothing is left or nothing can be understood.
    """
    table = _parse(data)
    if table is None:
        return None
    table.entries = {tag: entry for tag, entry in table.entries.items() if tag not in _STRUCTURE}
    if _EXIF in table.below:
        for tag in (0xA002, 0xA003):
            table.below[_EXIF].entries.pop(tag, None)
    if not table.below and not set(table.entries) - {0x112, 0x11A, 0x11B, 0x128}:
        return None  # an orientation and a resolution, which are known already
    table.entries[0x112] = _Entry(3, 1, b"\x01\0")
    return _EXIF_HEADER + _TIFF_HEADER + _pack(table, 8)


def iptc_of_tiff(data: bytes) -> bytes | None:
    """The IPTC records of a whole TIFF file."""
    table = _parse(data)
    return bare_iptc(table.entries[_IPTC].data) if table is not None and _IPTC in table.entries else None


def amend_tiff(path: Path, exif: bytes | None, iptc: bytes | None) -> None:
    """Add EXIF and IPTC to a little-endian TIFF file, which libvips writes without them.

    A new first table goes to the end of the file and the header is pointed to it.  What the file already says about
    itself wins.  A BigTIFF (beyond 4 GB) is left as it is.
    """
    extra = (_parse(exif) if exif else None) or _Table()
    if iptc:
        extra.entries[_IPTC] = _Entry(7, len(iptc), iptc)
    with path.open("r+b") as file:
        header = file.read(8)
        end = file.seek(0, 2)
        end += end % 2
        if header[:4] != b"II*\0" or end > 2**32 - 2**24 or not (extra.entries or extra.below):
            return
        file.seek(_int(header[4:], False))
        count = _int(file.read(2), False)
        rows = [file.read(12) for _ in range(count)]
        after = file.read(4)
        file.seek(end)
        file.write(_pack(extra, end, {_int(row[:2], False): row for row in rows}, after))
        file.seek(4)
        file.write(end.to_bytes(4, "little"))


def amend_png(path: Path, icc: bytes | None, xmp: bytes | None) -> None:
    """Put a profile and an XMP packet into a PNG file, in the kinds of chunks that its standard asks for.

    libvips fails over profiles whose own numbers are not all right, and hides XMP in a compressed Latin-1 chunk.
    """
    bodies = [b"iCCPicc\0\0" + zlib.compress(icc)] if icc else []
    bodies += [b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp] if xmp else []
    if not bodies:
        return
    start = 33  # after the signature and the header chunk
    chunk = b"".join((len(b) - 4).to_bytes(4, "big") + b + zlib.crc32(b).to_bytes(4, "big") for b in bodies)
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        while end > start:  # what follows moves on, the last part first
            begin = max(start, end - 2**20)
            file.seek(begin)
            part = file.read(end - begin)
            file.seek(begin + len(chunk))
            file.write(part)
            end = begin
        file.seek(start)
        file.write(chunk)


def bare_iptc(data: bytes) -> bytes | None:
    """IPTC's records out of whatever they are wrapped in: nothing (TIFF) or Photoshop resources (JPEG)."""
    if data[:1] == b"\x1c":
        return data.rstrip(b"\0")
    at = len(b"Photoshop 3.0\0") if data.startswith(b"Photoshop 3.0\0") else 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        named = 1 + data[at + 6]
        start = at + 6 + named + named % 2 + 4
        size = _int(data[start - 4 : start], True)
        if data[at + 4 : at + 6] == b"\x04\x04":
            return data[start : start + size] or None
        at = start + size + size % 2
    return None


def wrapped_iptc(data: bytes) -> bytes:
    """IPTC's records as JPEG wants them."""
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)


def fits_icc(profile: bytes, channels: int) -> bool:
    """Whether a colour profile describes pictures of so many channels."""
    return profile[36:40] == b"acsp" and profile[16:20] == (b"GRAY" if channels == 1 else b"RGB ")


def clean_xmp(xmp: bytes, size: tuple[int, int]) -> bytes:
    """An XMP packet for a picture of this (width, height) that stands upright; the rest stays byte for byte."""
    width, height = (str(n).encode() for n in size)
    for names, value in (
        (rb"tiff:Orientation", b"1"),
        (rb"tiff:ImageWidth|exif:PixelXDimension", width),
        (rb"tiff:ImageLength|exif:PixelYDimension", height),
    ):
        xmp = re.sub(rb"(\b(?:" + names + rb")\s*(?:=\s*[\"']|>\s*))\d+", rb"\g<1>" + value, xmp)
    return xmp


_PLACE = rb"(?i:GPS\w*|(?:sub)?location\w*|l(?:at|ong)itude)|City|(?:Province)?State|Country(?:Code|Name)?|WorldRegion"
_PLACES = re.compile(
    rb"\s[\w-]+:(?:" + _PLACE + rb")\s*=\s*(?:\"[^\"]*\"|'[^']*')"
    rb"|<([\w-]+:(?:" + _PLACE + rb"))\b[^<>]*?(?:/>|>.*?</\1\s*>)",
    re.DOTALL,
)
_IPTC_PLACES = {26, 27, 90, 92, 95, 100, 101}
"""Data sets of record 2: content location, city, sub-location, province, country's code and name."""
_MAKER = 0x927C


def without_location(keep: Mapping[str, bytes]) -> dict[str, bytes]:
    """Metadata blocks without where the picture was taken: GPS tags, and places in XMP and IPTC.

    The camera maker's note goes as well, as nobody but the maker knows what is in it.
    """
    found = dict(keep)
    if "exif-data" in found and (table := _parse(found.pop("exif-data"))) is not None:
        table.below.pop(_GPS, None)
        if _EXIF in table.below:
            table.below[_EXIF].entries.pop(_MAKER, None)
        found["exif-data"] = _EXIF_HEADER + _TIFF_HEADER + _pack(table, 8)
    if "xmp-data" in found:
        found["xmp-data"] = _PLACES.sub(b"", found["xmp-data"])
    if "iptc-data" in found:
        found["iptc-data"] = _without(found["iptc-data"], _IPTC_PLACES)
    return {block: data for block, data in found.items() if data}


def _without(records: bytes, sets: set[int]) -> bytes:
    """IPTC records without some data sets of record 2; what follows one of extended length is left out."""
    kept, at = bytearray(), 0
    while records[at : at + 1] == b"\x1c" and at + 5 <= len(records):
        size = _int(records[at + 3 : at + 5], True)
        if size & 0x8000:
            break
        if records[at + 1] != 2 or records[at + 2] not in sets:
            kept += records[at : at + 5 + size]
        at += 5 + size
    return bytes(kept)


_NOTE = re.compile(rb"\bsr3:note\s*(?:=\s*\"([^\"]*)\"|=\s*'([^']*)'|>([^<]*)<)")
_NOTE_ELEMENT = re.compile(rb"<\w+:Description[^<>]*\bsr3:note=\"[^\"]*\"\s*/>")


def add_note(xmp: bytes | None, note: Mapping[str, str]) -> bytes:
    """An XMP packet with the note in it, in place of an earlier one.

    The note is JSON in the property `note` of the name space urn:sr3:note.  XMP is the one block that PNG, JPEG,
    WebP, TIFF and AVIF all hold.  A packet that is not UTF-8 RDF is replaced.
    """
    text = html.escape(json.dumps(dict(note), ensure_ascii=True), quote=True)
    packet = _NOTE_ELEMENT.sub(b"", xmp or b"")
    ends = list(re.finditer(rb"</(\w+):RDF\s*>", packet))
    rdf = ends[-1].group(1).decode() if ends else "rdf"
    element = f'<{rdf}:Description {rdf}:about="" xmlns:sr3="urn:sr3:note" sr3:note="{text}"/>'.encode("ascii")
    if ends:
        at = ends[-1].start()
        return packet[:at] + element + packet[at:]
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + element
        + b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def find_note(xmp: bytes) -> dict[str, str]:
    """The note in an XMP packet; empty where there is none."""
    found = _NOTE.search(xmp)
    if found is None:
        return {}
    text = next(group for group in found.groups() if group is not None).decode("utf-8", "replace")
    try:
        note = json.loads(html.unescape(text))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in note.items()} if isinstance(note, dict) else {}
