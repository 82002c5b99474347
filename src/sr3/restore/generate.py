"""Generation: pictures from nothing but noise, by one model or by a cascade of models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.sample import Step
from sr3.model import cascade as cascades
from sr3.model.config import ConfigError, Sampling
from sr3.model.model import Model
from sr3.picture.resize import round8
from sr3.random import staged
from sr3.restore.restorer import Restorer
from sr3.task import Generation, Given, SuperResolution

PIXELS_AT_ONCE = 16 * 128 * 128
"""Pixels of the result that are computed in one batch by default, in at most `MOST` pictures."""

MOST = 64


class Walking(NamedTuple):
    """Where the making of a batch stands."""

    done: int
    """Steps, of all batches and models."""
    total: int
    stage: int
    """Which of the models is walking, from 0."""
    seeds: list[int]
    """Of the pictures of this batch."""
    step: Step


class Made(NamedTuple):
    """A finished batch."""

    seeds: list[int]
    pictures: Tensor
    """[B, 3, H, W] in [-1, 1], on the CPU."""


class Cascade:
    """Models that make pictures together: the first from nothing, each of the others larger what came before.

        cascade = Cascade.load("face-16", "face-8x")
        faces = cascade(4, seed=7)

    Each of the others is given the result before it rounded to 8 bits, as it would be if that had been a file.
    device, precision, tile: as for `Restorer`.
    ConfigError where the chain does not fit; see `sizes`.
    """

    def __init__(self, models: Sequence[Model], **options: Any):
        self.sizes = sizes(models)
        """(height, width) of what each model makes."""
        self.stages = [Restorer(model, **options) for model in models]
        self.told: dict[str, list[Any]] = {}
        """How each is sampled where nobody asks; what is not told is the model's own way."""

    @classmethod
    def load(cls, *names: str | Path, **options: Any) -> "Cascade":
        """A cascade by its models' names, files or Hub ids."""
        return cls([Model.from_pretrained(name) for name in names], **options)

    @classmethod
    def from_toml(cls, name: str | Path, **options: Any) -> "Cascade":
        """A cascade by its file, as `sr3 train` writes one for a cascade; sampled as the file says where not asked."""
        told = cascades.load(str(name))
        made = cls.load(*told.models(), **options)
        made.told = told.asked()
        return made

    @property
    def name(self) -> str:
        """The models' names, joined by +."""
        return "+".join(stage.model.config.name for stage in self.stages)

    def settings(
        self,
        *,
        steps: int | Sequence[int] | None = None,
        sampler: str | Sequence[str] | None = None,
        spacing: str | Sequence[str] | None = None,
        quality: str | Sequence[str] | None = None,
    ) -> list[Sampling]:
        """How each model is sampled: its own way, but for what is asked, of all alike or of each in turn."""
        asked = {"steps": steps, "sampler": sampler, "spacing": spacing, "quality": quality}
        told = self.told if quality is None else {}  # which says it all
        asked = {what: told.get(what) if value is None else value for what, value in asked.items()}
        each = {what: _each(what, value, len(self.stages)) for what, value in asked.items()}
        return [stage.settings(**{what: v[k] for what, v in each.items()}) for k, stage in enumerate(self.stages)]

    def labels(self, seeds: Sequence[int], classes: Sequence[str | int] | None = None) -> Tensor | None:
        """The class of each picture, int64 [B]: of those asked for, by default all, the one in its seed's turn.

        None where the first model knows no classes.  ConfigError for a class that there is none of.
        """
        task = self.stages[0].model.task
        assert isinstance(task, Generation)
        try:
            asked = [task.number(name) for name in classes] if classes else list(range(task.count))
        except ValueError as error:
            raise ConfigError(f"{self.stages[0].model.config.name}: {error}") from error
        return torch.tensor([asked[seed % len(asked)] for seed in seeds]) if asked else None

    def stream(
        self,
        count: int = 1,
        *,
        seed: int = 0,
        batch: int | None = None,
        classes: Sequence[str | int] | None = None,
        **options: Any,
    ) -> Iterator[Walking | Made]:
        """Make `count` pictures, step by step: yields a `Walking` for each step and a `Made` for each batch.

        seed: picture k is a function of seed + k alone, whatever the batch.
        classes: of the pictures, in turn, by name or number; by default all that the first model knows.
        batch: how many are made at once; by default as many as `PIXELS_AT_ONCE` allows.
        Options as for `settings`.  ConfigError for what cannot be made.
        """
        settings = self.settings(**options)
        high, wide = self.sizes[-1]
        batch = max(1, min(MOST, PIXELS_AT_ONCE // (high * wide))) if batch is None else batch
        if count < 1 or batch < 1:
            raise ConfigError(f"{count} pictures cannot be made in batches of {batch}; give at least 1 of each")
        first = self.stages[0].model.task
        assert isinstance(first, Generation)
        parts = [list(range(seed + k, seed + min(k + batch, count))) for k in range(0, count, batch)]
        per_part = sum(how.steps for how in settings)
        for number, seeds in enumerate(parts):
            given, made = first.empty(len(seeds), self.labels(seeds, classes)), torch.empty(0)
            for index, (stage, how) in enumerate(zip(self.stages, settings, strict=True)):
                own = [staged(s, index) for s in seeds]  # the first model makes with a seed what it makes alone
                done, step = number * per_part + sum(s.steps for s in settings[:index]), None
                for step in stage.refine(given, own, settings=how):
                    done += 1
                    yield Walking(done, per_part * len(parts), index, seeds, step)
                assert step is not None
                made = stage.finish(step.x, given, own, settings=how)
                given = Given(round8(made))
            yield Made(seeds, made)

    def __call__(self, count: int = 1, **options: Any) -> Tensor:
        """`count` pictures, [count, 3, H, W] in [-1, 1] on the CPU; options as for `stream`."""
        return torch.cat([part.pictures for part in self.stream(count, **options) if isinstance(part, Made)])


def sizes(models: Sequence[Model]) -> list[tuple[int, int]]:
    """(height, width) of what each model of a chain makes.  ConfigError with the reason where the chain does not fit.

    The first makes pictures from nothing, every other enlarges, and each gets a size that it is for.
    """
    if not models:
        raise ConfigError("a cascade needs a model to begin with")
    first, *others = models
    if not isinstance(first.task, Generation):
        raise ConfigError(
            f"{first.config.name} needs a picture and makes none from nothing; "
            "begin with a model for that, such as face-16, or use sr3 upscale"
        )
    found = [first.task.sides]
    for model in others:
        name, (high, wide) = model.config.name, found[-1]
        if isinstance(model.task, Generation):
            raise ConfigError(f"{name} makes pictures from nothing, which only the first of a cascade can do")
        if not isinstance(model.task, SuperResolution):
            raise ConfigError(f"{name} does not enlarge pictures, and has no place in a cascade")
        if model.config.sides is not None and not (
            model.config.sides[0] <= min(high, wide) and max(high, wide) <= model.config.sides[1]
        ):
            raise ConfigError(
                f"{name} is for pictures of {model.config.sides[0]} to {model.config.sides[1]} pixels a side, "
                f"and what is made before it has {wide}x{high}"
            )
        found.append((high * model.task.factor, wide * model.task.factor))
    return found


def _each(what: str, asked: Any, count: int) -> list[Any]:
    """What is asked of each of so many models."""
    values: list[Any] = list(asked) if isinstance(asked, list | tuple) else [asked]
    if len(values) not in (1, count):
        raise ConfigError(f"{len(values)} {what} are given for {count} models; give one for all, or one for each")
    return values * (count // len(values))


def grid(pictures: Tensor, gap: int = 2) -> Tensor:
    """[N, 3, H, W] beside one another on white, about as many in a row as there are rows: [3, H', W']."""
    count, channels, high, wide = pictures.shape
    columns = min(count, max(1, round((count * high / wide) ** 0.5)))
    rows = -(-count // columns)
    page = pictures.new_ones(channels, rows * (high + gap) - gap, columns * (wide + gap) - gap)
    for k, picture in enumerate(pictures):
        top, left = k // columns * (high + gap), k % columns * (wide + gap)
        page[:, top : top + high, left : left + wide] = picture
    return page
