"""The script that measures what nearness to real pictures costs."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
from conftest import noise_picture

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
trade = import_module("trade")


def test_the_cost_is_freirichs():
    assert trade.cost(1) == trade.cost(2) == 0
    assert trade.cost(0) == pytest.approx(3.0103, abs=1e-4)
    assert trade.cost(0.5) == pytest.approx(0.9691, abs=1e-4)


def test_mixtures_lie_between(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    for k in range(2):
        noise_picture(64, 64, seed=k).save(tmp_path / "data" / f"{k}.png")
    monkeypatch.setattr(trade, "SAMPLERS", ({"kind": "dpmpp", "eta": 0.5},))
    monkeypatch.setattr(trade, "CLEANEST", (1.0,))
    out, picture = tmp_path / "trade.json", tmp_path / "trade.svg"
    options = ["--data", tmp_path / "data", "--steps", 2, "--mix", 0.5, 0, "--json", out, "--plot", picture]
    monkeypatch.setattr(sys, "argv", ["trade.py", *map(str, options)])
    trade.main()
    found = json.loads(out.read_text("utf-8"))
    assert [row["mix"] for row in found["rows"]] == [1, 0.5, 0] * 2
    whole, half, none = found["rows"][:3]
    assert none["below"] == pytest.approx(0, abs=0.01)
    assert none["share"] == pytest.approx(1, abs=0.02)
    assert min(0, whole["below"]) - 0.5 < half["below"] < max(0, whole["below"])
    assert whole["consistency"] < 1
    assert picture.read_text("utf-8").count("<svg") == 1
    assert capsys.readouterr().out.count("\n") == 3 + 6
