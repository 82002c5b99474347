"""Places as they are typed: boxes in pictures, and where results go."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

_Path = Path if TYPE_CHECKING else type(Path())  # what can be inherited from, before Python 3.12 too


class Folder(_Path):
    """A path that was written with a slash at its end, which other paths lose: a folder, if it is there or not."""


def parse_place(text: str) -> Path:
    """What `-o` takes, as a `Folder` where it is said to be one."""
    return Folder(text) if text.endswith(("/", os.sep)) else Path(text)


Box = tuple[int, int, int, int]


def parse_box(text: str) -> Box:
    """'10,20,30x40' as (10, 20, 30, 40): left, top, width, height."""
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if found is None or int(found[3]) < 1 or int(found[4]) < 1:
        raise typer.BadParameter(f"{text!r} is not a box; write LEFT,TOP,WIDTHxHEIGHT, as 10,20,64x48")
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])
