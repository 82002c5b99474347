"""Several tasks for one network: Palette's generalist."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.picture.picture import Picture
from sr3.picture.resize import shrink, shrink_inverse
from sr3.random import Stream
from sr3.task.base import Given, Restoration, SameSize
from sr3.task.colorization import Colorization
from sr3.task.denoising import Denoising
from sr3.task.inpainting import Inpainting
from sr3.task.jpeg_restoration import JpegRestoration
from sr3.task.super_resolution import SuperResolution
from sr3.task.uncropping import Uncropping

PARTS: dict[str, Callable[..., Restoration]] = {
    "colorization": Colorization,
    "denoising": Denoising,
    "inpainting": Inpainting,
    "jpeg-restoration": JpegRestoration,
    "super-resolution": SuperResolution,
    "uncropping": Uncropping,
}
"""What one network can do together."""

USUAL = ("colorization", "inpainting", "jpeg-restoration", "uncropping")
"""Palette's own four."""


@dataclass(frozen=True)
class Several(SameSize):
    """One network for several tasks, which sees one conditioning picture; Saharia et al. (2022), section 4.6.

    tasks: each with its kind and options, as a recipe's task; every training example is of one, all equally often.
    measured: the kind that is measured and used; "" for colorization, and where that is none of them for the first.
    told: whether the network is told the task, by an embedding beside the noise level; the paper's is not.

    In a batch of several tasks (`Given.mixed`) all pictures are as large as their results: those to be enlarged are
    A⁺ y of the small pictures y, with A⁺ as in `sr3.picture.resize`, so that y is their reduction.
    """

    tasks: Sequence[dict[str, Any]] = field(default_factory=lambda: [{"kind": kind} for kind in USUAL])
    measured: str = ""
    told: bool = False

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in PARTS]:
            raise ValueError(f"there is no task {unknown[0]!r} to do with others; there are {', '.join(PARTS)}")
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError("each task can be given once")
        if not self.kinds:
            raise ValueError("it needs the kind of a task; give at least one")
        self._number(self._kind)
        for options in self.tasks:
            task_of(options)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the tasks, in the order of their labels."""
        return [str(options.get("kind")) for options in self.tasks]

    @property
    def _kind(self) -> str:
        return self.measured or (USUAL[0] if USUAL[0] in self.kinds else self.kinds[0])

    def _number(self, kind: str) -> int:
        if kind not in self.kinds:
            raise ValueError(f"it was not trained for {kind}, but for {', '.join(self.kinds)}")
        return self.kinds.index(kind)

    def as_kind(self, kind: str) -> "Several":
        """The same, used for one of its tasks.  ValueError where it has none of that kind."""
        self._number(kind)
        return replace(self, measured=kind)

    @property
    def own(self) -> Restoration:
        """The task that is measured and used."""
        return task_of(self.tasks[self._number(self._kind)])

    @property
    def command(self) -> str:
        return self.own.command

    @property
    def baseline_name(self) -> str:
        return self.own.baseline_name

    @property
    def given_name(self) -> str:
        return self.own.given_name

    @property
    def degradation(self) -> str:
        return self.own.degradation

    @property
    def colours(self) -> bool:
        return self.own.colours

    @property
    def border(self) -> int:
        return self.own.border

    @property
    def factor(self) -> int:
        return self.own.factor

    @property
    def channels(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return max(task_of(options).channels for options in self.tasks)

    @property
    def multiple(self) -> int:
        """What the sides of pictures that it learns from are multiples of."""
        return math.lcm(*(task_of(options).factor for options in self.tasks))

    def result_size(self, given: Given) -> tuple[int, int]:
        return super().result_size(given) if given.mixed else self.own.result_size(given)

    def _labelled(self, given: Given) -> Given:
        label = torch.full((len(given.image),), self._number(self._kind), device=given.image.device)
        return given._replace(label=label)

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        return self._labelled(self.own.take(picture, file))

    def certain(self, given: Given) -> str:
        return self.own.certain(given)

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        return self._labelled(self.own.reduced(given, size))

    def windows(self, given: Given, least: int) -> list[tuple[slice, slice]]:
        return self.own.windows(given, least)

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        return self.own.enlarged(made, small, given)

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        if rng is None:
            return self._labelled(self.own.degrade(clean))
        label = rng.integers(len(self.tasks))
        image, mask = torch.empty_like(clean), torch.ones_like(clean[:, :1], dtype=torch.bool)
        for number, chosen in _groups(label):
            there = torch.tensor(chosen, device=clean.device)
            task = task_of(self.tasks[number])
            part = task.degrade(clean[there], rng=rng.of(chosen))
            image[there] = shrink_inverse(part.image, task.factor)
            if part.mask is not None:
                mask[there] = part.mask
        return Given(image, mask, label=label.to(clean.device), mixed=True)

    def _each(self, given: Given, of: Callable[[Restoration, Given, list[int]], Tensor]) -> Tensor:
        """What each picture's own task answers, in the order of the pictures."""
        label = given.label if given.label is not None else self._labelled(given).label
        assert label is not None
        order: list[int] = []
        parts: list[Tensor] = []
        for number, chosen in _groups(label):
            task, some = task_of(self.tasks[number]), given.of(chosen)
            if given.mixed:
                some = some._replace(image=shrink(some.image, task.factor))
            order += chosen
            parts.append(of(task, some, chosen))
        return torch.cat(parts)[torch.tensor(order, device=parts[0].device).argsort()]

    def baseline(self, given: Given) -> Tensor:
        return self._each(given, lambda task, some, _: task.baseline(some))

    def again(self, made: Tensor, given: Given) -> Tensor:
        def one(task: Restoration, some: Given, chosen: list[int]) -> Tensor:
            found = task.again(made[chosen], some)
            return shrink_inverse(found, task.factor) if given.mixed else found

        return self._each(given, one)

    def prepare(self, given: Given) -> Example:
        whole = self._labelled(given) if given.label is None else given
        cond = self._each(whole, lambda task, some, _: _shown(task.prepare(some), self.channels))
        return Example(cond=cond, base=self.baseline(whole), mask=whole.mask, label=whole.label if self.told else None)

    def project(self, made: Tensor, given: Given) -> Tensor:
        return self._each(given, lambda task, some, chosen: task.project(made[chosen], some))

    def finish(self, made: Tensor, given: Given) -> Tensor:
        return self._each(given, lambda task, some, chosen: task.finish(made[chosen], some))


def task_of(options: dict[str, Any]) -> Restoration:
    """The task that options name."""
    return PARTS[options["kind"]](**{key: value for key, value in options.items() if key != "kind"})


def _shown(example: Example, channels: int) -> Tensor:
    """What the network sees, with zeros for the channels that other tasks have more of."""
    assert example.cond is not None
    return F.pad(example.cond, (0, 0, 0, 0, 0, channels - example.cond.shape[1]))


def _groups(label: Tensor) -> list[tuple[int, list[int]]]:
    """Each label with the places of its examples."""
    listed: list[int] = label.tolist()
    return [(number, [k for k, own in enumerate(listed) if own == number]) for number in sorted(set(listed))]
