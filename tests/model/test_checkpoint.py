"""Files of weights: round trips, and refusals that say what does not fit."""

import json
import pickle
import subprocess
import sys
import zlib

import pytest
import torch
from conftest import tiny_config

from sr3.model import checkpoint
from sr3.model.checkpoint import CheckpointError
from sr3.model.model import Model
from sr3.model.shipped import names


def test_round_trip(tiny, tmp_path):
    tiny.about["terms"] = "none"
    path = tiny.save_pretrained(tmp_path)
    again = Model.from_pretrained(path)
    assert again.config == tiny.config
    assert again.about == {"terms": "none"}
    for key, value in tiny.net.state_dict().items():
        torch.testing.assert_close(again.net.state_dict()[key], value.half().float(), rtol=0, atol=0)
    assert Model.from_pretrained(tmp_path).config == tiny.config


def test_weights_are_known_by_their_first_numbers_as_a_file_holds_them(tiny):
    first = [t.flatten()[:256].half().numpy().tobytes() for _, t in sorted(tiny.net.state_dict().items())]
    assert tiny.mark == f"{zlib.crc32(b''.join(first)):08x}"  # results keep it: another way would disown them all


def rewritten(path, **metadata):
    tensors, old = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**old, **metadata})


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"version": "99"}, "format version '99'"),
        ({"format": "other"}, "no sr3 model"),
        ({"config": "{"}, "cannot be read"),
        ({"config": json.dumps({**json.loads(tiny_config().model_dump_json()), "colour": 1})}, "no 'colour'"),
        (
            {"config": json.dumps({**json.loads(tiny_config().model_dump_json()), "tell": "alhpa"})},
            "did you mean alpha",
        ),
        (
            {"config": json.dumps({**json.loads(tiny_config().model_dump_json()), "network": {"kind": "x"}})},
            "no network 'x'",
        ),
    ],
)
def test_headers_that_do_not_fit(tiny, tmp_path, metadata, says):
    path = tiny.save_pretrained(tmp_path)
    rewritten(path, **metadata)
    with pytest.raises((CheckpointError, ValueError), match=says):
        Model.from_pretrained(path)


def test_wrong_missing_and_foreign_weights(tiny, tmp_path):
    path = tiny.save_pretrained(tmp_path)
    tensors, metadata = checkpoint.read_tensors(path)
    key = "enter.weight"
    for change, says in (
        ({key: tensors[key][:4].clone()}, "enter.weight have shape"),
        ({"more": torch.zeros(1)}, "more belong to no layer"),
        ({key: tensors[key] * float("nan")}, "NaN"),
    ):
        checkpoint.write_tensors(path, {**tensors, **change}, metadata)
        with pytest.raises(CheckpointError, match=says):
            Model.from_pretrained(path)
    checkpoint.write_tensors(path, {k: v for k, v in tensors.items() if k != key}, metadata)
    with pytest.raises(CheckpointError, match="enter.weight are missing"):
        Model.from_pretrained(path)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        Model.from_pretrained(path)
    assert not (tmp_path / "sprung").exists()


def test_a_failed_write_leaves_the_old_file(tiny, tmp_path, monkeypatch):
    path = tiny.save_pretrained(tmp_path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="space"):
        tiny.save_pretrained(tmp_path)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "config.json", path]


@pytest.mark.parametrize("name", names())
def test_shipped_models_load_and_say_their_terms(name):
    model = Model.from_pretrained(name)
    assert model.config.name == name
    assert model.about["terms"]
    assert model.about["pictures_seen"] > 0


def test_a_model_says_what_it_is_with_its_weights_unread(tiny, tmp_path):
    path = tiny.save_pretrained(tmp_path)
    told = Model.from_pretrained(path, weights=False)
    assert (told.config, told.about, told.task) == (tiny.config, tiny.about, tiny.task)
    assert all(p.is_meta for p in told.net.parameters())


def test_to_load_a_model_does_not_load_the_compiler():
    code = "import sys; from sr3.model.model import Model; Model.from_pretrained('photo-4x-fast'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sympy" not in done.stdout.split()
