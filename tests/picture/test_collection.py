"""Collections are decoded by the one reader: named where bad, and upright by whatever way a picture comes in."""

import io
import json
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_picture
from fuzz import mutated
from PIL import Image, ImageOps

from sr3.cli import main
from sr3.evaluation.evaluate import evaluate
from sr3.evaluation.study import pixels_of, read_pairs
from sr3.picture import collection
from sr3.picture.collection import DataError, load
from sr3.picture.image import read, read_note, read_rgb8, read_size, write
from sr3.picture.metadata import add_note
from sr3.restore.restorer import Restorer


def test_folder_and_zip_give_the_same(folder, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for path in folder.rglob("*.*"):
            z.write(path, path.relative_to(folder))
    a, b = load(folder), load(archive)
    assert a.names == b.names == ["a.png", "b.jpg", "deep er/c ü.webp"]
    for x, y in zip(a.pixels, b.pixels, strict=True):
        np.testing.assert_array_equal(x, y)


def test_broken_small_and_twin_files_are_named(folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "empty.jpg").write_bytes(b"")
    whole = (folder / "b.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    noise_picture(8, 90).save(folder / "narrow.png")
    (folder / "twin.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.txt").write_text("not a picture")
    found = load(folder, smallest=16)
    assert found.broken == ["broken.png", "cut.jpg", "empty.jpg"]
    assert found.small == ["narrow.png"]
    assert found.twins == [("a.png", "twin.png")]
    assert "broken.png" in found.summary()


@pytest.mark.parametrize("kind", ["missing", "empty", "text"])
def test_nothing_usable_is_one_sentence(tmp_path, kind):
    path = tmp_path / "data"
    if kind == "empty":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    with pytest.raises(DataError, match="data") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_the_first_so_many_leave_the_collection_as_it_was(folder):
    found = load(folder)
    assert found.first(2).names == found.names[:2]
    assert len(found.first(None)) == len(found) == 3


def test_many_pictures_come_in_order(tmp_path):
    """More than are decoded at once."""
    for i in range(150):
        Image.new("RGB", (1 + i % 3, 1), (i, 0, 0)).save(tmp_path / f"{i:03}.png")
    found = load(tmp_path)
    assert found.names == [f"{i:03}.png" for i in range(150)]
    assert [p[0, 0, 0] for p in found.pixels] == list(range(150))
    assert not found.twins


@pytest.mark.parametrize("form", ["png", "webp", "jpeg", "tiff", "bmp", "gif", "ppm"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pixels_are_pillows(tmp_path, form, mode):
    path = tmp_path / f"a.{form}"
    picture = noise_picture(37, 23).convert(mode)
    if mode == "RGBA":
        picture.putalpha(noise_picture(37, 23, seed=1).convert("L"))
    try:
        picture.save(path, lossless=True) if form == "webp" else picture.save(path)
    except OSError:
        pytest.skip("the format has no such pictures")
    with Image.open(path) as opened:
        want = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(read_rgb8(path), want)


def test_16_bits_are_rounded_to_8(tmp_path):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    want = (deep / 257).round().astype(np.uint8)
    np.testing.assert_array_equal(read_rgb8(tmp_path / "deep.png"), np.repeat(want[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_contents_are_read_as_the_file_is(tmp_path, suffix):
    with_exif = Image.Exif()
    with_exif[0x010E] = "a description"
    noise_picture(9, 5).save(tmp_path / f"first{suffix}", exif=with_exif)
    path = tmp_path / f"a{suffix}"
    write(path, read(tmp_path / f"first{suffix}"), note={"model": "m"})
    file, contents = read(path), read(path.read_bytes(), name="a")
    assert file.pixels.equal(contents.pixels)
    assert file.keep == contents.keep
    assert "exif-data" in file.keep
    assert read_note(path) == {"model": "m"}
    assert file.dpi == contents.dpi


def turned(path: Path, turn: int) -> np.ndarray:
    """Write a picture that must be turned; what it then is."""
    exif = Image.Exif()
    exif[0x0112] = turn
    noise_picture(48, 32, seed=turn).save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    with Image.open(path) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("turn", [2, 3, 6, 8])
def test_every_way_in_is_upright(tmp_path, tiny, suffix, turn):
    data = tmp_path / "data"
    data.mkdir()
    path = data / f"a{suffix}"
    want = turned(path, turn)
    height, width = want.shape[:2]
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as z:
        z.write(path, path.name)
    assert read_size(path) == (width, height)
    for source in (data, tmp_path / "data.zip", path):  # training
        np.testing.assert_array_equal(load(source).pixels[0], want)
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    *_, found = evaluate(restorer, load(tmp_path / "data.zip"), samples=1, steps=1, keep=1)  # measuring
    np.testing.assert_array_equal(found.shown[0].pictures["original"], want)
    for kind in ("original", "method"):  # a study
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        turned(tmp_path / "pairs" / kind / path.name, turn)
    pairs = read_pairs(tmp_path / "pairs")
    np.testing.assert_array_equal(np.asarray(pixels_of(pairs.files["original"]["a"])), want)
    assert restorer(path, steps=1).size == (4 * width, 4 * height)  # use


def test_the_command_measures_upright_pictures(tmp_path, tiny, monkeypatch):
    (tmp_path / "data").mkdir()
    turned(tmp_path / "data" / "a.jpg", 6)
    model = tiny.save_pretrained(tmp_path / "model")
    words = ["sr3", "evaluate", "--model", model, "--data", tmp_path / "data", "--samples", 1, "--json"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), str(tmp_path / "e.json")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    measured = json.loads((tmp_path / "e.json").read_text())["each"]["bicubic"]["psnr"]
    *_, found = evaluate(Restorer(tiny, device="cpu"), load(tmp_path / "data"), samples=1)
    assert measured == pytest.approx(found.each["bicubic"]["psnr"])


def zip_of(folder: Path) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(4):
            noise_picture(12, 12, seed=k).save(folder / f"{k}.png")
            archive.write(folder / f"{k}.png", f"{k}.png")
    return whole.getvalue()


def test_a_bad_member_of_a_zip_is_named_and_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    whole = bytearray(zip_of(tmp_path / "a"))
    at = whole.index(b"1.png") + 30
    whole[at : at + 20] = bytes(20)
    path = tmp_path / "a.zip"
    path.write_bytes(whole)
    found = load(path)
    assert found.names == ["0.png", "2.png", "3.png"]
    assert found.broken == ["1.png"]
    locked = bytearray(zip_of(tmp_path / "a"))
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1  # the last file wants a password
    path.write_bytes(locked)
    assert load(path).broken == ["3.png"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a" / "0.png", "good.png")
        archive.writestr("bomb.png", bytes(3_000_000))
    monkeypatch.setattr(collection, "MEMBER", 2_999_999)
    assert load(path).broken == ["bomb.png"]


def test_mutated_zips(tmp_path):
    (tmp_path / "a").mkdir()
    whole, path, read = zip_of(tmp_path / "a"), tmp_path / "a.zip", 0
    for seed in range(150):
        path.write_bytes(mutated(whole, seed))
        with suppress(DataError):
            assert all(p.shape == (12, 12, 3) for p in load(path).pixels)
            read += 1
    assert read > 30


def test_no_more_is_decoded_than_is_wanted(tmp_path, monkeypatch):
    for k in range(9):
        noise_picture(20 if k != 1 else 8, 20, seed=k).save(tmp_path / f"{k}.png")
    (tmp_path / "0.png").write_bytes(b"nothing")
    monkeypatch.setattr(collection, "AHEAD", 2)
    opened = []
    monkeypatch.setattr(collection, "read_rgb8", lambda *a, name: opened.append(name) or read_rgb8(*a, name=name))
    found = load(tmp_path, smallest=16, most=3)
    assert (found.names, found.broken, found.small) == (["2.png", "3.png", "4.png"], ["0.png"], ["1.png"])
    assert max(opened) == "5.png"  # those of the last two that were begun
    assert load(tmp_path, most=99).names == load(tmp_path).names


def test_pictures_that_are_in_two_sets_are_found_by_their_pixels(folder, tmp_path):
    noise_picture(30, 30, seed=9).save(tmp_path / "new.png")
    (tmp_path / "renamed.png").write_bytes((folder / "a.png").read_bytes())
    (tmp_path / "b.jpg").write_bytes((folder / "b.jpg").read_bytes())
    both, learnt = load([tmp_path / "new.png", tmp_path / "renamed.png", tmp_path / "b.jpg"]), load(folder)
    assert both.also_in(learnt) == [("renamed.png", "a.png"), ("b.jpg", "b.jpg")]
    assert both.first(1).also_in(learnt) == []
    assert both.also_in(learnt.first(1)) == [("renamed.png", "a.png")]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there alone")
def test_a_name_that_is_not_utf_8_can_be_written_down(tmp_path):
    noise_picture(20, 20).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(tmp_path / b"Zo\xeb.png".decode("utf-8", "surrogateescape"))
    (name,) = load(tmp_path).names
    name.encode()
    assert name.startswith("Zo")
    assert name.endswith(".png")


def test_results_of_sr3_are_no_originals(folder, tmp_path):
    note = {"model": "photo-4x-fast", "result": "4x"}
    for name in ("a-4x.png", "b-4x.jpg"):
        write(folder / name, read(folder / "a.png"), note=note)
    noise_picture(40, 40).save(folder / "deep er" / "c-4x.gif", comment=add_note(None, note))
    write(folder / "seen.png", read(folder / "a.png"), note={"software": "another"})
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as z:
        for path in folder.rglob("*.*"):
            z.write(path, path.relative_to(folder))
    for source in (folder, tmp_path / "all.zip"):
        found = load(source)
        assert found.names == ["a.png", "b.jpg", "deep er/c ü.webp", "seen.png"]
        assert found.own == ["a-4x.png", "b-4x.jpg", "deep er/c-4x.gif"]
        assert "3 made by sr3 itself, left out: a-4x.png, b-4x.jpg, deep er/c-4x.gif" in found.summary()
    assert load(folder / "a-4x.png").names == ["a-4x.png"]
    assert len(load(folder, own=True)) == 7
    for path in (folder / "a.png", folder / "b.jpg", folder / "deep er" / "c ü.webp", folder / "seen.png"):
        path.unlink()
    with pytest.raises(DataError, match="0 broken, 0 with a side below 1 pixels, 3 made by sr3 itself"):
        load(folder)
