"""Models for other runtimes: ONNX, OpenVINO and ncnn, from the one graph of `export_graph`."""

import json
import logging
import subprocess
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3 import __version__
from sr3.files import replacing, temporary_folder, write_text
from sr3.model.config import ConfigError, nearest
from sr3.model.export_graph import Graph
from sr3.model.model import Model

INPUTS, RESULT = ("picture", "noise"), "result"
"""What the graph's ends are called; ncnn's own are in0, in1 and out0."""


class Format(NamedTuple):
    """A runtime's files."""

    suffix: str
    """Of the file that is named."""
    beside: tuple[str, ...]
    """Suffixes of those that come with it."""
    needs: tuple[str, ...]
    """Packages, all in the extra `export`."""
    write: Callable[[Graph, Path, dict[str, str]], None]
    """(graph, path without a suffix, metadata): writes the files."""
    mark: str = ""
    """What a name that nobody chose has before the suffix, as two formats' weights end in .bin."""


def conventions(model: Model, graph: Graph) -> dict[str, str]:
    """What the exported file says of itself."""
    large = f"h * {graph.factor}, w * {graph.factor}"
    said = {
        "name": model.config.name,
        "software": f"sr3 {__version__}",
        "license": str(model.about.get("license") or model.about.get("terms") or "none was recorded"),
        "factor": str(graph.factor),
        "input": "picture: float32 [n, 3, h, w], RGB, 0 to 1, as a file holds it divided by 255; any h and w",
        "output": f"result: float32 [n, 3, {large}], RGB, 0 to 1; not projected onto the picture given",
    }
    if graph.noisy:
        said["noise"] = f"noise: float32 [n, 3, {large}], standard normal; another noise, another result"
    return said


def export(model: Model, kind: str, path: Path, *, force: bool = False) -> list[Path]:
    """Write a model of one pass for another runtime, and return the files written: the one named, then others.

    kind: a name of `FORMATS`.  path: ends in that format's suffix.  force: replace what is there.
    ConfigError for a model of several steps, an unknown kind, a wrong suffix, files that are there already, and where
    the extra `export` is missing.
    """
    if kind not in FORMATS:
        raise ConfigError(f"there is no format {kind!r}{nearest(kind, list(FORMATS))}")
    form = FORMATS[kind]
    if path.suffix != form.suffix:
        raise ConfigError(f"{path} must end in {form.suffix}, as files of {kind} do")
    paths = [path, *(path.with_suffix(suffix) for suffix in form.beside)]
    if not force and (there := [p for p in paths if p.exists()]):
        raise ConfigError(f"{there[0]} is there already; --force replaces it")
    graph = Graph(model)
    if missing := [name for name in form.needs if find_spec(name) is None]:
        raise ConfigError(f"{kind} needs the package {missing[0]}: pip install 'sr3[export]'")
    path.parent.mkdir(parents=True, exist_ok=True)
    # all are made before the first is put in its place
    with temporary_folder(path.parent) as folder:
        stem = folder / "model"
        form.write(graph, stem, conventions(model, graph))
        for target in reversed(paths):  # that which is named comes last: where it is, the others are
            with replacing(target) as temporary:
                stem.with_suffix(target.suffix).replace(temporary)
    return paths


def _examples(graph: Graph, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Arguments of the graph, with sides that leave nothing to pad."""
    large = torch.zeros(batch, 3, height * graph.factor, width * graph.factor)
    return torch.zeros(batch, 3, height, width), *([large] if graph.noisy else [])


def _onnx(graph: Graph, stem: Path, said: dict[str, str]) -> None:
    sides = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    large = {0: sides[0], 2: graph.factor * sides[2], 3: graph.factor * sides[3]}
    with _quiet():
        program = torch.onnx.export(
            graph,
            _examples(graph, 2, 12, 20),
            input_names=INPUTS[: 1 + graph.noisy],
            output_names=[RESULT],
            dynamic_shapes=(sides, large)[: 1 + graph.noisy],
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    made = program.model_proto
    made.producer_name, made.producer_version = "sr3", __version__
    del made.metadata_props[:]
    for key, value in said.items():
        made.metadata_props.add(key=key, value=value)
    stem.with_suffix(".onnx").write_bytes(made.SerializeToString())


def _openvino(graph: Graph, stem: Path, said: dict[str, str]) -> None:
    openvino: Any = import_module("openvino")
    _onnx(graph, stem, said)
    # reads what convert_model reads, and sends nobody word of it
    made = openvino.Core().read_model(stem.with_suffix(".onnx"))
    for key, value in said.items():
        made.set_rt_info(value, ["sr3", key])
    openvino.save_model(made, stem.with_suffix(".xml"), compress_to_fp16=False)


def _ncnn(graph: Graph, stem: Path, said: dict[str, str]) -> None:
    pnnx: Any = import_module("pnnx")
    cannot = f"{said['name']} cannot be exported to ncnn"
    if graph.pads:
        raise ConfigError(
            f"{cannot}: its network works on squares of {max(graph.strides)} pixels, of which {graph.factor} times a "
            "side need not be a multiple, and ncnn cannot pad to a size that it learns when it runs"
        )
    small, other = _examples(graph, 1, 12, 20), _examples(graph, 1, 16, 12)
    with _quiet():
        torch.jit.save(torch.jit.trace(graph, small), stem.with_suffix(".pt"))
    shapes = [
        f"{name}=" + ",".join(str(list(x.shape)).replace(" ", "") for x in these)
        for name, these in (("inputshape", small), ("inputshape2", other))
    ]
    command = [pnnx.EXEC_PATH, f"{stem.name}.pt", *shapes, "fp16=0"]
    done = subprocess.run(command, cwd=stem.parent, capture_output=True, text=True, errors="replace")
    param, weights = (stem.with_name(f"{stem.name}.ncnn{suffix}") for suffix in (".param", ".bin"))
    if done.returncode or not (param.exists() and weights.exists()):
        raise ConfigError(f"{cannot}: pnnx failed with exit code {done.returncode}")
    layers = [line.split()[0] for line in param.read_text("utf-8").splitlines()[2:]]
    # what pnnx knows and ncnn does not it writes as it is, and says nothing
    if strange := sorted({layer for layer in layers if not layer.isalnum()}):
        raise ConfigError(f"{cannot}: ncnn has no layer for {', '.join(strange)}")
    param.rename(stem.with_suffix(".param"))
    weights.rename(stem.with_suffix(".bin"))
    ends = "in0 is the picture, in1 the noise where there is one, out0 the result, all without the n"
    write_text(stem.with_suffix(".json"), json.dumps(said | {"ends": ends}, indent=2) + "\n")


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Without the warnings and the log of PyTorch's exporters, which are for their developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


FORMATS = {
    "onnx": Format(".onnx", (), ("onnx", "onnxscript"), _onnx),
    "openvino": Format(".xml", (".bin",), ("onnx", "onnxscript", "openvino"), _openvino),
    "ncnn": Format(".param", (".bin", ".json"), ("pnnx",), _ncnn, ".ncnn"),
}
