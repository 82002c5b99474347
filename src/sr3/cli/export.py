"""`sr3 export`: a model that needs one pass, for ONNX, OpenVINO or ncnn."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="A model's name, file or Hub id; it must need one pass only.")],
    to: Annotated[str, typer.Option("--to", help="onnx, openvino or ncnn.")] = "onnx",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write.  Default: the model's name, here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a model for another runtime: pictures in, larger pictures out, of any size."""
    from sr3.model.export import FORMATS, export
    from sr3.model.model import Model

    loaded = Model.from_pretrained(model)
    ending = FORMATS[to].mark + FORMATS[to].suffix if to in FORMATS else ""
    for path in export(loaded, to, output or Path(loaded.config.name + ending), force=force):
        typer.echo(path)
