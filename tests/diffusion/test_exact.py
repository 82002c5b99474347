"""Exact denoisers against SciPy's densities, and against what they stand for: the mean of the data given x_t."""

import pytest
import torch
from scipy.stats import multivariate_normal, norm

from sr3.diffusion.exact import Gaussian, Mixture, Normal, points
from sr3.diffusion.level import Level, diffuse

MEAN = torch.tensor([[0.4, -1.0], [0.3, 2.0]]).double()  # of the shape of an example, 2 x 2
ROOT = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.7, 0, 0], [0.1, -0.4, 0.6, 0], [0.3, 0.2, 0.1, 0.4]]).double()
NORMAL = Normal(MEAN, ROOT @ ROOT.T)
MODES = Mixture(torch.stack([MEAN, -2 * MEAN]), torch.tensor([0.3, 0.8]).double(), torch.tensor([0.7, 0.3]).double())
PLAIN = Gaussian(0.3, 0.6)
EVERY = {"gaussian": PLAIN, "normal": NORMAL, "mixture": MODES, "even mixture": Mixture(MODES.means, MODES.stds)}
LEVEL = Level(torch.tensor([0.8, 0.5]).double(), torch.tensor([0.6, 1.5]).double())
X = torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def density(name: str, k: int) -> float:
    """log p(x_t) of example k, by SciPy."""
    a, s = (c[k].item() for c in LEVEL)
    x, eye = X[k].flatten().numpy(), torch.eye(4).double().numpy()
    mean = MEAN.flatten().numpy()
    if name == "gaussian":
        return norm(a * 0.3, (a**2 * 0.36 + s**2) ** 0.5).logpdf(x).sum()
    if name == "normal":
        return multivariate_normal(a * mean, a**2 * NORMAL.covariance.numpy() + s**2 * eye).logpdf(x)
    shares = (0.7, 0.3) if name == "mixture" else (0.5, 0.5)
    each = [
        share * multivariate_normal(a * m, ((a * std) ** 2 + s**2) * eye).pdf(x)
        for share, m, std in zip(shares, (mean, -2 * mean), (0.3, 0.8))
    ]
    return torch.tensor(sum(each)).log().item()


@pytest.mark.parametrize("name", EVERY)
def test_densities_are_scipys(name):
    assert EVERY[name].log_density(X, LEVEL).tolist() == pytest.approx([density(name, 0), density(name, 1)])
    # one level for all, too
    one = Level(*(c[0] for c in LEVEL))
    assert EVERY[name].log_density(X, one)[0].item() == pytest.approx(density(name, 0))


@pytest.mark.parametrize("name", EVERY)
def test_scores_are_gradients_and_estimates_are_tweedies(name):
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(EVERY[name].log_density(x, LEVEL).sum(), x)
    torch.testing.assert_close(EVERY[name].score(X, LEVEL), gradient)
    a, s = LEVEL.like(X)
    torch.testing.assert_close(EVERY[name](X, LEVEL), (X + s**2 * gradient) / a)


@pytest.mark.parametrize("name", EVERY)
def test_the_estimate_is_the_best_there_is(name):
    """Over draws of the data, the error of E[x0 | x_t] is uncorrelated with every function of x_t."""
    data = EVERY[name]
    x0 = data.draw(torch.empty(60_000, 2, 2).double(), rng()) if name == "gaussian" else data.draw(60_000, rng())
    level = Level(torch.tensor(0.8).double(), torch.tensor(0.6).double())
    x = diffuse(x0, torch.randn(x0.shape, generator=torch.Generator().manual_seed(2), dtype=torch.double), level)
    error = (data(x, level) - x0).flatten(1)
    for function in (torch.ones_like(x), x, x**2, x.sign()):
        products = error * function.flatten(1)
        assert (products.mean(0).abs() < 5 * products.std(0) / len(x) ** 0.5).all()


def test_draws_have_the_moments_of_the_data():
    drawn = NORMAL.draw(100_000, rng()).flatten(1)
    torch.testing.assert_close(drawn.mean(0), MEAN.flatten(), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), NORMAL.covariance, atol=0.02, rtol=0)
    plain = PLAIN.draw(torch.empty(100_000, 1), rng())
    assert plain.dtype == torch.float32
    assert (plain.mean().item(), plain.std().item()) == pytest.approx((0.3, 0.6), abs=0.01)
    for data in (PLAIN, NORMAL, MODES):  # a function of the generator alone
        like = torch.empty(5, 2, 2) if data is PLAIN else 5
        assert torch.equal(data.draw(like, rng()), data.draw(like, rng()))
    mixed = MODES.draw(50_000, rng())
    assert mixed.shape == (50_000, 2, 2)
    first = (mixed - MODES.means[0]).square().sum((1, 2)) < (mixed - MODES.means[1]).square().sum((1, 2))
    assert first.double().mean().item() == pytest.approx(0.7, abs=0.02)
    assert (mixed[first] - MODES.means[0]).std().item() == pytest.approx(0.3, rel=0.03)


def test_the_plain_gaussian_is_standard():
    assert (Gaussian().mean, Gaussian().std) == (0, 1)


def test_a_finite_set_is_known_by_heart():
    """Near the clean end the estimate is the nearest of the points, and far away their mean."""
    data = torch.tensor([[0.0, 1.0], [2.0, 0.0], [-1.0, -1.0]]).double()
    clean, noisy = (Level(torch.tensor(1.0).double(), torch.tensor(s).double()) for s in (0.01, 1e4))
    torch.testing.assert_close(points(data)(data + 0.02, clean), data)
    torch.testing.assert_close(points(data)(data, noisy), data.mean(0).expand(3, 2), atol=1e-3, rtol=0)
    assert points(data).draw(9, rng()).unique(dim=0).shape == (3, 2)
