"""Which measures prefer crumpled lines to soft ones?  Originals blurred, and originals bent by a few pixels at random.

    python experiments/crumple.py set5.zip set14.zip

Bent pictures are as sharp as the originals and have their textures, so whatever looks at small patches alone likes
them; people see at once that no line is straight.  Needs the extra `eye`.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.metric import PSNR, SWD
from sr3.metric.features import DISTANCES, FeatureDistance
from sr3.metric.lite import Lite, lite
from sr3.metric.lpips import LPIPS
from sr3.metric.swd import patches_for
from sr3.picture.collection import load

SIDE = 384
"""Of a picture its middle is taken, so large at most, and a multiple of 4."""

CELL = 6
"""Pixels between the points that are moved independently."""

AMOUNTS = {"blurred": (0.7, 1.0, 1.5), "crumpled": (1.0, 1.5, 2.0)}
"""Standard deviations, in pixels: of the Gaussian, and of how far a point is moved each way."""


def blurred(x: Tensor, sigma: float, seed: int) -> Tensor:
    """[1, 3, H, W] under a Gaussian."""
    reach = int(3 * sigma + 1)
    taps = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    x = F.pad(x, (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(x, taps, groups=3), taps.transpose(2, 3), groups=3)


def crumpled(x: Tensor, amount: float, seed: int) -> Tensor:
    """[1, 3, H, W] with every point moved smoothly and at random."""
    height, width = x.shape[2:]
    rng = torch.Generator().manual_seed(seed)
    moved = torch.randn(1, 2, height // CELL + 2, width // CELL + 2, generator=rng)
    moved = F.interpolate(moved, size=(height, width), mode="bicubic")
    moved *= amount / moved.std()
    to = (torch.arange(width) + moved[:, 0], torch.arange(height)[:, None] + moved[:, 1])
    grid = torch.stack([(2 * t + 1) / n - 1 for t, n in zip(to, (width, height), strict=True)], dim=-1)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)


def measured(pictures: list[Tensor], network: Lite) -> dict[str, dict[str, float]]:
    """By "blurred 0.7" and so on; pictures [1, 3, H, W] in [0, 1]."""
    found: dict[str, dict[str, float]] = {}
    for way, worse in (("blurred", blurred), ("crumpled", crumpled)):
        for amount in AMOUNTS[way]:
            kernel = FeatureDistance(network, {"kernel": DISTANCES["kernel"]})
            metrics = [PSNR(4), SWD(patches_for(len(pictures))), kernel, LPIPS(network.distance, "feature")]
            for seed, original in enumerate(pictures):
                made = (255 * worse(original, amount, seed)).round() / 255
                for metric in metrics:
                    metric.update(made, original, original)
            row = {name: value for metric in metrics for name, value in metric.compute().items()}
            found[f"{way} {amount}"] = {name: row[name] for name in ("psnr_y", "swd", "kernel", "feature")}
    return found


def middle(pixels: Tensor) -> Tensor:
    """[H, W, 3] of 8 bits -> [1, 3, h, w] in [0, 1]."""
    sides = [min(SIDE, n) // 4 * 4 for n in pixels.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(pixels.shape[:2], sides, strict=True))
    return pixels[top : top + sides[0], left : left + sides[1]].permute(2, 0, 1)[None].float() / 255


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    pictures = [middle(torch.from_numpy(p.copy())) for p in load(parser.parse_args().data).pixels]
    for name, row in measured(pictures, lite()).items():
        print(
            f"{name:14} Y-PSNR {row['psnr_y']:5.2f}  SWD {row['swd']:6.1f}  "
            f"kernel {row['kernel']:.4f}  feature {row['feature']:.4f}"
        )


if __name__ == "__main__":
    main()
