"""Luminance of one, colours of another; and their error."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_picture
from PIL import Image

from sr3.metric.lite import installed

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
colours = import_module("colours")
ordinary = import_module("ordinary")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """What ordinary.py makes of four pictures, of which every third is left out."""
    for k in range(4):
        noise_picture(128, 128, seed=k).save(tmp_path / f"{k}.png")
    out = tmp_path / "made"
    monkeypatch.setattr(ordinary, "table", lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["ordinary.py", str(tmp_path), "--every", "3", "--others", "--out", str(out)])
    ordinary.main()
    ordinary.made("bicubic", out / "jpeg" / "given", out / "jpeg" / "bicubic", 4)
    return out


def test_the_others_are_those_that_are_not_measured(made):
    assert [path.name for path in sorted((made / "original").iterdir())] == ["1.png", "2.png"]


def test_the_planes_are_those_of_the_two(made, tmp_path):
    light, other, out = made / "original", made / "jpeg" / "bicubic", tmp_path / "mixed"
    out.mkdir()
    colours.together(light, other, out)
    for name in ("1.png", "2.png"):
        mixed = np.asarray(Image.open(out / name).convert("YCbCr")).astype(int)
        for plane, folder in ((0, light), (1, other), (2, other)):
            own = np.asarray(Image.open(folder / name).convert("YCbCr")).astype(int)[..., plane]
            # what lies outside of RGB is cut off
            assert np.median(np.abs(mixed[..., plane] - own)) <= 1


def test_the_error_is_that_of_each_colour(tmp_path):
    for folder, left in (("a", (100, 90, 80)), ("b", (100, 90, 80))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), left).save(tmp_path / folder / "1.png")
        Image.new("RGB", (8, 8), (200, 0, 0) if folder == "a" else (0, 0, 200)).save(tmp_path / folder / "2.png")
    # Cb and Cr of (200, 0, 0) are 94 and 228, of (0, 0, 200) 228 and 112 (T.871)
    cb, cr = colours.error(tmp_path / "a", tmp_path / "b")
    assert cb == pytest.approx(((228 - 94) ** 2 / 2) ** 0.5, abs=1.5)
    assert cr == pytest.approx(((228 - 112) ** 2 / 2) ** 0.5, abs=1.5)


@pytest.mark.skipif(not installed(), reason="needs the extra 'eye'")
def test_the_table(made, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["colours.py", str(made), "--methods", "bicubic", "original"])
    colours.main()
    head, own, true = capsys.readouterr().out.splitlines()
    assert head.split() == ["colours", "of", "Cb", "Cr", "PSNR", "feature", "kernel"]
    assert true.split()[:3] == ["original", "0.00", "0.00"]
    assert float(true.split()[3]) > float(own.split()[3])
    assert float(true.split()[4]) < float(own.split()[4])
