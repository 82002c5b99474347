"""`sr3 demo`: see it work, without a picture of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.common import bars


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")] = Path("demo.png"),
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")] = "photo-4x",
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
) -> None:
    """Shrink scikit-image's photographs, restore them, and write one labelled picture with the measures."""
    from sr3.evaluation import demo
    from sr3.evaluation.method import regression_beside
    from sr3.model.config import ConfigError
    from sr3.picture.image import WRITABLE, from_any, write
    from sr3.restore.restorer import Restorer, needs_picture

    if output.suffix.lower() not in WRITABLE:
        raise ConfigError(f"cannot write {output}: its name must end in one of {', '.join(sorted(WRITABLE))}")
    restorer = Restorer.load(model)
    regression = regression_beside(restorer)
    if regression is None:
        raise ConfigError(f"the demo compares with a regression model, and none is known for {model}")
    made: list[demo.Row] = []
    with bars() as shown:
        bar = shown.add_task("photographs", total=len(demo.PHOTOGRAPHS))
        for row in demo.rows(restorer, regression, seed=seed):
            made.append(row)
            shown.advance(bar)
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, from_any(demo.sheet(made, needs_picture(restorer.model).border)))
    titles = ["given", *(title for title, _ in made[0].pictures[1:-1])]
    typer.echo(f"{output} shows {', '.join(titles)} and original for {len(made)} photographs")
