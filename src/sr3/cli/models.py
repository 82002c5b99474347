"""`sr3 models` and `sr3 show`: what can be used, and what one model is."""

import json
from typing import Annotated

import typer


def list_command() -> None:
    """List the models that come with this package and with others."""
    from sr3.model.checkpoint import CheckpointError
    from sr3.model.config import ConfigError
    from sr3.model.model import Model
    from sr3.model.shipped import found, names

    for sentence in found().broken:
        typer.echo(f"sr3: {sentence}", err=True)
    for name in names():
        try:
            about = Model.from_pretrained(name, weights=False).about
        except (CheckpointError, ConfigError) as error:
            typer.echo(f"sr3: {error}", err=True)
            continue
        typer.echo(f"{name:24} {about.get('what', '')}")
        if terms := about.get("terms"):
            typer.echo(f"{'':24} {terms}")


def recipes_command() -> None:
    """List the recipes and cascades that come with the package: what sr3 train can make, and for what."""
    import re
    from importlib.resources import files
    from itertools import takewhile
    from textwrap import shorten

    # without reading them as recipes, so that the list comes at once
    for folder in ("recipes", "cascades"):
        if folder == "cascades":
            typer.echo("\nCascades, whose models are trained one after the other:")
        for file in sorted((files("sr3.model") / folder).iterdir(), key=lambda f: f.name):
            if not file.name.endswith(".toml"):
                continue
            said = takewhile(lambda line: line.startswith("#"), file.read_text("utf-8").splitlines())
            first = re.split(r"(?<!al)[.:;] ", " ".join(line.removeprefix("# ") for line in said) + " ")[0]
            typer.echo(f"{file.name.removesuffix('.toml'):28} {shorten(first, 90, placeholder=' …')}")


def show_command(model: Annotated[str, typer.Argument(help="A model's name, file or Hub id.")]) -> None:
    """Say everything that a model's file says of itself."""
    from sr3.model.model import Model

    loaded = Model.from_pretrained(model)
    count = sum(p.numel() for p in loaded.net.parameters())
    more = ""
    if loaded.first is not None:
        extra = sum(p.numel() for p in loaded.first.net.parameters())
        more = f", and {extra / 1e6:.2f} million of {loaded.first.config.name} for its first guess"
    typer.echo(f"{loaded.config.name}: {loaded.config.kind}, {count / 1e6:.2f} million parameters{more}")
    typer.echo(json.dumps(loaded.config.model_dump(mode="json"), indent=2))
    typer.echo(json.dumps(loaded.about, indent=2))
