"""What a walk takes beside its network: measured on a part of the picture before it begins, to say how long it will."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.level import Level
from sr3.restore.agreement import Agreement
from sr3.task import Given, SuperResolution, Task
from sr3.task.data_term import Exact

SIDE = 192
"""Pixels given of the side of the part that is measured."""

_LEAST = 2**20
"""Pixels of a result below which nothing is measured: it is there before one would read how long it takes."""

_VISITS = 5.0
"""Visits to the whole picture that the end of a walk comes to where it is held to bins or to noise; from 2 to 7."""


_LARGER = 1.7
"""How many times longer a pixel takes where the picture is larger than the cache, as the part is not."""


class Beside(NamedTuple):
    """A walk begins.  Seconds that each of its steps takes without the network, and its end; pixels of its result.

    asks: how often the network is asked in a step, where that is known; else 0.
    """

    step: float
    end: float
    area: int
    asks: int = 0


class Aside(NamedTuple):
    """What was done since the last word was not the network's, and was of so many pixels of a step; 0 at the end."""

    pixels: int


def beside(task: Task, held: Agreement, given: Given) -> Beside:
    """What a walk will take, by a part of it; nothing where it is short, or where what it is held to costs nothing."""
    high, wide = task.result_size(given)
    area = high * wide
    if area < _LEAST or not isinstance(task, SuperResolution) or given.image.device.type != "cpu":
        return Beside(0.0, 0.0, area)
    rows, columns = (
        slice(0, min(size, max(step, SIDE // step * step) + offset % step))
        for size, (step, offset) in zip(given.image.shape[-2:], held.term.grid, strict=True)
    )
    part = given.cut(rows, columns)
    own = Agreement(held.term.cut(rows, columns), held.share, held.reason)
    more = area / (part.image[0, 0].numel() * task.factor**2)
    x = task.baseline(part).clamp(-1, 1)
    own.project(task, x, part)  # the first time some tables are made
    step = _seconds(lambda: _step(own.project(task, x.clamp(-1, 1), part), x))
    if held.share < 1:
        end = 0.0
    elif isinstance(held.term, Exact):
        end = _LARGER * _seconds(lambda: task.finish(x, part))
    else:
        end = _VISITS * _seconds(lambda: own.visit(task, part, x, (rows, columns), 0))
    return Beside(step * more * len(given.image), end * more * len(given.image), area)


def _step(x0: Tensor, x: Tensor) -> Tensor:
    """As much arithmetic as a sampler does."""
    a, s = Level(torch.ones(()), torch.ones(())).like(x)
    return a * x0 + s * x + torch.randn_like(x) * s


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
