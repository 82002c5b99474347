"""A self-contained page of an evaluation: protocol, table, plots and gallery; it needs no other file and no network."""

import base64
import html
import json
import math
import re
from pathlib import Path
from typing import Any

from sr3.evaluation.report.gallery import gallery
from sr3.evaluation.report.plot import planes, plots
from sr3.evaluation.result import Result, Row
from sr3.files import write_text
from sr3.metric.table import Measure, measure, ordered, worth

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
    """The page as text."""
    said = result.protocol
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    figures = json.dumps(result.as_dict(), allow_nan=False).encode()
    level_plots = plots(result.rows, levels=True)
    parts = {
        "title": html.escape(f"{said.get('model') or 'sr3'} on {said.get('data') or 'pictures'}"),
        "summary": html.escape(_summary(said)),
        "command": f"<pre class='command'><code>{html.escape(command)}</code></pre>" if command else "",
        "protocol": "".join(
            f"<tr><th scope='row'>{html.escape(key)}</th><td>{html.escape(_text(value))}</td></tr>"
            for key, value in said.items()
            if key != "notes"
        ),
        "notes": "".join(f"<p class='note'>{html.escape(note)}</p>" for note in said.get("notes") or []),
        "table": _table(result.rows),
        "plots": planes(result.rows) + plots(result.rows),
        "levels": f"<details><summary>SWD by level</summary><div class='plots'>{level_plots}</div></details>"
        if level_plots
        else "",
        "gallery": gallery(result),
        "figures": base64.b64encode(figures).decode(),
    }
    # in one pass: what is filled in may itself hold such braces
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _summary(said: dict[str, Any]) -> str:
    """The protocol in a line."""
    pictures, factor = said.get("pictures"), said.get("factor")
    parts = [
        f"{pictures} picture{'' if pictures == 1 else 's'}, ×{factor}",
        f"{_text(said.get('sampler'))}, {said.get('steps')} steps",
        f"border {said.get('border')}",
        "projection on" if said.get("projection") else "projection off",
        f"seed {said.get('seed')}",
        f"sr3 {said.get('version')}",
    ]
    return " · ".join(parts)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(_text(v) if k == "kind" else f"{k} {_text(v)}" for k, v in value.items())
    return str(value)


def _table(rows: list[Row]) -> str:
    """Methods by measures, each value with its interval under it, the best of each column marked."""
    known = {name for row in rows for name, value in row.items() if isinstance(value, float) and math.isfinite(value)}
    names = ordered(known)
    best = {name: _best(name, rows) for name in names}
    head = "".join(f"<th scope='col'>{_head(measure(name))}</th>" for name in names)
    lines = [
        f"<tr><th scope='row'>{html.escape(row['method'])}</th>"
        + "".join(_cell(name, row, row["method"] == best[name]) for name in names)
        + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _head(one: Measure) -> str:
    sign, words = BETTER[one.better]
    arrow = f" <abbr title='{words}'>{sign}</abbr>" if sign else ""
    unit = f"<small>{html.escape(one.unit)}</small>" if one.unit else ""
    return f"{html.escape(one.title)}{arrow}{unit}"


def _best(name: str, rows: list[Row]) -> str | None:
    """The method whose value is best; None where the measure does not say, or fewer than two have one."""
    found: list[tuple[float, str]] = []
    for row in rows:
        value = row.get(name)
        if value is not None and math.isfinite(value) and (good := worth(name, value)) is not None:
            found.append((good, row["method"]))
    return max(found)[1] if len(found) > 1 else None


def _cell(name: str, row: Row, best: bool) -> str:
    value, form = row.get(name), measure(name).form
    if value is None or not math.isfinite(value):
        return "<td class='none'>–</td>"
    ends = row.get("interval", {}).get(name)
    low_high = f"<small>{format(ends[0], form)} – {format(ends[1], form)}</small>" if ends else ""
    shown = f"<data value='{value!r}'>{format(value, form)}</data>"
    return f"<td>{f'<b>{shown}</b>' if best else shown}{low_high}</td>"
