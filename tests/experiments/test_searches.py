"""The two searches side by side: as many trials, judged on pictures that neither saw."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.model.model import Model
from sr3.picture.collection import Pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture
def searches(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return importlib.import_module("searches")


def test_squares_are_the_middle(searches):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 10:50] = 200
    (found,) = searches.squares(Pictures(["a"], [pixels]), 20).pixels
    assert found.shape == (20, 20, 3)
    assert found.min() == 200


def test_both_have_as_many_trials_and_are_judged_elsewhere(searches, monkeypatch, tmp_path, capsys):
    from sr3.evaluation import tune as tuning

    monkeypatch.setattr(tuning, "_moves", lambda spread: [[{}], [{"spacing": "karras"}, {"spacing": "t"}]])
    seen: list[tuple[int, str]] = []
    torch.manual_seed(0)
    model = Model(tiny_config(task={"kind": "super-resolution", "factor": 4}))
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "data").mkdir()
    for k in range(6):
        noise_picture(32, 40, seed=k).save(tmp_path / "data" / f"{k}.png")
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.mean((2, 3))\n")
    whole = searches.Bench

    class Told(whole):
        def __init__(self, restorer, pictures, seed, how):
            seen.append((seed, ",".join(pictures.names)))
            super().__init__(restorer, pictures, seed, how)

    monkeypatch.setattr(searches, "Bench", Told)
    arguments = ["--model", tmp_path / "m", "--data", tmp_path / "data", "--side", 32, "--pictures", 3, "--steps", 2]
    arguments += ["--features", f"{tmp_path / 'own.py'}:seen", "--out", tmp_path / "s.json", "--seeds"]

    def run(*seeds):
        monkeypatch.setattr(sys, "argv", ["searches.py", *map(str, (*arguments, *seeds))])
        searches.main()
        return json.loads((tmp_path / "s.json").read_text())

    (row,) = run(5)
    assert seen == [(1005, "3.png,4.png,5.png")]
    assert row["trials"] == 3
    assert row["betas"]["settings"]["schedule"]["kind"] == "betas"
    assert "schedule" not in row["walks"]["settings"]
    assert row["own"]["settings"]["steps"] == 2
    for name in ("walks", "betas"):
        assert row[name]["score"] == row[name]["frechet"] != row[name]["searched"]
    assert [r["seed"] for r in run(5, 6)] == [5, 6]
    assert len(seen) == 2
    assert capsys.readouterr().out.count("| 2 | 5 |") == 3
