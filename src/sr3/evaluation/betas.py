"""Schedule search over betas by a Fréchet distance: SR3's own, beside the search over walks in `sr3.evaluation.tune`.

Saharia et al. (2021), section 2.4: a schedule for inference, of at most 100 steps, is searched for by FID on held-out
pictures, with one trained model, as it was told the noise level and not a step.  The family is WaveGrad's (Chen et al.
2021): beta_n = m_n 10^(e_n) with the exponents evenly spaced, searched coarsely for the exponents and then finely for
the mantissas.  Two things are ours.  The last beta is set so that the walk starts as noisy as training's schedule ends:
from less it could not start from pure noise.  And points are drawn at random instead of on WaveGrad's grid, which for n
steps has 3^n of them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from sr3.evaluation.criterion import Criterion
from sr3.evaluation.tune import Bench, Searching, Trial, Tuned, choose, rank
from sr3.model.config import ConfigError, Sampling
from sr3.picture.collection import Pictures
from sr3.random import mix, uniforms
from sr3.restore.restorer import Restorer

FIRST, LAST = (-6.0, -1.5), (-1.5, 0.0)
"""Between which exponents the first beta, at the clean end, and the last but one lie."""

MANTISSAS = 0.5
"""Decades that a beta may lie above or below its exponent."""

LARGEST = 0.98
"""No beta but the last is larger."""

Schedule = tuple[float, ...]
Score = Callable[[Schedule], float | None]
"""Betas, the clean end's first -> what they are worth; lower is better, None where they cannot be walked."""


def schedule(steps: int, end: float, first: float, last: float, decades: Sequence[float] = ()) -> Schedule | None:
    """Betas whose exponents rise evenly from `first` to `last`, each moved by so many decades; the clean end's first.

    end: the alpha-bar where the walk starts, which the last beta brings about.  None where the others are beyond it.
    """
    if steps == 1:
        return (1 - end,)
    exponents = np.linspace(first, last, steps - 1) + (np.asarray(decades) if len(decades) else 0)
    betas = np.minimum(10**exponents, LARGEST)
    left = float(np.prod(1 - betas))
    return (*betas.tolist(), 1 - end / left) if left > end else None


def search(
    score: Score, steps: int, end: float, *, trials: int = 60, seed: int = 0
) -> Iterator[tuple[Schedule, float]]:
    """So many schedules and what each is worth: half of them for the exponents, half around the best for mantissas.

    end: the alpha-bar where walks start.  A function of its arguments alone.
    """
    best: tuple[float, float, tuple[float, ...]] | None = None
    least = np.inf
    for k in range(trials if steps > 1 else 1):  # one step has one schedule
        draws = uniforms(mix(seed, steps), [k], 2 + steps)[0]
        if best is None or k < trials / 2:
            first, last = (low + (high - low) * u for (low, high), u in zip((FIRST, LAST), draws, strict=False))
            decades: tuple[float, ...] = ()
        else:
            # the later, the nearer to the best
            reach = MANTISSAS * (2 - 2 * k / trials)
            around = best[2] or (0.0,) * (steps - 1)
            moves = zip(around, draws[2:], strict=False)
            first, last, decades = best[0], best[1], tuple(a + reach * (2 * float(u) - 1) for a, u in moves)
        betas = schedule(steps, end, first, last, decades)
        found = None if betas is None else score(betas)
        if betas is None or found is None:
            continue
        yield betas, found
        if found < least:
            best, least = (first, last, decades), found


def sampling(betas: Schedule) -> Sampling:
    """SR3's Algorithm 2 along these betas."""
    how = {"kind": "ancestral", "variance": "fixed"}
    return Sampling(sampler=how, steps=len(betas), spacing="t", schedule={"kind": "betas", "values": list(betas)})  # pyright: ignore[reportCallIssue]


def tune_betas(
    restorer: Restorer,
    pictures: Pictures,
    *,
    criterion: Criterion,
    budgets: Sequence[int] = (8, 16),
    trials: int = 60,
    regression: Restorer | None = None,
    within: float | None = None,
    seed: int = 0,
) -> Iterator[Searching | Tuned]:
    """Search the best betas for each number of steps; yields each trial and last the `Tuned`; see `tune`.

    criterion: what a score is, the paper's a Fréchet distance.  Every trial starts from the same noise.
    ConfigError as for `tune`.
    """
    restorer.model.walk.tunable()
    if not budgets or min(budgets) < 1 or max(budgets) > 100:
        raise ConfigError("the numbers of steps to search betas for must be 1 to 100, as --steps 8,16")
    if within is not None and regression is None:
        raise ConfigError("a bound on PSNR below the regression's needs the regression; give --regression")
    bench = Bench(restorer, pictures, seed, criterion)
    floor = None if within is None or regression is None else bench.psnr(regression) - within
    end = float(restorer.model.schedule(torch.ones(1, dtype=torch.float64)).ratio) ** 2
    done: list[Trial] = []
    best: dict[int, Trial] = {}
    for budget in sorted(set(budgets)):
        own: list[Trial] = []

        def score(betas: Schedule, budget: int = budget, own: list[Trial] = own) -> float | None:
            trial = bench.trial(sampling(betas), budget, floor)
            if trial is None:
                return None
            own.append(trial)
            return trial.score + (1e6 if not trial.fits else 0.0)

        for _ in search(score, budget, 1 / (1 + end), trials=trials, seed=seed):
            done.append(own[-1])
            yield Searching(budget, len(done), own[-1])
        if not own or min(own, key=rank).lost:
            raise ConfigError(f"no betas of {budget} steps give finite pictures from pure noise; give more --betas")
        best[budget] = min(own, key=rank)
    yield Tuned(best, choose(best), done)
