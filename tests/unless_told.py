"""What modules, functions and classes hold to unless they are told: the numbers that recipes, files and calls mean by
leaving them out, so that changing one changes what was written before."""

import inspect
from importlib import import_module
from typing import Any


def held(place: str) -> dict[str, Any]:
    """Of "folder.module" what stands in it; of "folder.module:name" the defaults of a function, or of a class and its
    attributes."""
    module, _, name = place.partition(":")
    found = import_module(f"sr3.{module}")
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    values = dict(vars(found)) if not name or inspect.isclass(found) else {}
    if name:
        values |= {p.name: p.default for p in inspect.signature(found).parameters.values()}
    return values


def differing(wanted: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """What is not as it was, with both."""
    return {
        f"{place} {key}": (found, value)
        for place, values in wanted.items()
        for key, value in values.items()
        if (found := held(place)[key]) != value
    }


def bounds(kind: Any) -> dict[str, dict[str, float]]:
    """Of the fields of a pydantic model what they may be: ge, gt, le and lt, where they have any."""
    found = {
        name: {
            key: getattr(one, key) for one in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(one, key)
        }
        for name, field in kind.model_fields.items()
    }
    return {name: ends for name, ends in found.items() if ends}
