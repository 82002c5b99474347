"""How like a set of pictures the made ones are: a distance between sets, and what the same distance is by chance."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sr3.metric.swd import SWD, patches_for
from sr3.model.config import ConfigError
from sr3.picture.collection import Pictures
from sr3.picture.resize import resize, round8


@dataclass(frozen=True)
class Distance:
    """The sliced Wasserstein distance (x1e3) between two sets of as many pictures, with its 95 % interval."""

    swd: float
    interval: tuple[float, float] | None
    pictures: int


def reduced(pictures: Pictures, size: tuple[int, int]) -> Tensor:
    """The largest centred cut of each picture in the shape of `size`, reduced to it: [N, 3, height, width].

    Antialiased bicubic and rounded to 8 bits, as `sr3.task.SuperResolution` degrades.  ConfigError for smaller ones.
    """
    return torch.cat([_reduced(n, p, size) for n, p in zip(pictures.names, pictures.pixels, strict=True)])


def _reduced(name: str, pixels: np.ndarray, size: tuple[int, int]) -> Tensor:
    high, wide = pixels.shape[:2]
    scale = min(high / size[0], wide / size[1])
    if scale < 1:
        raise ConfigError(f"{name} has {wide}x{high} pixels, less than the {size[1]}x{size[0]} to compare with")
    rows, columns = round(size[0] * scale), round(size[1] * scale)
    top, left = (high - rows) // 2, (wide - columns) // 2
    cut = torch.from_numpy(pixels[top : top + rows, left : left + columns].copy())
    return round8(resize(cut.permute(2, 0, 1)[None].float() / 127.5 - 1, size))


def distance(made: Tensor, target: Tensor, *, interval: bool = True) -> Distance:
    """Between two sets of pictures [N, 3, H, W] in [-1, 1]: the first N of each, where one has more.

    Both are rounded to 8 bits.  The target's mean and spread set the scale, so a wrong tint or contrast counts.
    Depends on N: fewer pictures are farther apart by chance, so compare only distances of the same N.
    interval: find the 95 % interval too, which takes longer.
    ConfigError for pictures of different sizes, or too small for a 7 x 7 patch.
    """
    if made.shape[1:] != target.shape[1:]:
        raise ConfigError(
            f"pictures of {list(made.shape[1:])} cannot be compared with those of {list(target.shape[1:])}"
        )
    if min(made.shape[-2:]) < 7:
        raise ConfigError("pictures with a side below 7 pixels are too small to compare")
    count = min(len(made), len(target))
    swd = SWD(patches_for(count))
    for k in range(0, count, 64):
        a, b = ((round8(x[k : min(k + 64, count)]) + 1) / 2 for x in (made, target))
        swd.update(a, b, b)
    return Distance(swd.compute()["swd"], swd.intervals(0).get("swd") if interval else None, count)


def by_chance(pictures: Tensor, count: int, *, repeats: int = 4, seed: int = 0) -> Distance:
    """The mean distance between two disjoint sets of `count` of the same pictures, drawn `repeats` times.

    Or of half of the pictures, where there are fewer than twice `count`.  ConfigError for fewer than 2.
    """
    count = min(count, len(pictures) // 2)
    if count < 1:
        raise ConfigError("two disjoint sets need at least 2 pictures")
    found: list[float] = []
    for k in range(repeats):
        order = np.random.default_rng([seed, k]).permutation(len(pictures))
        one, other = (pictures[torch.from_numpy(part)] for part in (order[:count], order[count : 2 * count]))
        found.append(distance(one, other, interval=False).swd)
    return Distance(sum(found) / len(found), (min(found), max(found)), count)


def sentence(made: Distance, chance: Distance, where: tuple[str, str]) -> str:
    """Both distances for a person; where: the names of the data of each."""
    ends = f" (95 %: {made.interval[0]:.1f} to {made.interval[1]:.1f})" if made.interval else ""
    ratio = f", {made.swd / chance.swd:.2f} times that" if chance.swd > 0 else ""
    unlike = "" if chance.pictures == made.pictures else "; fewer are farther apart by chance, so give more to --chance"
    return (
        f"sliced Wasserstein distance, x1e3: {made.swd:.1f}{ends} "
        f"between {made.pictures} made and as many of {where[0]}{ratio} "
        f"between two disjoint sets of {chance.pictures} of {where[1]}: {chance.swd:.1f}{unlike}"
    )
