"""`sr3 evaluate --protocol`: the paper's tables that are no comparison with an original."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from sr3.evaluation.evaluate import Progress
    from sr3.evaluation.result import Result
    from sr3.picture.collection import Pictures

NOT_FOR = {
    "recognition": ("task", "border", "given", "samples", "measures", "features"),
    "generation": ("task", "border", "given", "samples", "labels", "free", "regression"),
}
"""Options that a protocol has no use for."""

PROTOCOLS = ("restoration", "recognition", "generation")
"""Originals restored, which is not done here; table 3; tables 4 and 5."""


def running(
    protocol: str, model: str, data: "list[Path]", limit: int | None, way: dict[str, Any], asked: dict[str, Any]
) -> "tuple[Pictures, Iterator[Progress | Result]]":
    """The pictures, and the evaluation by its protocol's name.

    way: device and precision.  asked: what `sr3 evaluate` was asked for.
    ConfigError for a protocol there is none of, and for an option that it has no use for.
    """
    from sr3.model.config import ConfigError, nearest

    for name in NOT_FOR.get(protocol, ()):
        if asked[name] not in (None, "") and asked[name] is not False:  # 0 is an answer
            raise ConfigError(f"--protocol {protocol} has no use for --{name}; leave it out")
    asked = {**asked, "measures": asked["measures"] or []}
    if protocol == "recognition":
        return _recognition(model, data, limit, way, asked)
    if protocol == "generation":
        return _generation(model, data, limit, way, asked)
    raise ConfigError(f"there is no protocol {protocol!r}{nearest(protocol, list(PROTOCOLS))}")


def _recognition(
    model: str, data: "list[Path]", limit: int | None, way: dict[str, Any], asked: dict[str, Any]
) -> "tuple[Pictures, Iterator[Progress | Result]]":
    """Table 3 over the first pictures, 1000 unless limited."""
    from sr3.cli.common import load_restorer, usable
    from sr3.evaluation.method import regression_beside
    from sr3.evaluation.recognition import FIRST, SHOWN, recognise
    from sr3.model.config import ConfigError

    if asked["classifier"] is None:
        raise ConfigError("recognition needs a classifier; give --classifier efficientnet-lite0, or one of yours")
    restorer = load_restorer(model, **way)
    pictures = usable(data, SHOWN, limit or FIRST)
    found = networks(None, asked["classifier"], asked["labels"], pictures, restorer.device)
    found.pop("features")
    other = regression_beside(restorer, asked["regression"])
    kept = ("seed", "data", "free", "steps", "sampler", "spacing", "quality")
    options = {key: asked[key] for key in kept} | {"batch": asked["batch"] or 8}
    return pictures, recognise(restorer, pictures, regression=other, **options, **found)


def _generation(
    model: str, data: "list[Path]", limit: int | None, way: dict[str, Any], asked: dict[str, Any]
) -> "tuple[Pictures, Iterator[Progress | Result]]":
    """Tables 4 and 5, of cascades written "A,B;A,C"."""
    from sr3.cli.common import usable
    from sr3.cli.generate import made_by
    from sr3.evaluation.making import COUNT, evaluate_made

    cascades = [made_by([name.strip() for name in one.split(",")], **way) for one in model.split(";")]
    pictures = usable(data, max(max(cascade.sizes[-1]) for cascade in cascades), limit or COUNT, spread=True)
    found = networks(asked["features"], asked["classifier"], None, pictures, cascades[0].stages[0].device)
    found.pop("labels", None)
    kept = ("seed", "data", "batch", "measures", "steps", "sampler", "spacing", "quality")
    return pictures, evaluate_made(cascades, pictures, count=limit, **{key: asked[key] for key in kept}, **found)


def networks(
    features: str | None,
    classifier: str | None,
    labels: "Path | None",
    pictures: "Pictures",
    device: "torch.device",
) -> dict[str, Any]:
    """What the user names, as `evaluate` takes it."""
    if features is None and classifier is None:
        return {}
    from sr3.metric.accuracy import read_labels
    from sr3.metric.features import MissingError
    from sr3.metric.lite import network, sorting
    from sr3.model.config import ConfigError

    try:
        return {
            "features": network(features, device) if features else None,
            "classifier": sorting(classifier, device) if classifier else None,
            "labels": read_labels(labels, pictures.names) if labels else None,
        }
    except MissingError as error:
        raise ConfigError(str(error)) from error
