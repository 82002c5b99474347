"""What a recipe says about each moment of a run: the rate, the average, the objective; and what it must agree with."""

import math
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import nn

from sr3.diffusion.schedule import SCHEDULES
from sr3.diffusion.tables import OBJECTIVES
from sr3.model.config import ConfigError, Recipe, Training, build
from sr3.model.walk import KINDS
from sr3.nn.plain import PlainNet
from sr3.random import mix
from sr3.task import TASKS, Generation
from sr3.training.adversarial import Adversarial
from sr3.training.colours import Colours


def rate_at(seen: int, recipe: Recipe) -> float:
    """The learning rate after `seen` pictures: linear warm-up, then constant or half a cosine down to 1 %."""
    t = recipe.training
    rise = min(1.0, (seen + t.batch) / t.warmup) if t.warmup else 1.0
    if t.decay == "constant":
        return t.rate * rise
    share = min(1.0, seen / t.pictures)
    return t.rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def share_at(seen: int, recipe: Recipe) -> float:
    """How far the average moves towards the weights after the step that began at `seen`.

    Its half-life grows with the run up to `training.average`: early on a long average would still hold the random
    first weights (as Karras et al. 2022 ramp theirs up).
    """
    half_life = min(recipe.training.average, max(seen, 1) / 8)
    return 1 - 0.5 ** (recipe.training.batch / half_life) if half_life > 0 else 1.0


def dropout_seed(seed: int, seen: int, rank: int) -> int:
    """The seed of a step's dropout: processes must not drop the same units of different pictures."""
    return mix(seed, seen, 0xD80, rank) if rank else mix(seed, seen, 0xD80)


def told(training: Training) -> dict[str, Any]:
    """What a model's file says of how it was taught.

    Of files by their whole path the last two names: the file goes to others, whom the folders of one's own machine,
    and often one's own name, are no business of.
    """
    found = training.model_dump(mode="json")
    found["begin"], found["objective"] = _named(found["begin"]), {k: _named(v) for k, v in found["objective"].items()}
    return found


def _named(value: Any) -> Any:
    absolute = isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute())
    return "/".join(PureWindowsPath(value).parts[-2:]) if absolute else value


def objective_of(recipe: Recipe, device: torch.device | str = "cpu") -> Any:
    """The recipe's objective over its schedule."""
    if recipe.training.objective.get("kind") == "regression":
        return build("objective", OBJECTIVES, recipe.training.objective)
    schedule = build("schedule", SCHEDULES, recipe.model.schedule)
    students = {"adversarial": Adversarial, "colours": Colours}
    if (kind := recipe.training.objective.get("kind")) in students:
        if not KINDS[recipe.model.kind].varies:
            raise ConfigError(f"training.objective {kind} needs a diffusion model")
        sampling = recipe.model.sampling
        if sampling.noisiest is not None or sampling.schedule is not None:
            raise ConfigError(
                f"training.objective {kind} begins where model.schedule ends, and with model.sampling.noisiest or "
                "model.sampling.schedule the walk begins elsewhere; leave these out and change model.schedule"
            )
        given: dict[str, Any] = {"schedule": schedule, "first": recipe.model.first}
        if kind == "adversarial":
            given["factor"] = build("task", TASKS, recipe.model.task).factor
        return build("objective", students, recipe.training.objective, **given).to(device)
    return build("objective", OBJECTIVES, recipe.training.objective, schedule=schedule)


def check_crop(recipe: Recipe) -> None:
    """ConfigError where the crops do not suit the task."""
    crop, task = recipe.training.crop, build("task", TASKS, recipe.model.task)
    if isinstance(task, Generation) and task.sides != (crop, crop):
        high, wide = task.sides
        raise ConfigError(
            f"training.crop={crop} must be the size of the pictures that are made, model.task.size, which is "
            + (str(high) if high == wide else f"{high} by {wide}; only squares can be trained on")
        )
    multiple = getattr(task, "multiple", task.factor)
    if crop % multiple:
        raise ConfigError(f"training.crop={crop} must be a multiple of the task's factor {multiple}")


def check_batch(recipe: Recipe, world: int) -> None:
    """ConfigError where the batch cannot be shared out."""
    t = recipe.training
    if t.batch % (world * t.accumulate):
        raise ConfigError(
            f"training.batch={t.batch} cannot be shared by {world} processes in {t.accumulate} parts; "
            "make it a multiple of both"
        )


def begin_from(net: nn.Module, other: nn.Module) -> None:
    """Copy the weights of another network of the same shape; ConfigError where the shapes differ.

    A plain network that is stirred may begin from one that is not, and keeps its own weights of the noise.
    """
    mine, theirs = net.state_dict(), other.state_dict()
    if isinstance(net, PlainNet) and net.stir is not None and "stir.weight" not in theirs:
        mine.pop("stir.weight")
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
        raise ConfigError("training.begin names a model whose network has another shape than this recipe's")
    net.load_state_dict(theirs, strict=False)
