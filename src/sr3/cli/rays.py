"""Beyond one machine: Ray Data hands pictures' names to actors, which have the model and write the results themselves.

Nothing but names and what is said of them travels.  The checkpoint is the folder of results, which all machines share:
an actor that is given a picture again, because another died over it, finds by the result's note whether it is made.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr3.cli.jobs import Job
from sr3.cli.outcome import Outcome

if TYPE_CHECKING:
    from sr3.cli.restoring import Work

BLOCKS = 1000
"""Parts that the names come in at most; each is one actor's at a time, and begun anew where that dies."""


class Actor:
    """Has the model, and restores what it is told of.  build: makes the command's `Work` where the actor lives."""

    def __init__(self, build: "Callable[[], Work]"):
        self.work = build()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """What became of one picture, by its number."""
        source, target = (Path(os.fsdecode(row[key])) for key in ("source", "target"))
        outcome = self.work.one(Job(source, target, os.fsdecode(row["within"])))
        return {"number": row["number"], "outcome": pickle.dumps(outcome)}


def over(address: str, build: "Callable[[], Work]", jobs: list[Job], actors: int | None) -> Iterator[Outcome]:
    """What becomes of each picture, as it comes.

    address: of a Ray cluster, "auto" for the one that this machine is in, "local" for one of this machine alone.
    actors: how many; None: one for each GPU, or where there is none for each machine.
    ConfigError where the cluster is not to be had.
    """
    from sr3.model.config import ConfigError

    ray, data = import_module("ray"), import_module("ray.data")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"there is no Ray cluster at {address} ({said}); give its address, auto, or local") from error
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        gpus = int(ray.cluster_resources().get("GPU", 0))
        machines = sum(1 for node in ray.nodes() if node["Alive"])
        count = actors or gpus or machines
        rows = [_row(number, job) for number, job in enumerate(jobs)]
        found = data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS)).map(
            Actor,
            fn_constructor_args=(build,),
            concurrency=count,
            num_cpus=1,
            num_gpus=min(1.0, gpus / count) if gpus else 0,
        )
        for row in found.iter_rows():
            outcome: Outcome = pickle.loads(row["outcome"])
            yield replace(outcome, input=jobs[row["number"]].name)
    finally:
        ray.shutdown()


def _row(number: int, job: Job) -> dict[str, Any]:
    """A job as it travels: whole names, as actors stand in other folders, and bytes, as they need not be text."""
    source, target = (os.fsencode(os.path.abspath(path)) for path in job[:2])
    return {"number": number, "source": source, "target": target, "within": os.fsencode(job.within)}
