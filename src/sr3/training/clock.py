"""When a call to train ends, and when a part of it is due."""

import time

from sr3.training.board import Board
from sr3.training.machine import AHEAD
from sr3.training.notes import Report

SPARED = 0.4
"""Of the minutes that a call has, what measuring may take."""


class Clock:
    """When a call ends, with everything that is written at its end, and when a part is due."""

    def __init__(self, board: Board, *, began: float, minutes: float | None = None, every: float | None = None):
        self.board, self.step_seconds = board, 0.0
        self.deadline = began + 60 * minutes if minutes else float("inf")
        self.every = 60 * every if every is not None else float("inf")
        self.start_part()

    def start_part(self) -> None:
        """The time to the next part begins."""
        self.part_began = time.monotonic()

    @property
    def reserve(self) -> float:
        """Seconds that the end will take: finishing the last steps, saving twice, measuring.

        Several processes end at a report.
        """
        measuring, run = 1.3 * self.board.measure_seconds if self.board.measures else 0.0, self.board.run
        late = run.recipe.training.report_every / run.recipe.training.batch if run.world > 1 else 0
        return (AHEAD + 1 + late) * self.step_seconds + 2 * run.save_seconds + measuring + 0.2

    def spares(self) -> bool:
        """Whether measuring takes no more than `SPARED` of the minutes that are left, if there is an end to them."""
        left = self.deadline - time.monotonic()
        return left == float("inf") or self.board.seconds_to_measure() <= SPARED * left

    def over(self) -> bool:
        """Whether the minutes are spent."""
        return time.monotonic() + self.reserve >= self.deadline

    def part_due(self) -> bool:
        """Whether it is time for the next part."""
        return time.monotonic() - self.part_began >= self.every

    def add(self, report: Report) -> None:
        """Learn from a report how long a step takes."""
        self.step_seconds = self.board.run.recipe.training.batch / max(report.speed, 1e-9)

    def fits(self, report: Report) -> float:
        """Pictures that fit into the minutes that are left."""
        return report.speed * max(0.0, self.deadline - time.monotonic() - self.reserve)
