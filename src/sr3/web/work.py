"""One job done: the steps of it, and the files that the command line would write."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError
from sr3.model.device import pick_device, pick_precision
from sr3.picture.image import Picture, PictureError, write
from sr3.picture.large import LargePicture
from sr3.picture.resize import resize
from sr3.picture.room import Allowed, check_room, memory_for
from sr3.restore.large import LOCAL, each_of
from sr3.restore.note import each_note, given_mark, note_of
from sr3.restore.places import Mask, read_mask
from sr3.restore.restored import Restored
from sr3.restore.restorer import Progress, Restorer
from sr3.task import TASKS
from sr3.web.catalogue import Catalogue, Entry
from sr3.web.limits import Limits
from sr3.web.shapes import Options
from sr3.web.store import Record
from sr3.web.uses import Asked, Use

BESIDE = 400_000_000
"""Bytes that PyTorch, a model and the server take beside what is made."""

KEPT = 3
"""Models that a worker holds at once, those last used."""

PRIVATE = ("exif-data", "xmp-data", "iptc-data")


class Bench:
    """Where one worker works: a device, and the models that are ready on it."""

    def __init__(
        self,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        memory: int | None = Limits.memory,
    ):
        where = pick_device(device)  # what cannot be is said before anybody asks for anything
        pick_precision(precision, where)
        if tile is not None and tile < 1:
            raise ConfigError(f"a tile of {tile} pixels is too small; give at least 1")
        self._how: dict[str, Any] = {"device": device, "precision": precision, "tile": tile, "memory": memory}
        self._ready: OrderedDict[str, Restorer] = OrderedDict()
        self._lock = threading.Lock()

    def restorer(self, entry: Entry) -> Restorer:
        """A model made ready."""
        with self._lock:
            if entry.name not in self._ready:
                self._ready[entry.name] = Restorer.load(entry.source, **self._how)
                if len(self._ready) > KEPT:
                    self._ready.popitem(last=False)
            self._ready.move_to_end(entry.name)
            return self._ready[entry.name]


def by_bands(use: Use, options: Options, mask: str | None) -> bool:
    """Whether a result may be made a few rows at a time, if its model and its size allow it."""
    return TASKS[use.kind] in LOCAL and options.samples == 1 and mask is None


def room(use: Use) -> Allowed:
    """What a result that is made at once takes of the memory, and what helps where that is too much."""
    return Allowed(each=each_of(TASKS[use.kind]), instead="send a smaller one, or ask for less")


def check_memory(name: str, size: tuple[int, int], use: Use, options: Options, most: int | None) -> None:
    """PictureError where a picture of this (width, height) is made whole and takes more than the server may take.

    most: bytes of the server, of which PyTorch and the models have their part.
    """
    how = room(use)
    need = memory_for(size[0] * size[1], options.samples, each=how.each) + BESIDE
    if most is not None and need > most:
        raise PictureError(
            f"{name} takes {need / 1e9:.1f} GB of memory while it becomes {size[0]}x{size[1]}, and {most / 1e9:.1f} GB "
            f"are allowed here; {how.instead}"
        )


def files_of(stem: str, suffix: str, samples: int) -> list[str]:
    """The names of a result's files: the samples, and of several their mean and their spread."""
    if samples == 1:
        return [f"{stem}{suffix}"]
    return [f"{stem}-{end}{suffix}" for end in (*range(1, samples + 1), "mean", "spread")]


def make(record: Record, folder: Path, bench: Bench, catalogue: Catalogue) -> Iterator[Progress | Restored]:
    """The steps of a job, and last its result, which then lies in the folder under the names of `Record.results`.

    ConfigError, PictureError and whatever else can go wrong say the picture's name and no path.
    """
    try:
        yield from _make(record, folder, bench, catalogue)
    except (ConfigError, PictureError) as error:
        said = str(error).replace(str(folder / record.picture), record.name)
        raise type(error)(said.replace(str(folder / (record.mask or "mask")), "the mask")) from error


def _make(record: Record, folder: Path, bench: Bench, catalogue: Catalogue) -> Iterator[Progress | Restored]:
    use, options = catalogue.use(record.task), record.options
    if record.model not in catalogue.models:
        raise ConfigError(f"the model {record.model} is not installed here any more; ask again by another")
    entry = catalogue.models[record.model]
    restorer = bench.restorer(entry)
    source, target, size = folder / record.picture, folder / record.results[0], record.result_size or record.size
    restorer.near, least = folder, None
    if by_bands(use, options, record.mask):
        how = restorer.settings(steps=options.steps, sampler=options.sampler, quality=options.quality)
        least = restorer.least(record.size, size, how)
    largest = use.largest_size(record.size, entry.factor, options)
    if least is None:
        check_memory(record.name, largest, use, options, restorer.memory)
    asked = {"samples": options.samples, "files": options.samples}
    check_room(record.name, target, size, least=least, made=largest, allowed=room(use), **asked)
    asked = Asked(restorer, source, _mask(record, folder), options)
    note = note_of(restorer, _noted(asked, use)) | {"result": use.marked(entry.factor, options), **use.told(asked)}
    if options.output_quality != Options.model_fields["output_quality"].default:
        note |= {"output_quality": str(options.output_quality)}
    note |= given_mark(source)
    result: Progress | Restored | None = None
    for result in use.steps(asked):
        if isinstance(result, Progress):
            yield result
    assert isinstance(result, Restored)
    pictures = [*result.variants, *(p for p in (result.mean, result.spread) if p is not None)]
    notes = each_note(note, options.seed, options.samples)
    for name, picture, own in zip(record.results, pictures, notes, strict=True):
        held = {"held_to": result.held} if result.held else {}
        write(
            folder / name,
            picture if options.metadata else _bare(picture),
            note=own | held,
            quality=options.output_quality,
        )
    yield result


def _noted(asked: Asked, use: Use) -> dict[str, Any]:
    """The options as a note says them."""
    more = {name: getattr(asked.options, name) for name in ("fidelity", "noise") if name in use.options}
    return asked.how | more


def _bare(picture: Picture) -> Picture:
    """Without what tells where and by whom it was taken; the profile says what its colours are, and stays."""
    keep = {block: data for block, data in picture.keep.items() if block not in PRIVATE}
    return picture.kept(keep) if isinstance(picture, LargePicture) else replace(picture, keep=keep)


def _mask(record: Record, folder: Path) -> Mask | None:
    """The mask of a job; one that was drawn smaller is scaled up, each of its pixels to a block."""
    if record.mask is None:
        return None
    mask = read_mask(folder / record.mask)
    if (mask.hole.shape[-1], mask.hole.shape[-2]) == record.size:
        return mask
    high, wide = record.size[1], record.size[0]
    large = resize(mask.hole.float() * 2 - 1, (high, wide)) > 0
    return mask._replace(hole=large)
