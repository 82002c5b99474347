"""Evaluation: every method on the same pictures, with the protocol beside the numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sr3.evaluation.method import Ways
from sr3.evaluation.protocol import protocol
from sr3.evaluation.result import Result, Shown
from sr3.evaluation.tally import Batch, Tally
from sr3.metric.extra import EXTRA, extra
from sr3.metric.features import Features, MissingError
from sr3.metric.swd import patches_for
from sr3.model.config import ConfigError, nearest
from sr3.picture.collection import Pictures
from sr3.restore.restorer import Restorer, needs_picture
from sr3.task import Given


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is."""

    done: int
    total: int


def smallest(factor: int, border: int) -> int:
    """The least side of a picture of which anything is left to measure: a multiple of the factor, beyond the border."""
    return factor * (2 * border // factor + 1)


def evaluate(
    restorer: Restorer,
    pictures: Pictures,
    *,
    given: Sequence[np.ndarray] | None = None,
    regression: Restorer | None = None,
    samples: int = 8,
    seed: int = 0,
    free: bool = False,
    steps: int | None = None,
    sampler: str | None = None,
    spacing: str | None = None,
    quality: str | None = None,
    border: int | None = None,
    data: str = "",
    batch: int | None = None,
    keep: int = 0,
    measures: Sequence[str] = (),
    features: Features | None = None,
    classifier: Features | None = None,
    labels: Sequence[int] | None = None,
) -> Iterator[Progress | Result]:
    """Compare the baseline, a regression, the model, and the mean of its samples; yields progress and last the result.

    Each picture is cut to a multiple of the factor at its right and bottom, degraded as the task says, restored, and
    rounded to 8 bits before anything is measured.

    given: uint8 [h, w, 3] each, what is given of each picture where pairs were made elsewhere, instead of what the task
        would make of it.  For tasks that are given a picture and nothing else.
    border: pixels at each edge that PSNR and SSIM leave out; by default the task's, for super-resolution
        the factor, as its literature does; 0 for faces, as SR3 does.
    batch: how many pictures of equal size are restored at once; by default 16 where they have at most 256 pixels a
        side, else 1.  keep: of how many pictures the result holds the pictures themselves.
    measures: those of `sr3.metric.extra.EXTRA` to add; some fetch weights at first use, and where that fails a
        sentence in the protocol's "notes" takes their place.
    features: a network for "frechet" and "kernel"; classifier: one for "agreement" and, with the pictures' labels,
        "accuracy" and "accuracy_5"; see `sr3.metric.features.named`.
    What is not finite is made again in fp32; pictures without a finite result are counted in the protocol's "notes" and
    left out of their method's measures.
    ConfigError for a measure there is none of, and for features or a classifier that do not work.
    """
    task = needs_picture(restorer.model)
    settings = restorer.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality)
    border, patches = task.border if border is None else border, patches_for(len(pictures))
    ways = Ways(restorer, regression, settings, samples, seed, free)
    _check(measures, classifier is not None and labels is not None, pictures, task.factor, border)
    more = extra(
        measures,
        features=features,
        classifier=classifier,
        labels=labels,
        pictures=len(pictures),
        factor=task.factor,
        device=restorer.device,
    )
    tally = Tally(ways, more, border, patches)
    kept: list[Shown] = []
    total, done = len(pictures) * len(ways.methods), 0
    for indices in _batches(pictures, task.factor, batch):
        clean = torch.stack([_clean(pictures.pixels[i], task.factor) for i in indices])
        seen = _given(task.degrade(clean), given and [given[i] for i in indices])
        shown = [Shown(pictures.names[i], {}, {}) for i in indices[: max(0, keep - len(kept))]]
        part = Batch((clean + 1) / 2, seen, shown)
        part.keep("given", (seen.image + 1) / 2)
        for made in ways(seen, indices):
            if labels is not None and not made.finite.all():
                raise ConfigError(f"{made.method} made pictures that are not finite; leave the labels out to see which")
            try:
                tally.add(made, part)
            except MissingError as error:
                raise ConfigError(str(error)) from error
            done += len(indices)
            yield Progress(done, total)
        part.keep("original", part.original)
        kept += shown
    rows, each = tally.rows(seed, kept)
    said = protocol(ways, more, data=data, pictures=len(pictures), border=border, patches=patches, quality=quality)
    said |= {"degradation": "pairs that were made elsewhere"} if given else {}
    said["notes"] = [*more.notes, *tally.notes()]
    yield Result(said, rows, list(pictures.names), each, kept)


def _given(made: Given, pixels: Sequence[np.ndarray] | None) -> Given:
    """The pictures given in the place of those made, if any.  ConfigError where the task is given more than them."""
    if pixels is None:
        return made
    if made.mask is not None or made.label is not None:
        raise ConfigError("this task is given more than a picture, and pairs say nothing of it; leave out --given")
    images = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1).float() / 127.5 - 1 for p in pixels])
    if images.shape != made.image.shape:
        raise ConfigError(
            f"pictures of {list(images.shape[-2:])} are given and {list(made.image.shape[-2:])} are needed"
        )
    return Given(images)


def _check(measures: Sequence[str], sorts: bool, pictures: Pictures, factor: int, border: int) -> None:
    """ConfigError for a measure there is none of, for one whose network is missing, and for a picture too small."""
    for name in measures:
        if name == "accuracy":
            if not sorts:
                raise ConfigError("accuracy needs a classifier of yours, and labels")
        elif name not in EXTRA:
            raise ConfigError(f"there is no measure {name!r} to add{nearest(name, list(EXTRA))}")
    for name, pixels in zip(pictures.names, pictures.pixels, strict=True):
        if factor <= min(pixels.shape[:2]) < smallest(factor, border):
            raise ConfigError(
                f"{name} has {pixels.shape[1]}x{pixels.shape[0]} pixels, of which a border of {border} leaves nothing; "
                "leave it out, or give a smaller border"
            )


def _batches(pictures: Pictures, factor: int, batch: int | None) -> Iterator[list[int]]:
    """The pictures' numbers in order, in runs of one size."""
    run: list[int] = []
    for index, pixels in enumerate(pictures.pixels):
        size = _size(pixels, factor)
        if not all(size):
            raise ConfigError(f"{pictures.names[index]} is smaller than {factor} pixels and cannot be measured")
        most = batch or (16 if max(size) <= 256 else 1)
        if run and (len(run) >= most or _size(pictures.pixels[run[0]], factor) != size):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _size(pixels: np.ndarray, factor: int) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    return height - height % factor, width - width % factor


def _clean(pixels: np.ndarray, factor: int) -> Tensor:
    height, width = _size(pixels, factor)
    return torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1).float() / 127.5 - 1
