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
from pathlib import Path

from sr3.picture.tables import EXIF, EXIF_HEADER, GPS, IPTC, TIFF_HEADER, Entry, Table, number, pack, parse

_STRUCTURE = {
    *range(0xFE, 0x104), 0x106, 0x107, 0x108, 0x109, 0x10A, 0x111, *range(0x115, 0x11A), 0x11C, *range(0x120, 0x126),
    0x12D, 0x13D, *range(0x140, 0x148), 0x14A, 0x14C, 0x152, 0x153, *range(0x154, 0x15C), *range(0x200, 0x20A),
    *range(0x211, 0x215), 0x2BC, 0x830E, IPTC, 0x8482, 0x8649, 0x8773, 0x87AF, 0x87B0, 0x87B1,
}  # fmt: skip
"""Tags of the first table that say how some file's samples are stored, or hold a block that travels by itself."""


def clean_exif(data: bytes) -> bytes | None:
    """An EXIF block, or that of a whole TIFF file, for pixels that stand upright.

    Orientation is 1; sizes, the thumbnail and tags that say how a file is stored are left out.  A maker's note is
    kept as it is, though those that count offsets from the start of the file no longer find their own tables.
    None where nothing is left or nothing can be understood.
    """
    table = parse(data, _STRUCTURE - {IPTC})
    if table is None:
        return None
    table.entries = {tag: entry for tag, entry in table.entries.items() if tag not in _STRUCTURE}
    if EXIF in table.below:
        for tag in (0xA002, 0xA003):
            table.below[EXIF].entries.pop(tag, None)
    if not table.below and not set(table.entries) - {0x112, 0x11A, 0x11B, 0x128}:
        return None  # an orientation and a resolution, which are known already
    table.entries[0x112] = Entry(3, 1, b"\x01\0")
    return EXIF_HEADER + TIFF_HEADER + pack(table, 8)


def iptc_of_tiff(data: bytes) -> bytes | None:
    """The IPTC records of a whole TIFF file."""
    table = parse(data, _STRUCTURE - {IPTC})
    return bare_iptc(table.entries[IPTC].data) if table is not None and IPTC in table.entries else None


def amend_tiff(path: Path, exif: bytes | None, iptc: bytes | None) -> None:
    """Add EXIF and IPTC to a little-endian TIFF file, which libvips writes without them.

    A new first table goes to the end of the file and the header is pointed to it.  What the file already says about
    itself wins.  A BigTIFF (beyond 4 GB) is left as it is.
    """
    extra = (parse(exif) if exif else None) or Table()
    if iptc:
        extra.entries[IPTC] = Entry(7, len(iptc), iptc)
    with path.open("r+b") as file:
        header = file.read(8)
        end = file.seek(0, 2)
        end += end % 2
        if header[:4] != b"II*\0" or end > 2**32 - 2**24 or not (extra.entries or extra.below):
            return
        file.seek(number(header[4:], False))
        count = number(file.read(2), False)
        rows = [file.read(12) for _ in range(count)]
        after = file.read(4)
        file.seek(end)
        file.write(pack(extra, end, {number(row[:2], False): row for row in rows}, after))
        file.seek(4)
        file.write(end.to_bytes(4, "little"))


def amend_png(path: Path, icc: bytes | None, xmp: bytes | None, exif: bytes | None = None) -> None:
    """Put a profile, an XMP packet and EXIF into a PNG file, in the kinds of chunks that its standard asks for.

    libvips fails over profiles whose own numbers are not all right, hides XMP in a compressed Latin-1 chunk, and
    leaves out of EXIF what it does not know, or all of it beyond 64 kB.
    """
    with path.open("rb") as file:
        at, size = 33, 0  # after the signature and the header chunk
        while exif:
            file.seek(at)
            head = file.read(8)
            size = 12 + number(head[:4], True)
            if head[4:] == b"eXIf":
                exif = _measured(exif, file.read(size - 12))
                break
            if len(head) < 8 or head[4:] == b"IDAT":
                at, size = 33, 0
                break
            at += size
    bodies = [b"iCCPicc\0\0" + zlib.compress(icc)] if icc else []
    bodies += [b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp] if xmp else []
    bodies += [b"eXIf" + exif.removeprefix(EXIF_HEADER)] if exif else []
    chunks = [(len(b) - 4).to_bytes(4, "big") + b + zlib.crc32(b).to_bytes(4, "big") for b in bodies]
    if exif:
        _exchange(path, at, at + size, chunks.pop())
    if chunks:
        _exchange(path, 33, 33, b"".join(chunks))


