"""Schedule search: which sampler, spacing and levels serve a trained model best at each number of steps.

SR3's own answer to slow sampling (Saharia et al. 2021, section 2.4): the schedule of inference is a hyper-parameter,
searched on held-out pictures by measures of what people see (`sr3.evaluation.criterion`), which PSNR does not follow.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.criterion import BY_SWD, Criterion
from sr3.evaluation.method import rounded
from sr3.evaluation.result import plain
from sr3.metric import PSNR, SWD, Consistency
from sr3.metric.swd import patches_for
from sr3.model.config import ConfigError, Sampling
from sr3.picture.collection import Pictures
from sr3.random import mix
from sr3.restore.restored import finite
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import Given, again

SAMPLERS: tuple[dict[str, Any], ...] = (
    {"kind": "dpmpp", "eta": 1.0},
    {"kind": "dpmpp", "eta": 0.5},
    {"kind": "dpmpp"},
    {"kind": "ddim", "eta": 1.0},
    {"kind": "heun"},
)
AT_ONCE = 16
"""Pictures that walk together."""

SPACINGS = ("logsnr", "karras", "t")
CLEANEST = (0.02, 0.2, 1.0, 2.0, 3.5)
"""Where walks may end, sigma / alpha in units of the spread of what is diffused; then comes the estimate itself."""
NOISIEST = (None, 40.0, 20.0)
"""Where they may start, in the same units; None: the schedule's end."""


@dataclass(frozen=True)
class Trial:
    """One way of sampling, and what it was worth."""

    settings: Sampling
    evaluations: int
    """Of the network, for one picture."""
    score: float
    """As the search's `Criterion` says; lower is better."""
    measures: dict[str, float]
    fits: bool
    """Whether PSNR is no further below the regression's than was asked."""
    lost: int = 0
    """Pictures that were not finite, even in fp32; a trial with any loses to all without."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite are None."""
        found = {"evaluations": self.evaluations, "score": self.score, "fits": self.fits, **self.measures}
        settings = self.settings.model_dump(mode="json", exclude_none=True)
        return plain({"settings": settings, **found} | ({"lost": self.lost} if self.lost else {}))


@dataclass(frozen=True)
class Tuned:
    """What a search found: the best trial at each number of steps, what the names stand for, and every trial."""

    best: dict[int, Trial]
    quality: dict[str, Sampling]
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class Searching:
    """A trial has ended."""

    steps: int
    done: int
    trial: Trial


def tune(
    restorer: Restorer,
    pictures: Pictures,
    *,
    budgets: Sequence[int] = (2, 4, 8, 16, 32),
    regression: Restorer | None = None,
    within: float | None = None,
    seed: int = 0,
    criterion: Criterion = BY_SWD,
) -> Iterator[Searching | Tuned]:
    """Search the best way of sampling for each number of evaluations; yields each trial and last the `Tuned`.

    The pictures must be held out and of one size.  For each budget one thing at a time is changed (sampler, spacing,
    where the walk ends, where it starts, sampler and end again) and the better kept, beginning from what was best with
    fewer steps: about twenty trials a budget instead of the grid's 225.  Every trial starts from the same noise.

    criterion: what a score is.  Distances are of what a user gets (with projection), consistency is of the same walk
        without it.  within: at most so many dB of PSNR below the regression's; trials below that lose to all others.
    What is not finite is made again in fp32; a trial whose pictures then are not all finite says how many, and loses.
    ConfigError for models that take no steps, pictures of several sizes, and budgets below 1.
    """
    current = restorer.model.walk.tunable()
    if not budgets or min(budgets) < 1:
        raise ConfigError("the numbers of steps to tune for must be 1 or more, as --steps 2,4,8")
    if within is not None and regression is None:
        raise ConfigError("a bound on PSNR below the regression's needs the regression; give --regression")
    bench = Bench(restorer, pictures, seed, criterion)
    floor = None if within is None or regression is None else bench.psnr(regression) - within
    trials: list[Trial] = []
    best: dict[int, Trial] = {}
    for budget in sorted(set(budgets)):
        known: dict[str, Trial] = {}
        kept = None
        for options in _moves(restorer.model.spread):
            for change in options:
                settings = _with_budget((kept.settings if kept else current).model_copy(update=change), budget)
                key = settings.model_dump_json()
                # with one step it is the others, and its time is theirs
                if key in known or (settings.sampler["kind"] == "heun" and settings.steps < 2):
                    continue
                trial = bench.trial(settings, budget, floor)
                if trial is None:
                    continue
                known[key] = trial
                trials.append(trial)
                yield Searching(budget, len(trials), trial)
                kept = trial if kept is None or rank(trial) < rank(kept) else kept
        if kept is None:
            raise ConfigError(f"no way of sampling this model in {budget} steps starts from pure noise")
        if kept.lost:
            raise ConfigError(f"no way of sampling this model in {budget} steps gives finite pictures alone")
        best[budget] = kept
        current = kept.settings
    yield Tuned(best, choose(best), trials)


