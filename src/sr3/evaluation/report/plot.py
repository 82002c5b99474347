"""The report's plots, drawn as SVG in the page: a dot with its interval for each method, and planes of two measures."""

import math
from typing import NamedTuple

from markupsafe import Markup

from sr3.evaluation.result import Row
from sr3.metric.table import DISTRIBUTION, LEVEL, Better, Measure, measure, ordered

WIDTH, LINE, LEFT, RIGHT = 340, 26, 98, 14
"""Of a plot: how wide it is, the height of a method's line, and the margins."""

NOTHING = Markup("")

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


def plots(rows: list[Row], *, levels: bool = False) -> Markup:
    """A figure for each measure, or for each level of the sliced Wasserstein distance; empty where there is none."""
    names = {name for row in rows for name, value in row.items() if isinstance(value, float) and name != "seconds"}
    return NOTHING.join(_dots(name, points(rows, name)) for name in ordered(names) if name.startswith(LEVEL) == levels)


def planes(rows: list[Row]) -> Markup:
    """Each distance between distributions against PSNR: the plane of Blau & Michaeli (2018); from two methods on."""
    return NOTHING.join(_plane("psnr", name, rows) for name in DISTRIBUTION)


def _dots(name: str, found: list[Point]) -> Markup:
    if not found:
        return NOTHING
    one = measure(name)
    height = 20 + LINE * len(found) + 22
    x = axis(found, LEFT, WIDTH - RIGHT)
    bottom = height - 20
    drawn = [_ticks_below(x, 8, bottom)]
    for i, p in enumerate(found):
        y = 8 + LINE * (i + 0.5)
        drawn.append(_text(LEFT - 8, y + 4, "end", _short(p.method)))
        drawn.append(_group(p, [_bar(x(p.low), y, x(p.high), y), _dot(x(p.value), y)]))
    return _figure(one, ARROWS[one.better], height, drawn, found)


def _plane(across: str, up: str, rows: list[Row]) -> Markup:
    xs, ys = ({p.method: p for p in points(rows, name)} for name in (across, up))
    both = [method for method in xs if method in ys]
    if len(both) < 2:
        return NOTHING
    height, top, left = 300, 12, 52
    x = axis([xs[m] for m in both], left, WIDTH - RIGHT)
    y = axis([ys[m] for m in both], height - 40, top)
    drawn = [_ticks_below(x, top, height - 40)]
    for tick in y.ticks:
        drawn.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(left, y(tick), WIDTH - RIGHT))
        drawn.append(_text(left - 6, y(tick) + 4, "end", f"{tick:.4g}", "tick"))
    heights: list[float] = []
    for method in sorted(both, key=lambda m: y(ys[m].value)):
        p, q = xs[method], ys[method]
        at_x, at_y = x(p.value), y(q.value)
        bars = [_bar(x(p.low), at_y, x(p.high), at_y), _bar(at_x, y(q.low), at_x, y(q.high))]
        drawn.append(_group(p, [*bars, _dot(at_x, at_y)]))
        # names stand under one another where points are close
        label = max(at_y - 8, *(h + 13 for h in heights)) if heights else at_y - 8
        heights.append(label)
        right = at_x < WIDTH * 0.6
        beside, anchor = (at_x + 9, "start") if right else (at_x - 9, "end")
        drawn.append(_text(beside, label, anchor, _short(method), "name"))
    drawn.append(_text(WIDTH - RIGHT, height - 6, "end", "PSNR, dB →", "tick"))
    title = f"{measure(up).title} (up) against PSNR"
    described = "; ".join(f"{m}: PSNR {xs[m].value:.2f}, {measure(up).title} {ys[m].value:.4g}" for m in both)
    return _wrap(title, "↘ is better", height, drawn, described, "plot plane")


def _figure(one: Measure, arrow: str, height: float, drawn: list[Markup], found: list[Point]) -> Markup:
    title = f"{one.title}{f', {one.unit}' if one.unit else ''}"
    described = "; ".join(
        f"{p.method} {format(p.value, one.form)}"
        + (f" ({format(p.low, one.form)} to {format(p.high, one.form)})" if p.low < p.high else "")
        for p in found
    )
    return _wrap(title, arrow, height, drawn, described)


def _wrap(title: str, arrow: str, height: float, drawn: list[Markup], described: str, kind: str = "plot") -> Markup:
    return Markup(
        '<figure class="{kind}"><figcaption>{title} <small>{arrow}</small></figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}. {described}">{drawn}</svg></figure>'
    ).format(
        kind=kind, title=title, arrow=arrow, width=WIDTH, height=height, described=described, drawn=NOTHING.join(drawn)
    )


def _ticks_below(x: Axis, top: float, bottom: float) -> Markup:
    grid = Markup('<path class="grid" d="M{:.1f} {}V{}"/>')
    return NOTHING.join(
        grid.format(x(tick), top, bottom) + _text(x(tick), bottom + 14, "middle", f"{tick:.4g}", "tick")
        for tick in x.ticks
    )


def _text(x: float, y: float, anchor: str, words: str, kind: str = "") -> Markup:
    style = Markup(' class="{}"').format(kind) if kind else NOTHING
    return Markup('<text{} x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(style, x, y, anchor, words)


def _group(point: Point, drawn: list[Markup]) -> Markup:
    return Markup('<g class="m{}">{}</g>').format(point.colour % 6, NOTHING.join(drawn))


def _bar(x: float, y: float, to_x: float, to_y: float) -> Markup:
    return Markup('<path class="bar" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(x, y, to_x, to_y)


def _dot(x: float, y: float) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(x, y)


def _short(method: str) -> str:
    return method if len(method) <= 15 else f"{method[:14]}…"
