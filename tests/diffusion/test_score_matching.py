"""Score matching: least at the true score, the identities between the objectives, and second derivatives."""

import math

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import Denoiser, Example, tell_logsnr
from sr3.diffusion.level import Level
from sr3.diffusion.objective import Denoising
from sr3.diffusion.predict import EDM, X0, Eps, Score, V
from sr3.diffusion.schedule import Cosine, Geometric
from sr3.diffusion.score_matching import (
    DenoisingScore,
    ExplicitScore,
    ImplicitScore,
    SlicedScore,
)
from sr3.diffusion.tables import OBJECTIVES
from sr3.model.config import ConfigError, build
from sr3.random import Stream
from sr3.testing import Gaussian, Mixture, Normal

ROAD = Geometric(0.01, 10.0)
AT = 0.5
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.double)
NORMAL = Normal(torch.zeros(2, dtype=torch.double), COVARIANCE)
TRUTH = torch.linalg.inv(COVARIANCE + AT**2 * torch.eye(2, dtype=torch.double))
MODES = Mixture(torch.tensor([[-1.0, 0.5], [1.5, 0.0]]), torch.tensor([0.6, 0.4]), torch.tensor([0.3, 0.7]))

KINDS = {
    "explicit": ExplicitScore(ROAD, AT, truth=NORMAL.score),
    "implicit": ImplicitScore(ROAD, AT),
    "hutchinson": ImplicitScore(ROAD, AT, trace="hutchinson"),
    "sliced": SlicedScore(ROAD, AT, reduced=False),
    "sliced-reduced": SlicedScore(ROAD, AT),
    "denoising": DenoisingScore(ROAD, AT),
}


class Quick(Stream):
    """One generator for all examples: as random, and made at once where they are many."""

    def __init__(self, seed, indices):
        super().__init__(seed, indices[:1])
        self.size, self.one = len(indices), self.generators[0]

    def uniform(self):
        return torch.rand(self.size, generator=self.one, dtype=torch.float64)

    def normal(self, x):
        return torch.randn(x.shape, generator=self.one, dtype=x.dtype)


