"""The catalogue: the tasks and models that a server has."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError, ModelConfig, nearest
from sr3.model.model import Model, names
from sr3.model.walk import Walk
from sr3.restore.size import fitted
from sr3.restore.usual import usual
from sr3.task import Restoration
from sr3.web.shapes import COMMON, ModelInfo, Option, Options, TaskInfo
from sr3.web.uses import ENLARGE, Use, box_of, uses


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue, without its weights.  source: what it is loaded by."""

    name: str
    source: str | Path
    config: ModelConfig
    says: str
    terms: str
    kinds: tuple[str, ...]
    factor: int
    walk: Walk


class Catalogue:
    """The tasks and models of a server: those of the package, and those that whoever runs it has added.

    A client names a model by its name in this list, and no file; the second of a name has a number behind it.
    CheckpointError where one cannot be loaded.
    """

    def __init__(self, more: Sequence[str | Path] = (), *, shipped: bool = True):
        self.uses = {use.name: use for use in uses()}
        self.models: dict[str, Entry] = {}
        for source in [*(names() if shipped else []), *more]:
            found = _entry(source)
            if found.kinds and found.name in self.models:  # a model is called as its recipe is, and often as ours are
                count = next(n for n in itertools.count(2) if f"{found.name}-{n}" not in self.models)
                found = replace(found, name=f"{found.name}-{count}")
            if found.kinds:
                self.models[found.name] = found

    def use(self, name: str) -> Use:
        """A task; ConfigError for one that there is none of."""
        if name not in self.uses:
            raise ConfigError(f"there is no task {name!r}{nearest(name, list(self.uses))}")
        return self.uses[name]

    def of(self, use: Use) -> list[str]:
        """The models for a task, its usual one first."""
        found = [entry.name for entry in self.models.values() if use.kind in entry.kinds]
        return sorted(found, key=lambda name: name != use.usual)

    def model(self, use: Use, name: str | None, options: Options, size: tuple[int, int]) -> Entry:
        """The model asked for, or the one that what is asked for of a picture of this (width, height) deserves.

        ConfigError where there is none such.
        """
        there = self.of(use)
        if not there:
            raise ConfigError(f"no model for {use.name} is installed here; whoever runs the server adds one by --model")
        if name is None:
            asked = {"steps", "sampler"} & {k for k in options.model_fields_set if getattr(options, k)}
            refined = bool(asked) or options.samples > 1
            best = usual(refined=refined, scale=_times(size, options))[0] if use.kind == ENLARGE else use.usual
            name = best if best in there else there[0]
        if name not in there:
            raise ConfigError(f"there is no model {name!r} for {use.name}{nearest(name, there)}")
        return self.models[name]

    def listed(self) -> list[ModelInfo]:
        """What GET /v1/models says."""
        tasks = {use.kind: use for use in self.uses.values()}
        return [
            ModelInfo(
                name=entry.name,
                task=tasks[entry.kinds[0]].name,
                qualities=list(entry.config.quality),
                default=any(self.of(tasks[kind])[0] == entry.name for kind in entry.kinds),
                says=entry.says,
                terms=entry.terms,
                factor=entry.factor if entry.kinds[0] == ENLARGE else None,
                varies=entry.walk.varies,
                sides=entry.config.sides,
            )
            for entry in self.models.values()
        ]

    def tasks(self) -> list[TaskInfo]:
        """What GET /v1/tasks says."""
        return [
            TaskInfo(
                name=use.name,
                says=use.says,
                command=use.command,
                needs=list(use.needs),
                takes=list(use.takes),
                options=[option(name) for name in (*use.options, *COMMON)],
                models=self.of(use),
            )
            for use in self.uses.values()
        ]


def _times(size: tuple[int, int], options: Options) -> float | None:
    """How many times larger a picture of this (width, height) is asked for, if anything is asked."""
    box = box_of(options.size)
    if box is None:
        return options.scale
    return max(want / side for want, side in zip(fitted(size, box, "inside"), size, strict=True))


def _entry(source: str | Path) -> Entry:
    model = Model.from_pretrained(source, weights=False)
    kinds = getattr(model.task, "kinds", [str(model.config.task.get("kind"))])
    ours = tuple(kind for kind in kinds if isinstance(model.task, Restoration))
    says, terms = (str(model.about.get(key) or "") for key in ("what", "terms"))
    return Entry(model.config.name, source, model.config, says, terms, ours, model.task.factor, model.walk)


def option(name: str) -> Option:
    """An option as a form shows it, from the shape that checks it."""
    field, schema = Options.model_fields[name], Options.model_json_schema()["properties"][name]
    parts = [schema, *schema.get("anyOf", [])]

    def said(key: str) -> Any:
        return next((part[key] for part in parts if key in part and part[key] != "null"), None)

    choices = said("enum") or ([said("const")] if said("const") else None)
    kind: Any = "choice" if choices else {"string": "text"}.get(said("type"), said("type"))
    return Option(
        name=name,
        type=kind,
        default=field.default,
        says=field.description or "",
        choices=[choice for choice in choices if choice is not None] if choices else None,
        minimum=said("minimum"),
        maximum=said("maximum"),
    )
