"""Exports: the graph is the restorer's own answer, and every runtime's answer is the graph's."""

import json
import sys

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from torch import nn

from sr3.model.config import ConfigError
from sr3.model.export import FORMATS, export
from sr3.model.export_graph import Enlarge, Graph
from sr3.model.model import Model
from sr3.picture.resize import enlarge
from sr3.restore.restorer import Restorer
from sr3.task import Given

PLAIN = {"kind": "plain", "patch": 4, "width": 8, "blocks": 1}
UNET = {"kind": "unet", "patch": 2, "widths": [8, 16], "blocks": [1, 1], "embedding": 16}
COARSE = {"kind": "unet", "patch": 4, "widths": [8, 16], "blocks": [1, 1], "embedding": 16}
PAPER = {"kind": "sr3-unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "resolution": 16, "attention_at": [8]}
ONE_STEP = {"sampling": {"sampler": {"kind": "dpmpp"}, "steps": 1}}
REGRESSION = {"kind": "regression"}
SIZES = [(16, 16), (13, 7), (5, 34)]


def model_of(network, **changes):
    """A small model whose answers differ visibly from the enlargement."""
    torch.manual_seed(0)
    model = Model(tiny_config(**{"network": network, **changes}))
    for one in model.chain:
        for parameter in one.net.parameters():
            nn.init.normal_(parameter, std=0.15)
        one.net.eval().requires_grad_(False)
    return model


def picture_of(height, width):
    """[1, 3, h, w] in [0, 1], of 8 bits."""
    return torch.tensor(np.asarray(noise_picture(width, height))).permute(2, 0, 1)[None].float() / 255


class Drawn:
    """A noise field that a sampler draws and a test knows."""

    def __init__(self, factor, height, width):
        self.field = torch.randn(1, 3, factor * height, factor * width, generator=torch.Generator().manual_seed(1))

    def __call__(self, x):
        return self.field.to(x)


def wanted(model, picture, monkeypatch):
    """What the restorer makes without the projection, in [0, 1], and the noise it began from."""
    noise = Drawn(model.task.factor, *picture.shape[-2:])
    monkeypatch.setattr("sr3.restore.restorer.Seeds", lambda _: noise)
    restorer = Restorer(model, device="cpu", precision="fp32")
    made = restorer.make(Given(picture * 2 - 1), [0], free=True)
    return (made + 1) / 2, noise.field


MODELS = {
    "plain": lambda: model_of(PLAIN, **REGRESSION),
    "unet": lambda: model_of(UNET, **REGRESSION),
    "coarse": lambda: model_of(COARSE, **REGRESSION),
    "paper": lambda: model_of(PAPER, **REGRESSION),
    "whole": lambda: model_of(UNET, residual=False, **REGRESSION),
    "one-step": lambda: model_of(UNET, **ONE_STEP),
    "one-step-v": lambda: model_of(
        UNET, residual=False, prediction={"kind": "v"}, tell="alpha", schedule={"kind": "linear-beta"}, **ONE_STEP
    ),
    "over": lambda: model_of(UNET, first=tiny_config(network=PLAIN, **REGRESSION).model_dump(), **ONE_STEP),
}


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 3)])
def test_the_enlargement_in_convolutions_is_the_enlargement(factor, size):
    x = torch.rand(2, 3, *size) * 2 - 1
    torch.testing.assert_close(Enlarge(factor)(x), enlarge(x, factor), atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", SIZES)
def test_the_graph_is_the_restorers_answer(name, size, monkeypatch):
    model = MODELS[name]()
    picture = picture_of(*size)
    made, noise = wanted(model, picture, monkeypatch)
    found = Graph(model)(picture, *([noise] if model.walk.varies else []))
    torch.testing.assert_close(found, made, atol=1e-5, rtol=0)
    # and the network is in it
    assert (found - ((enlarge(picture * 2 - 1, 4) + 1) / 2).clamp(0, 1)).abs().mean() > 0.004


def through_onnx(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs):
        names = [end.name for end in session.get_inputs()]
        return session.run(["result"], {n: x.numpy() for n, x in zip(names, inputs, strict=True)})[0]

    return run


def through_openvino(path):
    openvino = pytest.importorskip("openvino")
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda *inputs: compiled([x.numpy() for x in inputs])["result"]


def through_ncnn(path):
    ncnn = pytest.importorskip("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    assert net.load_param(str(path)) == 0
    assert net.load_model(str(path.with_suffix(".bin"))) == 0

    def run(*inputs):
        with net.create_extractor() as extractor:
            for index, x in enumerate(inputs):
                held = np.ascontiguousarray(x[0].numpy())  # a Mat does not keep what it points into
                extractor.input(f"in{index}", ncnn.Mat(held).clone())
            code, made = extractor.extract("out0")
            assert code == 0
            return np.array(made)[None]

    return run


RUNTIMES = {"onnx": through_onnx, "openvino": through_openvino, "ncnn": through_ncnn}


def exported(model, kind, folder):
    """Export a model and hand back the paths; skips where the packages for it are missing."""
    for package in FORMATS[kind].needs:
        pytest.importorskip(package)
    return export(model, kind, folder / f"model.v1{FORMATS[kind].suffix}")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["plain", "unet", "one-step"])
def test_runtimes_answer_as_the_restorer_does(kind, name, tmp_path, monkeypatch, capfd):
    model = MODELS[name]()
    paths = exported(model, kind, tmp_path)
    assert capfd.readouterr() == ("", "")  # the library prints nothing, whatever those it calls would like to say
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    run = RUNTIMES[kind](paths[0])
    for size in SIZES:
        picture = picture_of(*size)
        made, noise = wanted(model, picture, monkeypatch)
        found = run(picture, *([noise] if model.walk.varies else []))
        near = np.abs(found - made.numpy()) <= 1 / 255
        assert found.shape == made.shape
        assert near.mean() >= 0.999, (size, near.mean())
