"""Score matching: objectives that ask for the gradient of the log density, with and without knowing it.

All are half the mean squared error of `denoiser.score` over the pixels of an example, up to a constant that does not
depend on the network; they differ in what they need.  Explicit: the true score.  Implicit and sliced: derivatives of
the network.  Denoising: noise.  At a tiny level (`at`) they find the score of the data themselves.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sr3.diffusion.denoiser import Denoiser, Example
from sr3.diffusion.level import Level, diffuse
from sr3.diffusion.objective import EARLIEST, Loss, Objective, clean_of, known, per_example
from sr3.diffusion.schedule import Schedule
from sr3.random import Stream


@dataclass(frozen=True)
class _Levels:
    """Where on the road the score is matched.

    at: the one sigma / alpha for all examples; None: a level drawn for each.
    levels: draw among this many levels, evenly spaced in t and both ends included, as NCSN does on the geometric
        schedule; None: t is uniform.
    weight: "sigma2" multiplies each example's loss by sigma**2, Song & Ermon (2019), eq. 6: all levels then count
        alike, as the score grows like 1 / sigma.  "none": no weight.

    Where the example has a mask, only the pixels to be made count: what is matched is the gradient with respect to
    them, given the others.
    """

    schedule: Schedule
    at: float | None = None
    levels: int | None = None
    weight: Literal["sigma2", "none"] = "sigma2"
    needs_double_backward: ClassVar[bool] = False

    def __post_init__(self) -> None:
        known("weight", self.weight, ("sigma2", "none"))
        if self.at is not None and self.levels is not None:
            raise ValueError("`at` is one level and `levels` are several: give one of them")
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"there are 2 levels or more, not {self.levels}; use `at` for one")
        if self.at is not None:
            ratio = self.schedule(self._time(self.at)).ratio.item() if self.at > 0 else 0.0
            if abs(ratio - self.at) > 1e-3 * self.at or ratio == 0:
                raise ValueError(f"the schedule does not reach sigma / alpha = {self.at:g}; the nearest is {ratio:.4g}")

    def _time(self, ratio: float) -> Tensor:
        return self.schedule.when(-2 * torch.tensor(ratio, dtype=torch.float64).log())

    def _level(self, rng: Stream) -> Level:
        """The level of each example, [B]."""
        t = rng.uniform()
        if self.at is not None:
            t = torch.zeros_like(t) + self._time(self.at).to(t.device)
        elif self.levels is not None:
            t = (t * self.levels).floor().clamp(max=self.levels - 1) / (self.levels - 1)
        return self.schedule(t if self.at is not None else t.clamp(min=EARLIEST))

    def _drawn(self, example: Example, rng: Stream) -> tuple[Tensor, Tensor, Level]:
        """x_t, the noise in it, and its level."""
        x0 = clean_of(example)
        level = self._level(rng)
        eps = rng.normal(x0)
        return diffuse(x0, eps, level), eps, level

    def _weighed(self, each: Tensor, level: Level) -> Loss:
        if self.weight == "sigma2":
            each = each * level.like(each).sigma ** 2
        return Loss(each, level.logsnr)


@dataclass(frozen=True)
class ExplicitScore(_Levels):
    """Half the mean of |score - truth|**2: the Fisher divergence at a level; Hyvärinen (2005), eq. 2.

    truth: (x_t, level) -> the true score, as the densities of `sr3.testing` give it.  A recipe cannot name a
    function, so this one is not in the table.
    """

    truth: Callable[[Tensor, Level], Tensor] | None = None

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        if self.truth is None:
            raise ValueError("explicit score matching needs the true score")
        x, _, level = self._drawn(example, rng)
        error = denoiser.score(x, level, example) - self.truth(x, level)
        return self._weighed(per_example(error, "l2", example.mask) / 2, level)


@dataclass(frozen=True)
class DenoisingScore(_Levels):
    """Half the mean of |score + eps / sigma|**2: Vincent (2011), eq. 9 ff.; one pass, at any size.

    With `at`, his objective at one level.  On the geometric schedule with `levels` and the weight sigma**2, NCSN's:
    Song & Ermon (2019), eq. 5 and 6.
    """

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        x, eps, level = self._drawn(example, rng)
        error = denoiser.score(x, level, example) + eps / level.like(x).sigma
        return self._weighed(per_example(error, "l2", example.mask) / 2, level)


@dataclass(frozen=True)
class ImplicitScore(_Levels):
    """The mean over pixels of [d score_i / d x_i + score_i**2 / 2]; Hyvärinen (2005), eq. 4.

    Equal to the explicit objective up to a constant, by partial integration; needs no noise and no truth.
    trace: "exact", one more backward pass for each pixel and channel; or "hutchinson", v' J v with v of random signs,
        unbiased (Hutchinson 1990), one more backward pass for each of `probes`.
    """

    trace: Literal["exact", "hutchinson"] = "exact"
    probes: int = 1
    needs_double_backward: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        known("trace", self.trace, ("exact", "hutchinson"))
        _some(self.probes)

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        x, _, level = self._drawn(example, rng)
        with _differentiable(x) as (x, keep):
            score = denoiser.score(x, level, example)
            if self.trace == "exact":
                trace = _diagonal(score, x)
            else:
                draws = (_probe(x, "signs", example.mask, rng) for _ in range(self.probes))
                trace = torch.stack([v * _gradient(score, v, x) for v in draws]).mean(0)
            each = _over(trace + score**2 / 2, example.mask)
        return self._weighed(each if keep else each.detach(), level)


@dataclass(frozen=True)
class SlicedScore(_Levels):
    """The mean over random directions v of v' grad(v' score) + (v' score)**2 / 2; Song et al. (2019, UAI), eq. 7.

    reduced: the second term's mean in closed form, |score|**2 / 2: their SSM-VR, eq. 8.  With random signs that is
        `ImplicitScore` with Hutchinson's trace.
    directions: "normal" or "signs"; both have E[v v'] = I.
    probes: directions for each example, one backward pass each.
    """

    reduced: bool = True
    directions: Literal["normal", "signs"] = "normal"
    probes: int = 1
    needs_double_backward: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        known("directions", self.directions, ("normal", "signs"))
        _some(self.probes)

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        x, _, level = self._drawn(example, rng)
        with _differentiable(x) as (x, keep):
            score = denoiser.score(x, level, example)
            sums: list[Tensor] = []
            for _ in range(self.probes):
                v = _probe(x, self.directions, example.mask, rng)
                along = (v * score).flatten(1).sum(1)
                bend = (v * _gradient(score, v, x)).flatten(1).sum(1)
                sums.append(bend if self.reduced else bend + along**2 / 2)
            each = torch.stack(sums).mean(0) / _size(score, example.mask)
            if self.reduced:
                each = each + _over(score**2 / 2, example.mask)
        return self._weighed(each if keep else each.detach(), level)


def needs_double_backward(objective: Objective, net: nn.Module | None = None) -> bool:
    """Whether training differentiates a derivative: implicit or sliced objectives, or a network that is an energy.

    Compiled networks cannot, and networks spread over processes (DDP) are not meant to.
    """
    modules = net.modules() if net is not None else ()
    return any(getattr(part, "needs_double_backward", False) for part in (objective, *modules))


def check_double_backward(objective: Objective, denoiser: Any, example: Example, rng: Stream) -> None:
    """Take one loss and its gradient; ValueError, naming the operation, where one has no second derivative.

    The parameters' gradients are left as they were.
    """
    parameters = list(denoiser.net.parameters())
    kept = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    try:
        # not autograd.grad, which leaves out the nodes that only refuse
        objective(denoiser, example, rng=rng).each.sum().backward()
    except RuntimeError as error:
        text = str(error)
        if not any(word in text for word in ("derivative", "double backward", "differentiate twice", "once_diff")):
            raise
        first = text.splitlines()[0]
        raise ValueError(f"this objective needs second derivatives and the network lacks one: {first}") from error
    finally:
        for p, gradient in zip(parameters, kept, strict=True):
            p.grad = gradient


@contextmanager
def _differentiable(x: Tensor) -> Generator[tuple[Tensor, bool], None, None]:
    """x ready to be differentiated by, and whether the result shall be differentiable in its turn."""
    keep = torch.is_grad_enabled()
    # attention's fused kernels have no second derivative
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        yield x.detach().requires_grad_(), keep


def _gradient(score: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """grad_x of v' score, which is J' v; of x's shape.  Examples must not see one another (no batch norm)."""
    return torch.autograd.grad(score, x, v, create_graph=True, materialize_grads=True)[0]


def _diagonal(score: Tensor, x: Tensor) -> Tensor:
    """The diagonal of each example's Jacobian, of x's shape."""
    parts: list[Tensor] = []
    for i in range(x[0].numel()):
        pick = torch.zeros_like(x).flatten(1)
        pick[:, i] = 1
        parts.append(_gradient(score, pick.view_as(x), x).flatten(1)[:, i])
    return torch.stack(parts, 1).view_as(x)


def _probe(x: Tensor, kind: Literal["normal", "signs"], mask: Tensor | None, rng: Stream) -> Tensor:
    """A direction for each example, zero outside the mask."""
    v = rng.normal(x)
    v = v if kind == "normal" else torch.where(v < 0, -1.0, 1.0).to(x.dtype)
    return v if mask is None else v * mask.to(v.dtype)


def _size(x: Tensor, mask: Tensor | None) -> Tensor | int:
    """How many numbers of each example count."""
    return x[0].numel() if mask is None else mask.to(x.dtype).expand_as(x).flatten(1).sum(1).clamp(min=1)


def _over(value: Tensor, mask: Tensor | None) -> Tensor:
    """[B, ...] -> [B]: the mean over what counts."""
    inside = value if mask is None else value * mask.to(value.dtype)
    return inside.flatten(1).sum(1) / _size(value, mask)


def _some(probes: int) -> None:
    if probes < 1:
        raise ValueError(f"a random trace needs one probe or more, not {probes}")


SCORE_MATCHING: dict[str, type[Objective]] = {
    "denoising-score": DenoisingScore,
    "implicit-score": ImplicitScore,
    "sliced-score": SlicedScore,
}
