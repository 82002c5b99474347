"""Measures against scikit-image and SciPy; two halves merge to the whole."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sr3.metric import PSNR, SSIM, SWD, Consistency, Tint
from sr3.metric.base import Means, luma
from sr3.metric.psnr import psnr, psnr_y
from sr3.metric.ssim import ssim, ssim_y
from sr3.metric.swd import patches_for, pyramid, sliced_distance
from sr3.picture.resize import shrink


@pytest.fixture
def pair():
    torch.manual_seed(0)
    target = torch.rand(3, 3, 40, 48)
    return (target + 0.1 * torch.randn_like(target)).clamp(0, 1), target


def arrays(made, target, border):
    inside = (slice(border, -border or None),) * 2
    return [(x.permute(1, 2, 0).double().numpy()[inside]) for x in (made, target)]


@pytest.mark.parametrize("border", [0, 4])
def test_psnr_and_ssim_are_scikit_images(pair, border):
    made, target = pair
    for i in range(3):
        a, b = arrays(made[i], target[i], border)
        assert psnr(made, target, border)[i] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-6)
        options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
        _, full = structural_similarity(a, b, channel_axis=2, full=True, **options)
        assert ssim(made, target, border)[i] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)
        y = [luma(x[i : i + 1].double())[0] for x in (made, target)]
        ya, yb = (v[..., 0] for v in arrays(y[0], y[1], border))
        assert psnr_y(made, target, border)[i] == pytest.approx(peak_signal_noise_ratio(yb, ya, data_range=1), abs=1e-6)
        _, full = structural_similarity(ya, yb, full=True, **options)
        assert ssim_y(made, target, border)[i] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_luma_of_black_and_white_is_16_and_235():
    assert luma(torch.zeros(1, 3, 1, 1)).item() * 255 == pytest.approx(16)
    assert luma(torch.ones(1, 3, 1, 1)).item() * 255 == pytest.approx(235)


def test_consistency_is_the_error_of_the_degraded():
    made = torch.rand(2, 3, 16, 16)
    given = shrink(made, 4)
    metric = Consistency(lambda x: shrink(x, 4))
    metric.update(made, made, given)
    assert metric.compute()["consistency"] == pytest.approx(0, abs=1e-6)
    metric = Consistency(lambda x: shrink(x, 4))
    metric.update(made, made, given + 0.01)
    assert metric.compute()["consistency"] == pytest.approx(10, rel=1e-4)


def test_sliced_distance_in_one_dimension_is_scipys():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(500, 1, generator=rng), 0.5 + 2 * torch.randn(500, 1, generator=rng)
    want = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert sliced_distance(a, b, 3, rng).item() == pytest.approx(want, rel=1e-4)


def test_pyramid_adds_up_again():
    x = torch.rand(1, 3, 70, 65)
    levels = pyramid(x)
    back = levels[-1]
    for level in reversed(levels[:-1]):
        back = level + torch.nn.functional.interpolate(back, size=level.shape[-2:], mode="bilinear")
    torch.testing.assert_close(back, x)


def test_swd_is_zero_for_the_same_and_sees_blur_noise_and_tint():
    torch.manual_seed(1)
    target = torch.rand(4, 3, 64, 64)
    small = target[:, :, :2, :2]

    def distance(made):
        metric = SWD(patches=256)
        metric.update(made, target, small)
        return metric.compute()

    assert distance(target)["swd"] == 0
    blurred = distance(torch.nn.functional.avg_pool2d(target, 3, 1, 1))
    assert blurred["swd_0"] > 100
    assert distance(target + 0.1)["swd_low"] > 50
    assert distance(target + 0.02 * torch.randn_like(target))["swd"] < blurred["swd"]


def test_swd_of_a_batch_is_the_one_of_its_pictures(pair):
    made, target = pair
    whole, single = SWD(patches=64), SWD(patches=64)
    whole.update(made, target, target)
    for i in range(3):
        single.update(made[i : i + 1], target[i : i + 1], target)
    assert single.compute() == pytest.approx(whole.compute(), rel=1e-6)


def test_swd_refuses_to_merge_other_settings():
    with pytest.raises(ValueError, match="cannot be merged"):
        SWD(patches=64).merge(SWD(patches=32))


def test_swd_bounds_what_it_keeps():
    assert patches_for(1) == patches_for(32) == 1024
    assert patches_for(300) * 300 <= 1024 * 32 < (patches_for(300) + 1) * 300
    assert patches_for(10**6) == 16


def test_swd_interval_is_by_leaving_pictures_out():
    """Deleting from the sorted sets is the distance of the rest, and a hundred more pictures narrow the interval."""
    torch.manual_seed(2)
    target = torch.rand(80, 3, 16, 16)
    made = 0.8 * torch.rand(80, 3, 16, 16)
    few, many, rest = (SWD(patches=16, projections=32) for _ in range(3))
    few.update(made[:20], target[:20], target)
    many.update(made, target, target)
    rest.update(made[1:20], target[1:20], target)
    without = few._levels()["swd_low"].distance(0)
    assert without == pytest.approx(rest.compute()["swd_low"], rel=0.02)  # normalisation is held
    assert without != pytest.approx(few.compute()["swd_low"], rel=1e-6)
    (low, high), (lower, higher) = (m.intervals(0)["swd"] for m in (few, many))
    assert low < few.compute()["swd"] < high
    assert higher - lower < high - low


def test_tint_is_of_the_worst_channel():
    target = torch.full((2, 3, 4, 4), 0.5)
    made = target.clone()
    made[0, 1] += 10 / 255
    made[1, 1] -= 20 / 255
    made[1, 2] += 12 / 255
    metric = Tint()
    metric.update(made, target, target)
    assert metric.compute()["tint"] == pytest.approx(15, rel=1e-4)
    assert metric.each()["tint"] == pytest.approx([10, 20], rel=1e-4)


@pytest.mark.parametrize("make", [PSNR, SSIM, SWD, Tint, lambda: Consistency(lambda x: x)])
def test_pictures_of_other_shapes_are_refused(make):
    one, three = torch.rand(1, 3, 20, 20), torch.rand(3, 3, 20, 20)
    with pytest.raises(ValueError, match="1x3x20x20 cannot be compared with pictures of shape 3x3x20x20"):
        make().update(one, three, three)


def test_ssim_of_large_flat_bright_pictures_keeps_its_digits():
    """Where float32 fails: variances far smaller than the squares they are the difference of."""
    torch.manual_seed(0)
    target = (0.98 + 0.002 * torch.randn(1, 3, 64, 64)).clamp(0, 1)
    made = (target + 0.002 * torch.randn_like(target)).clamp(0, 1)
    a, b = arrays(made[0], target[0], 0)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2)
    _, full = structural_similarity(a, b, full=True, **options)
    assert ssim(made, target)[0] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_each_has_one_number_per_picture_in_order(pair):
    made, target = pair
    metric = SSIM()
    metric.update(made, target, target)
    metric.update(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), target)  # smaller than the window
    each = metric.each()["ssim"]
    assert each[:3] == ssim(made, target).tolist()
    assert np.isnan(each[3])
    assert metric.compute()["ssim"] == pytest.approx(np.mean(each[:3]))
    low, high = metric.intervals(0)["ssim"]
    assert low < metric.compute()["ssim"] < high
    assert all(np.isnan(v) for v in SSIM().compute().values())


def test_an_exact_picture_does_not_make_the_mean_infinite(pair):
    metric = PSNR()
    metric.update(pair[1], pair[1], pair[1])
    assert metric.compute() == {"psnr": 100.0, "psnr_y": 100.0}
    assert metric.intervals(0) == {"psnr": (100.0, 100.0), "psnr_y": (100.0, 100.0)}


def test_an_infinite_value_has_no_interval():
    means = Means()
    means.add("any", torch.tensor([1.0, float("inf")]))
    assert means.intervals(0) == {}


def test_no_interval_of_a_distance_begins_below_nothing():
    """A few pictures of which one is far off: Student's t alone would go below."""
    noise, metric = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), SWD(patches=64)
    made = noise.clone()
    made[0] = 1 - made[0] * 0.1
    metric.update(made, noise, noise)
    ends = metric.intervals(0)
    assert all(low >= 0 for low, _ in ends.values())
    assert ends["swd"][0] == 0
    assert ends["swd"][1] > 2 * metric.compute()["swd"]


MAKERS = [lambda: PSNR(4), lambda: SSIM(4), lambda: Consistency(lambda x: shrink(x, 4)), SWD, Tint]


@pytest.mark.parametrize("make", MAKERS)
def test_halves_merge_to_the_whole(pair, make):
    made, target = pair
    given = shrink(target, 4)
    whole, first, second = make(), make(), make()
    whole.update(made, target, given)
    first.update(made[:1], target[:1], given[:1])
    second.update(made[1:], target[1:], given[1:])
    first.merge(second)
    for key, value in whole.compute().items():
        np.testing.assert_allclose(first.compute()[key], value, rtol=1e-6)
    assert first.each() == whole.each()
    assert first.intervals(0).keys() == whole.intervals(0).keys()
