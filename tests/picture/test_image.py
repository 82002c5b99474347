"""Picture files: Pillow is the second opinion on whatever libvips reads and writes."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms, ImageOps, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from sr3.picture import metadata
from sr3.picture.collection import PICTURE_SUFFIXES, find_pictures
from sr3.picture.image import (
    WRITABLE,
    Picture,
    PictureError,
    from_any,
    read,
    read_note,
    to_pil,
    write,
)

LOSSLESS = (".png", ".tif")
EVERY = (".png", ".jpg", ".webp", ".tif", ".avif")
ICC = bytes(pyvips.Operation.call("profile_load", "srgb"))
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' dc:source="a caf\xc3\xa9" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IIM = b"\x1c\x02\x05\x00\x05title\x1c\x02\x50\x00\x06author"


def samples(height: int, width: int, bands: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, bands), dtype=dtype)


def picture(height: int = 9, width: int = 7, bands: int = 3, dtype: Any = np.uint8) -> Picture:
    return from_any(samples(height, width, bands, dtype))


def bytes_of(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def levels(found: Picture) -> np.ndarray:
    """The 8- or 16-bit samples [H, W, C] in a picture, by plain float64 arithmetic."""
    top = 255 if found.bits == 8 else 65535
    bands = [(found.pixels.double() + 1) / 2 * top]
    if found.alpha is not None:
        bands.append(found.alpha.double() * top)
    values = torch.cat(bands).permute(1, 2, 0).numpy()
    assert np.abs(values - np.rint(values)).max() < 0.01
    return np.rint(values).astype(np.uint8 if found.bits == 8 else np.uint16)


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010F], tags[0x8298], tags[0x0100] = "a maker", "a holder", 99
    tags.get_ifd(0x8769).update({0x829A: 0.01, 0xA002: 99, 0xA003: 98, 0x927C: b"opaque"})
    tags.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.5)})
    return tags


# ---- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM", "WEBP", "GIF"])
@pytest.mark.parametrize("name", ["a.png", "odd [page=3].jpg"])
def test_the_content_decides_whatever_the_name(tmp_path: Path, form: str, name: str) -> None:
    made = Image.fromarray(samples(6, 11, 3))
    if form == "GIF":
        made = made.quantize(32)
    (tmp_path / name).write_bytes(bytes_of(made, form, **({"lossless": True} if form == "WEBP" else {})))
    found = read(tmp_path / name)
    assert found.bits == 8
    assert found.size == (11, 6)
    assert (levels(found) == np.asarray(made.convert("RGB"))).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_png_modes_agree_with_pillow(tmp_path: Path, mode: str) -> None:
    made = Image.fromarray(samples(8, 5, 3 if mode == "P" else 4)).convert(mode)
    made.save(tmp_path / "a.png")
    wanted = np.asarray(made.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    found = read(tmp_path / "a.png")
    assert (levels(found) == wanted.reshape(8, 5, -1)).all()
    again = from_any(made)
    assert torch.equal(again.pixels, found.pixels)
    assert (again.alpha is None) == (found.alpha is None)


def test_a_palette_with_transparency_has_alpha(tmp_path: Path) -> None:
    made = Image.new("P", (3, 1))
    made.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    made.putdata([0, 1, 2])
    made.save(tmp_path / "a.png", transparency=bytes([255, 128, 0]))
    wanted = [[[255, 0, 0, 255], [0, 255, 0, 128], [0, 0, 255, 0]]]
    assert levels(read(tmp_path / "a.png")).tolist() == wanted
    with Image.open(tmp_path / "a.png") as opened:
        assert levels(from_any(opened)).tolist() == wanted


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_every_16_bit_value_survives(tmp_path: Path, suffix: str, bands: int) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    given = np.concatenate([np.roll(every, 1000 * b) for b in range(bands)], 2)
    write(tmp_path / f"a{suffix}", from_any(given))
    stored = pyvips.Image.new_from_file(str(tmp_path / f"a{suffix}"))
    assert stored.format == "ushort"
    assert (stored.numpy().reshape(256, 256, bands) == given).all()
    found = read(tmp_path / f"a{suffix}")
    assert found.bits == 16
    assert (levels(found) == given).all()


def test_the_depth_is_the_files_and_not_the_values(tmp_path: Path) -> None:
    write(tmp_path / "a.png", from_any(np.full((4, 4, 3), 200, np.uint16)))
    assert read(tmp_path / "a.png").bits == 16


def test_16_bits_become_8_where_the_format_has_no_more(tmp_path: Path) -> None:
    write(tmp_path / "a.webp", from_any(np.full((8, 8, 3), 128 * 257, np.uint16)))
    assert levels(read(tmp_path / "a.webp")).tolist() == np.full((8, 8, 3), 128).tolist()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_orientation_agrees_with_pillow(tmp_path: Path, form: str, turn: int) -> None:
    made, tags = Image.fromarray(samples(5, 8, 3)), exif()
    del tags[0x0100]  # in a TIFF file it would overrule the file's own width
    tags[0x0112] = turn
    path = tmp_path / "a"
    path.write_bytes(bytes_of(made, form, exif=tags, **({"lossless": True} if form == "WEBP" else {})))
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        mine = from_any(opened)
    found = read(path)
    assert (levels(found) == np.asarray(upright)).all()
    assert torch.equal(mine.pixels, found.pixels)
    for kept in (found, mine):
        tags = Image.Exif()
        tags.load(kept.keep["exif-data"])
        assert tags[0x0112] == 1
    write(tmp_path / "b.png", found)
    with Image.open(tmp_path / "b.png") as opened:
        assert (np.asarray(ImageOps.exif_transpose(opened)) == np.asarray(upright)).all()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_cmyk_becomes_srgb_by_its_profile(tmp_path: Path, form: str, own: bool) -> None:
    profile = bytes(pyvips.Operation.call("profile_load", "cmyk"))
    made = Image.new("CMYK", (32, 8))
    for k, ink in enumerate([(0, 0, 0, 0), (255, 0, 0, 0), (0, 200, 90, 10), (0, 0, 0, 255)]):
        made.paste(ink, (8 * k, 0, 8 * k + 8, 8))
    path = tmp_path / "a"
    options: dict[str, Any] = {"icc_profile": profile} if own else {}
    path.write_bytes(bytes_of(made, form, **options, **({"quality": 100} if form == "JPEG" else {})))
    with Image.open(path) as opened:
        mine = from_any(opened)
    cms = ImageCms.profileToProfile(
        made, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB", renderingIntent=1
    )
    assert cms is not None
    found = read(path)
    for got in (found, mine):
        assert "icc-profile-data" not in got.keep
        assert np.abs(levels(got).astype(int) - np.asarray(cms)).max() <= 3
    assert to_pil(found).mode == "RGB"


def test_lab_becomes_srgb(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 128, 64], [200, 200, 200], [0, 0, 0]]], np.uint8)
    lab = pyvips.Image.new_from_array(colours, interpretation="srgb").colourspace("lab").colourspace("labs")
    lab.tiffsave(str(tmp_path / "a.tif"))
    found = read(tmp_path / "a.tif")
    assert np.abs(levels(replace(found, bits=8, pixels=levels_8(found))).astype(int) - colours).max() <= 1


def levels_8(found: Picture) -> torch.Tensor:
    """The pixels rounded to 8 bits."""
    return ((found.pixels + 1) / 2 * 255).round() / 255 * 2 - 1


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "a"
    path.write_bytes(bytes_of(frames[0], form, save_all=True, append_images=frames[1:]))
    found = read(path)
    assert found.size == (16, 16)
    assert np.abs(levels(found)[..., :3].astype(int) - [255, 0, 0]).max() <= 2


def test_the_profile_is_kept_and_the_pixels_are_not_converted(tmp_path: Path) -> None:
    given = samples(4, 4, 3)
    Image.fromarray(given).save(tmp_path / "a.png", icc_profile=ICC)
    found = read(tmp_path / "a.png")
    assert found.keep["icc-profile-data"] == ICC
    assert (levels(found) == given).all()
    assert to_pil(found).info["icc_profile"] == ICC


# ---- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", EVERY)
def test_a_single_pixel(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", from_any(np.full((1, 1), 100, np.uint8)))
    found = read(tmp_path / f"a{suffix}")
    assert found.size == (1, 1)
    assert np.abs(levels(found).astype(int) - 100).max() <= 2


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_8_bits_come_back_exactly(tmp_path: Path, suffix: str, bands: int) -> None:
    given = samples(13, 21, bands)
    write(tmp_path / f"a{suffix}", from_any(given))
    assert (levels(read(tmp_path / f"a{suffix}")) == given).all()
    with Image.open(tmp_path / f"a{suffix}") as opened:
        assert (np.asarray(opened).reshape(given.shape) == given).all()


def test_halves_round_to_even_and_values_are_clamped(tmp_path: Path) -> None:
    # (x + 1) / 2 * 255 = 127.5 at 0, and 63.75, 191.25 are no halves
    pixels = torch.tensor([[[-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 7.0]]])
    for bits, wanted in ((8, [0, 0, 64, 128, 191, 255, 255]), (16, [0, 0, 16384, 32768, 49151, 65535, 65535])):
        write(tmp_path / "a.png", Picture(pixels, bits=bits))
        assert pyvips.Image.new_from_file(str(tmp_path / "a.png"), revalidate=True).numpy().tolist() == [wanted]
    ties = torch.arange(1, 511, 2, dtype=torch.float32) / 255 - 1
    exact = (ties + 1) / 2 * 255
    ties, exact = (t[exact % 1 == 0.5] for t in (ties, exact))
    assert (exact.floor() % 2 == 0).sum() > 20  # where rounding up and rounding to even differ
    write(tmp_path / "b.png", Picture(ties[None, None]))
    assert levels(read(tmp_path / "b.png")).ravel().tolist() == np.rint(exact.numpy()).tolist()


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_alpha_is_kept_where_the_format_holds_it(tmp_path: Path, suffix: str) -> None:
    given = np.full((32, 32, 4), 90, np.uint8)
    given[:, 16:, 3] = 200
    write(tmp_path / f"a{suffix}", from_any(given))
    found = read(tmp_path / f"a{suffix}")
    assert found.alpha is not None
    assert np.abs(levels(found).astype(int) - given)[:, [0, 8, 24, 31]].max() <= 3


def test_jpeg_is_laid_on_white(tmp_path: Path) -> None:
    given = np.zeros((16, 48, 4), np.uint8)
    given[:, 16:32, 3], given[:, 32:, 3] = 51, 255
    write(tmp_path / "a.jpg", from_any(given))
    found = read(tmp_path / "a.jpg")
    assert found.alpha is None
    assert np.abs(levels(found)[8, [8, 24, 40], 0].astype(int) - [255, 204, 0]).max() <= 2


def test_quality_counts(tmp_path: Path) -> None:
    noisy = picture(64, 64)
    write(tmp_path / "a.jpg", noisy, quality=30)
    write(tmp_path / "b.jpg", noisy)
    assert (tmp_path / "a.jpg").stat().st_size < (tmp_path / "b.jpg").stat().st_size / 2


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_metadata_travel_from_every_format_to_every_other(tmp_path: Path, source: str, suffix: str) -> None:
    tags, extra = exif(), {"xmp": XMP}
    if source == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        extra = {"pnginfo": text}
    elif source == "TIFF":
        del tags[0x0100]  # it would overrule the file's own width
        tags[700], extra = XMP, {}
    start = tmp_path / "a"
    start.write_bytes(
        bytes_of(
            Image.fromarray(samples(6, 10, 3)), source, exif=tags.tobytes(), icc_profile=ICC, dpi=(300, 150), **extra
        )
    )
    found = read(start)
    big = replace(found, pixels=picture(12, 20).pixels)
    path = tmp_path / f"b{suffix}"
    write(path, big, note={"seed": "1"})

    again = read(path)
    assert again.keep["icc-profile-data"] == ICC
    with Image.open(path) as opened:
        assert opened.size == (20, 12)
        assert opened.info["icc_profile"] == ICC
        got = opened.getexif()
        assert (got[0x010F], got[0x8298]) == ("a maker", "a holder")
        assert got.get(0x0100, 20) == 20
        photo, place = got.get_ifd(0x8769), got.get_ifd(0x8825)
        assert photo[0x829A] == pytest.approx(0.01)
        assert photo.get(0xA002, 20) == 20
        assert photo.get(0xA003, 12) == 12
        assert photo[0x927C] == b"opaque"
        assert (place[1], tuple(map(float, place[2]))) == ("N", (1.0, 2.0, 3.5))
        xmp = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"].encode()
        assert got.get(0x0112, 1) == 1
    assert b"a caf\xc3\xa9" in xmp
    assert b'tiff:Orientation="1"' in xmp
    assert read_note(path) == {"seed": "1"}
    if source in ("JPEG", "PNG", "TIFF"):
        assert found.dpi == pytest.approx((300, 150), rel=1e-3)
        if suffix in (".jpg", ".png", ".tif"):
            assert again.dpi == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_records_travel(tmp_path: Path, suffix: str) -> None:
    given = replace(picture(), keep={"iptc-data": IIM})
    for step, end in enumerate((".jpg", ".tif", suffix)):
        write(tmp_path / f"{step}{end}", given)
        with Image.open(tmp_path / f"{step}{end}") as opened:
            assert IptcImagePlugin.getiptcinfo(opened) == {(2, 5): b"title", (2, 80): b"author"}
        given = read(tmp_path / f"{step}{end}")
        assert given.keep["iptc-data"] == IIM


@pytest.mark.parametrize("beyond", [b"x", bytes(6_500_000)], ids=len)
def test_a_profile_of_a_wrong_length_stops_no_picture(tmp_path: Path, beyond: bytes) -> None:
    """libvips writes no PNG with it; it is then as long as it says it is."""
    path, given = tmp_path / "a.png", replace(picture(), keep={"icc-profile-data": ICC + beyond})
    write(path, given, note={"a": "b"})
    assert read(path).keep["icc-profile-data"] == ICC
    assert read_note(path) == {"a": "b"}
    with Image.open(path) as opened:
        assert opened.info["icc_profile"] == ICC
    short = len(ICC).to_bytes(4, "big") + ICC[4:-40]
    write(path, replace(picture(), keep={"icc-profile-data": short}))
    assert read(path).size == (7, 9)


def test_a_profile_for_other_channels_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.png", replace(picture(bands=1), keep={"icc-profile-data": ICC}))
    assert "icc-profile-data" not in read(tmp_path / "a.png").keep


def test_damaged_metadata_do_not_stop_a_picture(tmp_path: Path) -> None:
    junk = {
        "exif-data": b"Exif\0\0MM\0*\0\0\0\x08\xff\xffjunk",
        "xmp-data": b"\xff\xfe<",
        "icc-profile-data": b"x" * 99,
    }
    for suffix in EVERY:
        write(tmp_path / f"a{suffix}", replace(picture(), keep={**junk, "iptc-data": b"\x1c"}), note={"a": "b"})
        assert read(tmp_path / f"a{suffix}").size == (7, 9)
        assert read_note(tmp_path / f"a{suffix}") == {"a": "b"}
    rng = np.random.default_rng(0)
    whole = bytearray(exif().tobytes())
    for _ in range(500):
        broken = bytes(b if rng.random() > 0.05 else int(rng.integers(256)) for b in whole[: rng.integers(len(whole))])
        metadata.clean_exif(broken)
        metadata.bare_iptc(b"Photoshop 3.0\x008BIM" + broken)


def test_big_endian_exif_is_understood() -> None:
    made = Image.Exif()
    made.endian = ">"
    made[0x010F], made[0x0112] = "a maker", 6
    made.get_ifd(0x8769).update({0x829A: 0.25, 0x8827: 400, 0x9003: "2020:01:02 03:04:05"})
    block = made.tobytes()
    assert block[6:8] == b"MM"
    kept = metadata.clean_exif(block)
    assert kept is not None
    assert kept[6:8] == b"II"
    found = Image.Exif()
    found.load(kept)
    assert (found[0x010F], found[0x0112]) == ("a maker", 1)
    assert found.get_ifd(0x8769) == {0x829A: 0.25, 0x8827: 400, 0x9003: "2020:01:02 03:04:05"}


# ---- the note ---------------------------------------------------------------------------------------------------

NOTE = {"model": "photo-4x", "seed": "7", "odd": "<&\"'> é 漢 \n\t\x00 🙂", "ключ": ""}


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_the_note_comes_back_and_the_last_one_counts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, picture(), note=NOTE)
    assert read_note(path) == NOTE
    write(path, replace(read(path), keep={**read(path).keep}), note={"seed": "8"})
    assert read_note(path) == {"seed": "8"}
    write(path, picture())
    assert read_note(path) == {}


def test_the_note_leaves_well_formed_xml() -> None:
    from xml.etree import ElementTree

    for start in (None, XMP, b"no packet"):
        packet = metadata.add_note(start, NOTE)
        (found,) = (e for e in ElementTree.fromstring(packet).iter() if "{urn:sr3:note}note" in e.attrib)
        assert json.loads(found.attrib["{urn:sr3:note}note"]) == NOTE
        assert packet == metadata.add_note(packet, NOTE)
    rewritten = b"<rdf:Description><sr3:note>{&quot;a&quot;: &quot;b&quot;}</sr3:note></rdf:Description>"
    assert metadata.find_note(rewritten) == {"a": "b"}
    for text in (b"[1", b"[" * 100_000):
        assert metadata.find_note(b'<a sr3:note="%s"/>' % text) == {}


def test_a_packet_too_large_for_jpeg_still_leaves_the_note(tmp_path: Path) -> None:
    large = XMP.replace(b"</rdf:RDF>", b" " * 70_000 + b"</rdf:RDF>")
    write(tmp_path / "a.jpg", replace(picture(), keep={"xmp-data": large}), note=NOTE)
    assert read_note(tmp_path / "a.jpg") == NOTE


# ---- whole or not at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt(), pyvips.Error("x", "y")])
@pytest.mark.parametrize("old", [True, False])
def test_a_failing_write_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, old: bool
) -> None:
    path = tmp_path / "a.tif"
    if old:
        write(path, picture())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == len(before) + 1  # the temporary file is there
        raise fault

    monkeypatch.setattr(metadata, "amend_tiff", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else PictureError):
        write(path, picture(bands=1))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.png").symlink_to(tmp_path / "there" / "b.png")
    write(tmp_path / "a.png", picture())
    assert (tmp_path / "a.png").is_symlink()
    assert read(tmp_path / "there" / "b.png").size == (7, 9)


# ---- what people hold a picture in ------------------------------------------------------------------------------


def test_arrays() -> None:
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535), (np.float16, 1), (np.float32, 1), (np.float64, 1)):
        for shape in ((2, 3), (2, 3, 1), (2, 3, 2), (2, 3, 3), (2, 3, 4)):
            array = np.zeros(shape, dtype)
            array[0, 0] = top
            found = from_any(array)
            bands = 1 if len(shape) == 2 else shape[2]
            assert found.pixels.shape == (1 if bands < 3 else 3, 2, 3)
            assert found.pixels.dtype == torch.float32
            assert found.pixels[:, 0, 0].tolist() == [1.0] * len(found.pixels)
            assert found.pixels[:, 1, 2].tolist() == [-1.0] * len(found.pixels)
            assert (found.alpha is not None) == (bands in (2, 4))
            assert found.bits == (16 if dtype == np.uint16 else 8)
    other = samples(4, 5, 3, np.uint16)
    assert torch.equal(from_any(other.astype(">u2")).pixels, from_any(other).pixels)
    assert torch.equal(from_any(np.flip(other, 1)).pixels, from_any(other).pixels.flip(-1))


def test_tensors_and_pictures() -> None:
    tensor = torch.rand(3, 4, 5) * 2 - 1
    assert torch.equal(from_any(tensor).pixels, tensor)
    assert torch.equal(from_any(tensor[None].double()).pixels, tensor)
    assert torch.equal(from_any(tensor.requires_grad_()).pixels, tensor.detach())
    grey = from_any(tensor.detach()[:1])
    assert torch.equal(grey.rgb, tensor.detach()[:1].expand(3, 4, 5)[None])
    assert from_any(grey) is grey
    assert grey.size == (5, 4)


@pytest.mark.parametrize("mode", ["RGBX", "HSV", "YCbCr", "PA", "La", "RGBa", "LAB"])
def test_other_pil_modes_agree_with_pillow(mode: str) -> None:
    plain = Image.fromarray(np.full((3, 4, 4), [200, 120, 60, 255], np.uint8))
    steps = {"PA": ("P", "PA"), "La": ("LA", "La"), "LAB": ()}.get(mode, ("RGB", mode) if mode != "RGBa" else (mode,))
    made = plain
    for step in steps:
        made = made.convert(step)
    if mode == "LAB":
        srgb, lab = (ImageCms.createProfile(space) for space in ("sRGB", "LAB"))
        turned = ImageCms.profileToProfile(plain.convert("RGB"), srgb, lab, outputMode="LAB")
        assert turned is not None
        made = turned
    wanted = np.asarray(plain.convert("L" if mode == "La" else "RGB")).reshape(3, 4, -1)
    assert made.mode == mode
    assert np.abs(levels(from_any(made))[..., : wanted.shape[2]].astype(int) - wanted).max() <= 4


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_deep_grey_pil_images(mode: str) -> None:
    deep = samples(3, 4, 1, np.uint16)[..., 0]
    made = Image.fromarray(deep)
    if mode == "I":
        made = Image.fromarray(deep.astype(np.int32))
    elif mode == "I;16B":
        made = Image.frombytes("I;16B", (4, 3), deep.astype(">u2").tobytes())
    assert made.mode == mode
    found = from_any(made)
    assert found.bits == 16
    assert (levels(found)[..., 0] == deep).all()


def test_to_pil_gives_back_what_from_any_took() -> None:
    for bands, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        given = samples(5, 6, bands)
        made = to_pil(from_any(given))
        assert made.mode == mode
        assert (np.asarray(made).reshape(given.shape) == given).all()
    deep = samples(5, 6, 1, np.uint16)
    made = to_pil(from_any(deep))
    assert made.mode == "I;16"
    assert (np.asarray(made) == deep[..., 0]).all()
    assert to_pil(from_any(samples(5, 6, 3, np.uint16))).mode == "RGB"


# ---- folders ----------------------------------------------------------------------------------------------------


def test_find_pictures(tmp_path: Path) -> None:
    names = ["b.PNG", "a.jpg", "sub/c.webp", "sub/.hidden.png", ".secret/d.png", "text.txt", "sub/deep/e.tiff", "png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [p.relative_to(tmp_path).as_posix() for p in find_pictures(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "sub/c.webp", "sub/deep/e.tiff"]
    assert set(WRITABLE) <= PICTURE_SUFFIXES
    with pytest.raises(PictureError, match="not a folder"):
        find_pictures(tmp_path / "a.jpg")


# ---- bad inputs -------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size, with whatever data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def sized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG with another size in its header."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def tiff(values: np.ndarray) -> bytes:
    return bytes(pyvips.Image.new_from_array(values).tiffsave_buffer())


def flipped(data: bytes) -> bytes:
    """The middle byte inverted."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


