"""`sr3 train`: a recipe and a folder in, a model out."""

import json
import math
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.common import bars
from sr3.cli.helps import GIVEN, HOW, MACHINE, RESULT, grouped

if TYPE_CHECKING:
    from accelerate import Accelerator

    from sr3.model.config import Recipe
    from sr3.picture.collection import Pictures
    from sr3.training.board import Board
    from sr3.training.clock import Clock
    from sr3.training.notes import Report
    from sr3.training.run import Run

WARM_UP_STEPS = 100
"""After --begin the rate rises over at least so many steps: Adam knows nothing of the weights yet."""


EXAMPLES = """Examples:

\b
sr3 train photo-4x --data my-photos/ --out runs/mine
sr3 train photo-4x --data my-photos/ --out runs/mine --begin photo-4x    from its weights
sr3 train photo-4x --data my-photos/ --out runs/mine --dry-run           what it takes"""


@grouped(
    {
        GIVEN: "data val val_pictures labels",
        RESULT: "out tracker",
        HOW: "settings begin minutes part_minutes profile dry_run",
        MACHINE: "device",
    }
)
def command(
    recipe: Annotated[str, typer.Argument(help="A recipe's or a cascade's name, or a .toml file.")],
    data: Annotated[list[Path], typer.Option("--data", help="A folder or zip of pictures; may be given again.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the run; an earlier run in it goes on.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: training.batch=8.")
    ] = None,
    begin: Annotated[str | None, typer.Option(help="A model's name or file whose weights to begin from.")] = None,
    val: Annotated[
        list[Path] | None, typer.Option("--val", help="Pictures to measure on, not in --data; may be given again.")
    ] = None,
    val_pictures: Annotated[int, typer.Option(help="Measure on so many of them, the first.", min=1)] = 64,
    minutes: Annotated[
        float | None, typer.Option(help="End in so long, with all that is written; the same command goes on.")
    ] = None,
    part_minutes: Annotated[
        float | None,
        typer.Option(help="Write and measure the averaged weights every so long; 10 with --val, else never.", min=0),
    ] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="Where curves are drawn, by Accelerate: tensorboard, wandb, mlflow …")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A CSV file of name,class, for recipes with classes; else the folders' names.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write what 20 steps are spent on: profile.txt, trace.json.gz.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try a few steps, say what memory and time it takes, stop.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu to keep off the accelerator.")] = None,
) -> None:
    """Train a model on your own pictures.  Stop at any moment; the same command goes on where it stopped."""
    asked = locals()  # what the command line says, and nothing yet of ours
    import time

    import psutil

    from sr3.cli.stages import train_stages
    from sr3.files import held_alone
    from sr3.model.cascade import is_cascade
    from sr3.model.config import ConfigError
    from sr3.picture.collection import load
    from sr3.training.board import Board
    from sr3.training.clock import Clock
    from sr3.training.data import Crops
    from sr3.training.labels import settled
    from sr3.training.plan import check_crop
    from sr3.training.train import make_accelerator

    if is_cascade(recipe):
        return train_stages(command, **asked)
    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"--minutes must be more than 0, not {minutes:g}")
    check_crop(chosen := _recipe(recipe, settings or [], begin, out))
    _check_places(data, val or [], out)
    pictures = load(data, smallest=Crops.smallest(chosen.training.crop, chosen.training.zoom))
    typer.echo(pictures.summary(), err=True)
    chosen, own = settled(chosen, pictures.names, labels)
    if dry_run:
        return _dry_run(chosen, pictures, device)
    out.mkdir(parents=True, exist_ok=True)
    accelerator = make_accelerator(device, trackers=tracker or ["tensorboard"], folder=out)
    with held_alone(out) if accelerator.is_main_process else nullcontext(True) as alone:
        if not alone:
            raise ConfigError(f"another process is training in {out}; give another --out")
        run = _run(chosen, pictures, own, out, accelerator, [p.name for p in data])
        if not accelerator.is_main_process:
            return _help_along(run)
        try:
            board = Board(run, _held_out(run, val, val_pictures, pictures))
            every = part_minutes if part_minutes is not None or not val else 10.0
            _train(run, board, Clock(board, began=began, minutes=minutes, every=every), profile)
        finally:
            accelerator.end_training()


