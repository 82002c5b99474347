"""How good a model has become with the pictures it has seen: measures on held-out pictures, kept in one file."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sr3.diffusion.level import diffuse
from sr3.files import write_text
from sr3.metric.base import Metric
from sr3.metric.consistency import Consistency
from sr3.metric.features import DISTANCES, FeatureDistance, MissingError
from sr3.metric.lite import lite
from sr3.metric.lpips import LPIPS
from sr3.metric.psnr import PSNR, psnr, psnr_y
from sr3.metric.swd import SWD, patches_for
from sr3.picture.collection import Pictures
from sr3.picture.resize import round8
from sr3.random import Stream, generator, mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.tiles import Runner
from sr3.restore.whole import make
from sr3.task import Given, again

NAME, OF = "curve.csv", "curve.of"
"""The points, and what stands for the pictures that they were measured on."""
ABOUT = ("pictures", "seen", "minutes", "seconds")
"""Columns that are no measures: pictures seen by the model and by the run, minutes trained, seconds measured."""
DAMAGED = 11
"""The seed of the damage to held-out pictures."""
FEW = 16
"""Of fewer pictures a distance between two sets of features says nothing."""
EXACT = 100.0
"""dB of a picture that comes back as it was: for ever so many a page of white would hide all others in the mean."""
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Noise levels at which the error of x0 is measured: sigma / alpha in units of the spread of what is diffused."""


class _PSNR(PSNR):
    """Of `EXACT` at most for each picture."""

    def update(self, made: torch.Tensor, target: torch.Tensor, given: torch.Tensor) -> None:
        for name, measure in (("psnr", psnr), ("psnr_y", psnr_y)):
            self.means.add(name, measure(made, target, self.border).clamp(max=EXACT))


def error(restorer: Restorer, pictures: Pictures) -> float:
    """How far the network's estimate of x0 is off: the mean over noise levels of 10 log10 of its mean square, in dB.

    Of pictures in [0, 1], with the same noise for every model.  Lower is better.  No sampler has a part in it, and it
    falls steadily where a distance is pulled both ways.  The levels follow the model's spread: only models of the same
    sigma_data can be compared.
    """
    model, device = restorer.model, restorer.device
    total, count = [0.0] * len(RATIOS), 0
    for first, clean in _batches(pictures, model.task.factor):
        eps = torch.stack([torch.randn(c.shape, generator=generator(mix(5, first + k))) for k, c in enumerate(clean)])
        truth, eps = clean.to(device), eps.to(device)
        given = model.task.degrade(truth)  # in float32, as in training
        with torch.inference_mode():
            run = Runner(device, restorer.dtype, restorer.tile)
            example = model.prepare(given, run)
            denoise = run(model, example, model.task.result_size(given))
            for k, ratio in enumerate(RATIOS):
                logsnr = torch.tensor(-2 * math.log(ratio * model.spread), dtype=torch.float64)
                level = model.schedule(model.schedule.when(logsnr).expand(len(truth)).to(device))
                x0 = denoise(diffuse(truth, eps, level), level).clamp(-1, 1)
                x0 = x0 if example.mask is None else torch.where(example.mask, x0, truth)  # the rest is known
                total[k] += float((x0 - truth).square().mean((1, 2, 3)).sum() / 4)
        count += len(truth)
    return sum(10 * math.log10(t / count) for t in total) / len(total)


def measure(restorer: Restorer, pictures: Pictures) -> dict[str, float]:
    """PSNR, sliced Wasserstein distance and consistency, as `sr3 evaluate` measures them, in the model's own steps;
    where the extra `eye` is installed the feature distance too, and of `FEW` pictures or more the kernel distance; of
    models that refine noise also the error of x0.

    Where the task damages what it learns from, PSNR and the distances are measured of damaged pictures once more, the
    same for every model, and called `psnr_damaged` and so on.
    """
    task = needs_picture(restorer.model)
    agree = [Consistency(), Consistency(name="consistency_free")]
    metrics = [_PSNR(task.border), SWD(patches_for(len(pictures))), *_eye(len(pictures))]
    for given, original, small, seeds in _given(restorer, pictures, damaged=False):
        shown = [(round8(make(restorer, given, seeds, free=each)) + 1) / 2 for each in (False, True)]
        for metric in metrics:
            metric.update(shown[0], original, small)
        for metric, made in zip(agree, shown, strict=True):
            metric.update(again(task, made, given), original, small)
    found = _computed([*metrics, *agree])
    if getattr(task, "damage", None) is not None:
        found |= {f"{name}_damaged": value for name, value in _of_damaged(restorer, pictures).items()}
    return found | ({"error": error(restorer, pictures)} if restorer.model.walk.varies else {})


