"""What every command that restores pictures is told, in one place: its options, in groups."""

from collections.abc import Callable, Mapping
from inspect import Signature, signature
from pathlib import Path
from types import EllipsisType
from typing import Annotated, Any, NamedTuple

import typer

from sr3.cli.common import a_third, parse_memory
from sr3.cli.complete import devices, models
from sr3.cli.helps import GIVEN, HOW, MACHINE, MANY, RESULT
from sr3.cli.places import parse_place

LEAST_TILE = 64
"""Pixels: networks look at up to 100 around each tile, so that of smaller ones nearly all is computed over again."""


def parse_tile(tile: int | None) -> int | None:
    """What --tile takes.  ConfigError for what is too small."""
    if tile is not None and tile < LEAST_TILE:
        from sr3.model.config import ConfigError

        raise ConfigError(
            f"a tile of {tile} pixels is too small, as the network looks at more than that around it; give at least "
            f"{LEAST_TILE}"
        )
    return tile


def _one_of_them(context: typer.Context, value: Any) -> Any:
    """ConfigError where both --free and --fidelity are said."""
    told = (context.get_parameter_source(name) for name in ("free", "fidelity"))  # None: not looked at yet
    if all(source is not None and source.name == "COMMANDLINE" for source in told):
        from sr3.model.config import ConfigError

        raise ConfigError("--free is --fidelity 0; give one of them")
    return value


Free = Annotated[
    bool,
    typer.Option("--free", callback=_one_of_them, help="Do not hold the result to what is given.", rich_help_panel=HOW),
]
Fidelity = Annotated[
    float,
    typer.Option(
        min=0, max=1, callback=_one_of_them, help="How far to hold it: 1 fully, 0 as --free.", rich_help_panel=HOW
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A picture of the same size: white is made, black is kept.",
        rich_help_panel=GIVEN,
    ),
]
Lenient = Annotated[
    bool,
    typer.Option(
        "--lenient",
        help="Of damaged pictures take what can be read; the rest is grey or empty.",
        rich_help_panel=RESULT,
    ),
]
"""Options that some of them have."""


class Run(NamedTuple):
    """The options that all of them have, in the order of `--help`; `options` makes a command of them."""

    inputs: Annotated[list[Path], typer.Argument(metavar="IN…", help="Pictures, or folders of pictures.")]
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A model's name, file or Hub id.", rich_help_panel=HOW, autocompletion=models
        ),
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=parse_place,
            metavar="PATH",
            help="The file or folder to write.  Default: beside the input.",
            rich_help_panel=RESULT,
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help='Results\' names, as "{stem}-{scale}x".', rich_help_panel=RESULT),
    ] = None
    format: Annotated[
        str | None, typer.Option(help="png, jpg, webp, tif, avif; default: the picture's.", rich_help_panel=RESULT)
    ] = None
    output_quality: Annotated[
        int, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF files.", rich_help_panel=RESULT)
    ] = 95
    strip_location: Annotated[
        bool, typer.Option("--strip-location", help="Leave out where it was taken.", rich_help_panel=RESULT)
    ] = False
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.", rich_help_panel=RESULT)] = False
    samples: Annotated[
        int, typer.Option(min=1, help="Variants to make; also writes their mean and spread.", rich_help_panel=RESULT)
    ] = 1
    trace: Annotated[
        Path | None,
        typer.Option(metavar="GIF", help="Also write the refinement as an animation.", rich_help_panel=RESULT),
    ] = None
    steps: Annotated[
        int | None, typer.Option(help="Refinement steps: more is slower and finer.", rich_help_panel=HOW)
    ] = None
    sampler: Annotated[
        str | None, typer.Option(help="ancestral, ddim, heun, dpmpp …; default: the model's.", rich_help_panel=HOW)
    ] = None
    spacing: Annotated[
        str | None, typer.Option(help="How the steps are spaced: logsnr, karras, t.", rich_help_panel=HOW)
    ] = None
    quality: Annotated[
        str | None,
        typer.Option(
            help="fast, balanced or best, as sr3 tune found for the model; the same with one of one step.",
            rich_help_panel=HOW,
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.", rich_help_panel=HOW)] = 0
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, mps.", rich_help_panel=MACHINE, autocompletion=devices)
    ] = "auto"
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.", rich_help_panel=MACHINE)] = "auto"
    tile: Annotated[
        int | None,
        typer.Option(
            callback=parse_tile,
            help="Pixels a side computed at once, 64 or more; smaller needs less memory.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What it may take, as 2GB, by bands or smaller tiles.  Default: a third of what is free.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    jobs: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Small pictures read and written beside the network, and it.", rich_help_panel=MACHINE
        ),
    ] = 3
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave results that are there and were made in this way.  Several "
            "processes with it may share one folder.",
            rich_help_panel=MANY,
        ),
    ] = False
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="Only the K-th of N parts of the pictures.", rich_help_panel=MANY)
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what failed.", rich_help_panel=MANY)] = False
    json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each picture, on standard output.", rich_help_panel=MANY)
    ] = False
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add these lines to a file.", rich_help_panel=MANY)
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """How the model is to be sampled."""
        return {"steps": self.steps, "sampler": self.sampler, "spacing": self.spacing, "quality": self.quality}

    @property
    def allowed(self) -> int | None:
        """Bytes that the process may take: what was said, or a third of what is free; None where nobody knows.

        typer.BadParameter where what was said is no amount.
        """
        return parse_memory(self.memory) or a_third()

    @property
    def told(self) -> dict[str, str]:
        """What else makes a result's file what it is, for its note."""
        location = {"location": "left out"} if self.strip_location else {}
        return location | ({"output_quality": str(self.output_quality)} if self.output_quality != 95 else {})


def options(
    model: str | EllipsisType | None = ..., /, **helps: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command of a `Run` and of options of its own, as Typer reads commands: with all of them as parameters.

    model: the command's usual one; ...: it must be named.  helps: other words for some of the shared options.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        shared = {p.name: p for p in signature(Run).parameters.values()}
        if model is not ...:
            shared["model"] = shared["model"].replace(default=model)
        own = list(signature(command).parameters.values())[1:]
        given = [p.replace(kind=p.KEYWORD_ONLY) for p in (*_retold(shared, helps).values(), *own)]

        def called(**told: Any) -> None:
            command(Run(**{name: told.pop(name) for name in shared}), **told)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = Signature(given)  # pyright: ignore[reportFunctionMemberAccess]
        called.__annotations__ = {p.name: p.annotation for p in given}
        return called

    return decorated


def _retold(shared: Mapping[str, Any], helps: Mapping[str, str]) -> dict[str, Any]:
    from copy import copy

    found = dict(shared)
    for name, text in helps.items():
        kind, how = found[name].annotation.__origin__, copy(found[name].annotation.__metadata__[0])
        how.help = text
        found[name] = found[name].replace(annotation=Annotated[kind, how])
    return found
