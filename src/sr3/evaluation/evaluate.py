"""Evaluation: every method on the same pictures, with the protocol beside the numbers."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sr3 import __version__
from sr3.evaluation.result import Result, Row, Shown
from sr3.metric import PSNR, SSIM, SWD, Consistency, Metric, Tint
from sr3.metric.diversity import Diversity
from sr3.metric.extra import EXTRA, extra
from sr3.metric.features import Features, MissingError
from sr3.metric.swd import patches_for
from sr3.model.config import ConfigError, Sampling, nearest
from sr3.model.model import Model, names
from sr3.picture.resize import enlarge, round8
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.task import Given
from sr3.training.data import Pictures

OTHERS = 4
"""How many samples beside the first a picture of the gallery shows."""


def regression_of(model: Model) -> Model | None:
    """The regression baseline that comes with the package for this model, if there is one."""
    wanted = f"{model.config.name}-regression"
    return Model.from_pretrained(wanted) if wanted in names() else None


def digest(model: Model) -> str:
    """Twelve hexadecimal digits that stand for a model's weights."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.tensors().items()):
        sha.update(name.encode())
        sha.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:12]


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is."""

    done: int
    total: int


@dataclass(frozen=True)
class _Made:
    """One method's results for a batch, on [0, 1] in 8-bit steps: [B, 3, H, W]."""

    method: str
    pictures: Tensor
    seconds: float
    free: Tensor | None = None
    """Made without projection."""
    samples: list[Tensor] = field(default_factory=list)
    """All samples that a mean is of."""


@dataclass(frozen=True)
class _Ways:
    """The ways of restoring that are compared."""

    restorer: Restorer
    regression: Restorer | None
    settings: Sampling
    samples: int
    seed: int
    free: bool

    @property
    def methods(self) -> list[str]:
        if self.restorer.model.config.kind == "regression":
            return ["bicubic", *(["regression", "model"] if self.regression else ["regression"])]
        several = [f"sr3-mean-{self.samples}"] if self.samples > 1 else []
        return ["bicubic", *(["regression"] if self.regression else []), "sr3", *several]

    def __call__(self, given: Given, indices: Sequence[int]) -> Iterator[_Made]:
        """Restore a batch, each picture by its number, by every method in turn."""
        methods = iter(self.methods)
        large = _rounded(enlarge(given.image, self.restorer.model.task.factor))
        yield _Made(next(methods), large, 0.0, large)
        if self.regression:
            yield self._one(next(methods), self.regression, given, [0] * len(indices))
        seeds = [[mix(self.seed, index, k) for index in indices] for k in range(self.samples)]
        began = time.perf_counter()
        first = self._make(self.restorer, given, seeds[0], self.free)
        took = time.perf_counter() - began
        free = first if self.free else self._make(self.restorer, given, seeds[0], True)
        yield _Made(next(methods), _rounded(first), took, _rounded(free))
        if mean := next(methods, None):
            began = time.perf_counter()
            variants = [first, *(self._make(self.restorer, given, each, self.free) for each in seeds[1:])]
            made = torch.stack(variants).mean(0)
            took += time.perf_counter() - began
            yield _Made(mean, _rounded(made), took, samples=[_rounded(v) for v in variants])

    def _one(self, method: str, restorer: Restorer, given: Given, seeds: list[int]) -> _Made:
        began = time.perf_counter()
        made = self._make(restorer, given, seeds, self.free)
        took = time.perf_counter() - began
        free = made if self.free else self._make(restorer, given, seeds, True)
        return _Made(method, _rounded(made), took, _rounded(free))

    def _make(self, restorer: Restorer, given: Given, seeds: list[int], free: bool) -> Tensor:
        settings = self.settings if restorer is self.restorer else None
        return restorer.make(given, seeds, free=free, settings=settings)


