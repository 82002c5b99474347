"""The parts of objectives: masks, weights, what is drawn, and what has a gradient."""

import math

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import TELLS, Denoiser, Example, Regressor
from sr3.diffusion.level import diffuse, from_logsnr
from sr3.diffusion.objective import EARLIEST, Denoising, Regression, per_example
from sr3.diffusion.predict import EDM, PREDICTIONS, X0, Eps, V
from sr3.diffusion.schedule import Cosine, Geometric, LinearBeta
from sr3.diffusion.score_matching import DenoisingScore
from sr3.random import Stream

LEVEL = from_logsnr(torch.tensor([-4.0, 0.0, 3.0]))
SNR = torch.tensor([-4.0, 0.0, 3.0], dtype=torch.double).exp()


def fields(count: int, *shape: int) -> list[torch.Tensor]:
    return list(torch.randn(count, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.double))


def nothing(x, told, cond):
    return torch.zeros_like(x)


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_the_mean_is_over_the_pixels_to_be_made(loss, power):
    (error,) = fields(1, 3, 3, 4, 5)
    mask = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[2] = False
    wanted = [e[:, m[0]].abs().pow(power).mean().item() for e, m in zip(error[:2], mask[:2])]
    assert per_example(error, loss, mask).tolist() == pytest.approx([*wanted, 0.0])
    assert per_example(error, loss, None).tolist() == pytest.approx(error.abs().pow(power).mean((1, 2, 3)).tolist())


def test_one_pixel_to_be_made_counts_whole():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 2, 1] = True
    assert per_example(torch.full((1, 1, 4, 4), 3.0), "l2", mask).item() == 9


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_weights_are_of_the_squared_error_of_the_picture(loss):
    """Hang et al. (2023), section 3.4; the absolute error is weighed by the root."""
    capped = SNR.clamp(max=5)
    wanted = {
        "min-snr": {Eps(): capped / SNR, X0(): capped, V(): capped / (SNR + 1)},
        "snr": {Eps(): SNR / SNR, X0(): SNR, V(): SNR / (SNR + 1)},
    }
    for weight, each in wanted.items():
        for prediction, factor in each.items():
            got = Denoising(LinearBeta(), loss, weight).factor(prediction, LEVEL)
            torch.testing.assert_close(got, factor if loss == "l2" else factor.sqrt())
    lower = Denoising(LinearBeta(), "l2", "min-snr", gamma=0.5).factor(X0(), LEVEL)
    torch.testing.assert_close(lower, SNR.clamp(max=0.5))


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_is_the_papers_line(loss):
    """SR3, eq. 6, with a weight: |net(x_t) - eps|**p at the level and with the noise that the stream draws."""
    (x0,) = fields(1, 5, 3, 4, 4)
    stream = Stream(7, range(5))
    level = LinearBeta()(stream.uniform())
    eps = stream.normal(x0)
    objective = Denoising(LinearBeta(), loss, "min-snr")
    got = objective(Denoiser(nothing, Eps()), Example(target=x0), rng=Stream(7, range(5)))
    power = 1 if loss == "l1" else 2
    snr = level.logsnr.exp()
    weight = (snr.clamp(max=5) / snr) ** (power / 2)
    torch.testing.assert_close(got.each, weight * eps.abs().pow(power).mean((1, 2, 3)))
    torch.testing.assert_close(got.logsnr, level.logsnr)
    plain = Denoising(LinearBeta(), loss)(Denoiser(nothing, Eps()), Example(target=x0), rng=Stream(7, range(5)))
    torch.testing.assert_close(plain.each, eps.abs().pow(power).mean((1, 2, 3)))


def test_what_an_objective_is_unless_it_is_told():
    denoising, regression = Denoising(LinearBeta()), Regression()
    assert (denoising.loss, denoising.weight, denoising.gamma, denoising.dream) == ("l1", None, 5.0, 0.0)
    assert regression.loss == "l2"


class Zero(Stream):
    """A stream whose uniform draw is the least there is."""

    def uniform(self):
        return 0 * super().uniform()


def test_the_cleanest_time_that_is_drawn_has_noise():
    (x0,) = fields(1, 2, 1, 2, 2)
    got = Denoising(LinearBeta())(Denoiser(nothing, Eps()), Example(target=x0), rng=Zero(0, range(2)))
    assert EARLIEST == 1e-5
    torch.testing.assert_close(got.logsnr, LinearBeta()(torch.full((2,), 1e-5).double()).logsnr)


def test_a_score_is_matched_at_the_level_that_is_asked_for_and_never_without_noise():
    (x0,) = fields(1, 2, 1, 2, 2)
    denoiser, zero = Denoiser(nothing, Eps()), Zero(0, range(2))
    drawn = DenoisingScore(LinearBeta())(denoiser, Example(target=x0), rng=zero)
    torch.testing.assert_close(drawn.logsnr, LinearBeta()(torch.full((2,), 1e-5).double()).logsnr)
    lowest = DenoisingScore(Geometric(0.01, 50.0), at=0.01)(denoiser, Example(target=x0), rng=Stream(0, range(2)))
    torch.testing.assert_close(lowest.logsnr, torch.full((2,), -2 * math.log(0.01)).double(), rtol=1e-6, atol=0)


