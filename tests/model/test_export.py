"""Exports: the graph is the restorer's own answer, and every runtime's answer is the graph's."""

import hashlib
import json
import re
import sys
from functools import partial
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from sr3.model.config import ConfigError
from sr3.model.export import FORMATS, conventions, export
from sr3.model.export_graph import Enlarge, Graph
from sr3.model.model import Model
from sr3.model.shipped import shipped
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
    "edm": lambda: model_of(UNET, prediction={"kind": "edm"}, **REGRESSION),  # of a sigma_data that is not told
    "one-step": lambda: model_of(UNET, **ONE_STEP),
    "one-step-v": lambda: model_of(
        UNET, residual=False, prediction={"kind": "v"}, tell="alpha", schedule={"kind": "linear-beta"}, **ONE_STEP
    ),
    "stirred": lambda: model_of({**PLAIN, "stirred": True}, **ONE_STEP),
    "one-step-heun": lambda: model_of(UNET, sampling={"sampler": {"kind": "heun", "churn": 0.0}, "steps": 1}),
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


WRITTEN: dict[tuple[str, ...], bytes] = {}


@pytest.fixture
def once(monkeypatch):
    """What ONNX holds is what OpenVINO is made from: PyTorch's exporter, which takes seconds, is run once for both."""
    write = FORMATS["onnx"].write

    def written(name, graph, stem, said):
        weights = hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in graph.state_dict().values()))
        key = (name, weights.hexdigest(), *said.values())
        if key not in WRITTEN:
            write(graph, stem, said)
            WRITTEN[key] = stem.with_suffix(".onnx").read_bytes()
        stem.with_suffix(".onnx").write_bytes(WRITTEN[key])

    def of(name):
        monkeypatch.setattr("sr3.model.export._onnx", partial(written, name))
        monkeypatch.setitem(FORMATS, "onnx", FORMATS["onnx"]._replace(write=partial(written, name)))

    return of


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["plain", "unet", "one-step"])
def test_runtimes_answer_as_the_restorer_does(name, kind, once, tmp_path, monkeypatch, capfd):
    once(name)
    model = MODELS[name]()
    model.about["license"] = "apache-2.0"
    paths = exported(model, kind, tmp_path)
    assert capfd.readouterr() == ("", "")  # the library prints nothing, whatever those it calls would like to say
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    if name == "one-step":
        says_what_it_is(kind, paths[0])
    run = RUNTIMES[kind](paths[0])
    for size in SIZES:
        picture = picture_of(*size)
        made, noise = wanted(model, picture, monkeypatch)
        found = run(picture, *([noise] if model.walk.varies else []))
        near = np.abs(found - made.numpy()) <= 1 / 255
        assert found.shape == made.shape
        assert near.mean() >= 0.999, (size, near.mean())


@pytest.mark.parametrize("name", ["photo-4x-fast", "photo-4x-regression"])
def test_what_is_shipped_answers_alike_in_onnx(name, tmp_path, monkeypatch):
    model = Model.from_pretrained(name)
    path = exported(model, "onnx", tmp_path)[0]
    run = through_onnx(path)
    small = noise_picture(8, 6).resize((24, 16), Image.Resampling.BICUBIC)
    picture = torch.tensor(np.asarray(small)).permute(2, 0, 1)[None].float() / 255
    made, noise = wanted(model, picture, monkeypatch)
    found = run(picture, *([noise] if model.walk.varies else []))
    near = np.abs(found - made.numpy()) <= 1 / 255
    assert found.shape == (1, 3, 64, 96)
    assert near.mean() >= 0.999, near.mean()
    if model.walk.varies:
        monkeypatch.chdir(tmp_path)
        small.save("photo.jpg")
        path.rename(f"{name}.onnx")
        the_documents_second_example_works(run)


