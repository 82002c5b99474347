"""Small pictures of one size, which an accelerator computes at once."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sr3.cli.jobs import Job
from sr3.cli.steps import Made, Ready

if TYPE_CHECKING:
    from sr3.restore.many import One

Waiting = tuple[Job, "Future[tuple[Any, ExitStack]]"]
"""A job and what comes of getting it ready: a `Ready` or whatever stands in its place, and what is to be closed."""

Together = Callable[[list[Ready]], "Iterator[One]"]
"""What becomes of several pictures of one size, in their order."""


def at_once(asked: int | None, device: str) -> int:
    """How many small pictures are computed at once: as many as were asked for, else what suits the device."""
    from sr3.model.device import pick_device
    from sr3.restore.many import suits

    return asked or suits(pick_device(device))


def gathered(waiting: Iterable[Waiting], most: int) -> Iterator[list[Waiting]]:
    """Jobs in their order, of which neighbours that may be computed at once come together, so many at most."""
    some: list[Waiting] = []
    before: Any = None
    for job, ready in waiting:
        own = _alike(ready) if most > 1 else None
        if some and (own is None or own != before or len(some) == most):
            yield some
            some = []
        some.append((job, ready))
        if own is None:
            yield some
            some = []
        before = own
    if some:
        yield some


def _alike(ready: "Future[tuple[Any, ExitStack]]") -> Any:
    """What pictures must have in common; None of one that goes alone, as all do that are not decoded or not small.

    A JPEG file is held to bins of its own.
    """
    from sr3.picture.kinds import is_jpeg
    from sr3.restore.many import SMALL

    if ready.exception() is not None:
        return None
    found, _ = ready.result()
    if not isinstance(found, Ready) or found.holds is found.source or found.size[0] * found.size[1] > SMALL:
        return None
    if is_jpeg(found.source):
        return None
    return id(found.choice.restorer), found.have, found.size


def made_together(together: Together | None, some: list[Waiting]) -> list[Made | None]:
    """What the network makes of several pictures that `gathered` found; None of those that are to be made alone."""
    if together is None or len(some) == 1:
        return [None] * len(some)
    from sr3.restore.fault import code_and_sentence

    began = time.monotonic()
    try:
        ones = list(together([ready.result()[0] for _, ready in some]))
    except Exception as error:
        if code_and_sentence(error) is None:  # no fault of a picture or of the machine
            raise
        return [None] * len(some)  # each will say what is wrong with it, and alone some may fit
    now = time.monotonic()
    each = now - (now - began) / len(some)
    return [one.result and Made(each, one.result.variants, one.result.held, []) for one in ones]
