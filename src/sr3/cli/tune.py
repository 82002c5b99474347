"""`sr3 tune`: search the way of sampling that serves a model best, and write it into the model's file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr3.cli.clock import spoken
from sr3.cli.common import Force, bars, held_out, regression_for
from sr3.cli.helps import GIVEN, MACHINE, MEASURED, RESULT, grouped
from sr3.cli.jobs import check_free
from sr3.cli.pipes import PIPE, write_json

if TYPE_CHECKING:
    import torch

    from sr3.evaluation.criterion import Criterion
    from sr3.evaluation.tune import Tuned
    from sr3.model.model import Model
    from sr3.picture.collection import Pictures
    from sr3.restore.restorer import Restorer


EXAMPLES = """Example:

\b
sr3 tune runs/mine/model.safetensors --data held-out/ --steps 2,4,8,16,32"""

LEAST = 16
"""Pictures; from fewer the choice would be chance."""


@grouped(
    {
        GIVEN: "data limit task",
        RESULT: "out plot json_file",
        MEASURED: "steps by betas features regression within seed",
        MACHINE: "device precision",
    }
)
def command(
    model: Annotated[str, typer.Argument(help="A model's name or file.")],
    data: Annotated[list[Path], typer.Option("--data", help="Held-out pictures of one size; may be given again.")],
    steps: Annotated[str, typer.Option(help="Network evaluations to tune for, as 2,4,8,16,32.")] = "2,4,8,16,32",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The tuned model's file; by default the model's own file.")
    ] = None,
    regression: Annotated[str | None, typer.Option(help="The regression model that --within is measured from.")] = None,
    by: Annotated[
        str, typer.Option("--criterion", help="eye, swd, frechet, or auto: eye where its network is installed.")
    ] = "auto",
    betas: Annotated[
        int | None,
        typer.Option(min=2, help="Search betas, as the paper does: so many schedules for each number of steps."),
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="The network of --criterion frechet, as in sr3 evaluate. It is run.")
    ] = None,
    within: Annotated[
        float | None, typer.Option(help="Keep PSNR within so many dB of the regression's.", min=0)
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of the task, as in sr3 evaluate.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=16, help="Use only the first so many pictures.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the noise, the same in every trial.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Plot quality against steps: .png, .svg or .pdf.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every trial as JSON; -: a pipe.")] = None,
    force: Force = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
) -> None:
    """Find the sampler, spacing and levels that serve a model best at each number of steps.

    Judged on held-out pictures by kernel and feature distance and by consistency where the extra `eye` is installed,
    else by the sliced Wasserstein distance and by consistency, never by PSNR alone.  The result goes
    into the model's file, where `sr3 upscale --quality fast|balanced|best` finds it.
    """
    import json

    from sr3.evaluation.betas import tune_betas
    from sr3.evaluation.tune import Searching, Tuned, tune
    from sr3.model.model import Model
    from sr3.restore.restorer import Restorer

    budgets = _checked(steps, plot)
    check_free(_files(out, model, json_file, plot), [Path(model), *data], force=force)
    loaded = Model.from_pretrained(model)
    out = _own_file(model) if out is None else out
    restorer = Restorer(loaded, device=device, precision=precision)
    other = regression_for(restorer, regression, task or [])
    pictures = held_out(data, loaded, limit)
    _enough(len(pictures))
    judged = _criterion("frechet" if betas and by == "auto" else by, restorer.device, features)
    _say_ahead(restorer, pictures, budgets, betas)
    found: Tuned | None = None
    with bars() as shown:
        bar = shown.add_task("tuning", total=None)
        how: dict[str, Any] = dict(budgets=budgets, regression=other, within=within, seed=seed, criterion=judged)
        for step in tune_betas(restorer, pictures, trials=betas, **how) if betas else tune(restorer, pictures, **how):
            if isinstance(step, Searching):
                shown.update(bar, completed=step.done, description=f"{step.steps} steps")
                shown.console.print(_line(step.trial.as_dict()), highlight=False)
            else:
                found = step
    assert found is not None
    record = {
        "data": [p.name for p in data],
        "pictures": len(pictures),
        "seed": seed,
        "within": within,
        "criterion": judged.said,
        **({"task": task} if task else {}),
        "best": {str(budget): trial.as_dict() for budget, trial in found.best.items()},
    }
    _keep(loaded, found, out, record)
    _say(found, err=json_file == PIPE)
    if json_file is not None:
        write_json(json_file, json.dumps({**record, "trials": [t.as_dict() for t in found.trials]}, indent=2) + "\n")
    _plot(found, plot, f"{loaded.config.name}: quality against steps")


def _say_ahead(restorer: "Restorer", pictures: "Pictures", budgets: list[int], betas: int | None) -> None:
    """What the search will take, before it begins."""
    from sr3.evaluation.tune import ahead

    if min(budgets) < 1:
        return  # the search says what is wrong with it
    trials, seconds = ahead(restorer, pictures, budgets, betas)
    walks = f", whose walks take about {spoken(seconds)}, and then their measures" if seconds == seconds else ""
    typer.echo(f"about {trials} trials{walks}", err=True)


def _files(out: Path | None, model: str, json_file: Path | None, plot: Path | None) -> list[tuple[Path | None, str]]:
    """What is written, but for the model's own file, which is there, and is to be written anew."""
    own = out is None or (out.exists() and os.path.exists(model) and out.samefile(model))
    return [(None if own else out, "--out"), (json_file, "--json"), (plot, "--plot")]


