"""Train a model as those that come with the package are trained: on one GPU, from folders or zips of pictures.

    python scripts/train_release.py photo-4x --data photos.zip --val held-out --out runs/photo-4x --minutes 60
    python scripts/train_release.py --plot runs/photo-4x/curve.json --plot-out curve.svg

All pictures lie in the GPU's memory and are cut, degraded and learnt from there.  The averaged weights are written
every few minutes (part-0001.safetensors, …) and measured (curve.json), and at last written to model.safetensors.  The
same command goes on where it stopped.  See docs/training.md.
"""

import argparse
import json
import math
import signal
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import release_curve
import torch
from release_data import Batches
from release_machine import Waiting, machine, peak, profiler, show, wait
from release_run import HISTORY, Run, TrainingError, rate_at

from sr3.files import write_text
from sr3.model import recipe as recipes
from sr3.model.config import Recipe
from sr3.model.device import pick_device
from sr3.picture.collection import Pictures, load
from sr3.restore.restorer import Restorer
from sr3.training.data import Crops

AHEAD = 4
"""Steps that the host may be ahead of the GPU."""
WARM_UP_STEPS = 100
"""After --begin the rate rises over at least so many steps: Adam knows nothing of the weights yet."""
PROFILED = range(5, 25)
"""Which steps --profile looks at."""


