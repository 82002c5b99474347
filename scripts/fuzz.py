"""Mutations of bytes and of JSON, by a seed: what the tests of broken files are made with."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

ODD: list[Any] = [
    None, True, 0, -1, 1, 2, 10**7, 10**30, 1e308, float("nan"), float("inf"), "", "x", "unet", "../x", "x\n\0y",
    [], [0], [10**7, 1], {}, {"kind": "x"}, {"a": {"b": []}}, [[[]]],
]  # fmt: skip
"""Values that something else was expected in the place of."""


def mutated(whole: bytes, seed: int) -> bytes:
    """A few bytes changed, cut, doubled, exchanged or put in."""
    rng = random.Random(seed)
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) or 1)
        size = rng.choice([1, 1, 2, 4, 50, 1000])
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + size] = bytes(rng.choice([0, 255, rng.randrange(256)]) for _ in data[at : at + size])
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                del data[at:]
            case _:
                data[at:at] = bytes(rng.randrange(256) for _ in range(min(size, 50)))
    return bytes(data)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value, from the top down."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(value: Any, seed: int) -> Any:
    """A JSON value with a few parts replaced by odd ones, taken out, or called by another name."""
    rng = random.Random(seed)
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        chosen: list[Any] = list(rng.choice([p for p in places(value) if p] or [("none",)]))
        above, key = chosen[:-1], chosen[-1]
        part: Any = value
        for step in above:
            part = part[step]
        if not isinstance(part, dict | list) or key == "none":
            return rng.choice(ODD)
        match rng.randrange(5):
            case 0 if isinstance(part, dict):
                part[f"{key}x"] = part.pop(key)
            case 1:
                del part[key]
            case 2 if isinstance(part, dict):
                part[key] = part.get(rng.choice(sorted(part, key=str)))
            case _:
                part[key] = copy.deepcopy(rng.choice(ODD))
    return value


def deep(levels: int = 100_000) -> str:
    """JSON nested so deeply that a reader runs out of stack."""
    return "[" * levels + "]" * levels


def as_json(value: Any) -> str:
    """JSON with NaN and infinity as Python writes them."""
    return json.dumps(value)
