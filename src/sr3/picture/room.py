"""Room for a result: in its format, in memory and on the disk, asked before it is begun."""

import math
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from sr3.picture.memory import WRITING, lacking
from sr3.picture.picture import PictureError, shown
from sr3.picture.write import check_format


def memory_for(pixels: int, samples: int, made: int = 0, *, each: int = WRITING) -> int:
    """Bytes that results of so many pixels take while they are made and written.

    made: pixels of the largest picture on the way to each, where that is larger.  each: bytes for one of them.
    """
    return max(pixels, made) * each + 12 * pixels * (samples - 1)


class Allowed(NamedTuple):
    """What may be taken of the memory.  most: bytes of the whole process; None: what is free.

    beside: bytes that it takes beside what is made, which count where `most` is said.  each: see `memory_for`.
    instead: what would help, for the sentence.
    """

    most: int | None = None
    beside: int = 0
    each: int = WRITING
    instead: str = "ask for less"


FREE = Allowed()

_GIF = 65535
"""The longest side of a GIF."""
_APART = 0.01
"""By what share of it a process takes more at one time than at another: what is said to be enough must be."""


def check_room(
    name: str,
    target: Path | None,
    size: tuple[int, int],
    *,
    samples: int = 1,
    files: int = 1,
    frames: int = 1,
    least: int | None = None,
    made: tuple[int, int] | None = None,
    allowed: Allowed = FREE,
) -> None:
    """PictureError where results of this (width, height) fit neither their format, nor the memory, nor the disk.

    name: of the picture that they are made of, for the sentence.  target: the first of so many files; None: a pipe.
    frames: of an animation.  least: bytes of memory that will do, where it
    is made by bands; these are then on the disk too until they are saved.
    made: (width, height) of the largest picture on the way, where that is another.
    allowed: where it is not made by bands, which take what they may.
    """
    target_or_pipe = target or Path("picture.png")
    if frames == 1 or target_or_pipe.suffix.lower() != ".gif":
        check_format(target_or_pipe, size)
    elif max(size) > _GIF:
        raise PictureError(
            f"cannot write {shown(target_or_pipe)}: {size[0]}x{size[1]} exceeds the format's {_GIF} a side"
        )
    pixels = size[0] * size[1]
    # of frames that are done, their samples are kept
    largest = size if made is None else made
    whole = memory_for(pixels, samples, largest[0] * largest[1], each=allowed.each)
    whole += 4 * samples * pixels * (frames - 1)
    becomes = f"{shown(name)} would {'' if largest == size else 'first '}become {largest[0]}x{largest[1]}, which takes"
    total, most = whole + allowed.beside, allowed.most
    if least is None and most is not None and total > most:
        raise PictureError(
            f"{becomes} {total / 1e9:.1f} GB of memory with all else, and {most / 1e9:.1f} GB are allowed; give "
            f"--memory {math.ceil((1 + _APART) * total / 1e6)}MB, or {allowed.instead}"
        )
    least = whole if least is None else min(least, whole)
    if (lack := lacking(1, least)) is not None:
        raise PictureError(f"{becomes} {lack}; {allowed.instead}")
    if target is None:
        return
    nearest = next(p for p in target.absolute().parents if os.path.exists(p))
    # no format needs less for photographs than a sixtieth of three bytes a pixel
    need, free = files * pixels * frames // 20 + 3 * pixels * (least < whole), shutil.disk_usage(nearest).free
    if need > free:
        raise PictureError(
            f"{shown(name)} would become {size[0]}x{size[1]}, and the disk of {shown(nearest)} is full "
            f"({free / 1e6:.0f} MB free)"
        )