def _own_file(model: str) -> Path:
    """The model's own file, to be written anew; ConfigError where that is the package's, or on the Hub."""
    from sr3.model.config import ConfigError
    from sr3.model.shipped import names

    if model in names() or not Path(model).is_file():
        raise ConfigError(f"{model} is no file of yours; give --out for the tuned model")
    return Path(model)


def _criterion(name: str, device: "torch.device", features: str | None) -> "Criterion":
    from sr3.evaluation.criterion import criterion

    found = criterion(name, device, features)
    if found.note:
        typer.echo(f"sr3: {found.note}", err=True)
    return found


def _keep(loaded: "Model", found: "Tuned", out: Path, record: dict[str, Any]) -> None:
    """Write the tuned model's file."""
    from sr3.model import checkpoint

    config = loaded.config.model_copy(update={"quality": found.quality, "sampling": found.quality["balanced"]})
    weights = {name: t.float().cpu() for name, t in loaded.tensors().items()}
    half = checkpoint.is_half(weights)  # those of other programs stay in fp32
    checkpoint.save(out, config, weights, {**loaded.about, "tuned": record}, half=half)


def _checked(steps: str, plot: Path | None) -> list[int]:
    """'2,4,8' as [2, 4, 8]; what cannot be done is said before any work."""
    from sr3.model.config import ConfigError

    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"cannot plot to {plot}: its name must end in .png, .svg or .pdf")
    try:
        return [int(part) for part in steps.split(",")]
    except ValueError as error:
        raise ConfigError(f"{steps!r} is no list of numbers; write --steps 2,4,8,16,32") from error


def _enough(count: int) -> None:
    """ConfigError for too few pictures."""
    from sr3.model.config import ConfigError

    if count < LEAST:
        raise ConfigError(
            f"{count} pictures are too few to choose by, as another {count} would choose otherwise; "
            f"give at least {LEAST}"
        )


def _say(found: "Tuned", *, err: bool) -> None:
    for budget in sorted(found.best):
        typer.echo(_line(found.best[budget].as_dict()), err=err)
    for name, settings in found.quality.items():
        typer.echo(f"{name}: {settings.model_dump(mode='json', exclude_none=True)}", err=err)


def _plot(found: "Tuned", path: Path | None, title: str) -> None:
    if path is None:
        return
    from sr3.evaluation.tune import plot
    from sr3.files import replacing

    with replacing(path) as temporary:
        plot(found, temporary, title)


def _line(trial: dict[str, object]) -> str:
    settings = trial["settings"]
    assert isinstance(settings, dict)
    how = " ".join(f"{k}={v}" for k, v in settings.items() if k != "steps")
    if "lost" in trial:
        return f"{trial['evaluations']:>4} evaluations  {trial['lost']} pictures are not finite, even in fp32  {how}"
    mark = "" if trial["fits"] else "  PSNR too low"
    eye = f"kernel {trial['kernel']:.4f}  feature {trial['feature']:.4f}  " if "kernel" in trial else ""
    return (
        f"{trial['evaluations']:>4} evaluations  score {trial['score']:7.3f}  {eye}SWD {trial['swd']:7.2f}  "
        f"cons. free {trial['consistency_free']:5.2f}  PSNR {trial['psnr']:5.2f}  {how}{mark}"
    )
