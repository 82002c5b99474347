"""One picture's restoration, from its first step to its files; an animation's goes frame by frame."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sr3.cli.clock import Clock, Extent
from sr3.cli.common import write_gif
from sr3.cli.jobs import Job
from sr3.cli.pipes import PIPE, to_hand, write_result

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress as Bars

    from sr3.cli.run import Run
    from sr3.picture.frames import Timing
    from sr3.picture.image import Picture
    from sr3.picture.room import Allowed
    from sr3.restore.restorer import Progress, Restored, Restorer


class Choice(NamedTuple):
    """The restorer that a file is for, and why."""

    restorer: "Restorer"
    why: str

    def least(self, run: "Run", have: tuple[int, int], size: tuple[int, int]) -> int | None:
        """Bytes that a picture takes at least where it may be made by bands; None where it may not."""
        if run.trace is not None:
            return None
        return self.restorer.least(have, size, self.restorer.settings(**run.settings), run.samples)

    def room(self, size: tuple[int, int], most: int | None, used: int, instead: str) -> "Allowed":
        """What may be taken for a result of this size where it is made at once.

        most: bytes that were allowed; None: what is free.  used: bytes that the process takes before it begins.
        instead: what would help where it is not enough.
        """
        from sr3.picture.room import Allowed
        from sr3.restore.large import at_work, each, smallest

        model, tile = self.restorer.model, self.restorer.largest
        # an accelerator has a memory of its own
        tiles = at_work(model, size, smallest(model, tile)) if self.restorer.device.type == "cpu" else 0
        return Allowed(most, used + tiles, each(model.task), instead)

    def made(self, have: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the largest picture on the way to a result."""
        from sr3.restore.size import made_size

        return made_size(have, size, self.restorer.model.task.factor)

    def takes(self, run: "Run", have: tuple[int, int], size: tuple[int, int], least: int | None) -> tuple[int, int]:
        """Bytes that a picture takes at least, and that it will, beside what the process has before.

        It will take what it is allowed, where that will do and is less than all.  least: see `least`.
        """
        from sr3.picture.room import memory_for
        from sr3.restore.large import each

        made = self.made(have, size)
        whole = memory_for(size[0] * size[1], run.samples, made[0] * made[1], each=each(self.restorer.model.task))
        least = whole if least is None else min(whole, least)
        return least, min(whole, max(least, self.restorer.memory or whole)) if least < whole else whole

    def extent(self, run: "Run", have: tuple[int, int], size: tuple[int, int]) -> Extent | None:
        """What the network has to compute of one frame; None of one that it is shown in parts, or reduced."""
        from sr3.restore.size import passes
        from sr3.task import SuperResolution

        task, sides, (wide, high) = self.restorer.model.task, self.restorer.model.config.sides, have
        factor, steps = task.factor, self.restorer.settings(**run.settings).steps
        whole = size == (wide * factor, high * factor) and (sides is None or max(size) <= sides[1])
        if not (whole or isinstance(task, SuperResolution)):
            return None
        count = passes(have, size, factor)
        areas = [wide * high * factor ** (2 * k) for k in range(1, count + 1)]
        return Extent(areas[0], sum(areas) * steps * run.samples, sum(areas) * run.samples)


class Ready(NamedTuple):
    """A job that may begin."""

    source: Path
    holds: Any
    choice: Choice
    notes: list[dict[str, str]]
    have: tuple[int, int]
    size: tuple[int, int]
    """(width, height) of the result."""
    frames: int
    least: int | None = None
    """Bytes that it takes at least by bands; None where it is made at once."""


class Animation(NamedTuple):
    """Frames that are done: of each file of the job, a list; the first frame's pictures; how long each is shown."""

    frames: "list[list[np.ndarray[Any, Any]]]"
    like: "list[Picture]"
    timing: "Timing"


