"""The parts of measures: colours, borders, means, the sliced distance by hand, and how measures are shown."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t, wasserstein_distance

from sr3.metric import METRICS, PSNR, SWD, Consistency
from sr3.metric.accuracy import Accuracy
from sr3.metric.base import Means, cut, luma, nan, same
from sr3.metric.features import MissingError
from sr3.metric.identity import Identity
from sr3.metric.stats import GROUPS, interval, paired, ratio, share, sign_flip, student, wilson
from sr3.metric.swd import SIDE, descriptors, directions, pyramid
from sr3.metric.table import DISTRIBUTION, MEASURES, measure, ordered, worth


def test_luma_weighs_red_green_and_blue_as_bt_601_does():
    colours = torch.eye(3)[:, :, None, None]
    wanted = [(16 + w) / 255 for w in (65.481, 128.553, 24.966)]
    assert luma(colours).flatten().tolist() == pytest.approx(wanted)
    assert luma(torch.rand(2, 3, 4, 5)).shape == (2, 1, 4, 5)


def test_a_border_is_cut_at_each_side():
    x = torch.arange(30.0).view(1, 1, 5, 6)
    assert torch.equal(cut(x, 2), x[..., 2:3, 2:4])
    assert cut(x, 0) is x
    for border in (3, 4):
        with pytest.raises(ValueError, match=f"a picture of 6x5 has nothing left inside a border of {border}"):
            cut(x, border)
    with pytest.raises(ValueError, match="nothing left"):
        cut(x[..., :4, :], 2)  # exactly none


def test_what_is_compared_has_the_same_shape():
    same(torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="shape 2x3 cannot be compared with pictures of shape 1x3"):
        same(torch.zeros(2, 3), torch.zeros(1, 3))
    assert nan(3).isnan().tolist() == [True] * 3


def test_means_leave_out_what_is_not_there():
    means, more = Means(), Means()
    means.add("a", torch.tensor([1.0, float("nan"), 4.0]))
    more.add("a", torch.tensor([7.0]))
    more.add("b", nan(2))
    means.merge(more)
    found = means.compute()
    assert found["a"] == pytest.approx(4)
    assert math.isnan(found["b"])
    assert means.each()["a"][::2] == [1, 4]
    assert means.each()["a"] is not means.values["a"]
    assert set(means.intervals(0)) == {"a"}
    low, high = means.intervals(0)["a"]
    assert 1 <= low < 4 < high <= 7
    one = Means()
    one.add("a", torch.tensor([1.0, float("nan")]))
    assert one.intervals(0) == {}  # one number has no interval


def test_nothing_seen_is_nan_under_each_name():
    found = PSNR().compute()
    assert set(found) == {"psnr", "psnr_y"}
    assert all(math.isnan(v) for v in found.values())
    named = Consistency(lambda x: x, "again")
    named.update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.01))
    assert named.compute()["again"] == pytest.approx(10)
    assert set(METRICS) == {"psnr", "ssim", "consistency", "swd", "tint"}


def test_patches_are_windows_of_the_level():
    level = torch.rand(2, 3, 9, 11)
    found = descriptors(level, 40, torch.Generator().manual_seed(3)).view(2, 40, 3, 7, 7)
    rng = torch.Generator().manual_seed(3)
    rows, columns = torch.randint(3, (40,), generator=rng), torch.randint(5, (40,), generator=rng)
    assert (rows.unique().tolist(), columns.unique().tolist()) == ([0, 1, 2], [0, 1, 2, 3, 4])
    for k in range(40):
        window = level[:, :, rows[k] : rows[k] + SIDE, columns[k] : columns[k] + SIDE]
        assert torch.equal(found[:, k], window)


def test_directions_have_length_one_and_no_preference():
    along = directions(147, 500, torch.Generator().manual_seed(0))
    torch.testing.assert_close(along.norm(dim=0), torch.ones(500))
    assert along.mean().abs() < 1e-3


def test_the_pyramid_stops_above_sixteen_pixels():
    assert [tuple(v.shape[-2:]) for v in pyramid(torch.rand(1, 3, 70, 65))] == [(70, 65), (35, 32), (17, 16)]
    assert [tuple(v.shape[-2:]) for v in pyramid(torch.rand(1, 3, 32, 33))] == [(32, 33), (16, 16)]
    assert len(pyramid(torch.rand(1, 3, 31, 100))) == 1


def test_the_sliced_distance_is_normalised_by_the_originals_and_is_scipys():
    """Karras et al. (2018): each channel by its mean and spread, here the originals'; then the distance along each."""
    torch.manual_seed(0)
    target = torch.rand(3, 3, 20, 24) * torch.tensor([1.0, 0.5, 0.2]).view(3, 1, 1)
    made = 0.5 * target + 0.1
    metric = SWD(patches=40, projections=8, seed=5)
    metric.update(made, target, target)
    rng = torch.Generator().manual_seed(5 + 24 * 65_537 + 20)
    sets = []
    for pictures in (made, target):
        sets.append(descriptors(pictures, 40, rng.manual_seed(5 + 24 * 65_537 + 20)).view(-1, 3, 49).double())
    mean, std = sets[1].mean((0, 2), keepdim=True), sets[1].std((0, 2), keepdim=True)
    along = directions(147, 8, torch.Generator().manual_seed(5)).double().numpy()
    a, b = (((s - mean) / std).flatten(1).numpy() @ along for s in sets)
    wanted = 1e3 * np.mean([wasserstein_distance(a[:, k], b[:, k]) for k in range(8)])
    assert metric.compute() == pytest.approx({"swd": wanted, "swd_low": wanted}, rel=1e-4)


