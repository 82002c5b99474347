"""A state is whole or not at all, is of one run, and those of the trainers that there once were go on."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import noise_picture

from sr3.model import checkpoint, shipped
from sr3.model.checkpoint import CheckpointError, read_tensors, write_tensors
from sr3.model.config import ConfigError, Recipe
from sr3.model.model import Model
from sr3.picture.collection import Pictures, load
from sr3.training import state
from sr3.training.data import Crops
from sr3.training.flat import Flat
from sr3.training.plan import told
from sr3.training.train import train

MODEL = {
    "name": "m",
    "kind": "regression",
    "residual": True,
    "network": {"kind": "unet", "patch": 4, "widths": [8], "blocks": [1], "embedding": 16},
    "quality": {"fast": {"steps": 2}},
}
TRAINING = {"objective": {"kind": "regression"}, "pictures": 16, "batch": 4, "crop": 32, "warmup": 0, "report_every": 4}
OLD = {
    ("bf16", "constant"): ("7e26dd7aca787355", "7e2214642150a558"),
    ("bf16", "cosine"): ("6563348c6bd2e13f", "3bff2492e31882a9"),
    ("fp32", "constant"): ("aff8f6beb5d5ffc4", "9123b8bc39801f17"),
    ("fp32", "cosine"): ("ed0a67018b9697e0", "59802f8923ba002e"),
}
"""(precision, decay): what the two trainers before this one, `sr3 train` and a script, marked this recipe with."""


def recipe(**training):
    return Recipe.model_validate({"model": MODEL, "training": {**TRAINING, "precision": "fp32", **training}})


@pytest.fixture
def crops(folder):
    return Crops(load(folder), 32)


def go(recipe, crops, folder, pictures=None):
    """Train to the end, or so many pictures; returns the run."""
    running = train(recipe, crops, folder)
    found = None
    for found, report in running:  # noqa: B007
        if report.seen == pictures:
            break
    running.close()
    return found


def same(folder, other):
    one, two = (read_tensors(where / state.NAME)[0] for where in (folder, other))
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(("precision", "decay"), OLD)
def test_old_fingerprints_are_known(crops, precision, decay):
    for now in (precision, "auto"):
        assert set(OLD[precision, decay]) <= state.old_fingerprints(recipe(precision=now, decay=decay), crops)
    other = state.old_fingerprints(recipe(precision=precision, decay=decay, rate=1e-3), crops)
    assert not other & set(OLD[precision, decay])


def as_numbered(folder, mark):
    """Rewrite a state as `sr3 train` wrote it before states had versions."""
    tensors, facts = read_tensors(folder / state.NAME)
    names = [name.removeprefix("exp_avg.") for name in tensors if name.startswith("exp_avg.")]
    net = Model.from_file(folder / "model.safetensors").net
    order = [name for name, _ in net.named_parameters()]
    assert sorted(order) == sorted(names)
    old = {k: v for k, v in tensors.items() if k.startswith(("net.", "average."))}
    for number, name in enumerate(order):
        old[f"optimiser.{number}.step"] = torch.tensor(float(facts["step"]))
        old |= {f"optimiser.{number}.{moment}": tensors[f"{moment}.{name}"] for moment in ("exp_avg", "exp_avg_sq")}
    write_tensors(folder / state.NAME, old, {"seen": facts["seen"], "skipped": "0", "recipe": mark})


def as_pieces(folder, mark):
    """Rewrite a state as the script wrote it: four vectors in one, cut into pieces, and a list of them."""
    tensors, facts = read_tensors(folder / state.NAME)
    flat = Flat(Model(recipe().model).net.requires_grad_(True))
    vectors = []
    for prefix in state.VECTORS:
        vectors.append(torch.zeros_like(flat.weights.detach()))
        flat.fill(vectors[-1], {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(prefix)})
    files = []
    for number, piece in enumerate(torch.cat(vectors).split(1000)):
        files.append(f"state-0-{number}.safetensors")
        write_tensors(folder / files[-1], {"piece": piece.clone()}, {"saves": "2"})
    keys = ("seen", "skipped", "bad_in_a_row", "parts", "seconds", "before", "begun", "step")
    known = {key: json.loads(facts[key]) for key in keys}
    text = {**known, "saves": 2, "recipe": mark, "vectors": list(state.VECTORS), "files": files}
    (folder / "state.json").write_text(json.dumps(text))
    (folder / state.NAME).unlink()


@pytest.mark.parametrize("form", [0, 1])
def test_runs_of_the_old_trainers_go_on(crops, tmp_path, form):
    go(recipe(), crops, tmp_path / "whole")
    go(recipe(), crops, tmp_path / "old", 8)
    (as_numbered, as_pieces)[form](tmp_path / "old", OLD["fp32", "constant"][form])
    with pytest.raises(ConfigError, match="another recipe or of other pictures"):
        go(recipe(rate=1e-3), crops, tmp_path / "old")
    assert go(recipe(), crops, tmp_path / "old").seen == 16
    assert same(tmp_path / "whole", tmp_path / "old")
    assert sorted(p.name for p in (tmp_path / "old").iterdir()) == ["model.safetensors", "state.safetensors"]


def test_pieces_that_do_not_belong_together_are_refused(crops, tmp_path):
    go(recipe(), crops, tmp_path, 8)
    as_pieces(tmp_path, OLD["fp32", "constant"][1])
    write_tensors(tmp_path / "state-0-1.safetensors", {"piece": torch.zeros(1000)}, {"saves": "1"})
    with pytest.raises(CheckpointError, match="bring all back together"):
        go(recipe(), crops, tmp_path)


def test_what_is_no_state_or_of_a_later_version_is_refused(crops, tmp_path):
    write_tensors(tmp_path / state.NAME, {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="not the state of a run"):
        go(recipe(), crops, tmp_path)
    write_tensors(tmp_path / state.NAME, {"a": torch.zeros(1)}, {"version": "3", "seen": "4"})
    with pytest.raises(CheckpointError, match="upgrade sr3"):
        go(recipe(), crops, tmp_path)


def test_the_data_are_part_of_what_a_run_is():
    pictures = Pictures(["a", "b"], [np.asarray(noise_picture(40, 48, seed=k)) for k in range(2)])
    marks = [state.identity(recipe(), Crops(pictures, 32))["data"]]
    for names, size in ((["a", "c"], (40, 48)), (["b", "a"], (40, 48)), (["a", "b"], (48, 40))):
        other = Pictures(names, [np.asarray(noise_picture(*size, seed=k)) for k in range(2)])
        marks.append(state.identity(recipe(), Crops(other, 32))["data"])
    assert len(set(marks)) == 4


def test_other_weights_of_one_name_are_another_teacher(crops, tmp_path):
    taught = {"first": "aa", "objective": "bb"}
    held = state.State({}, {"version": state.VERSION, **state.identity(recipe(), crops, taught)})
    state.check(held, recipe(), crops, tmp_path, taught)
    for name, called in (("first", "model.first"), ("objective", "training.objective")):
        with pytest.raises(ConfigError, match=f"the weights that {called} names are others than when"):
            state.check(held, recipe(), crops, tmp_path, taught | {name: "cc"})
    held.facts.pop("marks")  # as they were written before
    state.check(held, recipe(), crops, tmp_path, taught)


def test_a_run_knows_whose_weights_it_is_taught_with(crops, tmp_path):
    own = go(recipe(), crops, tmp_path / "a")
    assert own.marks == {}
    first = Model(recipe().model)
    assert state.marks(first, None) == {"first": first.mark}


def test_settings_that_came_since_have_their_defaults():
    old = recipe().model_dump(mode="json")
    del old["training"]["clip"], old["model"]["tell"]
    assert state.differing(old, recipe()) == []
    assert state.differing(old, recipe(clip=0.5)) == ["training.clip"]
    assert state.differing({**old, "gone": 1}, recipe(clip=0.5))[0] == "gone"


def test_what_differs_is_told_up_to_five(crops, tmp_path):
    go(recipe(), crops, tmp_path)
    five = {"rate": 2e-3, "clip": 0.5, "warmup": 3, "average": 11, "decay": "cosine"}
    with pytest.raises(ConfigError) as raised:
        go(recipe(**five), crops, tmp_path)
    assert all(f"training.{key} was" in str(raised.value) for key in five)
    assert "more" not in str(raised.value)
    with pytest.raises(ConfigError, match=r" and 1 more; give"):
        go(recipe(**five, turn=False), crops, tmp_path)


@pytest.mark.parametrize("stale", ["missing", "of an earlier save", "damaged", "of another state as long"])
def test_a_run_that_died_between_its_state_and_its_model_mends_it(crops, tmp_path, monkeypatch, stale):
    """The next start writes the model, though it has nothing to train."""
    go(recipe(), crops, tmp_path / "whole")
    out, path = tmp_path / "run", tmp_path / "run" / "model.safetensors"
    if stale != "missing":
        go(recipe(), crops, out, 8)
    plain = checkpoint.save

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        go(recipe(), crops, out)
    monkeypatch.setattr(checkpoint, "save", plain)
    assert read_tensors(out / state.NAME)[1]["seen"] == "16"
    if stale == "damaged":
        path.write_bytes(path.read_bytes()[:-7])
    if stale == "of another state as long":
        found = checkpoint.load(path)
        checkpoint.save(path, found.config, found.tensors, {**found.about, "pictures_seen": 16})
    assert go(recipe(), crops, out) is None  # nothing to train, no report
    made, wanted = (Model.from_file(where / "model.safetensors") for where in (out, tmp_path / "whole"))
    assert made.about["pictures_seen"] == 16
    assert all(map(torch.equal, made.net.state_dict().values(), wanted.net.state_dict().values()))
    when = path.stat().st_mtime_ns
    go(recipe(), crops, out)
    assert path.stat().st_mtime_ns == when  # and what is right is left alone


def test_a_model_that_is_handed_on_tells_nothing_of_ones_folders():
    objective = {"kind": "adversarial", "judge": "C:\\Users\\anna\\runs\\judge.safetensors"}
    asked = recipe(begin="/home/anna/runs/mine/model.safetensors", objective=objective).training
    found = told(asked)
    assert (found["begin"], found["objective"]["judge"]) == ("mine/model.safetensors", "runs/judge.safetensors")
    assert {key: value for key, value in found.items() if key not in ("begin", "objective")} == {
        key: value for key, value in asked.model_dump(mode="json").items() if key not in ("begin", "objective")
    }
    for plain in ("photo-4x", "runs/mine/model.safetensors", None):
        assert told(recipe(begin=plain).training)["begin"] == plain


@pytest.mark.parametrize("name", shipped.names())
def test_nor_do_the_shipped_ones(name):
    text = json.dumps(Model.from_pretrained(name, weights=False).about)
    assert not re.search(r'"(/|[A-Z]:)', text)
