"""What the report's gallery shows: every picture by every method, with its values, in an order the reader chooses."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from sr3.evaluation.result import Result, Shown
from sr3.metric.table import measure, ordered

SIDES = (1024, 768, 512, 384, 256)
PIXELS = 16_000_000
"""Pictures are shown with the largest of these sides with which all together have at most so many pixels, else with
the smallest."""

BRIEF = {"psnr": "PSNR", "ssim": "SSIM", "consistency": "cons.", "lpips": "LPIPS"}
"""Values that stand under each picture; all are in the table below them."""

ABOUT = {"given": "low resolution", "spread": "spread of the samples"}
"""Captions of what is no method's result; of the picture given where the protocol says no other."""


class Order(NamedTuple):
    """What cards can be sorted by."""

    name: str
    title: str
    better: str


class Value(NamedTuple):
    """A value as JavaScript reads it, what it is of, and how it is shown."""

    value: str
    of: str
    shown: str


class Line(NamedTuple):
    """A measure of one picture by all methods; None where a method has no value."""

    title: str
    unit: str
    cells: list[Value | None]


class Figure(NamedTuple):
    """One picture as it is shown, and the lines under it."""

    label: str
    kind: str
    uri: str
    lines: list[str]


class Card(NamedTuple):
    """One picture by every method.  width, height: of what is shown, in pixels; drawn: its width on the page."""

    name: str
    size: str
    width: int
    height: int
    drawn: int
    figures: list[Figure]
    methods: list[str]
    lines: list[Line]


def cards(result: Result) -> list[Card]:
    """A card for each picture kept."""
    side = side_for(result.shown)
    factor = int(result.protocol.get("factor") or 1)
    about = {**ABOUT, **({"given": said} if (said := result.protocol.get("given")) else {})}
    return [_card(one, side, factor, about) for one in result.shown]


def orders(shown: Sequence[Shown]) -> dict[str, list[Order]]:
    """Every measure of every method."""
    methods: dict[str, set[str]] = {}
    for one in shown:
        for method, values in one.measures.items():
            methods.setdefault(method, set()).update(values)
    return {
        method: [Order(name, measure(name).title, measure(name).better) for name in ordered(names)]
        for method, names in methods.items()
    }


def side_for(shown: Sequence[Shown]) -> int:
    """The largest side of `SIDES` that keeps the page small enough to be opened on a phone."""

    def pixels(side: int) -> int:
        return sum(min(p.shape[0], side) * min(p.shape[1], side) for one in shown for p in one.pictures.values())

    return next((side for side in SIDES if pixels(side) <= PIXELS), SIDES[-1])


def middle(pixels: np.ndarray, side: int, factor: int) -> np.ndarray:
    """At most `side` pixels a side from the middle, on the grid of the low-resolution picture's pixels."""
    most = max(side // factor, 1) * factor
    for axis in (0, 1):
        if pixels.shape[axis] > most:
            begin = (pixels.shape[axis] - most) // 2 // factor * factor
            pixels = pixels.take(range(begin, begin + most), axis)
    return pixels


def in_order(names: Sequence[str]) -> list[str]:
    """What was given, the methods as they come, further samples, the mean, spread, original."""

    def place(name: str) -> int:
        if "-mean-" in name:
            return 3
        return {"given": 0, "spread": 4, "original": 5}.get(name, 2 if " #" in name else 1)

    return sorted(names, key=place)


def _card(one: Shown, side: int, factor: int, about: Mapping[str, str]) -> Card:
    original = one.pictures["original"]
    height, width = middle(original, side, factor).shape[:2]
    whole = f"{original.shape[1]}×{original.shape[0]}"
    part = "" if original.shape[:2] == (height, width) else f", the middle {width}×{height} shown"
    # small pictures are drawn larger, by a whole number, large ones smaller
    longer = max(width, height)
    drawn = width * max(1, 128 // longer) if longer <= 256 else round(256 * width / longer)
    figures = [_figure(key, one, side, factor, about.get(key, key)) for key in in_order(list(one.pictures))]
    methods = [method for method, values in one.measures.items() if values]
    return Card(one.name, whole + part, width, height, drawn, figures, methods, _lines(one, methods))


def _figure(key: str, one: Shown, side: int, factor: int, label: str) -> Figure:
    pixels = one.pictures[key]
    lines: list[str] = []
    if key == "given":
        lines.append(f"{pixels.shape[1]}×{pixels.shape[0]}")
        pixels = middle(pixels, max(side // factor, 1), 1)
    else:
        pixels = middle(pixels, side, factor)
    values = one.measures.get(key, {})
    for name, title in BRIEF.items():
        if math.isfinite(value := values.get(name, math.nan)):
            lines.append(f"{title} {format(value, measure(name).form)}")
    return Figure(label, "given" if key == "given" else "made", _uri(pixels), lines)


def _lines(one: Shown, methods: list[str]) -> list[Line]:
    """All values of one picture: measures by methods."""
    return [
        Line(
            measure(name).title,
            measure(name).unit,
            [_value(method, name, one.measures[method].get(name)) for method in methods],
        )
        for name in ordered({name for values in one.measures.values() for name in values})
    ]


def _value(method: str, name: str, value: float | None) -> Value | None:
    if value is None or math.isnan(value):
        return None
    # the words that JavaScript reads too
    said = repr(value).replace("inf", "Infinity")
    return Value(said, f"{method} {name}", "∞" if value == math.inf else format(value, measure(name).form))


def _uri(pixels: np.ndarray) -> str:
    """As a data URI: WebP without loss, a quarter smaller than PNG and as quick to make with method 2."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", lossless=True, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
