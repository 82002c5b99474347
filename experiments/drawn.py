"""Labelled pictures made by a script: shapes and simple faces, for trying what needs data without having any.

    python experiments/drawn.py --out drawn --count 6000 --side 32
    sr3 train ddpm-32-small --data drawn --out run --set model.task.classes=6 --set model.network.labels=6
    sr3 generate --model run/model.safetensors --class ring,face --count 16 --grid grid.png

A folder for each class.  Picture k is a function of (seed, k) alone: class k mod 6, in colours, size, place and turn of
its own.  No two are alike, so that other seeds are held-out data.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FINE = 4
"""Everything is drawn so many times larger, and reduced."""

Points = list[tuple[float, float]]
Draw = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


def colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    r, g, b = (int(c) for c in rng.integers(low, high, 3))
    return r, g, b


def turned(points: Points, centre: tuple[float, float], size: float, angle: float) -> Points:
    """Points of the unit circle's square, scaled, turned and moved."""
    c, s = math.cos(angle), math.sin(angle)
    return [(centre[0] + size * (c * x - s * y), centre[1] + size * (s * x + c * y)) for x, y in points]


def round_(draw: Draw, at: tuple[float, float], wide: float, high: float, fill: Colour) -> None:
    draw.ellipse([at[0] - wide, at[1] - high, at[0] + wide, at[1] + high], fill=fill)


def disc(draw: Draw, at: tuple[float, float], size: float, angle: float, ink: Colour, rng: np.random.Generator) -> None:
    round_(draw, at, size, size, ink)


def ring(draw: Draw, at: tuple[float, float], size: float, angle: float, ink: Colour, rng: np.random.Generator) -> None:
    draw.ellipse(
        [at[0] - size, at[1] - size, at[0] + size, at[1] + size], outline=ink, width=max(1, round(size * 0.35))
    )


def polygon(points: Points) -> Callable[..., None]:
    """A shape of these corners."""

    def drawn(
        draw: Draw, at: tuple[float, float], size: float, angle: float, ink: Colour, rng: np.random.Generator
    ) -> None:
        draw.polygon(turned(points, at, size, angle), fill=ink)

    return drawn


def face(draw: Draw, at: tuple[float, float], size: float, angle: float, ink: Colour, rng: np.random.Generator) -> None:
    """A head with hair, two eyes, a nose and a mouth, each a little elsewhere in every face."""
    (x, y), wide = at, size * rng.uniform(0.75, 0.95)
    light = rng.uniform(0.35, 1.0)
    skin: Colour = (round(240 * light), round(190 * light), round(150 * light))
    round_(draw, (x, y - 0.25 * size), wide * 1.12, size * 0.95, colour(rng, 0, 150))
    round_(draw, at, wide, size, skin)
    apart, level, eye = wide * rng.uniform(0.35, 0.5), y - size * rng.uniform(0.1, 0.3), size * rng.uniform(0.1, 0.16)
    iris, look = colour(rng, 0, 140), rng.uniform(-0.4, 0.4) * eye
    for side in (-1, 1):
        round_(draw, (x + side * apart, level), eye * 1.5, eye, (250, 250, 250))
        round_(draw, (x + side * apart + look, level), eye * 0.7, eye * 0.8, iris)
    shade: Colour = (round(skin[0] * 0.75), round(skin[1] * 0.7), round(skin[2] * 0.7))
    draw.polygon([(x, level + eye), (x - 0.12 * size, y + 0.22 * size), (x + 0.12 * size, y + 0.22 * size)], fill=shade)
    mouth, open_ = wide * rng.uniform(0.3, 0.5), size * rng.uniform(0.05, 0.18)
    round_(draw, (x, y + 0.55 * size), mouth, open_, (170, 40, 50))


SHAPES: dict[str, Callable[..., None]] = {
    "disc": disc,
    "ring": ring,
    "square": polygon([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]),
    "triangle": polygon([(0, -1), (0.87, 0.5), (-0.87, 0.5)]),
    "cross": polygon(
        [
            (-0.3, -1),
            (0.3, -1),
            (0.3, -0.3),
            (1, -0.3),
            (1, 0.3),
            (0.3, 0.3),
            (0.3, 1),
            (-0.3, 1),
            (-0.3, 0.3),
            (-1, 0.3),
            (-1, -0.3),
            (-0.3, -0.3),
        ]
    ),
    "face": face,
}


def picture(kind: str, side: int, seed: int, number: int) -> np.ndarray:
    """One picture of a class: uint8 [side, side, 3]."""
    rng = np.random.default_rng([seed, number])
    full = side * FINE
    # a background that changes evenly from one corner to the other
    one, other = np.array(colour(rng)), np.array(colour(rng))
    steps = np.linspace(0, 1, full)
    share = ((steps[:, None] + steps[None]) / 2)[..., None]
    canvas = Image.fromarray((one + (other - one) * share).astype(np.uint8))
    size = full * (rng.uniform(0.36, 0.44) if kind == "face" else rng.uniform(0.22, 0.42))
    slack = full / 2 - size * 1.05
    at = (full / 2 + rng.uniform(-slack, slack), full / 2 + rng.uniform(-slack, slack))
    ink = tuple((np.array(colour(rng)) // 2 + (128 if (one + other).mean() < 128 else 0)).tolist())
    SHAPES[kind](ImageDraw.Draw(canvas), at, size, rng.uniform(0, 2 * math.pi), ink, rng)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX))


def drawn(count: int, side: int = 32, seed: int = 0, kinds: tuple[str, ...] = tuple(SHAPES)) -> list[np.ndarray]:
    """Pictures 0 … count - 1, of each class in turn."""
    return [picture(kinds[k % len(kinds)], side, seed, k) for k in range(count)]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--count", type=int, default=6000)
    args.add_argument("--side", type=int, default=32)
    args.add_argument("--seed", type=int, default=0)
    options = args.parse_args()
    kinds = tuple(SHAPES)
    for k, pixels in enumerate(drawn(options.count, options.side, options.seed, kinds)):
        path = options.out / kinds[k % len(kinds)] / f"{k:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    main()
