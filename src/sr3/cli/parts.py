"""Many pictures: which part of them is this process's, and what is begun before its turn."""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from sr3.cli.jobs import Job


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


def share(jobs: list[Job], shard: str | None) -> list[Job]:
    """The k-th of n parts, by a hash of the results' names that is the same everywhere.  ConfigError for no k/n."""
    if shard is None:
        return jobs
    from sr3.model.config import ConfigError

    part, _, of = shard.partition("/")
    if not (part.isascii() and part.isdigit() and of.isascii() and of.isdigit() and 1 <= int(part) <= int(of) < 10**6):
        raise ConfigError(f"{shard!r} is no part of the pictures; write K/N with K from 1 to N, as 2/8")
    return [job for job in jobs if zlib.crc32(os.fsencode(job.key)) % int(of) == int(part) - 1]
