"""What the commands that restore pictures share: files and folders, where results go, what is said of each."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sr3.cli.checks import check_work
from sr3.cli.claims import claim
from sr3.cli.clock import screen, spoken
from sr3.cli.jobs import Job, absent, check_room, own_among, plan
from sr3.cli.made import all_made_so, is_enlarged
from sr3.cli.names import Naming, is_shard
from sr3.cli.outcome import Outcome, Teller, safely, say
from sr3.cli.parts import Behind, Later, ahead, share
from sr3.cli.pipes import PIPE, at_hand
from sr3.cli.run import Run
from sr3.cli.steps import Choice, Made, Ready, walked, written
from sr3.cli.tars import Shard, done_so, restore_shard, shard_note
from sr3.cli.together import Together, gathered, made_together

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.restore.restorer import Progress, Restored

    Streams = Callable[[Path, Any], Iterator[Progress | Restored]]
    """How one file is restored, step by step: of the file and what it holds, which may be decoded already."""

OWN = "a result of sr3 itself"

LIGHT = 2**22
"""Pixels of a result up to which pictures are decoded ahead and written behind; larger ones are at hand one by one."""


@dataclass
class Work:
    """One command's work.

    choose: the restorer that a file is for.  stream: how one file is restored.
    options: of that, as its result's metadata keep them: seed, samples, steps, sampler, spacing, quality, free.
    told: what else makes a result this one and no other, for its metadata.
    size_of: the (width, height) of the result, of a picture's own and its model's factor.
    enlarges: what such a command made is left as it is, but by force.  lenient: damaged files are taken, each in its
    turn.  read: files that are read beside the pictures, as masks are.
    most: bytes that the process may take, by which is refused what cannot be made by bands; None: by what is free.
    instead: what would help where a picture does not fit.
    together, at_once: how small pictures are computed at once, and how many.
    """

    run: Run
    naming: Naming
    choose: Callable[[Path], Choice]
    stream: "Streams"
    options: dict[str, Any]
    size_of: Callable[[tuple[int, int], int], tuple[int, int]]
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    enlarges: bool = False
    lenient: bool = False
    read: Sequence[Path] = ()
    most: int | None = None
    instead: str = "ask for less"
    together: Together | None = None
    at_once: int = 1
    used: int = 0
    """Bytes that the process takes before its first picture."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()  # several pictures at once must not load one model twice

    def __call__(self, elsewhere: Callable[[list[Job]], Iterator[Outcome]] | None = None) -> None:
        """Restore files and folders, one picture after another; typer.Exit(1) where some failed, 3 where all did.

        elsewhere: what has the pictures restored by other processes, instead of this one.
        """
        run = self.run
        jobs, failures = plan(run.inputs, run.output, self.naming)
        own = set(own_among(jobs)) if self.enlarges and not run.force else set[Job]()
        jobs = share([job for job in jobs if job not in own], run.shard)
        check_work(run, jobs, self.read)
        if jobs and jobs[0].source != PIPE:  # what no picture can have fails once, before any work
            from sr3.picture.picture import PictureError

            with suppress(PictureError):  # what is wrong with one picture stops no other
                self.choose(jobs[0].source).restorer.settings(**run.settings, samples=run.samples)
        from sr3.picture.memory import in_use

        self.used = in_use()
        say([one for one in failures if absent(Path(one[0])) is None])  # the others are said already
        with screen(quiet=run.quiet) as shown:
            tell = partial(shown.console.print, soft_wrap=True, markup=False, highlight=False)
            teller = Teller(None if run.quiet else tell, as_json=run.json, manifest=run.manifest)
            for name, why in failures:
                teller(Outcome(name, error=why))
            for job in sorted(own):
                teller(Outcome(job.name, left=OWN))
            whole = shown.add_task("pictures", total=len(jobs)) if len(jobs) > 1 else None

            def ended(outcome: Outcome) -> None:
                teller(outcome)
                if whole is not None:
                    shown.advance(whole)

            if elsewhere and jobs:
                for outcome in elsewhere(jobs):
                    ended(outcome)
            else:
                self._all(jobs, shown, ended)
        self._end(teller, len(jobs), said=len(failures))

    def _end(self, teller: Teller, count: int, said: int) -> None:
        say(teller.failures[said:])
        if count > 1 and (not self.run.quiet or teller.failures):
            kept = f", {teller.left} left as they are: {teller.which_left()}" if teller.left else ""
            typer.echo(f"{teller.made} done, {len(teller.failures)} failed{kept}", err=True)
        elif teller.left and not self.run.quiet:
            typer.echo(f"left as {'it is' if teller.left == 1 else 'they are'}: {teller.which_left()}", err=True)
        if teller.failures:
            raise typer.Exit(1 if teller.made or teller.left else 3)

    def _all(self, jobs: list[Job], shown: "Bars", tell: Callable[[Outcome], None]) -> None:
        """Tell what becomes of each: decoded ahead, and written behind, by threads of their own."""
        later: list[Job] = []
        behind = Behind(lambda job, outcome: self._ended((job, outcome), len(jobs)), tell)
        pool = ThreadPoolExecutor(max(1, 2 * (self.run.jobs - 1)))
        try:
            before = max(self.run.jobs, self.at_once) - 1
            waiting = ahead(pool, partial(self._prepared, early=True), jobs, before)
            for some in gathered(waiting, self.at_once):
                for (job, ready), made in zip(some, made_together(self.together, some), strict=True):
                    outcome = safely(
                        job, self.run.samples, len(jobs), partial(self._begun, pool, job, ready, shown, made)
                    )
                    if outcome is None:
                        later.append(job)
                    else:
                        behind.add(job, outcome)
                behind.drain(self.run.jobs - 1)
            for job in later:  # what others were at: it is there now, or they have ended without it
                ready = pool.submit(self._prepared, job, wait=True)
                outcome = safely(job, self.run.samples, len(jobs), partial(self._begun, pool, job, ready, shown))
                assert outcome is not None
                behind.add(job, outcome)
            behind.drain()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def one(self, job: Job) -> Outcome:
        """What becomes of one picture, restored here and now, but for what another process has made of it."""
        with screen(quiet=True) as shown, ThreadPoolExecutor(1) as pool:
            ready = pool.submit(self._prepared, job, wait=True)
            outcome = safely(job, self.run.samples, 2, partial(self._begun, pool, job, ready, shown))
            return self._ended((job, outcome), 2)

    def _ended(self, one: "tuple[Job, Future[Outcome] | Outcome]", count: int) -> Outcome:
        job, outcome = one
        if isinstance(outcome, Future):
            outcome = safely(job, self.run.samples, count, outcome.result)
        assert isinstance(outcome, Outcome)
        return outcome

    def _prepared(
        self, job: Job, *, wait: bool = False, early: bool = False
    ) -> "tuple[Ready | Shard | Outcome | Later | None, ExitStack]":
        """The job, ready to begin; an Outcome where it need not; None where another process is at it.

        With what is to be closed when the job has ended.  early: before its turn; `Later` where that is to come first,
        as of what takes long no process may hold more than the one that it is at.
        """
        with ExitStack() as stack:
            if early and is_shard(job.source):
                return Later(), ExitStack()
            if self.run.skip_existing and os.path.realpath(job.target) != os.devnull and job.target != PIPE:
                held = claim(job.target, wait=wait)
                if held is None:
                    return None, stack.pop_all()
                stack.enter_context(held)
            source = stack.enter_context(at_hand(job.source))
            found = Shard() if is_shard(job.source) else self._looked_at(job, source)
            long = isinstance(found, Ready) and found.holds is found.source
            if early and long and self.run.skip_existing and job.source != PIPE:
                return Later(), ExitStack()
            return found, stack.pop_all()
        raise AssertionError("a stack of contexts lets no error go")

    def _looked_at(self, job: Job, source: Path) -> "Ready | Outcome":
        from sr3.model.config import ConfigError
        from sr3.picture.frames import check_holds, count
        from sr3.picture.image import decoded, read_size
        from sr3.restore.many import SMALL
        from sr3.restore.note import each_note, given_mark, note_of

        run = self.run
        with self.lock:
            choice = self.choose(source)
        note = note_of(choice.restorer, self.options) | {"result": self.naming.mark, **self.told}
        note |= given_mark(source)
        notes = each_note(note, run.seed, run.samples)
        done = job.written(run.samples)
        traced = run.trace is None or run.trace.exists()
        if run.skip_existing and traced and all_made_so(zip(done, notes, strict=True)):
            return Outcome(job.name, done, note=note, left="made in this way already")
        if self.enlarges and not run.force and is_enlarged(source):
            if len(run.inputs) == 1 and job.source == run.inputs[0]:
                raise ConfigError(f"{job.name} is a result of sr3 upscale; give --force to enlarge it again")
            return Outcome(job.name, left=OWN)
        have, frames = read_size(source), count(source)
        file = job.target if job.target != PIPE else Path(f"picture{self.naming.suffix or '.png'}")
        check_holds(file, frames, job.name)
        size = self.size_of(have, choice.restorer.model.task.factor)
        least = choice.least(run, have, size) if frames == 1 and self.options.get("keep") is None else None
        room = choice.room(size, self.most, self.used, self.instead)
        check_room(job, size, run.samples, frames, least, choice.made(have, size), room)
        pictures = max(run.jobs, self.at_once)
        most = max(SMALL, LIGHT * run.jobs // pictures)  # as many pixels are ahead, however many pictures
        light = size[0] * size[1] <= most and pictures > 1 and frames == 1 and not self.lenient
        return Ready(source, decoded(source) if light else source, choice, notes, have, size, frames, least)

    def _begun(
        self,
        pool: ThreadPoolExecutor,
        job: Job,
        ready: "Future[tuple[Ready | Shard | Outcome | Later | None, ExitStack]]",
        shown: "Bars",
        made: Made | None = None,
    ) -> "Outcome | Future[Outcome] | None":
        """The network's part of a job where that is not made yet, and what then writes it."""
        found, stack = ready.result()
        if isinstance(found, Later):
            found, stack = self._prepared(job)
        with stack:
            if isinstance(found, Shard):
                return self._shard(job, shown)
            if not isinstance(found, Ready):
                assert not isinstance(found, Later)  # it is its turn
                return found
            made = made or self._made(job, found, shown)
            finish = partial(self._finished, job, found, made)
            if found.holds is found.source:
                return finish()
            kept = stack.pop_all()

            def behind() -> Outcome:
                with kept:
                    return finish()

            return pool.submit(behind)

    def _made(self, job: Job, ready: Ready, shown: "Bars", *, quiet: bool = False) -> Made:
        """What the network makes, with a bar."""
        extent = ready.choice.extent(self.run, ready.have, ready.size)
        least, room = ready.choice.takes(self.run, ready.have, ready.size, ready.least)
        total, allowed = self.used + least, self.run.allowed
        tell = partial(shown.console.print, soft_wrap=True, markup=False, highlight=False)

        def estimated(seconds: float) -> None:
            if not (self.run.quiet or quiet or extent is None):
                size = f"{ready.size[0]}x{ready.size[1]}"
                tell(f"{job.name}: to {size} in about {spoken(seconds)}, with up to {room / 1e9:.1f} GB of memory")

        if self.run.memory is not None and total > (allowed or total) and not (self.run.quiet or quiet):
            tell(f"{job.name}: takes at least {total / 1e6:.0f} MB with all else, more than --memory {self.run.memory}")

        return walked(self.stream, ready, job, self.run, shown, self.naming.suffix, extent, estimated)

    def _shard(self, job: Job, shown: "Bars") -> Outcome:
        """A tar file of pictures, one after another."""
        began = time.monotonic()
        from sr3.picture.picture import PictureError

        def restore(given: Path, result: Path, called: str) -> None:
            one = Job(given, result)
            found = self._looked_at(one, given)
            if isinstance(found, Outcome):
                raise PictureError(f"{called} is {found.left}; give --force to enlarge it again")
            self._finished(one, found, self._made(one, found, shown, quiet=True))

        with self.lock:
            note = shard_note(job, self.choose, self.options, self.run.model)
        note |= {"result": self.naming.mark, **self.told}
        if self.run.skip_existing and done_so(job.target, note):
            return Outcome(job.name, [job.target], note=note, left="made in this way already")
        done = restore_shard(job, restore, self.naming.within, note)
        seconds, why = time.monotonic() - began, f"{done.made} pictures"
        failed = list(done.failed.items())
        return Outcome(job.name, [job.target], seconds=seconds, why=why, note=note, within=failed)

    def _finished(self, job: Job, ready: Ready, made: Made) -> Outcome:
        note, files = written(job, made, ready.notes, self.run, self.naming.suffix), job.written(self.run.samples)
        how: dict[str, Any] = {"size": made.size, "frames": ready.frames, "why": ready.choice.why, "note": note}
        return Outcome(job.name, files, seconds=made.spent(), **how)