class Made(NamedTuple):
    """What came of a picture and is not written yet."""

    began: float
    pictures: "list[Picture]"
    held: str
    trace: "list[Picture]"
    animation: Animation | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of what is written."""
        return self.pictures[0].size

    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began


def leniently(source: Path) -> "Path | Picture":
    """A file of which all can be read; of another what can be read."""
    from sr3.picture.image import PictureError, read

    try:
        read(source)
    except PictureError:
        return read(source, lenient=True)
    return source


def check_trace(trace: Path | None, count: int = 1, shard: str | None = None) -> None:
    """ConfigError where --trace names no .gif, or there is more than one picture to follow."""
    from sr3.model.config import ConfigError

    if trace is not None and trace.suffix.lower() != ".gif":
        raise ConfigError(f"--trace writes a .gif, and {trace} is none")
    if trace is not None and (count != 1 or shard):
        raise ConfigError(f"--trace follows one picture, and there are {count}")


def walked(
    stream: "Callable[[Path, Any], Iterator[Progress | Restored]]",
    ready: Ready,
    job: Job,
    run: "Run",
    shown: "Bars",
    suffix: str | None = None,
    extent: Extent | None = None,
    estimated: Callable[[float], None] | None = None,
) -> Made:
    """Restore a file, with a bar.

    suffix: of what goes into a pipe.  extent: what the network has to compute of one frame, if known.
    """
    from sr3.picture.frames import Timing, loops, read_frames, samples_of

    source, restorer, frames = ready.source, ready.choice.restorer, ready.frames
    restorer.bands = frames == 1 and run.trace is None  # frames are put together, and a trace shows whole pictures
    restorer.near = None if job.target == PIPE else next(p for p in job.target.absolute().parents if p.is_dir())
    clock = Clock(extent, frames, estimated)
    bar = shown.add_task(job.source.name, total=None, clock=clock)
    restorer.heard = lambda computed: (clock.heard(computed), shown.update(bar, completed=clock.share, total=1))[0]
    try:
        if frames == 1:
            return _one(stream(source, ready.holds), job, run, shown, bar, clock)
        done: list[list[Any]] = []
        like: list[Picture] = []
        times: list[float] = []
        made: Made | None = None
        for frame, milliseconds in read_frames(source):
            # the same seed, and so the same noise, in every frame: what stands still does not flicker
            made = _one(stream(source, frame), job, run, shown, bar, clock)
            like = like or [replace(p, pixels=p.pixels[:, :1, :1], alpha=None) for p in made.pictures]
            files = job.written(run.samples) if job.target != PIPE else [Path(f"picture{suffix or '.png'}")]
            done.append([samples_of(p, file) for p, file in zip(made.pictures, files, strict=True)])
            times.append(milliseconds)
            clock.frame()
        timing = Timing(times if any(times) else (), loops(source))
        assert made is not None
        return made._replace(
            began=clock.began, animation=Animation([list(f) for f in zip(*done, strict=True)], like, timing)
        )
    finally:
        restorer.heard = None
        shown.remove_task(bar)


def _one(steps: "Iterator[Progress | Restored]", job: Job, run: "Run", shown: "Bars", bar: Any, clock: Clock) -> Made:
    from sr3.restore.restorer import Progress

    frames: list[Picture] = []
    result: Progress | Restored | None = None
    for result in steps:
        if isinstance(result, Progress):
            clock.step(result)
            label = job.source.name + (f", held to {result.held.split(' (')[0]}" if result.held else "")
            shown.update(bar, completed=clock.share, total=1, description=label)
            first = result.done <= result.total // run.samples
            if run.trace is not None and (first if result.follows is None else result.follows):
                frames.append(_frame(result))
    assert result is not None
    assert not isinstance(result, Progress)
    pictures = [*result.variants, *(p for p in (result.mean, result.spread) if p is not None)]
    return Made(clock.began, pictures, result.held, frames)


def written(job: Job, made: Made, notes: list[dict[str, str]], run: "Run", suffix: str | None) -> dict[str, str]:
    """Write a job's files, and give the first one's note."""
    from sr3.picture.frames import write_frames

    held = {"held_to": made.held} if made.held else {}
    for k, path in enumerate(job.written(run.samples)):
        note = notes[k] | held
        if made.animation is None:
            write_result(path, _stripped(made.pictures[k], run), note, quality=run.output_quality, suffix=suffix)
            continue
        like = _stripped(made.animation.like[k], run)
        with to_hand(path, suffix) as whole:
            write_frames(
                whole, made.animation.frames[k], like, made.animation.timing, note=note, quality=run.output_quality
            )
    if run.trace is not None:
        _animate(run.trace, made.trace, made.pictures[0])
    return notes[0] | held


def _stripped(picture: "Picture", run: "Run") -> "Picture":
    from sr3.picture.large import LargePicture
    from sr3.picture.metadata import without_location

    if run.strip_location and isinstance(picture, LargePicture):
        return picture.kept(without_location(picture.keep))
    return replace(picture, keep=without_location(picture.keep)) if run.strip_location else picture


def _frame(progress: "Progress") -> "Picture":
    """The walk itself, not the estimate: noise that becomes a picture."""
    from sr3.picture.image import Picture
    from sr3.picture.resize import resize

    x = progress.step.x[:1].float().cpu()
    x = x / max(1.0, float((x.var() + 1e-12).sqrt()))
    large = max(x.shape[-2:])
    if large > 640:
        x = resize(x, (max(1, x.shape[-2] * 640 // large), max(1, x.shape[-1] * 640 // large)))
    return Picture(pixels=x[0].clamp(-1, 1), alpha=None, bits=8, keep={})


def _animate(path: Path, frames: "list[Picture]", last: "Picture") -> None:
    from dataclasses import replace

    from sr3.picture.image import to_pil

    # of a picture that was made in several sizes, the last
    pictures = [to_pil(f).convert("RGB") for f in frames if f.size == frames[-1].size]
    end = to_pil(replace(last, alpha=None, bits=8)).convert("RGB")
    pictures.append(end.resize(pictures[0].size) if pictures else end)
    write_gif(path, pictures, milliseconds=200)
