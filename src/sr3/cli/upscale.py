"""`sr3 upscale`: pictures in, larger pictures out."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.checks import present, refuse
from sr3.cli.common import Box, load_restorer, parse_box, parse_memory
from sr3.cli.helps import HOW, MACHINE, MANY, SIZE
from sr3.cli.names import Naming, is_shard
from sr3.cli.outcome import refuse_absent
from sr3.cli.pipes import PIPE
from sr3.cli.restoring import Work
from sr3.cli.run import Fidelity, Free, Lenient, Run, options
from sr3.cli.steps import Choice, Ready, check_trace, leniently
from sr3.cli.together import at_once

if TYPE_CHECKING:
    from torch import Tensor

    from sr3.restore.many import One
    from sr3.restore.restorer import Progress, Restored, Restorer

EXAMPLES = """Examples:

\b
sr3 upscale photo.jpg                     photo-4x.jpg, four times larger
sr3 upscale photos/ -o larger/            a folder, its tree kept
sr3 upscale photo.jpg --scale 2           any factor from 1 to 64
sr3 upscale photos/ --size 1920x1080      as large as fits in; or 1920x, or x1080
sr3 upscale photo.jpg --samples 4         four answers, their mean, where they differ
sr3 upscale photo.jpg --trace refine.gif  watch noise become a picture
sr3 upscale photos/ --skip-existing       go on; several processes may share a folder
sr3 upscale - -o - < in.png > out.png     standard input and output"""


@options(None, model="A name, file or Hub id.  Default: photo-4x-fast; photo-2x up to twice; photo-4x to refine.")
def command(
    run: Run,
    scale: Annotated[
        float | None, typer.Option(help="How many times larger; default: the model's factor.", rich_help_panel=SIZE)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="The size wanted, or one side, as 1920x or x1080.", rich_help_panel=SIZE),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            metavar="FIT", help="inside: proportions kept; cover: the rest cropped; stretch.", rich_help_panel=SIZE
        ),
    ] = "inside",
    free: Free = False,
    fidelity: Fidelity = 1.0,
    noise: Annotated[
        float | None,
        typer.Option(min=0, help="Its noise: sigma of 255; default: estimated.", rich_help_panel=HOW),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="MASK", help="What is white in it is only enlarged.", rich_help_panel=HOW),
    ] = None,
    lenient: Lenient = False,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Small pictures of one size computed at once; default: 16 on a GPU, 1 on a CPU.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Have it done by a Ray cluster: its address, auto, or local.", rich_help_panel=MANY
        ),
    ] = None,
    actors: Annotated[
        int | None, typer.Option(min=1, help="There; default: one for each GPU, or machine.", rich_help_panel=MANY)
    ] = None,
) -> None:
    """Make pictures larger: a file gives a file, a folder gives a folder with its tree kept."""
    parse_box(size)
    parse_memory(run.memory)
    refuse_absent(run.inputs, as_json=run.json)
    check_trace(run.trace)
    own = (scale, size, fit, free, fidelity, noise, keep, lenient, batch)
    work = work_of(run, *own)
    if ray is None:
        if actors is not None:
            refuse("--actors are those of --ray; give its address too")
        work()
        return
    check_far(run, batch)
    from sr3.cli.rays import over

    # what another actor has made before it died is not made again
    there = run._replace(skip_existing=not run.force, quiet=True, json=False, manifest=None)
    if run.model is not None and os.path.exists(run.model):  # actors stand in other folders
        there = there._replace(model=os.path.abspath(run.model))
    far = (scale, size, fit, free, fidelity, noise, keep and keep.absolute(), lenient, batch)
    work(partial(over, ray, partial(work_of, there, *far), actors=actors))


def check_far(run: Run, batch: int | None = None) -> None:
    """ConfigError for what cannot be had of other machines."""
    from sr3.model.config import ConfigError

    if PIPE in run.inputs or run.output == PIPE or run.trace is not None:
        raise ConfigError("pipes and --trace are of this machine, and --ray goes to others; leave one of them out")
    if batch is not None:
        raise ConfigError("actors of --ray take pictures one by one; leave --batch out")


def work_of(
    run: Run,
    scale: float | None,
    size: str | None,
    fit: str,
    free: bool,
    fidelity: float,
    noise: float | None,
    keep: Path | None,
    lenient: bool,
    batch: int | None = None,
) -> Work:
    """What the command does, with its models loaded as they are needed."""
    box = parse_box(size)
    from sr3.picture.image import Picture
    from sr3.restore.places import read_mask
    from sr3.restore.size import fitted, target_size
    from sr3.restore.usual import FACTOR

    target_size((1, 1), FACTOR, scale, (1, 1) if box else None)  # what no picture can have
    fitted((1, 1), box or (1, 1), fit)

    # whatever quality is asked for, the usual model's is the best there is
    ways = (v for key, v in run.settings.items() if key != "quality")
    refined = any(v is not None for v in (*ways, run.trace)) or run.samples > 1
    choose, factor = _chooser(run, scale, box, fit, refined=refined), FACTOR
    if run.model is not None or refined:  # what cannot be had fails before any work
        restorer = choose(run.inputs[0]).restorer
        factor = restorer.model.task.factor
        restorer.settings(**run.settings, samples=run.samples)
    mark = size if size is not None else f"{scale if scale is not None else factor:g}x"
    values = {"size": mark} if size is not None else {"scale": mark[:-1]}
    naming = Naming(mark.lower(), run.name, run.format, values={**values, "seed": str(run.seed)})
    options: dict[str, Any] = dict(
        seed=run.seed, samples=run.samples, free=free, fidelity=fidelity, noise=noise, **run.settings
    )
    kept = read_mask(present(keep)) if keep else None
    options["keep"] = kept.hole if kept else None

    def size_of(have: tuple[int, int], times: int) -> tuple[int, int]:
        return target_size(have, times, scale, fitted(have, box, fit) if box else None)

    def stream(source: Path, holds: Any) -> "Iterator[Progress | Restored]":
        picture = leniently(source) if lenient and not isinstance(holds, Picture) else holds
        restorer = choose(source).restorer
        wanted = fitted(_size(source, picture), box, fit) if box else None
        steps = restorer.stream(picture, scale=scale, size=wanted, **options)
        return _cropped(steps, box) if box is not None and fit == "cover" else steps

    def together(some: list[Ready]) -> "Iterator[One]":
        restorer = some[0].choice.restorer
        restorer.bands, restorer.near = False, None  # as the picture before had them
        return restorer.many([one.holds for one in some], size=some[0].size, batch=len(some), **options)

    told = ({"fit": fit} if box and fit != "inside" else {}) | ({"keep": kept.mark} if kept else {}) | run.told
    beside = [keep] if keep else []
    whole = run.samples == 1 and run.trace is None and kept is None and (box is None or fit != "cover")
    if fit != "inside" and box is None:
        refuse("--fit says how pictures fit into --size; give that too")
    many: dict[str, Any] = {"together": together, "at_once": at_once(batch, run.device)} if whole else {}
    how: dict[str, Any] = {"enlarges": True, "lenient": lenient, "read": beside, **many}
    return Work(run, naming, choose, stream, options, size_of, told, **how)


def _size(source: Path, holds: Any) -> tuple[int, int]:
    from sr3.picture.image import Decoded, Picture, read_size

    if isinstance(holds, Decoded):
        return holds.picture.size
    return holds.size if isinstance(holds, Picture) else read_size(source)


def _middle(x: "Tensor", box: Box) -> "Tensor":
    """The largest part in the middle of [..., H, W] that has the box's proportions."""
    high, wide = x.shape[-2:]
    w, h = (max(1, round(n)) for n in (high * (box[0] or 1) / (box[1] or 1), wide * (box[1] or 1) / (box[0] or 1)))
    top, left = max(0, (high - h) // 2), max(0, (wide - w) // 2)
    return x[..., top : top + h, left : left + w]


def _cropped(steps: "Iterator[Progress | Restored]", box: Box) -> "Iterator[Progress | Restored]":
    """The steps, and last a result whose middle alone is kept where it is larger than the box."""
    from sr3.picture.large import LargePicture
    from sr3.picture.picture import Picture
    from sr3.restore.restorer import Progress

    def middle(picture: Picture) -> Picture:
        if all(want in (None, n) for n, want in zip(picture.size, box, strict=True)):
            return picture
        left, top = (max(0, (n - (want or n)) // 2) for n, want in zip(picture.size, box, strict=True))
        rows = slice(top, top + (box[1] or picture.size[1]))
        columns = slice(left, left + (box[0] or picture.size[0]))
        if isinstance(picture, LargePicture):
            return picture.cropped(rows, columns)
        alpha = None if picture.alpha is None else picture.alpha[:, rows, columns]
        return replace(picture, pixels=picture.pixels[:, rows, columns], alpha=alpha)

    for step in steps:
        if isinstance(step, Progress):
            yield step if None in box else step._replace(step=step.step._replace(x=_middle(step.step.x, box)))
            continue
        extra = {name: middle(p) for name, p in (("mean", step.mean), ("spread", step.spread)) if p is not None}
        yield replace(step, variants=[middle(p) for p in step.variants], **extra)


def _chooser(run: Run, scale: float | None, box: Box | None, fit: str, *, refined: bool) -> Callable[[Path], Choice]:
    """The restorer of each file: the model asked for, or the one that what is asked for deserves, loaded when needed.

    box, fit: the size asked for, which is another scale of each picture.
    refined: whether something was asked for that only a model of many steps has.
    """
    from sr3.picture.image import PictureError, read_size
    from sr3.picture.kinds import is_jpeg
    from sr3.restore.restorer import needs_picture
    from sr3.restore.size import fitted
    from sr3.restore.usual import usual
    from sr3.restore.whole import set_task

    @cache
    def restorer(name: str) -> "Restorer":
        found = load_restorer(name, device=run.device, precision=run.precision, tile=run.tile, memory=run.allowed)
        task = needs_picture(found.model)
        if hasattr(task, "as_kind") or not task.command.startswith("upscale"):  # one of several tasks, or of another
            set_task(found.model, "super-resolution", "upscale")
        return found

    def chosen(source: Path) -> Choice:
        if run.model is not None:
            return Choice(restorer(run.model), "as asked for")
        times = scale
        if box is not None and not refined and not is_shard(source):
            with suppress(PictureError):  # what is wrong with it is said when its turn comes
                have = read_size(source)
                times = max(want / side for want, side in zip(fitted(have, box, fit), have, strict=True))
        name, why = usual(refined=refined, scale=times, jpeg=is_jpeg(source))
        return Choice(restorer(name), why)

    return chosen
