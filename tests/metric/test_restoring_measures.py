"""Colourfulness and the join of holes, against sums by hand and loops over pixels."""

import math

import numpy as np
import pytest
import torch

from sr3.metric.colourfulness import Colourfulness, colourfulness
from sr3.metric.join import Join, join
from sr3.metric.table import MEASURES, worth


def test_colourfulness_of_two_colours_is_what_it_is_by_hand():
    """Half red, half black: R - G and (R + G) / 2 - B are 0 or 255, and 0 or 127.5, so spreads equal means."""
    x = torch.zeros(1, 3, 4, 6)
    x[:, 0, :, :3] = 1
    assert colourfulness(x).item() == pytest.approx(1.3 * math.hypot(127.5, 63.75))
    assert colourfulness(torch.rand(2, 1, 5, 5).expand(2, 3, 5, 5)).tolist() == pytest.approx([0, 0], abs=1e-4)
    blue = torch.zeros(1, 3, 2, 2)
    blue[:, 2] = 1
    assert colourfulness(blue).item() == pytest.approx(0.3 * 255)  # one colour has no spread


def test_colourfulness_by_numpy():
    x = torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    for one, found in zip(x.numpy().astype(np.float64) * 255, colourfulness(x), strict=True):
        rg, yb = one[0] - one[1], 0.5 * (one[0] + one[1]) - one[2]
        wanted = math.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * math.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
        assert found.item() == pytest.approx(wanted, rel=1e-9)


def test_the_share_of_colour_is_of_the_means():
    target = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    made = target.mean(1, keepdim=True) + 0.5 * (target - target.mean(1, keepdim=True))
    whole, parts = Colourfulness(), [Colourfulness(), Colourfulness()]
    whole.update(made, target, made)
    for k, part in enumerate(parts):
        part.update(made[2 * k : 2 * k + 2], target[2 * k : 2 * k + 2], made[:2])
    parts[0].merge(parts[1])
    for found in (whole, parts[0]):
        assert found.compute()["colourfulness_share"] == pytest.approx(0.5, rel=1e-5)
    assert whole.each()["colourfulness"] == pytest.approx(colourfulness(made).tolist())
    low, high = whole.intervals(0)["colourfulness_share"]
    assert low < 0.5 < high
    grey = Colourfulness()
    grey.update(made, target[:, :1].expand(4, 3, 8, 8), made)
    assert math.isnan(grey.compute()["colourfulness_share"])
    assert set(grey.intervals(0)) == {"colourfulness"}
    assert math.isnan(Colourfulness().compute()["colourfulness"])
    assert Colourfulness().intervals(0) == {}


def by_loops(x, mask):
    """The definition, pixel by pixel."""
    across, known = [], []
    height, width = mask.shape
    for row in range(height):
        for column in range(width):
            for down, right in ((0, 1), (1, 0)):
                if row + down < height and column + right < width:
                    step = np.abs(x[:, row, column] - x[:, row + down, column + right]).mean()
                    pair = mask[row, column] + mask[row + down, column + right]
                    if pair < 2:
                        (across if pair else known).append(step)
    return np.mean(across) / np.mean(known)


def test_a_join_by_loops():
    rng = torch.Generator().manual_seed(2)
    x, mask = torch.rand(3, 3, 7, 9, generator=rng), torch.rand(3, 1, 7, 9, generator=rng) < 0.3
    for k in range(3):
        wanted = by_loops(x[k].double().numpy(), mask[k, 0].numpy().astype(int))
        assert join(x, mask)[k].item() == pytest.approx(wanted, rel=1e-9)


def test_a_step_at_the_border_is_seen_and_one_within_the_hole_is_not():
    slope = (torch.arange(12.0) / 40).expand(1, 3, 6, 12)
    mask = torch.zeros(1, 1, 6, 12, dtype=torch.bool)
    mask[..., 8:] = True
    # across: 1/40; known: 7 steps of 1/40 in each of 6 rows, none down 5 x 8 pairs
    alone = 1 / (42 / 82)
    assert join(slope, mask).item() == pytest.approx(alone, rel=1e-5)
    stepped = torch.where(mask, slope + 0.1, slope)
    assert join(stepped, mask).item() == pytest.approx(5 * alone, rel=1e-5)
    inside = torch.where(torch.arange(12) > 9, slope + 0.3, slope)
    assert join(inside, mask).item() == pytest.approx(alone, rel=1e-5)
    nothing = torch.zeros_like(mask)
    assert join(slope, nothing).isnan().all()  # no border
    assert join(0 * slope + 0.5, mask).isnan().all()  # nothing to compare with
    found = Join()
    found.update(torch.cat([slope, slope]), torch.cat([mask, nothing]))
    assert found.compute()["join"] == pytest.approx(alone, rel=1e-5)


def test_which_way_is_better_is_said():
    assert MEASURES["join"].better == MEASURES["colourfulness_share"].better == "one"
    assert worth("join", 1.5) == worth("join", 0.5) == -0.5
    assert worth("colourfulness", 3) is None
