"""How like two sets of pictures are: what is cut, what is counted, and how it is said."""

import numpy as np
import pytest
import torch

from sr3.evaluation import likeness
from sr3.evaluation.criterion import BY_SWD, Criterion, criterion
from sr3.evaluation.likeness import Distance, by_chance, distance, reduced, sentence
from sr3.metric.features import MissingError
from sr3.metric.swd import SWD, patches_for
from sr3.model.config import ConfigError
from sr3.picture.collection import Pictures
from sr3.picture.resize import resize, round8


def pictures(count: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_pictures_are_cut_in_the_middle_to_the_shape_and_reduced():
    rng = np.random.default_rng(0)
    shapes = [(40, 30, 3), (16, 50, 3), (8, 12, 3)]
    pixels = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    found = reduced(Pictures(list("abc"), pixels), (8, 12))
    for one, (rows, columns) in zip(
        range(3), ((slice(10, 30), slice(0, 30)), (slice(0, 16), slice(13, 37)), (...,) * 2)
    ):
        cut = pixels[one] if rows is ... else pixels[one][rows, columns]
        whole = torch.from_numpy(cut.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        assert torch.equal(found[one : one + 1], round8(resize(whole, (8, 12))))
    with pytest.raises(ConfigError, match="x has 12x7 pixels, less than the 12x8 to compare with"):
        reduced(Pictures(["x"], [pixels[2][:7]]), (8, 12))


def test_as_many_of_each_are_compared_in_8_bits():
    made, target = pictures(70), pictures(66, seed=1)
    found = distance(made * 1.7, target)
    swd = SWD(patches_for(66))
    a, b = ((round8(x[:66]) + 1) / 2 for x in (made * 1.7, target))
    swd.update(a, b, b)
    assert found.swd == pytest.approx(swd.compute()["swd"], rel=1e-4)
    assert found.pictures == 66
    assert found.interval == pytest.approx(swd.intervals(0)["swd"], rel=1e-3)
    assert distance(made, target, interval=False).interval is None
    assert distance(made[:3], made[:3]).swd == 0
    with pytest.raises(ConfigError, match=r"pictures of \[3, 16, 16\] cannot be compared with those of \[3, 8, 8\]"):
        distance(made, pictures(2, 8))
    assert distance(pictures(2, 7), pictures(2, 7, 1)).swd > 0
    with pytest.raises(ConfigError, match="below 7 pixels"):
        distance(pictures(2, 6), pictures(2, 6))


def test_by_chance_is_between_halves_of_one_set(monkeypatch):
    seen = []

    def told(one, other, *, interval):
        seen.append((one[:, 0, 0, 0].tolist(), other[:, 0, 0, 0].tolist()))
        assert not interval
        return Distance(float(len(seen)), None, len(one))

    monkeypatch.setattr(likeness, "distance", told)
    numbered = torch.arange(9.0)[:, None, None, None]
    assert by_chance(numbered, 3, seed=5) == Distance(2.5, (1.0, 4.0), 3)
    for k, (one, other) in enumerate(seen):
        order = np.random.default_rng([5, k]).permutation(9)
        assert [*one, *other] == order[:6].tolist()
    assert by_chance(numbered, 100, repeats=2).pictures == 4
    assert by_chance(numbered[:2], 1, repeats=1).pictures == 1
    with pytest.raises(ConfigError, match="need at least 2 pictures"):
        by_chance(numbered[:1], 5)


def test_both_distances_are_said_with_their_ratio():
    made, chance = Distance(30.04, (28.0, 33.0), 50), Distance(20.0, (19.0, 21.0), 50)
    assert sentence(made, chance, ("held", "train")) == (
        "sliced Wasserstein distance, x1e3: 30.0 (95 %: 28.0 to 33.0) between 50 made and as many of held, 1.50 times "
        "that between two disjoint sets of 50 of train: 20.0"
    )
    fewer = sentence(Distance(30.0, None, 60), Distance(0.0, None, 50), ("a", "b"))
    assert fewer.startswith("sliced Wasserstein distance, x1e3: 30.0 between 60 made and as many of a between two")
    assert fewer.endswith("0.0; fewer are farther apart by chance, so give more to --chance")


def test_what_a_criterion_adds_up(monkeypatch):
    assert BY_SWD.score({"swd": 3.0, "consistency_free": 0.5}, {}) == 3.5
    assert BY_SWD.metrics() == []
    by_features = Criterion(features=lambda x: x)
    assert by_features.score({"frechet": 7.0, "swd": 1.0}, {}) == 7
    assert [name for metric in by_features.metrics() for name in metric.compute()] == ["frechet"]

    class Eye:
        said = "an eye"
        distance = None

    eye = Criterion(Eye())
    baseline = {"kernel": 2.0, "feature": 0.5, "consistency_free": 4.0}
    assert eye.score({"kernel": 1.0, "feature": 0.25, "consistency_free": 1.0}, baseline) == pytest.approx(1.25)
    assert eye.score({"kernel": -1.0, "feature": 0.25, "consistency_free": 1.0}, baseline) == pytest.approx(0.75)
    assert eye.score({"kernel": 1.0, "feature": 0.25, "consistency_free": 1.0}, baseline | {"kernel": 0.0}) == 0.75
    assert eye.said.endswith("each as a share of the baseline's; an eye")
    assert BY_SWD.said == "SWD x1e3 + consistency without projection x1e-5"

    def lacking(device):
        raise MissingError("no package")

    monkeypatch.setattr("sr3.evaluation.criterion.lite", lacking)
    assert criterion() == Criterion(note="no package; judged by SWD, which rewards crumpled lines")
    assert criterion("swd") is BY_SWD
    with pytest.raises(ConfigError, match="no package"):
        criterion("eye")
    with pytest.raises(ConfigError, match="there is no criterion 'eyes'; did you mean eye"):
        criterion("eyes")
    monkeypatch.setattr("sr3.evaluation.criterion.network", lambda name, device: (name, device))
    assert criterion("frechet", "cpu", "mine:it").features == ("mine:it", "cpu")
    assert criterion("frechet").features == ("efficientnet-lite0", "cpu")
