"""What comes out of a restoration: variants, and for several of them their mean and their spread."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.sample import Step
from sr3.model.config import ConfigError
from sr3.picture.picture import Picture, all_finite
from sr3.picture.resize import resize
from sr3.restore.note import each_note

UNUSABLE = "the model's result is not finite even in fp32: its weights or settings are unusable"


class Progress(NamedTuple):
    """Where a restoration stands: `done` of `total` steps, and the picture as it is now thought to become."""

    done: int
    total: int
    step: Step
    held: str = ""
    """What the result is held to, in words."""
    part: bool = False
    """Whether the step is of a band of the picture alone."""
    follows: bool | None = None
    """Whether a trace shows it; None: where it is of the first sample."""


@dataclass(frozen=True)
class Restored:
    """What comes out: the variants, and for several of them their mean and their spread."""

    variants: list[Picture]
    mean: Picture | None = None
    spread: Picture | None = None
    """Standard deviation over the variants at each pixel, grey, white where they differ most."""
    held: str = ""
    """What the variants are held to, in words."""
    note: Mapping[str, str] = field(default_factory=dict[str, str])
    """What made them, for their files."""

    def save(self, path: str | Path, *, quality: int = 95) -> list[Path]:
        """Write it by the format that the name ends in; of several variants each, their mean and their spread.

        They are then called photo-1.png, photo-2.png …, photo-mean.png, photo-spread.png.  Gives the files' names, in
        this order.  Their metadata have the note that the command line would write.  PictureError where they cannot be
        written.
        """
        path, count = Path(path), len(self.variants)
        named = {str(k + 1): variant for k, variant in enumerate(self.variants)}
        named |= {end: p for end, p in (("mean", self.mean), ("spread", self.spread)) if p is not None}
        files = {path.with_name(f"{path.stem}-{end}{path.suffix}"): picture for end, picture in named.items()}
        if count == 1:
            files = {path: self.variants[0]}
        note = {**self.note, **({"held_to": self.held} if self.held else {})} if self.note else {}
        notes = each_note(note, int(note["seed"]), count) if note else [None] * len(files)
        for (file, picture), own in zip(files.items(), notes, strict=True):
            picture.save(file, quality=quality, note=own)
        return list(files)

    def _repr_png_(self) -> bytes:
        """For a notebook: the first variant."""
        return self.variants[0].png()


def noted(steps: Iterator[Progress | Restored], note: Mapping[str, str]) -> Iterator[Progress | Restored]:
    """The steps of a restoration, and last its result, which knows what made it."""
    for step in steps:
        yield step if isinstance(step, Progress) else replace(step, note=note)


def finite(x: Tensor) -> Tensor:
    """x itself; ConfigError where it is not finite though it was computed in fp32."""
    if not all_finite(x):
        raise ConfigError(UNUSABLE)
    return x


def restored(
    source: Picture, variants: list[Tensor], *, colours: bool = False, hold: Callable[[Tensor], Tensor] | None = None
) -> Restored:
    """The variants [1, 3, H, W] as pictures with the alpha, depth and metadata of their source.

    colours: whether what is made of a grey picture has colours; otherwise it is grey as well.
    hold: holds the mean to what is given, where the mean of what agrees with that need not agree once it is rounded.
    """
    high, wide = variants[0].shape[-2:]
    alpha = None if source.alpha is None else resize(source.alpha[None], (high, wide))[0].clamp(0, 1)

    def dress(pixels: Tensor) -> Picture:
        pixels = pixels[0].clamp(-1, 1)
        if source.pixels.shape[0] == 1 and not colours:
            pixels = pixels.mean(0, keepdim=True)
        return replace(source, pixels=pixels, alpha=alpha)

    if len(variants) == 1:
        return Restored([dress(variants[0])])
    stack = torch.stack(variants)
    mean = stack.mean(0) if hold is None else hold(stack.mean(0))
    return Restored([dress(v) for v in variants], mean=dress(mean), spread=Picture(spread(stack)[0] * 2 - 1))


def spread(samples: Tensor, extent: float = 2.0) -> Tensor:
    """The standard deviation over samples [K, B, 3, H, W] as a grey map [B, 1, H, W] in [0, 1].

    A tenth of the range, whose extent is 2 for [-1, 1], and more is white: fixed, so that maps can be compared.
    """
    return (samples.std(0).mean(1, keepdim=True) / (0.1 * extent)).clamp(0, 1)
