"""Measures against scikit-image and SciPy; two halves merge to the whole."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sr3.metric import PSNR, SSIM, SWD, Consistency
from sr3.metric.base import luma
from sr3.metric.psnr import psnr, psnr_y
from sr3.metric.ssim import ssim, ssim_y
from sr3.metric.swd import pyramid, sliced_distance
from sr3.resize import shrink


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


@pytest.mark.parametrize("make", [lambda: PSNR(4), lambda: SSIM(4), lambda: Consistency(lambda x: shrink(x, 4)), SWD])
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
