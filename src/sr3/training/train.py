"""Training.  `train` is a generator of reports; the loop, the bar and the stop button belong to whoever iterates."""

import hashlib
import json
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sr3.diffusion.schedule import SCHEDULES
from sr3.diffusion.score_matching import check_double_backward, needs_double_backward
from sr3.diffusion.tables import OBJECTIVES
from sr3.interrupt import held
from sr3.model import checkpoint
from sr3.model.config import ConfigError, Recipe, build
from sr3.model.model import Model
from sr3.random import Stream, mix
from sr3.task import TASKS, Generation
from sr3.training.data import Crops

PATIENCE = 50
"""Non-finite batches in a row after which training gives up."""


class TrainingError(RuntimeError):
    """Training cannot go on, in one sentence."""


@dataclass
class Report:
    """What happened since the last report."""

    seen: int
    """Pictures seen, from the beginning of the run."""
    loss: float
    rate: float
    speed: float
    """Pictures per second."""
    waiting: float
    """Share of the time spent making batches."""
    gradient: float
    """Mean norm of the gradient before clipping."""
    skipped: int
    """Batches skipped because their loss was not finite, from the beginning of the run."""
    by_level: dict[int, float] = field(default_factory=dict)
    """Mean loss for each log-SNR, rounded to a multiple of 2."""
    saved: bool = False


