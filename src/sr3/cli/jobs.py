"""What `sr3 upscale` reads and writes: every name is known, and checked, before any work."""

import difflib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sr3.cli.names import Naming, is_shard, mark_of, with_ending
from sr3.cli.pipes import PIPE, PIPED
from sr3.cli.places import Folder

if TYPE_CHECKING:
    from sr3.picture.room import Allowed

Key = tuple[int, int] | str
"""One for each file, however it is named."""


class Job(NamedTuple):
    """A picture, and the file that its result goes to; of several samples each has a name made from that."""

    source: Path
    target: Path
    within: str = ""
    """The picture's name in the folder that was named, by which shards go; "" where it was named itself."""

    @property
    def key(self) -> str:
        """What tells a picture from others wherever its folder lies."""
        return self.within or self.source.name

    @property
    def name(self) -> str:
        """What messages call the picture."""
        return str(self.source) if self.source != PIPE else PIPED

    def written(self, samples: int) -> list[Path]:
        """Every file that the job writes, in the order: the samples, their mean, their spread."""
        if samples == 1:
            return [self.target]
        ends = [*(str(k + 1) for k in range(samples)), "mean", "spread"]
        return [self.target.with_name(f"{self.target.stem}-{end}{self.target.suffix}") for end in ends]


class Plan(NamedTuple):
    """jobs: in order.  failures: (name, why) of what was asked for and cannot be had."""

    jobs: list[Job]
    failures: list[tuple[str, str]]


def absent(path: Path) -> str | None:
    """What to say of a file that is not there, with the nearest name that is; None where it is there."""
    if path == PIPE or os.path.exists(path):
        return None
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    except OSError:
        near = []
    return f"does not exist{f'; did you mean {path.with_name(near[0])}?' if near else '; check its name'}"


def plan(inputs: Sequence[Path], output: Path | None, naming: Naming) -> Plan:
    """The jobs of a command line.

    No two results have one name, whatever the order of the inputs and even where capitals do not count.  ConfigError
    where the inputs and the output do not go together.
    """
    from sr3.model.config import ConfigError

    many = len(inputs) > 1 or any(p.is_dir() for p in inputs)
    if many and output is not None and (output == PIPE or output.is_file()):
        raise ConfigError(f"{output} is no folder; several pictures need one to go to")
    found = Plan([], [])
    for source in inputs:
        if (why := absent(source)) is not None:
            found.failures.append((str(source), why))
        elif source != PIPE and source.is_dir():
            _add_folder(found, source, output, naming, several=len(inputs) > 1)
        else:
            found.jobs.append(Job(source, _target(source, output, naming, many=many)))
    if many and output is not None and found.jobs and _is_file_to_be(output):
        raise ConfigError(f"{output} is no folder, as {output}/ would be; several pictures need one to go to")
    once = {os.path.abspath(job.source): job for job in found.jobs}  # a picture that is named twice
    return Plan(_told_apart(list(once.values())), found.failures)


def _is_file_to_be(output: Path) -> bool:
    """Whether what is not there yet is called as a picture is."""
    from sr3.picture.collection import PICTURE_SUFFIXES

    return not (output.is_dir() or isinstance(output, Folder)) and output.suffix.lower() in PICTURE_SUFFIXES


def _add_folder(found: Plan, source: Path, output: Path | None, naming: Naming, *, several: bool) -> None:
    from sr3.model.config import ConfigError
    from sr3.picture.collection import find_pictures

    whole = source.resolve()
    if output is None:
        if not whole.name:
            raise ConfigError(f"the results of {source} have no place beside it; give -o")
        root = (whole if source.name in ("", "..") else source).with_name(f"{whole.name}-{naming.mark}")
    else:
        root = output / whole.name if several else output
    place = root.resolve()
    if place == whole:
        raise ConfigError(f"the results would overwrite the pictures of {source}; give another -o")
    unreadable: list[str] = []
    pictures = find_pictures(source, unreadable, but=place)
    if not pictures and not unreadable:
        if not several:
            raise ConfigError(f"there is no picture in the folder {source}")
        found.failures.append((str(source), "there is no picture in this folder"))
    found.failures.extend((name, "cannot be listed, and its pictures are left out") for name in unreadable)
    for path in pictures:
        within = path.relative_to(source)
        found.jobs.append(Job(path, root.joinpath(within.parent, naming.within(path)), within.as_posix()))


def _target(source: Path, output: Path | None, naming: Naming, *, many: bool) -> Path:
    if is_shard(source):
        if output is None:
            return source.with_name(f"{source.stem}-{naming.mark}.tar")
        to_folder = many or output.is_dir() or isinstance(output, Folder) or output.suffix.lower() != ".tar"
        return output / source.name if to_folder else output
    if output is None:
        return PIPE if source == PIPE else naming.beside(source)
    if many or output.is_dir() or isinstance(output, Folder):
        return output / (naming.piped() if source == PIPE else naming.within(source))
    return naming.given(output)


