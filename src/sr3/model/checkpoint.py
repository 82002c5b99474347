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
from sr3.model.config import ModelConfig, parse

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


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; CheckpointError where it is none."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a file of weights")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118
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


def load(path: Path) -> Checkpoint:
    """Read a model's file; weights come back as float32."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} holds tensors but no sr3 model: its header has no configuration")
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise CheckpointError(f"{path} is of format version {version!r}; this sr3 reads version {VERSION}: upgrade sr3")
    try:
        raw, about = json.loads(metadata["config"]), json.loads(metadata.get("about", "{}"))
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: the configuration in its header cannot be read") from error
    config = parse(str(path), ModelConfig, raw)
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    for name, t in floats.items():
        if t.is_floating_point() and not torch.isfinite(t).all():
            raise CheckpointError(f"{path}: the weights {name} hold NaN or infinity")
    return Checkpoint(config, floats, about)
