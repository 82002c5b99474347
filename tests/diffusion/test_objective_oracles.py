"""Objectives: least at the exact denoiser, one level for each example, and the weights the papers state."""

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import TELLS, Denoiser, Example, Regressor
from sr3.diffusion.level import Level
from sr3.diffusion.objective import Denoising, Regression
from sr3.diffusion.predict import EDM, X0, Eps, V
from sr3.diffusion.schedule import Cosine, LinearBeta
from sr3.random import Stream

STD = 0.5


class Exact(nn.Module):
    """The perfect network for N(0, STD**2) under a prediction, plus an error."""

    def __init__(self, prediction, off=0.0):
        super().__init__()
        self.prediction, self.off, self.level = prediction, off, None

    def forward(self, x, told, cond):
        raise NotImplementedError


def exact_loss(prediction, off, weight=None):
    net = Exact(prediction, off)
    denoiser = Denoiser(net, prediction, TELLS["logsnr"])
    x0 = STD * torch.randn(4000, 1, 1, 1, generator=torch.Generator().manual_seed(0))

    def raw(self, x, level, example):
        a, s = level.like(x)
        mean = a * STD**2 / (a**2 * STD**2 + s**2) * x
        # the answer whose `clean` is the mean: predictions are affine in the answer
        zero = prediction.clean(torch.zeros_like(x), x, level)
        one = prediction.clean(torch.ones_like(x), x, level)
        return (mean - zero) / (one - zero) + off

    original = Denoiser.raw
    try:
        Denoiser.raw = raw
        loss = Denoising(Cosine(high=6, low=-6), "l2", weight)(denoiser, Example(target=x0), rng=Stream(1, range(4000)))
    finally:
        Denoiser.raw = original
    return loss


@pytest.mark.parametrize("prediction", [Eps(), X0(), V(), EDM(STD)], ids=["eps", "x0", "v", "edm"])
@pytest.mark.parametrize("weight", [None, "min-snr"])
def test_the_exact_denoiser_has_the_least_loss(prediction, weight):
    best = exact_loss(prediction, 0.0, weight).each.mean()
    for off in (-0.3, 0.3):
        assert exact_loss(prediction, off, weight).each.mean() > best + 0.01


def test_each_example_has_its_own_level():
    loss = exact_loss(Eps(), 0.0)
    assert len(loss.logsnr.unique()) == 4000
    assert loss.each.shape == (4000,)


def test_min_snr_weights_are_the_papers():
    level = Level(torch.tensor([0.9, 0.5, 0.1]).double(), torch.tensor([0.1, 0.5, 0.9]).double())
    snr = (level.alpha / level.sigma) ** 2
    objective = Denoising(LinearBeta(), "l2", "min-snr", gamma=5.0)
    capped = snr.clamp(max=5)
    torch.testing.assert_close(objective.factor(Eps(), level), capped / snr)
    torch.testing.assert_close(objective.factor(X0(), level), capped)


def test_regression_is_zero_at_the_truth_and_counts_in_units_of_scale():
    class Answer(nn.Module):
        def forward(self, x, told, cond):
            return cond

    base, target = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    perfect = (target - base) / 0.1
    regressor = Regressor(Answer(), scale=0.1)
    loss = Regression("l2")(regressor, Example(target=target, cond=perfect, base=base), rng=Stream(0, range(2)))
    assert loss.each.abs().max() < 1e-9
    loss = Regression("l2")(regressor, Example(target=target, cond=perfect + 2, base=base), rng=Stream(0, range(2)))
    torch.testing.assert_close(loss.each, torch.full((2,), 4.0))


def test_dream_shows_the_network_its_own_estimate_and_asks_for_the_same_picture():
    """With a network that always answers g, x_t becomes that of (1 - w) x0 + w g, w = sigma on VP, target still x0."""
    seen = {}

    def net(x, told, cond):
        seen.setdefault("x", []).append(x)
        return torch.full_like(x, 0.25)

    x0 = torch.rand(6, 3, 4, 4, dtype=torch.double) - 0.5
    plain, dream = Denoising(Cosine(), "l2"), Denoising(Cosine(), "l2", dream=2.0)
    denoiser = Denoiser(net, X0())
    losses = [o(denoiser, Example(target=x0), rng=Stream(3, range(6))) for o in (plain, dream)]
    torch.testing.assert_close(losses[0].each, losses[1].each)  # the target of X0 does not move
    before, first, second = seen["x"]
    torch.testing.assert_close(before, first)  # the estimate is of the plain x_t
    level = Cosine()(Stream(3, range(6)).uniform().clamp(min=1e-5))
    a, s = level.like(x0)
    torch.testing.assert_close(second - first, s**2 * a * (0.25 - x0))


def test_dream_does_not_move_a_network_that_knows():
    x0 = torch.zeros(4, 3, 4, 4, dtype=torch.double)
    denoiser = Denoiser(lambda x, told, cond: torch.zeros_like(x), X0())
    loss = Denoising(Cosine(), "l2", dream=1.0)(denoiser, Example(target=x0), rng=Stream(0, range(4)))
    assert loss.each.abs().max() == 0
