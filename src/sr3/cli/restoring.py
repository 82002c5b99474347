"""What the commands that restore pictures share: files and folders, where results go, what is said of each."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from sr3.cli.claims import claim
from sr3.cli.clock import Extent, screen, spoken
from sr3.cli.common import code_and_sentence
from sr3.cli.jobs import Job, absent, check, check_room, memory_for, plan
from sr3.cli.made import all_made_so, is_enlarged
from sr3.cli.names import Naming
from sr3.cli.outcome import Outcome, Teller
from sr3.cli.parts import ahead, share
from sr3.cli.pipes import PIPE, at_hand
from sr3.cli.run import Run
from sr3.cli.steps import Made, check_trace, note_of, notes_of, walked, written

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.restore.restorer import Progress, Restored, Restorer

    Streams = Callable[[Path, Any], Iterator[Progress | Restored]]
    """How one file is restored, step by step: of the file and what it holds, which may be decoded already."""

LIGHT = 2**22
"""Pixels of a result up to which pictures are decoded ahead and written behind; larger ones are at hand one by one."""


class Choice(NamedTuple):
    """The restorer that a file is for, and why."""

    restorer: "Restorer"
    why: str


class Ready(NamedTuple):
    """A job that may begin."""

    source: Path
    holds: Any
    choice: Choice
    notes: list[dict[str, str]]
    have: tuple[int, int]
    size: tuple[int, int] | None
    """(width, height) of the result, where that is known before."""
    frames: int


@dataclass
class Work:
    """One command's work.

    choose: the restorer that a file is for.  stream: how one file is restored.
    options: of that, as its result's metadata keep them: seed, samples, steps, sampler, spacing, quality, free.
    told: what else makes a result this one and no other, for its metadata.
    size_of: the (width, height) of the result, of a picture's own and its model's factor, of a command that enlarges:
    what such a one made is then left as it is, but by force.  lenient: damaged files are taken, each in its turn.
    """

    run: Run
    naming: Naming
    choose: Callable[[Path], Choice]
    stream: "Streams"
    options: dict[str, Any]
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    size_of: Callable[[tuple[int, int], int], tuple[int, int]] | None = None
    lenient: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.Lock()  # several pictures at once must not load one model twice

    def __call__(self) -> None:
        """Restore files and folders, one picture after another; typer.Exit(1) where some failed, 3 where all did."""
        run = self.run
        jobs, failures = plan(run.inputs, run.output, self.naming)
        jobs = share(jobs, run.shard)
        check_trace(run.trace, len(jobs), run.shard)
        check(jobs, samples=run.samples, trace=run.trace, force=run.force, skip_existing=run.skip_existing)
        if run.json and any(job.target == PIPE for job in jobs):
            _refuse("--json and the picture do not go into one pipe; give a file by -o")
        if jobs and jobs[0].source != PIPE:  # a model that cannot be loaded fails once, before any work
            self.choose(jobs[0].source)
        with screen(quiet=run.quiet) as shown:
            say = partial(shown.console.print, soft_wrap=True, markup=False, highlight=False)
            teller = Teller(None if run.quiet else say, as_json=run.json, manifest=run.manifest)
            for name, why in failures:
                teller(Outcome(name, error=why))
            whole = shown.add_task("pictures", total=len(jobs)) if len(jobs) > 1 else None
            for outcome in self._outcomes(jobs, shown):
                teller(outcome)
                if whole is not None:
                    shown.advance(whole)
        self._end(teller, len(jobs))

    def _end(self, teller: Teller, count: int) -> None:
        _say(teller.failures)
        if count > 1 and (not self.run.quiet or teller.failures):
            kept = f", {teller.left} left as they are (results of sr3)" if teller.left else ""
            typer.echo(f"{teller.made} done, {len(teller.failures)} failed{kept}", err=True)
        if teller.failures:
            raise typer.Exit(1 if teller.made or teller.left else 3)

    def _outcomes(self, jobs: list[Job], shown: "Bars") -> Generator[Outcome, None, None]:
        """What becomes of each: decoded ahead, and written behind, by threads of their own."""
        later: list[Job] = []
        behind: deque[tuple[Job, Future[Outcome] | Outcome]] = deque()  # in the order of the jobs
        pool = ThreadPoolExecutor(max(1, 2 * (self.run.jobs - 1)))
        try:
            for job, ready in ahead(pool, self._prepared, jobs, self.run.jobs - 1):
                outcome = self._safely(job, len(jobs), partial(self._begun, pool, job, ready, shown))
                if outcome is None:
                    later.append(job)
                else:
                    behind.append((job, outcome))
                while len(behind) >= self.run.jobs:
                    yield self._ended(behind.popleft(), len(jobs))
            for job in later:  # what others were at: it is there now, or they have ended without it
                ready = pool.submit(self._prepared, job, wait=True)
                outcome = self._safely(job, len(jobs), partial(self._begun, pool, job, ready, shown))
                assert outcome is not None
                behind.append((job, outcome))
            while behind:
                yield self._ended(behind.popleft(), len(jobs))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, one: "tuple[Job, Future[Outcome] | Outcome]", count: int) -> Outcome:
        job, outcome = one
        if isinstance(outcome, Future):
            outcome = self._safely(job, count, outcome.result)
        assert isinstance(outcome, Outcome)
        return outcome

    def _safely(self, job: Job, count: int, work: Callable[[], Any]) -> Any:
        """What work gives; an `Outcome` with the error where that is a picture's own."""
        from sr3.model.config import ConfigError

        try:
            return work()
        except Exception as error:
            found = code_and_sentence(error)
            # what is wrong with the request is wrong for every picture; what is wrong with one is not
            if found is None or (isinstance(error, ConfigError) and count == 1):
                raise
            return Outcome(job.name, job.written(self.run.samples), error=found[1])

    def _prepared(self, job: Job, *, wait: bool = False) -> "tuple[Ready | Outcome | None, ExitStack]":
        """The job, ready to begin; an Outcome where it need not; None where another process is at it.

        With what is to be closed when the job has ended.
        """
        with ExitStack() as stack:
            if self.run.skip_existing and os.path.realpath(job.target) != os.devnull and job.target != PIPE:
                held = claim(job.target, wait=wait)
                if held is None:
                    return None, stack.pop_all()
                stack.enter_context(held)
            source = stack.enter_context(at_hand(job.source))
            found = self._looked_at(job, source)
            return found, stack.pop_all()
        raise AssertionError("a stack of contexts lets no error go")

    def _looked_at(self, job: Job, source: Path) -> "Ready | Outcome":
        from sr3.model.config import ConfigError
        from sr3.picture.frames import check_holds, count
        from sr3.picture.image import decoded, read_size

        run = self.run
        with self.lock:
            choice = self.choose(source)
        note = note_of(choice.restorer, self.options) | {"result": self.naming.mark, **self.told}
        notes = notes_of(note, run.seed, run.samples)
        done = job.written(run.samples)
        if run.skip_existing and all_made_so(zip(done, notes, strict=True)):
            return Outcome(job.name, done, note=note, left="made in this way already")
        if self.size_of is not None and not run.force and is_enlarged(job.source):
            if len(run.inputs) == 1 and job.source == run.inputs[0]:
                raise ConfigError(f"{job.source} is a result of sr3 upscale; give --force to enlarge it again")
            return Outcome(job.name, left="a result of sr3 itself")
        have, frames = read_size(source), count(source)
        if job.target != PIPE:
            check_holds(job.target, frames, job.name)
        size = None if self.size_of is None else self.size_of(have, choice.restorer.model.task.factor)
        if size is not None:
            check_room(job, size, run.samples, frames)
        wide, high = size or have
        light = wide * high <= LIGHT and run.jobs > 1 and frames == 1 and not self.lenient
        return Ready(source, decoded(source) if light else source, choice, notes, have, size, frames)

    def _begun(
        self,
        pool: ThreadPoolExecutor,
        job: Job,
        ready: "Future[tuple[Ready | Outcome | None, ExitStack]]",
        shown: "Bars",
    ) -> "Outcome | Future[Outcome] | None":
        """The network's part of a job, and what then writes it."""
        found, stack = ready.result()
        with stack:
            if not isinstance(found, Ready):
                return found
            light = found.holds is not found.source

            def estimated(seconds: float) -> None:
                if not self.run.quiet and found.size is not None:
                    size = f"{found.size[0]}x{found.size[1]}"
                    room = memory_for(found.size[0] * found.size[1], self.run.samples) / 1e9
                    line = f"{job.name}: to {size} in about {spoken(seconds)}, with up to {room:.1f} GB of memory"
                    shown.console.print(line, soft_wrap=True, markup=False, highlight=False)

            made = walked(
                self.stream,
                found.source,
                found.holds,
                found.choice.restorer,
                job,
                self.run,
                shown,
                frames=found.frames,
                extent=self._extent(found),
                estimated=estimated,
            )
            finish = partial(self._finished, job, found, made)
            if not light:
                return finish()
            kept = stack.pop_all()

            def behind() -> Outcome:
                with kept:
                    return finish()

            return pool.submit(behind)

    def _extent(self, ready: Ready) -> Extent | None:
        """What the network has to compute of one frame."""
        if ready.size is None:
            return None
        from sr3.restore.size import passes

        restorer, (wide, high) = ready.choice.restorer, ready.have
        factor, steps = restorer.model.task.factor, restorer.settings(**self.run.settings).steps
        count = passes(ready.have, ready.size, factor)
        areas = [wide * high * factor ** (2 * k) for k in range(1, count + 1)]
        return Extent(areas[0], sum(areas) * steps * self.run.samples)

    def _finished(self, job: Job, ready: Ready, made: Made) -> Outcome:
        note = written(job, made, ready.notes, self.run, self.naming.suffix)
        return Outcome(
            job.name,
            job.written(self.run.samples),
            size=made.size,
            frames=ready.frames,
            seconds=made.spent(),
            why=ready.choice.why,
            note=note,
        )


def _refuse(sentence: str) -> None:
    from sr3.model.config import ConfigError

    raise ConfigError(sentence)


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
