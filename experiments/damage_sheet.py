"""Unchosen examples of the damage that a recipe trains against, to look at.

    python experiments/damage_sheet.py --data photos.zip --out sheet.png
    python experiments/damage_sheet.py --data photos.zip --preset real --set sigma=0.1,0.5 --out sheet.png

Each row is one crop: the plain reduction, then the damage of so many examples in the order of their numbers, each
enlarged by repeating pixels.  The presets make conditions to measure in: the same numbers always give the same files.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sr3.picture.collection import load
from sr3.picture.resize import round8, shrink
from sr3.random import Stream
from sr3.task.damage import Damage
from sr3.training.data import Crops

_ALWAYS = {"clean": 0.0, "twice": 0.0, "kernels": (1.0, 0.0, 0.0, 0.0), "sharpen": 0.0, "jpeg": 1.0, "webp": 0.0}
PRESETS = {
    "training": Damage(),
    "jpeg": Damage(**_ALWAYS, blur=0.0, noise=0.0, quality=(75, 75), halved=1.0),
    "real": Damage(
        **_ALWAYS,
        blur=1.0,
        sigma=(0.1, 0.3),
        shapes=(1.0, 0.0, 0.0),
        noise=1.0,
        gaussian=(2.0, 8.0),
        poisson=0.0,
        grey=0.0,
        quality=(40, 80),
        halved=1.0,
    ),
}
"""training: what recipes that set nothing train against.  jpeg, real: light and middling damage of one kind."""


def sheet(clean: Tensor, damage: Damage, columns: int, factor: int, seed: int) -> Tensor:
    """Rows of reduced crops [3, H, W] in [-1, 1]; example n of the sheet is number n of the stream."""
    rows: list[Tensor] = []
    for r, crop in enumerate(clean.split(1)):
        rng = Stream(seed, range(r * columns, (r + 1) * columns))
        damaged = damage(crop.expand(columns, -1, -1, -1), factor, rng=rng)
        row = torch.cat([round8(shrink(crop, factor)), damaged])
        rows.append(torch.cat(list(torch.nn.functional.pad(row, (1, 1, 1, 1), value=1.0)), dim=-1))
    return torch.cat(rows, dim=-2)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders or zips of pictures")
    p.add_argument("--out", type=Path, required=True, help="the PNG to write")
    p.add_argument("--preset", choices=PRESETS, default="training")
    p.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER[,NUMBER…]", help="change single settings")
    p.add_argument("--rows", type=int, default=6)
    p.add_argument("--columns", type=int, default=9)
    p.add_argument("--side", type=int, default=256, help="of the crops, before they are reduced")
    p.add_argument("--factor", type=int, default=4)
    p.add_argument("--zoom", type=int, default=2, help="how large a pixel is drawn")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    values = dict(text.split("=", 1) for text in a.set)
    numbers = {k: tuple(float(n) for n in v.split(",")) for k, v in values.items()}
    preset = vars(PRESETS[a.preset])
    wide = {name for name, value in preset.items() if isinstance(value, tuple)}  # one number is both ends
    settings = {**preset, **{k: n if len(n) > 1 else (n[0], n[0]) if k in wide else n[0] for k, n in numbers.items()}}
    crops = Crops(load(a.data, smallest=a.side), a.side, seed=a.seed)
    drawn = sheet(crops(range(a.rows)), Damage(**settings), a.columns, a.factor, a.seed)
    samples = ((drawn + 1) * 127.5).round().byte().permute(1, 2, 0)
    large = samples.repeat_interleave(a.zoom, 0).repeat_interleave(a.zoom, 1)
    Image.fromarray(large.numpy()).save(a.out)


if __name__ == "__main__":
    main()
