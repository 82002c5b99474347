"""`sr3 evaluate`: a model, a folder, and a table with its protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.common import bars

if TYPE_CHECKING:
    from sr3.evaluate import Result

COLUMNS = (
    ("psnr", "PSNR", ".2f"),
    ("psnr_y", "Y-PSNR", ".2f"),
    ("ssim", "SSIM", ".4f"),
    ("ssim_y", "Y-SSIM", ".4f"),
    ("consistency", "cons.", ".3f"),
    ("consistency_free", "cons. free", ".2f"),
    ("swd", "SWD", ".2f"),
    ("tint", "tint", ".3f"),
    ("seconds", "s/picture", ".2f"),
)


def command(
    data: Annotated[list[Path], typer.Option("--data", help="A folder or zip of originals; may be given again.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")] = "photo-4x",
    regression: Annotated[str | None, typer.Option(help="The regression model to compare with.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure only the first so many pictures.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples in the mean; 1: no mean.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the first sample.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Refinement steps.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …")] = None,
    spacing: Annotated[str | None, typer.Option(help="logsnr, karras, t.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Do not hold results to the picture given.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write protocol and rows as JSON.")] = None,
) -> None:
    """Measure a model beside bicubic and its regression baseline."""
    import json

    from sr3.data import load
    from sr3.evaluate import Result, evaluate, regression_of
    from sr3.model import Model
    from sr3.restore import Restorer

    restorer = Restorer.load(model, device=device, precision=precision)
    baseline = Model.from_pretrained(regression) if regression else regression_of(restorer.model)
    other = Restorer(baseline, device=device, precision=precision) if baseline else None
    pictures = load(data, smallest=restorer.model.task.factor)
    for name in pictures.broken:
        typer.echo(f"sr3: {name} is broken and left out", err=True)
    if limit is not None:
        pictures.names, pictures.pixels = pictures.names[:limit], pictures.pixels[:limit]
    found: Result | None = None
    with bars() as shown:
        bar = shown.add_task("evaluating", total=None)
        for step in evaluate(
            restorer,
            pictures,
            regression=other,
            samples=samples,
            seed=seed,
            free=free,
            steps=steps,
            sampler=sampler,
            spacing=spacing,
            data=", ".join(p.name for p in data),
        ):
            if isinstance(step, Result):
                found = step
            else:
                shown.update(bar, completed=step.done, total=step.total)
    assert found is not None
    typer.echo(table(found))
    if json_file is not None:
        from sr3.files import write_text

        write_text(json_file, json.dumps(found.as_dict(), indent=2) + "\n")
    if pictures.broken:
        raise typer.Exit(1)


def table(found: "Result") -> str:
    """Protocol and rows as text."""
    lines = [f"{key}: {value}" for key, value in found.protocol.items()]
    lines += ["", f"{'method':14}" + "".join(f"{title:>12}" for _, title, _ in COLUMNS)]
    for row in found.rows:
        cells = [row.get(key) for key, _, _ in COLUMNS]
        shown = ["-" if c is None or c != c else format(c, f) for c, (_, _, f) in zip(cells, COLUMNS, strict=True)]
        lines.append(f"{row['method']:14}" + "".join(f"{cell:>12}" for cell in shown))
    return "\n".join(lines)