def _told_apart(jobs: list[Job]) -> list[Job]:
    """Where results would have one name, each has its folder's before it, its picture's ending in it, or a number."""
    groups: dict[Key, list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        groups[_name_key(job.target)].append(index)
    taken = {key for key, group in groups.items() if len(group) == 1}
    for group in groups.values():
        endings: dict[Path, set[str]] = defaultdict(set)
        for index in group:
            endings[jobs[index].source.parent].add(jobs[index].source.suffix.lower())
        for index in group if len(group) > 1 else ():
            source, target, within = jobs[index]
            stem = f"{source.resolve().parent.name}-{target.stem}"
            if len(endings[source.parent]) > 1:
                stem = with_ending(target.stem, source)
            names = (f"{stem}{f'-{n}' if n > 1 else ''}{target.suffix}" for n in range(1, len(jobs) + 2))
            target = next(p for p in map(target.with_name, names) if _name_key(p) not in taken)
            taken.add(_name_key(target))
            jobs[index] = Job(source, target, within)
    return jobs


def own_among(jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose pictures are results of others of them, as `sr3 upscale *.jpg` finds where it was asked before."""
    from sr3.cli.made import is_enlarged

    made = {_name_key(job.target) for job in jobs if job.target != PIPE}
    return [job for job in jobs if job.source != PIPE and _name_key(job.source) in made and is_enlarged(job.source)]


def _name_key(path: Path) -> Key:
    folder, name = os.path.split(path)
    link = os.path.islink(path) or name in ("", "..")
    real = os.path.realpath(path) if link else os.path.join(_real(os.path.join(os.getcwd(), folder)), name)
    return real.casefold() if real.isascii() else unicodedata.normalize("NFC", real).casefold()


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    """A folder's name without links; asked once, as thousands of files may be in it."""
    return os.path.realpath(folder)


def _key(path: Path, name: Key | None = None) -> Key:
    """name: its `_name_key`, where that is known."""
    try:
        found = os.stat(path)
    except OSError:
        return name or _name_key(path)
    return (found.st_dev, found.st_ino) if found.st_ino else name or _name_key(path)


def check(
    jobs: Sequence[Job],
    *,
    samples: int,
    trace: Path | None,
    force: bool,
    skip_existing: bool,
    manifest: Path | None = None,
    read: Sequence[Path] = (),
) -> None:
    """ConfigError where a job would overwrite what is read, or another's result; or any file, without force.

    And where a result's place is no folder, or one that cannot be written into, and for several into a pipe.
    manifest: what is there already is added to.  read: what is read beside the pictures.
    """
    from sr3.model.config import ConfigError

    if samples > 1 and any(job.target == PIPE for job in jobs):
        raise ConfigError(f"{samples} samples, their mean and their spread do not go into one pipe; give a file by -o")
    files = [(path, "-o") for job in jobs for path in job.written(samples)]
    files += [(mark_of(job.target), "-o") for job in jobs if is_shard(job.source)]
    beside = [(path, option) for path, option in ((trace, "--trace"), (manifest, "--manifest")) if path is not None]
    found = _there([*files, *beside], [*(job.source for job in jobs), *read])
    there = [path for path in found if path == trace or not (skip_existing or path == manifest)]
    if there and not force:
        how = (
            "another --trace" if there[0] == trace else "another -o, --skip-existing to keep what was made in this way"
        )
        raise ConfigError(f"{_first(there)}; give {how}, or --force to overwrite")
    for folder in {job.target.parent for job in jobs if job.target != PIPE}:
        _check_place(folder, "-o")
    for path, option in beside:
        _check_place(path.parent, option)


def check_free(files: Iterable[tuple[Path | None, str]], read: Iterable[Path | None] = (), *, force: bool) -> None:
    """ConfigError where a file would overwrite what is read, or another; or one that is there, without force.

    files: those that a command writes, with the options that name them; None: not asked for.
    """
    from sr3.model.config import ConfigError

    asked = [(path, option) for path, option in files if path is not None]
    there = _there(asked, [path for path in read if path is not None])
    if there and not force:
        raise ConfigError(f"{_first(there)}; give another name, or --force to overwrite")


def _there(files: Iterable[tuple[Path, str]], read: Iterable[Path]) -> list[Path]:
    """Those of the files to be written that are there already; each comes with the option that names it.

    ConfigError where one would overwrite what is read, or another.
    """
    from sr3.model.config import ConfigError

    known = {_key(path): path for path in read if path != PIPE}
    taken: set[Key] = set()
    there: list[Path] = []
    for path, option in files:
        new = not os.path.lexists(path)  # as most are: asked once of each, as there may be thousands
        if path == PIPE or not (new or path.is_file() or path.is_dir() or not os.path.exists(path)):
            continue  # a pipe or a device
        name = _name_key(path)
        key = name if new else _key(path, name)
        if key in known:
            raise ConfigError(f"{path} would overwrite {known[key]}, which is read; give another {option}")
        if key in taken or name in taken:
            raise ConfigError(f"two results would both be {path}; give another {option}, or the pictures one at a time")
        taken |= {key, name}
        if not new:
            there.append(path)
    return there


def _first(there: Sequence[Path]) -> str:
    return f"{there[0]} is there already" + (f" (and {len(there) - 1} more)" if len(there) > 1 else "")


def _check_place(folder: Path, option: str) -> None:
    from sr3.model.config import ConfigError

    nearest = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
    if not nearest.is_dir():
        raise ConfigError(
            f"{nearest} is no folder, so that nothing can be written into {folder}; give another {option}"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing may be written into {nearest}; give another {option}")


def check_room(
    job: Job,
    size: tuple[int, int],
    samples: int,
    frames: int = 1,
    least: int | None = None,
    made: tuple[int, int] | None = None,
    allowed: "Allowed | None" = None,
) -> None:
    """PictureError where results of this (width, height) fit neither their format, nor the memory, nor the disk.

    least: bytes of memory that will do, where it is known.  made: of the largest picture on the way.
    allowed: what may be taken; None: what is free.
    """
    from sr3.picture.room import FREE, check_room

    target = None if job.target == PIPE else job.target
    files = len(job.written(samples))
    room: Any = {"least": least, "made": made, "allowed": allowed or FREE}
    check_room(job.name, target, size, samples=samples, files=files, frames=frames, **room)
