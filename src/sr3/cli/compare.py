"""`sr3 compare`: which of two evaluations is better, picture by picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import Force
from sr3.cli.helps import MEASURED, RESULT, grouped
from sr3.cli.jobs import check_free
from sr3.cli.pipes import PIPE, write_json

if TYPE_CHECKING:
    from sr3.evaluation.compare import Comparison


EXAMPLES = "Example: sr3 compare a.json b.json"


@grouped(
    {
        RESULT: "json_file",
        MEASURED: "method seed",
    }
)
def command(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="What `sr3 evaluate --json` wrote.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The same, of another run on the same pictures.")],
    method: Annotated[
        str | None,
        typer.Option(
            help="The method of both, or A's and B's with a comma: sr3,regression. By default each run's own."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals and of p.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the comparison as JSON; -: to standard output.")
    ] = None,
    force: Force = False,
) -> None:
    """Say which of two evaluations is better, with 95 % intervals of the differences on the same pictures."""
    import json

    from sr3.evaluation.compare import compare
    from sr3.evaluation.run import read_run

    check_free([(json_file, "--json")], [a, b], force=force)
    found = compare(read_run(a), read_run(b), method=method, seed=seed)
    aside = json_file == PIPE
    typer.echo(f"A: {a}, {found.methods[0]}\nB: {b}, {found.methods[1]}", err=aside)
    typer.echo(table(found), err=aside)
    if json_file is not None:
        said = {"a": str(a), "b": str(b), "seed": seed, **found.as_dict()}
        write_json(json_file, json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def table(found: "Comparison") -> str:
    """The comparison as text: settings that differ, measures in pairs, measures of the whole set, notes."""
    from sr3.metric.table import measure

    lines = [f"{key}: {_said(x)} -> {_said(y)}" for key, (x, y) in found.settings.items()]
    lines.append(f"pictures in both: {found.pictures}")
    cells = [["", "A", "B", "B - A", "95 %", "p", ""]]
    for one in found.paired:
        form = measure(one.measure).form
        ends = "-" if one.low is None or one.high is None else f"{one.low:+.3g} … {one.high:+.3g}"
        p = "-" if one.p is None else f"{one.p:.4f}"
        short = f" ({one.pictures} pictures)" if one.pictures < found.pictures else ""
        values = [format(one.a, form), format(one.b, form), f"{one.difference:+.3g}"]
        cells.append([measure(one.measure).title, *values, ends, p, one.says + short])
    lines += ["", *_columns(cells)]
    if found.whole:
        cells = [["of the whole set", "A", "95 %", "B", "95 %", ""]]
        for one in found.whole:
            form = measure(one.measure).form
            sides = ((one.a, one.a_interval), (one.b, one.b_interval))
            shown = [c for value, ends in sides for c in (format(value, form), _ends(ends, form))]
            cells.append([measure(one.measure).title, *shown, one.says])
        lines += ["", *_columns(cells)]
    return "\n".join([*lines, *([""] if found.notes else []), *(f"note: {note}" for note in found.notes)])


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(str(inner) if key == "kind" else f"{key} {inner}" for key, inner in value.items())
    return "-" if value is None else str(value)


def _ends(ends: tuple[float, float] | None, form: str) -> str:
    return "-" if ends is None else f"{format(ends[0], form)} … {format(ends[1], form)}"


def _columns(cells: list[list[str]]) -> list[str]:
    """Rows of cells as lines: the first and the last column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for first, *middle, last in cells:
        right = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([f"{first:{widths[0]}}", *right, last]).rstrip())
    return lines
