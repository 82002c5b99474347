"""How far a face model holds: feature distance and identity against the face's shift in pixels and its zoom.

    python experiments/faces.py faces160.zip --model face-8x --regression face-8x-regression --out faces.json
    python experiments/faces.py --table faces.json

Pictures with room around the face (160 pixels a side, say, of which the model's training had the middle 128).  For each
shift the square that is cut lies so many pixels of the result to the right and below of where it should, and for each
zoom it is so many times as large.  Shifts are tried at zoom 1 and zooms at shift 0.  What is cut is reduced by Lanczos
to the model's size, made small as the task says, and restored by bicubic, the regression and one sample.  Distances are
of each result to its own original: the feature distance of EfficientNet-Lite0 (the extra `eye`), or with --features
FILE.py:NAME the mean Euclidean distance of features (dlib's, for identity); beside it the share that is nearer to its
own original than to all the others.  A square beyond the picture repeats its border outside: the share of such pixels
is told.  Finished settings are kept in the JSON file: the same command goes on.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sr3.evaluation.method import rounded
from sr3.files import write_text
from sr3.metric.features import Features, named, rows
from sr3.metric.identity import Identity
from sr3.metric.lite import lite
from sr3.metric.stats import interval
from sr3.model.model import Model
from sr3.picture.collection import Pictures, load
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import SuperResolution

SHIFTS = (0, 4, 8, 12, 16, 24)
ZOOMS = (0.7, 0.85, 1.0, 1.15, 1.3)
BATCH = 16


def cut(pixels: np.ndarray, side: int, window: float, shift: float, zoom: float) -> tuple[np.ndarray, float]:
    """The square of a picture that a setting asks for: (uint8 [side, side, 3], the share of it beyond the picture).

    side: of the result.  window: of the square at zoom 1, in the picture's pixels, around its middle.
    shift: to the right and below, in pixels of the result at zoom 1.
    """
    high, wide = pixels.shape[:2]
    half, moved = window * zoom / 2, shift * window / side
    left, top = wide / 2 + moved - half, high / 2 + moved - half
    room = int(np.ceil(max(0, -left, -top, left + 2 * half - wide, top + 2 * half - high)))
    padded = np.pad(pixels, ((room, room), (room, room), (0, 0)), mode="edge") if room else pixels
    box = (left + room, top + room, left + room + 2 * half, top + room + 2 * half)
    inside = (min(wide, left + 2 * half) - max(0, left)) * (min(high, top + 2 * half) - max(0, top))
    shown = Image.fromarray(padded).resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.asarray(shown), 1 - inside / (2 * half) ** 2


def settings(shifts: Sequence[float], zooms: Sequence[float]) -> list[tuple[float, float]]:
    """(shift, zoom): each shift at zoom 1, then each zoom at shift 0."""
    return [*((shift, 1.0) for shift in shifts), *((0.0, zoom) for zoom in zooms if zoom != 1)]


class Bench:
    """Models, pictures and networks that every setting is tried with."""

    def __init__(self, restorer: Restorer, regression: Restorer | None, pictures: Pictures, window: float, side: int):
        self.restorer, self.regression, self.pictures = restorer, regression, pictures
        self.window, self.side = window, side
        self.task = needs_picture(restorer.model)

    def measure(
        self, shift: float, zoom: float, distance: Callable[..., torch.Tensor], features: Features
    ) -> dict[str, Any]:
        """Of every method: the mean distance with its interval, and the share of identities."""
        found = [cut(p, self.side, self.window, shift, zoom) for p in self.pictures.pixels]
        clean = torch.stack([torch.from_numpy(p.copy()) for p, _ in found]).permute(0, 3, 1, 2).float() / 127.5 - 1
        values: dict[str, list[float]] = {}
        names: dict[str, Identity] = {}
        for first in range(0, len(clean), BATCH):
            part = clean[first : first + BATCH]
            given = self.task.degrade(part)
            seeds = [mix(0, first + k, 0) for k in range(len(part))]
            made = {self.task.baseline_name: rounded(self.task.baseline(given))}
            if self.regression is not None:
                made["regression"] = rounded(make(self.regression, given, [0] * len(part)))
            own = self.restorer.model.methods()[0]
            made["model" if own in made else own] = rounded(make(self.restorer, given, seeds))
            original = (part + 1) / 2
            for method, pictures in made.items():
                values.setdefault(method, []).extend(distance(pictures, original).tolist())
                names.setdefault(method, Identity(features)).update(pictures, original, original)
        told: dict[str, Any] = {"beyond": float(np.mean([share for _, share in found])), "methods": {}}
        for method, each in values.items():
            ends = list(interval(each, 0)) if len(each) > 1 else None
            row = {"distance": sum(each) / len(each), "interval": ends, **names[method].compute()}
            told["methods"][method] = row
        return told


def apart(features: Features) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Euclidean distance of any features: two batches -> [B]."""

    def distance(made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        a, b = (rows(features, x) for x in (made, target))
        return (a - b).square().sum(-1).sqrt().reshape(len(made), -1).mean(1)

    return distance


def table(found: dict[str, Any]) -> str:
    """Markdown: a row for each setting, distance and identity share of each method."""
    methods = list(next(iter(found["settings"].values()))["methods"])
    head = "| shift | zoom | beyond | " + " | ".join(f"{m}: distance | identity" for m in methods) + " |"
    lines = [head, "|---" * (3 + 2 * len(methods)) + "|"]
    for key, row in found["settings"].items():
        shift, zoom = key.split()
        cells = [f"{row['methods'][m]['distance']:.3f} | {row['methods'][m]['identity']:.2f}" for m in methods]
        lines.append(f"| {shift} | {zoom} | {row['beyond']:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("data", nargs="*")
    args.add_argument("--model", default="face-8x")
    args.add_argument("--regression")
    args.add_argument("--window", type=float, default=128, help="side of the square at zoom 1, in the picture's pixels")
    args.add_argument("--side", type=int, default=128, help="of the result")
    args.add_argument("--shifts", type=float, nargs="+", default=SHIFTS)
    args.add_argument("--zooms", type=float, nargs="+", default=ZOOMS)
    args.add_argument("--features", help="FILE.py:NAME, instead of EfficientNet-Lite0")
    args.add_argument("--limit", type=int, default=100)
    args.add_argument("--precision", default="fp32")
    args.add_argument("--device", default="cpu")
    args.add_argument("--out", type=Path, default=Path("faces.json"))
    args.add_argument("--table", type=Path)
    options = args.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text("utf-8"))))
        return
    restorer = Restorer.load(options.model, device=options.device, precision=options.precision)
    task = restorer.model.task
    if not isinstance(task, SuperResolution) or options.side % task.factor:
        raise SystemExit(f"{options.model} does not enlarge to {options.side} pixels")
    other = restorer.beside(Model.from_pretrained(options.regression)) if options.regression else None
    bench = Bench(restorer, other, load(options.data).first(options.limit), options.window, options.side)
    own = None if options.features else lite(device=options.device)
    features = own or named(options.features)
    distance = own.distance if own else apart(features)
    said = {"model": options.model, "window": options.window, "pictures": len(bench.pictures), "settings": {}}
    if options.out.exists():
        before = json.loads(options.out.read_text("utf-8"))
        if {k: before.get(k) for k in said if k != "settings"} != {k: v for k, v in said.items() if k != "settings"}:
            raise SystemExit(f"{options.out} is of other pictures or another model; give another --out")
        said = before
    for shift, zoom in settings(options.shifts, options.zooms):
        key = f"{shift:g} {zoom:g}"
        if key in said["settings"]:
            continue
        said["settings"][key] = bench.measure(shift, zoom, distance, features)
        write_text(options.out, json.dumps(said, indent=1) + "\n")
        print(f"shift {shift:g} zoom {zoom:g}: {said['settings'][key]['methods']}", flush=True)
    print(table(said))


if __name__ == "__main__":
    main()