PHOTO = Image.fromarray(samples(40, 50, 3))
JPEG, PNG = bytes_of(PHOTO, "JPEG"), bytes_of(PHOTO, "PNG")
WEBP, AVIF, TIFF = bytes_of(PHOTO, "WEBP"), bytes_of(PHOTO, "AVIF"), bytes_of(PHOTO, "TIFF")
BMP, GIF = bytes_of(PHOTO, "BMP"), bytes_of(PHOTO, "GIF")
NAN = np.full((4, 4), np.nan, np.float32)

BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "empty"),
    "text.png": (b"hello world\n" * 99, "not a picture"),
    "page.jpg": (b"<!doctype html><html><body>404</body></html>", "not a picture"),
    "zip.webp": (b"PK\x03\x04" + bytes(99), "not a picture"),
    "zeros.tif": (bytes(999), "not a picture"),
    "numbers.png": (b"1,2,3\n4,5,6\n", "not a picture"),
    "matrix.png": (b"2 2\n1 2\n3 4\n", "not a picture"),
    "pickle.png": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.", "not a picture"),
    "postscript.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "PostScript"),
    "one-byte.jpg": (b"\xff", "not a picture"),
    "signature.png": (PNG[:8], "damaged|not a picture"),
    "header.png": (PNG[:33], "damaged"),
    "cut.png": (PNG[: len(PNG) * 2 // 3], "damaged"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "damaged"),
    "last-bytes.jpg": (JPEG[:-2], "damaged"),
    "header.jpg": (JPEG[:40], "damaged"),
    "cut.webp": (WEBP[: len(WEBP) // 2], "damaged"),
    "cut.avif": (AVIF[: len(AVIF) // 2], "damaged"),
    "cut.tif": (TIFF[: len(TIFF) // 2], "damaged"),
    "cut.gif": (GIF[: len(GIF) // 2], "damaged|decoded"),
    "cut.bmp": (BMP[: len(BMP) // 2], "decoded"),
    "flipped.png": (flipped(PNG), "damaged"),
    "no-pixels.png": (png(0, 5), "damaged"),
    "too-little-data.png": (png(50, 50, b"\0" * 99), "damaged"),
    "100000x100000.png": (png(100_000, 100_000), "100000x100000"),
    "beyond-libpng.png": (png(2**31 - 1, 2**31 - 1), str((2**31 - 1) ** 2)),
    "65000x65000.jpg": (sized(JPEG, 65_000, 65_000), "65000x65000"),
    "65535x65535.jpg": (sized(JPEG, 65_535, 65_535), str(65_535**2)),
    "nan.tif": (tiff(NAN), "float"),
    "float.tif": (tiff(np.full((4, 4), 0.5, np.float32)), "float"),
    "double.tif": (tiff(np.full((4, 4), 0.5)), "double"),
    "integer.tif": (bytes_of(Image.new("I", (4, 4)), "TIFF"), "int"),
    "seven-channels.tif": (tiff(np.zeros((4, 4, 7), np.uint8)), "7 channels"),
    "new\nline.png": (b"no", "not a picture"),
    "ünï [n=-1].png": (b"no", "not a picture"),
}


def sentence(found: "pytest.ExceptionInfo[PictureError]", name: str = "") -> str:
    text = str(found.value)
    assert text.isprintable(), text
    assert name.replace("\n", "?") in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, why = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=why) as found:
        read(tmp_path / name)
    sentence(found, name)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def _missing(folder: Path) -> Any:
    return folder / "bad.png"


def _folder(folder: Path) -> Any:
    (folder / "bad.png").mkdir()
    return folder / "bad.png"


def _pipe(folder: Path) -> Any:
    os.mkfifo(folder / "bad.png")
    return folder / "bad.png"


def _loop(folder: Path) -> Any:
    (folder / "bad.png").symlink_to(folder / "bad.png")
    return folder / "bad.png"


def _dangling(folder: Path) -> Any:
    (folder / "bad.png").symlink_to(folder / "nowhere.png")
    return folder / "bad.png"


def _nul(folder: Path) -> Any:
    return f"{folder}/bad.png\0"


def _in_a_file(folder: Path) -> Any:
    (folder / "file").write_bytes(b"x")
    return folder / "file" / "bad.png"


def _long(folder: Path) -> Any:
    return folder / ("bad.png" + "x" * 300)


@pytest.mark.parametrize("make", [_missing, _folder, _pipe, _loop, _dangling, _nul, _in_a_file, _long])
@pytest.mark.parametrize("reader", [read, read_note, from_any])
def test_bad_places(tmp_path: Path, make: Callable[[Path], Any], reader: Callable[[Any], Any]) -> None:
    with pytest.raises(PictureError) as found:
        reader(make(tmp_path))
    sentence(found, "bad.png")


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bad.png", picture())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureError, match="Permission denied") as found:
        read(tmp_path / "bad.png")
    sentence(found, "bad.png")


def test_max_pixels_is_exact(tmp_path: Path) -> None:
    for suffix in (".png", ".bmp"):
        PHOTO.save(tmp_path / f"a{suffix}")
        assert read(tmp_path / f"a{suffix}", max_pixels=2000).size == (50, 40)
        with pytest.raises(PictureError, match="50x40"):
            read(tmp_path / f"a{suffix}", max_pixels=1999)


def _with(value: float) -> torch.Tensor:
    pixels = torch.zeros(3, 4, 5)
    pixels[1, 2, 3] = value
    return pixels


BAD_THINGS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "NoneType"),
    "number": (3, "int"),
    "list": ([[1, 2]], "list"),
    "bytes": (b"x", "not a picture"),
    "array 1-D": (np.zeros(4, np.uint8), "shape 4 "),
    "array 0-D": (np.zeros((), np.uint8), "shape"),
    "array 4-D": (np.zeros((1, 4, 4, 3), np.uint8), "1x4x4x3"),
    "array channels first": (np.zeros((3, 20, 20), np.uint8), "3x20x20"),
    "array empty": (np.zeros((0, 4, 3), np.uint8), "empty"),
    "array int64": (np.zeros((4, 4, 3), np.int64), "int64"),
    "array uint32": (np.zeros((4, 4, 3), np.uint32), "uint32"),
    "array bool": (np.zeros((4, 4), bool), "bool"),
    "array complex": (np.zeros((4, 4), complex), "complex"),
    "array objects": (np.full((4, 4), None), "object"),
    "array NaN": (NAN, "NaN"),
    "array infinity": (np.full((4, 4), np.inf), "infinite"),
    "array 0 to 255": (np.full((4, 4), 255.0), "from 255 to 255"),
    "array -1 to 1": (np.linspace(-1, 1, 16).reshape(4, 4), "from -1 to 1"),
    "tensor 2-D": (torch.zeros(4, 4), "shape"),
    "tensor batch": (torch.zeros(2, 3, 4, 4), "batch"),
    "tensor empty batch": (torch.zeros(0, 3, 4, 4), "batch"),
    "tensor channels last": (torch.zeros(20, 20, 3), "20, 20, 3"),
    "tensor 5 channels": (torch.zeros(5, 4, 4), "1 or 3 channels"),
    "tensor empty": (torch.zeros(3, 0, 4), "empty"),
    "tensor integers": (torch.zeros(3, 4, 4, dtype=torch.uint8), "uint8"),
    "tensor NaN": (_with(float("nan")), "1 values"),
    "tensor infinity": (_with(float("-inf")), "infinite"),
    "tensor range": (_with(3.0), "to 3"),
    "picture NaN": (Picture(_with(float("nan"))), "NaN"),
    "picture alpha NaN": (Picture(_with(0), alpha=_with(float("nan"))[1:2]), "alpha"),
    "PIL F": (Image.new("F", (4, 4)), "mode F"),
    "PIL I": (Image.new("I", (4, 4), 70_000), "70000"),
    "PIL I negative": (Image.new("I", (4, 4), -1), "-1"),
    "PIL empty": (Image.new("RGB", (0, 4)), "empty"),
    "PIL cut": (Image.open(io.BytesIO(JPEG[: len(JPEG) // 2])), "truncated"),
}


@pytest.mark.parametrize("name", BAD_THINGS)
def test_bad_things(name: str) -> None:
    thing, why = BAD_THINGS[name]
    with pytest.raises(PictureError, match=why) as found:
        from_any(thing)
    sentence(found)


BAD_WRITES: dict[str, tuple[str, Picture, dict[str, Any], str]] = {
    "no suffix": ("bad", picture(), {}, r"\.png"),
    "unknown suffix": ("bad.xyz", picture(), {}, r"\.webp"),
    "gif": ("bad.gif", picture(), {}, "must end in"),
    "NaN": ("bad.png", Picture(_with(float("nan"))), {}, "1 pixels"),
    "infinity": ("bad.jpg", Picture(_with(float("inf"))), {}, "infinite"),
    "NaN in alpha": ("bad.png", Picture(_with(0), alpha=_with(float("nan"))[1:2]), {}, "alpha"),
    "quality": ("bad.jpg", picture(), {"quality": 0}, "quality 0"),
    "webp side": ("bad.webp", Picture(torch.zeros(1, 1, 16_384)), {}, "16384x1"),
    "jpeg side": ("bad.jpg", Picture(torch.zeros(1, 65_501, 1)), {}, "1x65501"),
    "avif side": ("bad.avif", Picture(torch.zeros(1, 1, 16_385)), {}, "16385x1"),
    "folder": ("folder/bad.png", picture(), {}, "is a folder"),
    "in a file": ("file/bad.png", picture(), {}, "cannot write"),
}


@pytest.mark.parametrize("name", BAD_WRITES)
def test_bad_writes(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder" / "bad.png").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"x")
    before = sorted(tmp_path.rglob("*"))
    target, given, options, why = BAD_WRITES[name]
    with pytest.raises(PictureError, match=why) as found:
        write(tmp_path / target, given, **options)
    sentence(found, Path(target).name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", EVERY)
def test_the_longest_side_can_be_written(tmp_path: Path, suffix: str) -> None:
    side = {".jpg": 65_500, ".webp": 16_383, ".avif": 16_384}.get(suffix, 70_000)
    write(tmp_path / f"a{suffix}", Picture(torch.zeros(1, 1, side)))
    assert read(tmp_path / f"a{suffix}").size == (side, 1)


@pytest.mark.parametrize("fields", [
    {"pixels": torch.zeros(4, 4)},
    {"pixels": torch.zeros(2, 4, 4)},
    {"pixels": torch.zeros(3, 0, 4)},
    {"pixels": torch.zeros(3, 4, 4), "alpha": torch.zeros(1, 4, 5)},
    {"pixels": torch.zeros(3, 4, 4), "bits": 10},
])  # fmt: skip
def test_bad_pictures(fields: dict[str, Any]) -> None:
    with pytest.raises(PictureError) as found:
        Picture(**fields)
    sentence(found)


def test_without_libvips_there_is_one_sentence(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "a.png")
    program = (
        "import sys; sys.modules['pyvips'] = None\n"
        "from sr3.picture.image import PictureError, from_any, read, to_pil\n"
        "import numpy; to_pil(from_any(numpy.zeros((2, 2))))\n"
        "try: read(sys.argv[1])\n"
        "except PictureError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "pip install 'pyvips[binary]'" in done.stdout


def test_libvips_warnings_reach_neither_python_nor_standard_error(tmp_path: Path) -> None:
    """In Python one may come within another, since garbage is freed at any moment: GLib then ends the program."""
    file = io.BytesIO()
    PHOTO.save(file, "JPEG")
    (tmp_path / "a.jpg").write_bytes(file.getvalue()[:-200])
    program = (
        "import logging, os, sys\n"
        "heard = []\n"
        "class Ear(logging.Handler):\n"
        "    def emit(self, record): heard.append(record)\n"
        "logging.getLogger('pyvips').addHandler(Ear(level=logging.WARNING))\n"
        "if sys.argv[2] == 'ours':\n"
        "    from sr3.picture.picture import load_vips\n"
        "    pyvips = load_vips()\n"
        "else: import pyvips\n"
        "pyvips.cache_set_max(0)\n"
        "pyvips.Image.new_from_file(sys.argv[1], fail_on='none').avg()\n"  # and it is freed: that is when it warns
        "print(len(heard), os.environ.get('VIPS_WARNING'))\n"
    )
    for how, told in (("theirs", None), ("ours", None), ("ours", "0")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a.jpg"), how],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | ({} if told is None else {"VIPS_WARNING": told}),
        )
        assert done.stderr == ""
        heard, environment = done.stdout.split()
        assert (int(heard) > 0) == (how == "theirs")
        assert environment == str(told)


@pytest.mark.parametrize(("name", "said"), [("a.png", "is not a picture"), ("b.jpg", "is damaged")])
def test_what_is_wrong_is_said_of_this_file_and_of_no_other(tmp_path, monkeypatch, name, said):
    """libvips keeps one text of what went wrong, for all files that are read at once."""
    path = tmp_path / name
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (9, 99, 200)).save(file, "JPEG")
    path.write_bytes(file.getvalue()[:30] if name == "b.jpg" else b"words alone")
    real, others = pyvips.Error.__init__, [str(tmp_path / "another.webp").encode()]

    def late(self, *words):
        """Another thread's file fails before this one's error is fetched."""
        if others:
            assert pyvips.vips_lib.vips_foreign_find_load(others.pop()) == pyvips.ffi.NULL
        real(self, *words)

    monkeypatch.setattr(pyvips.Error, "__init__", late)
    with pytest.raises(PictureError, match=said) as error:
        read(path)
    assert not others
    assert "another" not in str(error.value)
