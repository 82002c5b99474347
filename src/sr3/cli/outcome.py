"""What became of each picture: a line for a person, a line of JSON for a program, a manifest for later."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from sr3.cli.clock import spoken
from sr3.cli.jobs import Job, absent
from sr3.cli.pipes import PIPE


@dataclass(frozen=True)
class Outcome:
    """One picture's.  left: why it was not made, where that is right; error: what is wrong, in a sentence.

    within: of a shard that was made, (name, why) of each picture in it that failed.
    """

    input: str
    output: list[Path] = field(default_factory=list[Path])
    size: tuple[int, int] | None = None
    frames: int = 1
    seconds: float = 0.0
    why: str = ""
    note: Mapping[str, str] = field(default_factory=dict[str, str])
    left: str | None = None
    error: str | None = None
    within: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def line(self) -> str:
        """Where it is, how large, how long it took, and which model made it and why."""
        where = "standard output" if self.output[0] == PIPE else str(self.output[0])
        more = f" and {len(self.output) - 1} more" if len(self.output) > 1 else ""
        frames = f" in {self.frames} frames" if self.frames > 1 else ""
        size = f"{self.size[0]}x{self.size[1]}{frames}, " if self.size else ""
        how = f"{self.note['model']} ({self.why})" if "model" in self.note else self.why
        line = f"{where}{more}: {size}{spoken(self.seconds)}, {how}"
        return "".join(c if c.isprintable() else "?" for c in line)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        settings = {key: value for key, value in self.note.items() if key != "seed"}
        found: dict[str, Any] = {
            "input": self.input,
            "output": [str(path) for path in self.output],
            "size": list(self.size) if self.size else None,
            "seed": int(self.note["seed"]) if "seed" in self.note else None,
            "settings": settings,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }
        return found | ({"left": self.left} if self.left else {})


def safely(job: Job, samples: int, count: int, work: Callable[[], Any]) -> Any:
    """What work on one of so many jobs gives; an `Outcome` with the error where that is a picture's own."""
    from sr3.model.config import ConfigError
    from sr3.restore.choose import NoJpegError, UndamagedError
    from sr3.restore.fault import code_and_sentence

    try:
        return work()
    except Exception as error:
        found = code_and_sentence(error)
        # what is wrong with the request is wrong for every picture; what is wrong with one is not
        if found is None or (isinstance(error, ConfigError) and count == 1):
            raise
        if isinstance(error, UndamagedError) and (job.within or count > 1):  # found in a folder, not asked for
            return Outcome(job.name, left=error.left)
        if isinstance(error, NoJpegError) and job.within:
            return Outcome(job.name, left=error.left)
        return Outcome(job.name, job.written(samples), error=found[1])


class Teller:
    """Says what became of each picture, as it was asked to."""

    def __init__(self, say: Callable[[str], None] | None, *, as_json: bool, manifest: Path | None):
        self.say, self.as_json, self.manifest = say, as_json, manifest
        self.made = self.left = 0
        self.reasons: dict[str, list[str]] = {}
        self.failures: list[tuple[str, str]] = []

    def __call__(self, outcome: Outcome) -> None:
        """Count it and say it, and then what failed in it."""
        if outcome.error is not None:
            self.failures.append((outcome.input, outcome.error))
        elif outcome.left is not None:
            self.left += 1
            self.reasons.setdefault(outcome.left, []).append(outcome.input)
        else:
            self.made += 1
            if self.say is not None:
                self.say(outcome.line())
        line = json.dumps(outcome.record(), ensure_ascii=True)
        if self.as_json:
            typer.echo(line)
        if self.manifest is not None:
            _append(self.manifest, line)
        for name, why in outcome.within:
            self(Outcome(f"{outcome.input}/{name}", error=why))

    def which_left(self) -> str:
        """Why pictures were left as they are; of several which, the first by its name."""
        if self.left == 1 and not self.made and not self.failures:
            return next(iter(self.reasons))
        found = [
            f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} ({why})"
            for why, names in self.reasons.items()
        ]
        return "".join(c if c.isprintable() else "?" for c in ", ".join(found))


def _append(path: Path, line: str) -> None:
    """Add a line at once and whole, so that several processes may write one manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(handle, f"{line}\n".encode("ascii"))
    finally:
        with suppress(OSError):
            os.close(handle)


def refuse_absent(inputs: Sequence[Path], *, as_json: bool = False) -> None:
    """Say at once, before PyTorch is loaded, which of the inputs do not exist, and end where none does.

    as_json: then with a line for each, which is else written when its turn comes.
    """
    failures = [(str(path), why) for path in inputs if (why := absent(path)) is not None]
    say(failures)
    if inputs and len(failures) == len(inputs):
        for name, why in failures if as_json else ():
            typer.echo(json.dumps(Outcome(name, error=why).record(), ensure_ascii=True))
        raise typer.Exit(3)


def say(failures: Sequence[tuple[str, str]]) -> None:
    """Say what failed, and why, on standard error."""
    for name, why in failures:
        line = f"sr3: {why}" if name in why else f"sr3: {name}: {why}"
        # a name need be neither printable nor text
        typer.echo("".join(c if c.isprintable() else "?" for c in line), err=True)
