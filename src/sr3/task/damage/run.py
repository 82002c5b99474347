"""Carrying out plans of damage, each picture's its own, together where the device likes company."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3.picture.resize import shrink
from sr3.random import Stream
from sr3.task.damage import operators


class Step(NamedTuple):
    """One operation on one picture: options that must be equal where several share a call, and the knobs' values."""

    kind: str
    options: tuple[tuple[str, Any], ...] = ()
    values: tuple[float, ...] = ()


Plan = tuple[Step, ...]

OPERATORS: dict[str, Callable[..., Tensor]] = {
    "plain": shrink,
    "blur": operators.blur,
    "resize": operators.resize,
    "noise": operators.noise,
    "sharpen": operators.sharpen,
    "jpeg": operators.jpeg,
    "webp": operators.webp,
}


def run(clean: Tensor, plans: Sequence[Plan], rng: Stream, *, alone: bool | None = None) -> Tensor:
    """Pictures [B, C, H, W] after one plan each, which must leave all of them of one size.

    alone: each picture by itself, so that what becomes of it does not depend on the batch to the last bit; else those
        whose next step is of one kind, with the same options and sizes, go together.  None: alone on the CPU.
    """
    pictures = list(clean.split(1))
    if alone is None:
        alone = clean.device.type == "cpu"
    for turn in range(max(map(len, plans))):
        groups: dict[Any, list[int]] = {}
        for i, plan in enumerate(plans):
            if turn < len(plan):
                key = (plan[turn].kind, plan[turn].options, pictures[i].shape, i if alone else 0)
                groups.setdefault(key, []).append(i)
        for (kind, options, *_), chosen in groups.items():
            x = torch.cat([pictures[i] for i in chosen])
            values = torch.tensor([plans[i][turn].values for i in chosen]).to(x)
            shared = dict(options) | ({"rng": rng.of(chosen)} if kind == "noise" else {})
            for i, picture in zip(chosen, OPERATORS[kind](x, *values.unbind(1), **shared).split(1), strict=True):
                pictures[i] = picture
    return torch.cat(pictures)
