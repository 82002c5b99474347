"""Weights trained with other code, as models."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError, nearest
from sr3.model.foreign_palette import janspiry_palette
from sr3.model.foreign_sr3 import janspiry_sr3
from sr3.model.model import Model

FOREIGN: dict[str, Callable[..., Model]] = {"janspiry-palette": janspiry_palette, "janspiry-sr3": janspiry_sr3}
"""What weights can be imported, by the name of the code that made them."""


def bring(path: Path, origin: str, **told: Any) -> Model:
    """A model from a file of other code's weights; origin: a name of `FOREIGN`; told: that function's options.

    ConfigError for an option that it has not.
    """
    if origin not in FOREIGN:
        raise ConfigError(f"there is no code {origin!r} to import from{nearest(origin, list(FOREIGN))}")
    known = list(inspect.signature(FOREIGN[origin]).parameters)[1:]
    for name in told:
        if name not in known:
            said = [one.replace("_", "-") for one in (name, *known)]
            raise ConfigError(f"{origin} is told no {said[0]}; it is told {', '.join(said[1:])}")
    return FOREIGN[origin](path, **told)
