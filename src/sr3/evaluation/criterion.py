"""What a schedule search calls good: by the eye's network where it is installed, else by the sliced distance."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from sr3.metric import Metric
from sr3.metric.features import DISTANCES, FeatureDistance, Features, MissingError
from sr3.metric.lite import LITE, Lite, lite, network, said
from sr3.metric.lpips import LPIPS
from sr3.model.config import ConfigError, nearest

CRITERIA = ("auto", "eye", "swd", "frechet")
"""By name; "auto" is "eye" where its network is installed; "frechet" is the paper's, over a network's features."""

SHARES = ("kernel", "feature", "consistency_free")
"""What "eye" adds up, each as a share of the baseline's."""


@dataclass(frozen=True)
class Criterion:
    """How a way of sampling is judged.  network: of the eye; without one SWD judges.

    features: then the Fréchet distance over these judges alone, as in SR3's search.
    note: a sentence where another criterion was wanted.
    """

    network: Lite | None = None
    features: Features | None = None
    note: str = ""

    @property
    def said(self) -> str:
        """What the score is, for protocols."""
        if self.features is not None:
            return f"Fréchet distance of features; {said(self.features)}"
        if self.network is None:
            return "SWD x1e3 + consistency without projection x1e-5"
        return (
            f"kernel + feature + consistency without projection, each as a share of the baseline's; {self.network.said}"
        )

    def metrics(self) -> list[Metric]:
        """What `score` needs beside SWD and consistency, anew."""
        if self.features is not None:
            return [FeatureDistance(self.features, {"frechet": DISTANCES["frechet"]})]
        if self.network is None:
            return []
        kernel = FeatureDistance(self.network, {"kernel": DISTANCES["kernel"]})
        return [kernel, LPIPS(self.network.distance, "feature")]

    def score(self, measures: Mapping[str, float], baseline: Mapping[str, float]) -> float:
        """Of a trial's measures; lower is better.  baseline: its own on the same pictures, with "consistency_free".

        The kernel distance counts from 0: below, it says that the sets are not told apart.  Where the baseline has no
        positive distance, there is nothing to take a share of, and that measure does not count.
        """
        if self.features is not None:
            return measures["frechet"]
        if self.network is None:
            return measures["swd"] + measures["consistency_free"]
        return sum(max(0.0, measures[name]) / baseline[name] for name in SHARES if baseline[name] > 0)


BY_SWD = Criterion()
"""What needs no network."""


def criterion(name: str = "auto", device: torch.device | str = "cpu", features: str | None = None) -> Criterion:
    """By a name of `CRITERIA`; features: the network for "frechet", by default the eye's; see `network`.

    With features "auto" is "frechet".  ConfigError for another name, for features that another criterion would not ask,
    and for "eye" and "frechet" where the network is not installed.
    """
    if name not in CRITERIA:
        raise ConfigError(f"there is no criterion {name!r}{nearest(name, list(CRITERIA))}")
    if features is not None and name != "frechet":
        if name != "auto":
            raise ConfigError(f"features are for the criterion frechet, and not for {name}; leave one of them out")
        name = "frechet"
    if name == "swd":
        return BY_SWD
    try:
        if name == "frechet":
            return Criterion(features=network(features or LITE[0], device))
        return Criterion(lite(device=device))
    except MissingError as error:
        if name != "auto":
            raise ConfigError(str(error)) from error
        return Criterion(note=f"{error}; judged by SWD, which rewards crumpled lines")
