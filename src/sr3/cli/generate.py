"""`sr3 generate`: pictures from nothing but noise."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sr3.cli.common import Force, bars, write_gif
from sr3.cli.helps import HOW, MACHINE, MEASURED, RESULT, grouped
from sr3.cli.jobs import check_free
from sr3.cli.pipes import PIPE
from sr3.cli.places import Folder, parse_place

if TYPE_CHECKING:
    from torch import Tensor

    from sr3.model.config import Sampling
    from sr3.restore.generate import Cascade, Walking


EXAMPLES = """Examples:

\b
sr3 generate --model face-16 --trace walk.gif
sr3 generate --cascade face-16,face-8x --count 16 --grid faces.png"""


Out = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        parser=parse_place,
        metavar="PATH",
        help="The folder, or of one picture the file.  Default: here, unless another is asked.",
    ),
]


@grouped(
    {
        RESULT: "count classes out grid trace",
        HOW: "model cascade seed steps sampler spacing quality",
        MEASURED: "against chance",
        MACHINE: "device precision batch",
    }
)
def command(
    model: Annotated[str | None, typer.Option("--model", "-m", help="A model's name, file or Hub id: face-16.")] = None,
    cascade: Annotated[
        str | None,
        typer.Option(
            metavar="A,B…", help="Models in a row: the first makes, the others enlarge.  Or a cascade's .toml file."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 1,
    classes: Annotated[
        str | None, typer.Option("--class", metavar="A,B…", help="Of these classes in turn, by name or number.")
    ] = None,
    out: Out = None,
    grid: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all of them as one picture.")] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="GIF", help="Animate the first: left the walk, right where it will end.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first picture; the next have the next seeds.")] = 0,
    steps: Annotated[str | None, typer.Option(help="Refinement steps; of each model: 18,8.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …; of each model: heun,dpmpp.")
    ] = None,
    spacing: Annotated[str | None, typer.Option(help="logsnr, karras, t; of each model: karras,logsnr.")] = None,
    quality: Annotated[str | None, typer.Option(help="fast, balanced or best, of tuned models.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures at once; changes memory and time alone.")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Measure how like these pictures, reduced, they are.")
    ] = None,
    chance: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Where the two sets to compare that with are from.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    force: Force = False,
) -> None:
    """Make pictures from nothing, by one model or by a cascade."""
    _check(model, cascade, grid, trace, chance, against)
    alone = _is_file(out, count)
    names = _words(cascade) if cascade is not None else [model or "face-16"]
    from sr3.restore.generate import Made, Walking

    asked: dict[str, Any] = {"steps": _numbers(steps)}
    words = {"sampler": sampler, "spacing": spacing, "quality": quality}
    asked |= {key: _words(text) for key, text in words.items() if text is not None}
    made = made_by(names, device, precision)
    settings = made.settings(**asked)  # unknown names fail before any work
    wanted = _words(classes) if classes is not None else None
    made.labels([seed], wanted)
    if out is None and grid is None and trace is None and against is None:
        out = Path()
    called = {s: f"{_plain(made.name)}-{s}.png" for s in range(seed, seed + count)}
    files = {} if out is None else {s: out if alone else out / name for s, name in called.items()}
    each = [(grid, "--grid"), (trace, "--trace"), *((path, "--out") for path in files.values())]
    check_free(each, [against, chance], force=force)
    note = _note(made, settings) | ({"class": classes} if classes is not None else {})
    like = None if against is None else _like(made, against, chance or against)
    kept: list[Tensor] = []
    frames: list[Tensor] = []
    with bars() as shown:
        bar = shown.add_task("generating", total=None)
        for step in made.stream(count, seed=seed, batch=batch, classes=wanted, **asked):
            if isinstance(step, Walking):
                shown.update(bar, completed=step.done, total=step.total)
                if trace is not None and step.seeds[0] == seed:
                    frames.append(_frame(step, made.sizes[-1]))
                continue
            assert isinstance(step, Made)
            for own, picture in zip(step.seeds, step.pictures, strict=True):
                if own in files:
                    _write(files[own], picture, {**note, "seed": str(own)})
            if grid is not None or against is not None or (trace is not None and not kept):
                kept.append(step.pictures)
    if grid is not None:
        _grid(grid, kept, {**note, "seed": f"{seed} to {seed + count - 1}" if count > 1 else str(seed)})
    if trace is not None:
        _animate(trace, frames, kept[0][0])
    typer.echo(_written(list(files.values()), grid, trace), err=True)
    if like is not None:
        typer.echo(_measured(kept, like))


def _is_file(out: Path | None, count: int) -> bool:
    """Whether --out names the file of the one picture, and no folder.  ConfigError where it can be neither."""
    from sr3.model.config import ConfigError
    from sr3.picture.collection import PICTURE_SUFFIXES
    from sr3.picture.image import WRITABLE

    if out is None or out.is_dir() or isinstance(out, Folder):
        return False
    if out == PIPE:
        raise ConfigError("generated pictures do not go into a pipe; give --out a file or a folder")
    if not out.is_file() and out.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    if count > 1:
        raise ConfigError(f"{out} is no folder, as {out}/ would be; {count} pictures need one to go to")
    if out.suffix.lower() not in WRITABLE:
        ends = ", ".join(sorted(WRITABLE))
        raise ConfigError(f"cannot write {out}: its name must end in one of {ends}; or write {out}/ for a folder")
    return True


def _written(files: list[Path], grid: Path | None, trace: Path | None) -> str:
    """Where the results are, in a line."""
    each = [str(files[0])] if len(files) == 1 else [f"{files[0]} to {files[-1].name}"] if files else []
    return ", ".join([*each, *(str(path) for path in (grid, trace) if path is not None)]) or "nothing was written"


def _check(
    model: str | None,
    cascade: str | None,
    grid: Path | None,
    trace: Path | None,
    chance: Path | None,
    against: Path | None,
) -> None:
    """ConfigError for what cannot be done, before any work."""
    from sr3.model.config import ConfigError
    from sr3.picture.image import WRITABLE

    if model is not None and cascade is not None:
        raise ConfigError("give --model or --cascade, not both")
    if trace is not None and trace.suffix.lower() != ".gif":
        raise ConfigError(f"--trace writes a .gif, and {trace} is none")
    if grid is not None and grid.suffix.lower() not in WRITABLE:
        raise ConfigError(f"cannot write {grid}: its name must end in one of {', '.join(sorted(WRITABLE))}")
    if chance is not None and against is None:
        raise ConfigError("--chance is for --against, which is missing")


def made_by(names: list[str], device: str, precision: str) -> "Cascade":
    """The cascade of models by their names, or of a cascade's file."""
    from sr3.model import cascade as cascades
    from sr3.restore.generate import Cascade

    if len(names) == 1 and (names[0] in cascades.names() or names[0].endswith(".toml")):
        return Cascade.from_toml(names[0], device=device, precision=precision)
    return Cascade.load(*names, device=device, precision=precision)


