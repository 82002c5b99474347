"""The demonstration: scikit-image's bundled photographs, degraded, restored, and put side by side with the measures."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr3.metric.psnr import psnr, psnr_y
from sr3.metric.ssim import ssim, ssim_y
from sr3.picture.exchange import to_pil
from sr3.picture.picture import Picture
from sr3.picture.resize import round8
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import Given, SuperResolution

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SIDE = 256
"""Pixels of each original shown."""
COMPRESSED, QUALITY = "coffee", 75
"""The photograph that is also shown as people have most of theirs: its small picture as a JPEG file of this quality."""


@dataclass(frozen=True)
class Row:
    """One photograph: (title, picture [1, 3, H, W] in [-1, 1]) for each column."""

    name: str
    pictures: list[tuple[str, Tensor]]


def photographs(names: tuple[str, ...] = PHOTOGRAPHS) -> Iterator[tuple[str, Tensor]]:
    """Photographs that scikit-image ships, halved and centre-cut to SIDE; nothing is downloaded."""
    from skimage import data

    from sr3.picture.resize import resize

    for name in names:
        pixels = np.asarray(getattr(data, name)())[..., :3]
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        height, width = picture.shape[-2:]
        share = SIDE / min(height, width)
        picture = round8(resize(picture, (max(SIDE, round(height * share)), max(SIDE, round(width * share)))))
        top, left = (picture.shape[-2] - SIDE) // 2, (picture.shape[-1] - SIDE) // 2
        yield name, picture[..., top : top + SIDE, left : left + SIDE]


def rows(restorer: Restorer, regression: Restorer | None, *, seed: int = 0) -> Iterator[Row]:
    """Each photograph: what was given, the baseline, the regression, the model, and the original.

    Where the model enlarges, last `COMPRESSED` once more, given as a JPEG file.
    """
    task, compressed = needs_picture(restorer.model), None
    others = [(one, s) for one, s in ((regression, 0), (restorer, seed)) if one is not None]
    for name, whole in photographs():
        side = SIDE - SIDE % task.factor
        original = whole if side == SIDE else whole[..., :side, :side]
        given = task.degrade(original)
        if name == COMPRESSED and isinstance(task, SuperResolution):
            compressed = original, given
        results = [(one.model.config.name, make(one, given, [s])) for one, s in others]
        yield Row(name, [*_given(restorer, given), *_rounded(results), ("original", original)])
    if compressed is None:
        return
    original, given = compressed
    file = io.BytesIO()
    to_pil(Picture(given.image[0])).save(file, "JPEG", quality=QUALITY)
    small = Image.open(file).convert("RGB")
    seen = Given(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1)
    results = [(one.model.config.name, one.restore(file.getvalue(), seed=s).variants[0].rgb) for one, s in others]
    shown = _given(restorer, seen, f", JPEG {QUALITY}")
    yield Row(f"{COMPRESSED}.jpg", [*shown, *_rounded(results), ("original", original)])


def _given(restorer: Restorer, given: Given, kind: str = "") -> list[tuple[str, Tensor]]:
    """The picture given, its pixels as squares, and the baseline."""
    task = needs_picture(restorer.model)
    squares = torch.nn.functional.interpolate(given.image, size=task.result_size(given), mode="nearest")
    title = f"given, {given.image.shape[-1]}x{given.image.shape[-2]}{kind}"
    return [(title, squares), (task.baseline_name, round8(task.baseline(given)))]


def _rounded(pictures: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    return [(name, round8(picture)) for name, picture in pictures]


def sheet(made: list[Row], border: int, *, colours: bool = False) -> Image.Image:
    """One labelled picture of all rows, with Y-PSNR and Y-SSIM under each; border: pixels they leave out.

    colours: PSNR and SSIM of all three colours instead, where the luminance is given and every method has it.
    """
    noise, likeness = (psnr, ssim) if colours else (psnr_y, ssim_y)
    font = ImageFont.load_default(size=14)
    gap, label = 8, 40
    columns = len(made[0].pictures)
    page = Image.new("RGB", (columns * (SIDE + gap) + gap, len(made) * (SIDE + label + gap) + gap), "white")
    draw = ImageDraw.Draw(page)
    for r, row in enumerate(made):
        original = (row.pictures[-1][1] + 1) / 2
        for c, (title, picture) in enumerate(row.pictures):
            left, top = gap + c * (SIDE + gap), gap + r * (SIDE + label + gap)
            pixels = ((picture[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            page.paste(Image.fromarray(pixels), (left, top))
            text = title
            if 0 < c < columns - 1:
                shown = ((picture + 1) / 2).clamp(0, 1)
                decibels = float(noise(shown, original, border=border))
                text += f"\n{decibels:.2f} dB  SSIM {float(likeness(shown, original, border=border)):.3f}"
            draw.multiline_text((left + 2, top + SIDE + 2), text, fill="black", font=font, spacing=2)
    return page
