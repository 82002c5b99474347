"""What cannot be asked for together, or of this model, is said in one sentence, and nothing is made."""

import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.cli import upscale
from sr3.model.model import Model


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise_picture(12, 12).save("p.png")
    noise_picture(12, 12).save("p.jpg")
    Image.new("L", (12, 12), 255).save("mask.png")
    torch.manual_seed(0)
    kinds = {"large": {}, "jpeg": {"task": {"kind": "jpeg-restoration"}}, "hole": {"task": {"kind": "inpainting"}}}
    kinds |= {"flat": {"kind": "regression"}}
    for name, more in kinds.items():
        Model(tiny_config(name=name, **more)).save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "upscale p.png --model photo-4x-fast --steps 4",
            "photo-4x-fast takes one step, whatever its steps; leave that out, or give a model that refines",
        ),
        (
            "upscale p.png --model photo-2x --sampler heun --spacing t",
            "photo-2x takes one step, whatever its sampler and",
        ),
        ("upscale p.png --model flat --steps 4", "flat takes one step, whatever its steps; leave that out"),
        ("evaluate --data p.png --model flat --steps 4", "flat takes one step, whatever its steps; leave that out"),
        ("upscale p.png --model large --keep maks.png", "maks.png does not exist; did you mean mask.png?"),
        ("inpaint p.png --model hole --mask maks.png", "maks.png does not exist; did you mean mask.png?"),
        ("restore p.png --model hole --mask maks.png", "maks.png does not exist; did you mean mask.png?"),
        ("colorize p.png --hints maks.png", "maks.png does not exist; did you mean mask.png?"),
        ("upscale p.png --model large --free --fidelity 1", "--free is --fidelity 0; give one of them"),
        ("dejpeg p.jpg --model jpeg --fidelity 0.5 --free", "--free is --fidelity 0; give one of them"),
        ("upscale p.jpg --model jpeg", "jpeg is for jpeg-restoration and not for super-resolution; use sr3 dejpeg"),
        ("upscale p.png --model large --tile 10", "a tile of 10 pixels is too small, as the network looks at more"),
        ("dejpeg p.jpg --model jpeg --tile 63", "a tile of 63 pixels is too small, as the network looks at more"),
    ],
)
def test_bad_use_is_one_sentence(sr3, place, typed, sentence):
    before = sorted(place.iterdir())
    code, out, err = sr3(*typed.split())
    assert (code, out) == (2, "")
    assert err.strip().startswith(f"sr3: {sentence}")
    assert len(err.strip().splitlines()) == 1
    assert sorted(place.iterdir()) == before


def test_each_of_them_alone_is_taken(sr3, place, monkeypatch):
    asked = []
    monkeypatch.setattr(upscale, "work_of", lambda run, *own: asked.append((run, own)) or (lambda: None))
    for line in (["--steps", 1], ["--free"], ["--fidelity", 0.5], ["--tile", 64], ["--keep", "mask.png"]):
        assert sr3("upscale", "p.png", "--model", "large", *line)[0] == 0
    assert [own[3:5] for _, own in asked] == [(False, 1.0), (True, 1.0), (False, 0.5), (False, 1.0), (False, 1.0)]
    assert asked[3][0].tile == 64
