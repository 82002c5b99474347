"""A curve drawn, and what ten times more pictures would bring by a fit of it."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr3.files import write_text
from sr3.training import curve

SHOWN = {
    "error": "error of x0, dB",
    "psnr": "PSNR, dB",
    "swd": "sliced Wasserstein, x1e3",
    "consistency_free": "consistency unprojected, x1e-5",
    "feature": "feature distance",
    "feature_damaged": "feature distance, damaged",
}
FEWEST = 4


class Fit(NamedTuple):
    """measure = a + b * n**-c."""

    a: float
    b: float
    c: float
    error: float
    """Root mean square of what is left."""

    def __call__(self, n: float) -> float:
        return self.a + self.b * n**-self.c


def fit(n: Sequence[float], values: Sequence[float]) -> Fit:
    """The best a and b by least squares for each c of a grid, and of these the best.  ValueError below four points."""
    x, y = np.asarray(n, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(np.unique(x)) < FEWEST:
        raise ValueError(f"a fit of three numbers needs at least {FEWEST} points, and there are {len(np.unique(x))}")
    best: Fit | None = None
    for c in np.geomspace(0.02, 3, 600):
        # relative to the first point, or n**-c would be lost beside 1
        sides = np.stack([np.ones_like(x), (x / x[0]) ** -c], axis=1)
        (a, b), *_ = np.linalg.lstsq(sides, y, rcond=None)
        error = float(np.sqrt(np.mean((sides @ np.array([a, b]) - y) ** 2)))
        if best is None or error < best.error:
            best = Fit(float(a), float(b * x[0] ** c), float(c), error)
    assert best is not None
    return best


def points(found: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Pictures seen and a measure, where both are numbers that a logarithm and a fit can take."""
    kept = [(p["pictures"], p["measures"].get(name)) for p in found]
    some = [(float(n), float(v)) for n, v in kept if n > 0 and v is not None and math.isfinite(v)]
    return [n for n, _ in some], [v for _, v in some]


def plot(source: Path, target: Path) -> list[str]:
    """Draw a curve's file as SVG; returns what ten times more pictures would bring by the fit, a sentence a measure.

    ValueError where no measure has enough points.
    """
    found = curve.read(source)
    some = [name for name in SHOWN if points(found, name)[0]]
    if not some:
        raise ValueError(f"{source} has no measures to plot")
    # a measure that came later than the others may have too few points yet
    names = [name for name in some if len(set(points(found, name)[0])) >= FEWEST] or some
    fits = {name: fit(*points(found, name)) for name in names}
    wide = 340
    panels = [_panel(SHOWN[n], *points(found, n), fits[n], k * wide) for k, n in enumerate(names)]
    size = f'width="{wide * len(names)}" height="260" viewBox="0 0 {wide * len(names)} 260"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    write_text(target, "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, "</svg>"]) + "\n")
    sentences: list[str] = []
    for name in names:
        n, values = points(found, name)
        ahead, by = fits[name](10 * n[-1]), fits[name]
        sentences.append(
            f"{SHOWN[name]}: {values[-1]:.3f} after {n[-1]:.3g} pictures; estimate for {10 * n[-1]:.3g}: {ahead:.3f} "
            f"(fit {by.a:.4g} {by.b:+.3g} n^-{by.c:.2f}, off by {by.error:.2g} on average; not a measurement)"
        )
    return sentences


def _panel(title: str, n: list[float], values: list[float], by: Fit, left: float) -> str:
    """One measure: points, the fit as a line, dashed where it is an estimate."""
    far = 10 * n[-1]
    steps = np.geomspace(n[0], far, 80)
    line = [by(float(s)) for s in steps]
    low, high = min(*values, *line), max(*values, *line)
    room = (high - low) * 0.08 or 1.0
    low, high = low - room, high + room
    x = lambda s: left + 52 + 270 * math.log(s / n[0]) / math.log(far / n[0])  # noqa: E731
    y = lambda v: 222 - 190 * (v - low) / (high - low)  # noqa: E731
    path = lambda chosen: " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in chosen)  # noqa: E731
    pairs = list(zip(steps.tolist(), line, strict=True))
    parts = [
        f'<text x="{left + 52:.0f}" y="18" font-size="13">{escape(title)}</text>',
        f'<path d="M{left + 52:.0f} 32V222H{left + 322:.0f}" fill="none" stroke="#888"/>',
        f'<text x="{left + 187:.0f}" y="252" text-anchor="middle">pictures seen; dashed: an estimate</text>',
        f'<polyline points="{path(p for p in pairs if p[0] <= n[-1] * 1.001)}" fill="none" stroke="#1b6ca8"/>',
        f'<polyline points="{path(p for p in pairs if p[0] >= n[-1] * 0.999)}" fill="none" stroke="#1b6ca8" '
        'stroke-dasharray="5 4"/>',
    ]
    parts += [f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="3" fill="#c23b22"/>' for s, v in zip(n, values, strict=True)]
    for power in range(math.ceil(math.log10(n[0])), math.floor(math.log10(far)) + 1):
        parts.append(f'<text x="{x(10.0**power):.1f}" y="236" text-anchor="middle">1e{power}</text>')
    for v in np.linspace(low, high, 5):
        parts.append(f'<text x="{left + 48:.0f}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.4g}</text>')
    return "\n".join(parts)
