"""Will it fit, and how long: a few real steps of a recipe, and what they say of the whole run."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from sr3.model.config import ConfigError, Recipe
from sr3.model.model import Model
from sr3.training.plan import check_batch, objective_of

BASE = 400_000_000
"""Bytes that Python and PyTorch take before anything is trained, about; only to tell what need not be tried."""


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to need."""

    parameters: int
    device: str
    precision: str
    memory: int
    """Bytes of the device: weights, gradients, moments, average, what the backward pass keeps, pictures, PyTorch."""
    device_memory: int
    """Bytes that the device has."""
    seconds: float | None
    """Of the whole run; None where not even one picture fits."""
    flop_per_picture: float
    """Forward and backward, of all passes that the objective makes; 0 where nothing could be tried."""
    tried: int
    """Pictures of the largest batch that was tried; what is beyond it is on the line through the last two."""

    def text(self) -> str:
        """For a person."""
        head = f"{self.parameters / 1e6:.2f} million parameters"
        if self.flop_per_picture:
            head += f", {self.flop_per_picture / 1e9:.3g} GFLOP a picture"
        lines = [
            head,
            f"memory on {self.device}: about {self.memory / 2**30:.2f} GiB of {self.device_memory / 2**30:.1f} GiB",
        ]
        if self.seconds is None:
            lines.append("time: unknown, as not even one picture fits; take a smaller network or smaller crops")
        else:
            lines.append(
                f"time: about {_duration(self.seconds)} in {self.precision}, from steps of up to {self.tried} pictures"
            )
            if self.memory > self.device_memory:
                lines.append(
                    "It will not fit: raise training.accumulate, lower training.batch, or take a smaller network."
                )
        return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def estimate(
    recipe: Recipe, device: str | None = None, *, data: int = 0, seconds: float = 30.0, side: int = 1024, world: int = 1
) -> Estimate:
    """Try the recipe for about so many seconds in a process of its own, so that its memory is all that is measured.

    device: "cpu" to keep off the accelerator.  data: pixels of the pictures that it will be trained on.
    side: of the pictures, as `side_of` finds it.  world: processes that share the work; the memory is one's.
    ConfigError where the recipe cannot be trained.
    """
    check_batch(recipe, world)
    whole = recipe.training.batch
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"batch": whole // world})})
    parameters, kept = _counted(recipe)
    gpu = device != "cpu" and torch.cuda.is_available()
    there = torch.cuda.get_device_properties(0).total_memory if gpu else psutil.virtual_memory().total
    free = torch.cuda.mem_get_info(0)[0] if gpu else psutil.virtual_memory().available
    # three bytes a pixel, and on the CPU the decoded pictures beside them
    pictures, least = data * (3 if gpu else 6), BASE + 20 * parameters + kept
    found = _tried(recipe, device, int(0.9 * free) - pictures, seconds, side) if least + pictures < 0.9 * free else []
    if not found:
        return Estimate(parameters, "cuda" if gpu else "cpu", "", least + pictures, there, None, 0.0, 0)
    t, last = recipe.training, found[-1]
    part = t.batch // t.accumulate
    step, memory = last["seconds"], last["bytes"]
    if (more := part - last["pictures"]) > 0:
        few = found[-2] if len(found) > 1 else {"pictures": 0, "seconds": 0.0, "bytes": memory - kept}
        apart = last["pictures"] - few["pictures"]
        step += more * (step - few["seconds"]) / apart
        memory += int(more * (memory - few["bytes"]) / apart)
    saving = last.get("save_seconds", 0.0) * t.pictures / t.save_every
    return Estimate(
        parameters=parameters,
        device=last.get("device", "cuda" if gpu else "cpu"),
        precision=last.get("precision", t.precision),
        memory=memory + pictures,
        device_memory=there,
        seconds=step * t.accumulate * t.pictures / whole + saving,
        flop_per_picture=last.get("flops", 0.0),
        tried=last["pictures"],
    )


def _counted(recipe: Recipe) -> tuple[int, int]:
    """(parameters, bytes that one picture's backward pass keeps) of the network alone, without allocating anything."""
    t = recipe.training
    objective_of(recipe)
    with torch.device("meta"):
        model = Model(recipe.model)
        x = torch.zeros(1, 3, t.crop, t.crop)
        cond = torch.zeros(1, model.task.channels, t.crop, t.crop) if model.task.channels else None
    model.net.train().requires_grad_(True)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[id(tensor)] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.net(x, torch.zeros(1, device="meta"), cond)
    return sum(p.numel() for p in model.net.parameters()), 4 * sum(kept.values())


def side_of(sides: Sequence[int]) -> int:
    """The shorter side that stands for those of many pictures: what cutting squares takes goes by their areas."""
    return round(math.sqrt(sum(side * side for side in sides) / len(sides)))


GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_", "TORCHELASTIC_")
"""What the variables begin with by which a launcher makes a group of processes."""


def _tried(recipe: Recipe, device: str | None, limit: int, seconds: float, side: int) -> list[dict[str, Any]]:
    """What `sr3.training.trial` told; nothing where the system ended it at once for its memory."""
    asked = {"recipe": recipe.model_dump(mode="json"), "device": device, "limit": limit, "seconds": seconds}
    by_itself = {name: value for name, value in os.environ.items() if not name.startswith(GROUP)}
    done = subprocess.run(
        [sys.executable, "-m", "sr3.training.trial"],
        input=json.dumps(asked | {"side": side}),
        capture_output=True,
        text=True,
        env=by_itself,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    said = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode > 0 and not found and "memory" not in said.lower():
        raise ConfigError(f"training was tried and failed: {said.partition(': ')[2] or said}")
    return found