def _of_damaged(restorer: Restorer, pictures: Pictures) -> dict[str, float]:
    metrics = [_PSNR(needs_picture(restorer.model).border), SWD(patches_for(len(pictures))), *_eye(len(pictures))]
    for given, original, small, seeds in _given(restorer, pictures, damaged=True):
        made = (round8(make(restorer, given, seeds)) + 1) / 2
        for metric in metrics:
            metric.update(made, original, small)
    return _computed(metrics)


def _computed(metrics: Sequence[Metric]) -> dict[str, float]:
    return {name: value for metric in metrics for name, value in metric.compute().items()}


def _given(
    restorer: Restorer, pictures: Pictures, *, damaged: bool
) -> Iterator[tuple[Given, torch.Tensor, torch.Tensor, list[int]]]:
    """(what is given, original and small pictures in [0, 1], seeds) of every batch; damage is that of the picture's
    number alone."""
    task, varies = needs_picture(restorer.model), restorer.model.walk.varies
    for first, clean in _batches(pictures, task.factor):
        numbers = range(first, first + len(clean))
        given = task.degrade(clean, rng=Stream(DAMAGED, numbers) if damaged else None)
        seeds = [mix(0, k, 0) for k in numbers] if varies else [0] * len(clean)
        yield given, (clean + 1) / 2, (given.image + 1) / 2, seeds


def _eye(count: int) -> list[Metric]:
    """What the eye's network says of so many pictures; nothing where it is not installed."""
    try:
        network = lite()
    except MissingError:
        return []
    kernel = [FeatureDistance(network, {"kernel": DISTANCES["kernel"]})] if count >= FEW else []
    return [LPIPS(network.distance, "feature"), *kernel]


def _batches(pictures: Pictures, factor: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(number of the first, pictures in [-1, 1]): neighbours of one size, cut to multiples of the factor."""
    sizes = [(p.shape[0] // factor * factor, p.shape[1] // factor * factor) for p in pictures.pixels]
    first = 0
    while first < len(sizes):
        height, width = sizes[first]
        most = first + (64 if max(height, width) <= 256 else 1)  # of larger ones each takes what fills a machine
        last = first
        while last < min(most, len(sizes)) and sizes[last] == (height, width):
            last += 1
        stack = np.stack([p[:height, :width] for p in pictures.pixels[first:last]])
        yield first, torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1
        first = last


def fingerprint(pictures: Pictures) -> str:
    """Twelve hexadecimal digits that stand for the names and sizes of pictures."""
    rows = [[name, *pixels.shape[:2]] for name, pixels in zip(pictures.names, pictures.pixels, strict=True)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def read(path: Path) -> list[dict[str, Any]]:
    """The points of a curve's file, each with its `measures`; none where there is no file.

    Of the CSV that `write` makes, or of the JSON that there once was.  ValueError where it is neither.
    """
    if not path.exists():
        return []
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text("utf-8"))
        return [_point(row) for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not the curve of a run, which is a table with a column for each measure"
        ) from error


def _point(row: dict[str, str]) -> dict[str, Any]:
    whole = {name: int(row[name]) for name in ABOUT[:2]} | {name: float(row[name]) for name in ABOUT[2:]}
    return {**whole, "measures": {name: float(value) for name, value in row.items() if name not in ABOUT and value}}


def write(path: Path, points: list[dict[str, Any]]) -> None:
    """The points as CSV, whole or not at all."""
    names = list(dict.fromkeys(name for point in points for name in point["measures"]))
    text = io.StringIO()
    table = csv.DictWriter(text, [*ABOUT, *names], lineterminator="\n")
    table.writeheader()
    for point in points:
        table.writerow({name: point[name] for name in ABOUT} | point["measures"])
    write_text(path, text.getvalue())
