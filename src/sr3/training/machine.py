"""What training asks of the machine: its peak, its clock, its memory, its profile."""

import math
import platform
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from sr3.files import write_text
from sr3.interrupt import heard

_T = TypeVar("_T")

AHEAD = 4
"""Steps that the host may be ahead of the GPU."""


def wait(device: torch.device) -> None:
    """Until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@cache
def peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second that the device reaches in one large matrix product of this type."""
    side, times = (8192, 20) if device.type == "cuda" else (512, 3)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
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


class Ahead:
    """Keeps the host at most `AHEAD` steps ahead of a GPU; call it after each step."""

    def __init__(self, device: torch.device):
        self.gpu, self.ring = device.type == "cuda", deque[Any]()

    def __call__(self) -> None:
        if self.gpu:
            self.ring.append(torch.cuda.Event())
            self.ring[-1].record()
            if len(self.ring) > AHEAD:
                self.ring.popleft().synchronize()


class Agreed:
    """Ctrl-C and SIGTERM where several processes train together: all end after the same step, whoever was told.

    How many were told is added up with the losses.  On a GPU it is read when that step is done, `AHEAD` steps later.
    """

    def __init__(self, device: torch.device):
        self.late, self.ring = AHEAD if device.type == "cuda" else 0, deque[torch.Tensor]()
        self.told = False

    @contextmanager
    def listening(self) -> Generator[None, None, None]:
        """Signals are noted meanwhile; a second one is raised at once.  Nothing outside the main thread."""

        def note() -> None:
            if self.told:
                raise KeyboardInterrupt
            self.told = True

        with heard(note):
            yield

    def add(self, count: torch.Tensor) -> None:
        """How many were told before a step."""
        self.ring.append(count)

    def over(self) -> bool:
        """Whether to end after this step; the same in all processes."""
        return len(self.ring) > self.late and self.ring.popleft().item() > 0


class Waiting:
    """How long the device had nothing to do for want of a batch: on a GPU by its own clock, without waiting for it."""

    def __init__(self, device: torch.device):
        self.gpu = device.type == "cuda"
        self.pairs: list[tuple[Any, Any]] = []
        self.spent = 0.0

    def __call__(self, make: Callable[[], _T]) -> _T:
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


class Profile:
    """PyTorch's profiler over some steps; call it after each, and `text` is a table once they are over."""

    STEPS = range(5, 25)

    def __init__(self, device: torch.device, folder: Path):
        self.device, self.folder = device, folder
        self.steps = 0
        self.profiler: Any = None
        self.text = ""

    def __call__(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        self.steps += 1
        if self.steps == self.STEPS.start:
            gpu = [ProfilerActivity.CUDA] if self.device.type == "cuda" else []
            self.profiler = profile(activities=[ProfilerActivity.CPU, *gpu])
            self.profiler.__enter__()
        if self.steps == self.STEPS.stop:
            self.close()

    def close(self) -> None:
        """Write profile.txt and trace.json.gz of what was seen, if anything was."""
        if self.profiler is None:
            return
        wait(self.device)
        profiler, self.profiler = self.profiler, None
        profiler.__exit__(None, None, None)
        key = "self_cuda_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        self.text = profiler.key_averages().table(sort_by=key, row_limit=40, max_name_column_width=80)
        write_text(self.folder / "profile.txt", self.text + "\n")
        profiler.export_chrome_trace(str(self.folder / "trace.json.gz"))
