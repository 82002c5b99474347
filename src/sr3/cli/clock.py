"""How far a picture is and how long it will take, told from its first tile on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.restore.restorer import Progress

LONG = 10.0
"""Seconds; before anything longer an estimate is given."""


class Extent(NamedTuple):
    """What the network has to compute of one picture, in pixels of its results."""

    first: int
    """One evaluation in the first pass over the picture."""
    whole: int
    """One evaluation in each step of each pass and sample."""


class Clock:
    """One picture's, or one animation's: how much is computed of all that will be.

    extent: of one frame; None: told by steps alone.  A sampler that asks twice in a step is found out in the first one.
    estimated: called once, with the seconds that all of it will take, where that is long.
    """

    def __init__(self, extent: Extent | None, frames: int = 1, estimated: Callable[[float], None] | None = None):
        self.began = time.monotonic()
        self.extent, self.frames, self.estimated = extent, frames, estimated
        self.pixels, self.asked = 0, 1.0
        self.now = 0.0
        self.ended = 0

    @property
    def share(self) -> float:
        """Of the work that is done, from 0 to 1."""
        now = min(1.0, self.pixels / (self.extent.whole * self.asked)) if self.extent else self.now
        return (self.ended + now) / self.frames

    @property
    def left(self) -> float | None:
        """Seconds, by what was done so far; None before anything was."""
        share = self.share
        return (time.monotonic() - self.began) * (1 - share) / share if share else None

    def heard(self, pixels: int) -> None:
        """The network has computed so many pixels."""
        self.pixels += pixels
        self._estimate()

    def step(self, progress: "Progress") -> None:
        """A step is done."""
        self.now = progress.done / progress.total
        if progress.done == 1 and self.extent:
            self.asked = max(1.0, self.pixels / self.extent.first)
        self._estimate()

    def frame(self) -> None:
        """A frame is done."""
        self.ended, self.pixels, self.now = self.ended + 1, 0, 0.0

    def _estimate(self) -> None:
        left = self.left
        if self.estimated is not None and left is not None:
            tell, self.estimated = self.estimated, None
            whole = time.monotonic() - self.began + left
            if whole > LONG:
                tell(whole)


def screen(*, quiet: bool) -> "Bars":
    """Bars on standard error, or none of them; a task with a `clock` has its time left told by that."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            clock: Clock | None = task.fields.get("clock")
            if clock is None:
                return Text(f"{task.completed:.0f}/{task.total:.0f}" if task.total else "")
            left = clock.left
            return Text("" if left is None else f"{100 * clock.share:.0f} %, {spoken(left)} left")

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),  # a file may be called [bold]
        BarColumn(),
        Left(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


def spoken(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
