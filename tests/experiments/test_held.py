"""A quick version of the experiment: JPEGs of photographs, enlarged by the shipped models, are in their bins, and no
worse for it."""

import importlib
from pathlib import Path
from statistics import mean

import pytest

from sr3.metric.psnr import psnr_y
from sr3.picture.jpeg import JpegBins
from sr3.picture.resize import shrink
from sr3.restore.restorer import Restorer


@pytest.fixture
def held(monkeypatch):
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "experiments")
    module = importlib.import_module("held")
    monkeypatch.setattr(module, "SIDE", 112)
    return module


@pytest.mark.parametrize("model", ["photo-4x-regression", "photo-4x"])
def test_jpegs_are_in_their_bins_and_no_worse(held, tmp_path, model):
    restorer = Restorer.load(model, device="cpu", precision="fp32")
    figures: dict[str, list[float]] = {way: [] for way in held.WAYS}
    for name in ("astronaut", "coffee") if model.endswith("regression") else ("chelsea",):
        clean = held.photograph(name)
        assert clean.shape == (1, 3, 112, 112)
        for kind, options in held.FILES.items():
            if not kind.startswith("JPEG" if model.endswith("regression") else "JPEG 75"):
                continue
            path = held.write(tmp_path, shrink(clean, 4), **options)
            for way in held.WAYS:
                made, said = held.enlarged(restorer, path, way)
                assert ("bins" in said) == (way == "held")
                figures[way].append(psnr_y(made, clean, border=4).item())
                if way == "held":
                    assert JpegBins.of(path).agree(shrink(made, 4)) >= 0.99, (name, kind)
    assert mean(figures["held"]) >= mean(figures["exact"]) - 0.005
    assert mean(figures["held"]) >= mean(figures["free"]) - 0.005


def test_what_the_small_pictures_are_written_as(held, tmp_path, monkeypatch):
    monkeypatch.setattr(held, "SIDE", 256)
    small = shrink(held.photograph("camera"), 4)
    assert held.photograph("camera").shape == (1, 3, 256, 256)  # grey, in three channels
    restorer = Restorer.load("photo-4x-regression", device="cpu", precision="fp32")
    noisy = held.write(tmp_path, small, sigma=25)
    assert "noise of sigma 2" in held.enlarged(restorer, noisy, "held")[1]
    assert held.enlarged(restorer, noisy, "exact")[1] == "the picture given, exactly"
    assert held.enlarged(restorer, noisy, "free")[1] == "nothing"
    assert held.enlarged(restorer, held.write(tmp_path, small), "held")[1] == "the picture given, exactly"
