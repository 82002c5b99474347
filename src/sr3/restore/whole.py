"""Whole pictures for tasks that need them whole: reduced to what a model is for, and brought back to full size."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize
from sr3.restore.agreement import FREE, HELD, Agreement
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


def stream(
    restorer: Restorer,
    source: Picture,
    given: Given,
    *,
    free: bool = False,
    fidelity: float = 1.0,
    **options: Any,
) -> Iterator[Progress | Restored]:
    """`Restorer.stream` of a picture with what is given of it; options as there.

    A model for small pictures alone is shown a reduced one, and what it makes of that is enlarged and held to what is
    given at full size: colours to the luminance, fillings to the pixels around them.  PictureError for pictures so long
    and narrow that too little is left.
    """
    task, small = needs_picture(restorer.model), _small(restorer, given)
    options |= {"free": free, "fidelity": fidelity}
    if small is None:
        yield from restorer.stream(source, given=given, **options)
        return
    shown, held = Picture(small.image[0].clamp(-1, 1)), Agreement(share=0.0 if free else fidelity)
    for step in restorer.stream(shown, given=small, **options):
        if isinstance(step, Progress):
            yield step
        else:
            made = [_enlarged(task, one.pixels.expand(3, -1, -1)[None], given, held) for one in step.variants]
            yield replace(restored(source, made, colours=task.colours), held=step.held)


def make(restorer: Restorer, given: Given, seeds: Sequence[int], *, free: bool = False, **options: Any) -> Tensor:
    """`Restorer.make` of a batch, reduced and brought to full size again where the model is for small pictures."""
    small = _small(restorer, given)
    made = restorer.make(given if small is None else small, seeds, free=free, **options)
    return made if small is None else _enlarged(needs_picture(restorer.model), made, given, FREE if free else HELD)


def _enlarged(task: Restoration, made: Tensor, given: Given, held: Agreement) -> Tensor:
    """What was made of a reduced picture, at full size and held to what is given there."""
    return held.finish(task, resize(made, task.result_size(given)).clamp(-1, 1), given)


def _small(restorer: Restorer, given: Given) -> Given | None:
    """What a model for small pictures is shown of a larger one; None where it can be shown all."""
    task, config = needs_picture(restorer.model), restorer.model.config
    size, sides = task.result_size(given), config.sides
    if task.factor != 1 or sides is None or max(size) <= sides[1]:
        return None
    high, wide = (max(1, round(side * sides[1] / max(size))) for side in size)
    if min(high, wide) < sides[0]:
        raise PictureError(
            f"{config.name} is for pictures of {sides[0]} to {sides[1]} pixels a side, and of this one, "
            f"{size[1]}x{size[0]}, {wide}x{high} would be left; crop it"
        )
    return task.reduced(given, (high, wide))