class Linear(nn.Module):
    """score(x) = -A x: the scores of Gaussians, and of nothing when A is not symmetric."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())

    def forward(self, x, told, cond):
        return -x @ self.matrix.T


class Small(nn.Module):
    """A smooth network of two layers, of any dimension; double, so that derivatives can be checked."""

    def __init__(self, size=2, out=None, width=8, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.one, self.two = nn.Linear(size, width).double(), nn.Linear(width, out or size).double()

    def forward(self, x, told, cond):
        flat = self.two(torch.tanh(self.one(x.flatten(1))))
        return flat.view_as(x) if flat.shape[1] == x[0].numel() else flat


def of(net):
    return Denoiser(net, Score(), tell_logsnr)


def data(count, seed=0):
    return NORMAL.draw(count, torch.Generator().manual_seed(seed))


def mean_of(objective, net, x0, seed=1):
    return objective(of(net), Example(target=x0), rng=Quick(seed, range(len(x0)))).each.mean()


@pytest.mark.parametrize("name", KINDS)
def test_the_true_score_is_where_the_loss_is_stationary_and_least(name):
    """The gradient with respect to A vanishes at the inverse covariance, within what 60 000 draws can tell."""
    objective, count = KINDS[name], 60_000
    net = Linear(TRUTH)
    each = objective(of(net), Example(target=data(count)), rng=Quick(1, range(count))).each
    slope = torch.autograd.grad(each.mean(), net.matrix)[0]
    # the loss is quadratic in A, (A - truth)' H (A - truth) / 2, H that of the Fisher divergence: C per row, over 2
    off = Linear(TRUTH + torch.tensor([[0.3, -0.1], [0.2, 0.1]]).double())
    elsewhere = torch.autograd.grad(mean_of(objective, off, data(count)), off.matrix)[0]
    spread = COVARIANCE + AT**2 * torch.eye(2).double()
    want = AT**2 * (off.matrix - TRUTH) @ spread / 2
    assert slope.abs().max() < 0.004
    torch.testing.assert_close(elsewhere, want.detach(), atol=0.004, rtol=0)
    assert want.abs().max() > 0.03


@pytest.mark.parametrize("name", KINDS)
def test_a_linear_score_learns_the_known_matrix(name):
    """Gradient descent from 0 with fresh draws; the answer is the mean of the last steps."""
    objective, net = KINDS[name], Linear(torch.zeros(2, 2).double())
    optimiser = torch.optim.SGD(net.parameters(), lr=4.0)
    found = torch.zeros(2, 2).double()
    for k in range(300):
        optimiser.zero_grad()
        mean_of(objective, net, data(256, seed=k), seed=k).backward()
        optimiser.step()
        found += net.matrix.detach() * (k >= 150) / 150
    assert (found - TRUTH).norm() / TRUTH.norm() < 0.05


def test_vincents_identity():
    """Implicit minus denoising, and explicit minus either, is the same for every model; Vincent (2011), appendix."""
    count = 20_000
    x0 = data(count)
    gaps = []
    for seed in range(3):
        net = Small(seed=seed)
        with torch.no_grad():
            for p in net.parameters():
                p *= 2
            implicit, denoising, explicit = (
                mean_of(KINDS[name], net, x0) for name in ("implicit", "denoising", "explicit")
            )
        gaps.append((implicit - denoising, explicit - denoising, explicit))
    spread = torch.tensor(gaps)
    # the constants themselves: E|eps/sigma|^2 / 2 and E|eps/sigma|^2 / 2 - E|score|^2 / 2, a mean over 2 dimensions
    first = -0.5
    second = -0.5 + AT**2 * TRUTH.trace().item() / 4
    assert (spread[:, 0] - first).abs().max() < 0.015
    assert (spread[:, 1] - second).abs().max() < 0.015
    assert spread[:, 2].max() - spread[:, 2].min() > 0.1  # the models do differ


@pytest.mark.parametrize(
    "objective",
    [
        ImplicitScore(ROAD, AT, trace="hutchinson", probes=3),
        SlicedScore(ROAD, AT, reduced=False),
        SlicedScore(ROAD, AT),
        SlicedScore(ROAD, AT, directions="signs", probes=2),
    ],
    ids=["hutchinson", "sliced", "reduced", "signs"],
)
def test_random_directions_are_unbiased(objective):
    """The same point many times with fresh directions, against trace plus half norm written out; 4 standard errors."""
    net, count = Small(5), 20_000
    x0 = torch.randn(1, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    noise = torch.randn(1, 5, generator=torch.Generator().manual_seed(1), dtype=torch.double)

    class Same(Quick):
        def __init__(self, size):
            super().__init__(3, range(size))
            self.first = True

        def normal(self, x):
            if self.first:  # the noise in x_t; what follows are directions
                self.first = False
                return noise.expand_as(x)
            return super().normal(x)

    x = x0 + AT * noise
    jacobian = torch.autograd.functional.jacobian(lambda v: net(v[None], None, None)[0], x[0])
    score = net(x, None, None)[0]
    want = AT**2 * (jacobian.trace() + score.square().sum() / 2).item() / 5
    exact = ImplicitScore(ROAD, AT)(of(net), Example(target=x0), rng=Same(1)).each.item()
    assert exact == pytest.approx(want, rel=1e-9)
    with torch.no_grad():
        each = objective(of(net), Example(target=x0.expand(count, 5)), rng=Same(count)).each
    error = each.std().item() / math.sqrt(count)
    assert error > 0
    assert abs(each.mean().item() - want) < 4 * error


def test_reduced_slices_vary_less_and_with_signs_are_hutchinsons():
    net, x0 = Small(4), torch.randn(2000, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))

    def each(objective):
        return objective(of(net), Example(target=x0), rng=Quick(0, range(2000))).each.detach()

    exact = each(ImplicitScore(ROAD, AT))
    plain, reduced = (each(SlicedScore(ROAD, AT, reduced=r)) - exact for r in (False, True))
    assert reduced.std() < 0.8 * plain.std()
    torch.testing.assert_close(
        each(SlicedScore(ROAD, AT, directions="signs")), each(ImplicitScore(ROAD, AT, trace="hutchinson"))
    )


def test_at_a_tiny_level_it_is_the_score_of_the_data_in_float32():
    """Half of float32's digits cancel in (alpha * x0 - x) / sigma**2 at sigma = 0.001; the loss must not notice."""
    road = Geometric(0.001, 1.0)
    net, x0 = Small(2), data(500)
    double = ImplicitScore(road, 0.001, weight="none")(of(net), Example(target=x0), rng=Stream(0, range(500))).each
    single = ImplicitScore(road, 0.001, weight="none")(
        of(net.float()), Example(target=x0.float()), rng=Stream(0, range(500))
    ).each
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-5)
    net.double()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: net(v[None], None, None)[0]))(x0)
    want = (jacobian.diagonal(dim1=1, dim2=2) + net(x0, None, None) ** 2 / 2).mean(1)
    torch.testing.assert_close(double, want, atol=0.02, rtol=0)


