"""`sr3 dejpeg`, `colorize`, `inpaint`, `uncrop`, `restore`: Palette's tasks, on one's own pictures."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sr3.cli.common import load_restorer, parse_size
from sr3.cli.restoring import check_trace, refuse_absent, restore_all

if TYPE_CHECKING:
    from sr3.picture.image import Picture
    from sr3.restore.restorer import Progress, Restored, Restorer
    from sr3.task import Given, Restoration

Inputs = Annotated[list[Path], typer.Argument(metavar="IN…", help="Pictures, or folders of pictures.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="The file or folder to write.  Default: a PNG beside the input.")
]
ModelName = Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")]
Steps = Annotated[int | None, typer.Option(help="Refinement steps: more is slower and finer.")]
Sampler = Annotated[str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …; default: the model's.")]
Spacing = Annotated[str | None, typer.Option(help="How the steps are spaced: logsnr, karras, t.")]
Quality = Annotated[str | None, typer.Option(help="fast, balanced or best, as found for this model by sr3 tune.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]
Samples = Annotated[int, typer.Option(min=1, help="Variants to make; also writes their mean and spread.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")]
Tile = Annotated[int | None, typer.Option(help="Pixels computed at once; smaller needs less memory.")]
Trace = Annotated[Path | None, typer.Option(metavar="GIF", help="Also write the refinement as an animation.")]
Skip = Annotated[bool, typer.Option("--skip-existing", help="Leave results that are there and were made in this way.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Free = Annotated[bool, typer.Option("--free", help="Do not hold the result to what is given.")]


MARKS = {
    "colorize": "colorized",
    "dejpeg": "restored",
    "inpaint": "inpainted",
    "restore": "restored",
    "uncrop": "uncropped",
}
"""What a command's results are called after their pictures."""


class Run(NamedTuple):
    """What every command of this file is told, in the order of its options."""

    inputs: list[Path]
    output: Path | None
    model: str
    steps: int | None
    sampler: str | None
    spacing: str | None
    quality: str | None
    seed: int
    samples: int
    device: str
    precision: str
    tile: int | None
    trace: Path | None
    skip_existing: bool
    force: bool
    free: bool = False

    def walk(self, command: str, kind: str | None, begin: "Begin", told: dict[str, str] | None = None) -> None:
        """Restore every picture by a model for this kind of task; None: whatever the model is for.

        told: what else makes the results what they are, for their metadata.
        """
        refuse_absent(self.inputs)
        from sr3.picture.image import read
        from sr3.restore.restorer import needs_picture
        from sr3.restore.whole import set_task, stream

        check_trace(self.trace)
        restorer = load_restorer(self.model, device=self.device, precision=self.precision, tile=self.tile)
        task = set_task(restorer.model, kind, command) if kind else needs_picture(restorer.model)
        how: dict[str, Any] = {
            "steps": self.steps,
            "sampler": self.sampler,
            "spacing": self.spacing,
            "quality": self.quality,
        }
        # what cannot be had fails before any work
        restorer.settings(**how, samples=self.samples)
        options: dict[str, Any] = {**how, "seed": self.seed, "samples": self.samples, "free": self.free}

        def steps(source: Path) -> "Iterator[Progress | Restored]":
            picture = read(source)
            return begin(restorer, task, source, picture, lambda p, given: stream(restorer, p, given, **options))

        restore_all(
            lambda _source: restorer,
            self.inputs,
            self.output,
            MARKS[command],
            steps,
            options,
            trace=self.trace,
            skip_existing=self.skip_existing,
            force=self.force,
            exact=True,
            told=told,
        )


if TYPE_CHECKING:
    Stream = Callable[[Picture, Given], Iterator[Progress | Restored]]
    Begin = Callable[[Restorer, Restoration, Path, Picture, Stream], Iterator[Progress | Restored]]
    """How one file's restoration begins: (restorer, task, file, its picture, what restores it) -> steps."""


def dejpeg(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = "photo-jpeg",
    steps: Steps = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    quality: Quality = None,
    seed: Seed = 0,
    samples: Samples = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    trace: Trace = None,
    skip_existing: Skip = False,
    force: Force = False,
    free: Free = False,
) -> None:
    """Restore JPEG files.  Compressed again with the file's tables, the result is the file."""
    common = (inputs, output, model, steps, sampler, spacing, quality, seed, samples, device, precision, tile, trace)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Stream") -> Any:
        from sr3.picture.jpeg import JpegBins

        given = task.take(picture)
        return go(picture, given if free else given._replace(files=(JpegBins.of(source),)))

    Run(*common, skip_existing, force, free).walk("dejpeg", "jpeg-restoration", begin)


