"""Notes: what made a picture, for its metadata."""

from typing import Any

import sr3
from sr3.restore.restorer import Restorer


def note_of(restorer: Restorer, options: dict[str, Any]) -> dict[str, str]:
    """What made the picture, for its metadata: enough to make it again."""
    asked = {key: options[key] for key in ("steps", "sampler", "spacing", "quality")}
    settings = restorer.settings(**asked)
    known = {"noise": f"{options['noise']:g}"} if options.get("noise") is not None else {}
    return known | {
        "software": f"sr3 {sr3.__version__}",
        "model": restorer.model.config.name,
        "pictures_seen": str(restorer.model.about.get("pictures_seen", "unknown")),
        "seed": str(options["seed"]),
        "samples": str(options["samples"]),
        "steps": str(settings.steps),
        "sampler": str(settings.sampler["kind"]),
        "spacing": settings.spacing,
        "fidelity": "0" if options["free"] else f"{options.get('fidelity', 1):g}",
        "precision": str(restorer.dtype).removeprefix("torch."),
    }


def each_note(note: dict[str, str], seed: int, samples: int) -> list[dict[str, str]]:
    """Of each file of a result, in the order: the samples, their mean, their spread."""
    return [note | {"seed": str(seed + k)} for k in range(samples)] + ([note] * 2 if samples > 1 else [])
