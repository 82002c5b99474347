"""What an evaluation finds: for tables, JSON files and pages."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Row = dict[str, Any]
"""{"method": name, its measures, "interval": {measure: [low, high]}}."""


@dataclass(frozen=True)
class Shown:
    """A picture kept for looking at.

    pictures: uint8 [h, w, 3] each: "given", the methods' results by their names ("bicubic", "regression", "sr3" …),
        "sr3 #2" … (other samples), "spread", "original"; those that there are.
    measures: method -> measure -> this picture's value.
    """

    name: str
    pictures: dict[str, np.ndarray]
    measures: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Result:
    """What an evaluation found.

    names: of the pictures, in order; each: method -> measure -> one number per picture in that order, NaN where a
        picture has none; shown: the first pictures, as many as were asked for.
    """

    protocol: dict[str, Any]
    rows: list[Row]
    names: list[str] = field(default_factory=list)
    each: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON: numbers that are not finite are None."""
        found = {"protocol": self.protocol, "rows": self.rows, "names": self.names, "each": self.each}
        return plain(found)


def plain(value: Any) -> Any:
    """Ready for JSON: numbers that are not finite become None, tuples lists."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
