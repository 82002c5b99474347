"""The report's plots, drawn as SVG in the page: a dot with its interval for each method, and planes of two measures."""

import html
import math
from typing import NamedTuple

from sr3.evaluation.result import Row
from sr3.metric.table import DISTRIBUTION, LEVEL, Better, Measure, measure, ordered

WIDTH, LINE, LEFT, RIGHT = 340, 26, 98, 14
"""Of a plot: how wide it is, the height of a method's line, and the margins."""

ARROWS: dict[Better, str] = {
    "higher": "higher is better →",
    "lower": "← lower is better",
    "one": "1 is best",
    "neither": "",
}


class Point(NamedTuple):
    """A method's value, and its interval where it has one.  colour: the method's number."""

    method: str
    colour: int
    value: float
    low: float
    high: float


class Axis(NamedTuple):
    """A straight scale from values to places on the page."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    @property
    def ticks(self) -> list[float]:
        """Two to six round values on the axis: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / 6
        ten = 10.0 ** math.floor(math.log10(rough))
        step = next(ten * times for times in (1, 2, 5, 10) if ten * times >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis(points: list[Point], begin: float, end: float) -> Axis:
    """A scale that holds all points and their intervals, with some room."""
    low, high = min(p.low for p in points), max(p.high for p in points)
    # all in one place, or nearly: there is nothing to tell apart, and rounding would make up differences
    room = max(0.06 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return Axis(low - room, high + room, begin, end)


def points(rows: list[Row], name: str) -> list[Point]:
    """The methods that have a value."""
    found: list[Point] = []
    for colour, row in enumerate(rows):
        value = row.get(name)
        if not isinstance(value, float) or not math.isfinite(value):
            continue
        low, high = row.get("interval", {}).get(name) or (value, value)
        found.append(Point(row["method"], colour, value, min(low, value), max(high, value)))
    return found


def plots(rows: list[Row], *, levels: bool = False) -> str:
    """A figure for each measure, or for each level of the sliced Wasserstein distance; empty where there is none."""
    names = {name for row in rows for name, value in row.items() if isinstance(value, float) and name != "seconds"}
    return "".join(_dots(name, points(rows, name)) for name in ordered(names) if name.startswith(LEVEL) == levels)


def planes(rows: list[Row]) -> str:
    """Each distance between distributions against PSNR: the plane of Blau & Michaeli (2018); from two methods on."""
    return "".join(_plane("psnr", name, rows) for name in DISTRIBUTION)


def _dots(name: str, found: list[Point]) -> str:
    if not found:
        return ""
    one = measure(name)
    height = 20 + LINE * len(found) + 22
    x = axis(found, LEFT, WIDTH - RIGHT)
    bottom = height - 20
    drawn = [_ticks_below(x, 8, bottom)]
    for i, p in enumerate(found):
        y = 8 + LINE * (i + 0.5)
        drawn.append(f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{html.escape(_short(p.method))}</text>")
        drawn.append(f"<g class='m{p.colour % 6}'>{_bar(x(p.low), y, x(p.high), y)}{_dot(x(p.value), y)}</g>")
    return _figure(one, ARROWS[one.better], height, drawn, found)


def _plane(across: str, up: str, rows: list[Row]) -> str:
    xs, ys = ({p.method: p for p in points(rows, name)} for name in (across, up))
    both = [method for method in xs if method in ys]
    if len(both) < 2:
        return ""
    height, top, left = 300, 12, 52
    x = axis([xs[m] for m in both], left, WIDTH - RIGHT)
    y = axis([ys[m] for m in both], height - 40, top)
    drawn = [_ticks_below(x, top, height - 40)]
    for tick in y.ticks:
        drawn.append(f"<path class='grid' d='M{left} {y(tick):.1f}H{WIDTH - RIGHT}'/>")
        drawn.append(f"<text class='tick' x='{left - 6}' y='{y(tick) + 4:.1f}' text-anchor='end'>{tick:.4g}</text>")
    heights: list[float] = []
    for method in sorted(both, key=lambda m: y(ys[m].value)):
        p, q = xs[method], ys[method]
        at_x, at_y = x(p.value), y(q.value)
        drawn.append(
            f"<g class='m{p.colour % 6}'>{_bar(x(p.low), at_y, x(p.high), at_y)}"
            f"{_bar(at_x, y(q.low), at_x, y(q.high))}{_dot(at_x, at_y)}</g>"
        )
        # names stand under one another where points are close
        label = max(at_y - 8, *(h + 13 for h in heights)) if heights else at_y - 8
        heights.append(label)
        right = at_x < WIDTH * 0.6
        drawn.append(
            f"<text class='name' x='{at_x + (9 if right else -9):.1f}' y='{label:.1f}' "
            f"text-anchor='{'start' if right else 'end'}'>{html.escape(_short(method))}</text>"
        )
    drawn.append(f"<text class='tick' x='{WIDTH - RIGHT}' y='{height - 6}' text-anchor='end'>PSNR, dB →</text>")
    title = f"{measure(up).title} (up) against PSNR"
    described = "; ".join(f"{m}: PSNR {xs[m].value:.2f}, {measure(up).title} {ys[m].value:.4g}" for m in both)
    return _wrap(title, "↘ is better", height, drawn, described, "plot plane")


def _figure(one: Measure, arrow: str, height: float, drawn: list[str], found: list[Point]) -> str:
    title = f"{one.title}{f', {one.unit}' if one.unit else ''}"
    described = "; ".join(
        f"{p.method} {format(p.value, one.form)}"
        + (f" ({format(p.low, one.form)} to {format(p.high, one.form)})" if p.low < p.high else "")
        for p in found
    )
    return _wrap(title, arrow, height, drawn, described)


def _wrap(title: str, arrow: str, height: float, drawn: list[str], described: str, kind: str = "plot") -> str:
    label = html.escape(f"{title}. {described}", quote=True)
    return (
        f"<figure class='{kind}'><figcaption>{html.escape(title)} <small>{html.escape(arrow)}</small></figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label=\"{label}\">{''.join(drawn)}</svg></figure>"
    )


def _ticks_below(x: Axis, top: float, bottom: float) -> str:
    return "".join(
        f"<path class='grid' d='M{x(tick):.1f} {top}V{bottom}'/>"
        f"<text class='tick' x='{x(tick):.1f}' y='{bottom + 14}' text-anchor='middle'>{tick:.4g}</text>"
        for tick in x.ticks
    )


def _bar(x: float, y: float, to_x: float, to_y: float) -> str:
    return f"<path class='bar' d='M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}'/>"


def _dot(x: float, y: float) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4.5'/>"


def _short(method: str) -> str:
    return method if len(method) <= 15 else f"{method[:14]}…"
