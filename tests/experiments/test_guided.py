"""The script that says how colours are best enlarged."""

import sys
from importlib import import_module
from pathlib import Path

from conftest import noise_picture

from sr3.picture import grey

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
guided = import_module("guided")


def test_every_way_is_measured_and_the_package_left_as_it_is(tmp_path, monkeypatch, capsys):
    noise_picture(64, 48).save(tmp_path / "p.png")
    before = grey.RADIUS, grey.SOFT
    monkeypatch.setattr(sys, "argv", ["guided.py", "--data", str(tmp_path / "p.png"), "--side", "16"])
    guided.main()
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == 10
    values = [float(value) for _, value in rows]
    assert len(set(values)) > 5
    assert all(10 < value < 60 for value in values)
    assert before == (grey.RADIUS, grey.SOFT)
