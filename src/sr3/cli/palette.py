"""`sr3 dejpeg`, `colorize`, `inpaint`, `uncrop`, `restore`: Palette's tasks, on one's own pictures."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.checks import present
from sr3.cli.choosing import AUTO, USUAL, chooser
from sr3.cli.common import load_restorer, parse_memory, parse_size
from sr3.cli.helps import GIVEN, HOW, SIZE
from sr3.cli.names import EXACT, Naming
from sr3.cli.outcome import refuse_absent
from sr3.cli.restoring import Work
from sr3.cli.run import Fidelity, Free, Lenient, MaskFile, Run, options
from sr3.cli.steps import Choice, check_trace, leniently

if TYPE_CHECKING:
    from sr3.picture.image import Picture
    from sr3.restore.fill import Go
    from sr3.restore.restorer import Progress, Restored, Restorer
    from sr3.task import Restoration

Boxes = Annotated[
    list[str] | None,
    typer.Option(metavar="X,Y,WxH", help="A box to make; may be given again.", rich_help_panel=GIVEN),
]
Detail = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Enlarges what was made of a reduced picture, as photo-4x does.", rich_help_panel=HOW
    ),
]

WORDS = {
    "output": "The file or folder to write.  Default: a PNG beside the input, of a TIFF a TIFF.",
    "name": 'Results\' names, as "{stem}-{mark}".',
    "format": "png, jpg, webp, tif, avif; default: png, of a TIFF tif.",
}
"""Of options that mean something else here than in `sr3 upscale`."""

MARKS = {
    "colorize": "colorized",
    "dejpeg": "restored",
    "inpaint": "inpainted",
    "restore": "restored",
    "uncrop": "uncropped",
}
"""What a command's results are called after their pictures."""


def walk(
    run: Run,
    command: str,
    kind: str | None,
    begin: "Begin",
    *,
    free: bool = False,
    fidelity: float = 1.0,
    lenient: bool = False,
    told: dict[str, str] | None = None,
    detail: str | None = None,
    hole: bool = False,
    size_of: "SizeOf | None" = None,
    beside: Path | None = None,
    instead: str = "give a smaller picture",
) -> None:
    """Restore every picture by a model for this kind of task; None: for what each picture needs.

    instead: what would help where a picture does not fit into the memory, beside fewer samples.
    told: what else makes the results what they are, for their metadata.  size_of: their size, of a picture's own and
    its model's factor; by default so many times as large.
    detail: a model that enlarges what is made of reduced pictures.  hole: see `chooser`.
    beside: a file that is read beside the pictures.
    """
    most = parse_memory(run.memory)
    refuse_absent(run.inputs, as_json=run.json)
    check_trace(run.trace)
    from sr3.picture.image import Picture, from_any
    from sr3.restore.restorer import needs_picture
    from sr3.restore.whole import check_detail, stream

    choose = _chooser(run, command, kind, hole=hole, lenient=lenient)
    finer = None
    if detail is not None:
        finer = load_restorer(detail, device=run.device, precision=run.precision, tile=run.tile)
        check_detail(finer)
    options: dict[str, Any] = {**run.settings, "seed": run.seed, "samples": run.samples, "free": free}
    options["fidelity"] = fidelity

    def steps(source: Path, holds: Any) -> "Iterator[Progress | Restored]":
        restorer = choose(source).restorer
        go = partial(stream, restorer, detail=finer, **options)
        whole = isinstance(holds, Picture) or not lenient
        picture = from_any(holds if whole else leniently(source))
        return begin(restorer, needs_picture(restorer.model), source, picture, go)

    def as_large(have: tuple[int, int], times: int) -> tuple[int, int]:
        return have[0] * times, have[1] * times

    naming = Naming(MARKS[command], run.name, run.format, suffixes=EXACT, values={"seed": str(run.seed)})
    told = {**(told or {}), **({"detail": detail} if detail else {}), **run.told}
    also = [path for path in (beside, Path(detail) if detail else None) if path is not None]
    instead = " or ".join([*(["ask for one sample"] if run.samples > 1 else []), instead])
    how: dict[str, Any] = {"lenient": lenient, "read": also, "most": most, "instead": instead}
    Work(run, naming, choose, steps, options, size_of or as_large, told, **how)()


