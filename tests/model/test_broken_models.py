"""Model files and recipes that are damaged or made to do harm: each one sentence, soon, and without the network."""

import json
import os
import sys
import time
import tomllib
from contextlib import suppress
from importlib.resources import files

import pytest
import torch
from conftest import tiny_config
from fuzz import changed, deep, mutated
from safetensors.torch import save_file

from sr3.diffusion.denoiser import Example
from sr3.model import hub, recipe
from sr3.model.checkpoint import CheckpointError, _bounded, read_tensors
from sr3.model.config import LARGEST, ConfigError, Recipe, cut, parse
from sr3.model.model import Model


@pytest.fixture
def path(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda *_, **__: pytest.fail("a file made it ask the Hub"))
    return tiny.save_pretrained(tmp_path)


def rewritten(path, **changes):
    """The file with other words in its header; of a table, with other entries."""
    tensors, metadata = read_tensors(path)
    for name, change in changes.items():
        text = json.dumps(json.loads(metadata[name]) | change) if isinstance(change, dict) else change
        metadata[name] = text
    save_file(tensors, path, metadata=metadata)


ONE = tiny_config(name="one", kind="regression", residual=False).model_dump(mode="json")
BAD = {
    "a first on the Hub": ({"config": {"first": "someone/model"}}, "not named"),
    "a first on the disk": ({"config": {"first": "/etc/passwd"}}, "not named"),
    "a first with a first": ({"config": {"first": ONE | {"first": ONE}}}, "to have none"),
    "ten million blocks": ({"config": {"network": {"kind": "unet", "blocks": [10**7, 1]}}}, "10000001 blocks"),
    "ten million blocks below": (
        {"config": {"first": ONE | {"network": {"kind": "plain", "blocks": 10**7}}}},
        "10000000 blocks",
    ),
    "channels without end": ({"config": {"network": {"kind": "unet", "widths": [10**12]}}}, "more than any size"),
    "no kind": ({"config": {"network": {"kind": ["unet"]}}}, "no network"),
    "a long wrong value": ({"config": {"name": ["x" * 10_000]}}, "name"),
    "a name in another folder": ({"config": {"name": "../elsewhere/model"}}, "neither / nor"),
    "a name of Windows' folders": ({"config": {"name": "..\\model"}}, "neither / nor"),
    "a name of two lines": ({"config": {"name": "a\nb"}}, "not shown"),
    "a wrong entry of the first": ({"config": {"first": ONE | {"colour": 1}}}, "colour"),
    "NaN": ({"config": '{"name": NaN}'}, "cannot be read"),
    "a deep configuration": ({"config": deep()}, "cannot be read"),
    "a list": ({"config": "[]"}, "no table"),
    "no configuration": ({"config": ""}, "cannot be read"),
    "a list about it": ({"about": "[1]"}, "no table"),
    "a deep description": ({"about": deep()}, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_that_would_do_harm_is_one_sentence(path, name):
    changes, said = BAD[name]
    rewritten(path, **changes)
    began = time.process_time()
    with pytest.raises((CheckpointError, ConfigError), match=said) as found:
        Model.from_pretrained(path)
    assert time.process_time() - began < 5
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("depth", [300, 700, 900, 960, 1500, 5000])
def test_a_configuration_of_tables_in_tables_is_one_sentence(path, depth):
    nest = "[" * depth + "]" * depth
    for text in (f'{{"name": "a", "network": {{"kind": "unet", "a": {nest}}}}}', f'{{"name": {nest}}}'):
        rewritten(path, config=text)
        with pytest.raises((CheckpointError, ConfigError)) as found:
            Model.from_pretrained(path)
        assert len(str(found.value)) < 400
    deepest: object = LARGEST + 1
    for _ in range(depth):
        deepest = [deepest]
    with pytest.raises(CheckpointError, match="more than any size"):
        _bounded(path, {"a": deepest}, 1)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_weights_of_a_wrong_type(path, dtype):
    tensors, metadata = read_tensors(path)
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name].to(dtype)}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=f"{name} are {dtype}, and must be torch.float32"):
        Model.from_pretrained(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders there")
def test_a_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no regular file"):
        Model.from_pretrained(tmp_path / "a.safetensors")
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match="no regular file"):
        recipe.load(str(tmp_path / "a.toml"))


def test_mutated_models(path):
    whole, (tensors, metadata), read = path.read_bytes(), read_tensors(path), 0
    header = 8 + int.from_bytes(whole[:8], "little")
    for seed in range(40):
        if not seed:
            pass
        elif seed % 2:
            config = changed(json.loads(metadata["config"]), seed)
            save_file(tensors, path, metadata=metadata | {"config": json.dumps(config)})
        else:
            path.write_bytes(mutated(whole[:header], seed) + whole[header:])
        with suppress(CheckpointError, ConfigError):
            Model.from_pretrained(path)
            read += 1
    assert 0 < read < 40


def test_mutated_recipes(tmp_path):
    text = (files("sr3.model") / "recipes" / "photo-4x.toml").read_bytes()
    raw, path, read = tomllib.loads(text.decode()), tmp_path / "a.toml", 0
    for seed in range(120):
        path.write_bytes(mutated(text, seed))
        with suppress(ConfigError):
            if seed % 2:
                recipe.load(str(path))
            else:
                parse("recipe a", Recipe, changed(raw, seed))
            read += 1
    assert 0 < read < 120


def test_values_in_sentences_are_short():
    assert cut("x\ny") == r"'x\ny'"
    assert len(cut(["x" * 999])) == 81
    assert cut(10**5000) == "a int"


def test_what_a_recipe_says_of_sampling_and_of_the_optimiser_is_read_before_work(tiny):
    raw = recipe.load("tiny-4x").model_dump(mode="json")
    for betas in ([1e308, 0.9], [0.9, 1.0], [-0.1, 0.9], [float("nan"), 0.9]):
        with pytest.raises(ConfigError, match="betas"):
            parse("recipe", Recipe, raw | {"training": raw["training"] | {"betas": betas}})
    walk, blank = tiny.walk, torch.zeros(1, 3, 8, 8)
    for sampler, why in (
        ({"kind": 2}, "no sampler 2"),
        ({"kind": "dpmpp", "eta": float("nan")}, "eta is between 0 and 1, not nan"),
        ({"kind": "dpmpp", "eta": 2.0}, "eta is between 0 and 1, not 2.0"),
    ):
        settings = tiny.config.sampling.model_copy(update={"sampler": sampler})
        with pytest.raises(ConfigError, match=why):
            walk(None, blank, torch.randn_like, settings, Example(base=blank))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("blocks = [2, 4]", "blocks = [1000000000000000000000000000000, 4]", "more than any size can be"),
        ("blocks = [2, 4]", "blocks = [1048577, 4]", "1048577 in its configuration is more than any size can be"),
        ("embedding = 96", "embedding = 0", "an even, positive number of features, and 0 is not one"),
        (
            "embedding = 96",
            "embedding = 95",
            "an even, positive number of features, and 95 is not one",
        ),
    ],
)
def test_sizes_in_a_recipe_are_bounded_before_anything_is_built(tmp_path, old, new, says):
    text = files("sr3.model").joinpath("recipes", "tiny-4x.toml").read_text("utf-8")
    assert old in text
    own = tmp_path / "own.toml"
    own.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=says):
        Model(recipe.load(str(own)).model)
