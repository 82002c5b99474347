"""What the shipped weights answer: one small restoration by each, against the figures they gave when they came.

Whoever ships other weights writes the new figures: `python tests/model/test_weights.py` prints them.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.metric.psnr import psnr
from sr3.model.model import Model
from sr3.model.shipped import names
from sr3.restore.generate import Cascade
from sr3.restore.restorer import Restorer
from sr3.task import Generation

GOLDEN = {
    "face-16": (
        0.0,
        [20.1, 32.7, 16.2, -57.0, 43.9, -49.5, -100.3, -67.6, 10.9, -71.5, -91.7, -92.5, 38.7, -70.6, -93.1, -95.8],
    ),
    "face-8x": (20.83, [8.9, 8.3, 12.3, 19.5, 5.8, 8.4, 9.9, 17.0, 7.1, 11.8, 12.6, 17.4, 9.9, 10.3, 16.7, 22.8]),
    "face-8x-regression": (
        21.3,
        [6.4, 7.1, 10.5, 18.0, 4.5, 7.0, 7.6, 15.8, 4.0, 7.0, 7.5, 16.0, 6.3, 5.8, 11.8, 19.2],
    ),
    "face-color": (
        11.36,
        [34.2, 42.5, 43.5, 46.4, 30.7, 39.1, 46.7, 53.5, 37.0, 43.0, 53.6, 58.5, 36.6, 40.7, 51.6, 55.6],
    ),
    "face-fill": (19.71, [1.4, 10.4, 3.6, 0.0, 4.0, 7.3, 4.7, 0.0, 0.0, 2.6, 0.0, 0.0, 11.6, 4.6, 1.8, 0.0]),
    "photo-2x": (21.18, [5.0, 7.1, 12.2, 16.8, 4.2, 7.3, 8.8, 16.0, 4.1, 7.4, 8.6, 16.0, 7.0, 7.8, 11.6, 16.9]),
    "photo-4x": (21.0, [5.0, 6.6, 13.0, 21.6, 3.4, 7.1, 8.7, 16.8, 3.8, 7.2, 8.3, 17.6, 6.6, 6.2, 10.4, 18.0]),
    "photo-4x-fast": (21.27, [5.0, 7.3, 11.3, 17.0, 4.0, 7.5, 8.1, 15.8, 3.8, 7.1, 8.1, 15.4, 7.1, 7.2, 10.2, 17.3]),
    "photo-4x-regression": (
        21.33,
        [6.0, 7.6, 10.5, 16.6, 4.3, 7.3, 8.2, 15.2, 4.8, 7.1, 8.0, 15.2, 6.5, 7.2, 10.2, 16.7],
    ),
    "photo-4x-worn": (21.44, [4.5, 6.4, 10.8, 16.8, 3.1, 7.0, 8.0, 15.5, 3.5, 6.8, 7.5, 15.4, 6.4, 6.1, 10.2, 16.7]),
    "photo-jpeg-fast": (14.66, [4.3, 4.7, 7.5, 5.6, 6.4, 6.8, 6.4, 5.9, 6.4, 10.3, 5.2, 5.5, 6.9, 7.7, 7.0, 6.5]),
    "photo-jpeg-regression": (
        14.63,
        [2.6, 2.9, 5.4, 3.2, 3.7, 4.5, 4.5, 3.8, 4.6, 5.8, 3.1, 3.5, 4.9, 6.5, 5.3, 4.6],
    ),
}
"""What `answer` said of each."""


def picture(side: int) -> Tensor:
    """Edges, a disc, a fine and a coarse texture, in colours: [1, 3, side, side] in [-1, 1]."""
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, side, dtype=torch.float64)], indexing="ij")
    disc = torch.sigmoid(12 * (0.36 - (x - 0.2) ** 2 - (y + 0.1) ** 2))
    stripes, waves = torch.sin(30 * x + 19 * y), torch.sign(torch.cos(15 * x * y + 9 * y))
    edge = (x + 0.4 * y > -0.5).double()
    colours = [0.7 * disc - 0.3 * edge, 0.5 * edge * waves - 0.2 * disc, 0.3 * stripes * disc - 0.4 * waves]
    return torch.stack(colours)[None].clamp(-1, 1).float()


def answer(name: str) -> tuple[float, list[float]]:
    """PSNR in dB (0 where there is no original), and the picture's detail on a 4 x 4 grid, in levels of 255.

    Detail is the root mean square distance from the enlarged picture, as means are held to what is given; of a picture
    from nothing, it is its means.
    """
    model = Model.from_pretrained(name)
    if isinstance(model.task, Generation):
        cascade = Cascade([model], device="cpu", precision="fp32")
        made = next(m.pictures for m in cascade.stream(1, seed=5) if hasattr(m, "pictures"))
        return 0.0, levels(F.adaptive_avg_pool2d(made, 4).mean(1))
    target = picture(16 * model.task.factor)
    given = model.task.degrade(target)
    made = Restorer(model, device="cpu", precision="fp32").make(given, [5])
    detail = F.adaptive_avg_pool2d((made - model.task.baseline(given)).square().mean(1), 4).sqrt()
    quality = psnr((made + 1) / 2, (target + 1) / 2).item()
    return round(quality, 2), levels(detail)


def levels(x: Tensor) -> list[float]:
    return [round(v, 1) for v in (127.5 * x).flatten().tolist()]


def test_every_shipped_model_is_held_to_its_figures():
    assert set(GOLDEN) == set(names())


@pytest.mark.parametrize("name", GOLDEN)
def test_the_weights_answer_as_they_did(name):
    quality, grid = answer(name)
    wanted, detail = GOLDEN[name]
    assert quality == pytest.approx(wanted, abs=0.02)
    assert max(abs(a - b) for a, b in zip(grid, detail, strict=True)) <= 0.25


if __name__ == "__main__":
    print(*(f'    "{name}": {answer(name)},' for name in names()), sep="\n")
