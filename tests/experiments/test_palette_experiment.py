"""The script that says how far trained models of Palette's tasks get, on models that were not trained."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.model.config import ConfigError
from sr3.model.model import Model

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
palette, baselines = import_module("palette"), import_module("baselines")


def made(root, name, task, kind="diffusion", std=0.05):
    torch.manual_seed(0)
    model = Model(tiny_config(name=name, kind=kind, task=task))
    for p in model.net.parameters():
        torch.nn.init.normal_(p, std=std)
    return str(model.save_pretrained(root / name))


def run(monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, "argv", ["palette.py", *map(str, options)])
    palette.main()
    return capsys.readouterr().out


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("sr3.evaluation.evaluate.patches_for", lambda count: 16)
    (tmp_path / "data").mkdir()
    for k in range(4):
        noise_picture(48, 48, seed=k).save(tmp_path / "data" / f"{k}.png")
    return tmp_path / "data"


class Coarse:
    """A network that is quick: it sees a few large pixels."""

    said = "a few large pixels"

    def __call__(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)

    def distance(self, a, b):
        return (self(a) - self(b)).square().mean(1)


def test_every_bar_is_measured(tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.setattr("sr3.metric.extra.lite", lambda device: Coarse())
    jpeg = {"kind": "jpeg-restoration"}
    nothing = made(tmp_path, "r", jpeg, "regression", std=0.0)  # answers with the JPEG itself
    faces = made(tmp_path, "f", {"kind": "several"})
    mean = made(tmp_path, "fr", {"kind": "several"}, "regression", std=0.0)
    out = tmp_path / "bars.json"
    said = run(
        monkeypatch, capsys, "--jpeg", made(tmp_path, "j", jpeg), "--jpeg-regression", nothing, "--photos", pictures,
        "--faces", faces, "--faces-regression", mean, "--people", pictures, "--samples", 2, "--json", out,
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert len(found["bars"]) == 7 == said.count("\n")
    asked = [bar["asked"] for bar in found["bars"]]
    assert found["bars"][0]["found"] == "+0.00 dB"
    assert not found["bars"][0]["held"]
    assert "regression +0.00" in found["bars"][2]["found"]
    assert {"telea", "navier-stokes", "palette", "regression"} <= set(found["rows"]["inpainting"])
    rows = found["rows"]["inpainting"]
    assert rows["telea"]["psnr"] != rows["navier-stokes"]["psnr"]
    assert "regression 0.00; 2 samples differ by" in found["bars"][5]["found"]
    assert asked[6].startswith("steepness")
    assert found["rows"]["jpeg-restoration"]["jpeg"]["psnr"] < 40


def test_models_beside_one_another(tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.setattr(palette, "LOOKED", ())
    one, alone = made(tmp_path, "m", {"kind": "several"}), made(tmp_path, "c", {"kind": "colorization"})
    out = tmp_path / "t.json"
    said = run(
        monkeypatch, capsys, "--people", pictures, "--table", f"all={one}", f"all={one}", f"alone={alone}",
        "--samples", 2, "--steps", 1, "--limit", 2, "--json", out,
    )  # fmt: skip
    rows = json.loads(out.read_text())["table"]
    names = [(row["task"], row["model"], row["seeds"]) for row in rows]
    assert ("colorization", "alone", 1) in names
    assert sum(name == "all" and seeds == 2 for _, name, seeds in names) == 4
    assert rows[0]["± psnr"] == 0
    assert all("join" in row for row in rows if row["task"] in ("inpainting", "uncropping"))
    assert said.count("\n") == 2 + len(rows)
    assert "± 0" in said


def test_what_there_is_without_models(tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.setattr(palette, "LOOKED", ())
    monkeypatch.setattr(baselines, "patches_for", lambda count: 16)
    out = tmp_path / "b.json"
    options = ["--people", pictures, "--photos", pictures, "--limit", 2, "--json", out]
    monkeypatch.setattr(sys, "argv", ["baselines.py", *map(str, options)])
    baselines.main()
    rows = {(row["task"], row["model"]): row for row in json.loads(out.read_text())}
    assert capsys.readouterr().out.count("\n") == 2 + len(rows)
    assert len(rows) == 8
    assert rows["colorization", "grey"]["colourfulness_share"] < 1e-6
    assert "join" not in rows["colorization", "grey"]
    assert rows["jpeg-restoration", "jpeg"]["psnr"] > 15
    fillings = [rows["inpainting", name]["psnr"] for name in ("smooth", "telea", "navier-stokes")]
    assert len(set(fillings)) == 3
    assert all(row["join"] < 2 for (task, _), row in rows.items() if task == "inpainting")


def test_what_a_bar_needs(monkeypatch, capsys):
    for options, says in (
        (["--jpeg", "x"], "needs its regression"),
        (["--table", "x"], "NAME=MODEL"),
        (["--table", "x=y"], "needs --people"),
    ):
        with pytest.raises(SystemExit, match=says):
            run(monkeypatch, capsys, *options)


def test_a_model_is_used_as_it_is_asked():
    several = palette.use(Model(tiny_config(task={"kind": "several"})), "jpeg-restoration", quality=33)
    assert several.task.degradation == "JPEG by libjpeg, quality 33, 4:2:0"
    alone = palette.use(Model(tiny_config(task={"kind": "inpainting"})), "inpainting", fill="telea")
    assert alone.task.baseline_name == "telea"
    with pytest.raises(ConfigError, match="is for inpainting and not for uncropping"):
        palette.use(Model(tiny_config(task={"kind": "inpainting"})), "uncropping")
