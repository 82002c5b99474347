"""How far a face model holds: that the right square is cut, and the table of a run that goes on."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.model.model import Model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faces(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return importlib.import_module("faces")


def test_shift_and_zoom_cut_the_square_they_say(faces):
    """A picture whose red is its column and green its row: what a square shows says where it was cut."""
    rows, columns = np.mgrid[:160, :160].astype(np.uint8)
    pixels = np.stack([columns, rows, np.zeros_like(rows)], axis=2)

    def edges(*setting):
        found, beyond = faces.cut(pixels, 64, 128, *setting)
        assert found.shape == (64, 64, 3)
        return found[5:-5, 5:-5, 0].mean(), found[5:-5, 5:-5, 1].mean(), beyond

    assert edges(0, 1.0) == pytest.approx((79.5, 79.5, 0), abs=0.6)
    assert edges(4, 1.0) == pytest.approx((87.5, 87.5, 0), abs=0.6)  # 4 pixels of the result are 8 of the picture
    *_, beyond = edges(16, 1.0)  # to 176 of 160 columns and rows
    assert beyond == pytest.approx(1 - (112 / 128) ** 2)
    small, _ = faces.cut(pixels, 64, 128, 0, 0.5)
    assert int(small[32, -3, 0]) - int(small[32, 2, 0]) == pytest.approx(59, abs=1)  # a step of one column a pixel
    _, beyond = faces.cut(pixels, 64, 128, 0, 1.5)
    assert beyond == pytest.approx(1 - (160 / 192) ** 2)
    assert faces.settings([0, 4], [0.5, 1.0]) == [(0, 1.0), (4, 1.0), (0.0, 0.5)]


def test_a_run_goes_on_and_tells_every_method(faces, monkeypatch, tmp_path, capsys):
    torch.manual_seed(0)
    model = Model(tiny_config(task={"kind": "super-resolution", "factor": 4}))
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "data").mkdir()
    for k in range(3):
        noise_picture(48, 48, seed=k).save(tmp_path / "data" / f"{k}.png")
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.flatten(1)\n")
    arguments = [tmp_path / "data", "--model", tmp_path / "m", "--window", 32, "--side", 32, "--zooms", "1", "0.8"]
    arguments += ["--features", f"{tmp_path / 'own.py'}:seen", "--out", tmp_path / "f.json"]

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["faces.py", *map(str, (*arguments, *more))])
        faces.main()
        return capsys.readouterr().out

    run("--shifts", "0")
    said = run("--shifts", "0", "2")
    assert "shift 0" not in said
    found = json.loads((tmp_path / "f.json").read_text())["settings"]
    assert list(found) == ["0 1", "0 0.8", "2 1"]
    for row in found.values():
        assert set(row["methods"]) == {"bicubic", "sr3"}
        for method in row["methods"].values():
            assert 0 <= method["identity"] <= 1
            assert method["interval"][0] <= method["distance"] <= method["interval"][1]
    assert said.count("| 1 | ") == 2
    with pytest.raises(SystemExit, match="another model"):
        run("--limit", 2)