def rate_at(seen: int, recipe: Recipe) -> float:
    """The learning rate after `seen` pictures: linear warm-up, then constant or half a cosine down to 1 %."""
    t = recipe.training
    rise = min(1.0, (seen + t.batch) / t.warmup) if t.warmup else 1.0
    if t.decay == "constant":
        return t.rate * rise
    share = min(1.0, seen / t.pictures)
    return t.rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def fingerprint(recipe: Recipe) -> str:
    """What a run's state depends on: resuming under another recipe is refused.  Intervals and length may change."""
    raw = recipe.model_dump(mode="json")
    for key in ("pictures", "save_every", "report_every", "sample_every", "compile", "begin"):
        if key != "pictures" or recipe.training.decay == "constant":
            raw["training"].pop(key)
    if recipe.training.resample == "lanczos":  # runs begun before there was a choice go on
        raw["training"].pop("resample")
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """Everything that a run's next step depends on; saved whole, so that a resumed run is the same run."""

    def __init__(self, recipe: Recipe, folder: Path, accelerator: Accelerator):
        self.recipe, self.folder, self.accelerator = recipe, folder, accelerator
        t = recipe.training
        torch.manual_seed(mix(t.seed, 0x1417))
        self.model = Model(recipe.model)
        if t.begin is not None:
            begin_from(self.model.net, Model.from_pretrained(t.begin).net)
        self.model.net.train().requires_grad_(True)
        self.optimiser = torch.optim.AdamW(
            self.model.net.parameters(), lr=t.rate, betas=t.betas, weight_decay=t.weight_decay
        )
        self.average = {k: v.detach().clone().float() for k, v in self.model.net.state_dict().items()}
        self.seen = self.skipped = 0
        self.whole = True
        """False while a step has changed some of this and not yet the rest; such a state is never written."""
        if self.state_path.exists():
            self._resume()
        device = accelerator.device
        for model in (self.model, *([self.model.first] if self.model.first else [])):
            model.net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = {k: v.to(device) for k, v in self.average.items()}
        wrapped: Any = accelerator.prepare(self.model.net, self.optimiser)
        self.net, self.optimiser = wrapped
        run_net = torch.compile(self.net) if t.compile else self.net
        self.denoiser = self.model.denoiser(run_net)  # pyright: ignore[reportArgumentType]

    @property
    def state_path(self) -> Path:
        """The file that a stopped run goes on from."""
        return self.folder / "state.safetensors"

    def update_average(self) -> None:
        """Move the averaged weights towards the current ones; the half-life grows with the run up to `average`."""
        t = self.recipe.training
        # early on a long average would still hold the random first weights (as Karras et al. 2022 ramp theirs up)
        half_life = min(t.average, max(self.seen, 1) / 8)
        share = 1 - 0.5 ** (t.batch / half_life) if half_life > 0 else 1.0
        current = self.model.net.state_dict()
        keys = [k for k in self.average if self.average[k].is_floating_point()]
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateUsage]
            [self.average[k] for k in keys], [current[k].float() for k in keys], share
        )

    def save(self, about: dict[str, Any]) -> None:
        """Write the state and the model; each file is whole or untouched."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"net.{k}": v for k, v in self.model.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
        facts = {"seen": str(self.seen), "skipped": str(self.skipped), "recipe": fingerprint(self.recipe)}
        checkpoint.write_tensors(self.state_path, tensors, facts)
        about = {**about, "pictures_seen": self.seen, "recipe": self.recipe.training.model_dump(mode="json")}
        path = self.folder / "model.safetensors"
        checkpoint.save(path, self.model.config, self.model.tensors(self.average), about)

    def _resume(self) -> None:
        tensors, facts = checkpoint.read_tensors(self.state_path)
        if facts.get("recipe") != fingerprint(self.recipe):
            raise ConfigError(
                f"{self.folder} holds a run of another recipe; give the recipe and settings it was begun with, "
                "or another --out"
            )
        part = lambda name: {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}  # noqa: E731
        self.model.net.load_state_dict(part("net"))
        self.average = part("average")
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimiser").items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        whole = self.optimiser.state_dict()
        whole["state"] = state
        self.optimiser.load_state_dict(whole)
        self.seen, self.skipped = int(facts["seen"]), int(facts["skipped"])


def check_crop(recipe: Recipe) -> None:
    """ConfigError where the crops do not suit the task."""
    crop, task = recipe.training.crop, build("task", TASKS, recipe.model.task)
    if isinstance(task, Generation) and task.sides != (crop, crop):
        high, wide = task.sides
        raise ConfigError(
            f"training.crop={crop} must be the size of the pictures that are made, model.task.size, which is "
            + (str(high) if high == wide else f"{high} by {wide}; only squares can be trained on")
        )
    if crop % task.factor:
        raise ConfigError(f"training.crop={crop} must be a multiple of the task's factor {task.factor}")


def begin_from(net: nn.Module, other: nn.Module) -> None:
    """Copy the weights of another network of the same shape; ConfigError where the shapes differ."""
    mine, theirs = net.state_dict(), other.state_dict()
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
        raise ConfigError("training.begin names a model whose network has another shape than this recipe's")
    net.load_state_dict(theirs)


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
    """
    t = recipe.training
    check_crop(recipe)
    accelerator = accelerator or make_accelerator()
    assert accelerator is not None
    objective = build("objective", OBJECTIVES, t.objective, **_schedule_for(recipe))
    twice = needs_double_backward(objective)
    if twice and (t.compile or accelerator.num_processes > 1):
        cure = "set training.compile=false" if t.compile else "use one process"
        raise ConfigError(
            f"training.objective {t.objective['kind']} differentiates the network twice, which neither compiled "
            f"networks nor several processes (DDP) can do; {cure}"
        )
    run = Run(recipe, folder, accelerator)
    world, rank = accelerator.num_processes, accelerator.process_index
    if t.batch % (world * t.accumulate):
        raise ConfigError(
            f"training.batch={t.batch} cannot be shared by {world} processes in {t.accumulate} parts; "
            "make it a multiple of both"
        )
    if twice:
        _try_second_derivatives(run, objective, crops)
    tally, bad_in_a_row, last_save = _Tally(), 0, run.seen
    try:
        while run.seen < t.pictures:
            mine = list(range(run.seen + rank, run.seen + t.batch, world))
            with held():
                good, norm = _step(run, objective, crops, mine, tally)
                if good:
                    bad_in_a_row = 0
                    run.update_average()
                else:
                    run.skipped += 1
                    bad_in_a_row += 1
                    if bad_in_a_row >= PATIENCE:
                        raise TrainingError(f"the loss was not finite {PATIENCE} times in a row; lower training.rate")
                run.seen += t.batch
                run.whole = True
                tally.add(t.batch, norm)
                due = run.seen - last_save >= t.save_every or run.seen >= t.pictures
                if due:
                    run.save(about or {})
                    last_save = run.seen
            if due or tally.pictures >= t.report_every:
                yield run, tally.report(run, rate_at(run.seen, recipe), saved=due)
                tally = _Tally()
    finally:
        if run.whole and run.seen > last_save and bad_in_a_row < PATIENCE:
            with held():
                run.save(about or {})