def _rounded(made: Tensor) -> Tensor:
    return (round8(made) + 1) / 2


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
    quality: str | None = None,
    border: int | None = None,
    data: str = "",
    batch: int | None = None,
    keep: int = 0,
    measures: Sequence[str] = (),
    features: Features | None = None,
    classifier: Features | None = None,
    labels: Sequence[int] | None = None,
) -> Iterator[Progress | Result]:
    """Compare bicubic, regression, the model, and the mean of its samples; yields progress and last the result.

    Each picture is cut to a multiple of the factor at its right and bottom, degraded as the task says, restored, and
    rounded to 8 bits before anything is measured.

    border: pixels at each edge that PSNR and SSIM leave out; by default the factor, as the super-resolution literature
        does; 0 for faces, as SR3 does.
    batch: how many pictures of equal size are restored at once; by default 16 where they have at most 256 pixels a
        side, else 1.  keep: of how many pictures the result holds the pictures themselves.
    measures: those of `sr3.metric.extra.EXTRA` to add; some fetch weights at first use, and where that fails a
        sentence in the protocol's "notes" takes their place.
    features: a network for "frechet" and "kernel"; classifier: one for "agreement" and, with the pictures' labels,
        "accuracy" and "accuracy_5"; see `sr3.metric.features.named`.
    ConfigError for a measure there is none of, and for features or a classifier that do not work.
    """
    needs_picture(restorer.model)
    task = restorer.model.task
    factor = task.factor
    settings = restorer.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality)
    border = factor if border is None else border
    ways = _Ways(restorer, regression, settings, samples, seed, free)
    patches = patches_for(len(pictures))

    def again(x: Tensor) -> Tensor:
        return (task.degrade(2 * x - 1).image + 1) / 2

    for name in measures:
        if name == "accuracy":
            if classifier is None:
                raise ConfigError("accuracy needs a classifier of yours")
        elif name not in EXTRA:
            raise ConfigError(f"there is no measure {name!r} to add{nearest(name, list(EXTRA))}")
    more = extra(
        measures,
        features=features,
        classifier=classifier,
        labels=labels,
        pictures=len(pictures),
        factor=factor,
        device=restorer.device,
    )
    metrics: dict[str, list[Metric]] = {
        method: [PSNR(border), SSIM(border), Consistency(again), SWD(patches), Tint(), *more.make()]
        for method in ways.methods
    }
    diversity = Diversity(more.lpips)
    frees = {method: Consistency(again, "consistency_free") for method in ways.methods}
    seconds = dict.fromkeys(ways.methods, 0.0)
    kept: list[Shown] = []
    total, done = len(pictures) * len(ways.methods), 0
    for indices in _batches(pictures, factor, batch):
        clean = torch.stack([_clean(pictures.pixels[i], factor) for i in indices])
        given = task.degrade(clean)
        original, small = (clean + 1) / 2, (given.image + 1) / 2
        shown = [Shown(pictures.names[i], {}, {}) for i in indices[: max(0, keep - len(kept))]]
        _keep(shown, "given", small)
        for made in ways(given, indices):
            try:
                for metric in metrics[made.method]:
                    metric.update(made.pictures, original, small)
            except MissingError as error:
                raise ConfigError(str(error)) from error
            if made.free is not None:
                frees[made.method].update(made.free, original, small)
            seconds[made.method] += made.seconds
            _keep(shown, made.method, made.pictures)
            for k, variant in enumerate(made.samples[1 : OTHERS + 1], start=2):
                _keep(shown, f"sr3 #{k}", variant)
            if made.samples:
                diversity.update(torch.stack(made.samples), original)
                _keep(shown, "spread", _spread(made.samples))
            done += len(indices)
            yield Progress(done, total)
        _keep(shown, "original", original)
        kept += shown
    rows: list[Row] = []
    each: dict[str, dict[str, list[float]]] = {}
    for method, found in metrics.items():
        row: Row = {"method": method, "interval": {}}
        each[method] = {}
        # what the samples' diversity says, it says of the method that they are drawn with
        for metric in (*found, frees[method], *([diversity] if method == "sr3" and samples > 1 else [])):
            row |= metric.compute()
            row["interval"] |= {name: list(ends) for name, ends in metric.intervals(seed).items()}
            each[method] |= metric.each()
        row["seconds"] = seconds[method] / max(len(pictures), 1)
        rows.append(row)
    for index, one in enumerate(kept):
        one.measures.update({m: {n: v[index] for n, v in values.items() if v} for m, values in each.items()})
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
        "border": border,
        "psnr_y": "Y of BT.601 in studio range; psnr: mean square error over R, G, B; means over pictures",
        "ssim": "11x11 Gaussian window, sigma 1.5, valid region; ssim: mean over R, G, B",
        "consistency": "mean square error on [0, 1] between the picture given and the result degraded again, x1e-5",
        "swd": f"sliced Wasserstein distance over a Laplacian pyramid, x1e3, {patches} patches per picture and level",
        "tint": "largest channel of the mean over pictures of |mean(result) - mean(original)|, of 255",
        "diversity": "spread: standard deviation over the samples; pairwise: mean absolute difference of two; of 255; "
        "calibration: root mean square spread over error of the mean, 1 where the samples are as unsure as wrong",
        **more.said,
        "interval": "95 %: bootstrap over pictures; of measures of the whole set: jackknife over groups of pictures",
        "projection": not free,
        "sampler": settings.sampler,
        "steps": settings.steps,
        "spacing": settings.spacing,
        "noisiest": settings.noisiest,
        "cleanest": settings.cleanest,
        "quality": quality,
        "seed": seed,
        "seeds": "sample k of picture i: sr3.random.mix(seed, i, k), both counted from 0",
        "samples": samples,
        "device": str(restorer.device),
        "threads": torch.get_num_threads(),
        "precision": str(restorer.dtype).removeprefix("torch."),
        "version": __version__,
        "torch": torch.__version__,
        "notes": more.notes,
    }
    yield Result(protocol, rows, list(pictures.names), each, kept)


def _batches(pictures: Pictures, factor: int, batch: int | None) -> Iterator[list[int]]:
    """The pictures' numbers in order, in runs of one size."""
    run: list[int] = []
    for index, pixels in enumerate(pictures.pixels):
        size = _size(pixels, factor)
        if not all(size):
            raise ConfigError(f"{pictures.names[index]} is smaller than {factor} pixels and cannot be measured")
        most = batch or (16 if max(size) <= 256 else 1)
        if run and (len(run) >= most or _size(pictures.pixels[run[0]], factor) != size):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _size(pixels: np.ndarray, factor: int) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    return height - height % factor, width - width % factor


def _clean(pixels: np.ndarray, factor: int) -> Tensor:
    height, width = _size(pixels, factor)
    return torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1).float() / 127.5 - 1


def _keep(shown: Sequence[Shown], name: str, pictures: Tensor) -> None:
    for one, picture in zip(shown, pictures, strict=False):
        one.pictures[name] = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def _spread(samples: Sequence[Tensor]) -> Tensor:
    """The standard deviation over the samples, grey, white at a tenth of the range, as `sr3 upscale` shows it."""
    spread = 2 * torch.stack(list(samples)).std(0).mean(1, keepdim=True)
    return (spread / 0.2).clamp(0, 1).expand(-1, 3, -1, -1)
