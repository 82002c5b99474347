"""Rows of a resampled picture, some at a time, against all at once."""

import pytest
import torch

from sr3.picture.resize import resize
from sr3.picture.rows import Resampling, resampled, seen_by


@pytest.mark.parametrize("want", [(40, 25), (39, 24), (17, 50), (20, 3), (1, 1), (97, 61), (41, 25)], ids=str)
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_as_all_at_once(want, steps):
    x = torch.rand(3, 40, 25, generator=torch.Generator().manual_seed(0))
    all_at_once = resize(x[None], want)[0]
    reduced = Resampling((40, 25), want)
    parts = [reduced(part) for part in x.split(steps, dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), all_at_once, rtol=0, atol=1e-5)
    if steps == 1 and want[0] > 5:
        assert sum(part.shape[1] > 0 for part in parts) > 3  # as soon as they can be made
    for rows in (slice(0, 1), slice(want[0] // 2, want[0] // 2 + 1), slice(want[0] - 1, want[0])):
        seen = seen_by(rows, 40, want[0])
        one = resampled(x[:, seen], seen.start, rows, (40, 25), want)
        torch.testing.assert_close(one, all_at_once[:, rows], rtol=0, atol=1e-5)


def test_what_is_not_seen_any_more_is_not_kept():
    reduced, most = Resampling((4000, 8), (1000, 8)), 0
    for part in torch.zeros(3, 4000, 8).split(40, dim=1):
        reduced(part)
        most = max(most, reduced.kept.shape[1])
    assert most <= 40 + 2 * 2 * 4
    assert reduced.made == 1000


def test_nothing_is_done_where_the_size_is_kept():
    x = torch.rand(3, 4, 5)
    assert Resampling((4, 5), (4, 5))(x) is x
