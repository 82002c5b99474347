"""Files that people have and hardly anybody makes on purpose: odd metadata, pages, channels and frames."""

import io
import os
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image, TiffImagePlugin

from sr3.picture import metadata, tables
from sr3.picture.collection import load
from sr3.picture.frames import Timing, count, read_frames, write_frames
from sr3.picture.image import from_any, read, read_rgb8, read_size, write
from sr3.picture.large import LargePicture, Scratch
from sr3.picture.picture import PictureError
from sr3.picture.resize import _across, _across_adjoint, _gram_inverse, shrink, shrink_adjoint, shrink_inverse
from sr3.picture.room import check_room
from sr3.picture.turn import orientation


def row(tag: int, kind: int, amount: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, amount, value)


def block(rows: list[bytes], after: bytes = b"") -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4) + after


def test_tables_that_point_to_themselves_are_read_once(monkeypatch):
    asked = []
    own = tables._Reader.table
    monkeypatch.setattr(tables._Reader, "table", lambda *given: asked.append(given[1]) or own(*given))
    found = tables.parse(block([row(tag, 4, 1, 8) for tag in (tables.EXIF, tables.INTEROP, tables.GPS) * 100]))
    assert len(asked) == 4  # itself, as EXIF with its own, and as GPS
    assert found is not None
    assert set(found.below) == {tables.EXIF, tables.GPS}