def the_documents_second_example_works(run):
    """docs/exporting.md's, of a picture and its noise; what stands above it is the first's."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "exporting.md").read_text("utf-8")
    first, second = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    before = "\n".join(line for line in first.splitlines() if line.startswith(("import", "from", "picture")))
    found = {}
    exec(f"{before}\n{second}", found)
    picture = torch.tensor(found["picture"]).permute(2, 0, 1)[None]
    wanted = run(picture, torch.tensor(found["noise"]))
    np.testing.assert_array_equal(found["result"], wanted[0])
    with Image.open("large.png") as large:
        assert large.size == (96, 64)


def said_by(kind, path):
    """The metadata that an exported file holds."""
    if kind == "onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    if kind == "ncnn":
        return json.loads(path.with_suffix(".json").read_text())
    import openvino

    return {k: v.astype(str) for k, v in openvino.Core().read_model(path).get_rt_info()["sr3"].items()}


def says_what_it_is(kind, path):
    """The conventions are in a file of one step, exported with a licence."""
    said = said_by(kind, path)
    assert (said["name"], said["license"], said["factor"]) == ("tiny", "apache-2.0", "4")
    assert "RGB, 0 to 1" in said["input"]
    assert "h * 4, w * 4" in said["output"]
    assert "standard normal" in said["noise"]
    assert said["software"].startswith("sr3 ")


def test_a_file_of_no_licence_and_no_noise_says_so():
    regression = MODELS["plain"]()
    said = conventions(regression, Graph(regression))
    assert said["license"] == "none was recorded"
    assert "noise" not in said


def test_onnx_takes_a_network_whose_stride_the_factor_does_not_divide_and_batches(tmp_path):
    model = MODELS["coarse"]()
    run = through_onnx(exported(model, "onnx", tmp_path)[0])
    pictures = torch.cat([picture_of(5, 7), picture_of(5, 7).flip(-1), picture_of(5, 7) ** 2])
    np.testing.assert_allclose(run(pictures), Graph(model)(pictures).numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match="squares of 8 pixels"):
        exported(model, "ncnn", tmp_path)


REFUSED = [
    (lambda: model_of(UNET), "onnx", "a.onnx", "3 steps of 'dpmpp'"),
    (lambda: model_of(UNET, task={"kind": "generation"}, residual=False, **ONE_STEP), "onnx", "a.onnx", "enlarge"),
    (lambda: model_of(UNET, sampling={"sampler": {"kind": "langevin"}, "steps": 1}), "onnx", "a.onnx", "langevin"),
    (
        lambda: model_of(UNET, sampling={"sampler": {"kind": "heun", "churn": 40.0}, "steps": 1}),
        "onnx",
        "a.onnx",
        "churn",
    ),
    (lambda: model_of(UNET, sampling={"sampler": {}, "steps": 1}), "onnx", "a.onnx", "no sampler 'None'"),
    (MODELS["plain"], "tflite", "a.tflite", "no format 'tflite'"),
    (MODELS["plain"], "openvino", "a.onnx", "must end in .xml"),
    (MODELS["plain"], "onnx", "there.onnx", "there already; --force"),
    (MODELS["plain"], "openvino", "there.xml", r"there\.bin is there already"),
]


@pytest.mark.parametrize(("make", "kind", "name", "why"), REFUSED, ids=[r[3] for r in REFUSED])
def test_what_cannot_be_exported_is_refused_in_a_sentence(make, kind, name, why, tmp_path):
    for there in ("there.onnx", "there.bin"):
        (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=why):
        export(make(), kind, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there.bin", "there.onnx"]
    assert (tmp_path / "there.onnx").read_text() == "mine"


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sr3.model.export.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"openvino needs the package onnx: pip install 'sr3\[export\]'"):
        export(MODELS["plain"](), "openvino", tmp_path / "a.xml")


def test_ncnn_refuses_a_layer_that_it_does_not_have(tmp_path):
    pytest.importorskip("pnnx")
    model = MODELS["plain"]()

    class Strange(nn.Module):
        def forward(self, x, noise, cond):
            return torch.special.expit(torch.fft.rfft(cond).imag.sum() + cond)

    model.net = Strange()
    with pytest.raises(ConfigError, match="tiny cannot be exported to ncnn"):
        export(model, "ncnn", tmp_path / "a.param")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
@pytest.mark.parametrize(
    ("code", "written", "layers", "says"),
    [
        (0, (".param", ".bin"), "Input", None),
        (3, (".param", ".bin"), "Input", "cannot be exported to ncnn: pnnx failed with exit code 3$"),
        (0, (".param",), "Input", "pnnx failed with exit code 0$"),
        (0, (".bin",), "Input", "pnnx failed with exit code 0$"),
        (0, (".param", ".bin"), "F.fold Input pnnx.Expression", "ncnn has no layer for F.fold, pnnx.Expression$"),
    ],
)
def test_what_pnnx_leaves_is_looked_at(tmp_path, monkeypatch, code, written, layers, says):
    """By a stand-in for it, which writes what it is told to."""
    text = "7767517\\n3 3\\n" + "".join(f"{layer} a 0 1 b\\n" for layer in layers.split())
    lines = ["#!/bin/sh", *(f"printf '{text}' > model.ncnn{suffix}" for suffix in written), f"exit {code}"]
    (program := tmp_path / "pnnx").write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    monkeypatch.setitem(sys.modules, "pnnx", SimpleNamespace(EXEC_PATH=str(program)))
    monkeypatch.setattr("sr3.model.export.find_spec", lambda name: True)
    (out := tmp_path / "out").mkdir()
    if says is None:
        found = export(MODELS["plain"](), "ncnn", out / "a.param")
        assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in found)
        assert {p.suffix for p in found} == {".param", ".bin", ".json"}
        return
    with pytest.raises(ConfigError, match=says):
        export(MODELS["plain"](), "ncnn", out / "a.param")
    assert not list(out.iterdir())


def the_documents_example_works(path):
    """With the file under the name that docs/exporting.md has for it, and a picture."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "exporting.md").read_text("utf-8")
    picture = noise_picture(9, 7)
    picture.save("photo.png")
    example = re.findall(r"```python\n(.+?)```", text, re.DOTALL)[0].replace("photo.jpg", "photo.png")
    exec(example.replace("photo-4x-regression.onnx", path), {})
    large = Restorer(MODELS["plain"](), precision="fp32")(picture, free=True)
    found = np.asarray(Image.open("large.png"), dtype=int)
    assert np.abs(found - np.asarray(large, dtype=int)).max() <= 1
    for name in ("photo.png", "large.png"):
        Path(name).unlink()


