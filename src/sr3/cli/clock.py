"""How far a picture is and how long it will take, told from its first tile on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.restore.beside import Aside
    from sr3.restore.beside import Beside as Begun
    from sr3.restore.restorer import Progress

LONG = 10.0
"""Seconds; before anything longer an estimate is given."""


class Extent(NamedTuple):
    """What the network has to compute of one picture, in pixels of its results."""

    first: int
    """One evaluation in the first pass over the picture."""
    whole: int
    """One evaluation in each step of each pass and sample."""
    ends: int = 0
    """The results of each pass and sample."""


class Clock:
    """One picture's, or one animation's: how long all that is left will take, by what was done so far.

    The network's pieces, what is done between its steps, and the end of each walk are told apart: the first are timed
    from the first one on, the second from the first step on, and until then, as the third, by what was measured before
    the walk began.  By bands, whose steps are not one after another, what is no network's tells so itself.

    extent: of one frame; None: told by steps alone.  A sampler that asks twice in a step is found out in the first one.
    estimated: called once, with the seconds that all of it will take, where that is long.
    """

    def __init__(self, extent: Extent | None, frames: int = 1, estimated: Callable[[float], None] | None = None):
        self.began = self.mark = time.monotonic()
        self.extent, self.frames, self.estimated = extent, frames, estimated
        self.pixels, self.asked = 0, 1.0
        self.now = 0.0
        self.ended = 0
        self.beside: Begun | None = None
        self.over = 0
        """Pixels of the results of walks that are over."""
        self.network = self.between = 0.0
        """Seconds of the network's pieces, and of what is done between steps."""
        self.stepped, self.asides = 0.0, False
        """Pixels of the evaluations that the latter were for, and whether those are told one by one."""

    @property
    def share(self) -> float:
        """Of the work that is done, from 0 to 1."""
        if self.beside is not None and self.extent:
            left = self.left
            spent = time.monotonic() - self.began
            return 0.0 if left is None else spent / (spent + left) if spent else 0.0
        now = min(1.0, self.pixels / (self.extent.whole * self.asked)) if self.extent else self.now
        return (self.ended + now) / self.frames

    @property
    def left(self) -> float | None:
        """Seconds, by what was done so far; None before anything was."""
        if self.beside is not None and self.extent:
            return self._left(self.beside, self.extent)
        share = self.share
        return (time.monotonic() - self.began) * (1 - share) / share if share else None

    def _left(self, beside: "Begun", extent: Extent) -> float | None:
        if not self.pixels:
            return None
        area, done = max(1, beside.area), self.pixels / self.asked
        between = self.between / self.stepped if self.stepped else beside.step / area
        per = self.network / self.pixels * self.asked + between
        frame = per * extent.whole + beside.end / area * extent.ends
        left = per * max(0.0, extent.whole - done) + beside.end / area * max(0, extent.ends - self.over)
        return max(0.0, left - (time.monotonic() - self.mark)) + frame * (self.frames - self.ended - 1)

    def heard(self, what: "int | Begun | Aside") -> None:
        """A walk begins, or the network has computed so many pixels, or what lies between was done for so many.

        0 pixels: the network begins; the first time all else is ready, as the noise of a whole large picture, which
        takes as long as many pieces do and comes once.
        """
        from sr3.restore.beside import Beside  # PyTorch, which is there by now

        now = time.monotonic()
        if what == 0 and self.pixels:
            return
        if isinstance(what, int):
            self.pixels += what
            self.network += now - self.mark if what else 0.0
        elif isinstance(what, Beside):
            self.over += self.beside.area if self.beside is not None else 0
            self.beside, self.asked = what, float(what.asks or self.asked)
        else:
            self.between += now - self.mark
            self.stepped, self.asides = self.stepped + what.pixels / self.asked, True
        self.mark = now
        if isinstance(what, int):
            self._estimate()

    def step(self, progress: "Progress") -> None:
        """A step is done."""
        self.now = progress.done / progress.total
        if progress.done == 1 and self.extent:
            self.asked = max(1.0, self.pixels / self.extent.first)
        now = time.monotonic()
        self.between, self.mark = self.between + now - self.mark, now
        if not self.asides:
            self.stepped = self.pixels / self.asked
        self._estimate()

    def frame(self) -> None:
        """A frame is done."""
        self.ended, self.pixels, self.now, self.over, self.stepped = self.ended + 1, 0, 0.0, 0, 0.0
        self.network = self.between = 0.0
        self.asides, self.beside = False, None

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
