"""What is there already: results of sr3, and whether they are the ones that would be made."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sr3.cli.pipes import PIPE

_TOLD = ("software",)
"""What a note says that makes no other picture."""

_MAYBE = ("noise", "fit", "keep", "location", "output_quality", "hints", "detail")
"""What a note says only where it was asked for: the other way round, where it was not, the result is another."""

_LATER = ("given", "weights")
"""What notes did not say at first; a result without it may be the one."""


def is_enlarged(path: Path) -> bool:
    """Whether a file's note says that it is a result of `sr3 upscale`; what cannot be read is none."""
    from sr3.picture.image import PictureError, read_note

    try:
        note = read_note(path) if path != PIPE else {}
    except PictureError:
        return False
    # what was made before notes said so has "consistent"
    return "model" in note and bool(re.match(r"x?\d", note.get("result", "1" if "consistent" in note else "")))


def made_so(path: Path, note: Mapping[str, str]) -> bool:
    """Whether a file is the result that this note promises; PictureError where it is something else's, or another
    picture's."""
    from sr3.picture.image import PictureError, read_note
    from sr3.picture.picture import shown

    try:
        found = read_note(path)
    except PictureError:
        found = {}
    if "model" not in found:
        raise PictureError(f"{shown(path)} is there already and no result of sr3; give another -o, or --force")
    check_given(path, found, note)
    return same(found, note)


def check_given(path: Path, found: Mapping[str, object], note: Mapping[str, str]) -> None:
    """PictureError where what is there was made of another file than the note is of."""
    from sr3.picture.picture import PictureError, shown

    if "given" in note and found.get("given", note["given"]) != note["given"]:
        raise PictureError(
            f"{shown(path)} is the result of another file, or of this one before it was changed; give another -o, "
            "or --force"
        )


def same(found: Mapping[str, object], note: Mapping[str, str]) -> bool:
    """Whether what one note says is what another promises, but for what makes no other picture."""
    told = {key: value for key, value in note.items() if key not in (*_TOLD, *(k for k in _LATER if k not in found))}
    return all(found.get(key) == value for key, value in told.items()) and not any(
        key in found and key not in note for key in _MAYBE
    )


def all_made_so(paths: Iterable[tuple[Path, Mapping[str, str]]]) -> bool:
    """Whether every file is there and the result that its note promises; PictureError where one is no result."""
    found = True
    for path, note in paths:  # to the last, as any may be another's
        found &= os.path.lexists(path) and made_so(path, note)
    return found
