"""Standard input and standard output in the place of files."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sr3.files import temporary_folder

if TYPE_CHECKING:
    from sr3.picture.image import Picture

PIPE = Path("-")
"""Standard input, and standard output."""

PIPED = "standard input"
"""What messages call what it brings."""


@contextmanager
def at_hand(source: Path) -> Generator[Path, None, None]:
    """The file to read: the source itself, or for a moment what standard input brought, which errors call so."""
    if source != PIPE:
        yield source
        return
    from sr3.model.config import ConfigError
    from sr3.picture.picture import PictureError

    with temporary_folder() as folder:
        whole = folder / PIPED
        whole.write_bytes(sys.stdin.buffer.read())
        try:
            yield whole
        except (ConfigError, PictureError) as error:
            raise type(error)(str(error).replace(str(whole), PIPED)) from error


@contextmanager
def to_hand(target: Path, suffix: str | None = None) -> Generator[Path, None, None]:
    """The file to write: the target itself, or one whose contents then go to standard output.

    suffix: of what goes there; None: .png.
    """
    if target != PIPE:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target
        return
    with temporary_folder() as folder:
        whole = folder / f"picture{suffix or '.png'}"
        yield whole
        sys.stdout.buffer.write(whole.read_bytes())
        sys.stdout.buffer.flush()


def write_json(path: Path, text: str) -> None:
    """Write a text to its file, or to standard output."""
    from sr3.files import write_text

    with to_hand(path, ".json") as whole:
        write_text(whole, text)


def write_result(
    path: Path, picture: "Picture", note: Mapping[str, str], *, quality: int = 95, suffix: str | None = None
) -> None:
    """Write a picture to its file, or to standard output in the format of a suffix."""
    from sr3.picture.image import write

    with to_hand(path, suffix) as whole:
        write(whole, picture, note=note, quality=quality)
