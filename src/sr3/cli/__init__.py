"""The command line: `sr3 upscale`, `generate`, `train`, `evaluate`, `tune`, `compare`, `study`, `models`, `export` …

Only this package prints and exits.  Heavy imports stay inside the commands, so that `--help` answers at once.
"""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from sr3 import __version__
from sr3.cli import (
    compare,
    demo,
    evaluate,
    export,
    generate,
    import_,
    models,
    palette,
    study,
    train,
    tune,
    upscale,
    web,
)
from sr3.cli.helps import Grouped, GroupedCommands
from sr3.interrupt import swift, terminate_as_interrupt

EXAMPLES = """Examples:

\b
sr3 demo                          four photographs, and how well they are restored
sr3 upscale photo.jpg             photo-4x.jpg, four times larger
sr3 upscale photos/ -o larger/    a folder, its tree kept
sr3 dejpeg photo.jpg              photo-restored.png
sr3 train photo-4x --data my-photos/ --out runs/mine
sr3 evaluate --data held-out/ --model runs/mine/model.safetensors"""

app = typer.Typer(
    name="sr3",
    cls=GroupedCommands,
    help="Enlarge and restore pictures by iterative refinement.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
PICTURES, MODELS, MEASURES = "Pictures", "Models", "Measures"


def _add(name: str, command: Callable[..., None], group: str, examples: str | None = None) -> None:
    app.command(name, cls=Grouped, epilog=examples, rich_help_panel=group)(command)


_add("upscale", upscale.command, PICTURES, upscale.EXAMPLES)
_add("dejpeg", palette.dejpeg, PICTURES, "Example: sr3 dejpeg photo.jpg")
_add("colorize", palette.colorize, PICTURES, "Example: sr3 colorize old.png")
_add("inpaint", palette.inpaint, PICTURES, "Example: sr3 inpaint photo.png --mask hole.png")
_add("uncrop", palette.uncrop, PICTURES, "Example: sr3 uncrop photo.png --right 64")
_add(
    "restore", palette.restore, PICTURES, "Example: sr3 restore noisy.png --model runs/photo-denoise/model.safetensors"
)
_add("generate", generate.command, PICTURES, generate.EXAMPLES)
_add("demo", demo.command, PICTURES, demo.EXAMPLES)
_add("web", web.command, PICTURES, "Example: sr3 web")
_add("models", models.list_command, MODELS)
_add("show", models.show_command, MODELS, "Example: sr3 show photo-4x")
_add("recipes", models.recipes_command, MODELS)
_add("train", train.command, MODELS, train.EXAMPLES)
_add("export", export.command, MODELS, "Example: sr3 export photo-4x-regression --to onnx")
_add("import", import_.command, MODELS, "Example: sr3 import FILE.pth --from janspiry-sr3")
_add("evaluate", evaluate.command, MEASURES, evaluate.EXAMPLES)
_add("compare", compare.command, MEASURES, compare.EXAMPLES)
_add("tune", tune.command, MEASURES, tune.EXAMPLES)
_add("study", study.command, MEASURES, study.EXAMPLES)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sr3 {__version__}")
        raise typer.Exit


_STOPPED = "sr3: stopped; nothing half-written is left"
_SLOW_TO_END = ("train", "study", "web")
"""Commands that finish and save what they are at."""


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Enlarge and restore pictures by iterative refinement."""
    if context.invoked_subcommand not in _SLOW_TO_END:
        context.with_resource(swift(_leave))


def _leave() -> None:
    from sr3.files import drop_temporary

    drop_temporary()
    # the main thread may hold the lock of sys.stderr for good, and nobody need be left to read
    with suppress(OSError):
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a bar had hidden
        os.write(2, f"{show_cursor}{_STOPPED}\n".encode())
    os._exit(130)


def _stopped() -> None:
    from sr3.files import drop_temporary

    drop_temporary()  # and the claims of pictures that were made ready before their turn
    print(_STOPPED, file=sys.stderr)


def main() -> None:
    """Run the command line.

    Bad use exits with 2, failure with 1, Ctrl-C and SIGTERM with 130; each says one sentence.
    """
    terminate_as_interrupt()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console of few letters shows ? for what it has not
            stream.reconfigure(errors="replace")
    try:
        app()
    except KeyboardInterrupt:
        _stopped()
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of KeyboardInterrupt, without a word
            _stopped()
        raise
    except Exception as error:
        from sr3.restore.fault import code_and_sentence

        found = code_and_sentence(error)
        if found is None:
            raise
        code, sentence = found
        print(f"sr3: {sentence}", file=sys.stderr)
        sys.exit(code)
