"""`sr3 upscale`: pictures in, larger pictures out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import bars, code_and_sentence, parse_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.picture.image import Picture
    from sr3.restore.restorer import Progress, Restored, Restorer


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
    fidelity: Annotated[float, typer.Option(min=0, max=1, help="How far to hold it: 1 fully, 0 as --free.")] = 1.0,
    noise: Annotated[float | None, typer.Option(min=0, help="Its noise: sigma of 255; default: estimated.")] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="GIF", help="Also write the refinement as an animation.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are already there.")
    ] = False,
) -> None:
    """Make pictures larger: a file gives a file, a folder gives a folder with its tree kept."""
    wanted = parse_size(size)
    from sr3.model.config import ConfigError

    if trace is not None and trace.suffix.lower() != ".gif":
        raise ConfigError(f"--trace writes a .gif, and {trace} is none")
    from sr3.restore.restorer import Restorer, needs_picture

    restorer = Restorer.load(model, device=device, precision=precision, tile=tile)
    needs_picture(restorer.model)
    # what cannot be had fails before any work
    restorer.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality, samples=samples)
    jobs, missing = _jobs(inputs, output, _mark(restorer, scale, wanted))
    if trace is not None and len(jobs) != 1:
        raise ConfigError(f"--trace follows one picture, and there are {len(jobs)}")
    failures = [(str(p), "does not exist") for p in missing]
    options: dict[str, Any] = dict(
        scale=scale,
        size=wanted,
        seed=seed,
        samples=samples,
        free=free,
        fidelity=fidelity,
        noise=noise,
        steps=steps,
        sampler=sampler,
        spacing=spacing,
        quality=quality,
    )
    made = 0
    with bars() as shown:
        whole = shown.add_task("pictures", total=len(jobs)) if len(jobs) > 1 else None
        for source, target in jobs:
            try:
                if not (skip_existing and target.exists()):
                    _one(restorer, source, target, trace, options, shown)
                    made += 1
            except Exception as error:
                found = code_and_sentence(error)
                # what is wrong with the request is wrong for every picture; what is wrong with one is not
                if found is None or (isinstance(error, ConfigError) and len(jobs) == 1):
                    raise
                failures.append((str(source), found[1]))
            if whole is not None:
                shown.advance(whole)
    for name, why in failures:
        typer.echo(f"sr3: {why}" if name in why else f"sr3: {name}: {why}", err=True)
    if len(jobs) > 1:
        typer.echo(f"{made} done, {len(failures)} failed", err=True)
    if failures:
        raise typer.Exit(1)


def _mark(restorer: "Restorer", scale: float | None, size: tuple[int, int] | None) -> str:
    if size is not None:
        return f"{size[0]}x{size[1]}"
    return f"{scale if scale is not None else restorer.model.task.factor:g}x"


def _jobs(inputs: Sequence[Path], output: Path | None, mark: str) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """(source, target) of every picture, and the inputs that do not exist."""
    from sr3.model.config import ConfigError
    from sr3.picture.collection import find_pictures
    from sr3.picture.image import WRITABLE

    jobs: list[tuple[Path, Path]] = []
    missing: list[Path] = []
    many = len(inputs) > 1 or any(p.is_dir() for p in inputs)
    if many and output is not None and output.is_file():
        raise ConfigError(f"{output} is a file; several pictures need a folder to go to")

    def suffix_of(path: Path) -> str:
        return path.suffix if path.suffix.lower() in WRITABLE else ".png"

    for source in inputs:
        if source.is_dir():
            root = output if output is not None else source.with_name(f"{source.resolve().name}-{mark}")
            if len(inputs) > 1 and output is not None:
                root = output / source.resolve().name
            found = [p for p in find_pictures(source) if root.resolve() not in p.resolve().parents]
            if not found:
                raise ConfigError(f"there is no picture in the folder {source}")
            for path in found:
                jobs.append((path, (root / path.relative_to(source)).with_suffix(suffix_of(path))))
        elif not source.exists():
            missing.append(source)
        elif output is None:
            jobs.append((source, source.with_name(f"{source.stem}-{mark}{suffix_of(source)}")))
        elif many or output.is_dir():
            jobs.append((source, output / f"{source.stem}{suffix_of(source)}"))
        else:
            if output.suffix.lower() not in WRITABLE:
                kinds = ", ".join(sorted(WRITABLE))
                raise ConfigError(f"cannot write {output}: its name must end in one of {kinds}")
            jobs.append((source, output))
    taken: dict[Path, Path] = {}
    for index, (source, target) in enumerate(jobs):
        if target in taken:  # a.png and a.gif, or two folders' photo.jpg: keep both
            target = target.with_name(f"{source.stem}-{source.suffix.lstrip('.')}-{index}{target.suffix}")
            jobs[index] = (source, target)
        taken[target] = source
        if target.resolve() == source.resolve():
            raise ConfigError(f"{target} would overwrite the picture it is made from; give another -o")
    return jobs, missing


def _one(
    restorer: "Restorer", source: Path, target: Path, trace: Path | None, options: dict[str, Any], shown: "Bars"
) -> None:
    from sr3.picture.image import write
    from sr3.restore.restorer import Progress

    bar = shown.add_task(source.name, total=None)
    frames: list[Picture] = []
    result: Progress | Restored | None = None
    try:
        for result in restorer.stream(source, **options):
            if isinstance(result, Progress):
                label = f"{source.name}, held to {result.held.split(' (')[0]}"
                shown.update(bar, completed=result.done, total=result.total, description=label)
                if trace is not None and result.done <= result.total // options["samples"]:
                    frames.append(_frame(result))
    finally:
        shown.remove_task(bar)
    assert result is not None
    assert not isinstance(result, Progress)
    note = _note(restorer, options) | {"held_to": result.held}
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(result.variants) == 1:
        write(target, result.variants[0], note=note)
    else:
        for k, variant in enumerate(result.variants):
            seeded = {**note, "seed": str(options["seed"] + k)}
            write(target.with_name(f"{target.stem}-{k + 1}{target.suffix}"), variant, note=seeded)
        assert result.mean is not None
        assert result.spread is not None
        write(target.with_name(f"{target.stem}-mean{target.suffix}"), result.mean, note=note)
        write(target.with_name(f"{target.stem}-spread{target.suffix}"), result.spread, note=note)
    if trace is not None:
        _animate(trace, frames, result.variants[0])


def _note(restorer: "Restorer", options: dict[str, Any]) -> dict[str, str]:
    """What made the picture, for its metadata: enough to make it again."""
    from sr3 import __version__

    asked = {key: options[key] for key in ("steps", "sampler", "spacing", "quality")}
    settings = restorer.settings(**asked)
    return {
        "software": f"sr3 {__version__}",
        "model": restorer.model.config.name,
        "pictures_seen": str(restorer.model.about.get("pictures_seen", "unknown")),
        "seed": str(options["seed"]),
        "samples": str(options["samples"]),
        "steps": str(settings.steps),
        "sampler": str(settings.sampler["kind"]),
        "spacing": settings.spacing,
        "fidelity": "0" if options["free"] else f"{options['fidelity']:g}",
        "precision": str(restorer.dtype).removeprefix("torch."),
    }


def _frame(progress: "Progress") -> "Picture":
    """The walk itself, not the estimate: noise that becomes a picture."""
    from sr3.picture.image import Picture
    from sr3.picture.resize import resize

    x = progress.step.x[:1].float().cpu()
    x = x / max(1.0, float((x.var() + 1e-12).sqrt()))
    large = max(x.shape[-2:])
    if large > 640:
        x = resize(x, (max(1, x.shape[-2] * 640 // large), max(1, x.shape[-1] * 640 // large)))
    return Picture(pixels=x[0].clamp(-1, 1), alpha=None, bits=8, keep={})


def _animate(path: Path, frames: "list[Picture]", last: "Picture") -> None:
    from dataclasses import replace

    from sr3.files import replacing
    from sr3.picture.image import to_pil

    pictures = [to_pil(f).convert("RGB") for f in frames]
    end = to_pil(replace(last, alpha=None, bits=8)).convert("RGB")
    pictures.append(end.resize(pictures[0].size) if pictures else end)
    with replacing(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            loop=0,
            duration=[200] * (len(pictures) - 1) + [2000],
        )
