"""Evaluation: every method on the same pictures, with the protocol beside the numbers."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sr3 import __version__
from sr3.config import ConfigError
from sr3.data import Pictures
from sr3.metric import PSNR, SSIM, SWD, Consistency, Metric
from sr3.model import Model, names
from sr3.resize import enlarge, round8
from sr3.restore import Restorer
from sr3.task import Given

Row = dict[str, Any]
"""{"method": name, and its measures}."""


def regression_of(model: Model) -> Model | None:
    """The regression baseline that comes with the package for this model, if there is one."""
    wanted = f"{model.config.name}-regression"
    return Model.from_pretrained(wanted) if wanted in names() else None


def digest(model: Model) -> str:
    """Twelve hexadecimal digits that stand for a model's weights."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.net.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:12]


@dataclass
class _Method:
    """A way of restoring, and the sums of its measures."""

    name: str
    make: Callable[[Given], Tensor]
    metrics: list[Metric]
    free: Metric
    seconds: float = 0.0
    tint: list[Tensor] = field(default_factory=list)

    def row(self, count: int) -> Row:
        found: Row = {"method": self.name}
        for metric in self.metrics:
            found |= metric.compute()
        found["consistency_free"] = self.free.compute()["consistency"]
        # mean over pictures of |mean(result) - mean(original)| per channel, in 8-bit steps
        found["tint"] = torch.stack(self.tint).mean(0).max().item()
        found["seconds"] = self.seconds / max(count, 1)
        return found


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is."""

    done: int
    total: int


@dataclass(frozen=True)
class Result:
    """What an evaluation found, ready for JSON."""

    protocol: dict[str, Any]
    rows: list[Row]

    def as_dict(self) -> dict[str, Any]:
        """{"protocol": …, "rows": …}."""
        return {"protocol": self.protocol, "rows": self.rows}


def evaluate(
    restorer: Restorer,
    pictures: Pictures,
    *,
    regression: Restorer | None = None,
    samples: int = 8,
    seed: int = 0,
    free: bool = False,
    steps: int | None = None,
    sampler: str | None = None,
    spacing: str | None = None,
    data: str = "",
) -> Iterator[Progress | Result]:
    """Compare bicubic, regression, the model, and the mean of its samples; yields progress and last the result.

    Each picture is cut to a multiple of the factor at its right and bottom, degraded as the task says, restored, and
    rounded to 8 bits before anything is measured.
    """
    task = restorer.model.task
    factor = task.factor
    settings = restorer.settings(steps=steps, sampler=sampler, spacing=spacing)
    methods = _methods(restorer, regression, samples, seed, free, dict(settings=settings))
    total, done = len(pictures) * len(methods), 0
    for index, pixels in enumerate(pictures.pixels):
        height, width = (side - side % factor for side in pixels.shape[:2])
        if not height or not width:
            raise ConfigError(f"{pictures.names[index]} is smaller than {factor} pixels and cannot be measured")
        clean = torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        given = task.degrade(clean)
        shown, small = (clean + 1) / 2, (given.image + 1) / 2
        for method in methods:
            began = time.perf_counter()
            made = method.make(given)
            method.seconds += time.perf_counter() - began
            made = (round8(made) + 1) / 2
            for metric in method.metrics:
                metric.update(made, shown, small)
            method.tint.append((made.mean((0, 2, 3)) - shown.mean((0, 2, 3))).abs() * 255)
            done += 1
            yield Progress(done, total)
        _free(methods, restorer, regression, given, seed, dict(settings=settings))
    protocol = {
        "model": restorer.model.config.name,
        "weights": digest(restorer.model),
        "pictures_seen": restorer.model.about.get("pictures_seen"),
        "regression": regression.model.config.name if regression else None,
        "regression_weights": digest(regression.model) if regression else None,
        "data": data,
        "pictures": len(pictures),
        "factor": factor,
        "degradation": "antialiased bicubic, a = -0.5, float, then rounded to 8 bits",
        "result": "clamped and rounded to 8 bits before measuring",
        "border": factor,
        "psnr_y": "Y of BT.601 in studio range; psnr: mean square error over R, G, B; means over pictures",
        "ssim": "11x11 Gaussian window, sigma 1.5, valid region; ssim: mean over R, G, B",
        "consistency": "mean square error on [0, 1] between the picture given and the result degraded again, x1e-5",
        "swd": "sliced Wasserstein distance over a Laplacian pyramid, x1e3",
        "tint": "largest channel of the mean over pictures of |mean(result) - mean(original)|, of 255",
        "projection": not free,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "spacing": settings.spacing,
        "seed": seed,
        "samples": samples,
        "device": str(restorer.device),
        "threads": torch.get_num_threads(),
        "precision": str(restorer.dtype).removeprefix("torch."),
        "version": __version__,
        "torch": torch.__version__,
    }
    yield Result(protocol, [method.row(len(pictures)) for method in methods])


def _measures(restorer: Restorer) -> tuple[list[Metric], Metric]:
    task, border = restorer.model.task, restorer.model.task.factor

    def again(x: Tensor) -> Tensor:
        return (task.degrade(2 * x - 1).image + 1) / 2

    return [PSNR(border=border), SSIM(border=border), Consistency(again), SWD()], Consistency(again)


def _methods(
    restorer: Restorer, regression: Restorer | None, samples: int, seed: int, free: bool, options: Mapping[str, Any]
) -> list[_Method]:
    factor = restorer.model.task.factor
    variants: list[Tensor] = []

    def one(given: Given) -> Tensor:
        variants[:] = [restorer.make(given, [seed], free=free, **options)]
        return variants[0]

    def mean(given: Given) -> Tensor:
        more = [restorer.make(given, [seed + k], free=free, **options) for k in range(1, samples)]
        return torch.stack([*variants, *more]).mean(0)

    methods = [_Method("bicubic", lambda given: enlarge(given.image, factor), *_measures(restorer))]
    if regression is not None:
        methods.append(
            _Method("regression", lambda given: regression.make(given, [0], free=free), *_measures(restorer))
        )
    if restorer.model.config.kind == "regression":
        methods.append(_Method("regression", one, *_measures(restorer)))
        return methods
    methods.append(_Method("sr3", one, *_measures(restorer)))
    if samples > 1:
        methods.append(_Method(f"sr3-mean-{samples}", mean, *_measures(restorer)))
    return methods


def _free(
    methods: list[_Method],
    restorer: Restorer,
    regression: Restorer | None,
    given: Given,
    seed: int,
    options: Mapping[str, Any],
) -> None:
    """Consistency without projection, for every method but the mean (whose own is that of its samples or better)."""
    small = (given.image + 1) / 2
    for method in methods:
        if method.name == "bicubic":
            made = enlarge(given.image, restorer.model.task.factor)
        elif method.name == "regression":
            made = (regression or restorer).make(given, [0], free=True)
        else:
            made = restorer.make(given, [seed], free=True, **options) if method.name == "sr3" else None
        if made is not None:
            method.free.update((round8(made) + 1) / 2, small, small)
