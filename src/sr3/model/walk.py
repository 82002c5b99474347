"""Walks: how a model of each kind comes from its network's answers to a picture.

A diffusion model refines noise in steps.  A regression's walk is one step without noise, so that nobody who walks has
to ask which of the two a model is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import TELLS, Denoise, Denoiser, Example, Regressor, start
from sr3.diffusion.level import Level
from sr3.diffusion.path import SPACINGS, Path, walk
from sr3.diffusion.predict import EDM, Prediction
from sr3.diffusion.sample import Noise, Step, once
from sr3.diffusion.schedule import SCHEDULES, Schedule
from sr3.diffusion.tables import SAMPLERS
from sr3.model.config import QUALITIES, ConfigError, ModelConfig, Sampling, build, check, nearest


class Walk(Protocol):
    """What is particular to a kind of model."""

    @property
    def varies(self) -> bool:
        """Whether another seed gives another picture."""
        ...

    def denoiser(self, net: nn.Module) -> Denoiser | Regressor:
        """What a network of this kind answers, as an estimate of x0."""
        ...

    def methods(self, name: str, samples: int) -> list[str]:
        """What tables call a sample, and with it the mean of so many where there is one; name: the task's word."""
        ...

    def settings(
        self, *, steps: int | None, sampler: str | None, spacing: str | None, quality: str | None, samples: int
    ) -> Sampling:
        """The model's own way of sampling, with what is asked for instead.  ConfigError for what cannot be had."""
        ...

    def tunable(self) -> Sampling:
        """Where a search for a better way begins; ConfigError where there is nothing to search."""
        ...

    def path(self, settings: Sampling) -> Path:
        """The levels that are visited.  ConfigError where the schedule does not have them."""
        ...

    def __call__(
        self, denoise: Denoise, blank: Tensor, noise: Noise, settings: Sampling, example: Example
    ) -> Iterator[Step]:
        """Walk to pictures of the shape and device of `blank`, which is zeros.  ConfigError where that cannot be."""
        ...


@dataclass(frozen=True)
class Refinement:
    """From noise to a picture, step by step."""

    config: ModelConfig
    schedule: Schedule
    prediction: Prediction
    varies = True

    def denoiser(self, net: nn.Module) -> Denoiser:
        config = self.config
        return Denoiser(net, self.prediction, TELLS[config.tell], residual=config.residual, pasted=config.pasted)

    def methods(self, name: str, samples: int) -> list[str]:
        return [name, *([f"{name}-mean-{samples}"] if samples > 1 else [])]

    def settings(
        self, *, steps: int | None, sampler: str | None, spacing: str | None, quality: str | None, samples: int
    ) -> Sampling:
        config, asked = self.config, _spaced(spacing, quality)
        settings = config.sampling
        if settings.steps == 1 and all(how.steps == 1 for how in config.quality.values()):
            _check_once(config, steps, sampler, spacing)
        if quality is not None:
            tuned: Mapping[str, Sampling] = {str(name): found for name, found in config.quality.items()}
            if config.sampling.steps == 1:  # a student of one step has one quality, whatever it is called
                tuned = {quality: settings, **tuned}
            if quality not in tuned:
                raise ConfigError(f"{config.name} has not been tuned and knows no {quality!r}; run sr3 tune on it")
            settings = tuned[quality]
        if sampler is not None:
            asked["sampler"] = {"kind": sampler}
        if steps is not None:
            if not 1 <= steps <= 10_000:
                raise ConfigError(f"{steps} steps cannot be walked; give a number from 1 to 10000")
            asked["steps"] = steps
        settings = settings.model_copy(update=asked)
        if settings.sampler.get("kind") not in SAMPLERS:
            name = str(settings.sampler.get("kind"))
            raise ConfigError(f"there is no sampler {name!r}{nearest(name, list(SAMPLERS))}")
        return settings

    def tunable(self) -> Sampling:
        return self.config.sampling

    def path(self, settings: Sampling) -> Path:
        try:
            schedule = build("schedule", SCHEDULES, settings.schedule) if settings.schedule else self.schedule
            return walk(schedule, settings.steps, settings.spacing, high=settings.noisiest, low=settings.cleanest)
        except ValueError as error:
            raise ConfigError(f"{self.config.name} cannot be sampled so: {error}") from error

    def __call__(
        self, denoise: Denoise, blank: Tensor, noise: Noise, settings: Sampling, example: Example
    ) -> Iterator[Step]:
        base = example.base if self.config.residual else None
        path = self.path(settings)
        try:
            x = start(noise(blank), path.first, base, spread_of(self.prediction))
        except ValueError as error:
            raise ConfigError(f"{self.config.name} cannot be sampled so: {error}") from error
        options = check("sampler", SAMPLERS, settings.sampler)
        sampler = SAMPLERS[settings.sampler["kind"]]
        if not 0 <= options.get("eta", 0) <= 1:  # said before the first step, not in it
            raise ConfigError(f"sampler {settings.sampler['kind']}: eta is between 0 and 1, not {options['eta']}")
        if "spread" in signature(sampler).parameters:
            options = {"spread": spread_of(self.prediction), **options}
        return sampler(denoise, x, path, noise=noise, **options)