def test_values_that_many_share_are_together_no_longer_than_the_file():
    long = bytes(range(256)) * 8
    data = block([row(0xC000 + k, 7, len(long), 8 + 2 + 12 * 40 + 4) for k in range(40)], long)
    found = tables.parse(data)
    assert found is not None
    assert found.entries[0xC000].data == long
    assert sum(len(e.data) for e in found.entries.values()) <= len(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_exif_of_all_makers_is_kept(tmp_path, suffix):
    tags = {0x4746: 5, 0xC614: b"a camera", 0x8769: {0xA436: "title", 0xA437: "somebody", 0x927C: b"Canon" + bytes(9)}}
    exif = Image.Exif()
    exif.update({k: v for k, v in tags.items() if k != 0x8769})
    exif.get_ifd(0x8769).update(tags[0x8769])
    noise_picture(16, 12).save(tmp_path / "a.jpg", exif=exif.tobytes(), dpi=(300, 300))
    given = read(tmp_path / "a.jpg")
    write(tmp_path / f"b{suffix}", given, note={"seed": "7"})
    with Image.open(tmp_path / f"b{suffix}") as made:
        found = made.getexif()
        below = found.get_ifd(0x8769)
        assert (found[0x4746], bytes(found[0xC614])) == (5, b"a camera")
        assert {k: below[k] for k in tags[0x8769]} == tags[0x8769]
        made.load()
    again = read(tmp_path / f"b{suffix}")
    assert again.dpi == pytest.approx((300, 300), rel=1e-3)
    if suffix == ".png":
        assert torch.equal(again.pixels, given.pixels)


def test_exif_beyond_64_kilobytes_stays_in_png(tmp_path):
    note = np.random.default_rng(0).bytes(70_000)
    exif = block([row(0x927C, 7, len(note), 8 + 2 + 12 + 4)], note)
    made = replace(from_any(noise_picture(9, 7)), keep={"exif-data": exif})
    write(tmp_path / "a.png", made)
    assert note in (tmp_path / "a.png").read_bytes()
    assert note in read(tmp_path / "a.png").keep["exif-data"]
    write(tmp_path / "a.jpg", made)  # where it does not fit, and the picture is whole
    assert read(tmp_path / "a.jpg").size == (9, 7)


def test_the_first_page_is_no_smaller_copy(tmp_path):
    pages = [noise_picture(6, 4), noise_picture(60, 40, seed=1), noise_picture(60, 40, seed=2)]
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
        for page, kind in zip(pages, (1, 0, 0), strict=True):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[0x00FE] = kind
            page.save(file, format="TIFF", tiffinfo=tags)
            file.newFrame()
    assert count(tmp_path / "a.tif") == 2
    for source in (tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()):
        assert read_size(source) == (60, 40)
        assert (read_rgb8(source) == np.asarray(pages[1])).all()
        assert (read_rgb8(source) == np.asarray(pages[1])).all()
    assert read(tmp_path / "a.tif", page=2).size == (60, 40)


@pytest.mark.parametrize(("extra", "bands"), [(0, None), (2, 1)])
def test_a_channel_is_alpha_only_where_the_file_says_so(tmp_path, extra, bands):
    samples = np.random.default_rng(1).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    samples[2:5, 2:5, 3] = 0
    Image.fromarray(samples).save(tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    theirs, ours = (struct.pack("<HHIHH", 0x0152, 3, 1, value, 0) for value in (2, extra))
    assert data.count(theirs) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(theirs, ours))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[0x0152] == (extra,)
    found = read(tmp_path / "a.tif")
    assert (None if found.alpha is None else len(found.alpha)) == bands
    assert (read_rgb8(tmp_path / "a.tif") == samples[..., :3]).all()


def test_a_selection_after_a_smaller_copy_is_no_alpha(tmp_path):
    samples = np.random.default_rng(1).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
        for page, kind in ((noise_picture(4, 4), 1), (Image.fromarray(samples), 0)):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[0x00FE] = kind
            page.save(file, format="TIFF", tiffinfo=tags)
            file.newFrame()
    alpha, none = (struct.pack("<HHIHH", 0x0152, 3, 1, value, 0) for value in (2, 0))
    data = (tmp_path / "a.tif").read_bytes()
    assert data.count(alpha) == 1
    assert read(tmp_path / "a.tif").alpha is not None
    (tmp_path / "b.tif").write_bytes(data.replace(alpha, none))
    found = read(tmp_path / "b.tif")
    assert (found.size, found.alpha) == ((9, 8), None)
    assert (read_rgb8(tmp_path / "b.tif") == samples[..., :3]).all()


def test_an_orientation_that_is_xmps_alone_turns_nothing(tmp_path):
    """As what decodes it: the coefficients lie where the pixels are."""
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    noise_picture(16, 8).save(tmp_path / "a.jpg", xmp=xmp)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise_picture(16, 8).save(tmp_path / "b.jpg", exif=exif.tobytes())
    assert [orientation((tmp_path / name).read_bytes()) for name in ("a.jpg", "b.jpg")] == [1, 6]
    assert orientation(b"no picture") == 1
    assert read(tmp_path / "a.jpg").size == (16, 8)


def test_an_animation_is_one_however_late_it_says_so(tmp_path):
    file = io.BytesIO()
    frames = [noise_picture(8, 6, seed=k) for k in range(3)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    data = file.getvalue()
    text = b"tEXtComment\0" + b"a" * 70_000
    late = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "late.png").write_bytes(data[:33] + late + data[33:])
    noise_picture(8, 6).save(tmp_path / "still.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "still.png").read_bytes()[:40])
    assert [count(tmp_path / f"{name}.png") for name in ("late", "still", "cut")] == [3, 1, 1]


def test_grey_frames_of_16_bits_are_no_white_ones(tmp_path):
    samples = [np.random.default_rng(k).integers(0, 65536, (6, 8), dtype=np.uint16) for k in range(2)]
    images = [Image.fromarray(s) for s in samples]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    frames = [frame for frame, _ in read_frames(tmp_path / "a.png")]
    assert [frame.bits for frame in frames] == [16, 16]
    found = ((frames[0].pixels[0] + 1) * 32767.5).round().numpy()
    assert (found == samples[0]).all()


@pytest.mark.parametrize("suffix", [".webp", ".tif"])
def test_frames_say_their_own_size(tmp_path, suffix):
    xmp = b'<rdf:RDF><rdf:Description exif:PixelXDimension="3" tiff:ImageLength="2"/></rdf:RDF>'
    frames = [np.asarray(noise_picture(12, 10, seed=k)) for k in range(2)]
    like = replace(from_any(frames[0]), pixels=torch.zeros(3, 1, 1), keep={"xmp-data": xmp})
    write_frames(tmp_path / f"a{suffix}", frames, like, Timing([10, 10]), note={"seed": "1"})
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert b'exif:PixelXDimension="12"' in data
    assert b'tiff:ImageLength="10"' in data


def test_animations_too_large_for_their_format_are_refused_before_the_work(tmp_path):
    with pytest.raises(PictureError, match=r"a.webp: 16400x16 exceeds the format's 16383 a side"):
        check_room("a", tmp_path / "a.webp", (16400, 16), frames=2)
    with pytest.raises(PictureError, match=r"a.gif: 65536x4 exceeds the format's 65535 a side"):
        check_room("a", tmp_path / "a.gif", (65536, 4), frames=2)
    check_room("a", tmp_path / "a.gif", (65535, 4), frames=2)
    check_room("a", tmp_path / "a.webp", (16383, 4), frames=2)


def test_a_picture_of_the_disk_goes_in_again():
    scratch = Scratch((5, 3), 3, 8)
    samples = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    scratch.write(samples)
    found = from_any(LargePicture(scratch, {"xmp-data": b"<x/>"}, (300.0, 300.0)))
    assert type(found) is not LargePicture
    assert ((found.pixels + 1) * 127.5).round().permute(1, 2, 0).byte().numpy().tolist() == samples.tolist()
    assert (found.keep, found.dpi) == ({"xmp-data": b"<x/>"}, (300.0, 300.0))
    assert replace(found, bits=16).bits == 16


@pytest.mark.skipif(sys.platform != "linux", reason="names there are text")
def test_folders_need_not_be_text(tmp_path):
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/n\xff"))
    folder.mkdir()
    scratch = Scratch((5, 3), 3, 8, near=folder)
    scratch.write(np.zeros((3, 5, 3), np.uint8))
    write(folder / "a.png", LargePicture(scratch))
    frames = [np.asarray(noise_picture(12, 10, seed=k)) for k in range(2)]
    write_frames(folder / "a.tif", frames, from_any(frames[0]), Timing(), note={})
    assert count(folder / "a.tif") == 2
    frames[0] = frames[0][:, :, :3]
    assert len(list(read_frames(folder / "a.tif"))) == 2


def test_the_inverse_of_a_long_side_is_never_a_matrix_of_all_of_it(monkeypatch):
    sizes = []
    monkeypatch.setattr("sr3.picture.resize._gram_inverse", lambda n, f: sizes.append(n) or _gram_inverse(n, f))
    y = torch.rand(1, 1, 3, 1700, generator=torch.Generator().manual_seed(0))
    whole = shrink_inverse(y, 2)
    assert max(sizes) == 512 + 2 * 32
    torch.testing.assert_close(shrink(whole, 2), y, rtol=0, atol=2e-6)
    dense = torch.linalg.inv(_across(_across_adjoint(torch.eye(1700, dtype=torch.float64), 2), 2)).float()
    expected = shrink_adjoint(_gram_inverse(3, 2) @ y @ dense.T, 2)
    torch.testing.assert_close(whole, expected, rtol=0, atol=2e-6)


def test_pictures_of_two_shapes_are_no_twins(tmp_path):
    for name, size in (("a", (8, 6)), ("b", (6, 8)), ("c", (8, 6))):
        Image.new("RGB", size, "white").save(tmp_path / f"{name}.png")
    assert load([tmp_path]).twins == [("a.png", "c.png")]


@pytest.mark.parametrize("put", [b"", b"ab", b"as long", bytes(5000)])
def test_bytes_in_a_long_file_are_exchanged_whether_it_grows_or_shrinks(tmp_path, put):
    data = np.random.default_rng(0).bytes(3 * 2**20 + 17)  # several of the parts in which the rest moves
    (tmp_path / "a").write_bytes(data)
    metadata._exchange(tmp_path / "a", 33, 40, put)
    assert (tmp_path / "a").read_bytes() == data[:33] + put + data[40:]
