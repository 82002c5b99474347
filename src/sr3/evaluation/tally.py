"""The tally of an evaluation: each method's measures over all pictures, and the pictures that are kept to look at."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sr3.evaluation.method import Made, Ways
from sr3.evaluation.result import Row, Shown
from sr3.metric import PSNR, SSIM, SWD, Consistency, Metric, Tint
from sr3.metric.colourfulness import Colourfulness
from sr3.metric.diversity import Diversity
from sr3.metric.extra import Extra
from sr3.metric.join import Join
from sr3.metric.psnr import MOST
from sr3.restore.restored import spread
from sr3.restore.restorer import needs_picture
from sr3.task import Given, again

OTHERS = 4
"""How many samples beside the first a picture of the gallery shows."""


@dataclass
class _Method:
    """What is measured of one method."""

    metrics: list[Metric]
    free: Consistency
    held: Consistency = field(default_factory=Consistency)
    join: Join | None = None
    """Of tasks that make holes."""
    seconds: float = 0.0
    pictures: int = 0
    measured: list[int] = field(default_factory=list)
    """The numbers of those that are finite."""

    @property
    def lost(self) -> int:
        return self.pictures - len(self.measured)

    def each(self, values: list[float]) -> list[float]:
        """One value for every picture, NaN for those that were not measured; none for measures of a whole set."""
        if not self.lost or not values:
            return values
        known = dict(zip(self.measured, values, strict=True))
        return [known.get(number, math.nan) for number in range(self.pictures)]


@dataclass(frozen=True)
class Batch:
    """Pictures that are measured together: originals [B, 3, H, W] in [0, 1], and what was given of them."""

    original: Tensor
    given: Given
    shown: list[Shown] = field(default_factory=list)
    """For the first of them that are kept."""

    def keep(self, name: str, pictures: Tensor) -> None:
        """Remember these of the pictures that are kept."""
        for one, picture in zip(self.shown, pictures, strict=False):
            whole = (picture.nan_to_num().clamp(0, 1).permute(1, 2, 0) * 255).round()
            one.pictures[name] = whole.to(torch.uint8).numpy()


class Tally:
    """Adds up what `Ways` makes."""

    def __init__(self, ways: Ways, more: Extra, border: int, patches: int):
        self.task = needs_picture(ways.restorer.model)
        self.own, self.diversity = ways.own, Diversity(more.lpips)
        coloured = lambda: [Colourfulness()] if self.task.colours else []  # noqa: E731
        self.methods = {
            method: _Method(
                [PSNR(border), SSIM(border), SWD(patches), Tint(), *coloured(), *more.make()],
                Consistency(name="consistency_free"),
            )
            for method in ways.methods
        }

    def add(self, made: Made, batch: Batch) -> None:
        """Measure one method's results for a batch; those that are not finite are counted instead."""
        method, (one, *mean) = self.methods[made.method], self.own
        there = made.finite
        chosen: Callable[[Tensor], Tensor] = (lambda x: x) if there.all() else (lambda x: x[there])
        part = batch.given if there.all() else batch.given.of(there.nonzero().flatten().tolist())
        original, given = chosen(batch.original), (part.image + 1) / 2
        if there.any():
            pictures = chosen(made.pictures)
            for metric in method.metrics:
                metric.update(pictures, original, given)
            method.held.update(again(self.task, pictures, part), original, given)
            if part.mask is not None:
                method.join = method.join or Join()
                method.join.update(pictures, part.mask)
            if made.free is not None:
                method.free.update(again(self.task, chosen(made.free), part), original, given)
        method.seconds += made.seconds
        method.measured += [method.pictures + k for k in there.nonzero().flatten().tolist()]
        method.pictures += len(made.pictures)
        batch.keep(made.method, made.pictures)
        for k, variant in enumerate(made.samples[1 : OTHERS + 1], start=2):
            batch.keep(f"{one} #{k}", variant)
        if mean and made.method == mean[0]:
            samples = torch.stack(made.samples)
            if there.any():
                self.diversity.update(torch.stack([chosen(s) for s in made.samples]), original)
            batch.keep("spread", spread(samples, extent=1).expand(-1, 3, -1, -1))

    def notes(self) -> list[str]:
        """What a reader must know of the numbers: whose results are not all there, and which are beyond measure."""
        exact = {name: m.metrics[0].each().get("psnr", []).count(MOST) for name, m in self.methods.items()}
        return [
            f"{name}: {m.lost} of {m.pictures} pictures have no finite result, even in fp32, and are left out of it"
            for name, m in self.methods.items()
            if m.lost
        ] + [
            f"{name}: {count} of {self.methods[name].pictures} pictures are their originals but for less than can be "
            f"measured, and count with {MOST:g} dB"
            for name, count in exact.items()
            if count
        ]

    def rows(self, seed: int, shown: Sequence[Shown]) -> tuple[list[Row], dict[str, dict[str, list[float]]]]:
        """A row for each method, and each picture's values; those of the pictures shown are written to them."""
        rows: list[Row] = []
        each: dict[str, dict[str, list[float]]] = {}
        for name, method in self.methods.items():
            row: Row = {"method": name, "interval": {}}
            each[name] = {}
            for metric in (*method.metrics, method.held, method.free, *([method.join] if method.join else [])):
                row |= metric.compute()
                row["interval"] |= {measure: list(ends) for measure, ends in metric.intervals(seed).items()}
                each[name] |= {measure: method.each(values) for measure, values in metric.each().items()}
            if len(self.own) > 1 and name == self.own[0]:
                # what the samples' diversity says, it says of the method that they are drawn with
                row |= self.diversity.compute()
                row["interval"] |= {m: list(ends) for m, ends in self.diversity.intervals(seed).items()}
                whole = self.methods[self.own[1]]
                each[name] |= {measure: whole.each(values) for measure, values in self.diversity.each().items()}
            row["seconds"] = method.seconds / max(method.pictures, 1)
            rows.append(row)
        for index, one in enumerate(shown):
            one.measures.update({m: {n: v[index] for n, v in values.items() if v} for m, values in each.items()})
        return rows, each
