"""How much memory there is, so that what cannot fit is refused before it is begun."""

import ctypes
from contextlib import suppress
from pathlib import Path

import psutil

READING = 20
"""Bytes for each pixel of 8 bits while a picture is read: its samples twice and float32, in three channels."""

WRITING = 95
"""Bytes for each pixel of a result that is made at once, while it is made and written."""


def available() -> int | None:
    """Bytes of memory that this process may still take, without swapping; None where the system does not say.

    Of the machine or of the container, whichever has less left.
    """
    found = [n for n in (_machine(), _container()) if n is not None]
    return min(found) if found else None


def _machine() -> int | None:
    try:
        return psutil.virtual_memory().available
    except (OSError, psutil.Error, NotImplementedError):  # /proc hidden, say
        return None


def _container() -> int | None:
    """What is left of a control group's limit, version 2 or 1; file pages that can be given back count as free."""
    for folder, limit, used, cached in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = (int(Path(folder, name).read_text("ascii")) for name in (limit, used))
            stat = Path(folder, "memory.stat").read_text("ascii").split()
            return max(0, most - now + int(stat[stat.index(cached) + 1]))
        except (OSError, ValueError, IndexError):
            continue
    return None


def in_use() -> int:
    """Bytes of memory that this process has; half a gigabyte, about what PyTorch takes, where the system is silent."""
    try:
        return psutil.Process().memory_info().rss
    except (OSError, psutil.Error, NotImplementedError):
        return 2**29


def give_back(size: int) -> None:
    """Have the C library give blocks of so many bytes and more back as soon as they are free, where it is glibc.

    It would keep them for each thread, and threads come and go.  Smaller ones are quicker to have again.
    """
    with suppress(OSError, AttributeError, TypeError, ValueError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, min(max(size, 2**20), 2**25))


def trim() -> None:
    """Give back what the C library keeps of smaller ones, of all threads, where it is glibc."""
    with suppress(OSError, AttributeError, TypeError, ValueError):
        ctypes.CDLL(None).malloc_trim(0)


_MMAP_THRESHOLD = -3
"""As malloc.h has it: from how many bytes on blocks are pages of their own; at most 2^25."""


def lacking(pixels: int, bytes_each: int) -> str | None:
    """'9.1 GB, and 2.0 GB are free', where so many pixels do not fit into memory; None where they do."""
    free, need = available(), pixels * bytes_each
    if free is None or need <= free:
        return None
    return f"{need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
