"""What the commands that restore pictures share: files and folders, where results go, bars, faults."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sr3.cli.common import bars, code_and_sentence

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sr3.picture.image import Picture
    from sr3.restore.restorer import Progress, Restored, Restorer

    Streams = Callable[[Path], Iterator[Progress | Restored]]
    """How one file is restored, step by step."""


def check_trace(trace: Path | None) -> None:
    """ConfigError where --trace names no .gif."""
    from sr3.model.config import ConfigError

    if trace is not None and trace.suffix.lower() != ".gif":
        raise ConfigError(f"--trace writes a .gif, and {trace} is none")


def restore_all(
    restorer: "Restorer",
    inputs: Sequence[Path],
    output: Path | None,
    mark: str,
    stream: "Streams",
    options: dict[str, Any],
    *,
    trace: Path | None = None,
    skip_existing: bool = False,
    exact: bool = False,
) -> None:
    """Restore files and folders one picture after another; typer.Exit(1) where some failed.

    mark: what a result is called after its picture's name.  stream: how one file is restored.
    options: of that, as its result's metadata keep them: seed, samples, steps, sampler, spacing, quality, free.
    exact: whether results go into files that hold every pixel as it is, where none are named.
    """
    from sr3.model.config import ConfigError

    jobs, missing = _jobs(inputs, output, mark, EXACT if exact else None)
    if trace is not None and len(jobs) != 1:
        raise ConfigError(f"--trace follows one picture, and there are {len(jobs)}")
    failures = [(str(p), "does not exist") for p in missing]
    made = 0
    with bars() as shown:
        whole = shown.add_task("pictures", total=len(jobs)) if len(jobs) > 1 else None
        for source, target in jobs:
            try:
                if not (skip_existing and target.exists()):
                    _one(restorer, stream(source), source, target, trace, options, shown)
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


EXACT = (".png", ".tif", ".tiff")
"""Of what can be written, what loses nothing."""


def _jobs(
    inputs: Sequence[Path], output: Path | None, mark: str, suffixes: Sequence[str] | None = None
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """(source, target) of every picture, and the inputs that do not exist.

    suffixes: those that a result has from its picture, where there is one of them; else it is a PNG.
    """
    from sr3.model.config import ConfigError
    from sr3.picture.collection import find_pictures
    from sr3.picture.image import WRITABLE

    jobs: list[tuple[Path, Path]] = []
    missing: list[Path] = []
    many = len(inputs) > 1 or any(p.is_dir() for p in inputs)
    if many and output is not None and output.is_file():
        raise ConfigError(f"{output} is a file; several pictures need a folder to go to")

    def suffix_of(path: Path) -> str:
        return path.suffix if path.suffix.lower() in (suffixes or WRITABLE) else ".png"

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
    restorer: "Restorer",
    steps: "Iterator[Progress | Restored]",
    source: Path,
    target: Path,
    trace: Path | None,
    options: dict[str, Any],
    shown: "Bars",
) -> None:
    from sr3.picture.image import write
    from sr3.restore.restorer import Progress

    bar = shown.add_task(source.name, total=None)
    frames: list[Picture] = []
    result: Progress | Restored | None = None
    try:
        for result in steps:
            if isinstance(result, Progress):
                shown.update(bar, completed=result.done, total=result.total)
                if trace is not None and result.done <= result.total // options["samples"]:
                    frames.append(_frame(result))
    finally:
        shown.remove_task(bar)
    assert result is not None
    assert not isinstance(result, Progress)
    note = _note(restorer, options)
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
        "consistent": str(not options["free"]).lower(),
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
