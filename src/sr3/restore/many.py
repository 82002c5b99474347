"""Many pictures by one restorer: decoded ahead, and small ones of one size computed together."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sr3.model.config import Sampling
from sr3.picture.bleed import bled
from sr3.picture.image import Decoded, decoded
from sr3.picture.picture import PictureError
from sr3.picture.resize import resize
from sr3.random import staged
from sr3.restore.agreement import Agreement, agreement, taken
from sr3.restore.large import out_of_memory
from sr3.restore.note import Noted, enlarging_note
from sr3.restore.restored import Restored, restored
from sr3.restore.size import check_sides, passes, target_size
from sr3.task import Given, Restoration
from sr3.task.data_term import Exact, Soft

BATCH = 16
"""Pictures that an accelerator is given at once by default."""

SMALL = 2**18
"""Pixels of a result up to which pictures are computed together; larger ones fill a device by themselves."""


def suits(device: torch.device) -> int:
    """How many small pictures are computed at once by default: a CPU gains nothing by more than one."""
    return 1 if device.type == "cpu" else BATCH


class Restores(Noted, Protocol):
    """What `many` needs of a `sr3.restore.restorer.Restorer`."""

    device: torch.device

    def make(self, given: Given, seeds: Sequence[int], *, settings: Sampling, held: Agreement) -> Tensor:
        """A batch."""
        ...

    def restore(self, picture: Any, **options: Any) -> Restored:
        """One picture."""
        ...


class One(NamedTuple):
    """What became of one of many: `result`, or the `error` in its place."""

    thing: Any
    result: Restored | None = None
    error: PictureError | None = None


class _Open(NamedTuple):
    thing: Any
    found: Decoded
    given: Given
    picture: Any
    held: Agreement


def many(
    restorer: Restores, things: Iterable[Any], *, ahead: int = 2, batch: int | None = None, **options: Any
) -> Iterator[One]:
    """Restore pictures in their order; one that cannot be read or restored gives its error, and the others go on.

    things: whatever `sr3.picture.image.decoded` takes, as they come: an endless iterable is not run through.
    ahead: how many are decoded, by threads, while the network computes.
    batch: how many small results of one size are computed at once; by default `BATCH` on an accelerator, and 1 on a
        CPU, which gains nothing by it.  The results are the same but for the last bits.
    Options as for `Restorer.stream`.
    """
    batch = suits(restorer.device) if batch is None else batch
    with ThreadPoolExecutor(max(1, ahead)) as pool:
        waiting: deque[tuple[Any, Future[Decoded]]] = deque()
        ready: list[tuple[Any, Future[Decoded]]] = []
        for thing in things:
            waiting.append((thing, pool.submit(decoded, thing)))
            if len(waiting) > max(ahead, batch - 1):
                ready.append(waiting.popleft())
            if len(ready) >= batch:
                yield from _some(restorer, ready, options)
                ready = []
        rest = [*ready, *waiting]
        for first in range(0, len(rest), max(1, batch)):
            yield from _some(restorer, rest[first : first + max(1, batch)], options)


def _some(restorer: Restores, ready: list[tuple[Any, Future[Decoded]]], options: dict[str, Any]) -> Iterator[One]:
    """Several pictures, of which those that go together and follow one another are computed at once."""
    opened: list[_Open | One] = []
    for thing, future in ready:
        try:
            opened.append(_opened(restorer, thing, future.result(), options))
        except PictureError as error:
            opened.append(One(thing, error=error))
    for together, group in groupby(opened, lambda one: _kind(restorer, one, options)):
        some = list(group)
        if together is not None and len(some) > 1:
            done: list[One] = []
            try:
                done = _at_once(restorer, [one for one in some if isinstance(one, _Open)], options)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            if done:
                yield from done
                continue
        # what was taken together, and was too much, is free here
        for one in some:
            if isinstance(one, One):
                yield one
                continue
            try:
                yield One(one.thing, restorer.restore(one.found, **options))
            except PictureError as error:
                yield One(one.thing, error=error)


def _opened(restorer: Restores, thing: Any, found: Decoded, options: dict[str, Any]) -> _Open:
    task, free = restorer.model.task, bool(options.get("free"))
    assert isinstance(task, Restoration)
    given, picture = taken(task, bled(found.picture), None if free else found.origin)
    fidelity = 0.0 if free else options.get("fidelity", 1.0)
    held = agreement(task, found.origin, picture, given=given, fidelity=fidelity, noise=options.get("noise"))
    return _Open(thing, found, given, picture, held)


def _kind(restorer: Restores, one: _Open | One, options: dict[str, Any]) -> Any:
    """What pictures must have in common to be computed at once; None: this one goes alone."""
    if isinstance(one, One) or options.get("samples", 1) != 1 or "given" in options:
        return None
    if options.get("keep") is not None:  # a mask is one picture's
        return None
    # what is known beside the pixels, as a file's coefficients are, is known of one picture alone
    usual = Given(one.given.image)
    if any(mine is not plain and mine != plain for mine, plain in zip(one.given[1:], usual[1:], strict=True)):
        return None
    if one.held.share > 0 and not isinstance(one.held.term, Exact | Soft):
        return None
    try:
        wide, high = _target(restorer, one, options)
    except PictureError:  # which is said where it is restored alone
        return None
    return None if wide * high > SMALL else (tuple(one.given.image.shape), one.held)


def _target(restorer: Restores, one: _Open, options: dict[str, Any]) -> tuple[int, int]:
    factor = restorer.model.task.factor
    have = (one.given.image.shape[-1], one.given.image.shape[-2])
    return target_size(have, factor, options.get("scale"), options.get("size"))


def _at_once(restorer: Restores, some: list[_Open], options: dict[str, Any]) -> list[One]:
    """Pictures of one size that are held alike, by one walk for all of them in each pass."""
    task, seed, held = restorer.model.task, int(options.get("seed", 0)), some[0].held
    assert isinstance(task, Restoration)
    asked: dict[str, Any] = {key: options.get(key) for key in ("steps", "sampler", "spacing", "quality")}
    how = restorer.settings(**asked)
    now = Given(torch.cat([one.given.image for one in some]))
    have, want = (now.image.shape[-1], now.image.shape[-2]), _target(restorer, some[0], options)
    count = passes(have, want, task.factor)
    try:
        check_sides(restorer.model.config, have, task.factor ** (count - 1))
    except PictureError as error:
        return [One(one.thing, error=error) for one in some]
    for number in range(count):
        own = held if number == 0 else Agreement(share=held.share)
        now = Given(restorer.make(now, [staged(seed, number)] * len(some), settings=how, held=own))
    made: Tensor = now.image
    if (made.shape[-1], made.shape[-2]) != want:
        made = resize(made, (want[1], want[0]))
    done: list[One] = []
    for one, pixels in zip(some, made, strict=True):
        found = restored(one.picture, [pixels[None]], colours=task.colours)
        note = enlarging_note(restorer, options, one.found.origin)
        done.append(One(one.thing, Restored(found.variants, held=held.said, note=note)))
    return done
