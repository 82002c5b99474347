"""Methods: the ways of restoring that are compared, on the same pictures and from the same noise."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sr3.model.config import ConfigError, Sampling
from sr3.model.model import Model
from sr3.model.shipped import names
from sr3.picture.resize import round8
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import Given


def regression_of(model: Model) -> Model | None:
    """The regression baseline that comes with the package for this model, if there is one for what it does."""
    wanted = f"{model.config.name}-regression"
    found = Model.from_pretrained(wanted) if wanted in names() else None
    return found if found is not None and _fits(found, model) else None


def _fits(regression: Model, model: Model) -> bool:
    """Whether it is a regression, and makes pictures as large as the model's."""
    return not regression.walk.varies and regression.task.factor == model.task.factor


def regression_beside(restorer: Restorer, name: str | Path | None = None) -> Restorer | None:
    """A regression model by its name, else `regression_of` a restorer's model, made ready as that one is.

    ConfigError for one that is named and is no regression, or makes pictures of another size.
    """
    model = Model.from_pretrained(name) if name else regression_of(restorer.model)
    if model is not None and not _fits(model, restorer.model):
        own = restorer.model
        why = f"it makes pictures {model.task.factor} times larger, and {own.config.name} {own.task.factor} times"
        why = "it is a diffusion model" if model.walk.varies else why
        raise ConfigError(f"{name} is no baseline for {own.config.name}, as {why}; give another --regression")
    return None if model is None else restorer.beside(model)


@dataclass(frozen=True)
class Made:
    """One method's results for a batch, on [0, 1] in 8-bit steps: [B, 3, H, W]."""

    method: str
    pictures: Tensor
    seconds: float
    free: Tensor | None = None
    """Made without projection."""
    samples: list[Tensor] = field(default_factory=list)
    """All samples that a mean is of."""

    @property
    def finite(self) -> Tensor:
        """Bool [B]: False where a picture is not finite though computed in fp32, or is the mean of one that is not."""
        both = self.pictures if self.free is None else self.pictures + self.free
        return torch.isfinite(both).flatten(1).all(1)


@dataclass(frozen=True)
class Ways:
    """The baseline, the regression where there is one, a sample of the model, and the mean of several."""

    restorer: Restorer
    regression: Restorer | None
    settings: Sampling
    samples: int
    seed: int
    free: bool
    beside: bool = True
    """Whether a sample is made without projection too."""

    @property
    def own(self) -> list[str]:
        """What the model's own results are called: a sample, and where there are several their mean."""
        found = self.restorer.model.methods(self.samples)
        return ["model", *found[1:]] if self.regression and found[0] == "regression" else found

    @property
    def methods(self) -> list[str]:
        """All names, in the order in which the results come."""
        baseline = needs_picture(self.restorer.model).baseline_name
        return [baseline, *(["regression"] if self.regression else []), *self.own]

    def __call__(self, given: Given, indices: Sequence[int]) -> Iterator[Made]:
        """Restore a batch, each picture by its number, by every method in turn."""
        task, (one, *mean) = needs_picture(self.restorer.model), self.own
        plain = rounded(task.baseline(given))
        yield Made(task.baseline_name, plain, 0.0, plain)
        if self.regression:
            yield self._one("regression", self.regression, given, [0] * len(indices))[0]
        seeds = [[mix(self.seed, index, k) for index in indices] for k in range(self.samples)]
        made, first = self._one(one, self.restorer, given, seeds[0])
        yield made
        if mean:
            began = time.perf_counter()
            variants = [first, *(self._make(self.restorer, given, each, self.free) for each in seeds[1:])]
            whole = torch.stack(variants).mean(0)
            took = made.seconds + time.perf_counter() - began
            yield Made(mean[0], rounded(whole), took, samples=[rounded(v) for v in variants])

    def _one(self, method: str, restorer: Restorer, given: Given, seeds: list[int]) -> tuple[Made, Tensor]:
        """The results, and what they are before they are rounded."""
        began = time.perf_counter()
        made = self._make(restorer, given, seeds, self.free)
        took = time.perf_counter() - began
        free = made if self.free else self._make(restorer, given, seeds, True) if self.beside else None
        return Made(method, rounded(made), took, None if free is None else rounded(free)), made

    def _make(self, restorer: Restorer, given: Given, seeds: list[int], free: bool) -> Tensor:
        settings = self.settings if restorer is self.restorer else None
        return make(restorer, given, seeds, free=free, settings=settings, check=False)


def rounded(made: Tensor) -> Tensor:
    """[-1, 1] on [0, 1], as a file with 8 bits holds it."""
    return (round8(made) + 1) / 2
