"""`sr3 evaluate`: a model, a folder, and a table with its protocol."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import Force, bars, held_out, load_restorer, regression_for
from sr3.cli.helps import GIVEN, HOW, MACHINE, MEASURED, RESULT, grouped
from sr3.cli.jobs import check_free
from sr3.cli.pipes import PIPE, write_json

if TYPE_CHECKING:
    import numpy as np

    from sr3.evaluation.evaluate import Progress
    from sr3.evaluation.result import Result
    from sr3.picture.collection import Pictures
    from sr3.restore.restorer import Restorer

EXAMPLES = """Examples:

\b
sr3 evaluate --data held-out/ --model runs/mine/model.safetensors --report report.html --json a.json
sr3 evaluate --data originals/ --given small/    pairs that were made elsewhere"""

SAMPLES = 8
"""In the mean, unless told."""

ALWAYS = 8
"""So many of the first are always shown; the others where a method has them."""

SEEN, FEW = ("feature", "kernel"), 16
"""What is measured unasked where its network is installed, as SWD misleads; of so few pictures it would say little."""


@grouped(
    {
        GIVEN: "data given limit task labels",
        RESULT: "report keep json_file",
        HOW: "model regression samples seed steps sampler spacing quality free",
        MEASURED: "protocol measures border features classifier",
        MACHINE: "device precision batch",
    }
)
def command(
    data: Annotated[list[Path], typer.Option("--data", help="A folder or zip of originals; may be given again.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")] = "photo-4x",
    given: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The small pictures, of pairs you have.")] = None,
    regression: Annotated[str | None, typer.Option(help="The regression model to compare with.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure only the first so many pictures.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Samples in the mean, 8; 1: no mean.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Refinement steps.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …")] = None,
    spacing: Annotated[str | None, typer.Option(help="logsnr, karras, t.")] = None,
    quality: Annotated[str | None, typer.Option(help="fast, balanced or best, of a tuned model.")] = None,
    border: Annotated[
        int | None, typer.Option(min=0, help="Pixels left out at each edge; default: the factor.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="Do not hold results to the picture given.")] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Pictures of equal size at once; 16 up to 256 pixels a side, else 1.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="restoration; or of the paper: recognition (table 3), generation (tables 4 and 5).")
    ] = "restoration",
    measures: Annotated[
        str | None,
        typer.Option(
            help="Measures to add, with commas: feature, kernel, frechet, agreement, identity (the extra eye), grid; "
            "lpips, fid, kid, is (the extra metrics, weights are fetched at first use).  Default: feature,kernel of "
            "more than 16 pictures where the extra eye is installed."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="A network for Fréchet and kernel distances: efficientnet-lite0, or yours, my.module:name or "
            "file.py:name. It is run."
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="A classifier for accuracy: efficientnet-lite0, my.module:name or file.py:name. It is run."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A CSV file of name,class for --classifier.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A setting of the task, as quality=30 or measured=inpainting."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a page with table, plots and gallery.")] = None,
    keep: Annotated[int, typer.Option(min=0, help="Pictures in the report's gallery.")] = 24,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write protocol, rows and values as JSON; -: to standard output.")
    ] = None,
    force: Force = False,
) -> None:
    """Measure a model beside its task's baseline and its regression baseline, with 95 % intervals."""
    from sr3.cli import protocols

    _check(labels, classifier, report, json_file, [*data, Path(model)], force=force)
    asked: dict[str, Any] = {"steps": steps, "sampler": sampler, "spacing": spacing, "quality": quality}
    asked |= {"seed": seed, "data": ", ".join(p.name for p in data), "batch": batch, "border": border, "free": free}
    if protocol == "restoration":
        restorer = load_restorer(model, device=device, precision=precision)
        other = regression_for(restorer, regression, task or [])
        pictures = held_out(data, restorer.model, limit, border)
        asked |= {"regression": other, "samples": samples or SAMPLES}
        asked["measures"] = _measures(measures, 0 if features else len(pictures))
        asked["given"] = _pairs(given, pictures, restorer.model.task.factor)
        more = protocols.networks(features, classifier, labels, pictures, restorer.device)
        found = _restored(restorer, pictures, {**asked, **more, "keep": keep if report else 0})
    else:
        way: dict[str, Any] = {"device": device, "precision": precision}
        asked |= {"features": features, "classifier": classifier, "labels": labels, "regression": regression}
        asked |= {"task": task, "given": given, "samples": samples, "measures": measures and _measures(measures, 0)}
        pictures, running = protocols.running(protocol, model, data, limit, way, asked)
        found = _finished(running)
    typer.echo(table(found), err=json_file == PIPE)
    _write(found, json_file, report)
    if pictures.broken:
        raise typer.Exit(1)


