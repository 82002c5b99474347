"""Holes that lie apart get windows of their own, which do not overlap."""

import numpy as np
import pytest
import torch

from sr3.picture.picture import Picture
from sr3.random import Stream
from sr3.task import Given, Inpainting, Uncropping
from sr3.task.apart import apart
from sr3.task.holes import side_of
from sr3.task.inpainting import hollow


def around(margin, size):
    """A window with so many pixels more on each side."""

    def window(rows, columns):
        return tuple(slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip((rows, columns), size))

    return window


def holes(size, *boxes):
    mask = torch.zeros(size, dtype=torch.bool)
    for rows, columns in boxes:
        mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


def plain(windows):
    return [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in windows]


def test_each_hole_has_a_window_of_its_own():
    mask = holes((200, 300), ((150, 160), (20, 25)), ((10, 30), (250, 280)))
    assert plain(apart(mask, around(12, mask.shape))) == [(0, 42, 238, 292), (138, 172, 8, 37)]
    assert apart(mask & False, around(12, mask.shape)) == []
    everywhere = apart(mask | True, around(12, mask.shape))
    assert plain(everywhere) == [(0, 200, 0, 300)]


def test_holes_whose_windows_would_overlap_share_one():
    near = holes((200, 300), ((50, 60), (50, 60)), ((50, 60), (80, 90)))
    assert plain(apart(near, around(12, near.shape))) == [(38, 72, 38, 102)]
    assert plain(apart(near, around(2, near.shape))) == [(48, 62, 48, 62), (48, 62, 78, 92)]
    # two become one, whose window meets a third
    more = near | holes((200, 300), ((100, 104), (10, 14)))

    def window(rows, columns):
        return around(rows.stop - rows.start + columns.stop - columns.start, more.shape)(rows, columns)

    assert len(apart(more, around(2, more.shape))) == 3
    assert plain(apart(more, window)) == [(0, 200, 0, 224)]


@pytest.mark.parametrize("seed", range(12))
def test_no_two_overlap_and_together_they_hold_every_hole(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(30, 3000, 2).tolist())
    mask = torch.zeros(size, dtype=torch.bool)
    for _ in range(int(rng.integers(1, 40))):
        top, left = (int(rng.integers(0, side)) for side in size)
        high, wide = rng.integers(1, 40, 2).tolist()
        mask[top : top + high, left : left + wide] = True
    margin, covered = int(rng.integers(0, 50)), torch.zeros(size, dtype=torch.int32)
    windows = apart(mask, around(margin, size))
    for rows, columns in windows:
        covered[rows, columns] += 1
        assert mask[rows, columns].any()
        # the hole in it is whole, with its margin
        part = mask[rows, columns]
        down, across = part.any(1).nonzero().flatten(), part.any(0).nonzero().flatten()
        for s, there, side in ((rows, down, size[0]), (columns, across, size[1])):
            assert s.start == max(0, s.start + int(there[0]) - margin)
            assert s.stop == min(side, s.start + int(there[-1]) + 1 + margin)
    assert covered.max() == 1
    assert covered[mask].min() == 1
    starts = [(rows.start, columns.start) for rows, columns in windows]
    assert starts == sorted(starts)


def test_tasks_have_a_window_for_each_hole():
    mask = holes((400, 600), ((100, 110), (100, 120)), ((300, 306), (500, 504)))[None, None]
    given = hollow(torch.zeros(1, 3, 400, 600), mask, Stream(0, [0]))
    # half of the larger side around, and no less than a model sees
    assert plain(Inpainting().windows(given, 0)) == [(90, 120, 90, 130), (297, 309, 497, 507)]
    assert plain(Inpainting().windows(given, 64)) == [(73, 137, 78, 142), (271, 335, 470, 534)]
    # left and right are apart; all around is one
    wide = Given(torch.zeros(1, 3, 100, 500), side_of((100, 500), (10, 20, 0, 0)))
    assert plain(Uncropping().windows(wide, 64)) == [(0, 100, 0, 110), (0, 100, 380, 500)]
    ring = Given(torch.zeros(1, 3, 100, 500), side_of((100, 500), (10, 10, 10, 10)))
    assert plain(Uncropping().windows(ring, 64)) == [(0, 100, 0, 500)]
    assert Picture(given.image[0]).size == (600, 400)


def test_as_much_is_seen_around_a_hole_as_the_task_says():
    mask = holes((400, 600), ((100, 110), (100, 120)))[None, None]
    given = hollow(torch.zeros(1, 3, 400, 600), mask, Stream(0, [0]))
    for kind in (Inpainting, Uncropping):
        assert plain(kind(context=1.5).windows(given, 0)) == [(70, 140, 70, 150)]
        assert plain(kind(context=0.0).windows(given, 0)) == [(100, 110, 100, 120)]
        for wrong in (-0.1, 101.0, float("nan")):
            with pytest.raises(ValueError, match="is no number of a hole's sides"):
                kind(context=wrong)
