"""The list of jobs: one SQLite file, which survives whatever ends the server."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from sr3.model.config import ConfigError
from sr3.web.shapes import ENDED, Options, ProblemShape, State

_TABLES = """
create table if not exists jobs (
    number integer primary key autoincrement,
    id text not null unique,
    state text not null,
    finished real,
    key text unique,
    record text not null
);
create index if not exists by_state on jobs (state, number);
"""
_VERSION = 1


class Record(BaseModel):
    """A job as it is kept.

    name: of the picture, as its owner called it; nothing on the disk is called so.  picture, mask: of the files in the
    job's folder.  results: the files of the result, in the order of samples, mean, spread.  key, print: the request's
    Idempotency-Key, and a hash of all that it brought.  called: what a result is saved as.  tries: how often it was
    begun.  steps: how many a result took.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    state: State = "queued"
    task: str
    model: str
    options: Options
    name: str
    called: str
    picture: str
    mask: str | None = None
    size: tuple[int, int]
    result_size: tuple[int, int] | None = None
    results: list[str] = []
    created: float
    started: float | None = None
    finished: float | None = None
    error: ProblemShape | None = None
    tries: int = 0
    steps: int = 0
    key: str | None = None
    print: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in ENDED

    def called_as(self, file: str) -> str:
        """What one of `results` is saved as, as the command line would call it."""
        if len(self.results) == 1:
            return self.called
        path = PurePosixPath(self.called)
        return f"{path.stem}-{PurePosixPath(file).stem.partition('-')[2]}{path.suffix}"

    def now(self, state: State, **changes: object) -> "Record":
        """The same in another state, with the time of it."""
        when = "started" if state == "running" else "finished"
        return self.model_copy(update={"state": state, when: time.time(), **changes})


class Store:
    """The jobs of one folder.  May be used from several threads; every change is on the disk when its call returns.

    ConfigError where the folder's file is another program's, or another server's at this moment.
    """

    def __init__(self, path: Path):
        self._lock = threading.RLock()
        self._late: dict[str, Record] = {}
        try:
            self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2)
            # alone: two servers in one folder would do every job twice
            self._base.execute("pragma locking_mode = exclusive")
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = full")
            version = self._base.execute("pragma user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise ConfigError(f"{path} is of another sr3's web server; give another --folder")
            self._base.executescript(f"begin immediate; {_TABLES} pragma user_version = {_VERSION}; commit;")
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"{path} is in use by another sr3 web, or cannot be written; give another --folder"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} is no list of jobs, or is damaged; give another --folder") from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._base.close()

    def add(self, record: Record) -> Record:
        """Add a job; where there is one with its key already, that one."""
        with self._lock:
            if record.key is not None and (old := self.by_key(record.key)) is not None:
                return old
            self._base.execute(
                "insert into jobs (id, state, key, record) values (?, ?, ?, ?)",
                (record.id, record.state, record.key, record.model_dump_json()),
            )
            return record

    def save(self, record: Record) -> None:
        """Write a job's new state; one that is not there any more stays so.

        That one has ended is known from here on even where the disk is full, and written when there is room.
        """
        with self._lock:
            try:
                self._base.execute(
                    "update jobs set state = ?, finished = ?, record = ? where id = ?",
                    (record.state, record.finished, record.model_dump_json(), record.id),
                )
                self._late.pop(record.id, None)
            except sqlite3.OperationalError:
                if not record.ended:
                    raise
                self._late[record.id] = record

    def write_late(self) -> None:
        """Write the ends of jobs that could not be written before."""
        with self._lock:
            for record in list(self._late.values()):
                self.save(record)

    def remove(self, name: str) -> None:
        """Forget a job."""
        with self._lock:
            self._base.execute("delete from jobs where id = ?", (name,))
            self._late.pop(name, None)

    def get(self, name: str) -> Record | None:
        """A job."""
        return next(iter(self._found("id = ?", name)), None)

    def by_key(self, key: str) -> Record | None:
        """The job of an Idempotency-Key."""
        return next(iter(self._found("key = ?", key)), None)

    def newest(self, most: int) -> list[Record]:
        """The newest so many jobs, the last first."""
        return self._found("1 order by number desc limit ?", most)

    def of(self, state: State) -> list[Record]:
        """The jobs in a state, the first first."""
        return self._found("state = ? order by number", state)

    def oldest_ended(self, before: float) -> list[Record]:
        """The jobs that had ended before a time, the first to end first."""
        return self._found("finished < ? order by finished", before)

    def ids(self) -> set[str]:
        """Of all jobs."""
        with self._lock:
            return {row[0] for row in self._base.execute("select id from jobs")}

    def _found(self, where: str, *values: object) -> list[Record]:
        with self._lock:
            rows: Sequence[tuple[str]] = self._base.execute(f"select record from jobs where {where}", values).fetchall()
            found = [Record.model_validate_json(row[0]) for row in rows]
            return [self._late.get(record.id, record) for record in found]
