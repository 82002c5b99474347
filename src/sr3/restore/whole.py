"""Whole pictures for tasks that need them whole: reduced to what a model is for, and brought back to full size."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.picture import Picture
from sr3.picture.resize import resize
from sr3.restore.restored import Restored, restored
from sr3.restore.restorer import Progress, Restorer, needs_picture
from sr3.task import TASKS, Given, Restoration


def set_task(model: Model, kind: str, use: str) -> Restoration:
    """The model's task, which must be of this kind; one of several tasks is made the one that is asked for.

    use: the command, for the sentence.  ConfigError where the model is for something else.
    """
    task = needs_picture(model)
    if (as_kind := getattr(task, "as_kind", None)) is not None:
        try:
            model.task = as_kind(kind)
        except ValueError as error:
            raise ConfigError(f"{model.config.name} cannot be used by sr3 {use}: {error}") from error
    elif not isinstance(task, TASKS[kind]):
        raise ConfigError(
            f"{model.config.name} is for {model.config.task.get('kind')} and not for {kind}; use sr3 {task.command}"
        )
    return needs_picture(model)


def stream(restorer: Restorer, source: Picture, given: Given, **options: Any) -> Iterator[Progress | Restored]:
    """`Restorer.stream` of a picture with what is given of it; options as there.

    A model for small pictures alone is shown a reduced one, and what it makes of that is enlarged and held to what is
    given at full size: colours to the luminance, fillings to the pixels around them.
    """
    task, small = needs_picture(restorer.model), _small(restorer, given)
    size = task.result_size(given)
    if small is None:
        yield from restorer.stream(source, given=given, **options)
        return
    shown = Picture(small.image[0].clamp(-1, 1))
    for step in restorer.stream(shown, given=small, **options):
        if isinstance(step, Progress):
            yield step
        else:
            large = [resize(made.pixels.expand(3, -1, -1)[None], size).clamp(-1, 1) for made in step.variants]
            variants: list[Tensor] = large if options.get("free") else [task.finish(x, given) for x in large]
            yield restored(source, variants, colours=task.colours)


def make(restorer: Restorer, given: Given, seeds: Sequence[int]) -> Tensor:
    """`Restorer.make` of a batch, reduced and brought to full size again where the model is for small pictures."""
    small = _small(restorer, given)
    if small is None:
        return restorer.make(given, seeds)
    task = needs_picture(restorer.model)
    return task.finish(resize(restorer.make(small, seeds), task.result_size(given)).clamp(-1, 1), given)


def _small(restorer: Restorer, given: Given) -> Given | None:
    """What a model for small pictures is shown of a larger one; None where it can be shown all."""
    task, sides = needs_picture(restorer.model), restorer.model.config.sides
    size = task.result_size(given)
    if task.factor != 1 or sides is None or max(size) <= sides[1]:
        return None
    share = sides[1] / max(size)
    return task.reduced(given, (max(1, round(size[0] * share)), max(1, round(size[1] * share))))
