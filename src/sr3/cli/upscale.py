"""`sr3 upscale`: pictures in, larger pictures out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import load_restorer, parse_size
from sr3.cli.restoring import check_trace, refuse_absent, restore_all

if TYPE_CHECKING:
    from sr3.restore.restorer import Restorer


def command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN…", help="Pictures, or folders of pictures.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file or folder to write.  Default: beside the input.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A name, file or Hub id.  Default: photo-4x; photo-4x-worn for JPEG files."),
    ] = None,
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
    fidelity: Annotated[float, typer.Option(min=0, max=1, help="How far to hold it: 1 fully, 0 as --free.")] = 1.0,
    noise: Annotated[float | None, typer.Option(min=0, help="Its noise: sigma of 255; default: estimated.")] = None,
    keep: Annotated[Path | None, typer.Option(metavar="MASK", help="What is white in it is only enlarged.")] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="GIF", help="Also write the refinement as an animation.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are there and were made in this way.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there, and enlarge even what sr3 has enlarged.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Of damaged pictures take what can be read; the rest is grey.")
    ] = False,
) -> None:
    """Make pictures larger: a file gives a file, a folder gives a folder with its tree kept."""
    wanted = parse_size(size)
    refuse_absent(inputs)
    check_trace(trace)
    from sr3.picture.image import read, read_size
    from sr3.restore.places import read_mask
    from sr3.restore.size import target_size
    from sr3.restore.usual import FACTOR

    how: dict[str, Any] = dict(steps=steps, sampler=sampler, spacing=spacing, quality=quality)
    refined = any(asked is not None for asked in (*how.values(), trace)) or samples > 1
    restorer_of, factor = _chooser(model, refined=refined, device=device, precision=precision, tile=tile), FACTOR
    if model is not None or refined:  # what cannot be had fails before any work
        restorer = restorer_of(inputs[0])
        factor = restorer.model.task.factor
        restorer.settings(**how, samples=samples)
    kept = read_mask(keep) if keep else None
    options: dict[str, Any] = dict(scale=scale, size=wanted, seed=seed, samples=samples, free=free, fidelity=fidelity)
    options |= {"noise": noise, "keep": kept.hole if kept else None, **how}
    restore_all(
        restorer_of,
        inputs,
        output,
        f"{wanted[0]}x{wanted[1]}" if wanted else f"{scale if scale is not None else factor:g}x",
        lambda source: restorer_of(source).stream(read(source, lenient=True) if lenient else source, **options),
        options,
        trace=trace,
        skip_existing=skip_existing,
        force=force,
        told={"keep": kept.mark} if kept else None,
        size_of=lambda source: target_size(read_size(source), factor, scale, wanted),
    )


def _chooser(model: str | None, *, refined: bool, **how: Any) -> "Callable[[Path], Restorer]":
    """The restorer of each file: the model asked for, or the one that its contents deserve.

    refined: whether something was asked for that only a model of many steps has.
    """
    from sr3.restore.restorer import needs_picture
    from sr3.restore.usual import usual

    loaded: dict[str, Restorer] = {}

    def chosen(source: Path) -> "Restorer":
        name = model if model is not None else usual(source, refined=refined)
        if name not in loaded:
            loaded[name] = load_restorer(name, **how)
            needs_picture(loaded[name].model)
        return loaded[name]

    return chosen
