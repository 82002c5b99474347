"""Claims: several processes work through one folder, and no picture is made twice.

A claim is a locked file beside the result.  The system lets go of it when its process ends, however it ends, so that
what a killed process was at is free again.
"""

import errno
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Self

from sr3.files import PREFIX, drop_at_exit, dropped

try:
    import fcntl
except ImportError:  # Windows
    fcntl: ModuleType | None = None
try:
    import msvcrt
except ImportError:
    msvcrt: ModuleType | None = None


NONE_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP)}
"""What a file system says that has no locks, as some of a network's have none."""


class Claim:
    """A result that this process alone makes; a context that lets go of it."""

    def __init__(self, path: Path, handle: int):
        self.path, self.handle = path, handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go; the file is removed first, while nobody else can have it."""
        if os.name != "nt":
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        os.close(self.handle)
        if os.name == "nt":  # what is open there cannot be removed; another's, by now, refuses
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        dropped(self.path)


def claim(target: Path, *, wait: bool = False) -> Claim | None:
    """The claim to make a file; None where another living process has it.  wait: until it has let go.

    Where the file system has no locks everybody has it: what two make is made twice, and written whole by each.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.parent / f"{PREFIX}claim-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}"
    while True:
        handle = None
        with suppress(PermissionError):  # Windows, while another removes it
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if handle is not None:
            if _lock(handle) and _same(handle, path):
                drop_at_exit(path)
                return Claim(path, handle)
            os.close(handle)
            if not path.exists():
                continue  # its holder has just ended
        if not wait:
            return None
        time.sleep(0.1)


def _lock(handle: int) -> bool:
    """Whether nobody else has the lock, which is then taken where there are any."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        # nobody can have it there, and to wait would be for ever
        return error.errno in NONE_HERE
    return True


def _same(handle: int, path: Path) -> bool:
    """Whether the file that is open is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
