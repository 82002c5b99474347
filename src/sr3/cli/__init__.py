"""The command line: `sr3 upscale`, `generate`, `train`, `evaluate`, `tune`, `compare`, `study`, `models`, `export` …

Only this package prints and exits.  Heavy imports stay inside the commands, so that `--help` answers at once.
"""

import os
import sys
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
from sr3.interrupt import swift, terminate_as_interrupt

app = typer.Typer(
    name="sr3",
    help="Enlarge and restore pictures by iterative refinement.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("upscale")(upscale.command)
app.command("demo")(demo.command)
app.command("models")(models.list_command)
app.command("show")(models.show_command)
app.command("evaluate")(evaluate.command)
app.command("compare")(compare.command)
app.command("dejpeg")(palette.dejpeg)
app.command("colorize")(palette.colorize)
app.command("inpaint")(palette.inpaint)
app.command("uncrop")(palette.uncrop)
app.command("restore")(palette.restore)
app.command("generate")(generate.command)
app.command("study")(study.command)
app.command("web")(web.command)
app.command("train")(train.command)
app.command("tune")(tune.command)
app.command("export")(export.command)
app.command("import")(import_.command)


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


def main() -> None:
    """Run the command line.

    Bad use exits with 2, failure with 1, Ctrl-C and SIGTERM with 130; each says one sentence.
    """
    terminate_as_interrupt()
    try:
        app()
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of KeyboardInterrupt, without a word
            print(_STOPPED, file=sys.stderr)
        raise
    except Exception as error:
        from sr3.restore.fault import code_and_sentence

        found = code_and_sentence(error)
        if found is None:
            raise
        code, sentence = found
        print(f"sr3: {sentence}", file=sys.stderr)
        sys.exit(code)
