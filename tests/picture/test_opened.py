"""What is opened: only by loaders that are safe, in the memory there is; all else has one sentence."""

import base64
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pyvips
import torch
from conftest import noise_picture
from fuzz import mutated
from PIL import Image

from sr3.picture import memory, opened
from sr3.picture.collection import PICTURE_SUFFIXES, DataError, load
from sr3.picture.image import PictureError, read, read_note, read_rgb8, read_size

HEIC = base64.b85decode(
    "0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0005UZDn*}000000000XXk=`10000000000aA{+700000000000000000000G-+&a"
    "V*mgE07O6l0ssL300001>i_`&00000003(M0ssI200LG30RR9100000IsgCwIB98aW&i*H00062000$fZf0cy000000RRAKc4ILB"
    "0000LX>Mj^0ssI300IC2MR;ju000004sdC7Z2$lO00031009PRaB^?}008A_aAR)(004Dpc4I>U18@KU0FVFx0000U@BsY%`1k+-"
    "4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096gLID8-Z~y=U0FVFx0{{R603M(qfd!W8uA1iHA)vs3000bt00093gkk^z"
    "00u+>!E?ch0000JV{dG7ZewhC0096E00w{n000zeb8uw<00000002M$002M$001asY+-N!000;O00031000mG00061|Nqzk00092"
    "|Nqbc00062000nhX?SS>000032nYxO000STa&L440000PX>e^}0000000001009Pp0s{qvh5!Hn8fkK6W&i*H000004r63<V*mmG"
    "0RRC2006CRWMOmw003tw0j~+jc%nl<BblE++rR%laurx#B=v%Lf-q37s=Yrh4=Gt2n+K%&U(lBRxUcCwg6bWz(v0w<!!=cU-QIo$"
    "ZPqKjS6_1hyWThVarFLyhO})zKl?vG=l%(*1#R8pm%id79>4$q00u>PX=VTbO-%qQ0000800IFI00IC200{s9044zv00RI300967"
    "000000047xGaz(jb94Xz"
)
"""24 x 16 pixels, red and green above blue and white, with EXIF that turns them a quarter clockwise."""

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
# each filter blurs what the one before blurred: libvips would draw for minutes
SLOW = (
    b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9000" height="9000"><filter id="f">'
    + b'<feGaussianBlur stdDeviation="999"/>' * 99
    + b'</filter><rect width="9000" height="9000" filter="url(#f)"/></svg>'
)
TGA = b"\0\0\2" + bytes(9) + b"\2\0\2\0\x18\0" + bytes(12)