def ahead(
    restorer: Restorer, pictures: Pictures, budgets: Sequence[int], betas: int | None = None
) -> tuple[int, float]:
    """About how many trials a search makes, and about how many seconds their walks take; NaN where nobody knows.

    By a walk in as few steps as are to be tuned for, of as many pictures as walk at once.  betas: of `tune_betas`, its
    trials for each number of steps.
    """
    each = betas or 1 + sum(len(options) - 1 for options in _moves(restorer.model.spread)[1:])
    trials = {budget: 1 if betas and budget == 1 else each for budget in budgets}
    some, seconds = Bench(restorer, pictures.first(AT_ONCE), 0, BY_SWD), math.nan
    least = min(budgets)
    settings = restorer.model.walk.tunable().model_copy(update={"steps": least, "sampler": {"kind": "ddim"}})
    with suppress(ConfigError):
        for _ in range(2):  # the first time a network is slow
            began = time.monotonic()
            for _made in some.walked(settings):
                seconds = (time.monotonic() - began) / least
    # and once more for the first of them, without projection
    walks = len(pictures) / min(len(pictures), AT_ONCE) + 1
    return sum(trials.values()), seconds * walks * sum(budget * count for budget, count in trials.items())


def choose(best: Mapping[int, Trial]) -> dict[str, Sampling]:
    """What "fast", "balanced" and "best" stand for: the fewest steps whose score is within 25 %, 5 % and 0 % of the
    lowest."""
    lowest = min(best.values(), key=rank)
    within = lambda share: min(  # noqa: E731
        (t for t in best.values() if t.fits == lowest.fits and t.score <= lowest.score * (1 + share)),
        key=lambda t: t.evaluations,
    )
    return {"fast": within(0.25).settings, "balanced": within(0.05).settings, "best": within(0.0).settings}