@dataclass(frozen=True)
class AtOnce:
    """One answer and no noise: a regression (Saharia et al. 2021, section 4).  No other steps, sampler or spacing."""

    config: ModelConfig
    schedule: Schedule
    prediction: Prediction
    varies = False

    def denoiser(self, net: nn.Module) -> Regressor:
        return Regressor(net, scale=spread_of(self.prediction), residual=self.config.residual)

    def methods(self, name: str, samples: int) -> list[str]:
        return ["regression"]

    def settings(
        self, *, steps: int | None, sampler: str | None, spacing: str | None, quality: str | None, samples: int
    ) -> Sampling:
        if samples > 1:
            raise ConfigError(f"{self.config.name} is a regression model: it has one answer, so no {samples} samples")
        _check_once(self.config, steps, sampler, spacing)
        at_once = {"sampler": {"kind": "once"}, "steps": 1}
        _spaced(spacing, quality)  # a quality that there is none of
        return self.config.sampling.model_copy(update=at_once)

    def tunable(self) -> Sampling:
        raise ConfigError(f"{self.config.name} is a regression model: it takes no steps to tune")

    def path(self, settings: Sampling) -> Path:
        return NO_NOISE

    def __call__(
        self, denoise: Denoise, blank: Tensor, noise: Noise, settings: Sampling, example: Example
    ) -> Iterator[Step]:
        return once(denoise, blank, self.path(settings), noise=noise)


NO_NOISE = Path(Level(torch.ones(2, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)))
"""The path of a walk that takes one step; a regression is not told the level."""

KINDS: dict[str, type[Refinement] | type[AtOnce]] = {"diffusion": Refinement, "regression": AtOnce}


def spread_of(prediction: Prediction) -> float:
    """The standard deviation of what is diffused: sigma_data where known, else 1."""
    return prediction.sigma_data if isinstance(prediction, EDM) else 1.0


def _check_once(config: ModelConfig, steps: int | None, sampler: str | None, spacing: str | None) -> None:
    """ConfigError where a model of one step is asked to walk in another way."""
    asked = {"steps": None if steps == 1 else steps, "sampler": sampler, "spacing": spacing}
    if told := [name for name, value in asked.items() if value is not None]:
        raise ConfigError(
            f"{config.name} takes one step, whatever its {' and '.join(told)}; leave that out, or give a model that "
            "refines: `sr3 models` tells which do"
        )


def _spaced(spacing: str | None, quality: str | None) -> dict[str, Any]:
    """The spacing asked for.  ConfigError for names of spacings and qualities that there are none of."""
    if quality is not None and quality not in QUALITIES:
        raise ConfigError(f"there is no quality {quality!r}{nearest(quality, list(QUALITIES))}")
    if spacing is not None and spacing not in SPACINGS:
        raise ConfigError(f"there is no spacing {spacing!r}{nearest(spacing, list(SPACINGS))}")
    return {} if spacing is None else {"spacing": spacing}
