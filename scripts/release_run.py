"""A network in training for `train_release.py`: the step, and what is kept of it."""

import copy
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import release_state
import torch
from release_data import Batch
from release_machine import wait
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sr3.diffusion.schedule import SCHEDULES, LinearBeta
from sr3.diffusion.score_matching import needs_double_backward
from sr3.diffusion.tables import OBJECTIVES
from sr3.model import checkpoint
from sr3.model.config import ConfigError, Recipe, build
from sr3.model.model import Model
from sr3.random import Stream, mix
from sr3.task import Given
from sr3.training.data import Crops

PATIENCE = 50
"""Batches in a row that are not finite after which training gives up."""
HISTORY = 4096
"""Steps after which the device's notes are read at the latest."""
FACTS = ("seen", "skipped", "bad_in_a_row", "parts", "saves", "seconds", "before", "begun")
VECTORS = ("weights", "average", "exp_avg", "exp_avg_sq")


class TrainingError(RuntimeError):
    """Training cannot go on, in one sentence."""


def rate_at(seen: int, recipe: Recipe) -> float:
    """The learning rate after `seen` pictures, as in `sr3.training.train`."""
    t = recipe.training
    rise = min(1.0, (seen + t.batch) / t.warmup) if t.warmup else 1.0
    if t.decay == "constant":
        return t.rate * rise
    share = min(1.0, seen / t.pictures)
    return t.rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def share_at(seen: int, recipe: Recipe) -> float:
    """How far the average moves towards the weights after the step that began at `seen`, as in `sr3.training.train`."""
    half_life = min(recipe.training.average, max(seen, 1) / 8)
    return 1 - 0.5 ** (recipe.training.batch / half_life) if half_life > 0 else 1.0


