"""`sr3 train`: a recipe and a folder in, a model out."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.common import bars

if TYPE_CHECKING:
    from sr3.model.config import Recipe
    from sr3.training.data import Crops


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a .toml file.")],
    data: Annotated[list[Path], typer.Option("--data", help="A folder or zip of pictures; may be given again.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the run; an earlier run in it goes on.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: training.batch=8.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, estimate memory and time, stop.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu to keep off the accelerator.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop and save after so long; the same command goes on.")
    ] = None,
) -> None:
    """Train a model on your own pictures.  Stop at any moment; the same command goes on where it stopped."""
    from sr3.model import recipe as recipes
    from sr3.model.config import ConfigError
    from sr3.picture.collection import load
    from sr3.training.data import Crops
    from sr3.training.train import check_crop, make_accelerator

    if minutes is not None and not minutes > 0:
        raise ConfigError(f"--minutes must be more than 0, not {minutes:g}")
    chosen = recipes.load(recipe, settings or [])
    t = chosen.training
    check_crop(chosen)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out needs a folder")
    pictures = load(data, smallest=math.ceil(t.crop * min(t.zoom[0], 1)))
    typer.echo(pictures.summary(), err=True)
    if dry_run:
        from sr3.training.estimate import estimate

        typer.echo(estimate(chosen).text())
        return
    accelerator = make_accelerator(device)
    crops = Crops(
        pictures, t.crop, seed=t.seed, turn=t.turn, zoom=t.zoom, resample=t.resample, device=accelerator.device
    )
    _loop(chosen, crops, out, device, minutes, [str(p.name) for p in data], len(pictures))


def _loop(
    recipe: "Recipe", crops: "Crops", out: Path, device: str | None, minutes: float | None, data: list[str], count: int
) -> None:
    import time

    from sr3.training.board import Board
    from sr3.training.train import make_accelerator, train

    began = time.monotonic()
    accelerator = make_accelerator(device)
    about = {"data": data, "data_pictures": count}
    out.mkdir(parents=True, exist_ok=True)
    board = Board(out, crops, recipe) if accelerator.is_main_process else None
    running = train(recipe, crops, out, accelerator=accelerator, about=about)
    skipped = 0
    try:
        with bars() as shown:
            bar = shown.add_task("pictures seen", total=recipe.training.pictures)
            for run, report in running:
                shown.update(bar, completed=report.seen)
                line = (
                    f"{report.seen} seen  loss {report.loss:.5f}  rate {report.rate:.2e}  "
                    f"{report.speed:.1f}/s  waiting {report.waiting:.1%}  gradient {report.gradient:.2f}"
                )
                if accelerator.is_main_process:
                    shown.console.print(line, highlight=False)
                if report.skipped > skipped:
                    shown.console.print(f"{report.skipped} batches skipped: their loss was not finite")
                    skipped = report.skipped
                if board is not None:
                    board.add(run, report)
                if minutes is not None and time.monotonic() - began > 60 * minutes:
                    break
    finally:
        try:
            running.close()
        finally:
            if board is not None:
                board.close()
    if accelerator.is_main_process:
        made = out / "model.safetensors"
        use = "generate" if recipe.model.task.get("kind") == "generation" else "upscale photo.jpg"
        typer.echo(f"{made} is ready: sr3 {use} --model {made}")
