"""`sr3 dejpeg`, `colorize`, `inpaint`, `uncrop`, `restore`: Palette's tasks, on one's own pictures."""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sr3.cli.choosing import AUTO, chooser
from sr3.cli.common import load_restorer, parse_size
from sr3.cli.restoring import check_trace, refuse_absent, restore_all

if TYPE_CHECKING:
    from sr3.picture.image import Picture
    from sr3.restore.fill import Go
    from sr3.restore.restorer import Progress, Restored, Restorer
    from sr3.task import Restoration

Free = Annotated[bool, typer.Option("--free", help="Do not hold the result to what is given.")]
MaskFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A picture of the same size: white is made, black is kept.")
]
Boxes = Annotated[list[str] | None, typer.Option(metavar="X,Y,WxH", help="A box to make; may be given again.")]
Detail = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Enlarges what was made of a reduced picture, as photo-4x does.")
]

MARKS = {
    "colorize": "colorized",
    "dejpeg": "restored",
    "inpaint": "inpainted",
    "restore": "restored",
    "uncrop": "uncropped",
}
"""What a command's results are called after their pictures."""


class Run(NamedTuple):
    """What every command of this file is told, in the order of its options; `options` makes them so."""

    inputs: Annotated[list[Path], typer.Argument(metavar="IN…", help="Pictures, or folders of pictures.")]
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")]
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file or folder to write.  Default: a PNG beside the input."),
    ] = None
    steps: Annotated[int | None, typer.Option(help="Refinement steps: more is slower and finer.")] = None
    sampler: Annotated[str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …; default: the model's.")] = None
    spacing: Annotated[str | None, typer.Option(help="How the steps are spaced: logsnr, karras, t.")] = None
    quality: Annotated[
        str | None, typer.Option(help="fast, balanced or best, as found for this model by sr3 tune.")
    ] = None
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0
    samples: Annotated[int, typer.Option(min=1, help="Variants to make; also writes their mean and spread.")] = 1
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto"
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto"
    tile: Annotated[int | None, typer.Option(help="Pixels computed at once; smaller needs less memory.")] = None
    trace: Annotated[Path | None, typer.Option(metavar="GIF", help="Also write the refinement as an animation.")] = None
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are there and were made in this way.")
    ] = False
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False

    def walk(
        self,
        command: str,
        kind: str | None,
        begin: "Begin",
        *,
        free: bool = False,
        told: dict[str, str] | None = None,
        detail: str | None = None,
        hole: bool = False,
    ) -> None:
        """Restore every picture by a model for this kind of task; None: for what each picture needs.

        told: what else makes the results what they are, for their metadata.
        detail: a model that enlarges what is made of reduced pictures.  hole: see `chooser`.
        """
        refuse_absent(self.inputs)
        from sr3.picture.image import read
        from sr3.restore.restorer import needs_picture
        from sr3.restore.whole import check_detail, set_task, stream

        check_trace(self.trace)
        where: dict[str, Any] = {"device": self.device, "precision": self.precision, "tile": self.tile}
        how: dict[str, Any] = {
            "steps": self.steps,
            "sampler": self.sampler,
            "spacing": self.spacing,
            "quality": self.quality,
        }

        def ready(restorer: "Restorer") -> object:
            # what cannot be had fails before any work
            return restorer.settings(**how, samples=self.samples)

        if kind is None:
            restorer_of = chooser(self.model, hole=hole, ready=ready, **where)
        else:
            only = load_restorer(self.model, **where)
            set_task(only.model, kind, command)
            ready(only)
            restorer_of = lambda _: only  # noqa: E731
        finer = None
        if detail is not None:
            finer = load_restorer(detail, **where)
            check_detail(finer)
        options: dict[str, Any] = {**how, "seed": self.seed, "samples": self.samples, "free": free}

        def steps(source: Path) -> "Iterator[Progress | Restored]":
            picture, restorer = read(source), restorer_of(source)
            go = partial(stream, restorer, detail=finer, **options)
            return begin(restorer, needs_picture(restorer.model), source, picture, go)

        restore_all(
            restorer_of,
            self.inputs,
            self.output,
            MARKS[command],
            steps,
            options,
            trace=self.trace,
            skip_existing=self.skip_existing,
            force=self.force,
            exact=True,
            told={**(told or {}), **({"detail": detail} if detail else {})},
        )


if TYPE_CHECKING:
    Begin = Callable[[Restorer, Restoration, Path, Picture, Go], Iterator[Progress | Restored]]
    """How one file's restoration begins: (restorer, task, file, its picture, what restores it) -> steps."""


