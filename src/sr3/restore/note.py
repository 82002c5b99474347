"""Notes: what made a picture, for its metadata."""

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from sr3 import __version__
from sr3.model.config import Sampling
from sr3.model.model import Model


class Noted(Protocol):
    """What a note needs of a `sr3.restore.restorer.Restorer`."""

    model: Model
    dtype: torch.dtype

    def settings(self, *, steps: int | None, sampler: str | None, spacing: str | None, quality: str | None) -> Sampling:
        """How the model is sampled."""
        ...


def note_of(restorer: Noted, options: Mapping[str, Any]) -> dict[str, str]:
    """What made the picture, for its metadata: enough to make it again.

    options: of `Restorer.stream`; those left out are what they are there.
    """
    asked = {key: options.get(key) for key in ("steps", "sampler", "spacing", "quality")}
    settings = restorer.settings(**asked)
    known = {"noise": f"{options['noise']:g}"} if options.get("noise") is not None else {}
    return known | {
        "software": f"sr3 {__version__}",
        "model": restorer.model.config.name,
        "pictures_seen": str(restorer.model.about.get("pictures_seen", "unknown")),
        "weights": restorer.model.mark,
        "seed": str(options.get("seed", 0)),
        "samples": str(options.get("samples", 1)),
        "steps": str(settings.steps),
        "sampler": str(settings.sampler["kind"]),
        "spacing": settings.spacing,
        "fidelity": "0" if options.get("free") else f"{options.get('fidelity', 1):g}",
        "precision": str(restorer.dtype).removeprefix("torch."),
    }


def given_mark(file: Path | bytes) -> dict[str, str]:
    """What tells the file that a result was made of from others: the CRC-32 of its bytes, and how many these are.

    Nothing of a device or a pipe, which may have no end.  OSError where it cannot be read.
    """
    if isinstance(file, Path) and not file.is_file():
        return {}
    crc, size = 0, 0
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as read:
        while part := read.read(2**20):
            crc, size = zlib.crc32(part, crc), size + len(part)
    return {"given": f"{crc:08x} {size}"}


def enlarging_note(
    restorer: Noted, options: Mapping[str, Any], origin: str | Path | bytes | None = None
) -> dict[str, str]:
    """`note_of` a result of `Restorer.stream`, how much larger it is, as the command line says that, and of what file.

    origin: the file or its bytes, where there is one.
    """
    given = {} if origin is None else given_mark(origin if isinstance(origin, bytes) else Path(origin))
    factor, scale, size = restorer.model.task.factor, options.get("scale"), options.get("size")
    mark = f"{factor if scale is None else scale:g}x" if size is None else f"{size[0]}x{size[1]}"
    return note_of(restorer, options) | given | ({"result": mark} if factor > 1 else {})


def each_note(note: dict[str, str], seed: int, samples: int) -> list[dict[str, str]]:
    """Of each file of a result, in the order: the samples, their mean, their spread."""
    return [note | {"seed": str(seed + k)} for k in range(samples)] + ([note] * 2 if samples > 1 else [])
