"""Measures of few pictures, of none, and of those that are exactly right; and what is asked for without a network."""

import math

import pytest
import torch

from sr3.metric import PSNR, SSIM, Tint
from sr3.metric import extra as extras
from sr3.metric.diversity import Diversity
from sr3.metric.features import DISTANCES, FeatureDistance, MissingError, kernel, kernel_of_pairs
from sr3.metric.lite import Lite


def pooled(x):
    return x.flatten(2).mean(2).double()


def pictures(count, side=4):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(count))


def seen(count):
    metric = FeatureDistance(pooled, DISTANCES)
    metric.update(pictures(count), pictures(count).flip(0), pictures(count))
    return metric


def test_distances_of_features_need_pictures():
    assert FeatureDistance(pooled, DISTANCES).intervals(0) == {}
    assert all(math.isnan(v) for v in FeatureDistance(pooled, DISTANCES).compute().values())
    assert seen(3).intervals(0) == {}
    assert set(seen(4).intervals(0)) == set(DISTANCES)
    assert seen(4).each() == {}


def test_the_kernel_needs_two_of_each():
    one, two = pooled(pictures(1)), pooled(pictures(2))
    for few in ((one, two), (two, one), (one, one)):
        assert math.isnan(kernel(*few))
    assert math.isnan(kernel_of_pairs(one, one))
    assert math.isfinite(kernel(two, two + 1))
    assert kernel_of_pairs(two, two) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="1 and 2 rows are not pairs"):
        kernel_of_pairs(one, two)


def test_samples_that_are_right_have_no_calibration():
    target = pictures(3)
    exact, rough = Diversity(), Diversity()
    exact.update(torch.stack([target, target]), target)
    assert math.isnan(exact.compute()["calibration"])
    assert all(math.isnan(v) for v in exact.each()["calibration"])
    assert "calibration" not in exact.intervals(0)
    rough.update(torch.stack([target + 0.1, target - 0.2]), target)
    assert "calibration" in rough.intervals(0)
    rough.merge(exact)  # one that is right among them has no ratio of its own
    assert "calibration" not in rough.intervals(0)
    with pytest.raises(ValueError, match="at least two samples"):
        Diversity().update(target[None], target)


def test_nothing_is_left_out_at_the_edges_unless_asked_for():
    made, target = pictures(1, 16), pictures(1, 16).flip(-1)
    made[..., 0, :] = 1  # differs at the edge
    for make, name in ((PSNR, "psnr"), (SSIM, "ssim")):
        plain, whole, inner = make(), make(0), make(1)
        for metric in (plain, whole, inner):
            metric.update(made, target, target)
        assert plain.compute()[name] == whole.compute()[name] != inner.compute()[name]


def test_one_picture_has_no_interval_of_tint():
    metric = Tint()
    assert metric.each() == {"tint": []}
    assert math.isnan(metric.compute()["tint"])
    metric.update(pictures(1), pictures(1) + 0.1, pictures(1))
    assert metric.intervals(0) == {}
    metric.update(pictures(1), pictures(1) + 0.3, pictures(1))
    assert metric.compute()["tint"] == pytest.approx(0.2 * 255, rel=1e-4)
    low, high = metric.intervals(0)["tint"]
    assert (low, high) == pytest.approx((0.1 * 255, 0.3 * 255), rel=1e-4)


class Stub(Lite):
    """A network that is at hand."""

    def __init__(self):
        pass

    def __call__(self, x):
        return pooled(x)

    def logits(self, x):
        return pooled(x)

    def distance(self, made, target):
        return (made - target).flatten(1).square().mean(1).double()


@pytest.fixture
def at_hand(monkeypatch):
    monkeypatch.setattr(extras, "lite", lambda device: Stub())
    monkeypatch.setattr(extras, "said", lambda network: "")


def test_what_is_asked_for_without_a_network_is_the_small_ones(at_hand):
    def names(measures, **options):
        return {name for metric in extras.extra(measures, **options).make() for name in metric.compute()}

    assert names(["kernel"]) == {"kernel", "feature"}  # which the same look at a picture gives
    assert names(["frechet", "kernel", "feature"]) == {"frechet", "kernel", "feature"}
    assert names(["agreement"]) == {"agreement"}
    assert names(["feature"]) == {"feature"}
    assert names([]) == set()
    assert names([], features=pooled) == set(DISTANCES)  # the user's own says what it can
    assert names(["feature"], features=pooled) == {"feature", *DISTANCES}
    assert names([], classifier=pooled) == {"agreement"}
    assert names([], classifier=pooled, labels=[0]) == {"accuracy", "accuracy_5", "agreement"}
    assert names(["grid"]) == {"grid"}


def test_what_is_not_installed_is_left_out_with_a_sentence(monkeypatch):
    def lacking(device):
        raise MissingError("there is no such package")

    monkeypatch.setattr(extras, "lite", lacking)
    found = extras.extra(["feature", "agreement", "grid"])
    assert found.notes == ["there is no such package; feature, agreement left out"]
    assert [name for metric in found.make() for name in metric.compute()] == ["grid"]


def test_few_pictures_are_said_to_be_few(monkeypatch):
    monkeypatch.setattr(extras, "inception", lambda device: pooled)
    for name, pictures, few in (("fid", 2047, True), ("is", 2047, True), ("fid", 2048, False), ("kid", 3, False)):
        notes = extras.extra([name], pictures=pictures).notes
        wanted = [f"FID and IS of {pictures} pictures are biased; compare them at equal numbers only"]
        assert notes == (wanted if few else [])
