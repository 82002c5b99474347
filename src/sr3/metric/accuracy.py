"""Classification accuracy: does a classifier see in the result what is in the original?"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sr3.files import read_text
from sr3.metric.base import PerPicture
from sr3.metric.features import Features, MissingError, rows


def read_labels(path: Path, names: Sequence[str]) -> list[int]:
    """The class of each picture, from a CSV file with a line "name,class" for each, counted from 0.

    A first line whose class is no number is a heading.  MissingError for a picture without a class, for a name that has
    two, and for one that two pictures bear.
    """
    found: dict[str, int] = {}
    try:
        lines = list(csv.reader(read_text(path).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MissingError(f"{path} cannot be read as a table of name,class: it is no CSV file in UTF-8") from error
    for row, line in enumerate(lines):
        if not line:
            continue
        text = line[1].strip() if len(line) > 1 else ""
        if not (text.isascii() and text.isdigit() and len(text) < 8):
            if row == 0:
                continue
            raise MissingError(f"{path}: line {row + 1} is not name,class with a class counted from 0")
        name, number = line[0].strip(), int(text)
        if found.setdefault(name, number) != number:
            raise MissingError(f"{path} has two classes for {name}, {found[name]} and {number}")
    if without := [name for name in names if name not in found]:
        raise MissingError(f"{path} has no class for {without[0]}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise MissingError(f"{twice[0]} is the name of two pictures, and {path} cannot say which it means")
    return [found[name] for name in names]


def within(logits: Tensor, classes: Tensor, count: int) -> Tensor:
    """1 where the class [B] is among the `count` largest logits [B, K], else 0: [B]."""
    most = logits.topk(min(count, logits.shape[1]), dim=1).indices
    return (most == classes[:, None]).any(1).double()


class Accuracy(PerPicture):
    """Shares of pictures whose class is the classifier's first answer ("accuracy") or among its first five
    ("accuracy_5"); Saharia et al. (2021), table 3.  And the share whose first answer is the one it gives for the
    original ("agreement"), which needs no labels.

    classifier: pictures [B, 3, H, W] in [0, 1] -> logits [B, K].
    labels: of the pictures in the order in which they will come.
    """

    higher_is_better = True
    shares = True

    def __init__(self, classifier: Features, labels: Sequence[int] | None = None):
        super().__init__()
        self.classifier, self.labels, self.seen = classifier, labels, 0
        self.names = ("agreement",) if labels is None else ("accuracy", "accuracy_5", "agreement")

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        logits, original = rows(self.classifier, made), rows(self.classifier, target)
        if logits.ndim != 2:
            raise MissingError(f"the classifier's logits have the shape {list(logits.shape)}, not [{len(made)}, K]")
        self.means.add("agreement", within(logits, original.argmax(1), 1))
        if self.labels is not None:
            classes = torch.tensor(self.labels[self.seen : self.seen + len(made)])
            if len(classes) != len(made):
                raise MissingError(f"there are {len(self.labels)} labels, and more pictures than that")
            if int(classes.max()) >= logits.shape[1]:
                raise MissingError(f"the classifier has {logits.shape[1]} classes, and a label is {int(classes.max())}")
            self.means.add("accuracy", within(logits, classes, 1))
            self.means.add("accuracy_5", within(logits, classes, 5))
        self.seen += len(made)
