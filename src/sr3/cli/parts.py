"""Many pictures: which part of them is this process's, and what is begun before its turn."""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import RLock
from typing import Any, NamedTuple

from sr3.cli.jobs import Job
from sr3.cli.outcome import Outcome


class Later(NamedTuple):
    """In the place of a job that is made ready when its turn comes."""


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Job], Any], jobs: Iterable[Job], count: int
) -> Iterator[tuple[Job, Future[Any]]]:
    """Each job, with its work, which is begun up to so many jobs before."""
    waiting: deque[tuple[Job, Future[Any]]] = deque()
    for job in jobs:
        waiting.append((job, pool.submit(work, job)))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


class Behind:
    """Jobs that are being written.  What became of each is told in their order, as soon as it is there.

    By the thread that wrote it, as the network may be at the next picture for minutes, and may be ended in it.
    """

    def __init__(self, ended: Callable[[Job, "Future[Outcome] | Outcome"], Outcome], tell: Callable[[Outcome], None]):
        self._ended, self._tell = ended, tell
        self._jobs: deque[tuple[Job, Future[Outcome] | Outcome]] = deque()
        self._lock = RLock()
        self._fault: BaseException | None = None

    def add(self, job: Job, outcome: "Future[Outcome] | Outcome") -> None:
        """The next in order."""
        with self._lock:
            self._jobs.append((job, outcome))
        if isinstance(outcome, Future):
            outcome.add_done_callback(lambda _: self._tell_what_is_there(raises=False))

    def drain(self, most: int = 0) -> None:
        """Wait until no more than so many are left.  Raises what a job raised that was no fault of its picture."""
        self._tell_what_is_there(raises=True)
        while len(self._jobs) > most:
            with self._lock:
                head = self._jobs[0][1] if self._jobs else None
            if isinstance(head, Future):
                wait([head])
            self._tell_what_is_there(raises=True)

    def _tell_what_is_there(self, *, raises: bool) -> None:
        """raises: whether errors are for this thread; one that only wrote a picture leaves them to who waits.

        Nothing is told twice, and nothing after what could not be told.
        """
        with self._lock:
            while self._jobs and self._fault is None:
                job, outcome = self._jobs[0]
                if isinstance(outcome, Future) and not outcome.done():
                    return
                self._jobs.popleft()
                try:
                    self._tell(self._ended(job, outcome))
                except BaseException as error:
                    self._fault = error
            if raises and self._fault is not None:
                raise self._fault


def share(jobs: list[Job], shard: str | None) -> list[Job]:
    """The k-th of n parts, by a hash of the results' names that is the same everywhere.  ConfigError for no k/n."""
    if shard is None:
        return jobs
    from sr3.model.config import ConfigError

    part, _, of = shard.partition("/")
    if not (part.isascii() and part.isdigit() and of.isascii() and of.isdigit() and 1 <= int(part) <= int(of) < 10**6):
        raise ConfigError(f"{shard!r} is no part of the pictures; write K/N with K from 1 to N, as 2/8")
    return [job for job in jobs if zlib.crc32(os.fsencode(job.key)) % int(of) == int(part) - 1]
