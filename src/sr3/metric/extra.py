"""The measures that run only when asked for: over networks of others, the user's or downloaded ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sr3.metric.accuracy import Accuracy
from sr3.metric.base import Metric
from sr3.metric.features import DISTANCES, FeatureDistance, Features, MissingError, Remembered
from sr3.metric.inception import INCEPTION, inception
from sr3.metric.lpips import LPIPS, lpips_distance

EXTRA = ("lpips", *INCEPTION)
"""They need the extra `metrics` and fetch weights at first use."""

SAID = {
    "lpips": "Zhang et al. (2018), version 0.1 over AlexNet",
    "fid": "Fréchet distance of the 2048 pooled features of Inception as torch-fidelity ports it, pictures of 8 bits",
    "kid": "unbiased squared maximum mean discrepancy of the same features, kernel (x.y/d + 1)^3, all pictures at once",
    "is": "of the same network's logits without bias, one part below 5000 pictures, else ten",
    "frechet": "Fréchet distance of the user's features",
    "kernel": "as kid, of the user's features, without the terms of a picture and its own original",
    "agreement": "share of pictures whose first class is the one of the original",
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
    device: torch.device | str = "cpu",
) -> Extra:
    """The measures of `EXTRA` by name, the distances over `features`, and the accuracy of `classifier`.

    The networks are shared by all methods, and see each original once.  What is not to be had is left out, with a
    sentence in the notes.  pictures: how many there will be.
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
    seen = Remembered(features) if features is not None else None
    sorts = Remembered(classifier) if classifier is not None else None

    def make() -> list[Metric]:
        found: list[Metric] = []
        if perceptual is not None:
            found.append(LPIPS(perceptual))
        if network is not None:
            found.append(FeatureDistance(network, asked))
        if seen is not None:
            found.append(FeatureDistance(seen, DISTANCES))
        if sorts is not None:
            found.append(Accuracy(sorts, labels))
        return found

    names = {name for metric in make() for name in metric.compute()}
    return Extra(make, perceptual, {name: said for name, said in SAID.items() if name in names}, notes)