def make_accelerator(device: str | None = None) -> Accelerator:
    """Accelerate's view of the machine: its devices and processes.  Precision stays ours, as one process may train
    more than one recipe and Accelerate's cannot be changed."""
    return Accelerator(cpu=device == "cpu")


def _schedule_for(recipe: Recipe) -> dict[str, Any]:
    if recipe.training.objective.get("kind") == "regression":
        return {}
    return {"schedule": build("schedule", SCHEDULES, recipe.model.schedule)}


def _try_second_derivatives(run: Run, objective: Any, crops: Crops) -> None:
    """ConfigError, before training, where an operation of the network has no second derivative."""
    rng = Stream(run.recipe.training.seed, [0], run.accelerator.device)
    clean = crops([0])
    example = run.model.prepare(run.model.task.degrade(clean, rng=rng))._replace(target=clean)
    try:
        check_double_backward(objective, run.denoiser, example, rng)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _step(run: Run, objective: Any, crops: Crops, mine: Sequence[int], tally: "_Tally") -> tuple[bool, float]:
    """One optimiser step over this process's examples; False where the loss or the gradient was not finite."""
    t, accelerator = run.recipe.training, run.accelerator
    task, parts = run.model.task, t.accumulate
    torch.manual_seed(mix(t.seed, run.seen, 0xD80))  # dropout
    for group in run.optimiser.param_groups:
        group["lr"] = rate_at(run.seen, run.recipe)
    run.optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=accelerator.device)
    size = len(mine) // parts
    for part in range(parts):
        indices = mine[part * size : (part + 1) * size]
        began = time.monotonic()
        rng = Stream(mix(t.seed, 0x5EED), indices, accelerator.device)
        clean = crops(indices)
        given = task.degrade(clean, rng=rng)
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=t.precision == "bf16"):
            example = run.model.prepare(given)._replace(target=clean)
        tally.waiting += time.monotonic() - began
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=t.precision == "bf16"):
            loss = objective(run.denoiser, example, rng=rng)
        tally.levels(loss.each, loss.logsnr)
        mean = loss.each.mean() / parts
        total += mean.detach()
        accelerator.backward(mean)
    norm: Any = accelerator.clip_grad_norm_(run.net.parameters(), t.clip)
    finite = torch.isfinite(total) & torch.isfinite(torch.as_tensor(norm, device=total.device))
    everywhere: Any = accelerator.reduce(finite.float(), "mean")
    good = bool(everywhere.item() == 1.0)
    if good:
        run.whole = False
        run.optimiser.step()
    tally.loss += total.item() if good else 0.0
    tally.steps += good
    return good, float(norm) if good else 0.0


class _Tally:
    """Sums since the last report."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.pictures = self.steps = 0
        self.loss = self.norm = self.waiting = 0.0
        self.bins: dict[int, tuple[float, int]] = {}

    def levels(self, each: Tensor, logsnr: Tensor | None) -> None:
        if logsnr is None:
            return
        for value, place in zip(each.detach().tolist(), logsnr.tolist(), strict=True):
            if math.isfinite(value) and math.isfinite(place):
                key = 2 * round(place / 2)
                total, count = self.bins.get(key, (0.0, 0))
                self.bins[key] = (total + value, count + 1)

    def add(self, pictures: int, norm: float) -> None:
        self.pictures += pictures
        self.norm += norm

    def report(self, run: Run, rate: float, *, saved: bool) -> Report:
        spent = max(time.monotonic() - self.began, 1e-9)
        steps = max(self.steps, 1)
        return Report(
            seen=run.seen,
            loss=self.loss / steps,
            rate=rate,
            speed=self.pictures / spent,
            waiting=self.waiting / spent,
            gradient=self.norm / steps,
            skipped=run.skipped,
            by_level={k: total / count for k, (total, count) in sorted(self.bins.items())},
            saved=saved,
        )
