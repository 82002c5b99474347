"""The doors to other programs, with stand-ins for these; and what the documents say of the server."""

import asyncio
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import typer.main
from conftest import noise_picture, tiny_config

from sr3.cli import app
from sr3.model.model import Model
from sr3.picture.image import from_any
from sr3.restore.restorer import Restorer

ROOT = Path(__file__).resolve().parents[2]


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.parent.name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Anything:
    """Remembers what it was made of; any attribute is a maker of such."""

    def __init__(self, *given, **said):
        self.given, self.said = given, said

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


@pytest.fixture
def comfy(monkeypatch):
    """The node, in a ComfyUI of a few lines; and how far it says that it is."""
    told: list[tuple[float, float]] = []
    io = SimpleNamespace(ComfyNode=object, Schema=Anything, NodeOutput=Anything)
    for name in ("Image", "Combo", "Float", "Int", "String"):
        setattr(io, name, Anything())
    execution = SimpleNamespace(set_progress=lambda value, most: told.append((value, most)))
    latest = ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, object
    latest.ComfyAPISync = lambda: SimpleNamespace(execution=execution)
    management = ModuleType("comfy.model_management")
    management.get_torch_device = lambda: torch.device("cpu")
    management.throw_exception_if_processing_interrupted = lambda: None
    for name, module in (("comfy_api.latest", latest), ("comfy.model_management", management)):
        monkeypatch.setitem(sys.modules, name.split(".")[0], ModuleType(name.split(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)
    return loaded(ROOT / "examples" / "comfyui" / "__init__.py"), told


def test_the_node_for_comfyui_makes_what_the_library_makes(comfy, tiny, tmp_path):
    node, told = comfy
    path = tiny.save_pretrained(tmp_path)
    pictures = [noise_picture(12, 10, seed=k) for k in range(2)]
    image = torch.stack([(from_any(p).pixels.permute(1, 2, 0) + 1) / 2 for p in pictures])
    asked = {"model": "photo-4x", "scale": 2.0, "quality": node.USUAL, "seed": 5, "fidelity": 1.0}
    (made,) = node.Enlarge.execute(image, **asked, file=str(path)).given
    assert (made.shape, told[-1]) == ((2, 20, 24, 3), (6, 6))
    restorer = Restorer(Model.from_pretrained(path), device="cpu")
    for k, picture in enumerate(pictures):
        ours = restorer.restore(from_any(picture), scale=2, seed=5 + k, noise=None).variants[0].pixels
        torch.testing.assert_close(made[k].permute(2, 0, 1) * 2 - 1, ours, atol=1e-5, rtol=0)


def test_the_node_says_what_it_takes(comfy):
    node, _ = comfy
    (kind,) = asyncio.run(asyncio.run(node.comfy_entrypoint()).get_node_list())
    schema = kind.define_schema().said
    names = [one.given[0] for one in schema["inputs"]]
    assert names == ["image", "model", "scale", "quality", "seed", "fidelity", "file"]
    assert schema["inputs"][1].said["options"][0] == "photo-4x-fast"
    assert "face-16" not in schema["inputs"][1].said["options"]
    said = tomllib.loads((ROOT / "examples" / "comfyui" / "pyproject.toml").read_text("utf-8"))
    assert said["project"]["dependencies"] == ["sr3"]
    assert {"PublisherId", "DisplayName"} <= set(said["tool"]["comfy"])


def test_the_space_shows_each_step_and_gives_a_file(monkeypatch, tmp_path):
    class Error(Exception):
        pass

    class Context(Anything):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def click(self, *_):
            return None

    gradio = ModuleType("gradio")
    gradio.Error = Error
    for name in ("Blocks", "Row", "Column", "Markdown", "Image", "Slider", "Radio", "Number", "Button", "ImageSlider"):
        setattr(gradio, name, Context)
    gradio.Textbox = gradio.File = Context
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    space = loaded(ROOT / "examples" / "space" / "app.py")
    torch.manual_seed(0)
    tiny = Restorer(Model(tiny_config()), device="cpu")
    asked = []
    monkeypatch.setattr(space, "restorer", lambda name: (asked.append(name), tiny)[1])
    source = tmp_path / "a.png"
    noise_picture(12, 10).save(source)
    *steps, ((before, after), file, said) = space.enlarge(str(source), 2, "usual", 3)
    assert [text for _, _, text in steps] == [f"step {k} of 3" for k in (1, 2, 3)]
    assert (before.size, after.size, said) == ((24, 20), (24, 20), "done")
    assert torch.equal(from_any(file).pixels, from_any(tiny(source, scale=2, seed=3)).pixels)
    list(space.enlarge(str(source), 4, "usual", 3))
    with pytest.raises(Error):  # the tiny model has no such quality
        list(space.enlarge(str(source), 2, "best", 3))
    assert asked == ["photo-2x", "photo-4x-fast", "photo-4x"]
    (tmp_path / "text.png").write_text("no picture")
    for bad in (None, str(tmp_path / "text.png")):
        with pytest.raises(Error):
            list(space.enlarge(bad, 2, "usual", 0))
    monkeypatch.setattr(space, "MOST", 100)
    with pytest.raises(Error, match="too large"):
        list(space.enlarge(str(source), 2, "usual", 0))


def test_the_bounds_are_those_of_the_document_and_the_command():
    pytest.importorskip("starlette", reason="needs the extra 'web'")
    from sr3.web import guard
    from sr3.web.limits import Limits

    text = (ROOT / "docs" / "serving.md").read_text("utf-8")
    said = {name: float(value) for name, value in re.findall(r"^\| `--(\w+)` \| (\d+)", text, re.MULTILINE)}
    command = typer.main.get_command(app).commands["web"]
    assert said == {name: float(p.default) for p in command.params if (name := p.name) in said}
    limits = Limits()
    assert said == {
        "upload": limits.upload / 1e6,
        "pixels": limits.pixels / 1e6,
        "made": limits.made / 1e6,
        "queue": limits.queue,
        "seconds": limits.seconds,
        "disk": limits.disk / 1e9,
        "memory": limits.memory / 1e9,
        "hours": limits.hours,
    }
    assert f"stops for {guard.PATIENCE:g} seconds" in text
    assert f"less than {guard.SLOWEST / 1000:g} kB/s" in text


def test_the_container_runs_the_command_as_it_is():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    words = re.findall(r'"([^"]+)"', re.search(r"^CMD (.+)$", text, re.MULTILINE)[1])
    command = typer.main.get_command(app).commands[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert next(d for d in project["dependencies"] if d.startswith("torch")) in text
