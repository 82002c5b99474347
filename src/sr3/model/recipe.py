"""Recipes: named TOML files in the package, or the user's own, with single values changed on the command line."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError, Recipe, cut, nearest, parse, too_large


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(
        p.name.removesuffix(".toml") for p in (files("sr3.model") / "recipes").iterdir() if p.name.endswith(".toml")
    )


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word is a string: --set training.precision=fp32


def change(raw: dict[str, Any], settings: Sequence[str]) -> None:
    """Apply `training.batch=8`-like settings in place."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"{setting!r} is not a setting; write section.key=value, as training.batch=8")
        *sections, key = path.strip().split(".")
        table = raw
        for section in sections:
            inner = table.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{setting!r}: {section} is a value, not a section")
            table = inner
        table[key] = _value(text.strip())


def load(name: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by the name of one in the package, or by the path of a TOML file.  ConfigError in one sentence."""
    if name in names():
        text = (files("sr3.model") / "recipes" / f"{name}.toml").read_text("utf-8")
    elif Path(name).suffix == ".toml":
        if Path(name).exists() and not Path(name).is_file():  # a pipe would never end
            raise ConfigError(f"cannot read the recipe {name}: it is no regular file")
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"cannot read the recipe {name}: {reason}") from error
    else:
        raise ConfigError(f"there is no recipe {name!r}{nearest(name, names())}, or give the path of a .toml file")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # and numbers, dates and nesting that Python will not have
        raise ConfigError(f"the recipe {name} is not TOML: {cut(str(error))}") from error
    change(raw, settings)
    if large := too_large(raw.get("model")):
        raise ConfigError(f"recipe {name}: {large}")
    return parse(f"recipe {name}", Recipe, raw)
