"""The faithful run: that its arms are what they say, and that it is resumed; and the pictures that it draws."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sr3.model import recipe as recipes
from sr3.picture.collection import load
from sr3.training.labels import settled

ROOT = Path(__file__).parents[2]


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return {name: importlib.import_module(name) for name in ("drawn", "faithful")}


def test_drawn_pictures_are_a_function_of_seed_and_number(modules, tmp_path, monkeypatch):
    drawn = modules["drawn"]
    few = drawn.drawn(14, 24, seed=3)
    assert {p.shape for p in few} == {(24, 24, 3)}
    assert len({p.tobytes() for p in few}) == 14
    assert np.array_equal(few[9], drawn.picture("triangle", 24, 3, 9))  # the tenth: class 9 mod 6
    assert not np.array_equal(few[9], drawn.picture("triangle", 24, 4, 9))
    monkeypatch.setattr(sys, "argv", ["drawn.py", "--out", str(tmp_path), "--count", "7", "--side", "16"])
    drawn.main()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(drawn.SHAPES)
    assert sorted(p.name for p in (tmp_path / "disc").iterdir()) == ["000000.png", "000006.png"]
    # which is a labelled set as training takes it
    classes = ["model.task={kind='generation',size=32,classes=6}", "model.network.labels=6"]
    found, labels = settled(recipes.load("ddpm-32-small", classes), load(tmp_path).names)
    assert found.model.task["classes"] == sorted(drawn.SHAPES)
    assert len(labels) == 7


def test_shapes_are_what_they_are_called(modules):
    """Ink where it must be, and as much: a disc has its middle, a ring has not, a square has 1.6 sizes squared."""
    from PIL import Image, ImageDraw

    def ink(kind, **changes):
        canvas = Image.new("RGB", (200, 200))
        modules["drawn"].SHAPES[kind](ImageDraw.Draw(canvas), (100, 100), 80, 0.0, (255, 255, 255), None)
        return np.asarray(canvas)[..., 0] > 0

    areas = {"disc": np.pi * 80**2, "ring": np.pi * (80**2 - 52**2), "square": 128**2, "cross": 80**2 * (4 - 4 * 0.49)}
    areas["triangle"] = 80**2 * 0.87 * 1.5
    for kind, area in areas.items():
        assert ink(kind).sum() == pytest.approx(area, rel=0.03)
    assert ink("disc")[100, 100]
    assert not ink("ring")[100, 100]


def test_the_papers_arm_is_the_papers_recipe(modules):
    """All but the width is sr3-16-128's: objective, schedule, prediction, sampling, no residual; nothing is changed."""
    faithful = modules["faithful"]
    assert faithful.ARMS["paper"] == faithful.Arm("sr3-8-32")
    small, large = recipes.load("sr3-8-32"), recipes.load("sr3-16-128")
    for part in ("prediction", "tell", "residual", "schedule", "sampling", "kind", "first"):
        assert getattr(small.model, part) == getattr(large.model, part)
    assert small.training.objective == large.training.objective
    assert small.training.decay == large.training.decay == "constant"
    assert (small.model.network["kind"], small.model.network["dropout"]) == ("sr3-unet", 0.2)
    assert small.model.network["multipliers"] == large.model.network["multipliers"][:4]
    for name, arm in faithful.ARMS.items():  # every arm can be built
        recipe = recipes.load(arm.recipe, arm.settings)
        assert recipe.model.residual == (name in ("residual", "network", "ours"))
        assert (recipe.model.prediction["kind"] == "edm") == (name != "paper")
        assert recipe.training.decay == "constant"
        assert recipe.training.batch == 32


def test_it_trains_measures_and_goes_on(modules, tmp_path, monkeypatch, capsys):
    faithful = modules["faithful"]
    monkeypatch.setattr(faithful, "SHARES", (0.5, 1.0))
    monkeypatch.setattr(faithful, "FEW", (2,))
    small = ("training.batch=4", "model.sampling.steps=2")
    arms = {"paper": faithful.Arm("sr3-8-32", (*small, "model.network.multipliers=[1,2]", "model.network.blocks=1"))}
    monkeypatch.setattr(faithful, "ARMS", arms | {"ours": faithful.Arm("tiny-4x", small, held=True)})

    def run(*more):
        arguments = ["--out", tmp_path, "--pictures", 40, "--held", 4, "--steps", 3, *more]
        monkeypatch.setattr(sys, "argv", ["faithful.py", *map(str, arguments)])
        faithful.main()
        return json.loads((tmp_path / "faithful.json").read_text()), capsys.readouterr().out

    first, said = run("--minutes", 0.01)
    assert list(first) == ["paper", "regression", "ours"]
    assert [p["minutes"] for p in first["paper"]["points"]] == [0.005, 0.01]
    assert first["paper"]["full"]["steps"] == 3
    assert [row["steps"] for row in first["paper"]["few"]] == [2]
    assert first["paper"]["few"][0]["psnr"] != first["paper"]["points"][-1]["psnr"]  # by another sampler
    assert said.count("| paper") == 4
    assert said.count("| bicubic") == 1
    state = (tmp_path / "paper" / "state.safetensors").read_bytes()
    again, _ = run("--minutes", 0.01)
    assert again == first  # nothing is done twice
    assert (tmp_path / "paper" / "state.safetensors").read_bytes() == state
    longer, _ = run("--minutes", 0.03, "--arms", "paper")
    points = longer["paper"]["points"]
    assert points[:2] == first["paper"]["points"]
    assert points[-1]["minutes"] == 0.03
    assert points[-1]["seen"] > points[1]["seen"]
    # held to what was given, but for rounding; the paper's arm is not
    assert first["ours"]["points"][-1]["consistency"] < 2 < first["paper"]["points"][-1]["consistency"]
    for name in ("faithful.svg", "faithful.png"):
        assert (tmp_path / name).stat().st_size > 1000
