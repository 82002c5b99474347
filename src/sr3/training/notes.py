"""What a run notes of its steps on the device, and what is read of it."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.diffusion.objective import Loss

HISTORY = 4096
"""Steps after which the notes are read at the latest."""


@dataclass
class Report:
    """What happened since the last report."""

    seen: int
    """Pictures seen, from the beginning of the run."""
    loss: float
    """Mean over the steps that were taken; NaN where none was."""
    gradient: float
    """Mean norm of the gradient before clipping."""
    rate: float
    speed: float
    """Pictures per second."""
    waiting: float
    """Share of the time that the device had no batch to work on."""
    skipped: int
    """Batches skipped because they were not finite, from the beginning of the run."""
    minutes: float
    """Spent in training, from the beginning of the run."""
    by_level: dict[int, float]
    """Mean loss for each log-SNR, rounded to a multiple of 2; in several processes, of the first one's examples."""
    saved: bool = False


class Notes:
    """Losses, norms and which steps were good, kept on the device until `read`, which waits for it."""

    def __init__(self, device: torch.device):
        self.history = torch.zeros(HISTORY, 3, device=device)
        self.count = 0
        self.losses: list[tuple[Tensor, Tensor]] = []

    @property
    def full(self) -> bool:
        """Whether they must be read before the next step."""
        return self.count == HISTORY

    def levels(self, loss: Loss) -> None:
        """The losses of some examples and where they were taken."""
        if loss.logsnr is not None:
            self.losses.append((loss.each.detach(), loss.logsnr))

    def add(self, loss: Tensor, norm: Tensor, good: Tensor) -> None:
        """One step."""
        self.history[self.count] = torch.stack([loss, norm, good])
        self.count += 1

    def read(self) -> tuple[list[list[float]], dict[int, float]]:
        """([loss, norm, good] of each step, mean loss by log-SNR) since the last time."""
        rows = self.history[: self.count].tolist()
        each = [x for loss, _ in self.losses for x in loss.tolist()] if self.losses else []
        where = [x for _, logsnr in self.losses for x in logsnr.tolist()] if self.losses else []
        self.count, self.losses = 0, []
        bins: dict[int, list[float]] = defaultdict(list)
        for value, place in zip(each, where, strict=True):
            if abs(value) < float("inf") and abs(place) < float("inf"):
                bins[2 * round(place / 2)].append(value)
        return rows, {place: sum(values) / len(values) for place, values in sorted(bins.items())}
