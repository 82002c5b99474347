"""What the commands that restore pictures share: files and folders, where results go, bars, faults."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sr3.cli.common import bars, write_gif
from sr3.cli.jobs import (
    EXACT,
    Job,
    absent,
    all_made_so,
    check,
    check_room,
    is_enlarged,
    plan,
)
from sr3.cli.pipes import PIPE, at_hand, write_result

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.picture.image import Picture
    from sr3.restore.restorer import Progress, Restored, Restorer

    Streams = Callable[[Path], Iterator[Progress | Restored]]
    """How one file is restored, step by step."""


def check_trace(trace: Path | None) -> None:
    """ConfigError where --trace names no .gif."""
    from sr3.model.config import ConfigError

    if trace is not None and trace.suffix.lower() != ".gif":
        raise ConfigError(f"--trace writes a .gif, and {trace} is none")


def restore_all(
    restorer_of: "Callable[[Path], Restorer]",
    inputs: Sequence[Path],
    output: Path | None,
    mark: str,
    stream: "Streams",
    options: dict[str, Any],
    *,
    trace: Path | None = None,
    skip_existing: bool = False,
    force: bool = False,
    exact: bool = False,
    told: Mapping[str, str] | None = None,
    size_of: "Callable[[Path], tuple[int, int]] | None" = None,
) -> None:
    """Restore files and folders one picture after another; typer.Exit(1) where some failed, 3 where all did.

    restorer_of: which restorer a file is for.
    mark: what a result is called after its picture's name.  stream: how one file is restored.
    options: of that, as its result's metadata keep them: seed, samples, steps, sampler, spacing, quality, free.
    force: overwrite what is there.  exact: whether results go into files that hold every pixel as it is, where none
        are named.  told: what else makes a result this one and no other, for its metadata.
    size_of: the (width, height) of a file's result, of a command that enlarges: what
        such a one made is then left as it is, but by force.
    """
    from sr3.model.config import ConfigError
    from sr3.picture.picture import PictureError
    from sr3.restore.fault import code_and_sentence
    from sr3.restore.note import each_note, note_of

    jobs, failures = plan(inputs, output, mark, EXACT if exact else None)
    if trace is not None and len(jobs) != 1:
        raise ConfigError(f"--trace follows one picture, and there are {len(jobs)}")
    samples = options["samples"]
    check(jobs, samples=samples, trace=trace, force=force, skip_existing=skip_existing)
    if jobs and jobs[0].source != PIPE:  # a model that cannot be loaded fails once, before any work
        with suppress(PictureError):  # what is wrong with one picture stops no other
            restorer_of(jobs[0].source)
    made = left = 0
    with bars() as shown:
        whole = shown.add_task("pictures", total=len(jobs)) if len(jobs) > 1 else None
        for job in jobs:
            try:
                with at_hand(job.source) as source:
                    note = note_of(restorer_of(source), options) | {"result": mark, **(told or {})}
                    notes = each_note(note, options["seed"], samples)
                    if skip_existing and all_made_so(zip(job.written(samples), notes, strict=True)):
                        left += 1
                    elif size_of is not None and not force and is_enlarged(job.source):
                        if len(inputs) == 1 and job.source == inputs[0]:
                            raise ConfigError(
                                f"{job.source} is a result of sr3 upscale; give --force to enlarge it again"
                            )
                        left += 1
                    else:
                        if size_of is not None:
                            check_room(job, size_of(source), samples)
                        _one(stream(source), job, trace, notes, shown)
                        made += 1
            except Exception as error:
                found = code_and_sentence(error)
                # what is wrong with the request is wrong for every picture; what is wrong with one is not
                if found is None or (isinstance(error, ConfigError) and len(jobs) == 1):
                    raise
                failures.append((job.name, found[1]))
            if whole is not None:
                shown.advance(whole)
    _say(failures)
    if len(jobs) > 1:
        kept = f", {left} left as they are (results of sr3)" if left else ""
        typer.echo(f"{made} done, {len(failures)} failed{kept}", err=True)
    if failures:
        raise typer.Exit(1 if made or left else 3)


def refuse_absent(inputs: Sequence[Path]) -> None:
    """Ends at once, before PyTorch is loaded, where none of the inputs exists."""
    failures = [(str(path), why) for path in inputs if (why := absent(path)) is not None]
    if inputs and len(failures) == len(inputs):
        _say(failures)
        raise typer.Exit(3)


def _say(failures: Sequence[tuple[str, str]]) -> None:
    for name, why in failures:
        line = f"sr3: {why}" if name in why else f"sr3: {name}: {why}"
        # a name need be neither printable nor text
        typer.echo("".join(c if c.isprintable() else "?" for c in line), err=True)


def _one(
    steps: "Iterator[Progress | Restored]", job: Job, trace: Path | None, notes: list[dict[str, str]], shown: "Bars"
) -> None:
    from sr3.restore.restorer import Progress

    bar = shown.add_task(job.source.name, total=None)
    frames: list[Picture] = []
    result: Progress | Restored | None = None
    try:
        for result in steps:
            if isinstance(result, Progress):
                label = job.source.name + (f", held to {result.held.split(' (')[0]}" if result.held else "")
                shown.update(bar, completed=result.done, total=result.total, description=label)
                if trace is not None and result.done <= result.total // max(1, len(notes) - 2):
                    frames.append(_frame(result))
    finally:
        shown.remove_task(bar)
    assert result is not None
    assert not isinstance(result, Progress)
    pictures = [*result.variants, *(p for p in (result.mean, result.spread) if p is not None)]
    for path, picture, note in zip(job.written(len(result.variants)), pictures, notes, strict=True):
        write_result(path, picture, note | ({"held_to": result.held} if result.held else {}))
    if trace is not None:
        _animate(trace, frames, result.variants[0])


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
