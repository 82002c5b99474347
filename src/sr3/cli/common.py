"""What the commands share: errors as sentences, progress bars, sizes."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.helps import RESULT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image
    from rich.progress import Progress as Bars

    from sr3.model.model import Model
    from sr3.picture.collection import Pictures
    from sr3.restore.restorer import Restorer


Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.", rich_help_panel=RESULT)]


def load_restorer(name: str, **options: Any) -> "Restorer":
    """A restorer; ConfigError that says how to train what is not there yet."""
    from sr3.model import recipe
    from sr3.model.config import ConfigError
    from sr3.model.shipped import elsewhere, names
    from sr3.restore.restorer import Restorer

    if name not in names() and name in recipe.names() and elsewhere(name) is None:
        raise ConfigError(
            f"no model {name} comes with the package; train one with: sr3 train {name} --data pictures/ --out "
            f"runs/{name}, and give --model runs/{name}/model.safetensors"
        )
    return Restorer.load(name, **options)


def regression_for(restorer: "Restorer", name: str | None, task: "Sequence[str]") -> "Restorer | None":
    """The regression beside a restorer, both for the task as `--task` changes it; ConfigError for what it has not."""
    from sr3.evaluation.method import regression_beside
    from sr3.restore.restorer import needs_picture

    needs_picture(restorer.model)
    other = regression_beside(restorer, name)
    for one in (restorer, other):
        if one is not None:
            one.model.change_task(task)
    return other


def held_out(data: "list[Path]", model: "Model", limit: int | None, border: int | None = None) -> "Pictures":
    """The pictures to measure a model on, the first so many; what is left out is named on standard error.

    border: pixels at each edge that are not measured, by default the task's.
    """
    from sr3.evaluation.evaluate import smallest
    from sr3.restore.restorer import needs_picture

    task = needs_picture(model)
    return usable(data, smallest(task.factor, task.border if border is None else border), limit)


def usable(data: "list[Path]", smallest: int, limit: int | None, *, spread: bool = False) -> "Pictures":
    """The first so many pictures of at least so many pixels a side; what is left out is named on standard error.

    spread: evenly spaced ones instead of the first.
    """
    from sr3.picture.collection import OWN, listed, load

    pictures = load(data, smallest=smallest, most=limit, spread=spread)
    for name in pictures.broken:
        typer.echo(f"sr3: {name} is broken and left out", err=True)
    for name in pictures.small:
        typer.echo(f"sr3: {name} is left out, as it has a side below {smallest} pixels", err=True)
    if pictures.own:
        typer.echo(f"sr3: {listed(f'{OWN}, left out', pictures.own)}", err=True)
    return pictures


def bars() -> "Bars":
    """A progress display on standard error with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),  # a file may be called [bold]
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def write_gif(path: "Path", pictures: "Sequence[Image]", *, milliseconds: int) -> None:
    """Write pictures of one size as an animation without end, each for so long and the last for two seconds."""
    from sr3.files import replacing

    with replacing(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=list(pictures[1:]),
            loop=0,
            duration=[milliseconds] * (len(pictures) - 1) + [2000],
        )


def parse_size(text: str | None) -> tuple[int, int] | None:
    """'800x600' as (800, 600)."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text.lower())
    width, height = map(int, found.groups()) if found else (0, 0)
    if not (width and height):
        raise typer.BadParameter(f"{text!r} is not a size; write WIDTHxHEIGHT, as 1920x1080")
    return width, height


def parse_memory(text: str | None) -> int | None:
    """Bytes of '2GB', '1.5G', '800 MB'; None for none."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([kmgt])(i?)b?", text.strip().lower())
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** (1 + "kmgt".index(found[2]))) if found else 0
    if not size:
        raise typer.BadParameter(f"{text!r} is no amount of memory; write it as 2GB, or 800MB")
    return size


def a_third() -> int | None:
    """Of the memory that is free, in bytes; None where the system does not say."""
    from sr3.picture.memory import available

    free = available()
    return None if free is None else free // 3


Box = tuple[int | None, int | None]
"""Width and height wanted, of which one may be left open."""


def parse_box(text: str | None) -> Box | None:
    """'800x600' as (800, 600), '800x' as (800, None), 'x600' as (None, 600)."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{0,7})x([0-9]{0,7})", text.lower())
    sides = [int(side) if side else None for side in found.groups()] if found else []
    if not any(sides) or 0 in sides:
        raise typer.BadParameter(f"{text!r} is not a size; write WIDTHxHEIGHT, as 1920x1080, or 1920x, or x1080")
    return sides[0], sides[1]