def plot(tuned: Tuned, path: Any, title: str) -> None:
    """Quality against steps: every trial a dot, the best at each budget joined.  Needs matplotlib; PNG, SVG or PDF."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes: Any = figure.subplots()
    for fits, colour, label in ((True, "tab:gray", "tried"), (False, "tab:red", "tried, PSNR too low")):
        some = [t for t in tuned.trials if t.fits == fits and not t.lost]
        if some:
            axes.scatter([t.evaluations for t in some], [t.score for t in some], s=9, color=colour, label=label)
    best = [tuned.best[b] for b in sorted(tuned.best)]
    axes.plot([t.evaluations for t in best], [t.score for t in best], "o-", color="tab:blue", label="best")
    axes.set(xscale="log", yscale="log", xlabel="network evaluations", ylabel="score", title=title)
    axes.set_xticks([t.evaluations for t in best], [str(t.evaluations) for t in best])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=120)


def rank(trial: Trial) -> tuple[bool, bool, float]:
    """What comes first is better: finite, then near enough to the regression, then by its score."""
    return trial.lost > 0, not trial.fits, trial.score


def _moves(spread: float) -> list[list[dict[str, Any]]]:
    """What is changed, one thing after the other; the first move is no change.

    Sampler and end come twice: which sampler is best depends on the spacing, and where to end on the sampler.
    """
    samplers = [{"sampler": s} for s in SAMPLERS]
    ends = [{"cleanest": round(c * spread, 4)} for c in CLEANEST]
    return [
        [{}],
        samplers,
        ends,
        [{"spacing": s} for s in SPACINGS],
        [{"noisiest": None if n is None else round(n * spread, 3)} for n in NOISIEST],
        samplers,
        ends,
    ]


def _with_budget(settings: Sampling, budget: int) -> Sampling:
    """As many steps as give `budget` evaluations: Heun needs two for each step but the last."""
    steps = (budget + 1) // 2 if settings.sampler["kind"] == "heun" else budget
    return settings.model_copy(update={"steps": steps})


class Bench:
    """The pictures, degraded once, and the measures: what ways of sampling are tried on."""

    def __init__(self, restorer: Restorer, pictures: Pictures, seed: int, criterion: Criterion, batch: int = AT_ONCE):
        self.task = task = needs_picture(restorer.model)
        self.restorer, self.seed = restorer, seed
        shapes = {p.shape for p in pictures.pixels}
        if len(shapes) != 1 or any(side % task.factor for side in next(iter(shapes))[:2]):
            raise ConfigError(f"tuning needs pictures of one size, a multiple of {task.factor}; crop them first")
        whole = torch.stack([torch.from_numpy(p.copy()) for p in pictures.pixels]).permute(0, 3, 1, 2)
        self.clean = (whole.float() / 127.5 - 1).split(batch)
        self.given = [task.degrade(c) for c in self.clean]
        self.patches, self.criterion = patches_for(len(pictures)), criterion
        self.baseline = self._baseline() if criterion.network else {}

    def _baseline(self) -> dict[str, float]:
        """As `trial` measures: consistency of the first batch alone."""
        metrics, free = self.criterion.metrics(), Consistency(name="consistency_free")
        for number, (clean, given) in enumerate(zip(self.clean, self.given, strict=True)):
            made = rounded(self.task.baseline(given))
            for metric in metrics:
                metric.update(made, (clean + 1) / 2, (given.image + 1) / 2)
            if number == 0:
                free.update(again(self.task, made, given), (clean + 1) / 2, (given.image + 1) / 2)
        metrics.append(free)
        return {name: value for metric in metrics for name, value in metric.compute().items()}

    def _made(
        self, restorer: Restorer, settings: Sampling | None, free: bool
    ) -> Iterator[tuple[Tensor, Tensor, Given]]:
        count = 0
        for clean, given in zip(self.clean, self.given, strict=True):
            seeds = [mix(self.seed, count + i, 0) for i in range(len(clean))]
            count += len(clean)
            made = make(restorer, given, seeds, settings=settings, free=free, check=False)
            yield rounded(made), (clean + 1) / 2, given

    def walked(self, settings: Sampling) -> Iterator[Tensor]:
        """What is made in this way, batch by batch."""
        return (made for made, _, _ in self._made(self.restorer, settings, free=False))

    def psnr(self, restorer: Restorer) -> float:
        found = PSNR(self.task.border)
        for made, clean, given in self._made(restorer, None, free=False):
            found.update(finite(made), clean, (given.image + 1) / 2)
        return found.compute()["psnr"]

    def trial(self, settings: Sampling, budget: int, floor: float | None) -> Trial | None:
        """None where the walk cannot be walked (it would not start from pure noise, or repeats a level)."""
        lost, measured, free = 0, 0, Consistency(name="consistency_free")
        metrics = [PSNR(self.task.border), SWD(self.patches), *self.criterion.metrics()]
        try:
            for made, clean, given in self._made(self.restorer, settings, free=False):
                well, small = _finite(made), (given.image + 1) / 2
                lost, measured = lost + int((~well).sum()), measured + int(well.sum())
                for metric in metrics if well.any() else ():
                    metric.update(made[well], clean[well], small[well])
            # consistency hardly depends on which pictures: one batch is enough to see a walk that loses them
            made, clean, given = next(self._made(self.restorer, settings, free=True))
        except ConfigError:
            return None
        lost += int((~_finite(made)).sum())
        free.update(again(self.task, made, given), clean, (given.image + 1) / 2)
        found = (*metrics, free) if measured else ()
        measures = {name: value for metric in found for name, value in metric.compute().items()}
        score = math.inf if lost else self.criterion.score(measures, self.baseline)
        asked = 2 * settings.steps - 1 if settings.sampler["kind"] == "heun" else settings.steps
        return Trial(settings, asked, score, measures, floor is None or measures.get("psnr", -math.inf) >= floor, lost)


def _finite(made: Tensor) -> Tensor:
    """Which pictures of a batch are finite, [B]."""
    return torch.isfinite(made).flatten(1).all(1)