def test_flat_originals_do_not_blow_the_distance_up():
    """No channel is divided by less than the rounding noise of 8 bits, 1 / (255 sqrt 12)."""
    target = torch.full((1, 3, 16, 16), 0.5)
    metric = SWD(patches=8, projections=400)
    metric.update(target + 1 / 255, target, target)
    along = directions(147, 400, torch.Generator().manual_seed(0))
    assert metric.compute()["swd"] == pytest.approx(1e3 * 12**0.5 * along.sum(0).abs().mean().item(), rel=1e-3)


def test_pictures_too_small_for_a_patch_have_no_distance():
    metric = SWD(patches=8)
    metric.update(torch.rand(1, 3, 6, 20), torch.rand(1, 3, 6, 20), torch.rand(1, 3, 1, 1))
    assert math.isnan(metric.compute()["swd"])
    metric.update(torch.rand(1, 3, 7, 20), torch.rand(1, 3, 7, 20), torch.rand(1, 3, 1, 1))
    assert metric.compute()["swd"] > 0
    assert metric.intervals(0) == {}  # two pictures are two groups
    assert metric.each() == {}


def test_measures_are_shown_under_their_names():
    assert measure("psnr") is MEASURES["psnr"]
    assert measure("swd_0").title == "SWD, level 0"
    assert measure("swd_low").title == "SWD, remainder"
    assert measure("swd_0").better == "lower"
    assert measure("mine") == ("mine", ".4g", "neither", "")
    assert ordered({"mine", "swd_1", "ssim", "psnr", "swd_0", "also"}) == [
        "psnr",
        "ssim",
        "swd_0",
        "swd_1",
        "also",
        "mine",
    ]
    assert all(MEASURES[name].better == "lower" for name in DISTRIBUTION)


def test_worth_is_more_where_the_value_is_better():
    assert worth("psnr", 30.0) == 30
    assert worth("swd", 30.0) == -30
    assert worth("calibration", 0.8) == pytest.approx(-0.2)
    assert worth("calibration", 1.3) == pytest.approx(-0.3)
    assert worth("spread", 3.0) is None


def test_how_many_draws_patches_and_groups_there_are_unless_told():
    x = torch.randn(30, generator=torch.Generator().manual_seed(0)).tolist()
    y = [v + 9 for v in x]
    assert interval(x, 1) == interval(x, 1, 2000, 0.95)
    assert paired(x, y, 1) == paired(x, y, 1, 2000, 0.95)
    assert ratio(y, [9.0] * 30, 1) == ratio(y, [9.0] * 30, 1, 2000, 0.95)
    assert sign_flip(y, x, 1) == 1 / 10_001  # no flip of thirty signs reaches a difference without doubt
    assert (SWD().patches, SWD().projections, SWD().seed) == (1024, 128, 0)
    assert GROUPS == 20


def test_an_interval_of_the_distance_needs_four_groups():
    def seen(count):
        torch.manual_seed(0)
        metric = SWD(patches=4, projections=8)
        metric.update(torch.rand(count, 3, 16, 16), torch.rand(count, 3, 16, 16), torch.rand(count, 3, 4, 4))
        return metric.intervals(0)

    assert seen(3) == {}
    assert set(seen(4)) == {"swd", "swd_low"}


def test_every_measure_can_be_shown():
    for shown in MEASURES.values():
        assert float(format(0.125, shown.form)) == pytest.approx(0.125, abs=0.006)
        assert shown.title[0] != "."
    assert MEASURES["swd"] == ("SWD", ".2f", "lower", "×1e-3")


def test_students_t_is_near_from_ten_degrees_of_freedom_on():
    for freedom in (10, 19, 60):
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=2e-4)
    assert student(100) == pytest.approx(t.ppf(0.975, 100), rel=1e-7)


def test_a_share_of_all_or_none_is_not_sure_of_itself():
    """Five right of five: Wilson's interval is 0.566 to 1; the bootstrap drew five right again, and said 1 to 1."""
    x = torch.rand(5, 3, 4, 4)
    metric = Accuracy(lambda p: torch.eye(5), [0, 1, 2, 3, 4])
    metric.update(x, x, x)
    assert metric.intervals(0) == dict.fromkeys(("accuracy", "accuracy_5", "agreement"), share([1.0] * 5))
    assert share([1.0] * 5) == (pytest.approx(0.5655, abs=1e-4), 1)
    itself = Identity(lambda p: p.flatten(1))
    itself.update(x.flip(0), x, x)
    assert itself.intervals(0) == {"identity": wilson(1, 5)}
    with pytest.raises(ValueError, match="values that are 0 or 1"):
        share([0.0, 0.5])
    # a mean of other numbers that are all 0, such as a consistency, is none
    none = Consistency()
    none.update(x, x, x)
    assert none.intervals(0) == {"consistency": (0, 0)}


def test_a_label_beyond_the_classes_is_refused():
    x = torch.rand(2, 3, 4, 4)
    right, beyond = (Accuracy(lambda p: torch.eye(2), labels) for labels in ([0, 1], [0, 2]))
    right.update(x, x, x)
    assert right.compute() == {"accuracy": 1, "accuracy_5": 1, "agreement": 1}
    with pytest.raises(MissingError, match="has 2 classes, and a label is 2"):
        beyond.update(x, x, x)
