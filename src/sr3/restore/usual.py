"""The usual models: which one enlarges a picture where none is asked for."""

from pathlib import Path

from sr3.picture.kinds import is_jpeg

PLAIN, WORN, FACTOR = "photo-4x", "photo-4x-worn", 4
"""The model of most files, that of JPEG files, and how many times both enlarge.  On what the world has compressed the
first loses against bicubic to the eye, and the second, which was shown such pictures, does not; docs/results.md has the
table."""


def usual(source: Path, *, refined: bool) -> str:
    """The name of the model that a file's contents deserve.

    refined: whether something is asked for that only a model of many steps has.
    """
    return WORN if not refined and is_jpeg(source) else PLAIN
