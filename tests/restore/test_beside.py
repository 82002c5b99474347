"""How long a walk takes beside its network."""

import time

import pytest
import torch
from conftest import noise_picture

from sr3.picture.jpeg import JpegBins
from sr3.restore.agreement import FREE, HELD, Agreement
from sr3.restore.beside import beside
from sr3.task import TASKS, Given, SuperResolution
from sr3.task.data_term import InBins


def given(high: int, wide: int) -> Given:
    return Given(torch.rand(1, 3, high, wide, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def test_what_is_short_or_free_takes_nothing():
    assert beside(SuperResolution(4), HELD, given(200, 240)) == (0, 0, 16 * 200 * 240, 0)
    assert beside(TASKS["denoising"](), HELD, given(1100, 1000)) == (0, 0, 1_100_000, 0)
    step, end, *_ = beside(SuperResolution(4), FREE, given(300, 300))
    assert step > 0
    assert end == 0


def test_the_part_stands_for_the_whole(monkeypatch):
    """A clock that counts the pixels that were projected: each takes a microsecond."""
    now = [0.0]
    project = SuperResolution.project

    def slow(self, made, given):
        now[0] += made[0, 0].numel() * 1e-6
        return project(self, made, given)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(SuperResolution, "project", slow)
    step, end, area, _ = beside(SuperResolution(4), HELD, given(300, 410))
    assert area == 16 * 300 * 410
    assert step == pytest.approx(area * 1e-6)
    # eight times, and more slowly where the picture is large
    assert end == pytest.approx(8 * 1.7 * area * 1e-6)


def test_bins_are_cut_where_their_units_begin(tmp_path):
    path = tmp_path / "a.jpg"
    noise_picture(403, 261, seed=1).save(path, quality=75)
    held = Agreement(InBins(JpegBins.of(path)))
    step, end, area, _ = beside(SuperResolution(4), held, given(261, 403))
    assert area == 16 * 403 * 261
    assert 0 < step < end
