"""What a file is by its first bytes: the formats that can be read only with an extra, or not at all, have names."""

from pathlib import Path

HEIC = "HEIC"

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINS = (
    (b"8BPS", "a Photoshop file (PSD)"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "PostScript (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (b"\x08\xf2\xa6\xb6", "a libvips image (.v)"),
    (b"\xb6\xa6\xf2\x08", "a libvips image (.v)"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"DDS ", "a DirectDraw surface (DDS)"),
    (b"gimp xcf", "a GIMP file (XCF)"),
    (b"\x1aE\xdf\xa3", "a film"),
)
_FOOTER = b"TRUEVISION-XFILE.\0"


def is_jpeg(path: Path) -> bool:
    """Whether a file begins as JPEG files do, whatever its name; what cannot be read is none."""
    try:
        if not path.is_file():  # a pipe would be drained
            return False
        with path.open("rb") as file:
            return file.read(3) == b"\xff\xd8\xff"
    except (OSError, ValueError):
        return False


def kind(head: bytes, tail: bytes, suffix: str) -> str | None:
    """HEIC, or the name, with its article, of a known format that is not read; None for all else.

    head, tail: the first 512 and the last 18 bytes of the file, or all there are; suffix: of its name, for the old TGA
    files that nothing else tells.
    """
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS and b"avif" not in head[8:64]:
        return HEIC
    if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis", *_BRANDS):
        return "a film"
    for begins, name in _BEGINS:
        if head.startswith(begins):
            return name
    if b"<svg" in head.lower() or suffix.lower() in (".svg", ".svgz"):
        return "a drawing (SVG), which has no pixels"
    old = suffix.lower() in (".tga", ".targa") and head[1:3] in (b"\0\2", b"\0\3", b"\1\1", b"\0\n", b"\0\v", b"\1\t")
    return "a Targa picture (TGA)" if tail == _FOOTER or old else None
