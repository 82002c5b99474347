"""Files that few programs write: profiles of grey, animated and deep AVIF, two resolutions."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from sr3.picture import metadata
from sr3.picture.frames import Timing, count, read_frames, samples_of, write_frames
from sr3.picture.image import read, read_size, write
from sr3.picture.picture import Picture, PictureError, load_vips

GAMMA = 1.8


def grey_profile(gamma: float = GAMMA) -> bytes:
    """A profile of grey: a header, white, and one curve that is a power."""
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249))
    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    text = b"desc\0\0\0\0\0\0\0\5grey\0" + b"\0" * 78
    text += b"\0" * (-len(text) % 4)
    at, table, data = 128 + 4 + 12 * 3, b"\0\0\0\3", b""
    for name, block in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        table += name + (at + len(data)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
        data += block
    head = bytearray(128)
    head[:4] = (at + len(data)).to_bytes(4, "big")
    head[8:12] = b"\x02\x10\0\0"
    head[12:24] = b"mntrGRAYXYZ "
    head[36:40] = b"acsp"
    head[68:80] = white[8:]
    return bytes(head) + table + data


def expected(level: int) -> int:
    """What sRGB calls a level of that grey."""
    light = (level / 255) ** GAMMA
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".png", ".jpg", ".tif"])
def test_grey_with_a_profile_keeps_its_tones_in_every_format(tmp_path: Path, suffix: str) -> None:
    Image.new("L", (32, 32), 100).save(tmp_path / "a.png", icc_profile=grey_profile())
    picture = read(tmp_path / "a.png")
    assert picture.keep["icc-profile-data"] == grey_profile()
    write(tmp_path / f"b{suffix}", picture)
    made = Image.open(tmp_path / f"b{suffix}")
    seen, profile = (
        np.asarray(made.convert("RGB" if suffix in (".webp", ".avif") else "L")),
        made.info.get("icc_profile"),
    )
    if suffix in (".webp", ".avif"):
        assert profile is None
        assert abs(int(np.median(seen)) - expected(100)) <= 2
    else:
        assert profile == grey_profile()
        assert abs(int(np.median(seen)) - 100) <= 1
    assert expected(100) > 105  # or the profile would say nothing


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_a_damaged_profile_of_grey_stops_nothing(tmp_path: Path, suffix: str) -> None:
    whole = grey_profile()
    Image.new("L", (32, 32), 100).save(tmp_path / "a.png")
    for broken in (whole[:132] + b"\xff" * (len(whole) - 132), whole[:128] + b"\0" * (len(whole) - 128)):
        picture = replace(read(tmp_path / "a.png"), keep={"icc-profile-data": broken})
        write(tmp_path / f"b{suffix}", picture)
        with Image.open(tmp_path / f"b{suffix}") as made:
            assert abs(int(np.median(np.asarray(made.convert("RGB")))) - 100) <= 2


def test_a_moving_grey_with_a_profile_keeps_its_tones(tmp_path: Path) -> None:
    frames = [Image.new("L", (32, 32), level) for level in (60, 100)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], icc_profile=grey_profile(), duration=50)
    found = [frame for frame, _ in read_frames(tmp_path / "a.png")]
    samples = [samples_of(frame, Path("b.webp")) for frame in found]
    write_frames(tmp_path / "b.webp", samples, found[0], Timing((50, 50)), note={})
    with Image.open(tmp_path / "b.webp") as made:
        assert made.info.get("icc_profile") is None
        for k, level in enumerate((60, 100)):
            made.seek(k)
            assert abs(int(np.median(np.asarray(made.convert("RGB")))) - expected(level)) <= 3


@pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow that reads AVIF")
def test_an_animated_avif_is_no_single_picture(tmp_path: Path) -> None:
    from sr3.cli.names import Naming

    frames = [Image.new("RGB", (32, 24), (40 * k, 0, 0)) for k in (1, 3, 5)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:], duration=70)
    frames[0].save(tmp_path / "b.avif")
    assert (count(tmp_path / "a.avif"), count(tmp_path / "b.avif")) == (3, 1)
    found = list(read_frames(tmp_path / "a.avif"))
    assert [time for _, time in found] == [70, 70, 70]
    for k, (frame, _) in zip((1, 3, 5), found, strict=True):
        assert float(frame.pixels[0].mean()) == pytest.approx(40 * k / 127.5 - 1, abs=0.04)
    assert Naming("2x").within(tmp_path / "a.avif") == "a.webp"
    assert Naming("2x").within(tmp_path / "b.avif") == "b.avif"


@pytest.mark.parametrize("bits", [10, 12])
def test_white_is_white_in_deep_avif(tmp_path: Path, bits: int) -> None:
    vips = load_vips()
    levels = (vips.Image.black(32, 32, bands=3) + 65535).cast("ushort").copy(interpretation="rgb16")
    levels.heifsave(str(tmp_path / "a.avif"), compression="av1", bitdepth=bits, lossless=True)
    picture = read(tmp_path / "a.avif")
    assert picture.bits == 16
    assert float(picture.pixels.min()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("orientation", "dpi"), [(1, (200, 100)), (6, (100, 200))])
def test_resolution_turns_with_the_picture(orientation: int, dpi: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "JPEG", dpi=(200, 100), exif=exif)
    assert read(file.getvalue()).dpi == pytest.approx(dpi, rel=0.01)


def test_pages_of_other_colour_profiles_are_refused(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    first, second = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert len(list(read_frames(tmp_path / "a.tif"))) == 2
    second.info["icc_profile"] = profile
    second.encoderinfo = {"icc_profile": profile}  # type: ignore[attr-defined]
    first.save(tmp_path / "b.tif", save_all=True, append_images=[second])
    with pytest.raises(PictureError, match="different colour profiles; give them one by one"):
        list(read_frames(tmp_path / "b.tif"))


def test_no_place_is_left_in_xmp() -> None:
    packet = (
        b'<x:a geo:lat="48.1" geo:long="2.3" exif:GPSLatitude="1" dc:late="kept" xmpDM:shotLocation="Paris">'
        b"<xmpDM:shotLocation>Paris</xmpDM:shotLocation><photoshop:City>Paris</photoshop:City><dc:title>a</dc:title></x:a>"
    )
    left = metadata.without_location({"xmp-data": packet})["xmp-data"]
    assert left == b'<x:a dc:late="kept"><dc:title>a</dc:title></x:a>'


def test_what_is_made_around_a_hole_is_seen() -> None:
    import torch

    from sr3.restore.fill import grown, inpainted

    alpha = torch.ones(1, 20, 20)
    alpha[:, 4:16, 4:16] = 0
    mask = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    mask[..., 8:12, 8:12] = True
    picture = Picture(torch.zeros(3, 20, 20), alpha=alpha)
    seen: list[Picture] = []

    def go(picture: Picture, given: object):
        seen.append(picture)
        return iter(())

    assert list(inpainted(picture, mask, go, grow=2)) == []  # type: ignore[arg-type]
    found = seen[0].alpha
    assert found is not None
    larger = grown(mask, 2)[0]
    assert int(larger.sum()) > 16
    assert bool((found[larger] == 1).all())
    assert bool((found[~larger] == alpha[~larger]).all())


@pytest.mark.parametrize("most", [65535, 1023])
def test_ppm_of_more_than_eight_bits_keeps_them(tmp_path: Path, most: int) -> None:
    values = np.random.default_rng(0).integers(0, most, (5, 4, 3), dtype=np.uint16, endpoint=True)
    file = b"P6\n# made by hand\n4 5\n%d\n" % most + values.astype(">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes(file)
    for source in (tmp_path / "a.ppm", file):
        assert read_size(source) == (4, 5)
        picture = read(source)
        assert picture.bits == 16
        wanted = np.rint(values * (65535 / most)).transpose(2, 0, 1) / 32767.5 - 1
        np.testing.assert_allclose(picture.pixels.numpy(), wanted, atol=2e-6)
    with pytest.raises(PictureError, match="not enough image data"):
        read(file[:-1])
