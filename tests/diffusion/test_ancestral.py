"""Ancestral sampling: how much noise is put back at each step, against the Gaussian for which it is known."""

import pytest
import torch
from conftest import tiny_config

from sr3.diffusion.langevin import predictor_corrector
from sr3.diffusion.level import Level, from_logsnr
from sr3.diffusion.path import given, walk
from sr3.diffusion.sample import ancestral, last
from sr3.diffusion.schedule import Cosine, LinearBeta
from sr3.model.model import Model
from sr3.restore.restorer import Restorer
from sr3.task import Given
from sr3.testing import Gaussian

ONE = torch.ones(1, 1, dtype=torch.double)


def level(alpha: float, sigma: float) -> Level:
    return Level(*torch.tensor([alpha, sigma], dtype=torch.double))


def preserving(logsnr: float) -> Level:
    return from_logsnr(torch.tensor(logsnr))


STEPS = {
    "exploding": (level(1, 3.0), level(1, 0.7)),
    "preserving": (preserving(-2.0), preserving(1.5)),
    "neither": (level(0.4, 2.0), level(0.9, 0.3)),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_a_step_takes_the_data_from_one_level_exactly_to_the_next(step, spread):
    """x_there = gain * x_here + shake * z, and gain**2 var(x_here) + shake**2 must be var(x_there)."""
    (a, s), (b, r) = step
    data = Gaussian(0.0, spread)
    gain = last(ancestral(data, ONE, given(step), spread=spread, noise=torch.zeros_like))
    shake = last(ancestral(data, 0 * ONE, given(step), spread=spread, noise=torch.ones_like))
    here, there = (a * spread) ** 2 + s**2, (b * spread) ** 2 + r**2
    torch.testing.assert_close((gain**2 * here + shake**2).squeeze(), there)


def test_without_a_spread_the_variance_is_the_papers():
    """SR3, Algorithm 2: 1 - alpha_t, alpha_t being the transition; the posterior's is Ho et al. (2020), eq. 7."""
    (a, _), (b, r) = step = STEPS["preserving"]
    transition = (a / b) ** 2
    for variance, want in (
        ("fixed", 1 - transition),
        ("posterior", r**2 / (1 - a**2) * (1 - transition)),
    ):
        shake = last(ancestral(Gaussian(), 0 * ONE, given(step), variance=variance, noise=torch.ones_like))
        torch.testing.assert_close(shake.squeeze() ** 2, want)


@pytest.mark.parametrize("variance", ["fixed", "posterior"])
def test_the_clean_picture_is_left_without_noise(variance):
    path = walk(LinearBeta(), 5, "t")
    *_, before, end = ancestral(Gaussian(0.2, 0.5), torch.randn(4, 3), path, variance=variance)
    torch.testing.assert_close(end.x, Gaussian(0.2, 0.5)(before.x, before.level))
    assert torch.equal(end.x, end.x0)


def test_there_is_no_third_variance():
    with pytest.raises(ValueError, match="'fixed', 'posterior'"):
        next(ancestral(Gaussian(), torch.randn(1, 1), walk(Cosine(), 2), variance="learned"))


def test_the_restorer_tells_the_sampler_how_far_residuals_spread():
    """A residual of spread 0.1, eight steps: too much noise (0.18) if the sampler believes that it spreads by 1."""
    restorer = Restorer(Model(tiny_config()), device="cpu", precision="fp32")
    settings = restorer.settings(sampler="ancestral", steps=8)
    blank = Given(torch.zeros(1, 3, 24, 24))
    walked = restorer.refine(blank, [0], settings=settings, free=True, wrap=lambda _: Gaussian(0.0, 0.1))
    for step in list(walked)[:-1]:
        want = (0.1**2 + step.level.sigma**2).sqrt().item()
        assert step.x.std().item() == pytest.approx(want, rel=0.03)
    told = settings.model_copy(update={"sampler": {"kind": "ancestral", "spread": 1.0}})
    walked = restorer.refine(blank, [0], settings=told, free=True, wrap=lambda _: Gaussian(0.0, 0.1))
    assert list(walked)[-2].x.std().item() > 0.15  # a recipe's own word counts more


@pytest.mark.parametrize("ratio", [1.1, 4.0])
def test_the_predictor_is_songs_where_variance_explodes(ratio):
    """Song et al. (2021): sigma_{i-1}**2 (sigma_i**2 - sigma_{i-1}**2) / sigma_i**2."""
    for r in (0.01, 1.0, 30.0):
        s = ratio * r
        path = given([level(1, s), level(1, r)])
        options = {"predictor": "ancestral", "updates": 0, "noise": torch.ones_like}
        shake = last(predictor_corrector(lambda x, _: 0 * x, 0 * ONE, path, **options))
        assert shake.item() ** 2 == pytest.approx(r**2 * (s**2 - r**2) / s**2, rel=1e-9)


def test_the_predictor_is_songs_where_variance_is_preserved():
    """Song et al. (2021), eq. 4: beta_i = 1 - alpha_t."""
    (a, _), (b, _) = step = STEPS["preserving"]
    options = {"predictor": "ancestral", "updates": 0, "noise": torch.ones_like}
    shake = last(predictor_corrector(lambda x, _: 0 * x, 0 * ONE, given(step), **options))
    torch.testing.assert_close(shake.squeeze() ** 2, 1 - (a / b) ** 2)
