"""What a dry run promises is what a run takes."""

import json
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from test_golden import recipe as small

from sr3.model import recipe as recipes
from sr3.model.config import ConfigError, Recipe
from sr3.model.model import Model
from sr3.training import estimate as module
from sr3.training.estimate import estimate
from sr3.training.trial import trial

TRAINED = """
import json, sys, time
import numpy as np
from pathlib import Path
from sr3.model.config import Recipe
from sr3.picture.collection import Pictures
from sr3.training.data import Crops
from sr3.training.train import make_accelerator, train
from sr3.training.trial import used
recipe = Recipe.model_validate(json.load(sys.stdin))
noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
crops = Crops(Pictures(["noise"], [noise]), recipe.training.crop)
accelerator = make_accelerator("cpu")
for run, report in train(recipe, crops, Path(sys.argv[1]), accelerator=accelerator):
    pass
print(json.dumps({"memory": used(accelerator.device), "seconds": run.seconds}))
"""


def dreaming(**training):
    """An objective with a pass of its own, over enough activations to be seen beside PyTorch itself."""
    raw = small("denoising").model_dump()
    raw["model"]["network"].update(patch=1, widths=[16, 32])
    return Recipe.model_validate(raw | {"training": raw["training"] | {"crop": 64, "batch": 16} | training})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.alone
def test_a_run_takes_what_was_promised(tmp_path):
    recipe = dreaming(pictures=80, report_every=80, save_every=80)
    promised = estimate(recipe, "cpu", seconds=100)
    done = subprocess.run(
        [sys.executable, "-c", TRAINED, str(tmp_path)],
        input=recipe.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
    )
    taken = json.loads(done.stdout)
    assert promised.tried == 16
    assert promised.memory == pytest.approx(taken["memory"], rel=0.25)
    # a quarter on a machine that does nothing else; this one runs tests
    assert 0.3 < promised.seconds / taken["seconds"] < 3


def test_flops_count_the_objectives_own_passes(monkeypatch, tmp_path):
    def tried(recipe, folder):
        told(monkeypatch, *trial(recipe, "cpu", folder, 10**12, 0.1))
        return estimate(recipe, "cpu")

    recipe = recipes.load(
        "photo-4x",
        [
            *("model.network.widths=[8]", "model.network.blocks=[1]", "model.network.patch=4"),
            *("training.crop=32", "training.batch=4"),
        ],
    )
    plain = tried(recipe, tmp_path / "plain")
    net = Model(recipe.model).net
    assert plain.parameters == sum(p.numel() for p in net.parameters())
    forward = 2 * 64 * sum(p.numel() for p in net.parameters() if p.ndim == 4)
    # the backward pass costs twice the forward, less the gradient of the input, which the first layer does not need
    assert 2.3 * forward < plain.flop_per_picture < 3.2 * forward
    assert "million parameters" in plain.text()
    dream = {**recipe.training.objective, "dream": 1.0}
    raw = recipe.model_dump() | {"training": recipe.training.model_dump() | {"objective": dream}}
    twice = tried(Recipe.model_validate(raw), tmp_path / "twice")
    assert twice.flop_per_picture == pytest.approx(plain.flop_per_picture + forward, rel=0.05)


def told(monkeypatch, *lines, code=0, said=""):
    """Let the trial tell this."""
    found = SimpleNamespace(stdout="\n".join(map(json.dumps, lines)), stderr=said, returncode=code)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: found)


def test_what_was_not_tried_is_on_the_line_through_what_was(monkeypatch):
    one, two = ({"pictures": k, "seconds": 1.0 + k, "bytes": 10**9 + k * 10**8} for k in (2, 4))
    last = {**two, "save_seconds": 0.5, "device": "cpu", "precision": "fp32", "flops": 1e9}
    told(monkeypatch, one, last)
    found = estimate(dreaming(accumulate=2, batch=32, pictures=320, save_every=80), "cpu", data=10**6)
    # parts of 16, two a step, ten steps and four saves
    assert found.seconds == pytest.approx(17.0 * 2 * 10 + 4 * 0.5)
    assert found.memory == pytest.approx(10**9 + 16 * 10**8 + 6 * 10**6)


def test_times_are_said_in_what_people_count_them_in():
    said = {1: "1 seconds", 89: "89 seconds", 90: "2 minutes", 5399: "90 minutes", 5400: "1.5 hours"}
    said |= {172_799: "48.0 hours", 172_800: "2.0 days"}
    assert {seconds: module._duration(seconds) for seconds in said} == said


def test_what_does_not_fit_is_not_tried(monkeypatch):
    free = SimpleNamespace(total=10**9, available=4 * 10**8)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(module.subprocess, "run", None)
    found = estimate(recipes.load("sr3-64-256"), "cpu")
    assert found.seconds is None
    assert "not even one picture fits" in found.text()
    assert found.memory > 12e9  # 621 million parameters, their gradients, moments and averages


def test_a_run_that_was_ended_for_its_memory_has_told_what_it_knew(monkeypatch):
    told(monkeypatch, {"pictures": 1, "seconds": 1.0, "bytes": 10**13}, code=-9)
    found = estimate(dreaming(), "cpu")
    assert found.tried == 1
    assert "It will not fit" in found.text()
    told(monkeypatch, code=-9)
    assert estimate(dreaming(), "cpu").seconds is None
    told(monkeypatch, code=1, said="Traceback\nsr3.model.config.ConfigError: no second derivative")
    with pytest.raises(ConfigError, match="tried and failed: no second derivative"):
        estimate(dreaming(), "cpu")


def test_what_is_cut_is_as_large_as_the_pictures(monkeypatch, tmp_path):
    """To reduce a square of a photograph may take as long as to learn from it."""
    assert module.side_of([300]) == 300
    assert module.side_of([100, 700]) == 500  # by areas
    made = []
    monkeypatch.setattr("sr3.training.trial.Crops", lambda pictures, *a, **b: made.append(pictures) or 1 / 0)
    for zoom, side in (([64, 64], 3000), ([1, 2], 128), ([64, 64], 30)):
        with pytest.raises(ZeroDivisionError):
            next(trial(dreaming(zoom=zoom), "cpu", tmp_path, 10**12, 0.1, side))
    assert [pictures.pixels[0].shape for pictures in made] == [(n, n, 3) for n in (3000, 128, 64)]


def test_several_processes_share_the_batch_and_try_it_alone(monkeypatch):
    asked = []

    def run(*_, input, env, **__):
        asked.append((json.loads(input), env))
        line = {"pictures": 8, "seconds": 4.0, "bytes": 10**9}
        return SimpleNamespace(stdout=json.dumps(line), stderr="", returncode=0)

    monkeypatch.setattr(module.subprocess, "run", run)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "1")
    found = estimate(dreaming(batch=16, pictures=160, save_every=1000), "cpu", world=2, side=77)
    ((told_, env),) = asked
    assert (told_["recipe"]["training"]["batch"], told_["side"]) == (8, 77)
    assert env["KEPT"] == "1"
    assert not [name for name in env if name.startswith(module.GROUP)]
    assert found.seconds == pytest.approx(10 * 4.0)
    with pytest.raises(ConfigError, match="cannot be shared by 3 processes"):
        estimate(dreaming(batch=16), "cpu", world=3)
