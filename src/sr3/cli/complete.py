"""What a shell completes after an option, without anything heavy being loaded."""

from contextlib import suppress
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

DEVICES = ("auto", "cpu", "cuda", "mps")
SUFFIX = ".safetensors"


def models(incomplete: str) -> list[str]:
    """Names of models that begin so: of this package, and of those that `sr3.model.shipped` finds too."""
    found = {p.name for p in (files("sr3.model") / "weights").iterdir()}
    for entry in entry_points(group="sr3.models"):
        with suppress(Exception):  # a package that is broken completes nothing
            places = getattr(find_spec(entry.module), "submodule_search_locations", None) or []
            found.update(p.name for place in places for p in Path(place).iterdir())
    names = (name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
    return sorted(name for name in names if name.startswith(incomplete))


def devices(incomplete: str) -> list[str]:
    """Names of devices that begin so."""
    return [name for name in DEVICES if name.startswith(incomplete)]
