"""What a run shows while it trains: reports and measures as CSV and on trackers, strips of samples, a plot."""

import csv
import json
import math
import shutil
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sr3.files import replacing, write_text
from sr3.interrupt import held
from sr3.model.checkpoint import CheckpointError, read_tensors
from sr3.picture.collection import DataError, Pictures
from sr3.random import Stream
from sr3.restore.restorer import Restorer
from sr3.training import curve, plot
from sr3.training.batches import Batch
from sr3.training.data import Crops
from sr3.training.machine import peak
from sr3.training.notes import Report
from sr3.training.run import Run

SHOWN = 4
"""Pictures in a strip."""
LOG = "log.csv"
BEST = "best.safetensors"
"""The weights that measured best so far, where the recipe keeps those."""
COLUMNS = ["seen", "loss", "gradient", "rate", "speed", "waiting", "skipped", "minutes", "flops", "share_of_peak"]


class Board:
    """Writes into the run's folder log.csv, curve.csv, curve.svg and samples/*.png, and to Accelerate's trackers.

    val: held-out pictures that the curve is measured on and the strips are of; without them there is no curve, and
        strips are of crops that are never trained on.
    """

    def __init__(self, run: Run, val: Pictures | None = None):
        self.run, self.folder, self.val, self.measuring = run, run.folder, val, True
        with held():
            run.accelerator.init_trackers("board")
        self.flops = flops(run)
        """Of one picture, forward and backward."""
        self.peak = peak(run.device, run.dtype)
        """FLOPs a second in one large matrix product."""
        self.clean = _shown(run, val)
        every = run.recipe.training.sample_every
        self.next_strip = -(-run.seen // every) * every
        known = curve.read(self.folder / curve.NAME) or curve.read(self.folder / "curve.json")
        self.points = [point for point in known if run.seen and point["seen"] <= run.seen]
        self.measure_seconds = known[-1]["seconds"] if known else 0.0
        self.changed = self._other_pictures()
        self._begin_log()
        self._tell_model()

    def _other_pictures(self) -> str:
        """Set the curve aside, with its best weights, where it was measured on other pictures; a sentence then."""
        if self.val is None:
            return ""
        now, kept = curve.fingerprint(self.val), self.folder / curve.OF
        before = kept.read_text("utf-8").strip() if kept.exists() else now
        other = before != now and bool(self.points)
        if other:
            self.points = []
            for name in (curve.NAME, "curve.json", BEST):
                if (file := self.folder / name).exists():
                    file.replace(file.with_stem(f"{file.stem}-{before}"))
        write_text(kept, now + "\n")  # last, lest a curve that was not set aside yet be taken for this one
        if not other:
            return ""
        return f"--val has other pictures than before: the curve begins anew, and the one before is curve-{before}.csv"

    def _begin_log(self) -> None:
        """Drop what a run that was killed had reported after its last save."""
        path = self.folder / LOG
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as log:
                # the last line may be cut, or of zeros, where the machine went down
                whole = (row for row in csv.DictReader(log) if None not in (*row, *row.values()))
                whole = (row for row in whole if row["seen"].isdecimal())
                rows = [row for row in whole if int(row["seen"]) <= self.run.seen]
        lines = [",".join(row.get(name) or "" for name in COLUMNS) for row in rows]
        write_text(path, "\n".join([",".join(COLUMNS), *lines]) + "\n")

    def share(self, report: Report) -> float:
        """What part of the device's peak training reaches."""
        return report.speed * self.flops / self.peak

    def add(self, report: Report) -> None:
        """One report, and a strip where one is due."""
        row = asdict(report) | {"flops": report.speed * self.flops, "share_of_peak": self.share(report)}
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(",".join(str(row[name]) for name in COLUMNS) + "\n")
        values: dict[str, float] = {
            "loss": report.loss,
            "rate": report.rate,
            "gradient": report.gradient,
            "pictures a second": report.speed,
            "waiting for data": report.waiting,
            "share of the peak": self.share(report),
            "skipped": report.skipped,
        }
        values |= {f"loss at log-SNR/{place:+d}": value for place, value in report.by_level.items()}
        self._log(values)
        if report.seen >= self.next_strip:
            every = self.run.recipe.training.sample_every
            self.next_strip = (report.seen // every + 1) * every
            self.strip()

    def _log(self, values: dict[str, float]) -> None:
        # interrupted inside its queue, TensorBoard's thread would never be told to end, and closing wait for ever
        with held():
            self.run.accelerator.log(values, step=self.run.seen)

    def _restorer(self, weights: Tensor | None = None) -> Restorer:
        return Restorer(self.run.showing(weights), device=str(self.run.device), precision=self.run.precision)

    def strip(self) -> None:
        """Rows: given, averaged weights, raw weights, original."""
        given = self.run.model.task.degrade(self.clean)
        free = given.mask is None  # outside a hole nothing was learnt
        cond = self.run.model.task.prepare(given).cond
        rows: list[Tensor] = [self.clean if cond is None else cond[:, :3].clamp(-1, 1).cpu().expand_as(self.clean)]
        for weights in (self.run.average, self.run.flat.weights):
            rows.append(self._restorer(weights).make(given, list(range(len(self.clean))), free=free))
        rows.append(self.clean)
        picture = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        pixels = ((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
        path = self.folder / "samples" / f"{self.run.seen:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        with held():
            for tracker in self.run.accelerator.trackers:
                if hasattr(tracker, "log_images"):
                    form = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                    images = {"given, average, raw, original": np.ascontiguousarray(pixels[None])}
                    tracker.log_images(images, step=self.run.seen, **form)

    @property
    def measures(self) -> bool:
        """Whether held-out pictures are measured in this call."""
        return self.val is not None and self.measuring

    def seconds_to_measure(self) -> float:
        """As long as the last time took; before, by its first picture, measured twice as the first time loads much."""
        assert self.val is not None
        if not self.measure_seconds:
            sizes = [pixels.size for pixels in self.val.pixels]
            for _ in range(2):
                began = time.monotonic()
                curve.measure(self._restorer(), self.val.first(1))
                self.measure_seconds = (time.monotonic() - began) * sum(sizes) / sizes[0]
        return self.measure_seconds

    def measure(self) -> dict[str, Any]:
        """Add a point to the curve: the averaged weights on the held-out pictures."""
        assert self.val is not None
        began = time.monotonic()
        measures = curve.measure(self._restorer(), self.val)
        self.measure_seconds = time.monotonic() - began
        point = {
            "pictures": self.run.pictures,
            "seen": self.run.seen,
            "minutes": round(self.run.seconds / 60, 3),
            "seconds": round(self.measure_seconds, 2),
            "measures": measures,
        }
        self.points.append(point)
        if self.run.recipe.training.keep == "psnr" and point is self.best:
            self.run.write_model(BEST)  # before the curve says so, which a run that goes on believes
        curve.write(self.folder / curve.NAME, self.points)
        self._tell_model()
        self._log({f"held-out/{name}": value for name, value in measures.items()})
        return point

    @property
    def best(self) -> dict[str, Any] | None:
        """The point of the highest PSNR, the first of equals; None while nothing is measured."""
        known = [point for point in self.points if math.isfinite(point["measures"]["psnr"])]
        return max(known, key=lambda point: point["measures"]["psnr"], default=None)

    def keep_best(self) -> str | None:
        """Let model.safetensors be the weights that measured best, where the recipe says so and they are not the last.

        Returns a sentence of it.
        """
        best, file = self.best, self.folder / BEST
        if self.run.recipe.training.keep == "last":
            return None
        if best is None:
            return "the last weights are kept: without --val nobody knows which are best"
        if _pictures_of(file) != best["pictures"]:
            return "the last weights are kept: those that measured best were not written when they were measured"
        if best["seen"] != self.run.seen:
            with replacing(self.folder / "model.safetensors") as place:
                shutil.copyfile(file, place)
        return f"kept: the weights after {best['seen']:,} pictures, {best['measures']['psnr']:.2f} dB on --val"

    def _tell_model(self) -> None:
        if self.points:
            self.run.about["curve"] = list(self.points)

    @property
    def measured(self) -> bool:
        """Whether the weights as they are have been measured."""
        return bool(self.points) and self.points[-1]["seen"] == self.run.seen

    def plot(self) -> list[str]:
        """Draw curve.svg, and say what more pictures would bring; nothing while there are too few points."""
        if len({point["pictures"] for point in self.points if point["pictures"]}) < plot.FEWEST:
            return []
        return plot.plot(self.folder / curve.NAME, self.folder / "curve.svg")


class _Counter(TorchDispatchMode):
    """Adds up the FLOPs of what is computed under it, by PyTorch's own formulas.

    Their own `FlopCounterMode` also follows the modules, by hooks that objectives with second derivatives trip over.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def flops(run: Run) -> float:
    """FLOPs of one picture, forward and backward, a multiplication and an addition each; not compiled."""
    batch = run.batches(run.seen)[0]
    few = min(2, len(batch.clean))
    some = Batch(batch.clean[:few], batch.given.of(range(few)), Stream(0, range(few), run.device))
    compiled, run.denoiser = run.denoiser, run.model.denoiser()
    with _Counter() as counter:
        run.loss(some).each.mean().backward()
    run.denoiser = compiled
    return counter.total / few


def _pictures_of(file: Path) -> int | None:
    """How many pictures a model's file says that it has seen; None where there is no such file."""
    with suppress(CheckpointError, KeyError, ValueError):
        return json.loads(read_tensors(file, weights=False)[1]["about"])["pictures_seen"]
    return None


def _shown(run: Run, val: Pictures | None) -> Tensor:
    """The pictures of a strip: [B, 3, side, side]."""
    crops, t = run.crops, run.recipe.training
    if val is not None:
        with suppress(DataError):  # smaller than the crops
            crops = Crops(val, t.crop, seed=t.seed, turn=False, zoom=t.zoom, resample=t.resample)
    # the last crops there can be: a run that is shorter than that never trains on just these
    return crops(range(2**62, 2**62 + SHOWN)).cpu()
