"""A few real steps of a recipe in a process of their own, whose memory and time are then known.

    python -m sr3.training.trial < what

reads {"recipe": …, "device": …, "limit": bytes, "seconds": …, "side": pixels} and writes one line of JSON for each size
of batch that it tried, so that a process which the system ends for its memory has still told what it found.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from sr3.files import temporary_folder
from sr3.model.config import Recipe
from sr3.picture.collection import Pictures
from sr3.training.batches import Batches
from sr3.training.board import flops
from sr3.training.data import Crops
from sr3.training.machine import wait
from sr3.training.run import Run
from sr3.training.train import make_accelerator


def used(device: torch.device) -> int:
    """The most bytes that this process has held so far, in the accelerator's memory or in its own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux begins with the memory of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on a Mac


def _timed(run: Run, least: float) -> float:
    """Seconds of one step: the median of those that fit into `least` seconds, one at least; the first warms up."""
    took: list[float] = []
    run.step()
    wait(run.device)
    ends = time.perf_counter() + least
    while not took or time.perf_counter() < ends:
        began = time.perf_counter()
        run.step()
        wait(run.device)
        took.append(time.perf_counter() - began)
        if run.notes.full:
            run.report()
    return float(np.median(took))


def trial(
    recipe: Recipe, device: str | None, folder: Path, limit: int, seconds: float, side: int = 1024
) -> Iterator[dict[str, Any]]:
    """Steps of batches of 1, 2, 4 … up to a part of the recipe's batch, until the time or the memory is spent.

    side: of the pictures, their shorter one; to cut a square of that from a large one may take as long as to learn.
    """
    t = recipe.training
    part = max(1, t.batch // t.accumulate)
    one = recipe.model_copy(
        update={"training": t.model_copy(update={"batch": 1, "accumulate": 1, "compile": False, "begin": None})}
    )
    accelerator = make_accelerator(device)
    side = max(t.crop, min(round(t.crop * t.zoom[1]), side))
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    there = accelerator.device
    cut: dict[str, Any] = {"zoom": t.zoom, "colour": t.colour, "resample": t.resample}
    crops = Crops(Pictures(["noise"], [noise]), t.crop, device=there, **cut)
    run = Run(one, crops, folder, accelerator)
    run.step()  # the first of all also loads what PyTorch loads late
    size, before, ends = 1, 0, time.perf_counter() + seconds
    while True:
        run.recipe = one.model_copy(update={"training": one.training.model_copy(update={"batch": size})})
        run.batches = Batches(crops, run.model.task, run.recipe.training)
        step = _timed(run, min(2.0, seconds / 4) if size == part else min(0.2, seconds / 40))
        now = used(there)
        found = {"pictures": size, "seconds": step, "bytes": now}
        larger = min(part, 2 * size)
        growth = 2 * (now - before) * (larger - size) / size if before else 0
        late = time.perf_counter() + 2 * step * larger / size > ends
        if size == part or late or now + growth > limit:
            break
        yield found
        size, before = larger, now
    began = time.perf_counter()
    run.save()
    found |= {"save_seconds": time.perf_counter() - began, "bytes": used(there), "device": str(there)}
    yield found | {"precision": run.precision, "flops": flops(run)}


def main() -> None:
    """Read what to try, and try it."""
    asked = json.load(sys.stdin)
    recipe = Recipe.model_validate(asked["recipe"])
    with temporary_folder() as folder:
        for found in trial(recipe, asked["device"], folder, asked["limit"], asked["seconds"], asked["side"]):
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
