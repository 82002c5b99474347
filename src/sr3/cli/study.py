"""`sr3 study`: people say which picture is the photograph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import Force, bars, held_out, load_restorer, regression_for
from sr3.cli.helps import GIVEN, MACHINE, MEASURED, PAGE, RESULT, grouped
from sr3.cli.jobs import check_free

if TYPE_CHECKING:
    from sr3.evaluation.study import Study, Task


EXAMPLES = """Examples:

\b
sr3 study pairs --make --data originals --model photo-4x --limit 100    make the pairs
sr3 study pairs --limit 50                                              ask
sr3 study pairs --summary --json figures.json                           how often people were fooled"""


@grouped(
    {
        GIVEN: "make data model regression",
        RESULT: "answers summary json_file",
        MEASURED: "rater task seconds limit seed",
        PAGE: "enlarge port host no_open",
        MACHINE: "device",
    }
)
def command(
    pairs: Annotated[Path, typer.Argument(help="A folder with original/, given/ (optional) and one for each method.")],
    rater: Annotated[str | None, typer.Option(help="Who answers; otherwise the page asks.")] = None,
    answers: Annotated[Path | None, typer.Option(help="The file of answers; PAIRS/answers.jsonl by default.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="shown (with the picture given), hidden, or both; both where PAIRS has given/.  With --make: "
            "KEY=VALUE, a setting of the model's task, as in sr3 evaluate.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=60, help="How long the pictures are shown.")] = 3.0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Trials per rater and task; with --make: the first so many pictures.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of the trials; with --make: of the samples.")] = 0,
    enlarge: Annotated[
        int,
        typer.Option(min=0, max=32, help="Screen pixels for one of the picture's; 0: as many as there is room for."),
    ] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: any that is free.")] = 8008,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in the network take part.")] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in a browser.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Print the fool rates instead.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="With --summary: also write it as JSON.")] = None,
    force: Force = False,
    make: Annotated[bool, typer.Option("--make", help="Make PAIRS by a model instead, from --data.")] = False,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="With --make: a folder or zip of originals; may be given again.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="With --make: a name, file or Hub id.")] = None,
    regression: Annotated[str | None, typer.Option(help="With --make: the regression model beside it.")] = None,
    device: Annotated[str, typer.Option(help="With --make: auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Ask people which of two pictures is the photograph, and say how often a method fooled them."""
    from sr3.model.config import ConfigError

    if make and summary:
        raise ConfigError("give --make or --summary, not both")
    if json_file is not None and not summary:
        raise ConfigError("--json goes with --summary")
    if not make and (data or model or regression):
        raise ConfigError("--data, --model and --regression go with --make")
    if make:
        if not data or not model:
            raise ConfigError("--make needs --data and --model")
        _make(pairs, data, model, regression, task or [], limit, seed, device)
        return
    path = answers or pairs / "answers.jsonl"
    if summary:
        check_free([(json_file, "--json")], [path], force=force)
        _summary(path, json_file)
        return
    from sr3.evaluation.study import Study, read_pairs

    found = read_pairs(pairs)
    tasks = _tasks(task, found.has_given)
    study = Study(found, path, tasks, limit, seed)
    for notice in study.notices:
        typer.echo(f"sr3: {notice}", err=True)
    _serve(study, rater, seconds, enlarge, host, port, no_open)


def _tasks(asked: list[str] | None, has_given: bool) -> "tuple[Task, ...]":
    from sr3.model.config import ConfigError, nearest

    known: dict[str, tuple[Task, ...]] = {"both": ("shown", "hidden"), "shown": ("shown",), "hidden": ("hidden",)}
    if not asked:
        return known["both" if has_given else "hidden"]
    if len(asked) > 1 or "=" in asked[0]:
        raise ConfigError("--task is shown, hidden or both; settings of a model's task go with --make")
    if asked[0] not in known:
        raise ConfigError(f"there is no task {asked[0]!r}{nearest(asked[0], list(known))}")
    return known[asked[0]]


def _serve(
    study: "Study", rater: str | None, seconds: float, enlarge: int, host: str, port: int, no_open: bool
) -> None:
    from sr3.cli.web import open_soon
    from sr3.web.serving import address, listen, names_of, serve
    from sr3.web.study import Desk, application

    desk = Desk(study, seconds=seconds, rater=rater, enlarge=enlarge)
    where = listen(host, port)
    page = address(host, where)
    pairs = study.pairs
    typer.echo(
        f"{len(pairs.names)} pictures by {', '.join(pairs.methods)}; {len(study.plan(''))} trials per rater, "
        f"picture given {' and '.join(study.tasks)}; answers go to {study.path}"
    )
    typer.echo(f"{page}  (Ctrl-C ends)")
    if not no_open:
        open_soon(page)
    try:
        serve(application(desk, names_of(host)), where)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the answers are in {study.path}" if study.path.exists() else "stopped; nobody answered")


def _summary(path: Path, json_file: Path | None) -> None:
    import json

    from sr3.evaluation.study import read_answers, summary
    from sr3.files import write_text
    from sr3.model.config import ConfigError

    found, notices = read_answers(path)
    for notice in notices:
        typer.echo(f"sr3: {notice}", err=True)
    if not found:
        raise ConfigError(f"there are no answers in {path} yet")
    figures = summary(found)
    typer.echo(table(figures))
    if json_file is not None:
        write_text(json_file, json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def table(figures: dict[str, Any]) -> str:
    """The summary as text: one line for each task and method."""
    said = figures["protocol"]
    lines = [f"trials: {said['trials']}; raters: {said['raters']}", f"interval: {said['interval']}", ""]
    head = ["task", "method", "fool rate", "95 % interval", "trials", "raters", "pictures", "raters from … to"]
    cells = [head]
    for row in figures["rows"]:
        each = row["by_rater"].values()
        cells.append(
            [
                row["task"],
                row["method"],
                f"{row['rate']:.1%}",
                f"{row['low']:.1%} … {row['high']:.1%}",
                *(str(row[name]) for name in ("trials", "raters", "pictures")),
                f"{min(each):.0%} … {max(each):.0%}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        left = [f"{cell:{width}}" for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right))
    return "\n".join(lines)


def _make(
    folder: Path,
    data: list[Path],
    model: str,
    regression: str | None,
    task: list[str],
    limit: int | None,
    seed: int,
    device: str,
) -> None:
    from sr3.evaluation.study import make_pairs

    restorer = load_restorer(model, device=device)
    other = regression_for(restorer, regression, task)
    pictures = held_out(data, restorer.model, limit, 0)
    with bars() as shown:
        bar = shown.add_task("making pairs", total=len(pictures))
        for _ in make_pairs(restorer, other, pictures, folder, seed):
            shown.advance(bar)
    typer.echo(f"{len(pictures)} pairs are in {folder}; ask with: sr3 study {folder}")
