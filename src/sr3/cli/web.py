"""`sr3 web`: the page in a browser, and the HTTP interface under it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.run import parse_tile

if TYPE_CHECKING:
    from sr3.web.study import Desk


def command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8008,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in, which must know the token.")] = "127.0.0.1",
    folder: Annotated[
        Path | None, typer.Option(help="Where jobs and results are kept.  Default: in the user's cache.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A file or Hub id to offer too; may be given again.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="auto, cpu, cuda:0 …; may be given again, and each does a job at a time.")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    tile: Annotated[int | None, typer.Option(callback=parse_tile, help="Pixels a side computed at once.")] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SR3_TOKEN", help="What requests must know; made anew where others may connect."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Another name that the server answers to, as behind a proxy.")
    ] = None,
    upload: Annotated[int, typer.Option(min=1, help="Megabytes that a request may bring.")] = 120,
    pixels: Annotated[float, typer.Option(min=0.01, help="Megapixels that a picture may have.")] = 100,
    made: Annotated[float, typer.Option(min=0.01, help="Megapixels that are made at most.")] = 64,
    queue: Annotated[int, typer.Option(min=1, help="Jobs that may wait.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds that a job may run.")] = 3600,
    hours: Annotated[float, typer.Option(min=0.01, help="Hours that a finished job is kept.")] = 24,
    disk: Annotated[float, typer.Option(min=0.01, help="Gigabytes that all jobs may take together.")] = 10,
    memory: Annotated[
        float, typer.Option(min=0.5, help="Gigabytes that it may take; larger results are made by bands or refused.")
    ] = 2,
    study: Annotated[Path | None, typer.Option(metavar="PAIRS", help="Also ask a study, at /study/.")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in a browser.")] = False,
) -> None:
    """Serve the page that restores pictures, and the HTTP interface under it; docs/serving.md has all about it."""
    import math
    import secrets

    from sr3.web.app import application
    from sr3.web.catalogue import Catalogue
    from sr3.web.guard import LOOPBACK
    from sr3.web.limits import Limits
    from sr3.web.queue import Queue
    from sr3.web.serving import address, default_folder, listen, names_of, serve
    from sr3.web.work import Bench

    bounds = {"--pixels": pixels, "--made": made, "--seconds": seconds, "--hours": hours, "--disk": disk}
    for option, bound in (bounds | {"--memory": memory}).items():
        if not math.isfinite(bound):
            raise typer.BadParameter(f"{option} is a number; for no bound to speak of give a large one")
    limits = Limits(
        upload=upload * 10**6,
        pixels=round(pixels * 1e6),
        made=round(made * 1e6),
        queue=queue,
        seconds=seconds,
        hours=hours,
        disk=round(disk * 1e9),
        memory=round(memory * 1e9),
    )
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise typer.BadParameter("a token is of letters, digits and signs of ASCII: no other can be sent in a header")
    token = token or (None if names_of(host) == LOOPBACK else secrets.token_urlsafe(24))
    benches = [Bench(each, precision, tile, limits.memory) for each in device or ["auto"]]
    jobs = Queue(folder or default_folder(), Catalogue(model or []), benches, limits)
    where = listen(host, port)
    page = address(host, where, token)
    app = application(
        jobs, hosts=[*names_of(host), *(each.lower() for each in name or [])], token=token, desk=_desk(study)
    )
    typer.echo(f"{page}  (Ctrl-C ends)")
    if names_of(host) != LOOPBACK:
        typer.echo("from other machines: the same, with this one's name or address")
    if not no_open:
        open_soon(page)
    try:
        serve(app, where)
    except KeyboardInterrupt:
        typer.echo(f"stopped; jobs and results are in {jobs.folder}")


def _desk(pairs: Path | None) -> "Desk | None":
    if pairs is None:
        return None
    from sr3.evaluation.study import Study, read_pairs
    from sr3.web.study import Desk

    found = read_pairs(pairs)
    return Desk(Study(found, pairs / "answers.jsonl", ("shown", "hidden") if found.has_given else ("hidden",)))


def open_soon(address: str) -> None:
    """Open an address in the browser; its socket listens already, so that the page loads as soon as the server runs."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
