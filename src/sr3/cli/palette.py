"""`sr3 dejpeg`, `colorize`, `inpaint`, `uncrop`, `restore`: Palette's tasks, on one's own pictures."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import load_restorer, parse_size
from sr3.cli.names import EXACT, Naming
from sr3.cli.outcome import refuse_absent
from sr3.cli.restoring import Work
from sr3.cli.run import Run, options
from sr3.cli.steps import Choice, check_trace

if TYPE_CHECKING:
    from sr3.picture.image import Picture
    from sr3.restore.fill import Go
    from sr3.restore.restorer import Progress, Restored, Restorer
    from sr3.task import Restoration

Free = Annotated[bool, typer.Option("--free", help="Do not hold the result to what is given.")]

BESIDE = "The file or folder to write.  Default: a PNG beside the input."

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
    told: dict[str, str] | None = None,
) -> None:
    """Restore every picture by a model for this kind of task; None: whatever the model is for.

    told: what else makes the results what they are, for their metadata.
    """
    refuse_absent(run.inputs)
    check_trace(run.trace)
    from sr3.picture.image import from_any
    from sr3.restore.restorer import needs_picture
    from sr3.restore.whole import set_task, stream

    assert run.model is not None
    restorer = load_restorer(run.model, device=run.device, precision=run.precision, tile=run.tile)
    task = set_task(restorer.model, kind, command) if kind else needs_picture(restorer.model)
    # what cannot be had fails before any work
    restorer.settings(**run.settings, samples=run.samples)
    options: dict[str, Any] = {**run.settings, "seed": run.seed, "samples": run.samples, "free": free}

    def steps(source: Path, holds: Any) -> "Iterator[Progress | Restored]":
        return begin(restorer, task, source, from_any(holds), partial(stream, restorer, **options))

    naming = Naming(MARKS[command], run.name, run.format, suffixes=EXACT, values={"seed": str(run.seed)})
    Work(run, naming, lambda _: Choice(restorer, "as asked for"), steps, options, (told or {}) | run.told)()


if TYPE_CHECKING:
    Begin = Callable[[Restorer, Restoration, Path, Picture, Go], Iterator[Progress | Restored]]
    """How one file's restoration begins: (restorer, task, file, its picture, what restores it) -> steps."""


@options("photo-jpeg", output=BESIDE)
def dejpeg(run: Run, free: Free = False) -> None:
    """Restore JPEG files.  Compressed again with the file's tables, the result has the file's coefficients."""

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        return go(picture, task.take(picture, None if free else source))

    walk(run, "dejpeg", "jpeg-restoration", begin, free=free)


@options("face-palette", output=BESIDE)
def colorize(
    run: Run,
    free: Free = False,
    grey: Annotated[bool, typer.Option("--grey", help="Make a picture that has colours grey first.")] = False,
) -> None:
    """Give grey pictures colours.  The result, made grey again, is the picture given."""

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.picture.grey import as_grey
        from sr3.picture.image import PictureError

        picture = as_grey(picture) if grey else picture
        try:
            return go(picture, task.take(picture))
        except PictureError as error:
            raise PictureError(f"{source} has colours already; give --grey to make it grey first") from error

    walk(run, "colorize", "colorization", begin, free=free, told={"grey": str(grey).lower()})


@options("face-palette", output=BESIDE)
def inpaint(
    run: Run,
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture of the same size: white is made, black is kept.")
    ] = None,
    box: Annotated[list[str] | None, typer.Option(metavar="X,Y,WxH", help="A box to make; may be given again.")] = None,
    grow: Annotated[int, typer.Option(min=0, max=256, help="Pixels by which the hole is made larger.")] = 0,
    feather: Annotated[int, typer.Option(min=0, max=256, help="Pixels around it over which old meets new.")] = 0,
) -> None:
    """Fill holes: of a mask, of boxes, or where a picture is transparent.  The rest stays as it is, bit for bit."""
    from sr3.cli.places import hole, parse_box, read_mask

    boxes, drawn = [parse_box(text) for text in box or []], read_mask(mask) if mask else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import inpainted

        found, opaque = hole(picture, source, drawn, boxes)
        return inpainted(opaque, found, go, grow=grow, feather=feather, seed=run.seed)

    told = {"mask": drawn.mark if drawn else "none", "boxes": " ".join(box or [])}
    walk(run, "inpaint", "inpainting", begin, told=told | {"grow": str(grow), "feather": str(feather)})


@options("face-palette", output=BESIDE)
def uncrop(
    run: Run,
    left: Annotated[int, typer.Option(min=0, help="Pixels to add at the left.")] = 0,
    right: Annotated[int, typer.Option(min=0, help="Pixels to add at the right.")] = 0,
    top: Annotated[int, typer.Option(min=0, help="Pixels to add at the top.")] = 0,
    bottom: Annotated[int, typer.Option(min=0, help="Pixels to add at the bottom.")] = 0,
    to: Annotated[
        str | None, typer.Option(metavar="WxH", help="The size wanted, with the picture in its middle.")
    ] = None,
) -> None:
    """Make pictures wider or higher.  The picture given stays as it is, bit for bit."""
    from sr3.cli.places import bands, check_bands

    wanted, sides = parse_size(to), (left, right, top, bottom)
    check_bands(sides, wanted)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import uncropped

        return uncropped(picture, bands(source, picture.size, sides, wanted), go, seed=run.seed)

    walk(run, "uncrop", "uncropping", begin, told={"sides": " ".join(map(str, sides)), "to": to or "none"})


@options(output=BESIDE)
def restore(run: Run, free: Free = False) -> None:
    """Restore pictures by any model that needs nothing but the picture, whatever its task."""

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.agreement import taken

        given, opaque = taken(task, picture, None if free else source)
        return go(opaque, given)

    walk(run, "restore", None, begin, free=free)
