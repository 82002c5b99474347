"""`sr3 demo`: see it work, without a picture of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.choosing import USUAL
from sr3.cli.common import Force, bars, load_restorer
from sr3.cli.helps import HOW, RESULT, grouped
from sr3.cli.jobs import check_free
from sr3.restore.usual import FAST

TASKS = {
    "upscale": ("super-resolution", FAST),
    "colorize": ("colorization", USUAL["colorization"]),
    "inpaint": ("inpainting", USUAL["inpainting"]),
    "uncrop": ("uncropping", USUAL["uncropping"]),
    "dejpeg": ("jpeg-restoration", USUAL["jpeg-restoration"]),
}
"""The kind of each command's task, and its usual model."""


EXAMPLES = """Examples:

\b
sr3 demo
sr3 demo --task dejpeg -o dejpeg.png"""


@grouped(
    {
        RESULT: "output",
        HOW: "task model seed",
    }
)
def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")] = Path("demo.png"),
    task: Annotated[str, typer.Option(help="upscale, colorize, inpaint, uncrop or dejpeg.")] = "upscale",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model's name, file or Hub id; default: the task's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
    force: Force = False,
) -> None:
    """Damage scikit-image's photographs, restore them, and write one labelled picture with the measures."""
    from sr3.evaluation import demo
    from sr3.evaluation.method import regression_beside
    from sr3.model.config import ConfigError, nearest
    from sr3.picture.image import WRITABLE, from_any, write
    from sr3.restore.restorer import needs_picture
    from sr3.restore.whole import set_task

    if task not in TASKS:
        raise ConfigError(f"there is no demo of {task!r}{nearest(task, list(TASKS))}")
    if output.suffix.lower() not in WRITABLE:
        raise ConfigError(f"cannot write {output}: its name must end in one of {', '.join(sorted(WRITABLE))}")
    check_free([(output, "-o")], force=force)
    kind, usual = TASKS[task]
    restorer = load_restorer(model or usual)
    set_task(restorer.model, kind, task)
    regression = regression_beside(restorer)
    if regression is not None:
        set_task(regression.model, kind, task)
    made: list[demo.Row] = []
    with bars() as shown:
        bar = shown.add_task("photographs", total=len(demo.PHOTOGRAPHS))
        for row in demo.rows(restorer, regression, seed=seed):
            made.append(row)
            shown.advance(bar)
    output.parent.mkdir(parents=True, exist_ok=True)
    done = needs_picture(restorer.model)
    write(output, from_any(demo.sheet(made, done.border, colours=done.colours)))
    titles = ["given", *(title for title, _ in made[0].pictures[1:-1])]
    typer.echo(f"{output} shows {', '.join(titles)} and original for {len(made)} pictures")
