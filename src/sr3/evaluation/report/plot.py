"""The report's plots, drawn as SVG in the page: a dot with its interval for each method, and planes of two measures."""

import math
from typing import NamedTuple

from markupsafe import Markup

from sr3.evaluation.result import Row
from sr3.metric.table import DISTRIBUTION, LEVEL, Better, Measure, measure, ordered

WIDTH, LINE, LEFT, RIGHT = 340, 26, 112, 14
"""Of a plot: how wide it is, the height of a method's line, and the margins."""

NAME, TICK = 6.8, 6.2
"""Pixels that a letter of a method's name and of a tick's number takes, at most on the average."""

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
    places = {m: (x(xs[m].value), y(ys[m].value)) for m in both}
    taken = [Box(at_x - 5, at_y - 5, at_x + 5, at_y + 5) for at_x, at_y in places.values()]
    for method in sorted(both, key=lambda m: places[m][1]):
        p, q = xs[method], ys[method]
        at_x, at_y = places[method]
        bars = [_bar(x(p.low), at_y, x(p.high), at_y), _bar(at_x, y(q.low), at_x, y(q.high))]
        drawn.append(_group(p, [*bars, _dot(at_x, at_y)]))
        box = place(at_x, at_y, len(_short(method)) * NAME, Box(left, top, WIDTH, height - 40), taken)
        taken.append(box)
        drawn.append(_text(box.left, box.bottom - 3, "start", _short(method), "name"))
    drawn.append(_text(WIDTH - RIGHT, height - 6, "end", "PSNR, dB →", "tick"))
    title = f"{measure(up).title} (up) against PSNR"
    described = "; ".join(f"{m}: PSNR {xs[m].value:.2f}, {measure(up).title} {ys[m].value:.4g}" for m in both)
    return _wrap(title, "↘ is better", height, drawn, described, "plot plane")


class Box(NamedTuple):
    """A part of a plot."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def place(x: float, y: float, width: float, within: Box, taken: list[Box]) -> Box:
    """Where a point's name stands: beside it, else above or below, where nothing else does; last, under all."""
    high = 13.0
    for off in range(0, int(within.bottom - within.top), 4):
        for sign in (-1, 1):
            for begin in (x + 8, x - 8 - width, x - width / 2):
                top = y - high / 2 + sign * off
                box = Box(begin, top, begin + width, top + high)
                inside = within.left <= box.left and box.right <= within.right
                inside = inside and within.top <= box.top and box.bottom <= within.bottom
                if inside and not any(box.meets(other) for other in taken):
                    return box
    box = Box(within.left, within.bottom, within.left + width, within.bottom + high)
    while any(box.meets(other) for other in taken):
        box = box._replace(top=box.top + high, bottom=box.bottom + high)
    return box


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
    drawn: list[Markup] = []
    free = -math.inf
    for tick in x.ticks:
        said = f"{tick:.4g}"
        half = len(said) * TICK / 2
        drawn.append(grid.format(x(tick), top, bottom))
        if x(tick) - half >= free:  # a number that would run into the one before is left out
            drawn.append(_text(x(tick), bottom + 14, "middle", said, "tick"))
            free = x(tick) + half + 4
    return NOTHING.join(drawn)


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
