"""How good a model has become with the pictures it has seen: measures, a fit, a plot."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sr3.diffusion.level import diffuse
from sr3.files import write_text
from sr3.metric.consistency import Consistency
from sr3.metric.psnr import PSNR
from sr3.metric.swd import SWD, patches_for
from sr3.picture.collection import Pictures
from sr3.picture.resize import round8
from sr3.random import generator, mix
from sr3.restore.restorer import Restorer

SHOWN = {
    "error": "error of x0, dB",
    "psnr": "PSNR, dB",
    "swd": "sliced Wasserstein, x1e3",
    "consistency_free": "consistency unprojected, x1e-5",
}
FEWEST = 4
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Noise levels at which the error of x0 is measured: sigma / alpha in units of the spread of what is diffused."""


def error(restorer: Restorer, pictures: Pictures) -> float:
    """How far the network's estimate of x0 is off: the mean over noise levels of 10 log10 of its mean square, in dB.

    Of pictures in [0, 1], with the same noise for every model.  Lower is better.  No sampler has a part in it, and it
    falls steadily where a distance is pulled both ways.  The levels follow the model's spread: only models of the same
    sigma_data can be compared, and not with the table of `choices.py`, whose levels are others.
    """
    model, device = restorer.model, restorer.device
    total, count = [0.0] * len(RATIOS), 0
    for first, clean in _batches(pictures, model.task.factor):
        eps = torch.stack([torch.randn(c.shape, generator=generator(mix(5, first + k))) for k, c in enumerate(clean)])
        truth, eps = clean.to(device), eps.to(device)
        given = model.task.degrade(truth)  # in float32, as in training
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=restorer.dtype, enabled=restorer.dtype != torch.float32),
        ):
            example = model.prepare(given)
            for k, ratio in enumerate(RATIOS):
                logsnr = torch.tensor(-2 * math.log(ratio * model.spread), dtype=torch.float64)
                level = model.schedule(model.schedule.when(logsnr).expand(len(truth)).to(device))
                x0 = model.denoiser()(diffuse(truth, eps, level), level, example).float().clamp(-1, 1)
                total[k] += float((x0 - truth).square().mean((1, 2, 3)).sum() / 4)
        count += len(truth)
    return sum(10 * math.log10(t / count) for t in total) / len(total)


def measure(restorer: Restorer, pictures: Pictures) -> dict[str, float]:
    """PSNR, sliced Wasserstein distance and consistency, as `sr3 evaluate` measures them, in the model's own steps;
    of diffusion models also the error of x0."""
    task, config = restorer.model.task, restorer.model.config

    def again(x: torch.Tensor) -> torch.Tensor:
        return (task.degrade(2 * x - 1).image + 1) / 2

    metrics = [PSNR(task.factor), SWD(patches_for(len(pictures))), Consistency(again)]
    free = Consistency(again, "consistency_free")
    for first, clean in _batches(pictures, task.factor):
        given = task.degrade(clean)
        original, small = (clean + 1) / 2, (given.image + 1) / 2
        seeds = [mix(0, first + k, 0) for k in range(len(clean))] if config.kind == "diffusion" else [0] * len(clean)
        shown = [(round8(restorer.make(given, seeds, free=each)) + 1) / 2 for each in (False, True)]
        for metric in metrics:
            metric.update(shown[0], original, small)
        free.update(shown[1], original, small)
    found: dict[str, float] = {}
    for metric in (*metrics, free):
        found |= metric.compute()
    return found | ({"error": error(restorer, pictures)} if config.kind == "diffusion" else {})


def _batches(pictures: Pictures, factor: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(number of the first, pictures in [-1, 1]): neighbours of one size, cut to multiples of the factor."""
    sizes = [(p.shape[0] // factor * factor, p.shape[1] // factor * factor) for p in pictures.pixels]
    first = 0
    while first < len(sizes):
        height, width = sizes[first]
        most = first + (64 if max(height, width) <= 256 else 4)
        last = first
        while last < min(most, len(sizes)) and sizes[last] == (height, width):
            last += 1
        stack = np.stack([p[:height, :width] for p in pictures.pixels[first:last]])
        yield first, torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1
        first = last


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


def points(curve: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Pictures seen and a measure, where both are numbers that a logarithm and a fit can take."""
    kept = [(p["pictures"], p["measures"].get(name)) for p in curve]
    kept = [(n, v) for n, v in kept if n > 0 and v is not None and math.isfinite(v)]
    return [float(n) for n, _ in kept], [float(v) for _, v in kept]


def plot(source: Path, target: Path) -> list[str]:
    """Draw a curve file as SVG; returns what ten times more pictures would bring by the fit, a sentence a measure."""
    curve = json.loads(source.read_text("utf-8"))
    some = [name for name in SHOWN if points(curve, name)[0]]
    if not some:
        raise ValueError(f"{source} has no measures to plot")
    # a measure that came later than the others may have too few points yet
    names = [name for name in some if len(set(points(curve, name)[0])) >= FEWEST] or some
    fits = {name: fit(*points(curve, name)) for name in names}
    wide = 340
    panels = [_panel(SHOWN[n], *points(curve, n), fits[n], k * wide) for k, n in enumerate(names)]
    size = f'width="{wide * len(names)}" height="260" viewBox="0 0 {wide * len(names)} 260"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    write_text(target, "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, "</svg>"]) + "\n")
    sentences: list[str] = []
    for name in names:
        n, values = points(curve, name)
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
