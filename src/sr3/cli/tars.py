"""Shards: tar files of many pictures and what belongs to them, as webdataset reads them.

What belongs together has one name up to the first dot and lies together: pictures are restored, and all else (labels,
captions) is taken over as it is.  A result is written whole or not at all; a mark beside it says what made it and which
pictures failed.
"""

import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sr3.cli.jobs import Job
from sr3.cli.made import check_given, same
from sr3.cli.names import mark_of
from sr3.cli.steps import Choice
from sr3.files import replacing, temporary_folder, write_text

MEMBER = 2**28
"""Bytes; a larger member is refused."""

DAMAGED = (tarfile.TarError, EOFError, KeyError, ValueError, OSError)
"""KeyError is of a link to what is not there."""


MADE_BY = "sr3"
"""The comment in the head of a shard, by which one without its mark is known."""


BY_PICTURE = ("model", "pictures_seen", "weights", "steps", "sampler", "spacing", "seed")
"""Of a note, what differs within a shard where no model is named."""


class Member(NamedTuple):
    """One file of a shard."""

    name: str
    data: bytes
    time: float


class Done(NamedTuple):
    """What became of a shard."""

    made: int
    failed: dict[str, str]


class Shard(NamedTuple):
    """In the place of a picture that is ready: a shard is read as it is restored."""


def done_so(target: Path, note: Mapping[str, str]) -> bool:
    """Whether a shard is there and done, in the way of this note; PictureError where it was made of another, or by
    another program."""
    from sr3.picture.picture import PictureError, shown

    found: Any = None
    with suppress(OSError, ValueError):
        found = json.loads(mark_of(target).read_text("utf-8"))
    if isinstance(found, dict) and isinstance(made := found.get("note"), dict):
        if not target.is_file():
            return False
        check_given(target, made, note)
        return same(made, note)
    if os.path.lexists(target) and not _is_ours(target):  # one of ours has no mark yet where its process was killed
        raise PictureError(f"{shown(target)} is there already and no result of sr3; give another -o, or --force")
    return False


def _is_ours(target: Path) -> bool:
    with suppress(*DAMAGED), tarfile.open(target, "r:*") as archive:
        return archive.pax_headers.get("comment") == MADE_BY
    return False


def shard_note(
    job: Job, choose: Callable[[Path], Choice], options: Mapping[str, Any], model: str | None
) -> dict[str, str]:
    """What makes a shard's results these and no others, as far as the shard knows it before its pictures.

    model: the one that was named, if any.
    """
    from sr3.picture.picture import PictureError
    from sr3.restore.note import given_mark, note_of

    try:
        note = note_of(choose(job.source).restorer, options)
    except PictureError:  # each picture has the task that it is in need of
        note = {key: str(value) for key, value in options.items() if value is not None} | {"model": str(model)}
    if model is None:  # each picture has the model that it deserves
        note = {key: value for key, value in note.items() if key not in BY_PICTURE}
    return note | given_mark(job.source)


