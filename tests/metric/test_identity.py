"""Identity: the share of results that are nearer to their own original than to all the others."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

import sr3.metric.extra as extras
from sr3.metric.features import MissingError
from sr3.metric.identity import Identity
from sr3.metric.table import worth


def of_pixels(pictures):
    return pictures.flatten(1)


def plane(points):
    """Pictures [N, 3, 1, 1] whose features are these points, with a third number of 0."""
    return torch.tensor([(*point, 0.0) for point in points])[:, :, None, None]


def test_the_share_is_counted_by_hand():
    """Four originals in a row; the first and last result are near their own, one is at another's, one between."""
    originals = plane([(0, 0), (1, 0), (2, 0), (3, 0)])
    results = plane([(0.4, 0.3), (2.0, 0.0), (2.5, 0.0), (9.0, 0.0)])
    seen = Identity(of_pixels)
    seen.update(results, originals, originals)
    assert seen.each() == {"identity": [1.0, 0.0, 0.0, 1.0]}  # halfway to another is no success
    assert seen.compute() == {"identity": 0.5}
    low, high = seen.intervals(0)["identity"]
    assert 0 <= low < 0.5 < high <= 1


def test_it_is_the_rank_in_the_gallery_of_all_originals_whatever_the_batches():
    rng = np.random.default_rng(0)
    originals = rng.standard_normal((60, 3, 2, 2))
    results = originals + 1.5 * rng.standard_normal(originals.shape)
    order = cdist(results.reshape(60, -1), originals.reshape(60, -1)).argmin(1)
    wanted = float(np.mean(order == np.arange(60)))
    assert 0.1 < wanted < 0.9
    a, b = (torch.from_numpy(x) for x in (results, originals))
    whole, first, second = (Identity(of_pixels) for _ in range(3))
    whole.update(a, b, b)
    for part, chosen in ((first, slice(0, 17)), (second, slice(17, 60))):
        part.update(a[chosen], b[chosen], b[chosen])
    first.merge(second)
    assert whole.compute()["identity"] == pytest.approx(wanted)
    assert first.each() == whole.each()
    assert worth("identity", 0.9) > worth("identity", 0.2)


def test_tiles_count_by_their_mean_and_one_picture_has_no_others():
    tiles = Identity(lambda x: x.flatten(1).unflatten(1, (2, -1)))
    x = torch.rand(5, 3, 2, 2)
    tiles.update(x, x, x)
    assert tiles.compute()["identity"] == 1
    alone = Identity(of_pixels)
    assert math.isnan(alone.compute()["identity"])
    alone.update(x[:1], x[:1], x[:1])
    assert math.isnan(alone.compute()["identity"])
    uneven = Identity(lambda x: x.flatten(1)[:, : 3 + len(uneven.made)])
    uneven.update(x, x, x)
    with pytest.raises(MissingError, match="3 and 4 numbers"):
        uneven.compute()


def test_it_is_measured_where_it_is_asked_for():
    made = extras.extra(["identity"], features=of_pixels)
    assert {name for metric in made.make() for name in metric.compute()} == {"identity", "frechet", "kernel"}
    assert "nearer to their own original" in made.said["identity"]
    assert "the user's network" in made.said["identity"]
    assert "identity" not in extras.extra([], features=of_pixels).said
