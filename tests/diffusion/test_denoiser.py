"""The denoiser: what the network is shown and told, what its answer stands for, and where walks may begin."""

import math

import pytest
import torch

from sr3.diffusion.denoiser import TELLS, Denoiser, Example, Regressor, start
from sr3.diffusion.level import Level, diffuse, from_logsnr
from sr3.diffusion.predict import EDM, PREDICTIONS

EVERY = {name: make() for name, make in PREDICTIONS.items()}


def level(alpha: float, sigma: float) -> Level:
    return Level(*torch.tensor([alpha, sigma], dtype=torch.double))


def fields(count: int, *shape: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(len(shape))
    return list(torch.randn(count, *shape, generator=rng, dtype=torch.double))


class Asked:
    """A network that remembers what it was asked and answers with one number."""

    def __init__(self, answer: float = 0.0):
        self.answer = answer

    def __call__(self, x, told, cond):
        self.x, self.told, self.cond = x, told, cond
        return torch.full_like(x, self.answer)


@pytest.mark.parametrize("size", [1.0, 7.0])  # of both alpha and sigma: what is told is their ratio's
def test_what_the_network_is_told(size):
    at = level(0.6 * size, 0.8 * size)
    told = {name: tell(at).item() for name, tell in TELLS.items()}
    wanted = {
        "alpha": 3000.0,
        "plain-alpha": 0.6,
        "plain-alpha-bar": 0.36,
        "logsnr": 250 * math.log(0.8 / 0.6),
        "nothing": 0.0,
    }
    assert told == pytest.approx(wanted)


def test_what_is_told_of_the_cleanest_and_the_noisiest_level_is_bounded():
    """20 nats, beyond float32's own resolution of a noisy picture, at 250 each."""
    assert TELLS["logsnr"](level(1, 0)).item() == -5000
    assert TELLS["logsnr"](level(1, 1e30)).item() == 5000
    assert TELLS["logsnr"](level(1, math.exp(19))).item() == pytest.approx(4750)
    assert TELLS["logsnr"](level(1, math.exp(-19))).item() == pytest.approx(-4750)


def test_a_residual_model_is_shown_the_noisy_residual_at_unit_variance():
    x, base, cond = fields(3, 2, 3, 4, 4)
    at, net = level(0.5, 0.3), Asked()
    Denoiser(net, EDM(0.1), TELLS["plain-alpha"], residual=True).raw(x, at, Example(cond=cond, base=base))
    torch.testing.assert_close(net.x, (x - 0.5 * base) / (0.3**2 + (0.5 * 0.1) ** 2) ** 0.5)
    assert net.cond is cond
    torch.testing.assert_close(net.told, torch.full((2,), 0.5 / (0.5**2 + 0.3**2) ** 0.5))


def test_a_model_of_pictures_does_not_look_at_the_first_guess():
    x, base = fields(2, 2, 3, 4, 4)
    net = Asked(0.25)
    denoiser = Denoiser(net, PREDICTIONS["x0"]())
    torch.testing.assert_close(denoiser(x, level(0.5, 0.3), Example(base=base)), torch.full_like(x, 0.25))
    torch.testing.assert_close(net.x, x)
    torch.testing.assert_close(denoiser.target(x, base, level(0.5, 0.3), Example(base=base)), x)


def test_known_pixels_are_shown_as_they_are_where_they_are_pasted():
    x, cond = fields(2, 2, 3, 4, 4)
    mask, at, net = torch.rand(2, 1, 4, 4) < 0.5, level(0.5, 0.3), Asked(0.25)
    example = Example(cond=cond, mask=mask)
    found = Denoiser(net, PREDICTIONS["eps"](), pasted=True)(x, at, example)
    torch.testing.assert_close(net.x, torch.where(mask, x, cond))
    torch.testing.assert_close(found, (x - 0.3 * 0.25) / 0.5)  # of its own x: known pixels are put back by who knows
    marked = example._replace(cond=torch.cat([cond, mask.to(cond)], 1))  # and a channel that says where the hole is
    Denoiser(net, PREDICTIONS["eps"](), pasted=True)(x, at, marked)
    torch.testing.assert_close(net.x, torch.where(mask, x, cond))
    for denoiser, seen in (
        (Denoiser(net, PREDICTIONS["eps"]()), example),
        (Denoiser(net, PREDICTIONS["eps"](), pasted=True), example._replace(mask=None)),
    ):
        denoiser.raw(x, at, seen)
        assert torch.equal(net.x, x)


@pytest.mark.parametrize("prediction", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("residual", [False, True])
def test_the_right_answer_stands_for_the_picture(prediction, residual):
    x0, eps, base = fields(3, 4, 3, 2, 2)
    at = from_logsnr(torch.tensor([-6.0, -1.0, 2.0, 8.0]))
    denoiser, example = Denoiser(Asked(), prediction, residual=residual), Example(base=base)
    answer = denoiser.target(x0, eps, at, example)
    torch.testing.assert_close(denoiser.clean(answer, diffuse(x0, eps, at), at, example), x0)
    rest = x0 - base if residual else x0
    torch.testing.assert_close(answer, prediction.target(rest, eps, at))


@pytest.mark.parametrize("prediction", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("residual", [False, True])
def test_the_score_is_tweedies(prediction, residual):
    x, base = fields(2, 3, 3, 2, 2)
    denoiser, example = Denoiser(Asked(0.7), prediction, residual=residual), Example(base=base)
    for at in (level(0.6, 0.8), level(1, 0.05), level(2, 30.0), from_logsnr(torch.tensor([-4.0, 0.0, 4.0]))):
        a, s = at.like(x)
        wanted = (a * denoiser(x, at, example) - x) / s**2
        torch.testing.assert_close(denoiser.score(x, at, example), wanted)


def test_the_score_keeps_its_digits_at_the_clean_end():
    """In float32, eps = 0.3 at sigma = 1e-5: the two terms of Tweedie's difference agree in all their digits."""
    x = torch.full((1, 1, 2, 2), 0.9)
    for name in ("eps", "edm"):
        prediction, at = EVERY[name], level(1, 1e-5)
        answer = prediction.target(
            torch.tensor([[[[0.9 - 0.3e-5]]]]).double(), torch.full((1, 1, 1, 1), 0.3).double(), at
        )
        score = Denoiser(Asked(answer.item()), prediction).score(x, at)
        assert score.flatten().tolist() == pytest.approx([-0.3e5] * 4, rel=0.02)


def test_samplers_are_given_a_function_of_x_and_level():
    x, base, cond = fields(3, 2, 3, 4, 4)
    net, example = Asked(0.4), Example(cond=cond, base=base)
    denoiser = Denoiser(net, EDM(0.1), residual=True)
    torch.testing.assert_close(denoiser.given(example)(x, level(0.5, 0.3)), denoiser(x, level(0.5, 0.3), example))
    assert net.cond is cond


def test_a_residual_model_without_a_first_guess_says_so():
    with pytest.raises(ValueError, match="the example's base is missing"):
        Denoiser(Asked(), EDM(), residual=True)(torch.zeros(1, 3, 2, 2), level(0.5, 0.3))


def test_a_regressor_answers_in_units_of_its_scale_over_the_first_guess():
    base, cond, x = fields(3, 2, 3, 4, 4)
    net = Asked(0.5)
    example = Example(cond=cond, base=base)
    torch.testing.assert_close(Regressor(net, scale=0.1)(x, level(0.5, 0.3), example), base + 0.05)
    assert net.x.abs().max() == 0  # whatever x_t
    assert net.told.tolist() == [0, 0]
    assert net.cond is cond
    whole = Regressor(net, scale=0.1, residual=False).given(example)
    torch.testing.assert_close(whole(x, level(0.5, 0.3)), torch.full_like(x, 0.05))
    torch.testing.assert_close(Regressor(net)(x, level(0.5, 0.3)), torch.full_like(x, 0.5))


def test_the_walk_of_a_residual_starts_around_the_first_guess():
    noise, base = fields(2, 2, 3, 4, 4)
    at = level(1, 50.0)
    torch.testing.assert_close(start(noise, at, base), base + 50 * noise)
    torch.testing.assert_close(start(noise, at), 50 * noise)
    half = level(0.02, 1.0)
    torch.testing.assert_close(start(noise, half, base), 0.02 * base + noise)


@pytest.mark.parametrize("spread", [1.0, 0.1])
def test_a_thousandth_of_the_signal_may_be_left_where_a_walk_starts(spread):
    """alpha-bar, of data whose spread is 1; what spreads less is hidden by less noise."""
    x = torch.zeros(1, 1, 1, 1)
    for signal, fits in ((0.99e-3, True), (1.01e-3, False)):
        sigma = spread * math.sqrt((1 - signal) / signal)
        if fits:
            start(x, level(1, sigma), spread=spread)
        else:
            with pytest.raises(ValueError, match=f"alpha-bar is still {signal:.3g}; it must be at most 0.001"):
                start(x, level(1, sigma), spread=spread)
