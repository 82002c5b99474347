"""The figures of a study: fool rates and how sure they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sr3.evaluation.study.answers import Answer
from sr3.evaluation.study.plan import QUESTIONS, TASKS, Task
from sr3.metric.stats import wilson


@dataclass(frozen=True)
class Rate:
    """How often a method's pictures were taken for the photograph: `fooled` of `trials`; at 0.5 nobody can tell.

    low, high: the 95 % interval.  by_rater: each rater's own rate; by_picture: each picture's, over all raters.
    """

    task: Task
    method: str
    trials: int
    fooled: int
    rate: float
    low: float
    high: float
    raters: int
    pictures: int
    by_rater: dict[str, float]
    by_picture: dict[str, float]


def fool_rates(answers: Iterable[Answer]) -> list[Rate]:
    """The fool rate of each method for each task, with Wilson's 95 % interval, ordered by task and method.

    Wilson rather than a bootstrap over pictures: a rater sees a picture by one method only, so that there are few
    answers per picture and method, often one, and the bootstrap says "0 to 0" where none of few was wrong.

    The interval takes trials for independent.  They are not: one rater's share a pair of eyes, and one picture's a
    difficulty.  So it says how sure the rate is for these raters, and is too short for people in general, the more
    so the fewer raters there are; `by_rater` shows how far they are apart.
    """
    groups: dict[tuple[Task, str], dict[tuple[str, str, str, str], Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.task, answer.method), {}).setdefault(answer.key, answer)
    found: list[Rate] = []
    for task, method in sorted(groups, key=lambda group: (list(TASKS).index(group[0]), group[1])):
        ours = list(groups[task, method].values())
        hits, low_high = sum(a.fooled for a in ours), wilson(sum(a.fooled for a in ours), len(ours))
        raters: dict[str, list[bool]] = {}
        pictures: dict[str, list[bool]] = {}
        for answer in ours:
            raters.setdefault(answer.rater, []).append(answer.fooled)
            pictures.setdefault(answer.picture, []).append(answer.fooled)
        found.append(
            Rate(
                task=task,
                method=method,
                trials=len(ours),
                fooled=hits,
                rate=hits / len(ours),
                low=low_high[0],
                high=low_high[1],
                raters=len(raters),
                pictures=len(pictures),
                by_rater=_means(raters),
                by_picture=_means(pictures),
            )
        )
    return found


def _means(fooled: dict[str, list[bool]]) -> dict[str, float]:
    return {name: sum(each) / len(each) for name, each in sorted(fooled.items())}


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """What a study found, ready for JSON: the protocol, and a row for each task and method."""
    rates = fool_rates(answers)
    return {
        "protocol": {
            "question": dict(QUESTIONS),
            "fool_rate": "share of trials in which the made picture was taken for the photograph; 0.5: chance",
            "interval": "95 %, Wilson; trials of one rater are not independent, so it is too short for few raters",
            "tasks": dict(TASKS),
            "raters": len({a.rater for a in answers}),
            "trials": sum(rate.trials for rate in rates),
        },
        "rows": [vars(rate) for rate in rates],
    }
