"""The noise level against its definition."""

import math

import pytest
import torch

from sr3.diffusion.level import Level, diffuse, eps_from, from_logsnr, x0_from

LOGSNRS = torch.tensor([-30.0, -9.0, -1.0, 0.0, 2.0, 12.0, 30.0], dtype=torch.float64)


def test_from_logsnr_is_the_inverse_of_logsnr_and_preserves_variance():
    level = from_logsnr(LOGSNRS)
    torch.testing.assert_close(level.logsnr, LOGSNRS, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones_like(LOGSNRS))
    torch.testing.assert_close(level.ratio, torch.exp(-LOGSNRS / 2), rtol=1e-12, atol=0)


def test_the_clean_end_keeps_its_digits():
    """1 - alpha-bar = 1e-12 is far below the precision of float32."""
    level = from_logsnr(torch.tensor(math.log((1 - 1e-12) / 1e-12)))
    assert level.alpha.dtype == torch.float64
    assert level.sigma.item() ** 2 == pytest.approx(1e-12, rel=1e-4)


def test_diffuse_adds_alpha_times_picture_and_sigma_times_noise():
    x0, eps = torch.full((2, 1, 1, 2), 3.0), torch.full((2, 1, 1, 2), 5.0)
    level = Level(torch.tensor([0.5, 2.0]).double(), torch.tensor([0.1, 0.0]).double())
    assert diffuse(x0, eps, level)[:, 0, 0, 0].tolist() == [2.0, 6.0]
    one = Level(torch.tensor(0.5).double(), torch.tensor(0.1).double())
    assert diffuse(x0, eps, one).flatten().tolist() == [2.0] * 4
    assert diffuse(x0, eps, level).dtype == torch.float32


def test_noise_and_picture_are_found_again():
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn((2, 3, 3, 4, 5), generator=generator, dtype=torch.float64)
    level = from_logsnr(torch.tensor([-3.0, 0.0, 3.0]))
    x = diffuse(x0, eps, level)
    torch.testing.assert_close(eps_from(x0, x, level), eps)
    torch.testing.assert_close(x0_from(eps, x, level), x0)


def test_two_transitions_are_one():
    """x_t from x_s from x0 has the mean and variance of x_t from x0, whatever s lies between."""
    (a, s), (b, r), (c, q) = (from_logsnr(torch.tensor(v)) for v in (-4.0, 0.5, 3.0))

    def transition(here: tuple, there: tuple) -> tuple:
        gain = here[0] / there[0]
        return gain, here[1] ** 2 - (gain * there[1]) ** 2

    first, second, both = transition((b, r), (c, q)), transition((a, s), (b, r)), transition((a, s), (c, q))
    torch.testing.assert_close(first[0] * second[0], both[0])
    torch.testing.assert_close(second[0] ** 2 * first[1] + second[1], both[1])
    assert min(first[1], second[1]) > 0
