"""What `train_release.py` asks of the machine: its peak, its clock, its profile."""

import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from release_data import Batch

from sr3.files import write_text


def wait(device: torch.device) -> None:
    """Until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device) -> float:
    """FLOPs a second that the device reaches in one large bf16 matrix product."""
    side, times = (8192, 20) if device.type == "cuda" else (256, 3)
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    best = math.inf
    for _ in range(4):  # the first warms up
        wait(device)
        began = time.perf_counter()
        for _ in range(times):
            torch.matmul(a, b)
        wait(device)
        best = min(best, (time.perf_counter() - began) / times)
    return 2 * side**3 / best


def machine(device: torch.device) -> str:
    """What it runs on, for a model's card."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


class Waiting:
    """How long the device had nothing to do for want of a batch: on a GPU by its own clock, without waiting for it."""

    def __init__(self, device: torch.device):
        self.gpu = device.type == "cuda"
        self.pairs: list[tuple[Any, Any]] = []
        self.spent = 0.0

    def __call__(self, make: Callable[[], Batch]) -> Batch:
        """Make a batch, timed."""
        if not self.gpu:
            began = time.perf_counter()
            made = make()
            self.spent += time.perf_counter() - began
            return made
        pair = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        pair[0].record()
        made = make()
        pair[1].record()
        self.pairs.append(pair)
        return made

    def seconds(self) -> float:
        """Since the last time; the device must be done."""
        spent = self.spent + sum(a.elapsed_time(b) for a, b in self.pairs) / 1e3
        self.pairs, self.spent = [], 0.0
        return spent


def profiler(device: torch.device) -> Any:
    """PyTorch's profiler, not yet begun."""
    from torch.profiler import ProfilerActivity, profile

    return profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])])


def show(profile: Any, out: Path, device: torch.device) -> None:
    """Print and write down what the steps were spent on."""
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    table = profile.key_averages().table(sort_by=key, row_limit=40, max_name_column_width=80)
    write_text(out / "profile.txt", table + "\n")
    profile.export_chrome_trace(str(out / "trace.json.gz"))
    print(table, flush=True)
