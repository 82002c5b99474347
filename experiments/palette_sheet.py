"""The first pictures of a set, unchosen, restored by a model of Palette's tasks: given, made, original.

    python experiments/palette_sheet.py --model face-palette --data faces-val.zip --out docs/pictures/palette
    python experiments/palette_sheet.py --model photo-jpeg-regression --data kodak24.zip --middle 192 --out jpeg

Writes PREFIX-KIND.png for every task that the model knows, measured as `palette.py` measures: each picture's three
panels stand beside one another, numbered from the left and down as in the set.  Pictures larger than the model is for
are reduced to it first (Lanczos), or their middle is taken (--middle).
"""

import argparse
from pathlib import Path

import torch
from palette import PART, use
from PIL import Image, ImageDraw
from torch import Tensor

from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.picture.resize import resize, round8
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import Given

GREY = 0.0


def shown(given: Given) -> Tensor:
    """What is given, as it can be looked at: three colours, grey where pixels are missing."""
    image = given.image.expand(-1, 3, -1, -1)
    return image if given.mask is None else torch.where(given.mask, torch.full_like(image, GREY), image)


def kinds_of(model: Model) -> list[str]:
    """Those of the tasks measured here that a model knows."""
    kinds = getattr(model.task, "kinds", [model.config.task["kind"]])
    return [kind for kind in PART if kind in kinds]


def drawn(panels: list[Tensor], across: int, zoom: int) -> Image.Image:
    """Panels [N, 3, H, W], each picture's beside one another, `across` pictures in a row, numbered."""
    height, width = panels[0].shape[-2:]
    step = (len(panels) * width * zoom + 8, height * zoom + 8)
    count = len(panels[0])
    sheet = Image.new("RGB", (across * step[0], -(-count // across) * step[1]), "white")
    pen = ImageDraw.Draw(sheet)
    for k in range(count):
        row = torch.cat([panel[k] for panel in panels], -1)
        samples = ((row.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        there = (k % across * step[0], k // across * step[1])
        picture = Image.fromarray(samples)
        sheet.paste(picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST), there)
        pen.text((there[0] + 2, there[1] + 1), str(k + 1), fill="white", stroke_width=1, stroke_fill="black")
    return sheet


def main() -> None:
    """Draw a sheet for each task."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--model", required=True)
    args.add_argument("--data", type=Path, nargs="+", required=True)
    args.add_argument("--out", required=True, help="what the files' names begin with")
    args.add_argument("--count", type=int, default=30)
    args.add_argument("--across", type=int, default=5)
    args.add_argument("--zoom", type=int, default=2)
    args.add_argument("--middle", type=int, help="take a square of this side out of the middle")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--device", default="auto")
    asked = args.parse_args()
    model = Model.from_pretrained(asked.model)
    side = model.config.sides[1] if model.config.sides else None
    clean: list[Tensor] = []
    for number, pixels in enumerate(load(asked.data).first(asked.count).pixels):
        one = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        if asked.middle:
            top, left = (max(0, (size - asked.middle) // 2) for size in one.shape[-2:])
            one = one[..., top : top + asked.middle, left : left + asked.middle]
        elif side is not None and max(one.shape[-2:]) > side:
            one = round8(resize(one, (side, side)))
        clean.append(one)
        assert one.shape == clean[0].shape, f"picture {number} is of another size; use --middle"
    for kind in kinds_of(model):
        restorer = Restorer(use(model, kind, **PART[kind]), device=asked.device)
        task = needs_picture(restorer.model)
        panels: list[list[Tensor]] = [[], [], []]
        for number, one in enumerate(clean):
            given = task.degrade(one)
            made = make(restorer, given, [mix(asked.seed, number, 0)])
            for panel, part in zip(panels, (shown(given), made, one), strict=True):
                panel.append(part.cpu())
        whole = [torch.cat(panel) for panel in panels]
        drawn(whole, asked.across, asked.zoom).save(f"{asked.out}-{kind}.png")


if __name__ == "__main__":
    main()