def options(model: str | None = None) -> "Callable[[Callable[..., None]], Callable[..., None]]":
    """A command of a `Run` and of options of its own, as Typer reads commands: with all of them as parameters.

    model: the command's usual one; None: it must be named.
    """

    def decorated(command: "Callable[..., None]") -> "Callable[..., None]":
        shared = {p.name: p for p in signature(Run).parameters.values()}
        if model is not None:
            shared["model"] = shared["model"].replace(default=model)
        own = list(signature(command).parameters.values())[1:]
        given = [p.replace(kind=p.KEYWORD_ONLY) for p in (*shared.values(), *own)]

        def called(**told: Any) -> None:
            command(Run(**{name: told.pop(name) for name in shared}), **told)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = Signature(given)  # pyright: ignore[reportFunctionMemberAccess]
        called.__annotations__ = {p.name: p.annotation for p in given}
        return called

    return decorated


@options("photo-jpeg")
def dejpeg(run: Run, free: Free = False) -> None:
    """Restore JPEG files.  Compressed again with the file's tables, the result has the file's coefficients."""

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        return go(picture, task.take(picture, None if free else source))

    run.walk("dejpeg", "jpeg-restoration", begin, free=free)


@options("face-palette")
def colorize(
    run: Run,
    free: Free = False,
    grey: Annotated[bool, typer.Option("--grey", help="Make a picture that has colours grey first.")] = False,
    hints: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known colours: a picture of the same size, transparent where none is."),
    ] = None,
) -> None:
    """Give grey pictures colours.  The result, made grey again, is the picture given."""
    from sr3.picture.image import read
    from sr3.restore.places import mark_of

    painted = read(hints) if hints else None

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
    run.walk("colorize", "colorization", begin, free=free, told=told)


@options("face-palette")
def inpaint(
    run: Run,
    mask: MaskFile = None,
    box: Boxes = None,
    grow: Annotated[int, typer.Option(min=0, max=256, help="Pixels by which the hole is made larger.")] = 0,
    feather: Annotated[int, typer.Option(min=0, max=256, help="Pixels around it over which old meets new.")] = 0,
    detail: Detail = None,
) -> None:
    """Fill holes: of a mask, of boxes, or where a picture is transparent.  The rest stays as it is, bit for bit."""
    from sr3.cli.places import parse_box
    from sr3.restore.places import hole, read_mask

    boxes, drawn = [parse_box(text) for text in box or []], read_mask(mask) if mask else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import inpainted

        found, opaque = hole(picture, source, drawn, boxes)
        return inpainted(opaque, found, go, grow=grow, feather=feather, seed=run.seed)

    told = {"mask": drawn.mark if drawn else "none", "boxes": " ".join(box or [])}
    told |= {"grow": str(grow), "feather": str(feather)}
    run.walk("inpaint", "inpainting", begin, told=told, detail=detail)


@options("face-palette")
def uncrop(
    run: Run,
    left: Annotated[int, typer.Option(min=0, help="Pixels to add at the left.")] = 0,
    right: Annotated[int, typer.Option(min=0, help="Pixels to add at the right.")] = 0,
    top: Annotated[int, typer.Option(min=0, help="Pixels to add at the top.")] = 0,
    bottom: Annotated[int, typer.Option(min=0, help="Pixels to add at the bottom.")] = 0,
    to: Annotated[
        str | None, typer.Option(metavar="WxH", help="The size wanted, with the picture in its middle.")
    ] = None,
    detail: Detail = None,
) -> None:
    """Make pictures wider or higher.  The picture given stays as it is, bit for bit."""
    from sr3.restore.places import bands, check_bands

    wanted, sides = parse_size(to), (left, right, top, bottom)
    check_bands(sides, wanted)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.fill import uncropped

        return uncropped(picture, bands(source, picture.size, sides, wanted), go, seed=run.seed)

    told = {"sides": " ".join(map(str, sides)), "to": to or "none"}
    run.walk("uncrop", "uncropping", begin, told=told, detail=detail)


@options(AUTO)
def restore(run: Run, free: Free = False, mask: MaskFile = None, box: Boxes = None) -> None:
    """Restore pictures by what they need: holes filled, grey ones coloured, bad JPEG files and noise mended.

    A model for several tasks is used for the first of these that it knows; one for a single task for that.
    """
    from sr3.cli.places import parse_box
    from sr3.restore.places import hole, read_mask

    boxes, drawn = [parse_box(text) for text in box or []], read_mask(mask) if mask else None

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Go") -> Any:
        from sr3.restore.agreement import taken
        from sr3.restore.fill import inpainted

        if drawn or boxes:
            found, opaque = hole(picture, source, drawn, boxes)
            return inpainted(opaque, found, go, seed=run.seed)
        given, opaque = taken(task, picture, None if free else source)
        return go(opaque, given)

    told = {"mask": drawn.mark if drawn else "none", "boxes": " ".join(box or [])} if drawn or boxes else {}
    run.walk("restore", None, begin, free=free, told=told, hole=bool(drawn or boxes))