def colorize(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = "face-palette",
    steps: Steps = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    quality: Quality = None,
    seed: Seed = 0,
    samples: Samples = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    trace: Trace = None,
    skip_existing: Skip = False,
    force: Force = False,
    free: Free = False,
    grey: Annotated[bool, typer.Option("--grey", help="Make a picture that has colours grey first.")] = False,
) -> None:
    """Give grey pictures colours.  The result, made grey again, is the picture given."""
    common = (inputs, output, model, steps, sampler, spacing, quality, seed, samples, device, precision, tile, trace)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Stream") -> Any:
        from sr3.picture.grey import as_grey
        from sr3.picture.image import PictureError

        picture = as_grey(picture) if grey else picture
        try:
            return go(picture, task.take(picture))
        except PictureError as error:
            raise PictureError(f"{source} has colours already; give --grey to make it grey first") from error

    Run(*common, skip_existing, force, free).walk("colorize", "colorization", begin, {"grey": str(grey).lower()})


def inpaint(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = "face-palette",
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture of the same size: white is made, black is kept.")
    ] = None,
    box: Annotated[list[str] | None, typer.Option(metavar="X,Y,WxH", help="A box to make; may be given again.")] = None,
    grow: Annotated[int, typer.Option(min=0, max=256, help="Pixels by which the hole is made larger.")] = 0,
    feather: Annotated[int, typer.Option(min=0, max=256, help="Pixels around it over which old meets new.")] = 0,
    steps: Steps = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    quality: Quality = None,
    seed: Seed = 0,
    samples: Samples = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    trace: Trace = None,
    skip_existing: Skip = False,
    force: Force = False,
) -> None:
    """Fill holes: of a mask, of boxes, or where a picture is transparent.  The rest stays as it is, bit for bit."""
    common = (inputs, output, model, steps, sampler, spacing, quality, seed, samples, device, precision, tile, trace)
    from sr3.cli.places import hole, parse_box

    boxes = [parse_box(text) for text in box or []]

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Stream") -> Any:
        from sr3.restore.fill import inpainted

        found, opaque = hole(picture, source, mask, boxes)
        return inpainted(opaque, found, go, grow=grow, feather=feather, seed=seed)

    told = {"mask": str(mask or "none"), "boxes": " ".join(box or []), "grow": str(grow), "feather": str(feather)}
    Run(*common, skip_existing, force).walk("inpaint", "inpainting", begin, told)


def uncrop(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = "face-palette",
    left: Annotated[int, typer.Option(min=0, help="Pixels to add at the left.")] = 0,
    right: Annotated[int, typer.Option(min=0, help="Pixels to add at the right.")] = 0,
    top: Annotated[int, typer.Option(min=0, help="Pixels to add at the top.")] = 0,
    bottom: Annotated[int, typer.Option(min=0, help="Pixels to add at the bottom.")] = 0,
    to: Annotated[str | None, typer.Option(metavar="WxH", help="The size wanted, with the picture in its middle.")] = (
        None
    ),
    steps: Steps = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    quality: Quality = None,
    seed: Seed = 0,
    samples: Samples = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    trace: Trace = None,
    skip_existing: Skip = False,
    force: Force = False,
) -> None:
    """Make pictures wider or higher.  The picture given stays as it is, bit for bit."""
    common = (inputs, output, model, steps, sampler, spacing, quality, seed, samples, device, precision, tile, trace)
    from sr3.cli.places import bands, check_bands

    wanted, sides = parse_size(to), (left, right, top, bottom)
    check_bands(sides, wanted)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Stream") -> Any:
        from sr3.restore.fill import uncropped

        return uncropped(picture, bands(source, picture.size, sides, wanted), go, seed=seed)

    Run(*common, skip_existing, force).walk(
        "uncrop", "uncropping", begin, {"sides": " ".join(map(str, sides)), "to": to or "none"}
    )


def restore(
    inputs: Inputs,
    model: ModelName,
    output: Output = None,
    steps: Steps = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    quality: Quality = None,
    seed: Seed = 0,
    samples: Samples = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    trace: Trace = None,
    skip_existing: Skip = False,
    force: Force = False,
    free: Free = False,
) -> None:
    """Restore pictures by any model that needs nothing but the picture, whatever its task."""
    common = (inputs, output, model, steps, sampler, spacing, quality, seed, samples, device, precision, tile, trace)

    def begin(restorer: "Restorer", task: "Restoration", source: Path, picture: "Picture", go: "Stream") -> Any:
        return go(picture, task.take(picture))

    Run(*common, skip_existing, force, free).walk("restore", None, begin)
