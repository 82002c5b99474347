"""What a stopped run goes on from: one file, written whole or not at all, that says which run it is of."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from sr3.model.checkpoint import CheckpointError, read_tensors, write_tensors
from sr3.model.config import ConfigError, ModelConfig, Recipe, Sampling, Training
from sr3.training.data import Crops
from sr3.training.flat import Flat

NAME, VERSION = "state.safetensors", 2
VECTORS = ("net", "average", "exp_avg", "exp_avg_sq")
"""What the names of the tensors begin with: the weights, their average, and Adam's moments."""

FREE = ("pictures", "accumulate", "save_every", "report_every", "sample_every", "compile", "begin", "keep")
"""Settings of training that may differ when a run goes on: they change its length, reports and costs."""


class State(NamedTuple):
    """Tensors by the names of the parameters with one of `VECTORS` before them, and all that is no tensor."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one of `VECTORS`."""
        return {k.removeprefix(f"{name}."): v for k, v in self.tensors.items() if k.startswith(f"{name}.")}


def marks(first: Any, objective: Any) -> dict[str, str]:
    """What stands for the weights of others that a run is taught with: a file of the same name may hold new ones."""
    found = {"first": getattr(first, "mark", None), "objective": getattr(objective, "mark", None)}
    return {name: mark for name, mark in found.items() if mark is not None}


