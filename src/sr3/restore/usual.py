"""The usual models: which one enlarges a picture where none is asked for."""

PLAIN, FAST, FACTOR = "photo-4x", "photo-4x-fast", 4
"""The model of many steps, its student of one step, and how many times both enlarge.  The student was shown damaged
pictures too, and is nearer to the originals on clean ones as on JPEGs; docs/results.md has the table."""

TWICE = "photo-2x"
"""The student for twice, which needs about a quarter of the time for that, as nothing is made larger first."""


def usual(*, refined: bool, scale: float | None = None, jpeg: bool = False) -> tuple[str, str]:
    """(name of the usual model, why it is that).

    refined: whether something is asked for that only a model of many steps has.
    scale: how many times larger, where that is asked for.
    jpeg: whether the picture is a JPEG, whose faults that model takes for detail.
    """
    if refined:
        return PLAIN, "for refinement" + ("; it knows undamaged pictures alone, and this is a JPEG" if jpeg else "")
    if scale is not None and scale <= 2:
        return TWICE, "for scales up to 2"
    return FAST, "the default"


def of_faces(model: str) -> str:
    """What is to be added to why a model was taken that nobody asked for: of what pictures it is, if not of all."""
    return "; it knows faces alone" if model.startswith("face-") else ""
