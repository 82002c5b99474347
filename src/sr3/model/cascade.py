"""Cascades as files: which models make pictures together, how each is trained, and how each is sampled."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sr3.model import recipe as recipes
from sr3.model.config import ConfigError, cut, file_name, nearest, parse

ASKED = ("steps", "sampler", "spacing")
"""What a stage may say of its sampling; where it says nothing, its model does."""


class Stage(BaseModel):
    """One model of a cascade."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    """That it is trained by: a name, or a file beside the cascade's."""
    model: str | None = None
    """Its weights: a file beside the cascade's, a name or a Hub id; None where it is not trained yet."""
    steps: int | None = Field(None, ge=1)
    sampler: str | None = None
    spacing: str | None = None


class CascadeFile(BaseModel):
    """A cascade: the first stage makes pictures from nothing, each of the others enlarges them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    stages: list[Stage] = Field(min_length=1)

    def asked(self) -> dict[str, Any]:
        """How each stage is to be sampled, as `Cascade.settings` takes it."""
        each = {what: [getattr(stage, what) for stage in self.stages] for what in ASKED}
        return {what: values for what, values in each.items() if any(v is not None for v in values)}

    def models(self) -> list[str]:
        """The stages' weights.  ConfigError where one has none."""
        if untrained := [stage.recipe for stage in self.stages if stage.model is None]:
            raise ConfigError(
                f"the cascade {self.name} has no weights of {untrained[0]}; run sr3 train {self.name}, and give the "
                ".toml file that it writes"
            )
        return [str(stage.model) for stage in self.stages]

    def text(self) -> str:
        """As TOML."""
        lines = [f"name = {_quoted(self.name)}"]
        for stage in self.stages:
            lines += ["", "[[stages]]", f"recipe = {_quoted(stage.recipe)}"]
            texts = {key: getattr(stage, key) for key in ("model", "sampler", "spacing")}
            lines += [f"{key} = {_quoted(value)}" for key, value in texts.items() if value]
            lines += [f"steps = {stage.steps}"] if stage.steps else []
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As a TOML string, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def names() -> list[str]:
    """The cascades that come with the package."""
    found = [p.name for p in (files("sr3.model") / "cascades").iterdir()]
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def is_cascade(name: str) -> bool:
    """Whether a name, or a TOML file, is that of a cascade and not of a recipe; a file that is no TOML is not."""
    if name in names():
        return True
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        return "stages" in _table(path)
    except ConfigError:
        return False


def load(name: str) -> CascadeFile:
    """A cascade by the name of one in the package, or by the path of a TOML file, whose names of files count from its
    own folder.  ConfigError in one sentence."""
    if name in names():
        return parse(f"cascade {name}", CascadeFile, tomllib.loads(_shipped(name)))
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise ConfigError(f"there is no cascade {name!r}{nearest(name, names())}, or give the path of a .toml file")
    found = parse(f"cascade {name}", CascadeFile, _table(path))
    if found.name != file_name(found.name):
        raise ConfigError(f"cascade {name}: its name becomes that of a file and can have neither / nor \\")
    stages = [stage.model_copy(update=_beside(path.parent, stage)) for stage in found.stages]
    return found.model_copy(update={"stages": stages})


def _beside(folder: Path, stage: Stage) -> dict[str, str]:
    """The stage's files as seen from here, where they are beside the cascade's."""
    found: dict[str, str] = {}
    if stage.model is not None and (folder / stage.model).exists():
        found["model"] = str(folder / stage.model)
    if stage.recipe not in recipes.names() and (folder / stage.recipe).exists():
        found["recipe"] = str(folder / stage.recipe)
    return found


def _shipped(name: str) -> str:
    return (files("sr3.model") / "cascades" / f"{name}.toml").read_text("utf-8")


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a cascade in TOML: {cut(str(error))}") from error