def test_the_command_line_exports_by_name_and_replaces_only_when_told(sr3, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    MODELS["plain"]().save_pretrained(tmp_path / "m")
    assert sr3("export", "m/model.safetensors") == (0, "tiny.onnx\n", "")
    before = (tmp_path / "tiny.onnx").read_bytes()
    the_documents_example_works("tiny.onnx")
    code, out, err = sr3("export", "m/model.safetensors", "-o", "tiny.onnx")
    assert (code, out) == (2, "")
    assert err == "sr3: tiny.onnx is there already; --force replaces it\n"
    (tmp_path / "tiny.onnx").write_text("old")
    assert sr3("export", "m", "--to", "onnx", "-o", "tiny.onnx", "--force")[0] == 0
    assert len((tmp_path / "tiny.onnx").read_bytes()) == len(before)
    if find_spec("pnnx"):
        names = ("tiny.ncnn.param", "tiny.ncnn.bin", "tiny.ncnn.json")
        assert sr3("export", "m", "--to", "ncnn") == (0, "".join(f"{name}\n" for name in names), "")
        for name in names:
            (tmp_path / name).unlink()
    assert sr3("export", "m", "--to", "core-ml")[2].startswith("sr3: there is no format 'core-ml'")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "tiny.onnx"]


@pytest.fixture
def loader():
    """examples/spandrel_loader.py."""
    path = Path(__file__).resolve().parents[2] / "examples" / "spandrel_loader.py"
    spec = spec_from_file_location("spandrel_loader", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["plain", "unet", "coarse", "whole", "edm", "one-step", "one-step-heun", "stirred"])
def test_the_example_loads_a_file_without_sr3(name, tmp_path, loader):
    assert "import sr3" not in Path(loader.__file__).read_text("utf-8")
    model = MODELS[name]()
    path = model.save_pretrained(tmp_path)
    network, picture = loader.OnePass(str(path)), picture_of(7, 10)
    graph = Graph(Model.from_pretrained(path))
    noise = torch.randn(1, 3, 28, 40, generator=torch.Generator().manual_seed(3))
    wanted = graph(picture, *([noise] if graph.noisy else []))
    torch.testing.assert_close(network(picture, seed=3), wanted, atol=1e-5, rtol=0)
    assert graph.noisy != torch.equal(network(picture), network(picture, seed=3))
    assert network.scale == 4
    assert not list(network.parameters())[0].requires_grad


@pytest.mark.parametrize("name", ["photo-4x-fast", "photo-4x-regression"])
def test_the_example_loads_what_is_shipped(name, loader):
    network, picture = loader.OnePass(str(shipped(name).file)), picture_of(16, 24)
    graph = Graph(Model.from_pretrained(name))
    noise = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    wanted = graph(picture, *([noise] if graph.noisy else []))
    torch.testing.assert_close(network(picture), wanted, atol=1e-4, rtol=0)


def test_the_example_refuses_what_it_cannot_load(tmp_path, loader):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    attending = model_of({**UNET, "attention": 2}, **REGRESSION)
    for path in (
        tmp_path / "other.safetensors",
        model_of(UNET).save_pretrained(tmp_path / "a"),
        MODELS["one-step-v"]().save_pretrained(tmp_path / "d"),
        MODELS["over"]().save_pretrained(tmp_path / "e"),
        MODELS["paper"]().save_pretrained(tmp_path / "b"),
        attending.save_pretrained(tmp_path / "c"),
    ):
        with pytest.raises(ValueError, match="holds no sr3 model of one pass"):
            loader.OnePass(str(path))
