"""A self-contained page of an evaluation: protocol, table, plots and gallery; it needs no other file and no network."""

import base64
import json
import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from sr3.evaluation.report.gallery import cards, orders
from sr3.evaluation.report.plot import planes, plots
from sr3.evaluation.result import Result, Row
from sr3.files import write_text
from sr3.metric.table import measure, ordered, worth

BETTER = {
    "higher": ("↑", "higher is better"),
    "lower": ("↓", "lower is better"),
    "one": ("→1", "1 is best"),
    "neither": ("", ""),
}
"""A sign and the words for it."""


def write_report(path: Path, result: Result, *, command: str | None = None) -> None:
    """Write one HTML file that needs nothing else, whole or not at all.

    The pictures in it are those the result was told to keep, at full size where all of them together allow it, else
    the middle of each.  command: what was typed, where it is known.
    """
    write_text(path, page(result, command))


def page(result: Result, command: str | None = None) -> str:
    """The page as text.  Whatever is filled in is escaped by the template."""
    said = result.protocol
    figures = json.dumps(result.as_dict(), allow_nan=False).encode()
    return _template().render(
        title=f"{said.get('model') or 'sr3'} on {said.get('data') or 'pictures'}",
        summary=_summary(said),
        command=command,
        protocol={key: _text(value) for key, value in said.items() if key != "notes"},
        notes=said.get("notes") or [],
        table=_table(result.rows),
        plots=planes(result.rows) + plots(result.rows),
        levels=plots(result.rows, levels=True),
        orders=orders(result.shown),
        cards=cards(result),
        figures=base64.b64encode(figures).decode(),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("sr3.evaluation.report", "")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html")


def _summary(said: dict[str, Any]) -> str:
    """The protocol in a line."""
    pictures, factor = said.get("pictures"), said.get("factor", 1)
    many = f"{pictures} picture{'' if pictures == 1 else 's'}"
    table = f"table {said['table']}" if "table" in said else ""
    done = f"×{factor}" if factor != 1 else said.get("degradation", table)
    parts = [", ".join([many, *([done] if done else [])])]
    # what a protocol does not say, nobody made a choice of
    if "sampler" in said:
        parts.append(f"{_text(said['sampler'])}, {said.get('steps')} steps")
    if "border" in said:
        parts.append(f"border {said['border']}")
    if "projection" in said:
        parts.append("projection on" if said["projection"] else "projection off")
    parts += [f"{word} {said[key]}" for word, key in (("seed", "seed"), ("sr3", "version")) if key in said]
    return " · ".join(parts)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(_text(v) if k == "kind" else f"{k} {_text(v)}" for k, v in value.items())
    return str(value)


class Head(NamedTuple):
    """What stands over a column."""

    title: str
    sign: str
    words: str
    unit: str


class Cell(NamedTuple):
    """A value, exactly and as it is shown, and the ends of its interval."""

    value: str
    shown: str
    ends: str
    best: bool


class Table(NamedTuple):
    """Methods by measures; None where a method has no value."""

    heads: list[Head]
    lines: dict[str, list[Cell | None]]


def _table(rows: list[Row]) -> Table:
    """Methods by measures, each value with its interval under it, the best of each column marked."""
    known = {name for row in rows for name, value in row.items() if isinstance(value, float) and math.isfinite(value)}
    names = ordered(known)
    best = {name: _best(name, rows) for name in names}
    heads = [Head(one.title, *BETTER[one.better], one.unit) for one in map(measure, names)]
    return Table(
        heads, {row["method"]: [_cell(name, row, row["method"] == best[name]) for name in names] for row in rows}
    )


def _best(name: str, rows: list[Row]) -> str | None:
    """The method whose value is best; None where the measure does not say, or fewer than two have one."""
    found: list[tuple[float, str]] = []
    for row in rows:
        value = row.get(name)
        if value is not None and math.isfinite(value) and (good := worth(name, value)) is not None:
            found.append((good, row["method"]))
    return max(found)[1] if len(found) > 1 else None


def _cell(name: str, row: Row, best: bool) -> Cell | None:
    value, form = row.get(name), measure(name).form
    if value is None or not math.isfinite(value):
        return None
    ends = row.get("interval", {}).get(name)
    return Cell(
        repr(value), format(value, form), f"{format(ends[0], form)} – {format(ends[1], form)}" if ends else "", best
    )