class Session:
    """One call of the script: a run, its clock, and what it writes down."""

    def __init__(self, options: argparse.Namespace, recipe: Recipe, crops: Crops, began: float):
        self.options, self.recipe, self.out = options, recipe, Path(options.out)
        self.deadline = began + 60 * options.minutes if options.minutes else math.inf
        self.out.mkdir(parents=True, exist_ok=True)
        self.run = Run(recipe, crops, self.out)
        self.device = self.run.device
        self.batches = Batches(crops, self.run.model.task, recipe.training.seed, recipe.training.batch)
        self.val: Pictures | None = None
        if options.val:
            if not self.run.model.task.channels:
                raise ValueError("what is made of nothing cannot be compared with an original; leave --val out")
            found = load(options.val, smallest=self.run.model.task.factor * 8)
            self.val = Pictures(found.names[: options.val_pictures], found.pixels[: options.val_pictures])
        self.curve: list[dict[str, Any]] = []
        if (path := self.out / "curve.json").exists() and self.run.saves:
            self.curve = [p for p in json.loads(path.read_text("utf-8")) if p["seen"] <= self.run.seen]
        self.about = {
            "data": [Path(d).name for d in options.data],
            "data_pictures": len(crops.heights),
            "machine": machine(self.device),
        }
        self.waiting = Waiting(self.device)
        self.costs = {"save": 0.0, "measure": self.curve[-1]["seconds"] if self.curve else 0.0, "step": 0.0}
        self.began = self.part_began = time.monotonic()
        self.from_seen = self.run.seen
        self.told = False
        """To stop, by a signal."""

    def begin(self) -> None:
        """Everything before the first step: what the machine can do, compiling, the first point of the curve."""
        run, options = self.run, self.options
        if run.seen:
            print(f"going on after {run.seen:,} pictures", flush=True)
        batch = self.batches(run.seen)
        self.flops, self.peak, self.compiled = run.flops(batch), peak(self.device), False
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            if options.compile:
                problem = run.compile(batch)
                self.compiled = problem is None
                if problem:
                    print(problem, flush=True)
        print(
            f"{self.about['machine']}: {self.peak / 1e12:.3g} TFLOP/s in a bf16 matrix product; "
            f"{self.flops / 1e9:.3g} GFLOP a picture, forward and backward; "
            f"{'compiled' if self.compiled else 'not compiled'}",
            flush=True,
        )
        if not run.saves:
            self.save()  # also tells how long that takes
        if self.val is not None and not self.curve:
            self.measure()
        self.part_began = time.monotonic()
        self._restart()

    def _restart(self) -> None:
        """Training is about to go on: its clock starts."""
        self.began, self.from_seen = time.monotonic(), self.run.seen

    @property
    def reserve(self) -> float:
        """Seconds that the end will take: reading the last steps, saving twice, measuring."""
        return AHEAD * self.costs["step"] + 2 * self.costs["save"] + 1.3 * self.costs["measure"] + 0.2

    def train(self) -> None:
        """Learn until the pictures or the minutes are spent."""
        run, t, ring = self.run, self.recipe.training, deque[Any]()
        steps = 0
        with ExitStack() as stack:
            profile: Any = None
            while not self.told and run.seen < t.pictures and time.monotonic() + self.reserve < self.deadline:
                if self.options.profile and steps == PROFILED.start:
                    profile = stack.enter_context(profiler(self.device))
                run.step(self.waiting(lambda: self.batches(run.seen)))
                self.batches.prepare(run.seen)
                steps += 1
                if profile is not None and steps == PROFILED.stop:
                    wait(self.device)
                    stack.close()
                    show(profile, self.out, self.device)
                if self.device.type == "cuda":
                    ring.append(torch.cuda.Event())
                    ring[-1].record()
                    if len(ring) > AHEAD:
                        ring.popleft().synchronize()
                now = time.monotonic()
                if now - self.began >= self.options.report_seconds or run.noted == HISTORY:
                    self.report()
                if now - self.part_began >= 60 * self.options.part_minutes and run.seen < t.pictures:
                    self.part()
        self.report()

    def report(self) -> None:
        """Read what the device has noted; print it and write it down."""
        run = self.run
        pictures = run.seen - self.from_seen
        if not pictures:
            return
        found = run.read()  # waits for the device
        spent = max(time.monotonic() - self.began, 1e-9)
        run.seconds += spent
        speed = pictures / spent
        self.costs["step"] = spent * self.recipe.training.batch / pictures
        row = {
            "seen": run.seen,
            **found,
            "rate": rate_at(run.seen, self.recipe),
            "speed": speed,
            "flops": speed * self.flops,
            "share_of_peak": speed * self.flops / self.peak,
            "waiting": self.waiting.seconds() / spent,
            "skipped": run.skipped,
            "minutes": run.seconds / 60,
            "compiled": self.compiled,
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        left = self.recipe.training.pictures - run.seen
        fits = speed * max(0.0, self.deadline - time.monotonic() - self.reserve)
        print(
            f"{run.seen:>11,} pictures  loss {row['loss']:.4f}  gradient {row['gradient']:.3f}  "
            f"rate {row['rate']:.2e}  "
            f"{speed:,.0f}/s  {row['flops'] / 1e12:.3g} TFLOP/s, {row['share_of_peak']:.1%} of the peak  "
            f"waiting {row['waiting']:.1%}  skipped {run.skipped}"
            + (f"  (of {left:,} to come, about {fits:,.0f} fit into the minutes)" if fits < left else ""),
            flush=True,
        )
        self._restart()

    def part(self) -> None:
        """Write the averaged weights and the state, and measure."""
        self.report()
        self.run.parts += 1
        self.run.write_model(f"part-{self.run.parts:04d}.safetensors", {**self.about, "curve": self.curve})
        self.save()
        if self.val is not None:
            self.measure()
        self.part_began = time.monotonic()
        self._restart()

    def save(self) -> None:
        """Write the state, timed."""
        began = time.monotonic()
        self.run.save()
        self.costs["save"] = time.monotonic() - began

    def measure(self) -> None:
        """Add a point to the curve."""
        assert self.val is not None
        began = time.monotonic()
        precision = "fp32" if self.recipe.training.precision == "fp32" else None
        restorer = Restorer(self.run.averaged(), device=str(self.device), precision=precision)
        found = release_curve.measure(restorer, self.val)
        self.costs["measure"] = time.monotonic() - began
        point = {"pictures": self.run.pictures, "seen": self.run.seen, "minutes": round(self.run.seconds / 60, 3)}
        self.curve.append({**point, "measures": found, "seconds": round(self.costs["measure"], 2)})
        write_text(self.out / "curve.json", json.dumps(self.curve, indent=1) + "\n")
        shown = "  ".join(
            f"{name} {found[name]:.3f}" for name in (*release_curve.SHOWN, "consistency") if name in found
        )
        print(f"{self.run.seen:>11,} pictures  {shown}  ({self.costs['measure']:.1f} s)", flush=True)

    def end(self) -> None:
        """Write the state, measure unless in a hurry, write the model."""
        self.save()
        if not self.told and self.val is not None and (not self.curve or self.curve[-1]["seen"] < self.run.seen):
            self.measure()
        self.run.write_model("model.safetensors", {**self.about, "curve": self.curve})
        print(f"{self.out / 'model.safetensors'} after {self.run.seen:,} pictures", flush=True)


@contextmanager
def _listening(session: Session) -> Generator[None]:
    """Ctrl-C and termination end training after the step in progress, never inside it."""

    def stop(number: int, frame: Any) -> None:
        session.told = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe with what the command line changes in it."""
    settings = list(options.set)
    if options.pictures:
        settings.append(f"training.pictures={options.pictures}")
    if options.batch:
        settings.append(f"training.batch={options.batch}")
    if options.begin:
        settings.append(f"training.begin={json.dumps(str(options.begin))}")
    recipe = recipes.load(options.recipe, settings)
    short = WARM_UP_STEPS * recipe.training.batch
    if options.begin and recipe.training.warmup < short and not any("training.warmup" in s for s in settings):
        recipe = recipes.load(options.recipe, [*settings, f"training.warmup={short}"])
    return recipe


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("recipe", nargs="?", help="a recipe's name, or the path of a .toml file")
    args.add_argument("--data", nargs="+", action="extend", default=[], help="folders or zips of pictures")
    args.add_argument("--val", nargs="+", action="extend", default=[], help="pictures to measure on, not in --data")
    args.add_argument("--val-pictures", type=int, default=64)
    args.add_argument("--out", type=Path)
    args.add_argument("--minutes", type=float, help="ends in this time, all that is written at the end included")
    args.add_argument("--begin", help="weights to begin from: a model's name or file")
    args.add_argument("--pictures", type=int, help="how many to see; also the length of the rate's decay")
    args.add_argument("--batch", type=int)
    args.add_argument("--set", nargs="+", action="extend", default=[], metavar="SECTION.KEY=VALUE")
    args.add_argument("--part-minutes", type=float, default=3.0)
    args.add_argument("--report-seconds", type=float, default=10.0)
    args.add_argument("--device", help="cuda, cpu, mps; the best there is by default")
    args.add_argument("--profile", action="store_true", help="what 20 steps are spent on: profile.txt, trace.json.gz")
    args.add_argument("--no-compile", dest="compile", action="store_false")
    args.add_argument("--plot", type=Path, help="a curve.json to draw")
    args.add_argument("--plot-out", type=Path, default=Path("curve.svg"))
    options = args.parse_args(arguments)
    if not options.plot and not (options.recipe and options.data and options.out):
        args.error("give a recipe, --data and --out, or --plot")
    return options


def work(options: argparse.Namespace, began: float) -> None:
    """Do what is asked for."""
    if options.plot:
        print("\n".join(release_curve.plot(options.plot, options.plot_out)))
        return
    recipe = recipe_of(options)
    t = recipe.training
    pictures = load(options.data, smallest=math.ceil(t.crop * min(t.zoom[0], 1)))
    print(pictures.summary(), flush=True)
    crops = Crops(
        pictures,
        t.crop,
        seed=t.seed,
        turn=t.turn,
        zoom=t.zoom,
        resample=t.resample,
        device=pick_device(options.device),
    )
    session = Session(options, recipe, crops, began)
    session.begin()
    with _listening(session):
        session.train()
    session.end()
    if session.told:
        raise SystemExit(130)


def main(arguments: Sequence[str] | None = None, began: float | None = None) -> None:
    """The command line.  began: when the clock of --minutes started; now where that is not said."""
    options = parsed(arguments)
    try:
        work(options, time.monotonic() if began is None else began)
    except (ValueError, OSError, TrainingError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    # importing took about as long as the processor has worked so far
    main(began=time.monotonic() - time.process_time())
