"""Whole pictures for tasks that need them whole: reduced to what a model is for, and brought back to full size.

Of a picture with a hole a model for small ones is shown the part around the hole, so that less need be reduced.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.wrap import known
from sr3.model.config import ConfigError, ModelConfig
from sr3.model.model import Model
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize, round8, shrink
from sr3.random import staged
from sr3.restore.agreement import FREE, HELD, Agreement
from sr3.restore.restored import Restored, restored
from sr3.restore.restorer import Progress, Restorer, needs_picture
from sr3.task import TASKS, Given, Restoration, SuperResolution
from sr3.task.inpainting import joined

_PART = 0x9A27
"""The stages after this one of a picture's making are those of its parts but the first, which is made as if it were
alone: no stage of a pass, a detail or a step of uncropping, of which a part may be."""


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
    seed: int = 0,
    detail: Restorer | None = None,
    **options: Any,
) -> Iterator[Progress | Restored]:
    """`Restorer.stream` of a picture with what is given of it; options as there.

    A model for small pictures alone is shown a reduced one, and what it makes of that is enlarged and held to what is
    given at full size: colours to the luminance, fillings to the pixels around them.  PictureError for pictures so long
    and narrow that too little is left.
    detail: a model that enlarges, for holes that were filled in a reduced picture; see `check_detail`.
    """
    task, parts = needs_picture(restorer.model), _parts(restorer, given)
    options |= {"free": free, "fidelity": fidelity, "seed": seed}
    if not parts:
        yield from restorer.stream(source, given=given, **options)
        return
    held = Agreement(share=0.0 if free else fidelity)
    samples = options.get("samples", 1)
    # of several parts each sample is made by itself, with seeds that are a function of its own
    apart = len(parts) > 1 and samples > 1
    runs = [(n, k) for n in range(len(parts)) for k in range(samples if apart else 1)]
    whole: dict[int, Tensor] = {}
    # of several parts, which are of different sizes, a trace follows the largest
    main = max(range(len(parts)), key=lambda k: parts[k].given.image[0, 0].numel())
    for turn, (number, first) in enumerate(runs):
        part = parts[number]
        own: dict[str, Any] = options | {"seed": _seed(seed + first, number), "samples": 1 if apart else samples}
        for step in restorer.stream(Picture(part.small.image[0].clamp(-1, 1)), given=part.small, **own):
            if isinstance(step, Progress):
                done, follows = turn * step.total + step.done, None
                if len(parts) > 1:
                    follows = number == main and first == 0
                yield step._replace(done=done, total=len(runs) * step.total, follows=follows)
                continue
            for k, one in enumerate(step.variants, first):
                pixels = one.pixels.expand(3, -1, -1)[None]
                sized = _sized(task, pixels, part, detail, [_seed(seed + k, number)])
                whole[k] = _placed(whole.get(k), sized, part, given)
            if turn == len(runs) - 1:
                made = [_held(held, task, one, given) for one in whole.values()]
                hold = partial(held.finish, task, given=given) if task.colours else None
                note = {**step.note, "seed": str(seed), "samples": str(samples)}
                yield replace(restored(source, made, colours=task.colours, hold=hold), held=step.held, note=note)


def make(restorer: Restorer, given: Given, seeds: Sequence[int], *, free: bool = False, **options: Any) -> Tensor:
    """`Restorer.make` of a batch, reduced and brought to full size again where the model is for small pictures."""
    task, held = needs_picture(restorer.model), FREE if free else HELD
    if not _parts(restorer, given):
        return restorer.make(given, seeds, free=free, **options)
    # one by one, as each has its own parts
    done: list[Tensor] = []
    for k, seed in enumerate(seeds):
        one = given.of([k])
        whole = None
        for number, part in enumerate(_parts(restorer, one)):
            own = [_seed(seed, number)]
            made = restorer.make(part.small, own, free=free, **options)
            whole = _placed(whole, _sized(task, made, part, None, own), part, one)
        assert whole is not None
        done.append(held.finish(task, whole, one))
    return torch.cat(done)


def check_detail(detail: Restorer) -> None:
    """ConfigError where a model does not enlarge."""
    if not isinstance(detail.model.task, SuperResolution) or detail.model.task.factor < 2:
        raise ConfigError(f"{detail.model.config.name} does not enlarge; give a model that does, as photo-4x")


class _Part(NamedTuple):
    """Of a large picture what a model for small ones is shown.  rows, columns: where it is; given: what is given there;
    small: the same, reduced where it must be."""

    rows: slice
    columns: slice
    given: Given
    small: Given


def _seed(seed: int, number: int) -> int:
    """The seed of a part: one noise field for all would fill holes of one shape alike."""
    return staged(seed, number and _PART + number)


def _parts(restorer: Restorer, given: Given) -> list[_Part]:
    """What lies apart and is restored alone; nothing where the model can be shown the whole.  Parts do not overlap."""
    task, config = needs_picture(restorer.model), restorer.model.config
    whole, sides = task.result_size(given), config.sides
    if task.factor != 1 or sides is None or max(whole) <= sides[1]:
        return []
    return [_part(task, config, given, *window) for window in task.windows(given, sides[1])]


def _part(task: Restoration, config: ModelConfig, given: Given, rows: slice, columns: slice) -> _Part:
    assert config.sides is not None
    whole, sides = task.result_size(given), config.sides
    size = rows.stop - rows.start, columns.stop - columns.start
    part = given if size == whole else given.cut(rows, columns)
    most = max(size)
    if most <= sides[1]:
        return _Part(rows, columns, part, part)
    high, wide = (max(1, round(side * sides[1] / most)) for side in size)
    if min(high, wide) < sides[0]:
        raise PictureError(
            f"{config.name} is for pictures of {sides[0]} to {sides[1]} pixels a side, and of this one, "
            f"{whole[1]}x{whole[0]}, {wide}x{high} would be left; crop it"
        )
    return _Part(rows, columns, part, task.reduced(part, (high, wide)))


def _sized(task: Restoration, made: Tensor, part: _Part, detail: Restorer | None, seeds: Sequence[int]) -> Tensor:
    """What was made of a part of a picture, as large as that."""
    if (made.shape[-2], made.shape[-1]) == task.result_size(part.given):
        return made
    if detail is not None and part.given.mask is not None:
        return _detailed(detail, task, made, part.given, seeds)
    return task.enlarged(made, part.small, part.given)


def _held(held: Agreement, task: Restoration, made: Tensor, given: Given) -> Tensor:
    """Held to what is given, at full size, as far as is asked for: no walk has done so here."""
    if held.share in (0, 1):
        return held.finish(task, made, given)
    return made.clamp(-1, 1).lerp(task.finish(made, given), held.share)


def _placed(whole: Tensor | None, made: Tensor, part: _Part, given: Given) -> Tensor:
    """The picture with what was made of a part in its place; None: as it is given."""
    if part.given is given:
        return made
    whole = given.image.clamp(-1, 1) if whole is None else whole
    whole[..., part.rows, part.columns] = made
    return whole


def _detailed(detail: Restorer, task: Restoration, made: Tensor, given: Given, seeds: Sequence[int]) -> Tensor:
    """A small filling enlarged by a model, which is shown the known pixels at every step and every size."""
    check_detail(detail)
    factor, size = detail.model.task.factor, task.result_size(given)
    count = max(0, round(math.log(max(size) / max(made.shape[-2:])) / math.log(factor)))
    for left in range(count, 0, -1):
        high, wide = (factor * max(1, math.ceil(side / factor**left)) for side in size)
        larger = task.reduced(given, (high, wide))
        assert larger.mask is not None
        # what the model is held to has no step at the hole's border, and the known pixels around it
        small = Given(round8(shrink(joined(resize(made, (high, wide)), larger), factor)))
        own = [staged(seed, left) for seed in seeds]
        made = detail.make(small, own, wrap=partial(known, picture=larger.image, mask=larger.mask))
        made = torch.where(larger.mask, made, larger.image)
    return joined(resize(made, size).clamp(-1, 1), given)