def _chooser(run: Run, command: str, kind: str | None, *, hole: bool, lenient: bool) -> Callable[[Path], Choice]:
    from sr3.restore.usual import of_faces
    from sr3.restore.whole import set_task

    where: dict[str, Any] = {"device": run.device, "precision": run.precision}
    where |= {"tile": run.tile, "memory": run.allowed}

    def ready(restorer: "Restorer") -> object:
        # what cannot be had fails before any work
        return restorer.settings(**run.settings, samples=run.samples)

    assert run.model is not None
    if kind is None:
        return chooser(run.model, hole=hole, lenient=lenient, ready=ready, **where)
    restorer = load_restorer(run.model, **where)
    set_task(restorer.model, kind, command)
    ready(restorer)
    only = Choice(restorer, f"the default{of_faces(run.model)}" if run.model == USUAL[kind] else "as asked for")
    return lambda _: only


if TYPE_CHECKING:
    Begin = Callable[[Restorer, Restoration, Path, Picture, Go], Iterator[Progress | Restored]]
    """How one file's restoration begins: (restorer, task, file, its picture, what restores it) -> steps."""

    SizeOf = Callable[[tuple[int, int], int], tuple[int, int]]


@options(USUAL["jpeg-restoration"], **WORDS)
def dejpeg(run: Run, free: Free = False, fidelity: Fidelity = 1.0, lenient: Lenient = False) -> None:
    """Restore JPEG files.  Compressed again with the file's tables, the result has the file's coefficients."""

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.agreement import taken
        from sr3.restore.choose import jpeg_alone

        file = None if free or fidelity == 0 else source
        # a damaged file's coefficients are not all there, and it is not held to any
        return go(picture, taken(task, picture, file)[0] if lenient else jpeg_alone(task, picture, file))

    how: dict[str, Any] = {"free": free, "fidelity": fidelity, "lenient": lenient}
    instead = "give a smaller picture" if run.trace is None else "leave out --trace, so that it is made by bands"
    walk(run, "dejpeg", "jpeg-restoration", begin, **how, instead=instead)


@options(USUAL["colorization"], **WORDS)
def colorize(
    run: Run,
    free: Free = False,
    fidelity: Fidelity = 1.0,
    lenient: Lenient = False,
    grey: Annotated[
        bool, typer.Option("--grey", help="Make a picture that has colours grey first.", rich_help_panel=GIVEN)
    ] = False,
    hints: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Known colours: a picture of the same size, transparent where none is.",
            rich_help_panel=GIVEN,
        ),
    ] = None,
) -> None:
    """Give grey pictures colours.  The result, made grey again, is the picture given."""
    from sr3.picture.image import read
    from sr3.restore.places import mark_of

    painted = read(present(hints)) if hints else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.picture.grey import as_grey
        from sr3.picture.image import PictureError
        from sr3.task.colorization import hinted

        picture = as_grey(picture) if grey else picture
        try:
            given = task.take(picture)
        except PictureError as error:
            raise PictureError(f"{source} has colours already; give --grey to make it grey first") from error
        try:
            return go(picture, given if painted is None else hinted(given, painted))
        except PictureError as error:
            raise PictureError(f"{hints}: {error}") from error

    told = {"grey": str(grey).lower()} | ({"hints": mark_of(painted)} if painted else {})
    how: dict[str, Any] = {"free": free, "fidelity": fidelity, "lenient": lenient}
    walk(run, "colorize", "colorization", begin, told=told, beside=hints, **how)


