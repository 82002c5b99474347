"""Paths: the list of noise levels a sampler visits.  Which levels matters as much as which sampler."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.diffusion.level import Level
from sr3.diffusion.schedule import Schedule

LOWEST = 0.002
"""sigma / alpha of the last level before the clean one: a quarter of an 8-bit step; Karras et al. (2022), table 1."""


@dataclass(frozen=True)
class Path:
    """The levels of a walk from noise to picture, noisiest first; iterating gives pairs (here, there).

    levels: alpha and sigma of shape [steps + 1], kept in float64.  alpha > 0; sigma / alpha falls at every step and
    may be 0 at the last level only.  ValueError otherwise: a level visited twice makes multistep samplers divide by 0.
    """

    levels: Level

    def __post_init__(self) -> None:
        levels = Level(*(c.detach().double().cpu() for c in self.levels))
        object.__setattr__(self, "levels", levels)
        if levels.alpha.ndim != 1 or levels.alpha.shape != levels.sigma.shape or len(levels.alpha) < 2:
            raise ValueError("a path needs two levels or more: alpha and sigma of shape [steps + 1]")
        if not (torch.isfinite(torch.stack(levels)).all() and (levels.alpha > 0).all() and (levels.sigma >= 0).all()):
            raise ValueError("every level of a path needs a finite alpha > 0 and a finite sigma >= 0")
        falls = levels.ratio.diff() < 0
        if not falls.all():
            k = int(falls.long().argmin())
            before, after = levels.ratio[k].item(), levels.ratio[k + 1].item()
            what = "repeats a level" if before == after else "grows noisier"
            raise ValueError(
                f"the path {what}: sigma / alpha is {before:.6g} at level {k} and {after:.6g} at level {k + 1}; "
                "it must fall at every step"
            )

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.levels.alpha) - 1

    def __getitem__(self, k: int) -> tuple[Level, Level]:
        """The k-th step, from `here` (noisier) to `there` (cleaner), each of shape []; negative k from the end."""
        k = range(len(self))[k]
        return Level(*(c[k] for c in self.levels)), Level(*(c[k + 1] for c in self.levels))

    def __iter__(self) -> Iterator[tuple[Level, Level]]:
        """The steps, in order."""
        return (self[k] for k in range(len(self)))

    @property
    def first(self) -> Level:
        """The noisiest level, where the walk starts, of shape []."""
        return self[0][0]

    @property
    def ends_clean(self) -> bool:
        """Whether the last level has no noise, so that the walk ends at a picture."""
        return self.levels.sigma[-1].item() == 0


def given(levels: Iterable[Level]) -> Path:
    """The path through these levels, each of shape []; found by a search, say."""
    alphas, sigmas = zip(*levels, strict=True)
    return Path(Level(torch.stack(alphas), torch.stack(sigmas)))


def even_t(
    schedule: Schedule, steps: int, *, high: float | None = None, low: float | None = None, end_clean: bool = True
) -> Path:
    """Levels at evenly spaced t.  Without high and low they are those of DDPM and SR3; see `walk` for the arguments.

    With as many steps as `LinearBeta` has betas these are its knots, and `ancestral` on them is SR3's Algorithm 2.
    """
    first = _time(schedule, high, 1.0)
    if low is None:
        return _path(schedule(torch.linspace(first, 0, _count(steps) + 1, dtype=torch.float64)), end_clean, cut=True)
    count = _count(steps) if end_clean else steps + 1
    return _path(schedule(torch.linspace(first, _time(schedule, low, 0.0), count, dtype=torch.float64)), end_clean)


def even_logsnr(
    schedule: Schedule, steps: int, *, high: float | None = None, low: float | None = None, end_clean: bool = True
) -> Path:
    """Levels at evenly spaced log-SNR, Lu et al. (2022), section 3.4: the default for ODE samplers."""
    return _spread(schedule, steps, high, low, end_clean, torch.log, torch.exp)


def karras(
    schedule: Schedule,
    steps: int,
    *,
    high: float | None = None,
    low: float | None = None,
    end_clean: bool = True,
    rho: float = 7.0,
) -> Path:
    """Levels whose (sigma / alpha)**(1 / rho) is evenly spaced; Karras et al. (2022), eq. 5."""
    return _spread(schedule, steps, high, low, end_clean, lambda r: r ** (1 / rho), lambda root: root**rho)


def walk(
    schedule: Schedule,
    steps: int,
    spacing: str = "logsnr",
    *,
    high: float | None = None,
    low: float | None = None,
    end_clean: bool = True,
) -> Path:
    """A path of `steps` steps along a schedule, in a spacing of `SPACINGS`.

    high, low: sigma / alpha of the noisiest and the least noisy level.  high is the schedule's end unless given;
        low is the schedule's beginning, and at least `LOWEST`, unless given.  Spaced in t, the last level is t = 0.
    end_clean: let the last level be (alpha, sigma) = (1, 0), reached from `low` in one of the steps.  Otherwise the
        walk ends at `low`.
    ValueError: for no step at all, an unknown spacing, or a level that the schedule does not reach.
    """
    if spacing not in SPACINGS:
        raise ValueError(f"there is no spacing {spacing!r}; there are {', '.join(sorted(SPACINGS))}")
    return SPACINGS[spacing](schedule, steps, high=high, low=low, end_clean=end_clean)


def _spread(
    schedule: Schedule,
    steps: int,
    high: float | None,
    low: float | None,
    end_clean: bool,
    forth: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
) -> Path:
    """Even spacing of forth(sigma / alpha)."""
    count = _count(steps) if end_clean else steps + 1
    ends = schedule(torch.tensor([1.0, 0.0], dtype=torch.float64)).ratio.tolist()
    top = ends[0] if high is None else high
    bottom = max(ends[1], LOWEST) if low is None else low
    for ratio in (top, bottom):
        _check(ratio, ends)
    first, last = forth(torch.tensor([top, bottom], dtype=torch.float64)).tolist()
    ratios = back(torch.linspace(first, last, count, dtype=torch.float64)).clamp(min(bottom, top), max(bottom, top))
    return _path(schedule(schedule.when(-2 * ratios.log())), end_clean)


def _time(schedule: Schedule, ratio: float | None, default: float) -> float:
    if ratio is None:
        return default
    _check(ratio, schedule(torch.tensor([1.0, 0.0], dtype=torch.float64)).ratio.tolist())
    return schedule.when(-2 * torch.tensor(ratio, dtype=torch.float64).log()).item()


def _check(ratio: float, ends: list[float]) -> None:
    # a hair of room: the ends themselves may come back rounded
    if not (ratio > 0 and ends[1] * (1 - 1e-6) <= ratio <= ends[0] * (1 + 1e-6)):
        raise ValueError(f"the schedule runs from sigma / alpha {ends[0]:.6g} to {ends[1]:.6g} and has no {ratio:.6g}")


def _count(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"a path needs one step or more, not {steps}")
    return steps


def _path(levels: Level, end_clean: bool, cut: bool = False) -> Path:
    """The path along levels, with the clean one appended, or put in place of the last (`cut`)."""
    if not end_clean:
        return Path(levels)
    a, s = (c[:-1] if cut else c for c in levels)
    return Path(Level(torch.cat([a, a.new_ones(1)]), torch.cat([s, s.new_zeros(1)])))


SPACINGS: dict[str, Callable[..., Path]] = {"t": even_t, "logsnr": even_logsnr, "karras": karras}
