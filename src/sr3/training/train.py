"""Training.  `train` is a generator of reports; the loop, the bar and the stop button belong to whoever iterates."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch.cuda import set_device

from sr3.interrupt import held
from sr3.model.config import ConfigError, Recipe
from sr3.model.device import pick_device
from sr3.training.data import Crops
from sr3.training.machine import Ahead
from sr3.training.notes import Report
from sr3.training.run import PATIENCE, Run

WAITING = timedelta(days=1)
"""After which a process that waits for another ends the run."""


def make_accelerator(
    device: str | None = None, *, trackers: Sequence[str] = (), folder: Path | None = None
) -> Accelerator:
    """Accelerate's view of the machine: its devices, its processes, and where curves are drawn.

    device: "cpu" to keep off the accelerator, or one of several, as "cuda:1"; ConfigError where it is not there.
    trackers: of Accelerate's, by their names ("tensorboard", "wandb" …); folder: where those that write files do.
    Precision stays ours, as one process may train more than one recipe and Accelerate's cannot be changed.
    """
    asked = None if device in (None, "auto") else pick_device(device)
    if asked is not None and asked.type == "cuda" and ":" in str(device):
        set_device(asked)  # which Accelerate then takes
    if dist.is_available():
        # Its functions keep the group of processes that there is when they are first imported, here by PyTorch itself.
        # A group that is kept outlives `end_training`, and its threads abort the interpreter as that ends.
        import torch.distributed.nn.functional  # noqa: F401  # pyright: ignore[reportUnusedImport]
    try:
        # the others wait while the first measures held-out pictures, which may take longer than the usual half an hour
        patient = InitProcessGroupKwargs(timeout=WAITING)
        made = Accelerator(
            cpu=asked is not None and asked.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=folder,
            kwargs_handlers=[patient],
        )
    except ValueError as error:
        if not trackers:
            raise
        raise ConfigError(f"the trackers {', '.join(trackers)} cannot be used: {error}") from error
    if asked is not None and made.device.type != asked.type:
        raise ConfigError(f"training on {device} is not to be had here: Accelerate takes {made.device.type}")
    there = {str(getattr(tracker, "value", tracker)) for tracker in made.log_with}
    if missing := [tracker for tracker in trackers if tracker not in there and tracker != "all"]:
        raise ConfigError(f"the tracker {missing[0]} needs its package, which is not installed")
    return made


def train(
    recipe: Recipe,
    crops: Crops,
    folder: Path,
    *,
    accelerator: Accelerator | None = None,
    about: dict[str, Any] | None = None,
) -> Generator[tuple[Run, Report], None, None]:
    """Train, or go on training, in `folder`; yields the run and a report every `report_every` pictures.

    Closing the generator (Ctrl-C, a time limit) saves first.  Ctrl-C is raised between steps; pressed again, inside
    one, and what came since the last save is lost if that step had begun to change the weights.  Every step is a
    function of (recipe, pictures seen), so that stopping and resuming is the same run, bit for bit on a CPU.
    about: what the models' files say of the run, beside what it knows itself.
    """
    run = Run(recipe, crops, folder, accelerator or make_accelerator(), about)
    for report in learn(run):
        yield run, report


def learn(
    run: Run,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[], bool] = lambda: False,
    after: Callable[[], None] = lambda: None,
) -> Generator[Report, None, None]:
    """The steps of a run that has been made ready; see `train`.

    stop: asked after each step (in several processes: after each report, of the first) whether to end; then there is
        a last report, and all is saved.
    tell: asked after each step, in one process, whether a report is wanted now, before the next would come.
    after: called after each step, as a profiler wants it.
    """
    t, ahead, told = run.recipe.training, Ahead(run.device), run.seen
    alone, stopping, interrupted = run.world == 1, False, False
    run.start_clock()
    listening = ExitStack()
    try:
        if not alone:
            listening.enter_context(run.agreed.listening())
        while run.seen < t.pictures and not stopping:
            report: Report | None = None
            with held():
                run.step()
                ahead()
                after()
                interrupted = not alone and run.agreed.over()
                stopping = interrupted or (alone and stop())
                # of the pictures seen alone, so that all processes agree
                passed = run.seen // t.save_every > (run.seen - t.batch) // t.save_every
                due = stopping or passed or run.seen >= t.pictures
                if due or run.seen - told >= t.report_every or run.notes.full or (alone and tell()):
                    report, told = run.report(), run.seen
                    if not alone and not interrupted:
                        answer = [stop()]
                        broadcast_object_list(answer)
                        stopping, due = answer[0], due or answer[0]
                if due:
                    run.save()
            if report is not None:
                yield replace(report, saved=due)
                run.start_clock()
        if interrupted:
            raise KeyboardInterrupt
    finally:
        listening.close()
        # what the generator's end interrupts
        if run.whole and run.seen > run.saved and run.bad_in_a_row < PATIENCE:
            with held():
                run.report()
                run.save()
