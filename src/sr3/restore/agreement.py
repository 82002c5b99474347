"""Agreement: what a result is held to and how far, as the file that it is made of deserves."""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.model.config import ConfigError
from sr3.picture.jpeg import JpegBins
from sr3.picture.kinds import is_jpeg
from sr3.picture.noise import noise_level
from sr3.picture.picture import Picture, PictureError
from sr3.task import Given, Restoration, Task
from sr3.task.data_term import DataTerm, Exact, InBins, Reduction, Soft
from sr3.task.settling import settled

_VISITS, _STRIDE, _NEAR = 24, 1.7, 0.5
"""The end of a walk visits the data term and the range of pictures in turn, at most so often, each time but the first
so many times as far as the former (below 2 it converges, and sooner than with 1), until its reduction is near."""

_ROUNDS = 3
"""Of each of these visits; more bring nothing."""


@dataclass(frozen=True)
class Agreement:
    """What a result is held to, and how far.

    term: which pictures agree with what is given.  Others than `Exact` need a task that is a `Reduction`.
    share: of the way to its projection that every estimate of a walk goes.  1: all of it, and the end of the walk is
        projected until it is in range too.  0: nothing is held.  Between, the last estimate is clamped and is the
        result, so that a regression's reduces to (1 - share) A x + share s, where it would reduce to A x without.
    reason: why the term is not the one that the file would deserve; "" where it is.
    """

    term: DataTerm = field(default_factory=Exact)
    share: float = 1.0
    reason: str = ""

    @property
    def said(self) -> str:
        """In words, for notes and progress."""
        if self.share == 0:
            return "nothing"
        far = "" if self.share == 1 else f"{self.share:g} of the way to "
        return far + self.term.said + (f" ({self.reason})" if self.reason else "")

    def project(self, task: Task, made: Tensor, given: Given) -> Tensor:
        """An estimate within a walk, after its share of the way."""
        if self.share == 0:
            return made
        aim = given if isinstance(self.term, Exact) else self._aim(task, made, given)
        held = task.project(made, aim)
        return held if self.share == 1 else made.lerp(held, self.share)

    def finish(self, task: Task, made: Tensor, given: Given) -> Tensor:
        """What the user gets of a walk that ended at `made`: in [-1, 1]."""
        if self.share < 1:
            return made.clamp(-1, 1)
        if isinstance(self.term, Exact):
            return task.finish(made, given)
        assert isinstance(task, Reduction)
        size = given.image.shape[-2], given.image.shape[-1]
        visits = (partial(self.visit, task, given._replace(image=one[None])) for one in given.image)
        each = [settled(x[None], size, self.term.grid, _VISITS, v) for x, v in zip(made, visits, strict=True)]
        return torch.cat(each)

    def visit(
        self, task: Reduction, given: Given, x: Tensor, seen: tuple[slice, slice], number: int
    ) -> tuple[Tensor, Tensor]:
        """One visit of `finish` to a part of a picture, as `sr3.task.settling.Visit` is to make it."""
        part, small = given.image[(..., *seen)], task.reduce(x)
        aim = self.term.cut(*seen).nearest(small, part, rounds=_ROUNDS)
        held = task.project(x, given._replace(image=aim))
        held = held if number == 0 else x.lerp(held, _STRIDE)
        return held.clamp(-1, 1), (127.5 * (aim - small)).abs().amax((0, 1)) >= _NEAR

    def _aim(self, task: Task, made: Tensor, given: Given) -> Given:
        """What `made` should reduce to."""
        assert isinstance(task, Reduction)
        return given._replace(image=self.term.nearest(task.reduce(made), given.image))


HELD, FREE = Agreement(), Agreement(share=0.0)


def agreement(
    task: Task,
    source: Any,
    picture: Picture,
    *,
    given: Given | None = None,
    fidelity: float = 1.0,
    noise: float | None = None,
) -> Agreement:
    """The agreement that a picture deserves: a JPEG's bins, soft where there is noise to be seen, else exact.

    source: what the picture was read from; a path or contents are looked at, to see whether it is a JPEG file.
    given: what the task takes of it; it says whether a task that is no `Reduction` is held to anything.
    fidelity: the share, from 0 to 1.
    noise: sigma in steps of 8 bits; 0: there is none.  None: as seen in the picture, and none in a JPEG file, where
        what compression left of it is not white.
    ConfigError for what is out of range.
    """
    if not 0 <= fidelity <= 1:  # NaN is neither
        raise ConfigError(f"the fidelity {fidelity:g} is out of range; give a number from 0 (free) to 1 (held)")
    if noise is not None and not (0 <= noise < math.inf):
        raise ConfigError(f"noise of sigma {noise:g} makes no sense; give it in steps of 8 bits, 0 for none")
    if fidelity == 0:
        return FREE
    if not isinstance(task, Reduction):
        said = "what its task was given"
        if isinstance(task, Restoration) and given is not None:
            said = task.certain(given)
        return Agreement(Exact(said), fidelity) if said else FREE
    data = _jpeg(source)
    if data is not None:
        try:
            return Agreement(InBins(JpegBins.of(data).checked(picture), noise or 0.0), fidelity)
        except PictureError as error:
            reason = f"not in its JPEG bins: {str(error).split(';')[0]}"
            return Agreement(Soft(noise) if noise else Exact(), fidelity, reason)
    sigma = noise_level(picture.pixels) if noise is None else noise
    if not sigma:
        return Agreement(share=fidelity)
    return Agreement(Soft(sigma, "estimated" if noise is None else "given"), fidelity)


def taken(task: Restoration, picture: Picture, source: Any = None) -> tuple[Given, Picture]:
    """What a task takes of a picture, and the picture, without the alpha that said where its hole is.

    source: what the picture was read from; a JPEG file is looked into, where the task has a use for it and the file
        has what it needs.  PictureError where the picture alone says too little.
    """
    data = _jpeg(source)
    try:
        given = task.take(picture, data)
    except PictureError:
        if data is None:
            raise
        given = task.take(picture)
    return given, picture if given.mask is None else replace(picture, alpha=None)


def _jpeg(source: Any) -> bytes | None:
    """What is in a JPEG file, of which the name or the contents are given; None for anything else."""
    if isinstance(source, bytes):
        return source if source.startswith(b"\xff\xd8\xff") else None
    return Path(source).read_bytes() if isinstance(source, str | Path) and is_jpeg(Path(source)) else None
