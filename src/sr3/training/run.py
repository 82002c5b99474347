"""A network in training: the step, and everything that the next step depends on."""

import copy
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from sr3.diffusion.objective import Loss
from sr3.diffusion.score_matching import check_double_backward, needs_double_backward
from sr3.model import checkpoint
from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError, Recipe
from sr3.model.device import pick_precision
from sr3.model.model import Model
from sr3.random import Stream, mix
from sr3.training import state
from sr3.training.adversarial import Adversarial
from sr3.training.batches import Batch, Batches
from sr3.training.data import Crops
from sr3.training.flat import Flat
from sr3.training.machine import Agreed, Waiting, wait
from sr3.training.notes import Notes, Report
from sr3.training.optimiser import Adam, Muon
from sr3.training.plan import begin_from, check_batch, check_crop, dropout_seed, objective_of, rate_at, share_at, told

PATIENCE = 50
"""Batches in a row that are not finite after which training gives up."""
FACTS = ("seen", "skipped", "bad_in_a_row", "parts", "saves", "seconds", "before", "begun")
"""What a state holds beside tensors, the step and the run's identity; older ones lack some."""


class TrainingError(RuntimeError):
    """Training cannot go on, in one sentence."""


class Run:
    """Everything that a run's next step depends on; saved whole, so that a resumed run is the same run.

    Nothing in a step waits for the device: what is not finite is left out there, and the losses are noted there and
    read when somebody asks for them.
    """

    def __init__(
        self,
        recipe: Recipe,
        crops: Crops,
        folder: Path,
        accelerator: Accelerator,
        about: Mapping[str, Any] | None = None,
    ):
        check_crop(recipe)
        check_batch(recipe, accelerator.num_processes)
        self.recipe, self.crops, self.folder, self.accelerator = recipe, crops, folder, accelerator
        self.about = dict(about or {})
        """What the models' files say of the run, beside what it knows itself."""
        self.device: torch.device = accelerator.device
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        t = recipe.training
        self.dtype = pick_precision(t.precision, self.device)
        self.precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        self.objective = objective_of(recipe, self.device)
        if t.compile and needs_double_backward(self.objective):
            raise ConfigError(
                f"training.objective {t.objective['kind']} differentiates the network twice, which compiled networks "
                "cannot; set training.compile=false"
            )
        torch.manual_seed(mix(t.seed, 0x1417))
        self.model = Model(recipe.model)
        for model in (self.model, *([self.model.first] if self.model.first else [])):
            model.net.to(device=self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.net = self.model.net.train().requires_grad_(True)
        self.flat = Flat(self.net, matrices_first=t.optimiser == "muon")
        weights = self.flat.weights.detach()
        self.moments: dict[str, Tensor] = {
            "step": torch.zeros((), device=self.device),
            **{name: torch.zeros_like(weights) for name in state.VECTORS[2:]},
        }
        settings: Any = {"rate": t.rate, "betas": t.betas, "decay": t.weight_decay}
        if t.optimiser == "muon":
            self.optimiser = Muon(self.flat, self.moments, **settings)
        else:
            self.optimiser = Adam(self.flat.weights, self.moments, **settings)
        self.seen = self.skipped = self.bad_in_a_row = self.parts = self.saves = 0
        self.seconds = 0.0
        """Spent in training, over all calls."""
        self.begun: dict[str, Any] | None = None
        self.before = 0
        """Pictures that weights of this very model had seen before this run."""
        self.average = weights.clone()
        self.marks = state.marks(self.model.first, self.objective)
        self._find_state()
        self.saved, self.save_seconds = self.seen, 0.0
        self.whole = True
        """False while a step has changed some of this and not yet the rest; such a state is never written."""
        self.batches = Batches(crops, self.model.task, t, rank=self.rank, world=self.world)
        self.denoiser: Any = self.model.denoiser()
        self.notes, self.waiting, self.agreed = Notes(self.device), Waiting(self.device), Agreed(self.device)
        self.shown: Model | None = None
        self.start_clock()
        if needs_double_backward(self.objective):
            self._try_second_derivatives()
        self.problem = self._compile() if t.compile else None
        """Why the network could not be compiled, though it was asked for."""
        if self.seen and accelerator.is_main_process and not self._model_is_of_state():
            self.write_model()

    def _find_state(self) -> None:
        """Go on from the folder's state, or begin from another model's weights; all processes as the first."""
        held = state.load(self.folder, self.flat)
        if held is not None:
            self._resume(held)
        elif self.recipe.training.begin is not None:
            self._begin(Model.from_pretrained(self.recipe.training.begin))
        if self.world > 1:
            facts = [{name: getattr(self, name) for name in FACTS}]
            broadcast_object_list(facts)
            self.__dict__.update(facts[0])
            more = self.objective.vectors() if isinstance(self.objective, Adversarial) else []
            for vector in (self.flat.weights.detach(), self.average, *self.moments.values(), *more):
                dist.broadcast(vector, 0)

    def _resume(self, held: state.State) -> None:
        state.check(held, self.recipe, self.crops, self.folder, self.marks)
        self.net.load_state_dict(held.part("net"))
        self.flat.fill(self.average, held.part("average"))
        if held.facts["step"]:
            self.moments["step"].fill_(held.facts["step"])
            for name in state.VECTORS[2:]:
                self.flat.fill(self.moments[name], held.part(name))
        if isinstance(self.objective, Adversarial):
            self.objective.load(held.part("objective"))
        for name in FACTS:
            setattr(self, name, held.facts.get(name, getattr(self, name)))

    def _begin(self, other: Model) -> None:
        begin_from(self.net, other.net)
        self.average.copy_(self.flat.weights.detach())
        seen = int(other.about.get("pictures_seen") or 0)
        self.begun = {"name": other.config.name, "pictures_seen": seen}
        self.before = seen if other.config.name == self.recipe.model.name else 0

    @property
    def pictures(self) -> int:
        """Seen by this model, those before this run included."""
        return self.before + self.seen

    def loss(self, batch: Batch) -> Loss:
        """The objective's losses of one part of a batch, under the run's precision."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            example = self.model.prepare(batch.given)._replace(target=batch.clean)
            return self.objective(self.denoiser, example, rng=batch.rng)

    def step(self) -> None:
        """Learn from one batch."""
        t, weights, parts = self.recipe.training, self.flat.weights, self.recipe.training.accumulate
        torch.manual_seed(dropout_seed(t.seed, self.seen, self.rank))
        self.flat.gradient.zero_()
        if isinstance(self.objective, Adversarial):
            self.objective.forget()
        total, told = torch.zeros((), device=self.device), torch.full((), float(self.agreed.told), device=self.device)
        for part in self.waiting(lambda: self.batches(self.seen)):
            loss = self.loss(part)
            mean = loss.each.mean() / parts
            mean.backward()
            total += mean.detach()
            self.notes.levels(loss)
        if self.world > 1:
            for tensor in (self.flat.gradient, shared := torch.stack([total, told])):
                dist.all_reduce(tensor)
                tensor /= self.world
            total, told = shared.unbind()
            self.agreed.add(told)
        norm = nn.utils.clip_grad_norm_([weights], t.clip)
        good = (torch.isfinite(total) & torch.isfinite(norm)).float()
        self.whole = False
        self.optimiser.step(rate_at(self.seen, self.recipe), good)
        if isinstance(self.objective, Adversarial):
            self.objective.step(good)
        self.update_average(good)
        self.notes.add(total, norm, good)
        self.seen += t.batch
        self.whole = True
        self.batches.prepare(self.seen)

    def update_average(self, good: Tensor) -> None:
        """Move the averaged weights towards the current ones where `good` is 1."""
        self.average.lerp_(self.flat.weights.detach(), good * share_at(self.pictures, self.recipe))

    def report(self) -> Report:
        """What was noted since the last time; waits for the device.  TrainingError where nothing can be learnt."""
        rows, levels = self.notes.read()
        kept = [(loss, norm) for loss, norm, good in rows if good]
        for *_, good in rows:
            self.bad_in_a_row = 0 if good else self.bad_in_a_row + 1
            self.skipped += not good
            if self.bad_in_a_row >= PATIENCE:
                raise TrainingError(f"the loss was not finite {PATIENCE} times in a row; lower training.rate")
        spent = max(time.monotonic() - self.clock, 1e-9)
        self.seconds += spent
        report = Report(
            seen=self.seen,
            loss=sum(loss for loss, _ in kept) / len(kept) if kept else math.nan,
            gradient=sum(norm for _, norm in kept) / len(kept) if kept else math.nan,
            rate=rate_at(self.seen, self.recipe),
            speed=len(rows) * self.recipe.training.batch / spent,
            waiting=self.waiting.seconds() / spent,
            skipped=self.skipped,
            minutes=self.seconds / 60,
            by_level=levels,
        )
        self.start_clock()
        return report

    def start_clock(self) -> None:
        """Training is about to go on: what was spent since the last report is not counted to it."""
        self.clock = time.monotonic()

    def showing(self, weights: Tensor | None = None) -> Model:
        """The model with the averaged weights, or others, to be used and not trained; one object for all."""
        if self.shown is None:
            self.shown = copy.deepcopy(self.model)
        self.shown.net.load_state_dict(self.flat.named(self.average if weights is None else weights))
        return self.shown

    def write_model(self, name: str = "model.safetensors") -> None:
        """Write the averaged weights as a model's file, whole or not at all."""
        about = {**self.about, "pictures_seen": self.pictures, "minutes": round(self.seconds / 60, 2)}
        about |= {"begun": self.begun, "saves": self.saves, "recipe": told(self.recipe.training)}
        tensors = self.model.tensors(self.flat.named(self.average))
        checkpoint.save(self.folder / name, self.model.config, tensors, about)

    def write_part(self) -> None:
        """Write the averaged weights as part-0001.safetensors, …, and save."""
        self.parts += 1
        self.write_model(f"part-{self.parts:04d}.safetensors")
        self.save()

    def _model_is_of_state(self) -> bool:
        """Whether model.safetensors holds this state's average: a run may have ended between the two files."""
        try:
            _, facts = checkpoint.read_tensors(self.folder / "model.safetensors")
            about = json.loads(facts["about"])
        except (CheckpointError, KeyError, json.JSONDecodeError):
            return False
        return about.get("pictures_seen") == self.pictures and about.get("saves", self.saves) == self.saves

    def save(self) -> None:
        """Write the state, then the model; each file is whole or untouched."""
        began = time.monotonic()
        self.saves += 1
        if self.accelerator.is_main_process:
            vectors = (self.flat.weights, self.average, self.moments["exp_avg"], self.moments["exp_avg_sq"])
            tensors: dict[str, Tensor] = {}
            for prefix, vector in zip(state.VECTORS, vectors, strict=True):
                views = self.flat.named(vector) if prefix == "net" else self.flat.views(vector)
                tensors |= {f"{prefix}.{name}": view for name, view in views.items()}
            if isinstance(self.objective, Adversarial):
                tensors |= {f"objective.{name}": tensor for name, tensor in self.objective.state().items()}
            facts = {name: getattr(self, name) for name in FACTS} | {"step": self.moments["step"].item()}
            state.save(self.folder, tensors, facts | state.identity(self.recipe, self.crops, self.marks))
            self.write_model()
        self.saved, self.save_seconds = self.seen, time.monotonic() - began
        self.start_clock()

    def _compile(self) -> str | None:
        """Compile the network and try it; where that fails, a sentence, and the network as it was."""
        first = self.model.first
        self.denoiser = replace(self.model.denoiser(), net=torch.compile(self.net, dynamic=False))
        if first is not None:
            first.net.compile(dynamic=False)
        try:
            self.loss(self.batches(self.seen)[0]).each.mean().backward()
            wait(self.device)
        except Exception as error:  # whatever the compiler stumbles over
            self.denoiser = self.model.denoiser()
            if first is not None:
                first.net._compiled_call_impl = None  # pyright: ignore[reportPrivateUsage] (nothing public undoes it)
            return f"torch.compile failed ({type(error).__name__}: {str(error).strip()[:200]}); going on without"
        return None

    def _try_second_derivatives(self) -> None:
        """ConfigError, before training, where an operation of the network has no second derivative."""
        rng = Stream(self.recipe.training.seed, [0], self.device)
        clean = self.crops([0])
        example = self.model.prepare(self.model.task.degrade(clean, rng=rng))._replace(target=clean)
        try:
            check_double_backward(self.objective, self.denoiser, example, rng)
        except ValueError as error:
            raise ConfigError(str(error)) from error
