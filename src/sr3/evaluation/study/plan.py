"""The order of the trials: balanced, and a function of the seed and the rater alone."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from sr3.model.config import ConfigError
from sr3.random import mix, uniforms

T = TypeVar("T")
Side = Literal["left", "right"]
Task = Literal["shown", "hidden"]

TASKS: dict[Task, str] = {
    "shown": "the picture given is shown between the two (the paper's Task 1)",
    "hidden": "the picture given is not shown (the paper's Task 2)",
}
QUESTIONS: dict[Task, str] = {
    "shown": "Which is the better high-quality version of the picture in the middle?",
    "hidden": "Which one would you guess is from a camera?",
}
"""What the page asks, after section 4.2.1 of the paper, in words that are true of every task's pictures."""
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Trial:
    """One question.  side: where the photograph is."""

    task: Task
    picture: str
    method: str
    side: Side


def plan(
    names: Sequence[str],
    methods: Sequence[str],
    rater: str,
    *,
    tasks: Sequence[Task] = ("shown", "hidden"),
    limit: int | None = None,
    seed: int = 0,
) -> list[Trial]:
    """The trials of one rater in order, a function of the arguments alone.

    limit: trials per task; by default as many as there are pictures.  A rater meets a picture once per task, and again
    with another method only where the limit is above the number of pictures; two tasks share no picture where the
    limit is at most half of them.  Within a task the methods are used equally often, and the photograph stands
    equally often at either side, over all and for each method: each to within one.  Tasks come one after the other,
    in an order that depends on the rater.  ConfigError for a limit beyond all pairs of picture and method.
    """
    count = len(names) if limit is None else limit
    if not 1 <= count <= len(names) * len(methods):
        raise ConfigError(f"{count} trials cannot be drawn from {len(names)} pictures and {len(methods)} methods")
    who = int.from_bytes(hashlib.sha256(rater.encode()).digest()[:7], "big")
    pictures = _shuffled(names, seed, who, 0)
    found: list[Trial] = []
    for place, task in enumerate(_shuffled(tasks, seed, who, 1)):
        order = _shuffled(methods, seed, who, 2, place)
        # the second task begins where the first ended, so that it shows other pictures while there are any
        pool = np.roll(np.arange(len(names)), -place * min(count, len(names))).tolist()
        chosen: list[tuple[str, str]] = []
        for turn in range(len(methods)):
            # methods in turn through all rounds; the further shift keeps a picture from meeting one twice
            shift = turn * len(pool) + turn // (len(methods) // math.gcd(len(pool), len(methods)))
            ready = [(pictures[i], order[(k + shift) % len(methods)]) for k, i in enumerate(pool)]
            # cut before shuffling: the first so many have each method equally often
            chosen += _shuffled(ready[: count - len(chosen)], seed, who, 3, place, turn)
        # going through them method by method, and changing sides each time, balances each method and the whole; in a
        # chance order within a method, as the sides would else change from one question to the next, which is seen
        turns = sorted(_shuffled(range(count), seed, who, 5, place), key=lambda i: order.index(chosen[i][1]))
        first = mix(seed, who, 4, place) >> 5
        side: dict[int, Side] = {i: SIDES[(first + rank) % 2] for rank, i in enumerate(turns)}
        found += [Trial(task, picture, method, side[i]) for i, (picture, method) in enumerate(chosen)]
    return found


def _shuffled(items: Sequence[T], *numbers: int) -> list[T]:
    keys = uniforms(mix(*numbers), range(len(items)), 1)[:, 0]
    return [items[i] for i in np.argsort(keys, kind="stable")]
