"""Sliced Wasserstein distance over a Laplacian pyramid: are the textures distributed like those of photographs?

Needs no downloaded weights.  Karras et al. (2018, Progressive GAN), section 5.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

SIDE = 7


def pyramid(x: Tensor, smallest: int = 16) -> list[Tensor]:
    """Laplacian pyramid of [B, 3, H, W], finest first; the last level is what is left.  Burt & Adelson (1983)."""
    levels: list[Tensor] = []
    while min(x.shape[-2:]) >= 2 * smallest:
        small = F.interpolate(x, size=(x.shape[-2] // 2, x.shape[-1] // 2), mode="bilinear", antialias=True)
        levels.append(x - F.interpolate(small, size=x.shape[-2:], mode="bilinear"))
        x = small
    return [*levels, x]


def descriptors(level: Tensor, count: int, rng: Generator) -> Tensor:
    """`count` random 7 x 7 patches of each picture: [B * count, 3 * 49]."""
    rows = torch.randint(level.shape[-2] - SIDE + 1, (count,), generator=rng)
    columns = torch.randint(level.shape[-1] - SIDE + 1, (count,), generator=rng)
    windows = level.unfold(2, SIDE, 1).unfold(3, SIDE, 1)[:, :, rows, columns]  # [B, 3, count, 7, 7]
    return windows.permute(0, 2, 1, 3, 4).reshape(len(level) * count, -1)


def sliced_distance(a: Tensor, b: Tensor, projections: int, rng: Generator) -> Tensor:
    """Mean over random directions of the 1-D Wasserstein-1 distance between point sets [N, D] of equal size: []."""
    directions = torch.randn(a.shape[1], projections, generator=rng, dtype=a.dtype)
    directions = directions / directions.norm(dim=0)
    return ((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean()


class SWD:
    """Sliced Wasserstein distance between made and target pictures, x1e3.

    "swd" is the mean of "swd_0" (finest), …, "swd_low".

    The patches lie at the same random places in both sets, which the seed and the picture's size fix: only the
    pictures differ.  Each channel is normalised by the TARGET set's mean and spread, so that a wrong tint or contrast
    counts.  A picture too small for a level adds nothing to it.

    patches: per picture and level; projections: random directions.
    """

    higher_is_better = False

    def __init__(self, patches: int = 1024, projections: int = 128, seed: int = 0):
        self.patches, self.projections, self.seed = patches, projections, seed
        self.made: dict[str, list[Tensor]] = {}
        self.target: dict[str, list[Tensor]] = {}

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        for one, other in zip(made.split(1), target.split(1), strict=True):
            # keyed by what is in the picture's place, not by its turn, so that merged halves equal the whole
            key = self.seed + one.shape[-1] * 65_537 + one.shape[-2]
            for kept, picture in ((self.made, one), (self.target, other)):
                levels = pyramid(picture.float())
                for index, level in enumerate(levels):
                    if min(level.shape[-2:]) < SIDE:
                        continue
                    # what is left is no band: pictures of other sizes must not mix theirs with it
                    name = "swd_low" if index == len(levels) - 1 else f"swd_{index}"
                    rng = Generator().manual_seed(key + index)
                    kept.setdefault(name, []).append(descriptors(level, self.patches, rng))

    def merge(self, other: "SWD") -> None:
        for mine, theirs in ((self.made, other.made), (self.target, other.target)):
            for name, level in theirs.items():
                mine.setdefault(name, []).extend(level)

    def compute(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in sorted(self.made):
            a, b = torch.cat(self.made[name]), torch.cat(self.target[name])
            shape = (-1, 3, SIDE * SIDE)
            mean = b.view(shape).mean((0, 2), keepdim=True)
            # flat levels: no finer than the rounding noise of 8 bits
            std = b.view(shape).std((0, 2), keepdim=True).clamp(min=1 / (255 * 12**0.5))
            a, b = (((x.view(shape) - mean) / std).flatten(1) for x in (a, b))
            rng = Generator().manual_seed(self.seed)
            found[name] = 1e3 * sliced_distance(a, b, self.projections, rng).item()
        mean_of_levels = sum(found.values()) / len(found) if found else float("nan")
        return {"swd": mean_of_levels, **found}
