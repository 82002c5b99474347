"""Intake: what a request brings becomes files under names of ours, judged by their headers, and a record."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from sr3.model.config import ConfigError, parse
from sr3.picture.frames import count
from sr3.picture.image import WRITABLE, PictureError, read_size
from sr3.picture.picture import shown
from sr3.picture.room import check_room
from sr3.web.disk import new_name, size_of
from sr3.web.problem import Problem
from sr3.web.queue import Queue
from sr3.web.shapes import Options
from sr3.web.store import Record
from sr3.web.work import by_bands, check_memory, files_of, room

SUFFIXES = (*WRITABLE, ".heic", ".heif", ".gif", ".bmp", ".tga", ".jp2", ".ico", ".ppm", ".qoi")
"""Ends of names that an upload may keep; they tell some old formats apart."""


class Brought(NamedTuple):
    """A file of a request: what its owner calls it, and its contents."""

    name: str
    file: BinaryIO


class Request(NamedTuple):
    """All that asks for a job.  options: as JSON says them."""

    picture: Brought
    mask: BinaryIO | None = None
    task: str = "enlarge"
    model: str | None = None
    options: Mapping[str, Any] | None = None
    key: str | None = None


def take(queue: Queue, request: Request) -> Record:
    """Queue the job that a request asks for; of one that has come before with its key, that job.

    Problem, ConfigError or PictureError where it cannot be done; nothing is left of it then.
    """
    options = parse("options", Options, dict(request.options or {}))
    use = queue.catalogue.use(request.task)
    use.check(options)
    name = new_name()
    place = queue.place(name)
    try:
        place.mkdir(parents=True)  # the folder of all is in the user's cache, which gets cleaned
        called = tidy(request.picture.name)
        suffix = PurePosixPath(called).suffix.lower()
        suffix = suffix if suffix in SUFFIXES else ""
        source = place / f"picture{suffix}"
        marks = [_saved(request.picture.file, source)]
        if request.mask is not None:
            if "mask" not in use.takes:
                raise ConfigError(f"{use.name} takes no mask; leave it out")
            marks.append(_saved(request.mask, place / "mask"))
        elif "mask" in use.needs:
            raise ConfigError(f"{use.name} needs a mask: a picture that is white where pixels are to be made")
        size = _size(source, called, queue.limits.pixels)
        if (frames := count(source)) > 1:
            raise PictureError(
                f"{called} has {frames} frames or pages, and single pictures are made here; sr3 {use.command} makes "
                "all of a file's, or send one of them"
            )
        if request.mask is not None:
            _check_mask(place / "mask", size, queue.limits.pixels)
        entry = queue.catalogue.model(use, request.model, options, size)
        entry.walk.settings(
            steps=options.steps, sampler=options.sampler, spacing=None, quality=options.quality, samples=options.samples
        )
        use.check_size(entry.config, size, entry.factor, options)
        result = use.result_size(size, entry.factor, options)
        largest = use.largest_size(size, entry.factor, options)
        if largest[0] * largest[1] > queue.limits.made:
            how = "become" if largest == result else "first become"
            raise Problem(
                413,
                f"{called} would {how} {largest[0]}x{largest[1]}, and at most {queue.limits.made} pixels "
                "are made here; send a smaller one, or ask for less",
            )
        end = f".{options.format}" if options.format else _suffix(called, exact=use.name != "enlarge")
        files = files_of("result", end, options.samples)
        marked = None if request.mask is None else "mask"
        banded = by_bands(use, options, marked)
        if not banded:
            check_memory(called, largest, use, options, queue.limits.memory)
        least = 0 if banded else None  # the worker knows it, who has the model
        asked = {"samples": options.samples, "files": len(files)}
        check_room(called, place / files[0], result, least=least, made=largest, allowed=room(use), **asked)
        queue.reserve(name, size_of(place))  # last, as it lets go of what others have made
        record = Record(
            id=name,
            task=use.name,
            model=entry.name,
            options=options,
            name=called,
            called=f"{PurePosixPath(called).stem}-{use.marked(entry.factor, options)}{end}",
            picture=source.name,
            mask=marked,
            size=size,
            result_size=result,
            results=files,
            created=time.time(),
            key=request.key,
            print=_print(request, options, marks),
        )
        kept = queue.add(record)
        if kept.id != name:
            if kept.print != record.print:
                raise Problem(422, "this Idempotency-Key came with another request before; give each its own")
            queue.release(name)
        return kept
    except BaseException:
        queue.release(name)
        raise


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object; Problem where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f'{what} is no JSON; send an object such as {{"seed": 1}}') from error
    if not isinstance(found, dict):
        raise Problem(400, f'{what} is no JSON object; send one such as {{"seed": 1}}')
    return found


def tidy(name: str) -> str:
    """A file's name as it can be shown and saved: without folders, control characters and what no system takes."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    return kept[-120:] or "picture"


def _saved(file: BinaryIO, path: Path) -> str:
    """Copy a file to its place; the hash of what is in it."""
    found = hashlib.sha256()
    with path.open("wb") as kept:
        while part := file.read(1 << 20):
            found.update(part)
            kept.write(part)
    return found.hexdigest()


def _size(path: Path, called: str, most: int) -> tuple[int, int]:
    """(width, height) by the header; Problem 413 for more pixels than `most`."""
    try:
        size = read_size(path)
    except PictureError as error:
        raise PictureError(str(error).replace(shown(path), called)) from error
    if size[0] * size[1] > most:
        raise Problem(
            413,
            f"{called} is {size[0]}x{size[1]}, and at most {most} pixels are taken here; send a smaller one",
        )
    return size


def _check_mask(path: Path, size: tuple[int, int], most: int) -> None:
    wide, high = _size(path, "the mask", most)
    if (wide, high) != size and abs(wide * size[1] - high * size[0]) > max(size) + max(wide, high):
        raise PictureError(
            f"the mask is {wide}x{high} and the picture {size[0]}x{size[1]}; give one of the same size or shape"
        )
    if wide * high > size[0] * size[1]:  # it would take memory that nobody has counted
        raise PictureError(
            f"the mask is {wide}x{high} and the picture {size[0]}x{size[1]}; give one that is no larger than it"
        )


def _suffix(called: str, *, exact: bool) -> str:
    """What a result's name ends in where nothing is asked for: as the command line has it."""
    end = PurePosixPath(called).suffix.lower()
    return end if end in ((".png", ".tif", ".tiff") if exact else WRITABLE) else ".png"


def _print(request: Request, options: Options, marks: list[str]) -> str:
    said = json.dumps([request.task, request.model, options.model_dump(mode="json"), *marks])
    return hashlib.sha256(said.encode()).hexdigest()
