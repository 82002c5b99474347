"""A paired comparison of two evaluations: which run is better on the pictures that both have, and how sure is that?"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from sr3.evaluation.run import Key, Run
from sr3.metric.stats import nearer_to_one, paired, sign_flip
from sr3.metric.table import measure, ordered, worth
from sr3.model.config import ConfigError, nearest

MUST_AGREE = ("data", "factor", "degradation", "result", "border")
"""What both protocols must say alike, beside the definitions of the measures."""

DEFINITIONS = (
    "psnr_y",
    "ssim",
    "consistency",
    "tint",
    "colourfulness",
    "join",
    "diversity",
    "lpips",
    "fid",
    "kid",
    "is",
    "feature",
    "frechet",
    "kernel",
    "agreement",
    "accuracy",
    "classifier",
    "identity",
    "grid",
    "interval",
)
"""Said by a protocol that has them; where both do, alike."""

NO_MEAN = ("calibration",)
"""Has values per picture, but the set's value is not their mean."""

SURE = 0.05
"""The largest p that is taken for a difference."""

SAME_PICTURE = {"psnr": 0.02, "psnr_y": 0.02}
"""In dB: where the baseline's differ by more, the pictures were not the same."""

FEW_ROUNDED = 2e-8
"""Of the mean square error: one number in a thousand rounded to the next of 8 bits."""


@dataclass(frozen=True)
class Paired:
    """One measure on the same pictures.

    a, b: the means over them.  difference: b - a, from low to high with 95 %, and p, the chance of so large a
    difference where there is none; None below two pictures.  better: "A", "B", or None where they are not told apart
    or the measure does not say what is better.  says: that in a sentence.
    """

    measure: str
    pictures: int
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    better: str | None
    says: str


@dataclass(frozen=True)
class Whole:
    """One measure of the whole set, which has no pairs: both values with their own intervals, where they have them.

    overlap: whether the intervals do; None where one is missing.  better and says: as in `Paired`.
    """

    measure: str
    a: float
    b: float
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    overlap: bool | None
    better: str | None
    says: str


@dataclass(frozen=True)
class Comparison:
    """What two runs differ in, and what came of it.

    methods: the one of A and the one of B.  pictures: how many both have.  settings: what the protocols say
    differently, (A's, B's).  notes: what could not be compared, and why; then the notes of the runs themselves.
    """

    methods: tuple[str, str]
    pictures: int
    settings: dict[str, tuple[Any, Any]]
    paired: list[Paired]
    whole: list[Whole]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def compare(a: Run, b: Run, *, method: str | None = None, seed: int = 0) -> Comparison:
    """Compare a method of two runs on the pictures that both have.

    method: of both, or "one,other" for A's and B's; by default each run's own, the first of `OWN` that it has.
    Per-picture measures are compared in pairs: `sr3.metric.stats.paired` and `sign_flip`.  One is called better when
    the 95 % interval of the difference leaves 0 out and p is at most 0.05.  Measures of a whole set have no pairs;
    one is called better when the runs' own intervals do not overlap, which asks for more than it need.  Of a measure
    that is best at 1 it is the distances from 1 that must differ so.

    ConfigError where the protocols measure different things, where no picture is in both, where pictures of one name
    are not the same, and for a method that a run does not have.
    """
    _agree(a.protocol, b.protocol)
    methods = _methods(a, b, method)
    index_a, index_b = ({key: i for i, key in enumerate(run.keys)} for run in (a, b))
    common = [key for key in a.keys if key in index_b]
    if not common:
        raise ConfigError("the two files have no picture in common")
    at = [(index_a[key], index_b[key]) for key in common]
    spoiled = _control(a, b, at, len(common) == len(a.names) == len(b.names))
    first, second = a.each[methods[0]], b.each[methods[1]]
    found = Comparison(methods, len(common), _settings(a.protocol, b.protocol), [], [])
    for name in ordered(first.keys() & second.keys() - {*NO_MEAN, *spoiled}):
        if pairs := [(x, y) for i, j in at if (x := first[name][i]) is not None and (y := second[name][j]) is not None]:
            found.paired.append(_paired(name, [x for x, _ in pairs], [y for _, y in pairs], seed))
    row_a, row_b = a.rows[methods[0]], b.rows[methods[1]]
    per_picture = (first.keys() & second.keys()) - {*NO_MEAN}
    known = ({n for n, v in row.items() if isinstance(v, int | float)} - per_picture for row in (row_a, row_b))
    of_set = [name for name in ordered(set.intersection(*known)) if name not in spoiled]
    seen = {name: (_seen(a, methods[0], name), _seen(b, methods[1], name)) for name in ("psnr", *of_set)}
    found.whole.extend(_whole(name, row_a, row_b) for name in of_set if seen[name][0] == seen[name][1])
    if differ := [sets for sets in seen.values() if sets[0] != sets[1]]:
        in_a, in_b = differ[0]
        found.notes.append(
            f"A has {len(in_a)} pictures and B {len(in_b)}, of which {len(in_a & in_b)} are in both; "
            "measures of a whole set are left out, as the sets differ"
        )
    for name in ordered(spoiled):
        found.notes.append(
            f"{measure(name).title} is left out: it differs for {a.baseline}, so the two runs did not measure it alike"
        )
    found.notes.extend(_own_notes(a.protocol, b.protocol))
    return found


def _seen(run: Run, method: str, name: str) -> set[Key]:
    """The pictures that a method's measure of the whole set is of: without those that have no value, as their result
    was not finite."""
    each = run.each[method]
    values = each.get(name) or each.get("psnr")
    return {key for k, key in enumerate(run.keys) if values is None or values[k] is not None}