def identity(recipe: Recipe, crops: Crops, marks: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What makes a run this run and no other: the recipe, and the names, sizes and classes of the pictures.

    marks: of the weights of other models that it is taught with.
    """
    rows = zip(crops.names, crops.heights.tolist(), crops.widths.tolist(), strict=True)
    whole = [*rows, *([crops.labels.tolist()] if crops.labelled else [])]
    data = hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]
    return {"recipe": recipe.model_dump(mode="json"), "data": data, "marks": dict(marks or {})}


def differing(old: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """The settings in which a recipe that was written down differs from this one, `FREE` ones left out."""
    with suppress(ValidationError):
        old = Recipe.model_validate(old).model_dump(mode="json")  # settings that came since have their defaults
    before, now = _plain(old), _plain(recipe.model_dump(mode="json"))
    free = {f"training.{key}" for key in FREE}
    return sorted(key for key in before.keys() | now.keys() if key not in free and before.get(key) != now.get(key))


def _plain(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A table of tables as one, with dotted names."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _plain(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def check(state: State, recipe: Recipe, crops: Crops, folder: Path, marks: Mapping[str, str] | None = None) -> None:
    """ConfigError where a state is of another run than this recipe's over these pictures, with these other weights."""
    facts, now = state.facts, identity(recipe, crops, marks)
    cure = "those it was begun with, or another --out"
    if facts.get("version") is None:
        if facts["fingerprint"] not in old_fingerprints(recipe, crops):
            raise ConfigError(f"{folder} holds a run of another recipe or of other pictures; give {cure}")
        return
    if facts["version"] != VERSION:
        raise CheckpointError(
            f"{folder / NAME} is of version {facts['version']}; this sr3 reads {VERSION}: upgrade sr3"
        )
    if changed := differing(facts["recipe"], recipe):
        before, after = _plain(facts["recipe"]), _plain(now["recipe"])
        told = ", ".join(f"{key} was {before.get(key)!r} and is {after.get(key)!r}" for key in changed[:5])
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise ConfigError(f"{folder} holds a run of another recipe: {told}{more}; give {cure}")
    if facts["data"] != now["data"]:
        raise ConfigError(f"{folder} holds a run over other pictures: their names or sizes differ; give {cure}")
    before = facts.get("marks", {})  # states did not say so at first
    if other := [name for name, mark in (marks or {}).items() if before.get(name, mark) != mark]:
        named = "model.first" if other[0] == "first" else "training.objective"
        raise ConfigError(f"the weights that {named} names are others than when {folder} was begun; give {cure}")


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a state; it takes the place of the one before in one rename."""
    write_tensors(folder / NAME, tensors, {k: json.dumps(v) for k, v in {**facts, "version": VERSION}.items()})
    if (pieces := folder / "state.json").exists():  # of the release script that there once was
        pieces.unlink()
        for old in folder.glob("state-*.safetensors"):
            old.unlink()


def seen(folder: Path) -> int:
    """How many pictures a folder's run has seen; its model may be of fewer, where the best weights are kept."""
    if not (folder / NAME).exists():
        return 0
    return int(json.loads(read_tensors(folder / NAME, weights=False)[1].get("seen", "0")))


def load(folder: Path, flat: Flat) -> State | None:
    """The state in a folder, or None where there is none or nothing was learnt yet; those of older versions too."""
    path = folder / NAME
    state = _from_file(path, flat) if path.exists() else _from_pieces(folder, flat)
    return state if state is not None and state.facts["seen"] else None


def _from_file(path: Path, flat: Flat) -> State:
    tensors, raw = read_tensors(path)
    if "version" in raw:
        return State(tensors, {k: json.loads(v) for k, v in raw.items()})
    if "seen" not in raw:
        raise CheckpointError(f"{path} is not the state of a run; give another --out")
    # version 1: the optimiser's tensors are numbered, and the step is told for each
    found = {k: v for k, v in tensors.items() if not k.startswith("optimiser.")}
    steps = {v.item() for k, v in tensors.items() if k.startswith("optimiser.") and k.endswith(".step")}
    for number, name in enumerate(flat.names):
        for moment in VECTORS[2:]:
            if (value := tensors.get(f"optimiser.{number}.{moment}")) is not None:
                found[f"{moment}.{name}"] = value
    facts = {"seen": int(raw["seen"]), "skipped": int(raw["skipped"]), "fingerprint": raw["recipe"]}
    return State(found, {**facts, "step": max(steps, default=0.0)})


def _from_pieces(folder: Path, flat: Flat) -> State | None:
    """What the release script wrote: the four vectors cut into pieces, and a list of the pieces."""
    path = folder / "state.json"
    if not path.exists():
        return None
    facts = json.loads(path.read_text("utf-8"))
    pieces: list[Tensor] = []
    for name in facts["files"]:
        tensors, marked = read_tensors(folder / name)
        if marked.get("saves") != str(facts["saves"]):
            raise CheckpointError(f"{folder / name} is not of the state that {path} describes; bring all back together")
        pieces.append(tensors["piece"])
    vectors = torch.cat(pieces).chunk(len(VECTORS))
    if len(vectors[0]) != len(flat.weights):
        raise ConfigError(f"{folder} holds a run of another network; give the recipe it was begun with")
    found: dict[str, Tensor] = {}
    for name, vector in zip(VECTORS, vectors, strict=True):
        found |= {f"{name}.{k}": v for k, v in flat.views(vector).items()}
    return State(found, {**facts, "fingerprint": facts["recipe"]})


def _known(model: BaseModel, raw: dict[str, Any], names: Mapping[type[BaseModel], str]) -> dict[str, Any]:
    """A model's table with the settings that there were before states had versions."""
    kept: dict[str, Any] = {}
    for key in names[type(model)].split():
        inner, value = getattr(model, key), raw[key]
        if isinstance(inner, BaseModel):
            value = _known(inner, value, names)
        elif isinstance(inner, dict) and any(isinstance(v, BaseModel) for v in inner.values()):
            value = {k: _known(v, value[k], names) for k, v in inner.items()}
        kept[key] = value
    return kept


ONCE: dict[type[BaseModel], str] = {
    Recipe: "model training",
    ModelConfig: "name kind network prediction tell residual first task schedule sampling quality sides",
    Sampling: "sampler steps spacing noisiest cleanest",
    Training: "objective pictures batch accumulate crop turn zoom resample rate decay warmup betas weight_decay clip "
    "average precision compile seed begin save_every report_every sample_every",
}


def warmup(folder: Path) -> int | None:
    """The warm-up of the run in a folder, where it began from other weights; None where there is no such run."""
    if not (path := folder / NAME).exists():
        return None
    _, raw = read_tensors(path, weights=False)
    if json.loads(raw.get("begun", "null")) is None:
        return None
    return json.loads(raw.get("recipe", "{}")).get("training", {}).get("warmup")


def old_fingerprints(recipe: Recipe, crops: Crops) -> set[str]:
    """What states without a version were marked with by both trainers that there were.

    The precision that is now found out was then named, so each is tried.
    """
    found: set[str] = set()
    precision = recipe.training.precision
    for named in ("bf16", "fp32") if precision == "auto" else (precision,):
        raw = _known(recipe, recipe.model_dump(mode="json"), ONCE)
        training = raw["training"]
        training["precision"] = named
        length, parts = training["pictures"], training["accumulate"]
        for key in FREE:
            training.pop(key, None)
        sizes = [crops.heights.tolist(), crops.widths.tolist()]
        found.add(_hash([raw, sizes]))
        training["accumulate"] = parts
        if training["decay"] != "constant":
            training["pictures"] = length
        if training["resample"] == "lanczos":
            training.pop("resample")
        found.add(_hash(raw))
    return found


def _hash(raw: Any) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()[:16]
