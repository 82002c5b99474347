"""Writing files whole or not at all, on any system."""

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = ".sr3-"
"""What the names of temporary files begin with."""

AGE = 24 * 3600.0
"""Seconds after which a temporary file is taken for a leftover where nothing else tells."""

WINDOWS = os.name == "nt"

TRIES = 20
"""How often a rename is tried, over a second: on Windows a virus scanner or a viewer may hold the file for a moment."""

_living: set[Path] = set()


@contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """A temporary path beside `path`, renamed to it when all went well, and removed when not.

    Keeps the suffix, which encoders go by.  A link stays one: what it leads to is replaced.  What is replaced keeps its
    permissions; a new file has those that any new file would have.  What is no regular file, such as /dev/null or a
    named pipe, is written to and stays what it is.  Temporary files that a killed process left in the folder go.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with _poured(path) as temporary:
            yield temporary
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = path.parent / f"{PREFIX}{secrets.token_hex(6)}{path.suffix}"
    _living.add(temporary)
    lock = _made(temporary)
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        # Windows syncs only what is open for writing
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        # some encoders, safetensors' among them, put a private file of their own in its place
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode) if path.exists() else mode)
        _rename(temporary, path)
        _sync_folder(path.parent)
    finally:
        if lock is not None:
            os.close(lock)
        temporary.unlink(missing_ok=True)
        _living.discard(temporary)


@contextmanager
def _poured(path: Path) -> Generator[Path, None, None]:
    """A temporary file elsewhere, whose contents are written into `path` when all went well."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        temporary = Path(folder, f"whole{path.suffix}")
        temporary.touch()
        yield temporary
        with temporary.open("rb") as whole, path.open("wb", buffering=0) as there:
            shutil.copyfileobj(whole, there)


def _made(path: Path) -> int | None:
    """Make a file, with the permissions of any new one; where the system can, a handle that holds a lock on it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    if fcntl is None:  # what is open there can be neither renamed nor removed
        os.close(handle)
        return None
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _rename(here: Path, there: Path) -> None:
    for left in reversed(range(TRIES)):
        try:
            here.replace(there)
        except PermissionError:
            if not WINDOWS or not left:
                raise
            time.sleep(0.05)
        else:
            return


def _sync_folder(folder: Path) -> None:
    """Let the rename itself outlive a power cut; Windows opens no folders, and needs it less."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@lru_cache(maxsize=256)
def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; done once for each folder.

    One that a living process on this machine writes is locked.  Where locks tell nothing, a day must have passed.
    """
    with suppress(OSError), os.scandir(folder) as inside:
        for entry in inside:
            if entry.name.startswith(PREFIX) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                    if age > AGE or (age > 60 and _forgotten(entry.path)):
                        os.unlink(entry.path)


def _forgotten(path: str) -> bool:
    """Whether nobody holds the lock that `_made` takes."""
    if fcntl is None:
        return False
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def drop_temporary() -> None:
    """Remove what this process is in the middle of writing; for a process that is about to end at once."""
    for path in list(_living):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, with the line ends it has, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def disk_full(error: BaseException) -> bool:
    """Whether a library's or the system's error comes from a full disk or a quota that is used up."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return True
    said = str(error).lower()
    return any(text in said for text in ("no space left", "quota exceeded", "not enough space", "os error 28"))
