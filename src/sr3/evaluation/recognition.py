"""Table 3's protocol: does a classifier still recognise what was enlarged four times?

Saharia et al. (2021), table 3, after Sajjadi et al. (2017): the first 1000 pictures as a classifier is shown them, the
middle 224x224 of a picture whose short side is 256, are reduced to 56x56.  The model is for 64x64, so that is enlarged
to it bicubically, restored to 256x256, and reduced to 224x224 for the classifier.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sr3.evaluation.evaluate import Progress
from sr3.evaluation.method import Ways, rounded
from sr3.evaluation.protocol import OF_SHARES, digest, where
from sr3.evaluation.result import Result, Row
from sr3.metric.accuracy import within
from sr3.metric.features import Features, MissingError, Remembered, rows
from sr3.metric.lite import said
from sr3.metric.stats import share
from sr3.model.config import ConfigError
from sr3.picture.collection import DataError, Pictures
from sr3.picture.resize import resize, round8, shrink
from sr3.restore.restorer import Restorer, needs_picture
from sr3.task import Given, SuperResolution

SHORT, SHOWN, FACTOR = 256, 224, 4
"""The short side before the middle is cut out, the side that a classifier is shown, and how much smaller it is made."""

FIRST = 1000
"""Pictures, in order, by default."""

MEASURES = ("accuracy", "accuracy_5", "agreement", "agreement_5")


def recognise(
    restorer: Restorer,
    pictures: Pictures,
    classifier: Features,
    *,
    regression: Restorer | None = None,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    free: bool = False,
    batch: int = 8,
    data: str = "",
    **options: Any,
) -> Iterator[Progress | Result]:
    """Top-1 and top-5 of the originals, bicubic, the regression and one sample; yields progress and last the result.

    labels: the classes, for "accuracy" and "accuracy_5" (the paper prints 1 minus these).  There are always "agreement"
    and "agreement_5": whether the original's first class is the result's first, or among its first five.
    options: of sampling, as for `Restorer.settings`.  ConfigError for a model that does not enlarge four times, and for
    a classifier that does not work; DataError for pictures with a side below 224.
    """
    task = restorer.model.task
    if not isinstance(task, SuperResolution) or task.factor != FACTOR:
        raise ConfigError(f"{restorer.model.config.name} does not enlarge {FACTOR} times, as table 3 asks")
    ways = Ways(restorer, regression, restorer.settings(**options), 1, seed, free, beside=False)
    seen, names = Remembered(classifier), ["original", *ways.methods]
    values: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for first in range(0, len(pictures), batch):
        chosen = range(first, min(first + batch, len(pictures)))
        original = torch.cat([middle(pictures.names[k], pictures.pixels[k]) for k in chosen])
        small = round8(shrink(original, FACTOR))
        given = Given(round8(resize(small, (SHORT // FACTOR, SHORT // FACTOR))))
        shown = {"original": (original + 1) / 2}
        shown |= {made.method: rounded(resize(2 * made.pictures - 1, (SHOWN, SHOWN))) for made in ways(given, chosen)}
        classes = None if labels is None else torch.tensor([labels[k] for k in chosen])
        for name in names:
            for measure, each in _answers(seen, shown[name], shown["original"], classes).items():
                values[name].setdefault(measure, []).extend(each.tolist())
        yield Progress(chosen[-1] + 1, len(pictures))
    yield Result(_protocol(ways, classifier, data, len(pictures)), _rows(values), list(pictures.names), values)


def middle(name: str, pixels: np.ndarray) -> Tensor:
    """What a classifier is shown of a picture: [1, 3, 224, 224] in [-1, 1], in steps of 8 bits."""
    high, wide = pixels.shape[:2]
    if min(high, wide) < SHOWN:
        raise DataError(f"{name} has {wide}x{high} pixels; a classifier is shown at least {SHOWN}x{SHOWN}")
    scale = SHORT / min(high, wide)
    size = max(SHORT, round(high * scale)), max(SHORT, round(wide * scale))
    whole = resize(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1, size)
    top, left = (size[0] - SHOWN) // 2, (size[1] - SHOWN) // 2
    return round8(whole[..., top : top + SHOWN, left : left + SHOWN])


def _answers(classifier: Features, made: Tensor, original: Tensor, classes: Tensor | None) -> dict[str, Tensor]:
    try:
        logits, truth = rows(classifier, made), rows(classifier, original)
    except MissingError as error:
        raise ConfigError(str(error)) from error
    if logits.ndim != 2:
        raise ConfigError(f"the classifier's logits have the shape {list(logits.shape)}, not [{len(made)}, K]")
    if classes is not None and int(classes.max()) >= logits.shape[1]:
        raise ConfigError(f"the classifier has {logits.shape[1]} classes, and a label is {int(classes.max())}")
    asked = {"agreement": truth.argmax(1)} | ({} if classes is None else {"accuracy": classes})
    found = {name: within(logits, own, 1) for name, own in asked.items()}
    return found | {f"{name}_5": within(logits, own, 5) for name, own in asked.items()}


def _rows(values: dict[str, dict[str, list[float]]]) -> list[Row]:
    found: list[Row] = []
    for method, measures in values.items():
        row: Row = {"method": method, "interval": {}}
        for name in (n for n in MEASURES if n in measures):
            each = measures[name]
            row[name] = sum(each) / len(each)
            if len(each) > 1:
                row["interval"][name] = list(share(each))
        found.append(row)
    return found


def _protocol(ways: Ways, classifier: Features, data: str, count: int) -> dict[str, Any]:
    model, other = ways.restorer.model, ways.regression
    return {
        "table": "3 of Saharia et al. (2021)",
        "model": model.config.name,
        "weights": digest(model),
        "regression": other.model.config.name if other else None,
        "regression_weights": digest(other.model) if other else None,
        "baseline": needs_picture(model).baseline_name,
        "data": data,
        "pictures": count,
        "classifier": said(classifier),
        "shown": f"the middle {SHOWN}x{SHOWN} of a picture whose short side is {SHORT}, antialiased bicubic, 8 bits",
        "given": f"that, {SHOWN // FACTOR}x{SHOWN // FACTOR}, enlarged to {SHORT // FACTOR}x{SHORT // FACTOR}, bicubic",
        "result": f"{SHORT}x{SHORT}, reduced to {SHOWN}x{SHOWN} by antialiased bicubic, 8 bits",
        "accuracy": "share of pictures whose true class is the first answer; accuracy_5: among the first five",
        "interval": f"95 %: {OF_SHARES}",
        "agreement": "share whose first class of the original is the first answer; agreement_5: among the first five",
        "projection": not ways.free,
        **ways.settings.model_dump(mode="json", exclude_none=True),
        "seed": ways.seed,
        **where(ways.restorer.device, ways.restorer.dtype),
        "notes": [],
    }
