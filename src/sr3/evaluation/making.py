"""Tables 4 and 5's protocol: pictures made from nothing, of each class as many, against as many real ones.

Saharia et al. (2021): 50 000 pictures of 256x256, made by a cascade that is told the class, and their FID.  Table 5 is
the same of cascades that differ in one thing: they have a row each, of the same classes and seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.evaluate import Progress
from sr3.evaluation.likeness import reduced
from sr3.evaluation.method import rounded
from sr3.evaluation.protocol import OF_SHARES, digest, where
from sr3.evaluation.result import Result, Row
from sr3.metric import SWD, Metric
from sr3.metric.accuracy import Accuracy
from sr3.metric.extra import Extra, extra
from sr3.metric.features import Features, MissingError
from sr3.metric.lite import said
from sr3.metric.swd import patches_for
from sr3.model.config import ConfigError, nearest
from sr3.picture.collection import Pictures
from sr3.restore.generate import Cascade, Walking

OF_SETS = ("fid", "kid", "is", "frechet", "kernel")
"""The measures that need no original of each picture."""

COUNT = 50_000
"""Pictures, where there are as many to compare with."""


@dataclass(frozen=True)
class _Asked:
    """What every cascade is measured by."""

    measures: Sequence[str]
    features: Features | None
    classifier: Features | None
    seed: int
    classes: Sequence[str | int] | None


def evaluate_made(
    cascades: Sequence[Cascade],
    pictures: Pictures,
    *,
    count: int | None = None,
    seed: int = 0,
    classes: Sequence[str | int] | None = None,
    measures: Sequence[str] = (),
    features: Features | None = None,
    classifier: Features | None = None,
    batch: int | None = None,
    data: str = "",
    **options: Any,
) -> Iterator[Progress | Result]:
    """Make `count` pictures by each cascade and measure them; yields progress and last a result with a row for each.

    The first `count` of `pictures` are what they are compared with: their largest middle cuts, reduced to the size.
    seed: picture k is made with seed * count + k, so that runs of two seeds have no picture in common.
    classes: in turn, by default all that the cascade knows, so that of each there are as many.
    measures: of `OF_SETS`; features: a network for "frechet" and "kernel"; classifier: "accuracy" and "accuracy_5" are
    the shares of pictures in which it finds the class that was asked for.
    ConfigError for too few pictures, cascades of several sizes, and measures that need an original.
    """
    count = min(len(pictures), COUNT) if count is None else count
    sizes = {cascade.sizes[-1] for cascade in cascades}
    if len(sizes) != 1:
        raise ConfigError("the cascades make pictures of several sizes, whose distances cannot be compared")
    if not 2 <= count <= len(pictures):
        raise ConfigError(f"{count} pictures cannot be compared with {len(pictures)}; give as many, and at least 2")
    if unknown := [name for name in measures if name not in OF_SETS]:
        raise ConfigError(f"there is no measure {unknown[0]!r} of made pictures{nearest(unknown[0], list(OF_SETS))}")
    target = _bytes(pictures.first(count), next(iter(sizes)))
    asked = _Asked(measures, features, classifier, seed, classes)
    protocol: dict[str, Any] = {"table": "4 and 5 of Saharia et al. (2021)", "data": data, "pictures": count}
    protocol |= where(cascades[0].stages[0].device, cascades[0].stages[0].dtype)
    protocol |= {"seed": seed, "seeds": "picture k: seed * pictures + k, counted from 0"}
    protocol |= {"classes": list(classes) if classes else "each that there is, in turn"}
    protocol |= {"interval": f"95 %: jackknife over groups of pictures; {OF_SHARES}"}
    protocol |= {"classifier": said(classifier) if classifier is not None else None, "cascades": [], "notes": []}
    found: list[Row] = []
    for number, cascade in enumerate(cascades):
        metrics, more = _metrics(cascade, count, asked)
        done = 0
        for step in cascade.stream(count, seed=seed * count, batch=batch, classes=classes, **options):
            if isinstance(step, Walking):
                yield Progress(number * count + done, len(cascades) * count)
                continue
            made, there = rounded(step.pictures), target[done : done + len(step.pictures)].float() / 255
            try:
                for metric in metrics:
                    metric.update(made, there, there)
            except MissingError as error:
                raise ConfigError(str(error)) from error
            done += len(made)
        named = [one.name for one in cascades]
        label = cascade.name if named.count(cascade.name) == 1 else f"{cascade.name} ({number + 1})"
        found.append(_row(label, metrics, seed))
        protocol["cascades"].append(_told(cascade, options))
        protocol |= {name: line for name, line in more.said.items() if name in OF_SETS}
        protocol["notes"] += [note for note in more.notes if note not in protocol["notes"]]
    yield Result(protocol, found)


def _bytes(pictures: Pictures, size: tuple[int, int]) -> Tensor:
    """Their largest middle cuts, reduced, in 8 bits: [N, 3, height, width], a quarter of what floats would take."""
    rows = zip(pictures.names, pictures.pixels, strict=True)
    return torch.cat([((reduced(Pictures([n], [p]), size) + 1) * 127.5).round().byte() for n, p in rows])


def _metrics(cascade: Cascade, count: int, asked: _Asked) -> tuple[list[Metric], Extra]:
    """The measures of one cascade, anew."""
    more = extra(asked.measures, features=asked.features, pictures=count, device=cascade.stages[0].device)
    metrics: list[Metric] = [SWD(patches_for(count))]
    metrics += [m for m in more.make() if set(m.compute()) <= set(OF_SETS)]
    begin = asked.seed * count
    labels = cascade.labels(range(begin, begin + count), asked.classes)
    if asked.classifier is not None:
        if labels is None:
            raise ConfigError(f"{cascade.name} knows no classes that a classifier could find")
        metrics.append(Accuracy(asked.classifier, labels.tolist()))
    return metrics, more


def _row(name: str, metrics: Sequence[Metric], seed: int) -> Row:
    row: Row = {"method": name, "interval": {}}
    for metric in metrics:
        own = {k: v for k, v in metric.compute().items() if k != "agreement"}
        row |= own
        row["interval"] |= {k: list(ends) for k, ends in metric.intervals(seed).items() if k in own}
    return row


def _told(cascade: Cascade, options: dict[str, Any]) -> dict[str, Any]:
    """Who made the pictures, and how."""
    settings = cascade.settings(**options)
    return {
        "models": [stage.model.config.name for stage in cascade.stages],
        "weights": [digest(stage.model) for stage in cascade.stages],
        "steps": [how.steps for how in settings],
        "samplers": [how.sampler["kind"] for how in settings],
        "sampling": [how.model_dump(mode="json", exclude_none=True) for how in settings],
        "size": list(cascade.sizes[-1]),
        "precision": str(cascade.stages[0].dtype).removeprefix("torch."),
    }
