"""Will it fit, and how long: what a training run needs, from its recipe alone."""

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from sr3.diffusion.schedule import SCHEDULES
from sr3.diffusion.tables import OBJECTIVES
from sr3.model.config import Recipe, build
from sr3.model.model import Model
from sr3.training.train import _schedule_for  # pyright: ignore[reportPrivateUsage]

REACHED = 0.4
"""The share of a machine's matrix-product speed that training is taken to reach; convolutions rarely reach more."""


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to need."""

    parameters: int
    flop_per_picture: float
    """Forward and backward, one picture."""
    state_bytes: int
    """Weights, gradients, Adam's two moments and the average."""
    activation_bytes: int
    """What the backward pass of one part of a batch keeps."""
    device: str
    device_bytes: int | None
    flops: float
    """Measured matrix-product speed of this machine, per second."""
    seconds: float

    def text(self) -> str:
        """For a person."""
        need = self.state_bytes + self.activation_bytes
        fits = "" if self.device_bytes is None else f" of {self.device_bytes / 2**30:.1f} GiB"
        warning = ""
        if self.device_bytes is not None and need > self.device_bytes:
            warning = "\nIt will not fit: raise training.accumulate, lower training.batch, or take a smaller network."
        return (
            f"{self.parameters / 1e6:.2f} million parameters, {self.flop_per_picture / 1e9:.1f} GFLOP a picture\n"
            f"memory on {self.device}: about {need / 2**30:.2f} GiB{fits} "
            f"({self.state_bytes / 2**30:.2f} state, {self.activation_bytes / 2**30:.2f} activations)\n"
            f"time: about {_duration(self.seconds)}, at {REACHED:.0%} of the {self.flops / 1e12:.2f} TFLOP/s measured"
            + warning
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def estimate(recipe: Recipe) -> Estimate:
    """Run one forward and backward pass on the meta device, which computes shapes and allocates nothing."""
    t = recipe.training
    with torch.device("meta"):
        model = Model(recipe.model)
        build("objective", OBJECTIVES, t.objective, **_schedule_for(recipe))
        build("schedule", SCHEDULES, recipe.model.schedule)
        x = torch.zeros(1, 3, t.crop, t.crop)
        cond = torch.zeros(1, model.task.channels, t.crop, t.crop) if model.task.channels else None
    model.net.train()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[id(tensor)] = tensor.numel()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda kept_tensor: kept_tensor):
        out = model.net(x, torch.zeros(1, device="meta"), cond)
        out.sum().backward()
    parameters = sum(p.numel() for p in model.net.parameters())
    width = 4 if t.precision == "fp32" else 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flops = _speed(device, t.precision)
    each = float(counter.get_total_flops())
    return Estimate(
        parameters=parameters,
        flop_per_picture=each,
        state_bytes=parameters * 4 * 5,
        activation_bytes=sum(kept.values()) * width * max(1, t.batch // t.accumulate),
        device=device,
        device_bytes=_memory(device),
        flops=flops,
        seconds=each * t.pictures / (flops * REACHED),
    )


def _memory(device: str) -> int | None:
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    try:
        import os

        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _speed(device: str, precision: str) -> float:
    """FLOP/s of a square matrix product, over about a third of a second."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    side = 8192 if device == "cuda" else 1024
    a = torch.randn(side, side, device=device, dtype=dtype)

    def run(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            torch.mm(a, a)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    run(2)
    times = max(1, min(200, int(0.3 / max(run(2) / 2, 1e-5))))
    return times * 2 * side**3 / run(times)