def _own_notes(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What the protocols note, and whose it is."""
    both = (protocol.get("notes") for protocol in (a, b))
    notes_a, notes_b = ([str(note) for note in notes] if isinstance(notes, list) else [] for notes in both)
    return [f"{'A and B' if note in notes_b else 'A'}: {note}" for note in notes_a] + [
        f"B: {note}" for note in notes_b if note not in notes_a
    ]


def _agree(a: dict[str, Any], b: dict[str, Any]) -> None:
    for key in (*MUST_AGREE, *(k for k in DEFINITIONS if k in a and k in b)):
        if a.get(key) != b.get(key):
            raise ConfigError(
                f"the two files do not measure alike: {key} is {a.get(key)!r} in A and {b.get(key)!r} in B"
            )


def _methods(a: Run, b: Run, method: str | None) -> tuple[str, str]:
    if method is None:
        return a.own, b.own
    one, comma, other = (part.strip() for part in method.partition(","))
    chosen = one, other if comma else one
    for which, run, name in zip("AB", (a, b), chosen, strict=True):
        if name not in run.rows:
            raise ConfigError(f"{which} has no method {name!r}{nearest(name, list(run.rows))}")
    return chosen


def _control(a: Run, b: Run, at: list[tuple[int, int]], same: bool) -> set[str]:
    """The measures that differ for the baseline, the same in every run: what is measured must then be another."""
    baseline = a.baseline
    if not (baseline in a.rows and baseline in b.rows):
        return set()
    first, second = a.each[baseline], b.each[baseline]
    spoiled: set[str] = set()
    for name in ordered(first.keys() & second.keys()):
        for i, j in at:
            x, y = first[name][i], second[name][j]
            if x is not None and y is not None and not _alike(name, x, y):
                if name in SAME_PICTURE:
                    raise ConfigError(
                        f"{a.names[i]} is not the same picture in both files: "
                        f"{baseline}'s {measure(name).title} is {x:.2f} in A and {y:.2f} in B"
                    )
                spoiled.add(name)
    if same:
        x, y = a.rows[baseline], b.rows[baseline]
        both = {n for n, v in x.items() if isinstance(v, int | float) and isinstance(y.get(n), int | float)}
        # the means of pairs that are alike one by one are so too
        both -= {"seconds"} | ((first.keys() & second.keys()) - {*NO_MEAN})
        spoiled |= {n for n in both if not _alike(n, x[n], y[n])}
    return spoiled


def _alike(name: str, x: float, y: float) -> bool:
    # devices round a few pixels differently; other pictures, borders or features differ by far more
    if name in SAME_PICTURE:
        error_x, error_y = (10 ** (-max(db, -100) / 10) for db in (x, y))
        return abs(x - y) <= SAME_PICTURE[name] or abs(error_x - error_y) <= FEW_ROUNDED
    return math.isclose(x, y, rel_tol=0.01, abs_tol=1e-4)


def _settings(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    told = ("notes", "method", "baseline")  # elsewhere
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if key not in told and a.get(key) != b.get(key)}


def _paired(name: str, a: list[float], b: list[float], seed: int) -> Paired:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    if len(a) < 2:
        says = "one picture tells nothing"
        return Paired(name, len(a), mean_a, mean_b, mean_b - mean_a, None, None, None, None, says)
    difference, low, high = paired(b, a, seed)
    p = sign_flip(b, a, seed)
    if not any(x != y for x, y in zip(a, b, strict=True)):
        better, says = None, "equal"
    elif low <= 0 <= high or p > SURE:
        better, says = None, "not told apart"
    else:
        unit, gain = measure(name).unit, abs(difference)
        if measure(name).better == "one":
            further, least, most = nearer_to_one(a, b, seed)
            gain = abs(further)
            if least <= 0 <= most:
                says = f"{'A' if mean_a > mean_b else 'B'} is larger; which is nearer to 1 is not told apart"
                return Paired(name, len(a), mean_a, mean_b, difference, low, high, p, None, says)
        better, says = _better(name, mean_a, mean_b, f" by {gain:.3g}{f' {unit}' if unit else ''}")
    return Paired(name, len(a), mean_a, mean_b, difference, low, high, p, better, says)


def _whole(name: str, a: dict[str, Any], b: dict[str, Any]) -> Whole:
    ends = [row.get("interval", {}).get(name) for row in (a, b)]
    ends_a, ends_b = (None if e is None or None in e else (float(e[0]), float(e[1])) for e in ends)
    overlap, better = None, None
    if ends_a is None or ends_b is None:
        says = "no interval"
    elif overlap := _overlap(ends_a, ends_b):
        says = "the intervals overlap: not told apart"
    elif measure(name).better == "one" and _overlap(_from_one(ends_a), _from_one(ends_b)):
        says = f"{'A' if a[name] > b[name] else 'B'} is larger; which is nearer to 1 is not told apart"
    else:
        better, says = _better(name, a[name], b[name], "; the intervals do not overlap")
    return Whole(name, float(a[name]), float(b[name]), ends_a, ends_b, overlap, better, says)


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return max(a[0], b[0]) <= min(a[1], b[1])


def _from_one(ends: tuple[float, float]) -> tuple[float, float]:
    """The interval of the distance from 1."""
    low, high = sorted(abs(end - 1) for end in ends)
    return (0.0 if ends[0] <= 1 <= ends[1] else low), high


def _better(name: str, a: float, b: float, more: str) -> tuple[str | None, str]:
    """Which is better, and that as a sentence."""
    x, y = worth(name, a), worth(name, b)
    if x is None or y is None or x == y:
        return None, f"{'A' if a > b else 'B'} is larger{more}"
    which = "A" if x > y else "B"
    return which, f"{which} is better{more}"
