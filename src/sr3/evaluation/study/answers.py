"""The answers of a study: one line of JSON each, never lost and never counted twice."""

import os
import threading
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from sr3.evaluation.study.pairs import GIVEN, Pairs
from sr3.evaluation.study.plan import Side, Task, Trial, plan
from sr3.model.config import ConfigError


class Answer(BaseModel):
    """One answer, a line of the file.  side: where the photograph was; answer: where the rater took it to be.

    time: when, in UTC.  milliseconds: from the moment the pictures appeared to the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    time: str
    rater: str
    task: Task
    picture: str
    method: str
    side: Side
    answer: Side
    milliseconds: NonNegativeInt

    @property
    def fooled(self) -> bool:
        """Whether the made picture was taken for the photograph."""
        return self.answer != self.side

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is answered once: (rater, task, picture, method)."""
        return self.rater, self.task, self.picture, self.method


@lru_cache(maxsize=256)
def _planned(
    names: tuple[str, ...],
    methods: tuple[str, ...],
    rater: str,
    tasks: tuple[Task, ...],
    limit: int | None,
    seed: int,
) -> tuple[Trial, ...]:
    """`plan`, which the page asks for at every question, remembered for the last raters."""
    return tuple(plan(names, methods, rater, tasks=tasks, limit=limit, seed=seed))


def read_answers(path: Path) -> tuple[list[Answer], list[str]]:
    """The answers of a file, each question's first, and a sentence for every line that is left out.

    Lines are cut off where a machine stopped while writing; they are left out.  No file: no answers.
    ConfigError where the file has lines and none is an answer: it is something else.
    """
    if not path.exists():
        return [], []
    found: dict[tuple[str, str, str, str], Answer] = {}
    notices: list[str] = []
    broken = 0
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            answer = Answer.model_validate_json(line)
        except ValidationError:
            broken += 1
            notices.append(f"line {number} of {path.name} is cut off or no answer; it is left out")
            continue
        if answer.key in found:
            notices.append(f"line {number} of {path.name} answers a question again; the first answer counts")
        found.setdefault(answer.key, answer)
    if broken > 1 and not found:
        raise ConfigError(f"{path} is not a file of answers")
    return list(found.values()), notices


def rater_name(text: str) -> str:
    """A rater's name in the form it is compared in: "  Anna " and "anna" are one person.  ConfigError if unusable."""
    name = " ".join(unicodedata.normalize("NFC", text).split()).casefold()
    if not name or len(name) > 60 or not name.isprintable():
        raise ConfigError("a rater's name has 1 to 60 letters")
    return name


@dataclass
class Study:
    """A study under way: what each rater is asked next, and every answer safely in the file.

    May be used from several threads.  `notices` says what `read_answers` left out.
    """

    pairs: Pairs
    path: Path
    tasks: tuple[Task, ...] = ("shown", "hidden")
    limit: int | None = None
    seed: int = 0
    notices: list[str] = field(init=False)

    def __post_init__(self) -> None:
        if "shown" in self.tasks and not self.pairs.has_given:
            raise ConfigError(f"{self.pairs.folder} has no folder {GIVEN!r}, so the task can only be 'hidden'")
        self.plan("")
        answers, self.notices = read_answers(self.path)
        self._answered = {answer.key for answer in answers}
        self._lock = threading.Lock()

    def plan(self, rater: str) -> list[Trial]:
        """All trials of one rater, in order."""
        pairs = self.pairs
        return list(_planned(pairs.names, pairs.methods, rater, self.tasks, self.limit, self.seed))

    def left(self, rater: str) -> list[Trial]:
        """The trials that the rater has not answered yet, in order."""
        return [t for t in self.plan(rater) if (rater, t.task, t.picture, t.method) not in self._answered]

    def answer(self, rater: str, trial: Trial, side: Side, milliseconds: int) -> bool:
        """Write an answer down; True when it is on the disk, False when the question had been answered before.

        OSError where it cannot be written; then nothing of it is in the file, and it may be given again.
        """
        answer = Answer(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            rater=rater,
            task=trial.task,
            picture=trial.picture,
            method=trial.method,
            side=trial.side,
            answer=side,
            milliseconds=milliseconds,
        )
        with self._lock:
            if answer.key in self._answered:
                return False
            append(self.path, answer)
            self._answered.add(answer.key)
            return True


def append(path: Path, answer: Answer) -> None:
    """Add one line to the file and wait until it is on the disk.  A line cut off before is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size = os.fstat(handle).st_size
        whole = size == 0
        if size:
            os.lseek(handle, size - 1, os.SEEK_SET)
            whole = os.read(handle, 1) == b"\n"
        line = (b"" if whole else b"\n") + answer.model_dump_json().encode() + b"\n"
        try:
            while line:
                line = line[os.write(handle, line) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
