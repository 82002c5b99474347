"""A run: what one file of `sr3 evaluate --json` holds, read back."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError

OWN = ("sr3", "model", "regression")
"""The method that a run is about where its protocol does not say so: the first of these that it has."""


Key = tuple[str, int]
"""A picture's name, and how many of that name come before it."""


@dataclass(frozen=True)
class Run:
    """What one file of `sr3 evaluate --json` holds.

    protocol, rows, names, each: as in `sr3.evaluation.evaluate.Result`; None for numbers that are not finite.
    """

    protocol: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    names: list[str]
    each: dict[str, dict[str, list[float | None]]]

    @property
    def baseline(self) -> str:
        """What every method was compared with, the same in every run; files of before it was said have bicubic."""
        return str(self.protocol.get("baseline", "bicubic"))

    @property
    def own(self) -> str:
        """The method that the run is about."""
        known = (self.protocol.get("method"), *OWN)
        return next((name for name in known if name in self.rows), next(iter(self.rows)))

    @property
    def keys(self) -> list[Key]:
        """The pictures, told apart where they have one name."""
        seen: Counter[str] = Counter()
        found: list[Key] = []
        for name in self.names:
            found.append((name, seen[name]))
            seen[name] += 1
        return found


def read_run(path: Path) -> Run:
    """Read a file that `sr3 evaluate --json` wrote.  ConfigError where it is none."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["rows"] and not found["names"] and not found["each"]:
            raise ConfigError(f"{path} is of pictures made of nothing, which have no originals to be compared by")
        return _run(found)
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, OSError) as error:
        raise ConfigError(f"{path} is not a file that `sr3 evaluate --json` wrote") from error


def _run(found: Any) -> Run:
    """Any of many errors where it is not what it should be."""
    protocol, names = dict(found["protocol"]), list(found["names"])
    rows = {row["method"]: row for row in found["rows"]}
    each: dict[str, dict[str, list[float | None]]] = {}
    for method, measures in found["each"].items():
        each[method] = {name: [_finite(v) for v in values] for name, values in measures.items() if values}
        if any(len(values) != len(names) for values in each[method].values()):
            raise ValueError("there is one value for each picture")
    if not rows or rows.keys() != each.keys() or not all(isinstance(name, str) for name in (*names, *rows)):
        raise ValueError("there is a row for each method")
    if not isinstance(protocol.get("method", ""), str) or not all(map(_sound, rows.values())):
        raise ValueError("a row has numbers, and intervals of two")
    return Run(protocol, rows, names, each)


def _sound(row: dict[str, Any]) -> bool:
    """Whether a row's numbers are numbers, and its intervals each two of them or of None."""
    for ends in row.get("interval", {}).values():
        if ends is not None and len([_finite(end) for end in ends]) != 2:
            return False
    return all(abs(value) < 1e300 for value in row.values() if isinstance(value, int | float))


def _finite(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value) if math.isfinite(value) else None
