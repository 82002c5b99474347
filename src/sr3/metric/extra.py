"""The measures that run only when asked for: mostly over networks of others, the user's, installed or downloaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sr3.metric.accuracy import Accuracy
from sr3.metric.base import Metric
from sr3.metric.features import DISTANCES, FeatureDistance, Features, MissingError, Remembered
from sr3.metric.grid import Grid
from sr3.metric.identity import Identity
from sr3.metric.inception import INCEPTION, inception
from sr3.metric.lite import Lite, lite, lite_of, said
from sr3.metric.lpips import LPIPS, lpips_distance

EYE = ("feature", *DISTANCES, "agreement", "identity")
"""They need the extra `eye`, but for distances over features and the agreement of a classifier that the user names."""

EXTRA = ("lpips", *INCEPTION, *EYE, "grid")
"""The first four need the extra `metrics` and fetch weights at first use."""

SAID = {
    "lpips": "Zhang et al. (2018), version 0.1 over AlexNet",
    "fid": "Fréchet distance of the 2048 pooled features of Inception as torch-fidelity ports it, pictures of 8 bits",
    "kid": "squared maximum mean discrepancy of the same features, kernel (x.y/d + 1)^3, all pictures at once, as "
    "published: unbiased between independent sets, and too low where each picture is beside its own original",
    "is": "of the same network's logits without bias, one part below 5000 pictures, else ten",
    "feature": "squared distance of unit vectors, mean over places and stages: LPIPS without learned weights",
    "frechet": "Fréchet distance of features",
    "kernel": "as kid, of features, without a picture and its own original, and without two tiles of one picture",
    "agreement": "share of pictures whose first class is the one of the original",
    "identity": "share of pictures nearer to their own original than to every other, Euclidean, of features",
    "accuracy": "share of pictures whose first class is the true one",
    "grid": "power at multiples of 1 / factor over its neighbours', in dB, above the original's; mean over pictures",
}
"""Each measure in a line, for protocols."""

ENOUGH = 2048
"""From so many pictures on the covariance of Inception's features has full rank."""


@dataclass(frozen=True)
class Extra:
    """make: the measures for one method, anew; lpips: the distance, where asked for; said: what each measure is;
    notes: what is not to be had.
    """

    make: Callable[[], list[Metric]]
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None
    said: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def extra(
    measures: Sequence[str],
    *,
    features: Features | None = None,
    classifier: Features | None = None,
    labels: Sequence[int] | None = None,
    pictures: int = ENOUGH,
    factor: int = 4,
    device: torch.device | str = "cpu",
) -> Extra:
    """The measures of `EXTRA` by name, the distances over `features`, and the accuracy of `classifier`.

    What is asked for of `EYE` without a network for it is `sr3.metric.lite.lite`'s.

    The networks are shared by all methods, and see each original once.  What is not to be had is left out, with a
    sentence in the notes.  pictures: how many there will be.  factor: of the enlargement, for "grid".
    """
    notes: list[str] = []
    perceptual, network = None, None
    if "lpips" in measures:
        try:
            perceptual = lpips_distance(device)
        except MissingError as error:
            notes.append(f"{error}; lpips is left out")
    asked = {name: INCEPTION[name] for name in measures if name in INCEPTION}
    if asked:
        try:
            network = Remembered(inception(device))
            if pictures < ENOUGH and asked.keys() & {"fid", "is"}:
                notes.append(f"FID and IS of {pictures} pictures are biased; compare them at equal numbers only")
        except MissingError as error:
            notes.append(f"{error}; {', '.join(asked)} left out")
    distances = DISTANCES if features is not None else {n: d for n, d in DISTANCES.items() if n in measures}
    own = features if isinstance(features, Lite) else None
    lacking = {"feature"} if own is None else set[str]()
    lacking |= ({*DISTANCES, "identity"} if features is None else set()) | (
        {"agreement"} if classifier is None else set()
    )
    if lacking := [name for name in EYE if name in measures and name in lacking]:
        try:
            own = own or lite(device=device)
            features = features or (own if distances or "identity" in measures else None)
            classifier = classifier or (own.logits if "agreement" in lacking else None)
        except MissingError as error:
            notes.append(f"{error}; {', '.join(lacking)} left out")
    seen, sorts = _once(features), _once(classifier)

    def make() -> list[Metric]:
        found: list[Metric] = []
        if perceptual is not None:
            found.append(LPIPS(perceptual))
        if network is not None:
            found.append(FeatureDistance(network, asked))
        if seen is not None and distances:
            found.append(FeatureDistance(seen, distances))
        if seen is not None and "identity" in measures:
            found.append(Identity(seen))
        if own is not None and ("feature" in measures or own is features):
            found.append(LPIPS(own.distance, "feature"))
        if sorts is not None:
            found.append(Accuracy(sorts, labels))
        if "grid" in measures:
            found.append(Grid(factor))
        return found

    names = {name for metric in make() for name in metric.compute()}
    whose = (
        dict.fromkeys((*DISTANCES, "identity"), features)
        | dict.fromkeys(("agreement", "accuracy"), classifier)
        | {"feature": own}
    )
    lines = {name: line + (f"; {said(whose[name])}" if name in whose else "") for name, line in SAID.items()}
    return Extra(make, perceptual, {name: line for name, line in lines.items() if name in names}, notes)


def _once(network: Features | None) -> Features | None:
    """A network that sees each original once; ours do of themselves, and all their measures share what is seen."""
    return network if network is None or lite_of(network) else Remembered(network)