def restore_shard(
    job: Job,
    restore: Callable[[Path, Path, str], object],
    name_of: Callable[[Path], str],
    note: Mapping[str, str],
) -> Done:
    """Restore every picture of a shard into another.

    restore: (file to read, file to write, what to call it); what it raises fails this picture, and what belongs to it
    is then left out; by UndamagedError a picture is taken over as it is.  name_of: a result's name by its picture's, of
    which the end is taken: the rest is what belongs together.  note: for the mark, what made the results.
    PictureError where the shard cannot be read, or nothing in it can be restored.
    """
    from sr3.model.config import ConfigError
    from sr3.picture.picture import PictureError

    made, failed = 0, dict[str, str]()
    with replacing(job.target) as temporary, temporary_folder() as folder, _opened(temporary) as out:
        for sample in _samples(job.source):
            kept: list[Member] = []
            why: dict[str, str] = {}
            taken = {member.name for member in sample}
            for member in sample:
                if not _is_picture(member.name):
                    kept.append(member)
                    continue
                try:
                    kept.append(_restored(member, job, folder, restore, name_of, taken - {member.name}))
                    taken.add(kept[-1].name)
                except Exception as error:
                    from sr3.restore.fault import code_and_sentence

                    # of a full disk or memory no picture is at fault, and another time all may be well
                    if not isinstance(error, PictureError | ConfigError) or (found := code_and_sentence(error)) is None:
                        raise
                    why[member.name] = found[1]
            failed |= why
            if not why:
                made += sum(_is_picture(member.name) for member in kept)
                for member in kept:
                    _add(out, member)
        if not made:
            first = next(iter(failed.values()), "there is no picture in it")
            raise PictureError(f"nothing of {job.name} could be restored: {first}")
        mark_of(job.target).unlink(missing_ok=True)  # that of an older one, which must not stand beside this
    mark = {"made": made, "failed": failed, "note": dict(note)}
    write_text(mark_of(job.target), json.dumps(mark, indent=2) + "\n")
    return Done(made, failed)


def _opened(path: Path) -> tarfile.TarFile:
    """A new tar file that says whose it is."""
    return tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": MADE_BY})


def _samples(source: Path) -> Iterator[Sequence[Member]]:
    """What belongs together."""
    for _, group in groupby(_members(source), lambda member: _key(member.name)):
        yield list(group)


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.name.split(".")[0])


def _members(source: Path) -> Iterator[Member]:
    from sr3.picture.picture import PictureError, shown

    try:
        with tarfile.open(source, "r:*") as archive:
            for info in archive:
                # a hard link is a file that is there once more
                file = archive.extractfile(info) if info.isreg() or info.islnk() else None
                if file is None:
                    continue  # folders, other links, devices
                data = file.read(MEMBER + 1)
                if len(data) > MEMBER:
                    raise PictureError(f"{shown(info.name)} in {shown(source)} has over {MEMBER} bytes; cut it smaller")
                yield Member(info.name, data, info.mtime)
            # where the next name should be, tarfile takes junk and the end of the file for the end of the archive
            ends: Any = archive.fileobj
            ends.seek(archive.offset)
            if ends.read(512) != bytes(512):
                raise tarfile.ReadError("it has no end")
    except DAMAGED as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{shown(source)} is no tar file, or is damaged; give a whole copy of it") from error


def _is_picture(name: str) -> bool:
    from sr3.picture.collection import PICTURE_SUFFIXES

    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def _restored(
    member: Member,
    job: Job,
    folder: Path,
    restore: Callable[[Path, Path, str], object],
    name_of: Callable[[Path], str],
    taken: Collection[str],
) -> Member:
    from sr3.picture.picture import PictureError, shown
    from sr3.restore.choose import UndamagedError

    path = PurePosixPath(member.name)
    called = shown(f"{job.name}/{member.name}")
    given = folder / f"given{path.suffix.lower()}"
    given.write_bytes(member.data)
    end = Path(name_of(given)).suffix
    end = path.suffix if end == given.suffix else end  # which may be in capitals
    name = str(path.with_suffix(end))
    # up to the first dot it stays what it was, by which labels are found
    name = name if name not in taken else f"{path}{end}"
    result = folder / f"made{end.lower()}"
    try:
        restore(given, result, called)
        return Member(name, result.read_bytes(), member.time)
    except UndamagedError:
        return member
    except PictureError as error:
        raise PictureError(str(error).replace(str(given), called).replace(str(result), called)) from error
    finally:
        result.unlink(missing_ok=True)
        given.unlink(missing_ok=True)


def _add(out: tarfile.TarFile, member: Member) -> None:
    info: Any = tarfile.TarInfo(member.name)
    info.size, info.mtime = len(member.data), member.time
    out.addfile(info, io.BytesIO(member.data))
