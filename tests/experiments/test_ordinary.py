"""The small files are what they are said to be."""

import io
import sys
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_picture
from PIL import Image
from scipy.ndimage import gaussian_filter

from sr3.picture.resize import shrink

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
ordinary = import_module("ordinary")


@pytest.fixture
def original():
    return ordinary.middle(np.asarray(noise_picture(402, 90, seed=3)))


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_middle_is_measured(original):
    assert original.shape == (88, 384, 3)
    whole = np.asarray(noise_picture(402, 90, seed=3))
    np.testing.assert_array_equal(original, whole[1:89, 9:393])


def test_clean_and_jpeg(original):
    small = ordinary.pixels_of(shrink(ordinary.tensor(original), 4))
    data, ending = ordinary.given(original, "clean", "a")
    assert ending == ".png"
    np.testing.assert_array_equal(opened(data), small)
    data, ending = ordinary.given(original, "jpeg", "a")
    assert ending == ".jpg"
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=75)
    assert data == file.getvalue()


def test_other_factors():
    whole = np.asarray(noise_picture(402, 91, seed=3))
    original = ordinary.middle(whole, 2)
    np.testing.assert_array_equal(original, whole[0:90, 9:393])
    small = ordinary.pixels_of(shrink(ordinary.tensor(original), 2))
    np.testing.assert_array_equal(opened(ordinary.given(original, "clean", "a", 2)[0]), small)
    for condition in ("jpeg", "worn"):
        assert opened(ordinary.given(original, condition, "a", 2)[0]).shape == small.shape


def test_models_are_asked_for_the_factor(tmp_path, monkeypatch, original):
    asked = []

    def restored(file, scale):
        asked.append(scale)
        return Image.fromarray(original)

    monkeypatch.setattr(ordinary.Restorer, "load", lambda name: restored)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.png").write_bytes(ordinary.given(original, "clean", "a", 2)[0])
    ordinary.made("photo-4x", tmp_path / "given", tmp_path / "made", 2)
    assert asked == [2]


def test_worn_pictures_depend_on_their_names_alone(original):
    data, ending = ordinary.given(original, "worn", "a")
    assert ending == ".jpg"
    assert data == ordinary.given(original, "worn", "a")[0]
    assert data != ordinary.given(original, "worn", "b")[0]
    rng = np.random.default_rng(zlib.crc32(b"a"))
    rng.uniform(size=2)
    quality = rng.integers(40, 81)
    assert Image.open(io.BytesIO(data)).quantization == _tables(int(quality))


def test_the_noise_of_worn_pictures_has_its_sigma(monkeypatch):
    monkeypatch.setattr(ordinary, "coded", lambda pixels, quality: pixels)
    flat = np.full((400, 400, 3), 120, np.uint8)
    for name in "abc":
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        noise = rng.uniform((0.4, 2), (1.2, 8))[1]
        found = ordinary.given(flat, "worn", name)[0].astype(np.float32)
        assert abs(found.mean() - 120) < 0.2
        assert found.std() == pytest.approx((noise**2 + 1 / 12) ** 0.5, rel=0.02)


def test_worn_pictures_are_blurred_before_they_shrink(monkeypatch, original):
    monkeypatch.setattr(ordinary, "coded", lambda pixels, quality: pixels)
    rng = np.random.default_rng(zlib.crc32(b"a"))
    blur, noise = rng.uniform((0.4, 2), (1.2, 8))
    quality = rng.integers(40, 81)
    assert 40 <= quality <= 80
    soft = gaussian_filter(original.astype(np.float32), (blur, blur, 0), mode="nearest").round().clip(0, 255)
    small = ordinary.pixels_of(shrink(ordinary.tensor(soft.astype(np.uint8)), 4)).astype(np.float32)
    wanted = (small + rng.normal(0, noise, small.shape)).round().clip(0, 255)
    np.testing.assert_array_equal(ordinary.given(original, "worn", "a")[0], wanted)


def _tables(quality):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).quantization


def test_what_was_made_before_is_completed_and_what_is_missing_is_said(tmp_path, original):
    data, ending = ordinary.given(original, "clean", "a")
    given, where, originals = (tmp_path / name for name in ("given", "bicubic", "original"))
    for folder in (given, originals):
        folder.mkdir()
    for name in "ab":
        (given / f"{name}{ending}").write_bytes(data)
        Image.fromarray(original).save(originals / f"{name}.png")
        ordinary.made("bicubic", given, where, 4)
        assert sorted(p.name for p in where.iterdir()) == [f"{n}.png" for n in "ab"[: 1 + "ab".index(name)]]
    (where / "b.png").unlink()
    with pytest.raises(ValueError, match=r"b.png is missing \(1 in all\)"):
        ordinary.compared(where, given, originals, None)