def amend_jpeg(path: Path, exif: bytes | None) -> None:
    """Put EXIF into a JPEG file in place of what libvips made of it: without what that does not know.

    What does not fit into one segment, 65 533 bytes, stays as libvips wrote it.
    """
    at, size = 2, 0
    with path.open("rb") as file:
        while exif:
            file.seek(at)
            head = file.read(4 + len(EXIF_HEADER))
            size = 2 + number(head[2:4], True)
            if len(head) < 10 or head[0] != 0xFF or not 0xE0 <= head[1] <= 0xEF:
                return
            if head[1] == 0xE1 and head[4:] == EXIF_HEADER:
                exif = _measured(exif, file.read(size - 10))
                break
            at += size
    if exif and len(exif) <= 65_533:
        _exchange(path, at, at + size, b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif)


def _measured(exif: bytes, written: bytes) -> bytes:
    """EXIF with the resolution of what libvips wrote, which is the picture's."""
    ours, theirs = parse(exif), parse(written)
    if ours is None or theirs is None:
        return exif
    ours.entries |= {tag: theirs.entries[tag] for tag in (0x11A, 0x11B, 0x128) if tag in theirs.entries}
    return EXIF_HEADER + TIFF_HEADER + pack(ours, 8)


def _exchange(path: Path, start: int, after: int, data: bytes) -> None:
    """Put other bytes in the place of some of a file; what follows moves on, or back, a part at a time."""
    by = len(data) - (after - start)
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        parts = [(k, min(k + 2**20, end)) for k in range(after, end, 2**20)]
        for begin, stop in reversed(parts) if by > 0 else parts if by < 0 else ():
            file.seek(begin)
            part = file.read(stop - begin)
            file.seek(begin + by)
            file.write(part)
        file.seek(start)
        file.write(data)
        file.truncate(end + by)


def bare_iptc(data: bytes) -> bytes | None:
    """IPTC's records out of whatever they are wrapped in: nothing (TIFF) or Photoshop resources (JPEG)."""
    if data[:1] == b"\x1c":
        return data.rstrip(b"\0")
    at = len(b"Photoshop 3.0\0") if data.startswith(b"Photoshop 3.0\0") else 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        named = 1 + data[at + 6]
        start = at + 6 + named + named % 2 + 4
        size = number(data[start - 4 : start], True)
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


_PLACE = (
    rb"(?i:GPS\w*|\w*location\w*|lat(?:itude)?|long?(?:itude)?)"
    rb"|City|(?:Province)?State|Country(?:Code|Name)?|WorldRegion"
)
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
    if "exif-data" in found and (table := parse(found.pop("exif-data"))) is not None:
        table.below.pop(GPS, None)
        if EXIF in table.below:
            table.below[EXIF].entries.pop(_MAKER, None)
        found["exif-data"] = EXIF_HEADER + TIFF_HEADER + pack(table, 8)
    if "xmp-data" in found:
        found["xmp-data"] = _PLACES.sub(b"", found["xmp-data"])
    if "iptc-data" in found:
        found["iptc-data"] = _without(found["iptc-data"], _IPTC_PLACES)
    return {block: data for block, data in found.items() if data}


def _without(records: bytes, sets: set[int]) -> bytes:
    """IPTC records without some data sets of record 2; what follows one of extended length is left out."""
    kept, at = bytearray(), 0
    while records[at : at + 1] == b"\x1c" and at + 5 <= len(records):
        size = number(records[at + 3 : at + 5], True)
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
    except (ValueError, RecursionError):  # no JSON, or too deep to be a note
        return {}
    return {str(key): str(value) for key, value in note.items()} if isinstance(note, dict) else {}
