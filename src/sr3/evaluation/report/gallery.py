"""The report's gallery: every picture by every method, with its values, in an order that the reader chooses."""

import base64
import html
import io
import math
from collections.abc import Sequence

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
"""Captions of what is no method's result."""


def gallery(result: Result) -> str:
    """A card for each picture kept, and what they can be sorted by; empty where none was kept."""
    if not result.shown:
        return "<p>No pictures were kept.</p>"
    side = side_for(result.shown)
    factor = int(result.protocol.get("factor") or 1)
    cards = "".join(_card(i, one, side, factor) for i, one in enumerate(result.shown))
    return f"{_controls(result.shown)}<div id='cards'>{cards}</div>"


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


def _controls(shown: Sequence[Shown]) -> str:
    """A menu of every measure of every method, and which end comes first."""
    methods: dict[str, set[str]] = {}
    for one in shown:
        for method, values in one.measures.items():
            methods.setdefault(method, set()).update(values)
    groups = ""
    for method, names in methods.items():
        options = "".join(
            f"<option value='{html.escape(f'{method} {name}')}' data-better='{measure(name).better}'>"
            f"{html.escape(f'{method}: {measure(name).title}')}</option>"
            for name in ordered(names)
        )
        groups += f"<optgroup label='{html.escape(method)}'>{options}</optgroup>"
    return (
        "<form id='sort'><label>Sort by <select id='by'><option value=''>the order of the files</option>"
        f"{groups}</select></label>"
        "<select id='first' aria-label='which end' disabled><option value='best'>best first</option>"
        "<option value='worst'>worst first</option></select></form>"
        "<p id='sorted' role='status'></p>"
    )


def _card(index: int, one: Shown, side: int, factor: int) -> str:
    original = one.pictures["original"]
    height, width = middle(original, side, factor).shape[:2]
    whole = f"{original.shape[1]}×{original.shape[0]}"
    part = "" if original.shape[:2] == (height, width) else f", the middle {width}×{height} shown"
    # small pictures are drawn larger, by a whole number, large ones smaller
    longer = max(width, height)
    drawn = width * max(1, 128 // longer) if longer <= 256 else round(256 * width / longer)
    name = html.escape(one.name)
    figures = "".join(_figure(key, one, side, factor, width, height) for key in in_order(list(one.pictures)))
    return (
        f"<article data-index='{index}' aria-labelledby='name-{index}'>"
        f"<header><h3 id='name-{index}'>{name}</h3><span>{whole}{part}</span><output></output></header>"
        f"<div class='row' style='--width:{drawn}px' tabindex='0' role='group' aria-label='{name}: pictures'>"
        f"{figures}</div>{_values(one)}</article>"
    )


def _figure(key: str, one: Shown, side: int, factor: int, width: int, height: int) -> str:
    given = key == "given"
    pixels = one.pictures[key]
    label = ABOUT.get(key, key)
    lines: list[str] = []
    if given:
        lines.append(f"{pixels.shape[1]}×{pixels.shape[0]}")
        pixels = middle(pixels, max(side // factor, 1), 1)
    else:
        pixels = middle(pixels, side, factor)
    values = one.measures.get(key, {})
    for name, title in BRIEF.items():
        if math.isfinite(value := values.get(name, math.nan)):
            lines.append(f"{title} {format(value, measure(name).form)}")
    brief = "".join(f"<span>{line}</span>" for line in lines)
    said, kind = html.escape(f"{one.name}: {label}"), "given" if given else "made"
    return (
        f"<figure><button type='button' title='look closely'>"
        f"<img src='{_uri(pixels)}' alt='{said}' data-label='{html.escape(label)}' class='{kind}' "
        f"width='{width}' height='{height}' loading='lazy' decoding='async'></button>"
        f"<figcaption><b>{html.escape(label)}</b>{brief}</figcaption></figure>"
    )


def _values(one: Shown) -> str:
    """All values of one picture: measures by methods."""
    methods = [method for method, values in one.measures.items() if values]
    names = ordered({name for values in one.measures.values() for name in values})
    if not names:
        return ""
    head = "".join(f"<th scope='col'>{html.escape(method)}</th>" for method in methods)
    lines = ""
    for name in names:
        unit = f" <small>{html.escape(measure(name).unit)}</small>" if measure(name).unit else ""
        cells = "".join(_value(method, name, one.measures[method].get(name)) for method in methods)
        lines += f"<tr><th scope='row'>{html.escape(measure(name).title)}{unit}</th>{cells}</tr>"
    return (
        "<details><summary>All values</summary><div class='box' tabindex='0'>"
        f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{lines}</tbody></table></div></details>"
    )


def _value(method: str, name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "<td class='none'>–</td>"
    # the words that JavaScript reads too
    said = repr(value).replace("inf", "Infinity")
    shown = "∞" if value == math.inf else format(value, measure(name).form)
    return f"<td><data value='{said}' data-of='{html.escape(f'{method} {name}')}'>{shown}</data></td>"


def _uri(pixels: np.ndarray) -> str:
    """As a data URI: WebP without loss, a quarter smaller than PNG and as quick to make with method 2."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", lossless=True, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
