"""The queue: jobs wait, one worker for each device does them, and what has become old goes."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sr3.restore.restorer import Progress as Step
from sr3.web import views
from sr3.web.catalogue import Catalogue
from sr3.web.clock import Clock
from sr3.web.disk import size_of, stock
from sr3.web.events import Channel
from sr3.web.limits import Limits
from sr3.web.metrics import Metrics
from sr3.web.problem import Problem, problem_of
from sr3.web.problem import body as problem_body
from sr3.web.shapes import ProblemShape, Progress
from sr3.web.store import Record, Store
from sr3.web.work import Bench, make

LOG = logging.getLogger("sr3.web")

TRIES = 3
"""How often a job is begun whose server ends under it."""

PAUSE = 1.0
"""Seconds until a job is tried to be begun again, where it could not be."""

SWEEP = 30.0
"""Seconds between two looks for what has become old."""

Tell = Callable[[Record], object]
"""A job as listeners are told of it, ready for JSON."""


class Queue:
    """The jobs of one folder, and the threads that do them.  May be used from several threads.

    A job whose server was killed is queued again when the next one starts.
    """

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        benches: Sequence[Bench],
        limits: Limits | None = None,
    ):
        self.folder, self.catalogue, self.benches = folder, catalogue, benches
        self.limits, self.metrics = limits or Limits(), Metrics()
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        lost, self.store = not (folder / "jobs.sqlite").exists(), Store(folder / "jobs.sqlite")
        self.tell: Tell = lambda record: record.model_dump(mode="json")
        self.live: dict[str, Progress] = {}
        self._channels: dict[str, Channel] = {}
        self._stop: set[str] = set()
        self._change = threading.Condition(threading.RLock())
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        for record in self.store.of("running"):
            self._again(record)
        self._waiting = [record.id for record in self.store.of("queued")]
        self._bytes = stock(folder / "jobs", self.store.ids(), lost=lost)

    def _again(self, record: Record) -> None:
        """Queue again what a server that ended was doing, unless it seems to be what ends them."""
        if record.tries >= TRIES:
            said = (
                f"the server ended {record.tries} times while it worked on {record.name}; ask for less, or send another"
            )
            self.store.save(record.now("failed", error=ProblemShape(**problem_body(500, said))))
        else:
            self.store.save(record.model_copy(update={"state": "queued", "started": None}))

    # ── what is asked from outside

    def start(self) -> None:
        """Begin to work."""
        work = [(self._work, (bench,)) for bench in self.benches]
        for target, arguments in (*work, (self._sweep_now_and_then, ())):
            thread = threading.Thread(target=target, args=arguments, daemon=True, name="sr3-web")
            thread.start()
            self._threads.append(thread)

    def close(self, patience: float = 10.0) -> None:
        """Stop after the step that is being made; what was running is queued again at the next start."""
        with self._change:
            if not self._ending.is_set():
                for record in self.store.of("running"):  # an end that was meant is no fault of theirs
                    self.store.save(record.model_copy(update={"tries": record.tries - 1}))
            self._ending.set()
            self._change.notify_all()
        for thread in self._threads:
            thread.join(patience)
        self.store.close()

    @property
    def length(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def used(self) -> int:
        """Bytes of all jobs on the disk."""
        return sum(tuple(self._bytes.values()))

    def place(self, name: str) -> Path:
        """The folder of a job."""
        return self.folder / "jobs" / name

    def check_length(self) -> None:
        """Problem 429 where no more jobs may wait."""
        if self.length >= self.limits.queue:
            wait = max(1, round(self.metrics.usual_seconds))
            raise Problem(429, f"{self.length} jobs wait already; come back in {wait} s", retry_after=str(wait))

    def add(self, record: Record) -> Record:
        """Queue a job whose files lie in its place; where another has its key already, that one is given back."""
        with self._change:
            if record.key is None or self.store.by_key(record.key) is None:
                self.check_length()
            found = self.store.add(record)
            if found.id != record.id:
                return found
            self._waiting.append(record.id)
            self._bytes[record.id] = size_of(self.place(record.id))
            self._change.notify()
        self.metrics.count("submitted")
        return record

    def reserve(self, name: str, size: int) -> None:
        """Room for so many bytes of a job; Problem 507 where there is none, even with all that has ended gone."""
        with self._change:
            over = self.used + size - self.limits.disk
            ended = list(self.store.oldest_ended(time.time() + 1)) if over > 0 else []
            if over > sum(self._bytes.get(old.id, 0) for old in ended):
                raise Problem(507, "the room for jobs on this server's disk is used up; come back when some have ended")
            for old in ended:
                if over <= 0:
                    break
                over -= self._bytes.get(old.id, 0)
                self.forget(old)
            if size:
                self._bytes[name] = size

    def weigh(self, name: str) -> None:
        """Look again how much room a job takes."""
        if name in self._bytes:
            self._bytes[name] = size_of(self.place(name))

    def release(self, name: str) -> None:
        """Nothing has become of a job for which there was room."""
        self._bytes.pop(name, None)
        shutil.rmtree(self.place(name), ignore_errors=True)

    def position(self, name: str) -> int | None:
        """How many jobs are before a waiting one, those being done included."""
        with self._change, suppress(ValueError):
            return self._waiting.index(name) + len(self.live)
        return None

    def cancel(self, name: str) -> Record | None:
        """Let a job go: a waiting one at once, a running one after its step; None where it had ended."""
        with self._change:
            record = self.store.get(name)
            if record is None or record.ended:
                return None
            self._stop.add(name)
            if name in self._waiting:
                self._waiting.remove(name)
                self._stop.discard(name)
                record = self._end(record.now("canceled"))
            return record

    def forget(self, record: Record) -> None:
        """Remove a job that has ended, with its files."""
        self.store.remove(record.id)
        self.release(record.id)

    def channel(self, record: Record) -> Channel:
        """Where a job's events are heard."""
        with self._change:
            now = self.store.get(record.id) or record
            found = self._channels.get(record.id)
            if found is None:
                found = Channel()
                found.publish("state", self.tell(now))
                if now.ended:
                    found.publish("end", {"state": now.state})
                else:
                    self._channels[record.id] = found
            return found

    # ── the work

    def _work(self, bench: Bench) -> None:
        while not self._ending.is_set():
            try:
                record = self._next()
            except Exception:  # a full disk under the list of jobs, and the like: in a while all may be well
                LOG.exception("no job could be begun")
                self._ending.wait(PAUSE)
                continue
            if record is None:
                return
            try:
                self._do(record, bench)
            except Exception as error:
                LOG.exception("job %s could not be ended", record.id)
                with suppress(Exception):
                    self._end(record.now("failed", error=ProblemShape(**problem_of(error).body)))
            finally:
                with self._change:
                    self.live.pop(record.id, None)
                    self._stop.discard(record.id)

    def _next(self) -> Record | None:
        """The job whose turn it is; None at the end.  What is raised leaves it where it was."""
        with self._change:
            while not self._ending.is_set():
                if not self._waiting:
                    self._change.wait()
                    continue
                name = self._waiting[0]
                if (record := self.store.get(name)) is not None:
                    record = record.now("running", tries=record.tries + 1)
                    self.store.save(record)
                del self._waiting[0]
                if record is not None:
                    self.live[name] = Progress()
                    self._publish(record)
                    return record
            return None

    def _do(self, record: Record, bench: Bench) -> None:
        began, clock = time.monotonic(), Clock()
        channel = self.channel(record)
        url = f"/v1/jobs/{record.id}/preview"
        try:
            for step in make(record, self.place(record.id), bench, self.catalogue):
                if self._ending.is_set():
                    return
                if record.id in self._stop:
                    self._end(record.now("canceled"))
                    return
                if (took := time.monotonic() - began) > self.limits.seconds:
                    said = f"{record.name} took longer than the {self.limits.seconds:g} s that a job may take here"
                    raise Problem(503, f"{said}; ask for less")
                if isinstance(step, Step):
                    now = self.live[record.id] = clock.tick(step.done, step.total)
                    channel.publish("progress", now.model_dump(mode="json"))
                    if channel.wants_preview and step.done < step.total and not step.part:
                        channel.show(views.preview(step), url)
            took = time.monotonic() - began
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                LOG.exception("job %s failed", record.id)
            self._end(record.now("failed", error=ProblemShape(**problem.body)))
            return
        self.metrics.took(took)
        self._end(record.now("succeeded", steps=self.live.get(record.id, Progress()).total))

    def _publish(self, record: Record) -> None:
        if (channel := self._channels.get(record.id)) is not None:
            channel.publish("state", self.tell(record))

    def _end(self, record: Record) -> Record:
        with self._change:
            self.live.pop(record.id, None)
            if record.state != "succeeded":
                for name in record.results:
                    with suppress(OSError):
                        (self.place(record.id) / name).unlink()
            self._bytes[record.id] = size_of(self.place(record.id))
            self.store.save(record)
            self._publish(record)
            self.metrics.count(record.state)
            if (channel := self._channels.pop(record.id, None)) is not None:
                channel.publish("end", {"state": record.state})
        return record

    # ── what has become old

    def _sweep_now_and_then(self) -> None:
        while not self._ending.wait(SWEEP):
            with suppress(Exception):
                self.sweep()

    def sweep(self) -> None:
        """Write down what could not be, and forget what has been finished for too long or exceeds the disk's bound."""
        self.store.write_late()
        for record in self.store.oldest_ended(time.time() - 3600 * self.limits.hours):
            self.forget(record)
        with suppress(Problem):
            self.reserve("", 0)
