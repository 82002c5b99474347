"""The protocol: what must be said beside the numbers, so that they can be had again."""

import hashlib
from typing import Any

import torch

from sr3 import __version__
from sr3.evaluation.method import Ways
from sr3.metric.extra import Extra
from sr3.model.model import Model
from sr3.restore.restorer import needs_picture

OF_SHARES = "Wilson (1927), of shares of pictures: agreement, accuracy, identity"
"""Which interval they have; files of before it was said have the bootstrap's."""


def digest(model: Model) -> str:
    """Twelve hexadecimal digits that stand for a model's weights."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.tensors().items()):
        sha.update(name.encode())
        sha.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:12]


def where(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """On what, and by which versions."""
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": str(dtype).removeprefix("torch."),
        "version": __version__,
        "torch": torch.__version__,
    }


def protocol(
    ways: Ways, more: Extra, *, data: str, pictures: int, border: int, patches: int, quality: str | None
) -> dict[str, Any]:
    """Who made the results, of what, and what each measure is."""
    restorer, regression, settings = ways.restorer, ways.regression, ways.settings
    task = needs_picture(restorer.model)
    return {
        "model": restorer.model.config.name,
        "weights": digest(restorer.model),
        "pictures_seen": restorer.model.about.get("pictures_seen"),
        "regression": regression.model.config.name if regression else None,
        "regression_weights": digest(regression.model) if regression else None,
        "baseline": task.baseline_name,
        "method": ways.own[0],
        "data": data,
        "pictures": pictures,
        "factor": task.factor,
        "given": task.given_name,
        "degradation": task.degradation,
        "result": "clamped and rounded to 8 bits before measuring",
        "border": border,
        "psnr_y": "Y of BT.601 in studio range; psnr: mean square error over R, G, B; means over pictures",
        "ssim": "11x11 Gaussian window, sigma 1.5, valid region; ssim: mean over R, G, B",
        "consistency": "mean square error on [0, 1] between the picture given and the result degraded again, x1e-5",
        "swd": f"sliced Wasserstein distance over a Laplacian pyramid, x1e3, {patches} patches per picture and level",
        "tint": "largest channel of the mean over pictures of |mean(result) - mean(original)|, of 255",
        "colourfulness": "Hasler and Süsstrunk (2003), of 255; share: of the originals' mean",
        "join": "mean difference of neighbours across a hole's border over that of known ones; mean over pictures",
        "diversity": "spread: standard deviation over the samples; pairwise: mean absolute difference of two; of 255; "
        "calibration: root mean square spread over error of the mean, 1 where the samples are as unsure as wrong",
        **more.said,
        "interval": "95 %: bootstrap over pictures; of measures of the whole set: jackknife over groups of pictures",
        "interval_of_shares": OF_SHARES,
        "projection": not ways.free,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "spacing": settings.spacing,
        "noisiest": settings.noisiest,
        "cleanest": settings.cleanest,
        "schedule": settings.schedule,
        "quality": quality,
        "seed": ways.seed,
        "seeds": "sample k of picture i: sr3.random.mix(seed, i, k), both counted from 0",
        "samples": ways.samples,
        **where(restorer.device, restorer.dtype),
        "notes": more.notes,
    }
