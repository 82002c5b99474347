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
    # before links are followed: those of /dev/stdout and of a shell's >(…) lead to names that nothing has
    if path.exists() and not path.is_file() and not path.is_dir():
        with _poured(path) as temporary:
            yield temporary
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = path.parent / f"{PREFIX}{secrets.token_hex(6)}{path.suffix}"
    lock = None
    try:
        _living.add(temporary)
        lock = _made(temporary)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        # what an encoder put in its place is not locked, and may be as old as it likes
        os.utime(temporary)
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
        _remove(temporary)
        _living.discard(temporary)


@contextmanager
def _poured(path: Path) -> Generator[Path, None, None]:
    """A temporary file elsewhere, whose contents are written into `path` when all went well."""
    with temporary_folder() as folder:
        temporary = folder / f"whole{path.suffix}"
        temporary.touch()
        yield temporary
        with temporary.open("rb") as whole, path.open("wb", buffering=0) as there:
            shutil.copyfileobj(whole, there)


@contextmanager
def temporary_folder(near: Path | None = None) -> Generator[Path, None, None]:
    """A new folder of nobody else's, in `near` or where the system keeps such, removed with all in it afterwards.

    Those that a killed process left there go.
    """
    place = Path(tempfile.gettempdir() if near is None else near)
    sweep(place)
    folder = place / f"{PREFIX}{secrets.token_hex(6)}"
    lock = None
    try:
        _living.add(folder)
        folder.mkdir(mode=0o700)
        if fcntl is not None:
            lock = _locked(os.open(folder, os.O_RDONLY))
        yield folder
    finally:
        if lock is not None:
            os.close(lock)
        _remove(folder)
        _living.discard(folder)


@contextmanager
def held_alone(folder: Path) -> Generator[bool, None, None]:
    """Whether nobody else holds a folder so, which is held meanwhile; True where the system has no such locks."""
    if fcntl is None:
        yield True
        return
    handle, alone = os.open(folder, os.O_RDONLY), True
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        except OSError:  # a file system without locks
            pass
        yield alone
    finally:
        os.close(handle)


def _made(path: Path) -> int | None:
    """Make a file, with the permissions of any new one; where the system can, a handle that holds a lock on it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    if fcntl is None:  # what is open there can be neither renamed nor removed
        os.close(handle)
        return None
    return _locked(handle)


def _locked(handle: int) -> int:
    """The handle, which holds a lock where the file system has them; closed where that is interrupted."""
    try:
        assert fcntl is not None  # asked by whoever made the handle
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _remove(path: Path) -> None:
    """Remove a file or a folder with all in it, as far as that can be done."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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
    """Remove the temporary files and folders that killed processes left in a folder; done once for each folder.

    One that a living process on this machine writes is locked.  Where locks tell nothing, a day must have passed.
    """
    with suppress(OSError), os.scandir(folder) as inside:
        for entry in inside:
            if entry.name.startswith(PREFIX) and not entry.is_symlink():
                with suppress(OSError):
                    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                    if age > 60 and not _held(entry, age < AGE):
                        _remove(Path(entry))


def _held(entry: os.DirEntry[str], unsure: bool) -> bool:
    """Whether somebody holds the lock that `_locked` takes; `unsure` where locks tell nothing."""
    folder = entry.is_dir(follow_symlinks=False)
    if fcntl is None:
        return unsure
    handle = os.open(entry.path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return unsure
    else:
        return False
    finally:
        os.close(handle)


def drop_at_exit(path: Path) -> None:
    """Let `drop_temporary` remove this file too, until it is `dropped`."""
    _living.add(path)


def dropped(path: Path) -> None:
    """A file of `drop_at_exit` is gone already."""
    _living.discard(path)


def drop_temporary() -> None:
    """Remove what this process is in the middle of writing; for a process that is about to end at once."""
    for path in list(_living):
        _remove(path)


def read_text(path: Path) -> str:
    """A file's UTF-8 text, without the mark that some programs put before it.

    OSError where it is no regular file: a named pipe that nobody fills never ends.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return path.read_text("utf-8-sig")


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