FOREIGN = {
    "a.svg": (SVG, "SVG"),
    "a.png": (SVG, "SVG"),
    "slow.png": (SLOW, "SVG"),
    "a.v": (b"\xb6\xa6\xf2\x08" + bytes(99), "libvips"),
    "b.png": (b"\x08\xf2\xa6\xb6" + bytes(99), "libvips"),
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"),
    "b.jpg": (b"\xc5\xd0\xd3\xc6" + bytes(99), "EPS"),
    "a.pdf": (b"%PDF-1.7\n", "PDF"),
    "a.psd": (b"8BPS\0\1" + bytes(99), "PSD"),
    "a.tga": (TGA, "TGA"),
    "c.png": (TGA + bytes(8) + b"TRUEVISION-XFILE.\0", "TGA"),
    "a.jxl": (b"\xff\x0a" + bytes(99), "JPEG XL"),
    "d.jpg": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL"),
    "a.exr": (b"v/1\1" + bytes(99), "OpenEXR"),
    "a.hdr": (b"#?RADIANCE\n\n-Y 1 +X 1\n", "Radiance"),
    "a.fits": (b"SIMPLE  =                    T" + bytes(99), "FITS"),
    "a.dds": (b"DDS " + bytes(199), "DDS"),
    "a.xcf": (b"gimp xcf file", "XCF"),
    "a.mp4": (b"\0\0\0\x20ftypisom" + bytes(99), "film"),
    "a.mkv": (b"\x1aE\xdf\xa3" + bytes(99), "film"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("reader", [read, read_rgb8, read_size])
def test_a_format_that_is_not_read_is_named(tmp_path, name, reader):
    data, said = FOREIGN[name]
    (tmp_path / name).write_bytes(data)
    for source in (tmp_path / name, data):
        with pytest.raises(PictureError, match=said) as found:
            reader(source, name=name)
        assert name in str(found.value)
        assert "\n" not in str(found.value)
    with pytest.raises(PictureError):
        read_note(tmp_path / name)


def test_loaders_that_are_not_trusted_are_blocked_though_they_are_there():
    with pytest.raises(PictureError):
        read(SVG)
    for operation in (pyvips.Image.svgload_source, pyvips.Image.vipsload_source):
        with pytest.raises(pyvips.Error, match="blocked"):
            operation(pyvips.Source.new_from_memory(SVG))
    with pytest.raises(pyvips.Error, match="known format"):
        opened.open_by_vips(SVG)


def test_a_loader_outside_the_list_is_refused_even_where_it_is_not_blocked(monkeypatch):
    monkeypatch.setattr(opened, "LOADERS", ("tiff",))
    whole = io.BytesIO()
    noise_picture(4, 4).save(whole, "PNG")
    with pytest.raises(pyvips.Error, match="known format"):
        opened.open_by_vips(whole.getvalue())


def test_other_pictures_of_a_folder_are_read_beside_them(tmp_path):
    noise_picture(9, 9).save(tmp_path / "good.png")
    (tmp_path / "drawing.png").write_bytes(SLOW)
    (tmp_path / "script.jpg").write_bytes(FOREIGN["a.eps"][0])
    found = load(tmp_path)
    assert found.names == ["good.png"]
    assert found.broken == ["drawing.png", "script.jpg"]
    assert not {".svg", ".v", ".eps"} & PICTURE_SUFFIXES


def test_heic_is_read_upright_where_the_extra_is_installed(tmp_path):
    pytest.importorskip("pi_heif")
    (tmp_path / "a.heic").write_bytes(HEIC)
    found = read(tmp_path / "a.heic")
    assert found.size == (16, 24)
    corners = found.pixels[:, [4, 4, 20, 20], [4, 12, 4, 12]].T
    expected = torch.tensor([[-1, -1, 1], [1, -1, -1], [1, 1, 1], [-1, 1, -1]])
    torch.testing.assert_close(corners, expected.float(), rtol=0, atol=0.2)
    assert b"sr3 test" in found.keep["exif-data"]
    assert (abs(read_rgb8(HEIC)[4, 12] - [255.0, 0, 0]) < 25).all()
    assert read_size(HEIC) == (16, 24)
    with pytest.raises(PictureError, match="damaged|decoded"):
        read(HEIC[:-60])


def test_without_the_extra_the_sentence_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(PictureError, match=r"a\.jpg is a HEIC picture.*pip install pi-heif"):
        read(tmp_path / "a.jpg")


def test_what_is_left_of_a_cut_off_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    noise_picture(64, 64).save(path, quality=95)
    whole = read(path).pixels
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(PictureError, match="damaged"):
        read(path)
    found = read(path, lenient=True).pixels
    assert torch.equal(found[:, :24], whole[:, :24])
    assert (found[:, -8:] == found[:, -1:, -1:]).all()  # one grey
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(PictureError):
        read(path, lenient=True)


def test_what_does_not_fit_into_memory_is_refused_by_its_header(tmp_path, monkeypatch):
    small, deep = tmp_path / "a.png", tmp_path / "b.png"
    noise_picture(100, 50).save(small)
    Image.fromarray(np.zeros((50, 100), np.uint16)).save(deep)
    monkeypatch.setattr(memory, "available", lambda: 20 * 5000)
    assert read(small).size == (100, 50)
    with pytest.raises(PictureError, match="100x50, 5000 pixels, which take .* GB"):
        read(deep)
    monkeypatch.setattr(memory, "available", lambda: 20 * 5000 - 1)
    for name, form in (("a.png", "PNG"), ("a.bmp", "BMP")):
        noise_picture(100, 50).save(tmp_path / name, form)
        with pytest.raises(PictureError, match=f"{name} says it is 100x50, 5000 pixels, which take"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="1 broken"):
        load(small)


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts")
def test_memory_is_that_of_the_machine_or_of_the_container(monkeypatch):
    free = memory.available()
    assert free is not None
    assert 2**26 < free < 2**45
    files = {
        "memory.max": "1000000\n",
        "memory.current": "400000\n",
        "memory.stat": "anon 1\ninactive_file 300000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda path, *_: files[path.name])
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2_048_000, total=9))
    assert memory.available() == 900_000
    files["memory.max"] = "max"
    files["memory.limit_in_bytes"] = "no"
    assert memory.available() == 2_048_000
    assert memory.lacking(100, 20480) is None
    assert memory.lacking(101, 20480) == "0.0 GB of memory, and 0.0 GB are free"


def test_mutated_pictures(tmp_path):
    """Each is read, or refused in one sentence; never anything else."""
    image, files = noise_picture(32, 24), {"HEIC": HEIC}
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"):
        whole = io.BytesIO()
        image.save(whole, form)
        files[form] = whole.getvalue()
    read_once = refused = 0
    for seed in range(12):
        for number, (form, data) in enumerate(files.items()):
            path = tmp_path / form
            path.write_bytes(mutated(data, seed * 100 + number) or b"x")
            for reader in (read, read_rgb8, read_size, read_note):
                try:
                    reader(path)
                    read_once += 1
                except PictureError:
                    refused += 1
    assert min(read_once, refused) > 60