@options(USUAL["inpainting"], **WORDS)
def inpaint(
    run: Run,
    mask: MaskFile = None,
    box: Boxes = None,
    grow: Annotated[
        int, typer.Option(min=0, max=256, help="Pixels by which the hole is made larger.", rich_help_panel=GIVEN)
    ] = 0,
    feather: Annotated[
        int, typer.Option(min=0, max=256, help="Pixels around it over which old meets new.", rich_help_panel=HOW)
    ] = 0,
    detail: Detail = None,
    lenient: Lenient = False,
) -> None:
    """Fill holes: of a mask, of boxes, or where a picture is transparent.  The rest stays as it is, bit for bit."""
    from sr3.cli.places import parse_box
    from sr3.restore.places import hole, read_mask

    boxes, drawn = [parse_box(text) for text in box or []], read_mask(present(mask)) if mask else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import inpainted

        found, opaque = hole(picture, source, drawn, boxes)
        return inpainted(opaque, found, go, grow=grow, feather=feather, seed=run.seed)

    told = {"mask": drawn.mark if drawn else "none", "boxes": " ".join(box or [])}
    told |= {"grow": str(grow), "feather": str(feather)}
    walk(run, "inpaint", "inpainting", begin, lenient=lenient, told=told, detail=detail, beside=mask)


@options(USUAL["uncropping"], **WORDS)
def uncrop(
    run: Run,
    left: Annotated[int, typer.Option(min=0, help="Pixels to add at the left.", rich_help_panel=SIZE)] = 0,
    right: Annotated[int, typer.Option(min=0, help="Pixels to add at the right.", rich_help_panel=SIZE)] = 0,
    top: Annotated[int, typer.Option(min=0, help="Pixels to add at the top.", rich_help_panel=SIZE)] = 0,
    bottom: Annotated[int, typer.Option(min=0, help="Pixels to add at the bottom.", rich_help_panel=SIZE)] = 0,
    to: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="The size wanted, with the picture in its middle.", rich_help_panel=SIZE),
    ] = None,
    detail: Detail = None,
    lenient: Lenient = False,
) -> None:
    """Make pictures wider or higher.  The picture given stays as it is, bit for bit."""
    from sr3.restore.places import bands, check_bands

    wanted, sides = parse_size(to), (left, right, top, bottom)
    check_bands(sides, wanted)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import uncropped

        return uncropped(picture, bands(source, picture.size, sides, wanted), go, seed=run.seed)

    told = {"sides": " ".join(map(str, sides)), "to": to or "none"}

    def size_of(have: tuple[int, int], times: int) -> tuple[int, int]:
        return wanted or (have[0] + left + right, have[1] + top + bottom)

    how: dict[str, Any] = {"lenient": lenient, "told": told, "detail": detail, "size_of": size_of}
    walk(run, "uncrop", "uncropping", begin, **how, instead="add less")


@options(AUTO, **WORDS)
def restore(
    run: Run,
    free: Free = False,
    fidelity: Fidelity = 1.0,
    lenient: Lenient = False,
    mask: MaskFile = None,
    box: Boxes = None,
) -> None:
    """Restore pictures by what they need: holes filled, grey ones coloured, bad JPEG files and noise mended.

    A model for several tasks is used for the first of these that it knows; one for a single task for that.
    """
    from sr3.cli.places import parse_box
    from sr3.restore.places import hole, read_mask

    boxes, drawn = [parse_box(text) for text in box or []], read_mask(present(mask)) if mask else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.agreement import taken
        from sr3.restore.fill import inpainted

        if drawn or boxes:
            found, opaque = hole(picture, source, drawn, boxes)
            return inpainted(opaque, found, go, seed=run.seed)
        given, opaque = taken(task, picture, None if free or fidelity == 0 else source)
        return go(opaque, given)

    told = {"mask": drawn.mark if drawn else "none", "boxes": " ".join(box or [])} if drawn or boxes else {}
    how: dict[str, Any] = {"free": free, "fidelity": fidelity, "lenient": lenient, "hole": bool(drawn or boxes)}
    walk(run, "restore", None, begin, told=told, beside=mask, **how)
