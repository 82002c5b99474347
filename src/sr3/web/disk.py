"""What lies in the folder of the jobs: how much it takes, and what of it is a server's."""

import logging
import re
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LOG = logging.getLogger("sr3.web")

_NAME = re.compile("[0-9a-f]{24}")


def new_name() -> str:
    """A job's name, and its folder's, which nobody guesses."""
    return secrets.token_hex(12)


def size_of(folder: Path) -> int:
    """Bytes of the files in a job's folder."""
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir())
    return 0


def stock(folder: Path, known: Collection[str], *, lost: bool) -> dict[str, int]:
    """Bytes of each known job's folder; those of no job go, and what no server made stays.

    lost: the list of the jobs is gone, so that no folder is known to be of none.
    """
    found: dict[str, int] = {}
    for inside in folder.iterdir():
        if inside.name in known:
            found[inside.name] = size_of(inside)
        elif not _NAME.fullmatch(inside.name):
            pass  # whoever chose the folder has other things in it
        elif lost:
            LOG.warning("%s is of no job that is known: the list of the jobs is gone", inside)
        else:  # an upload that a killed server had not taken yet
            shutil.rmtree(inside, ignore_errors=True)
    return found