def _measures(told: str | None, count: int) -> list[str]:
    """Those asked for by name; where nothing was said, what the eye's network sees of so many pictures."""
    from sr3.metric.lite import installed

    if told is None:
        return list(SEEN) if count > FEW and installed() else []
    return [name.strip() for name in told.lower().split(",") if name.strip()]


def _restored(restorer: "Restorer", pictures: "Pictures", asked: dict[str, Any]) -> "Result":
    from sr3.evaluation.evaluate import evaluate

    return _finished(evaluate(restorer, pictures, **asked))


def _pairs(folder: Path | None, originals: "Pictures", factor: int) -> "list[np.ndarray] | None":
    """The pictures given, in the order of the originals."""
    if folder is None:
        return None
    from sr3.picture.collection import load, paired

    found = load(folder, own=True)
    for name in found.broken:
        typer.echo(f"sr3: {name} is broken", err=True)
    return paired(originals, found, factor)


def _finished(running: "Iterator[Progress | Result]") -> "Result":
    """What an evaluation comes to, with a bar until then."""
    from sr3.evaluation.result import Result

    with bars() as shown:
        bar = shown.add_task("evaluating", total=None)
        for step in running:
            if isinstance(step, Result):
                return step
            shown.update(bar, completed=step.done, total=step.total)
    raise AssertionError("an evaluation ends with its result")


def _check(
    labels: Path | None,
    classifier: str | None,
    report: Path | None,
    json_file: Path | None,
    read: list[Path],
    *,
    force: bool,
) -> None:
    """ConfigError for what cannot be done, before any work.  read: what is, beside the labels."""
    from sr3.model.config import ConfigError

    if labels is not None and classifier is None:
        raise ConfigError("labels are for a classifier; give --classifier too")
    if report is not None and not report.parent.is_dir():
        raise ConfigError(f"there is no folder {report.parent} to write the report to")
    check_free([(json_file, "--json"), (report, "--report")], [*read, labels], force=force)


def _write(found: "Result", json_file: Path | None, report: Path | None) -> None:
    import json

    from sr3.evaluation.report import write_report

    if json_file is not None:
        write_json(json_file, json.dumps(found.as_dict(), indent=2, allow_nan=False) + "\n")
    if report is not None:
        write_report(report, found, command=shlex.join(["sr3", *sys.argv[1:]]))


def table(found: "Result") -> str:
    """Protocol, measures by method and notes as text; "24.41 ±0.12": half the width of the 95 % interval."""
    from sr3.metric.table import MEASURES

    lines = [*(f"{key}: {value}" for key, value in found.protocol.items() if key != "notes"), ""]
    shown = [
        (name, m)
        for i, (name, m) in enumerate(MEASURES.items())
        if (i < ALWAYS and "psnr" in found.rows[0]) or any(_known(row.get(name)) for row in found.rows)
    ]
    columns = [["", *(m.title for _, m in shown)]]
    columns += [[row["method"], *(_cell(row, name, m.form) for name, m in shown)] for row in found.rows]
    widths = [max(map(len, column)) for column in columns]
    for first, *cells in zip(*columns, strict=True):
        rest = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append(f"{first:{widths[0]}}{rest}")
    notes: list[str] = found.protocol.get("notes") or []
    return "\n".join([*lines, *([""] if notes else []), *(f"note: {note}" for note in notes)])


def _known(value: float | None) -> bool:
    return value is not None and value == value


def _cell(row: dict[str, Any], name: str, form: str) -> str:
    value = row.get(name)
    if value is None or value != value:
        return "-"
    ends = row.get("interval", {}).get(name)
    return format(value, form) + (f" ±{format((ends[1] - ends[0]) / 2, form)}" if ends else "")