@pytest.mark.parametrize("prediction", [Eps(), X0(), V(), Score(), EDM(0.5)], ids=["eps", "x0", "v", "score", "edm"])
@pytest.mark.parametrize("schedule", [Cosine(), ROAD], ids=["cosine", "geometric"])
@pytest.mark.parametrize("residual", [False, True])
def test_score_is_tweedies_formula(prediction, schedule, residual):
    level = schedule(torch.tensor([0.2, 0.5, 0.8]))
    example = Example(base=torch.full((3, 4), 0.3, dtype=torch.double))
    denoiser = Denoiser(Small(4), prediction, tell_logsnr, residual)
    x = torch.randn(3, 4, dtype=torch.double)
    a, s = level.like(x)
    want = (a * denoiser(x, level, example) - x) / s**2
    torch.testing.assert_close(denoiser.score(x, level, example), want)


def test_denoising_score_is_song_and_ermons_and_the_regression_of_eps():
    """At the weight sigma**2 it is half of the plain eps regression; levels are L, geometric, both ends included."""
    net, count = Small(3), 4000
    x0 = torch.randn(count, 3, dtype=torch.double)
    ours = DenoisingScore(ROAD)(of(net), Example(target=x0), rng=Quick(0, range(count)))
    other = Denoising(ROAD, "l2", "snr")(of(net), Example(target=x0), rng=Quick(0, range(count)))
    torch.testing.assert_close(ours.each, other.each / 2)
    levels = DenoisingScore(ROAD, levels=5)(of(net), Example(target=x0), rng=Quick(0, range(count))).logsnr
    sigma, how_many = torch.exp(-levels / 2).unique(return_counts=True)
    sigma = torch.exp(-(2 * levels).round() / 4).unique() if len(sigma) != 5 else sigma
    torch.testing.assert_close(sigma, torch.logspace(-2, 1, 5, dtype=torch.double), rtol=1e-2, atol=0)
    assert how_many.min() > 0.17 * count


@pytest.mark.parametrize(
    "objective", [ImplicitScore(ROAD, AT), SlicedScore(ROAD, AT, probes=2), DenoisingScore(ROAD, AT)]
)
def test_a_mask_leaves_only_the_gradient_by_what_is_made(objective):
    """With the network's answer for known pixels of no consequence, the loss is that of the masked part alone."""

    class Apart(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.scale = torch.tensor(scale, dtype=torch.double)

        def forward(self, x, told, cond):
            return -(x**3) * self.scale

    x0 = torch.randn(50, 1, 1, 2, dtype=torch.double)
    mask = torch.tensor([True, False]).view(1, 1, 1, 2).expand(50, 1, 1, 2)
    losses = [
        objective(of(Apart([1.0, known])), Example(target=x0, mask=mask), rng=Stream(0, range(50))).each
        for known in (1.0, 7.0)
    ]
    torch.testing.assert_close(losses[0], losses[1])
    assert losses[0].abs().min() > 0
    if isinstance(objective, ImplicitScore):
        eps = Stream(0, range(50)).__class__(0, range(50))
        eps.uniform()
        x = (x0 + AT * eps.normal(x0))[:, 0, 0, 0]
        torch.testing.assert_close(losses[0], AT**2 * (-3 * x**2 + x**6 / 2))


@pytest.mark.parametrize(
    "options",
    [{"at": 0.001}, {"at": 0.5, "levels": 4}, {"levels": 1}, {"weight": "sigma"}, {"probes": 0}, {"trace": "all"}],
    ids=str,
)
def test_what_cannot_work_is_refused(options):
    with pytest.raises(ConfigError):
        build("objective", OBJECTIVES, {"kind": "implicit-score", **options}, schedule=ROAD)


def test_exact_scores_are_the_gradients_of_exact_log_densities():
    """The densities that ship for users' tests, at each example's own level."""
    level = Level(torch.tensor([1.0, 0.8, 0.3]).double(), torch.tensor([0.2, 0.6, 0.95]).double())
    x = torch.randn(3, 2, dtype=torch.double, requires_grad=True)
    modes = Mixture(MODES.means.double(), MODES.stds.double(), MODES.weights.double())
    for density in (NORMAL, modes, Gaussian(0.2, 0.7)):
        want = torch.autograd.grad(density.log_density(x, level).sum(), x)[0]
        torch.testing.assert_close(density.score(x, level), want)
        a, s = level.like(x)
        torch.testing.assert_close(density(x, level), (x + s**2 * want) / a)
    against = torch.distributions.MultivariateNormal(torch.zeros(2).double(), COVARIANCE + 0.04 * torch.eye(2))
    at = Level(*(c[0] for c in level))
    torch.testing.assert_close(NORMAL.log_density(x, at), against.log_prob(x))
    torch.testing.assert_close(data(200_000).T.cov(), COVARIANCE, atol=0.015, rtol=0)
