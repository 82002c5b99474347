"""`sr3 train` of a cascade: its stages one after the other, and the file that generates with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer


def train_stages(
    command: Callable[..., None], *, recipe: str, out: Path, begin: str | None, val: Any, labels: Any, **options: Any
) -> None:
    """Train each stage of a cascade into a folder of its own below `out` and write the cascade's file there.

    command: `sr3 train` itself, of one recipe; a stage that is done goes through at once.  Options as for it.
    """
    from sr3.files import write_text
    from sr3.model import cascade as cascades
    from sr3.model import recipe as recipes
    from sr3.model.config import ConfigError, build
    from sr3.task import TASKS, Restoration
    from sr3.training.state import seen

    if begin is not None:
        raise ConfigError("--begin is for one recipe; each stage of a cascade begins as its recipe says")
    cascade = cascades.load(recipe)
    stages: list[cascades.Stage] = []
    for number, stage in enumerate(cascade.stages):
        task = build("task", TASKS, recipes.load(stage.recipe).model.task)
        folder = f"{number + 1}-{Path(stage.recipe).stem}"
        typer.echo(f"{cascade.name}: stage {number + 1} of {len(cascade.stages)}, {stage.recipe}", err=True)
        command(
            stage.recipe,
            out=out / folder,
            begin=None,
            val=val if isinstance(task, Restoration) else None,
            labels=labels if getattr(task, "count", 0) else None,
            **options,
        )
        if options["dry_run"]:
            continue
        if seen(out / folder) < recipes.load(stage.recipe, options["settings"] or []).training.pictures:
            typer.echo(f"{stage.recipe} is not done; the same command goes on with it, and then with the next stage")
            return
        stages.append(stage.model_copy(update={"model": f"{folder}/model.safetensors"}))
    if not options["dry_run"]:
        made = out / f"{cascade.name}.toml"
        write_text(made, cascade.model_copy(update={"stages": stages}).text())
        typer.echo(f"{made} is ready: sr3 generate --cascade {made}")
