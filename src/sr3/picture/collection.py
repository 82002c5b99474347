"""Collections of pictures: any folder or zip, checked and decoded once; what training and measuring begin with."""

import lzma
import os
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from sr3.picture.image import read_note, read_rgb8
from sr3.picture.picture import PictureError, shown
from sr3.picture.write import WRITABLE

PICTURE_SUFFIXES = frozenset(
    {*WRITABLE, ".jpe", ".jfif", ".heic", ".heif", ".gif", ".bmp", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""The suffixes that count as pictures in a folder or zip; a file that is named for itself may have any."""

AHEAD = 64
"""So many files are read and decoded at once, in as many threads as there are processors."""

MEMBER = 2**28
"""Bytes: a larger file in a zip, unpacked, counts as broken; some unpack to a thousand times the zip."""

_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    MemoryError,
    NotImplementedError,  # a way of packing that Python does not know
    RuntimeError,  # a password
    OSError,
    ValueError,
    KeyError,
    struct.error,
    IndexError,
)


class DataError(ValueError):
    """A folder or zip that cannot be used, in one sentence."""


OWN = "made by sr3 itself"
"""What is said of results of sr3, which are no originals."""

RUN = "state.safetensors"
"""The file by which the folder of a training run is known."""


def find_pictures(root: str | Path, unreadable: list[str] | None = None, but: Path | None = None) -> list[Path]:
    """Every picture in a folder and its sub-folders, by suffix, sorted; hidden files and folders are left out.

    unreadable: takes the names of folders that cannot be listed; without it the first is a PictureError.
    but: a folder, without links in its name, that is not looked into.
    """
    root = Path(root)
    if not root.is_dir():
        raise PictureError(f"{shown(root)} is not a folder; give one that holds pictures")

    def refuse(error: OSError) -> None:
        if unreadable is not None:
            unreadable.append(shown(error.filename))
            return
        raise PictureError(f"{shown(error.filename)} cannot be listed ({error.strerror})") from error

    found: list[Path] = []
    for folder, below, files in os.walk(root, onerror=refuse):
        below[:] = [b for b in below if not b.startswith(".")]
        if but is not None:
            below[:] = [b for b in below if b != but.name or Path(folder, b).resolve() != but]
        found += [
            Path(folder, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in PICTURE_SUFFIXES
        ]
    return sorted(found)


@dataclass
class Pictures:
    """Decoded pictures, uint8 [H, W, 3] each, with what the check of the files found."""

    names: list[str] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    """Those that are `OWN`."""
    twins: list[tuple[str, str]] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    """Of each picture that was loaded a number that those of the same pixels share, in this process alone."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def megapixels(self) -> float:
        """Millions of pixels in all."""
        return sum(p.shape[0] * p.shape[1] for p in self.pixels) / 1e6

    def first(self, count: int | None) -> "Pictures":
        """The first so many; None: all."""
        return replace(self, names=self.names[:count], pixels=self.pixels[:count], keys=self.keys[:count])

    def also_in(self, others: "Pictures") -> list[tuple[str, str]]:
        """The pictures that are among others too: their names here and there."""
        there = dict(zip(others._keys(), others.names, strict=True))
        return [(name, there[key]) for name, key in zip(self.names, self._keys(), strict=True) if key in there]

    def _keys(self) -> list[int]:
        return self.keys if len(self.keys) == len(self) else [_key(pixels) for pixels in self.pixels]

    def summary(self) -> str:
        """What was found, for a person."""
        lines = [f"{len(self)} pictures, {self.megapixels:.1f} megapixels"]
        for title, names in (("broken", self.broken), ("too small", self.small), (OWN, self.own)):
            if names:
                lines.append(listed(f"{title}, left out", names))
        if self.twins:
            lines.append(f"{len(self.twins)} are the same picture twice, e.g. {' = '.join(self.twins[0])}")
        return "\n".join(lines)


def listed(title: str, names: Sequence[str]) -> str:
    """How many there are, and the names of the first."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} {title}: {', '.join(names[:5])}{more}"


def _key(pixels: np.ndarray) -> int:
    return hash((pixels.shape, pixels.tobytes()))


def paired(originals: Pictures, given: Pictures, factor: int) -> list[np.ndarray]:
    """What is given of each original: the picture of its name, whatever the suffix, or of its name and x4, _x4 or LR.

    factor: how many times smaller it must be, once the original is cut to a multiple of that at its right and bottom.
    DataError where one is missing or of another size, and where a name does not say which: two that are given differ in
    their suffix alone, or two originals have the same one.
    """
    by_stem: dict[str, int] = {}
    for k, name in enumerate(given.names):
        stem = str(Path(name).with_suffix(""))
        if by_stem.setdefault(stem, k) != k:
            raise DataError(f"{given.names[by_stem[stem]]} and {name} are both given as {stem}; leave only one there")
    taken: dict[int, str] = {}
    for name, pixels in zip(originals.names, originals.pixels, strict=True):
        stem = str(Path(name).with_suffix(""))
        bare, marks = re.sub(r"[_-]?HR$", "", stem), (f"x{factor}", f"_x{factor}", "LR", "_LR", "-LR", f"_LRx{factor}")
        k = next((by_stem[other] for other in (stem, *(bare + mark for mark in marks)) if other in by_stem), None)
        if k is None:
            raise DataError(f"there is no picture given of {name}; call it {stem}, or {stem}x{factor}")
        if k in taken:
            raise DataError(f"{given.names[k]} is given of both {taken[k]} and {name}; give one picture of each")
        taken[k] = name
        want, have = tuple(side // factor for side in pixels.shape[1::-1]), given.pixels[k].shape[1::-1]
        if want != have:
            sizes = f"{have[0]}x{have[1]}, and must be {want[0]}x{want[1]}"
            raise DataError(f"what is given of {name} is {sizes}, {factor} times smaller than that")
    return [given.pixels[k] for k in taken]


def load(
    sources: Path | str | Sequence[Path | str],
    *,
    smallest: int = 1,
    most: int | None = None,
    spread: bool = False,
    own: bool = False,
) -> Pictures:
    """Decode every picture of the sources into memory, by the reader of `sr3.picture.image`: upright, RGB of 8 bits.

    In folders those of training runs are left out, and in folders and zips results of sr3, which are no originals; a
    file that is named for itself is taken.  own: take results too.
    smallest: pictures with a side below so many pixels are left out.  most: the first so many are enough.
    spread: not the first, but evenly spaced in the order of names, as with a folder for each class.
    Broken files are named in the result, not raised; DataError where nothing usable is left.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    found = Pictures()
    seen: dict[int, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, picture in _decoded(pool, sources, found.broken, most if spread else None, own=own):
            if not isinstance(picture, np.ndarray):
                (found.broken if picture is None else found.own).append(name)
                continue
            if min(picture.shape[:2]) < smallest:
                found.small.append(name)
                continue
            key = _key(picture)
            if key in seen:
                found.twins.append((seen[key], name))
            seen[key] = name
            found.names.append(name)
            found.pixels.append(picture)
            found.keys.append(key)
            if len(found) == most:
                break
    if not len(found):
        where = ", ".join(map(str, sources))
        why = f"; {len(found.broken)} broken, {len(found.small)} with a side below {smallest} pixels"
        why += f", {len(found.own)} {OWN}" if found.own else ""
        raise DataError(f"no usable picture in {where}{why if found.broken or found.small or found.own else ''}")
    return found


def _decoded(
    pool: ThreadPoolExecutor, sources: Sequence[Path | str], unreadable: list[str], spread: int | None, *, own: bool
) -> "Iterator[tuple[str, np.ndarray | str | None]]":
    """(name, uint8 [H, W, 3], None where it is broken, or `OWN`) of every picture, in order.

    libvips runs outside Python.  spread: so many first that are evenly spaced.  own: see `load`.
    """

    def decode(file: tuple[str, Path | Member]) -> np.ndarray | str | None:
        try:
            contents = file[1]() if callable(file[1]) else file[1]
            if contents is None:
                return None
            with suppress(PictureError):  # what has no note that can be read is nobody's
                if not own and file[1] not in named and "model" in read_note(contents, file[0]):
                    return OWN
            return read_rgb8(contents, name=file[0])
        except (PictureError, MemoryError):
            return None

    named = set(map(Path, sources))
    files = (file for source in sources for file in _files(Path(source), unreadable))
    if spread is not None:
        listed = list(files)
        first = dict.fromkeys(k * len(listed) // spread for k in range(spread)) if listed else {}
        files = iter([listed[k] for k in (*first, *(k for k in range(len(listed)) if k not in first))])
    while some := list(islice(files, AHEAD)):
        yield from zip((name for name, _ in some), pool.map(decode, some), strict=True)


Member = Callable[[], bytes | None]
"""Reads one file of a zip; None where it is damaged, locked, or of a size that no picture has."""


def _files(source: Path, unreadable: list[str]) -> Iterator[tuple[str, Path | Member]]:
    """(name, path or what reads it) of each picture file of a folder, zip or single picture, in the order of names."""
    if source.is_dir():
        known: dict[Path, bool] = {source: False}
        for path in find_pictures(source, unreadable):
            if _in_a_run(path.parent, known):
                continue
            yield shown(str(path.relative_to(source))), path
    elif source.is_file() and zipfile.is_zipfile(source):
        yield from _members(source)
    elif source.is_file() and source.suffix.lower() in PICTURE_SUFFIXES:
        yield source.name, source
    elif source.exists():
        raise DataError(f"{source} is neither a folder, a zip nor a picture")
    else:
        raise DataError(f"{source} does not exist; give a folder or a zip of pictures")


def _in_a_run(folder: Path, known: dict[Path, bool]) -> bool:
    """Whether a folder is that of a training run or in one: what lies there are samples, and no photographs."""
    if folder not in known:
        known[folder] = (folder / RUN).exists() or _in_a_run(folder.parent, known)
    return known[folder]


def _members(source: Path) -> Iterator[tuple[str, Member]]:
    try:
        archive = zipfile.ZipFile(source)
        names = sorted(archive.namelist())
    except _ZIP_FAULTS as error:
        raise DataError(
            f"{source} is a damaged zip ({shown(' '.join(str(error).split()))}); give a whole copy"
        ) from error
    lock = threading.Lock()

    def member(name: str) -> bytes | None:
        try:
            with lock:  # one file, from several threads
                if archive.getinfo(name).file_size > MEMBER:
                    return None
                return archive.read(name)
        except _ZIP_FAULTS:
            return None

    # open for as long as any member may be read
    for name in names:
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and not Path(name).name.startswith("."):
            yield shown(name), partial(member, name)