class Line(nn.Module):
    """A network of one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3, dtype=torch.double))

    def forward(self, x, told, cond):
        return self.weight * x


def test_the_estimate_that_dream_shows_is_a_number_and_not_a_function_of_the_weights():
    """Zhou et al. (2023), Algorithm 2: without gradient.  The loss, by hand, and its derivative with x_t held."""
    (x0,) = fields(1, 4, 3, 2, 2)
    net = Line()
    objective = Denoising(Cosine(), "l2", dream=1.0)
    objective(Denoiser(net, X0()), Example(target=x0), rng=Stream(2, range(4))).each.sum().backward()
    stream = Stream(2, range(4))
    level = Cosine()(stream.uniform())
    eps = stream.normal(x0)
    a, s = level.like(x0)
    x = diffuse(x0, eps, level)
    x = x + a * s * (0.3 * x - x0)  # a share sigma**1 of x0 becomes the estimate
    wanted = (2 * (0.3 * x - x0) * x).mean((1, 2, 3)).sum()
    torch.testing.assert_close(net.weight.grad, wanted)


def test_dream_on_levels_of_any_power_is_that_of_their_preserving_twin():
    """The share is of the variance-preserving level of the same ratio; eps moves so that x0 stays the picture."""
    x0, guess, eps = fields(3, 3, 1, 2, 2)
    denoiser = Denoiser(lambda x, told, cond: guess, X0())
    twin = LEVEL
    for scale in (1.0, 3.0):
        level = type(twin)(twin.alpha * scale, twin.sigma * scale)
        a, s = level.like(x0)
        dreamt = Denoising(Cosine(), "l2", dream=1.5)._dreamt(denoiser, x0, eps, a * x0 + s * eps, level, Example())
        share = twin.like(x0).sigma ** 1.5
        torch.testing.assert_close(a * x0 + s * dreamt, a * (x0 + share * (guess - x0)) + s * eps)


def test_dream_leaves_known_pixels_as_sampling_does():
    """There nothing was taught, and in use every estimate has the picture's own."""
    (x0,) = fields(1, 4, 3, 6, 5)
    mask = torch.rand(4, 1, 6, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    seen: list[torch.Tensor] = []

    def wild(x, told, cond):
        seen.append(x)
        return torch.full_like(x, 7.0)

    Denoising(Cosine(), "l2", dream=1.0)(Denoiser(wild, X0()), Example(target=x0, mask=mask), rng=Stream(2, range(4)))
    stream = Stream(2, range(4))
    level = Cosine()(stream.uniform())
    plain = diffuse(x0, stream.normal(x0), level)
    hole = mask.expand_as(x0)
    torch.testing.assert_close(seen[1][~hole], plain[~hole])
    a, s = level.like(x0)
    torch.testing.assert_close(seen[1][hole], (plain + a * s * (7 - x0))[hole])


@pytest.mark.parametrize("loss", ["l1", "l2"])
@pytest.mark.parametrize("residual", [True, False])
def test_regression_is_of_the_residual_in_its_unit(loss, residual):
    target, base, answer = fields(3, 2, 3, 4, 4)
    regressor = Regressor(lambda x, told, cond: answer, scale=0.2, residual=residual)
    got = Regression(loss)(regressor, Example(target=target, base=base), rng=Stream(0, range(2)))
    error = answer - (target - base if residual else target) / 0.2
    torch.testing.assert_close(got.each, error.abs().pow(1 if loss == "l1" else 2).mean((1, 2, 3)))
    assert got.logsnr is None


def test_what_there_is_none_of_is_refused():
    for wrong in ({"loss": "l3"}, {"weight": "snr-min"}, {"dream": -0.5}):
        with pytest.raises(ValueError, match="there is no|positive"):
            Denoising(LinearBeta(), **wrong)
    with pytest.raises(ValueError, match="there is no loss"):
        Regression("huber")
    for objective, denoiser in ((Denoising(Cosine()), Denoiser(nothing, EDM())), (Regression(), Regressor(nothing))):
        with pytest.raises(ValueError, match="the example's target is missing"):
            objective(denoiser, Example(), rng=Stream(0, range(1)))


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_network_is_shown_the_noisy_picture_and_told_its_level(name):
    seen = {}

    def net(x, told, cond):
        seen.update(x=x, told=told, cond=cond)
        return torch.zeros_like(x)

    x0, cond = fields(2, 3, 3, 2, 2)
    prediction = PREDICTIONS[name]()
    denoiser = Denoiser(net, prediction, TELLS["logsnr"])
    got = Denoising(Cosine(), "l2")(denoiser, Example(target=x0, cond=cond), rng=Stream(5, range(3)))
    stream = Stream(5, range(3))
    level = Cosine()(stream.uniform())
    eps = stream.normal(x0)
    torch.testing.assert_close(seen["x"], prediction.enter(diffuse(x0, eps, level), level))
    torch.testing.assert_close(seen["told"], TELLS["logsnr"](level).float())
    assert seen["cond"] is cond
    torch.testing.assert_close(got.each, prediction.target(x0, eps, level).square().mean((1, 2, 3)))
