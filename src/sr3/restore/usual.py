"""The usual models: which one enlarges a picture where none is asked for."""

PLAIN, FAST, FACTOR = "photo-4x", "photo-4x-fast", 4
"""The model of many steps, its student of one step, and how many times both enlarge.  The student was shown damaged
pictures too, and is nearer to the originals on clean ones as on JPEGs; docs/results.md has the table."""


def usual(*, refined: bool) -> str:
    """The name of the usual model.

    refined: whether something is asked for that only a model of many steps has.
    """
    return PLAIN if refined else FAST