def fingerprint(recipe: Recipe, crops: Crops) -> str:
    """What a run's next step depends on, but for its length: that may be changed when going on."""
    raw = recipe.model_dump(mode="json")
    for key in ("pictures", "save_every", "report_every", "sample_every", "compile", "begin", "accumulate"):
        raw["training"].pop(key)
    sizes = [crops.heights.tolist(), crops.widths.tolist()]
    return hashlib.sha256(json.dumps([raw, sizes], sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """Everything that the next step depends on.

    Nothing in a step waits for the device: what is not finite is left out there, and the losses are noted there and
    read when somebody asks for them with `read`.
    """

    def __init__(self, recipe: Recipe, crops: Crops, folder: Path):
        self.recipe, self.folder, self.device = recipe, folder, crops.device
        self.mark = fingerprint(recipe, crops)
        t = recipe.training
        torch.manual_seed(mix(t.seed, 0x1417))
        self.model = Model(recipe.model)
        self.seen = self.skipped = self.bad_in_a_row = self.parts = self.saves = 0
        self.seconds = 0.0
        """Spent in training, over all calls."""
        self.begun: dict[str, Any] | None = None
        self.before = 0
        """Pictures that weights of this very model had seen before this run."""
        held = release_state.load(folder)
        if held is not None and not held[1]["seen"]:
            held = None  # begun, but nothing was learnt: nothing is lost by beginning again
        if held is None and t.begin is not None:
            self._begin(Model.from_pretrained(t.begin))
        for model in (self.model, *([self.model.first] if self.model.first else [])):
            model.net.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.shown = copy.deepcopy(self.model)
        """For the averaged weights, to measure."""
        self.net = self.model.net.train().requires_grad_(True)
        self.flat = release_state.Flat(self.net)
        self.average = self.flat.weights.detach().clone()
        self.optimiser = torch.optim.AdamW(
            [self.flat.weights], lr=t.rate, betas=t.betas, weight_decay=t.weight_decay, fused=True
        )
        if held is not None:
            self._resume(*held)
        size = 2 * sum(p.numel() for p in self.model.tensors().values())
        if size > release_state.LIMIT - release_state.HEADER:
            raise ConfigError(f"the model's file would have {size / 1e6:.1f} MB, and this script writes at most 16 MB")
        schedule = {} if t.objective.get("kind") == "regression" else {"schedule": self._schedule()}
        self.objective: Any = build("objective", OBJECTIVES, t.objective, **schedule)
        self.denoiser: Any = self.model.denoiser()
        self.history = torch.zeros(HISTORY, 3, device=self.device)
        self.noted = 0

    def _schedule(self) -> Any:
        made = build("schedule", SCHEDULES, self.recipe.model.schedule)
        if isinstance(made, LinearBeta):  # its table would be copied from the host at every step
            made.__dict__["knots"] = tuple(k.to(self.device) for k in made.knots)
        return made

    def _begin(self, other: Model) -> None:
        mine, theirs = self.model.net.state_dict(), other.net.state_dict()
        if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
            raise ConfigError("the weights to begin from are of a network of another shape than this recipe's")
        self.model.net.load_state_dict(theirs)
        seen = int(other.about.get("pictures_seen") or 0)
        self.begun = {"name": other.config.name, "pictures_seen": seen}
        self.before = seen if other.config.name == self.recipe.model.name else 0

    @property
    def pictures(self) -> int:
        """Seen by this model, those before this run included."""
        return self.before + self.seen

    def compile(self, batch: Batch) -> str | None:
        """Compile the network and try it; where that fails, a sentence, and the network as it was."""
        if needs_double_backward(self.objective):
            return "the objective differentiates twice, which compiled networks cannot; going on without"
        first = self.model.first
        self.denoiser = replace(self.model.denoiser(), net=torch.compile(self.net, dynamic=False))
        if first is not None:
            first.net.compile(dynamic=False)
        try:
            self._loss(batch).backward()
            wait(self.device)
        except Exception as error:  # whatever the compiler stumbles over
            self.denoiser = self.model.denoiser()
            if first is not None:
                first.net._compiled_call_impl = None  # pyright: ignore[reportPrivateUsage] (nothing public undoes it)
            return f"torch.compile failed ({type(error).__name__}: {str(error).strip()[:200]}); going on without"
        return None

    def flops(self, batch: Batch) -> float:
        """FLOPs of one picture, forward and backward, a multiplication and an addition each; not compiled."""
        few = min(2, len(batch.clean))
        given = Given(batch.given.image[:few], None if batch.given.mask is None else batch.given.mask[:few])
        with FlopCounterMode(display=False) as counter:
            self._loss(Batch(batch.clean[:few], given, Stream(0, range(few), self.device))).backward()
        return counter.get_total_flops() / few

    def _loss(self, batch: Batch) -> Tensor:
        bf16 = self.recipe.training.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            example = self.model.prepare(batch.given)._replace(target=batch.clean)
            return self.objective(self.denoiser, example, rng=batch.rng).each.mean()

    def step(self, batch: Batch) -> None:
        """Learn from one batch."""
        t, weights = self.recipe.training, self.flat.weights
        torch.manual_seed(mix(t.seed, self.seen, 0xD80))  # dropout
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.seen, self.recipe)
        assert weights.grad is not None
        weights.grad.zero_()
        loss = self._loss(batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([weights], t.clip)
        good = (torch.isfinite(loss.detach()) & torch.isfinite(norm)).float()
        # the fused optimiser reads this on the device and leaves everything as it is where it is 1
        self.optimiser.found_inf = 1 - good  # type: ignore[attr-defined]
        self.optimiser.step()
        self.average.lerp_(weights.detach(), good * share_at(self.pictures, self.recipe))
        self.history[self.noted] = torch.stack([loss.detach().float(), norm.float(), good])
        self.noted += 1
        self.seen += t.batch

    def read(self) -> dict[str, float]:
        """Mean loss and norm of the gradient since the last time; waits for the device.

        TrainingError where too many steps in a row were not finite.
        """
        rows = self.history[: self.noted].tolist()
        self.noted = 0
        kept = [(loss, norm) for loss, norm, good in rows if good]
        for *_, good in rows:
            self.bad_in_a_row = 0 if good else self.bad_in_a_row + 1
            self.skipped += not good
            if self.bad_in_a_row >= PATIENCE:
                raise TrainingError(f"the loss was not finite {PATIENCE} times in a row; lower training.rate")
        names = ("loss", "gradient")
        return {name: sum(row[k] for row in kept) / len(kept) if kept else math.nan for k, name in enumerate(names)}

    def averaged(self) -> Model:
        """The model with the averaged weights."""
        self.shown.net.load_state_dict(self.flat.named(self.average))
        return self.shown

    def write_model(self, name: str, about: dict[str, Any]) -> None:
        """Write the averaged weights as a model's file."""
        about = {**about, "pictures_seen": self.pictures, "minutes": round(self.seconds / 60, 2), "begun": self.begun}
        about["recipe"] = self.recipe.training.model_dump(mode="json")
        tensors = self.model.tensors(self.flat.named(self.average))
        checkpoint.save(self.folder / name, self.model.config, tensors, about)

    def save(self) -> None:
        """Write what the same command goes on from."""
        state = self.optimiser.state[self.flat.weights]
        nothing = torch.zeros_like(self.average)
        vectors = [self.flat.weights, self.average, state.get("exp_avg", nothing), state.get("exp_avg_sq", nothing)]
        self.saves += 1
        facts = {name: getattr(self, name) for name in FACTS}
        facts |= {"step": float(state.get("step", 0)), "recipe": self.mark}
        release_state.save(self.folder, dict(zip(VECTORS, vectors, strict=True)), facts)

    def _resume(self, vectors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if facts["recipe"] != self.mark or len(vectors["weights"]) != len(self.average):
            raise ConfigError(
                f"{self.folder} holds a run of another recipe or of other pictures; give those it was begun with, "
                "or another --out"
            )
        with torch.no_grad():
            self.flat.weights.copy_(vectors["weights"])
        self.average.copy_(vectors["average"])
        if facts["step"]:
            moments = {name: vectors[name].clone().to(self.device) for name in VECTORS[2:]}
            step = torch.tensor(facts["step"], dtype=torch.float32, device=self.device)
            self.optimiser.state[self.flat.weights] = {"step": step, **moments}
        for name in FACTS:
            setattr(self, name, facts[name])