def _check_places(data: list[Path], val: list[Path], out: Path) -> None:
    """ConfigError where a run cannot lie, and where no pictures are."""
    from sr3.model.config import ConfigError

    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out needs a folder")
    if any(path.is_dir() and out.is_dir() and path.samefile(out) for path in (*data, *val)):
        raise ConfigError(
            f"{out} holds the pictures, and a run's samples would lie among them; give --out {out / 'run'}"
        )
    if lost := [path for path in val if not path.exists()]:  # said before other processes wait for this one
        raise ConfigError(f"--val {lost[0]} does not exist; check its name")


def _dry_run(recipe: "Recipe", pictures: "Pictures", device: str | None) -> None:
    """Say what training would take; of several processes the first does."""
    from sr3.training.estimate import estimate, side_of

    rank, world = (int(os.environ.get(name) or default) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    if not rank:
        side = side_of([min(pixels.shape[:2]) for pixels in pictures.pixels])
        typer.echo(estimate(recipe, device, data=round(1e6 * pictures.megapixels), side=side, world=world).text())


def _help_along(run: "Run") -> None:
    """What a process does that is not the first."""
    from sr3.training.train import learn

    try:
        for _ in learn(run):
            pass
    finally:
        run.accelerator.end_training()


def _recipe(name: str, settings: list[str], begin: str | None, out: Path) -> "Recipe":
    """The recipe with what the command line changes in it; a run that began from weights goes on without them too."""
    from sr3.model import recipe as recipes
    from sr3.training.state import warmup

    free = not any(s.strip().startswith("training.warmup") for s in settings)
    if free and (before := warmup(out)) is not None:
        settings = [*settings, f"training.warmup={before}"]
    if begin is None:
        return recipes.load(name, settings)
    settings = [*settings, f"training.begin={json.dumps(begin)}"]
    chosen = recipes.load(name, settings)
    short = WARM_UP_STEPS * chosen.training.batch
    if chosen.training.warmup < short and not any(s.strip().startswith("training.warmup") for s in settings):
        chosen = recipes.load(name, [*settings, f"training.warmup={short}"])
    return chosen


def _run(
    recipe: "Recipe",
    pictures: "Pictures",
    labels: list[int] | None,
    out: Path,
    accelerator: "Accelerator",
    data: list[str],
) -> "Run":
    from sr3.training.data import Crops
    from sr3.training.machine import machine
    from sr3.training.run import Run

    t, device = recipe.training, accelerator.device
    cut: dict[str, Any] = {"turn": t.turn, "zoom": t.zoom, "colour": t.colour, "resample": t.resample}
    crops = Crops(pictures, t.crop, seed=t.seed, device=device, labels=labels, **cut)
    about = {"data": data, "data_pictures": len(pictures), "machine": machine(device)}
    return Run(recipe, crops, out, accelerator, about)


def _held_out(run: "Run", val: list[Path] | None, most: int, learnt: "Pictures") -> "Pictures | None":
    """The first so many pictures of --val; those that are learnt from too are named."""
    from sr3.cli.common import usable
    from sr3.model.config import ConfigError

    if not val:
        return None
    if not run.model.task.channels:
        raise ConfigError("what is made of nothing cannot be compared with an original; leave --val out")
    found = usable(val, run.model.task.factor * 8, most)
    if both := found.also_in(learnt):
        typer.echo(
            f"sr3: {len(both)} of the {len(found)} pictures of --val are learnt from too, "
            f"{both[0][0]} as {both[0][1]}; "
            "the curve tells nothing of others",
            err=True,
        )
    return found


def _train(run: "Run", board: "Board", clock: "Clock", profile: bool) -> None:
    """The run to its end or to that of the minutes, on the terminal."""
    from sr3.training.machine import Profile, machine
    from sr3.training.train import learn

    length = run.recipe.training.pictures
    if run.seen:
        typer.echo(f"going on after {run.seen:,} pictures", err=True)
    if board.changed:
        typer.echo(f"sr3: {board.changed}", err=True)
    how = run.problem or ("compiled" if run.recipe.training.compile else "not compiled")
    typer.echo(
        f"{machine(run.device)}: {board.peak / 1e12:.3g} TFLOP/s in a matrix product of {run.precision}; "
        f"{board.flops / 1e9:.3g} GFLOP a picture, forward and backward; {how}",
        err=True,
    )
    profiled = Profile(run.device, run.folder) if profile else None
    try:
        with bars() as shown:
            say = lambda line: shown.console.print(line, highlight=False)  # noqa: E731
            if board.val is not None and not clock.spares():
                board.measuring = False
                say(f"--val is not measured in these minutes: that takes about {board.measure_seconds:.0f} s each time")
            if board.measures and not board.points:
                say(_measured(board))
            if clock.deadline < math.inf and not run.saves:
                run.save()  # also tells how long that takes
            bar = shown.add_task("pictures seen", total=length, completed=run.seen)
            running = learn(run, stop=clock.over, tell=clock.part_due, after=profiled or (lambda: None))
            try:
                for report in running:
                    shown.update(bar, completed=report.seen)
                    say(_line(report, board, clock))
                    clock.add(report)
                    board.add(report)
                    if clock.part_due() and report.seen < length:
                        run.write_part()
                        if board.measures:
                            say(_measured(board))
                        clock.start_part()
            finally:
                running.close()
            if board.measures and not board.measured:
                say(_measured(board))
                run.write_model()
    except KeyboardInterrupt:
        typer.echo(f"{run.folder}: {run.saved:,} of {length:,} pictures seen; the same command goes on", err=True)
        raise
    finally:
        if profiled is not None:
            profiled.close()
            typer.echo(profiled.text or "too few steps to profile", err=True)
    for sentence in (board.keep_best(), *board.plot()):
        if sentence:
            typer.echo(sentence)
    made = run.folder / "model.safetensors"
    if run.seen < length:
        typer.echo(f"{made} is of {run.seen:,} of {length:,} pictures; the same command goes on")
    else:
        typer.echo(f"{made} is ready: sr3 {run.model.task.command} --model {made}")


def _line(report: "Report", board: "Board", clock: "Clock") -> str:
    """One report for the terminal, of 80 columns."""
    left, fits = board.run.recipe.training.pictures - report.seen, clock.fits(report)
    speed = f"{report.speed:.0f}" if report.speed >= 100 else f"{report.speed:.3g}"
    return (
        f"{report.seen} seen  loss {report.loss:.3g}  grad {report.gradient:.3g}  rate {report.rate:.2g}  "
        f"{speed}/s  {board.share(report):.1%} peak  wait {report.waiting:.0%}"
        + (f"\n    skipped {report.skipped}: their loss was not finite" if report.skipped else "")
        + (f"\n    of {left:,} to come, about {fits:,.0f} fit into the minutes" if fits < left else "")
    )


def _measured(board: "Board") -> str:
    """Measure, and say what was found, in 80 columns; the curve's file has it all."""
    point = board.measure()
    named = {"error": "error {:.3f}", "psnr": "PSNR {:.2f}", "swd": "SWD {:.1f}", "consistency": "cons. {:.2f}"}
    named |= {"consistency_free": "free {:.2f}"}
    told = "  ".join(form.format(point["measures"][name]) for name, form in named.items() if name in point["measures"])
    return f"{point['seen']} seen  {told}  ({point['seconds']:.0f} s)"
