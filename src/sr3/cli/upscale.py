"""`sr3 upscale`: pictures in, larger pictures out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import parse_size
from sr3.cli.restoring import check_trace, restore_all

if TYPE_CHECKING:
    from sr3.restore.restorer import Restorer


def command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN…", help="Pictures, or folders of pictures.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file or folder to write.  Default: beside the input.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, file or Hub id.")] = "photo-4x",
    scale: Annotated[float | None, typer.Option(help="How many times larger; default: the model's factor.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="The size wanted, instead of a scale.")] = None,
    steps: Annotated[int | None, typer.Option(help="Refinement steps: more is slower and finer.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …; default: the model's.")] = None,
    spacing: Annotated[str | None, typer.Option(help="How the steps are spaced: logsnr, karras, t.")] = None,
    quality: Annotated[
        str | None, typer.Option(help="fast, balanced or best, as found for this model by sr3 tune.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Variants to make; also writes their mean and spread.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    tile: Annotated[int | None, typer.Option(help="Pixels computed at once; smaller needs less memory.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Do not hold the result to the picture given.")] = False,
    trace: Annotated[
        Path | None, typer.Option(metavar="GIF", help="Also write the refinement as an animation.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are already there.")
    ] = False,
) -> None:
    """Make pictures larger: a file gives a file, a folder gives a folder with its tree kept."""
    wanted = parse_size(size)
    check_trace(trace)
    from sr3.picture.image import read
    from sr3.restore.restorer import Restorer, needs_picture

    restorer = Restorer.load(model, device=device, precision=precision, tile=tile)
    needs_picture(restorer.model)
    # what cannot be had fails before any work
    restorer.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality, samples=samples)
    options: dict[str, Any] = dict(
        scale=scale,
        size=wanted,
        seed=seed,
        samples=samples,
        free=free,
        steps=steps,
        sampler=sampler,
        spacing=spacing,
        quality=quality,
    )
    restore_all(
        restorer,
        inputs,
        output,
        _mark(restorer, scale, wanted),
        lambda source: restorer.stream(read(source), **options),
        options,
        trace=trace,
        skip_existing=skip_existing,
    )


def _mark(restorer: "Restorer", scale: float | None, size: tuple[int, int] | None) -> str:
    if size is not None:
        return f"{size[0]}x{size[1]}"
    return f"{scale if scale is not None else restorer.model.task.factor:g}x"