def _words(text: str) -> list[str]:
    """'a, b' as its words."""
    return [word.strip() for word in text.split(",")]


def _numbers(text: str | None) -> list[int] | None:
    from sr3.model.config import ConfigError

    try:
        return None if text is None else [int(word) for word in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no number of steps; write --steps 18, or --steps 18,8 for two models"
        ) from error


def _plain(name: str) -> str:
    """A model's name as a part of a file's: a file of weights may call itself anything."""
    return re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "picture"


def _note(cascade: "Cascade", settings: "list[Sampling]") -> dict[str, str]:
    """What made the pictures, for their metadata: with the seed, enough to make them again."""
    from sr3 import __version__

    models = [stage.model for stage in cascade.stages]
    return {
        "software": f"sr3 {__version__}",
        "model": cascade.name,
        "pictures_seen": "+".join(str(m.about.get("pictures_seen", "unknown")) for m in models),
        "steps": "+".join(str(how.steps) for how in settings),
        "sampler": "+".join(str(how.sampler["kind"]) for how in settings),
        "spacing": "+".join(how.spacing for how in settings),
        "precision": str(cascade.stages[0].dtype).removeprefix("torch."),
    }


def _write(path: Path, pixels: "Tensor", note: dict[str, str]) -> None:
    from sr3.picture.image import write
    from sr3.picture.picture import Picture

    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Picture(pixels.clamp(-1, 1)), note=note)


def _grid(path: Path, kept: "list[Tensor]", note: dict[str, str]) -> None:
    import torch

    from sr3.restore.generate import grid

    _write(path, grid(torch.cat(kept)), note)


def _frame(walking: "Walking", size: tuple[int, int]) -> "Tensor":
    """Left the walk itself, noise that becomes a picture; right the estimate of x0, which sharpens.  [3, H, 2 W]."""
    import torch

    x, x0 = (part[:1].float().cpu() for part in (walking.step.x, walking.step.x0))
    x = x / max(1.0, float((x.var() + 1e-12).sqrt()))
    return torch.cat([_seen(x[0], size), _seen(x0[0], size)], dim=2)


def _seen(picture: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Enlarged by repetition to the size of the result, and that to about 256 pixels: [3, H, W]."""
    import torch.nn.functional as F

    larger = max(1, 256 // max(size))
    return F.interpolate(picture[None], size=(size[0] * larger, size[1] * larger), mode="nearest")[0].clamp(-1, 1)


def _animate(path: Path, frames: "list[Tensor]", last: "Tensor") -> None:
    import torch

    from sr3.picture.image import to_pil
    from sr3.picture.picture import Picture

    size = (last.shape[-2], last.shape[-1])
    end = torch.cat([_seen(last, size)] * 2, dim=2)
    pictures = [to_pil(Picture(frame)).convert("RGB") for frame in [*frames, end]]
    write_gif(path, pictures, milliseconds=150)


class Like(NamedTuple):
    """What is made is compared with `target`, and beside it `chance` with itself; and what they are called."""

    target: "Tensor"
    chance: "Tensor"
    names: tuple[str, str]


def _like(cascade: "Cascade", against: Path, chance: Path) -> Like:
    """Read before anything is made, lest it be made for nothing."""
    from sr3.cli.common import usable
    from sr3.evaluation.likeness import reduced

    size = cascade.sizes[-1]
    target = reduced(usable([against], 1, None), size)
    other = target if chance == against else reduced(usable([chance], 1, None), size)
    return Like(target, other, (against.name, chance.name))


def _measured(kept: "list[Tensor]", like: Like) -> str:
    import torch

    from sr3.evaluation.likeness import by_chance, distance, sentence

    found = distance(torch.cat(kept), like.target)
    return sentence(found, by_chance(like.chance, found.pictures), like.names)
