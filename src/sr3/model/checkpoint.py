"""Files of weights: safetensors whose header holds the configuration and the format's version.  Never unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sr3.files import replacing
from sr3.model.config import ModelConfig, cut, parse, too_large

FORMAT, VERSION = "sr3", 1


class CheckpointError(ValueError):
    """A file of weights that cannot be used, in one sentence."""


class Checkpoint(NamedTuple):
    """What a file of weights holds."""

    config: ModelConfig
    tensors: dict[str, Tensor]
    about: dict[str, Any]
    """Pictures seen, data, terms, measures: whatever the maker wrote down."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name, flush it to the disk, and rename it: all or nothing."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        with replacing(path) as temporary:
            save_file(plain, temporary, metadata=dict(metadata))
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from error


def read_tensors(path: Path, *, weights: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; CheckpointError where it is none.

    weights: otherwise only the header is read, and the tensors are empty.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise CheckpointError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, not a file of weights")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            read = opened.get_tensor if weights else lambda _name: torch.empty(0)
            return {name: read(name) for name in opened.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file or is damaged; sr3 reads no other kind, pickles least of all"
        ) from error


def save(
    path: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any] | None = None,
    *,
    half: bool = True,
) -> None:
    """Write a model's file.  half: store floating-point tensors as fp16, and otherwise as they are."""
    stored = {name: t.half() if half and t.is_floating_point() else t for name, t in tensors.items()}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": config.model_dump_json(),
        "about": json.dumps(dict(about or {})),
    }
    write_tensors(path, stored, metadata)


def is_half(tensors: Mapping[str, Tensor]) -> bool:
    """Whether fp16 holds them all as they are."""
    return all(t.half().to(t.dtype).equal(t) for t in tensors.values() if t.is_floating_point())


def load(path: Path, *, weights: bool = True) -> Checkpoint:
    """Read a model's file; weights come back as float32, or empty where they are not wanted."""
    tensors, metadata = read_tensors(path, weights=weights)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} holds tensors but no sr3 model: its header has no configuration")
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise CheckpointError(f"{path} is of format version {version!r}; this sr3 reads version {VERSION}: upgrade sr3")
    raw = _plain_json(path, "configuration", metadata.get("config"))
    about = _plain_json(path, "description", metadata.get("about", "{}"))
    _bounded(path, raw, len(tensors))
    config = parse(str(path), ModelConfig, raw)
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    check_finite(path, floats)
    return Checkpoint(config, floats, about)


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """CheckpointError where a file's weights are no numbers."""
    for name, t in tensors.items():
        if t.is_floating_point() and not torch.isfinite(t).all():
            raise CheckpointError(f"{path}: the weights {name} hold NaN or infinity")


def _plain_json(path: Path, what: str, text: str | None) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        found = json.loads(text or "", parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the {what} in its header cannot be read") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: the {what} in its header is no table of names")
    return found


def _bounded(path: Path, raw: dict[str, Any], weights: int) -> None:
    """CheckpointError for a configuration that names another file, or that is too large to be built or is nested."""
    first = raw.get("first")
    if first is not None and not isinstance(first, dict):
        raise CheckpointError(f"{path}: its first model must be described in it, not named; {cut(first)} is a name")
    if isinstance(first, dict) and first.get("first") is not None:
        raise CheckpointError(f"{path}: its first model has a first of its own, and is to have none")
    for model in (raw, first or {}):
        network = model.get("network")
        asked = network.get("blocks", 0) if isinstance(network, dict) else 0
        layers = sum(n for n in (asked if isinstance(asked, list) else [asked]) if isinstance(n, int))
        if layers > max(weights, 64):
            raise CheckpointError(f"{path}: it describes {layers} blocks and holds {weights} weights")
    if large := too_large(raw):
        raise CheckpointError(f"{path}: {large}")
