"""Objectives: one loss per example, for a batch of examples."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoiser, Example, Regressor
from sr3.diffusion.level import Level, diffuse
from sr3.diffusion.predict import Prediction
from sr3.diffusion.schedule import Schedule
from sr3.random import Stream

EARLIEST = 1e-5
"""The smallest t drawn.  At t = 0 exactly, piecewise linear schedules have sigma = 0 and an infinite log-SNR."""


class Loss(NamedTuple):
    """What an objective gives: a number per example, and where on the road it was taken."""

    each: Tensor
    """[B]; nothing is averaged over examples."""
    logsnr: Tensor | None
    """[B], the log-SNR each example was diffused to; None where no noise was involved."""


class Objective(Protocol):
    """One loss per example.  The trainer averages, and needs to know nothing of noise."""

    def __call__(self, denoiser: Any, example: Example, *, rng: Stream) -> Loss:
        """The losses of a batch whose `target` is given.  rng: one stream of randomness per example."""
        ...


@dataclass(frozen=True)
class Denoising:
    """The mean of |net(x_t) - target|**p over an example, at a t drawn uniformly for each example.

    With the Eps prediction this is SR3's eq. 6 (Saharia et al. 2021), p = 1 or 2.  X0, V and Score give the
    regressions of those names.  With the EDM prediction and "l2" it is eq. 8 of Karras et al. (2022) at their weight:
    they weigh the error of x0 by 1 / c_out**2, and c_out is exactly the factor between the network's output and x0,
    so in the output's units the weight is 1.

    loss: "l1" or "l2".
    weight: None, or what the squared error of x0 shall be weighed by (see `factor`):
        "min-snr": min(SNR, gamma), Hang et al. (2023), eq. 6 ff.;  "snr": SNR, which is the plain error of eps and,
        for the Score prediction, the sigma**2 weight of Song & Ermon (2019), section 4.2.
    gamma: the cap of "min-snr", in units of alpha**2 / sigma**2.  5 was found for pictures of about unit spread; for
        residuals of spread d the same cap is 5 / d**2.
    dream: the power p of DREAM (Zhou et al. 2023, Algorithm 2), 0 for none.  The network's own estimate, made without
        gradient, takes the place of a share sigma**p (of the variance-preserving level) of the clean picture in x_t,
        so that training meets the inputs that sampling makes.  Costs one more forward pass.

    Where the example has a mask, only the pixels to be made count; an example without any has loss 0.
    """

    schedule: Schedule
    loss: Literal["l1", "l2"] = "l1"
    weight: Literal["min-snr", "snr"] | None = None
    gamma: float = 5.0
    dream: float = 0.0

    def __post_init__(self) -> None:
        if self.dream < 0:
            raise ValueError(f"the power of DREAM is positive, or 0 for none, not {self.dream:g}")
        known("loss", self.loss, ("l1", "l2"))
        known("weight", self.weight, (None, "min-snr", "snr"))

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        x0 = clean_of(example)
        level = self.schedule(rng.uniform().clamp(min=EARLIEST))  # [B]
        eps = rng.normal(x0)
        x = diffuse(x0, eps, level)
        if self.dream > 0:
            eps = self._dreamt(denoiser, x0, eps, x, level, example)
            x = diffuse(x0, eps, level)
        error = denoiser.raw(x, level, example) - denoiser.target(x0, eps, level, example)
        each = per_example(error, self.loss, example.mask)
        if self.weight is not None:
            each = each * self.factor(denoiser.prediction, level).to(each.dtype).to(each.device)
        return Loss(each, level.logsnr)

    def _dreamt(self, denoiser: Denoiser, x0: Tensor, eps: Tensor, x: Tensor, level: Level, example: Example) -> Tensor:
        """The noise that, with x0, makes the x_t of a picture that is partly the network's estimate."""
        with torch.no_grad():
            guess = denoiser(x, level, example)
        if example.mask is not None:  # known pixels are held in sampling, and never the network's
            guess = torch.where(example.mask, guess, x0)
        a, s = level.like(x)
        share = (s**2 / (a**2 + s**2)) ** (self.dream / 2)
        return eps + share * a / s * (guess - x0)

    def factor(self, prediction: Prediction, level: Level) -> Tensor:
        """What the loss in the network's own units is multiplied by, of level's shape.

        Every prediction is linear, x0 = a(level) x + g(level) out, so the squared error of x0 is g**2 times that of
        the output, and a weight w of the former is w g**2 of the latter: for min-SNR min(SNR, gamma) / SNR with Eps,
        min(SNR, gamma) with X0, min(SNR, gamma) / (SNR + 1) with V (Hang et al. 2023, section 3.4).
        With "l1" the root of that, so that the absolute error of x0 is weighed by the root of w.
        """
        snr = (level.alpha / level.sigma) ** 2
        gain = prediction.clean(torch.ones_like(snr), torch.zeros_like(snr), level)
        wanted = snr.clamp(max=self.gamma) if self.weight == "min-snr" else snr
        factor = gain**2 * wanted
        return factor if self.loss == "l2" else factor.sqrt()


@dataclass(frozen=True)
class Regression:
    """The mean of |net - (target - base) / scale|**p: SR3's regression baseline (Saharia et al. 2021, section 4).

    loss: "l2", which asks for the mean of all pictures that fit, or "l1", their median.
    """

    loss: Literal["l1", "l2"] = "l2"

    def __post_init__(self) -> None:
        known("loss", self.loss, ("l1", "l2"))

    def __call__(self, denoiser: Regressor, example: Example, *, rng: Stream) -> Loss:
        x0 = clean_of(example)
        rest = x0 - example.base if denoiser.residual and example.base is not None else x0
        error = denoiser.raw(x0, example) - rest / denoiser.scale
        return Loss(per_example(error, self.loss, example.mask), None)


def clean_of(example: Example) -> Tensor:
    """The clean picture; ValueError where there is none."""
    if example.target is None:
        raise ValueError("an objective needs the clean picture: the example's target is missing")
    return example.target


def per_example(error: Tensor, loss: Literal["l1", "l2"], mask: Tensor | None) -> Tensor:
    """[B, ...] -> [B]: the mean over pixels and channels, of those in the mask where there is one."""
    each = error.abs() if loss == "l1" else error**2
    if mask is None:
        return each.flatten(1).mean(1)
    inside = mask.to(each.dtype).expand_as(each)
    return (each * inside).flatten(1).sum(1) / inside.flatten(1).sum(1).clamp(min=1)


def known(what: str, name: str | None, names: tuple[str | None, ...]) -> None:
    """ValueError unless the name is one of those that there are."""
    if name not in names:
        raise ValueError(f"there is no {what} {name!r}; there are {', '.join(map(repr, names))}")


REGRESSIONS: dict[str, type[Objective]] = {"denoising": Denoising, "regression": Regression}
