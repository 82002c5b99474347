"""Predictions against their definitions, on every schedule."""

import pytest
import torch

from sr3.diffusion.level import diffuse, from_logsnr
from sr3.diffusion.predict import EDM, PREDICTIONS, Eps, Score, V
from sr3.diffusion.schedule import SCHEDULES, Geometric

X0, EPS = torch.randn((2, 9, 2, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TIMES = torch.linspace(0.02, 0.98, 9, dtype=torch.float64)
LEVELS = {name: make()(TIMES) for name, make in SCHEDULES.items()}


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("prediction", PREDICTIONS.values(), ids=PREDICTIONS)
def test_the_right_answer_gives_the_clean_picture(prediction, level):
    x = diffuse(X0, EPS, level)
    torch.testing.assert_close(prediction().clean(prediction().target(X0, EPS, level), x, level), X0)


@pytest.mark.parametrize("prediction", PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_wrong_answer_moves_the_picture_in_proportion(prediction):
    """The estimate is linear in the answer, so what weights assume holds and no prediction ignores its answer."""
    level = from_logsnr(torch.linspace(-3, 3, 9))
    x, target = diffuse(X0, EPS, level), prediction().target(X0, EPS, level)
    by_one, by_two = (prediction().clean(target + k, x, level) - X0 for k in (1, 2))
    torch.testing.assert_close(by_two, 2 * by_one)
    assert by_one.abs().min() > 1e-3


def test_v_is_salimans_and_hos():
    angle = torch.linspace(0.1, 1.4, 9, dtype=torch.float64)
    level = from_logsnr(-2 * angle.tan().log())  # alpha = cos(angle), sigma = sin(angle)
    a, s = angle.cos().reshape(-1, 1, 1, 1), angle.sin().reshape(-1, 1, 1, 1)
    torch.testing.assert_close(V().target(X0, EPS, level), a * EPS - s * X0)


def test_score_is_the_gradient_of_the_log_density():
    level = LEVELS["karras"]
    x = diffuse(X0, EPS, level).requires_grad_()
    a, s = level.like(x)
    (gradient,) = torch.autograd.grad((-((x - a * X0) ** 2) / (2 * s**2)).sum(), x)
    torch.testing.assert_close(Score().target(X0, EPS, level), gradient)


@pytest.mark.parametrize("sigma_data", [0.5, 0.1])
def test_edm_is_table_1(sigma_data):
    """With alpha = 1, the letters of Karras et al. (2022), table 1."""
    level = Geometric()(TIMES)
    sigma = level.like(X0).sigma
    c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
    c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
    c_in = 1 / (sigma**2 + sigma_data**2).sqrt()
    x, out = diffuse(X0, EPS, level), torch.randn_like(X0)
    torch.testing.assert_close(EDM(sigma_data).clean(out, x, level), c_skip * x + c_out * out)
    torch.testing.assert_close(EDM(sigma_data).enter(x, level), c_in * x)
    torch.testing.assert_close(EDM(sigma_data).target(X0, EPS, level), (X0 - c_skip * x) / c_out)


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("prediction", [V(), EDM(1.0)], ids=["v", "edm"])
def test_what_a_network_sees_and_says_has_unit_variance(prediction, level):
    x0, eps = torch.randn((2, 9, 1, 100, 200), generator=torch.Generator().manual_seed(1))
    for picture in (prediction.enter(diffuse(x0, eps, level), level), prediction.target(x0, eps, level)):
        torch.testing.assert_close(picture.flatten(1).var(1), torch.ones(9), rtol=0, atol=0.05)


def test_edm_and_v_have_an_answer_at_the_clean_end():
    level = from_logsnr(torch.full((9,), torch.inf))
    for prediction in (EDM(), V(), Eps()):
        target = prediction.target(X0, EPS, level)
        assert target.isfinite().all()
        torch.testing.assert_close(prediction.clean(target, X0, level), X0)


def test_edm_keeps_the_wider_type_and_shape():
    level = from_logsnr(torch.zeros(1))
    narrow, wide = torch.ones(1, 2, 3, 3, dtype=torch.bfloat16), torch.ones(1, 2, 3, 3, dtype=torch.float64)
    assert EDM().clean(wide, narrow, level).dtype == torch.float64
    one = EDM().clean(torch.ones(4, 2, 3, 3), torch.ones(1, 2, 3, 3), level)
    torch.testing.assert_close(one, EDM().clean(torch.ones(4, 2, 3, 3), torch.ones(4, 2, 3, 3), level))
