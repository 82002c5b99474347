"""What is looked at before any work: whether what was asked for goes together."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr3.cli.jobs import Job, absent, check
from sr3.cli.names import is_shard
from sr3.cli.pipes import PIPE
from sr3.cli.steps import check_trace

if TYPE_CHECKING:
    from sr3.cli.run import Run


def check_work(run: "Run", jobs: Sequence[Job], read: Sequence[Path]) -> None:
    """ConfigError where a command's options do not go together, or a result would overwrite what it must not.

    read: files that are read beside the pictures.
    """
    check_trace(run.trace, len(jobs), run.shard)
    if any(is_shard(job.source) for job in jobs):
        if run.samples > 1 or run.trace is not None:
            refuse("a tar file is restored without --samples and --trace; unpack it for these")
        if run.name is not None:
            refuse("in a tar file pictures keep their names, by which their labels are found; leave out --name")
        if run.output == PIPE:
            refuse("a tar file does not go into a pipe; give a file or a folder by -o")
    there = [path for path in (*read, *map(Path, filter(None, [run.model]))) if path.is_file()]
    how: dict[str, Any] = {"samples": run.samples, "force": run.force, "skip_existing": run.skip_existing}
    check(jobs, trace=run.trace, manifest=run.manifest, read=there, **how)
    if run.json and any(job.target == PIPE for job in jobs):
        refuse("--json and the picture do not go into one pipe; give a file by -o")
    if run.manifest == PIPE:
        refuse("a manifest is a file; for standard output there is --json")
    if run.manifest is not None and not _takes_lines(run.manifest):
        refuse(f"{run.manifest} is there already and no manifest; give another --manifest")


def _takes_lines(path: Path) -> bool:
    """Whether lines of JSON may be added: to what is not there, is empty, begins with one, or is no regular file."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        first = file.readline(2**20)
    try:
        return not first or isinstance(json.loads(first), dict)
    except ValueError:
        return False


def present(path: Path) -> Path:
    """A file that an option names.  ConfigError where it does not exist."""
    if (why := absent(path)) is not None:
        refuse(f"{path} {why}")
    return path


def refuse(sentence: str) -> None:
    """ConfigError with this sentence."""
    from sr3.model.config import ConfigError

    raise ConfigError(sentence)
