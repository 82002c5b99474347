"""Langevin samplers against densities that are known: where they end, how often they accept, how likely they find x."""

import math

import pytest
import torch

from sr3.diffusion.langevin import (
    LANGEVIN,
    annealed,
    langevin,
    mala,
    ncsn_path,
    predictor_corrector,
    steady_step,
    widest,
)
from sr3.diffusion.level import Level
from sr3.diffusion.likelihood import _between, bits_per_dim, log_likelihood
from sr3.diffusion.path import given, walk
from sr3.diffusion.sample import ddim, last
from sr3.diffusion.schedule import Cosine, Geometric
from sr3.picture.resize import round8, shrink
from sr3.random import Seeds
from sr3.restore.restorer import Restorer
from sr3.task import Given
from sr3.testing import Gaussian, Mixture, Normal

# 1/5 of the weight far from the other 4/5: at the data's own spread nothing crosses the 10 spreads between them
MODES = Mixture(torch.tensor([[-2.5, -2.5], [2.5, 2.5]]), torch.tensor([0.5, 0.5]), torch.tensor([0.8, 0.2]))
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.5]])
NORMAL = Normal(torch.tensor([0.5, -1.0]), COVARIANCE)


def level(sigma, alpha=1.0):
    return Level(torch.tensor(alpha, dtype=torch.double), torch.tensor(sigma, dtype=torch.double))


def fixed(sigma, alpha=1.0, steps=1):
    """A path whose cleanest level has this noise; the levels before it are almost the same."""
    return given([level(sigma * (1 + 1e-9 * (steps - k)), alpha) for k in range(steps + 1)])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def right(x):
    """The share of the second mode."""
    return (x.sum(1) > 0).double().mean().item()


def test_plain_langevin_keeps_the_weights_it_began_with_and_annealed_finds_them():
    """At equal evaluations, from the same places."""
    torch.manual_seed(0)
    begin = 20.0 * torch.randn(5000, 2)  # half of it nearer to either mode
    path = ncsn_like(25, high=20.0, low=0.1)
    found = last(annealed(MODES, begin, path, updates=60, step=0.4))
    assert right(found) == pytest.approx(0.2, abs=0.02)
    plain = last(langevin(MODES, begin, fixed(0.1, steps=25), updates=60, step=3.0))
    assert right(plain) == pytest.approx(0.5, abs=0.02)
    for x, sure in ((found, 0.99), (plain, 0.99)):  # both are in the modes: what differs is their weights
        assert (torch.cdist(x, MODES.means).min(1).values < 2).double().mean() > sure


def ncsn_like(count, high, low):
    return walk(Geometric(low, high), count, "logsnr", high=high, low=low)


@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_unadjusted_langevin_has_the_bias_of_its_step(alpha):
    """For N(m, v) the update is a linear recursion: its stationary variance is v / (1 - d / (4 v))."""
    torch.manual_seed(0)
    data, sigma = Gaussian(0.3, 0.8), 0.5
    at = level(sigma, alpha)
    v = (alpha * 0.8) ** 2 + sigma**2
    step = 1.5
    d = step * sigma**2
    x = last(langevin(data, torch.randn(40_000, 1), fixed(sigma, alpha), updates=60, step=step))
    assert x.mean().item() == pytest.approx(alpha * 0.3, abs=0.02)
    assert x.var().item() == pytest.approx(v / (1 - d / (4 * v)), rel=0.02)
    assert v / (1 - d / (4 * v)) > 1.1 * v  # so that the exact variance would not do
    assert at.alpha == alpha


@pytest.mark.parametrize("alpha", [1.0, 0.6])
@pytest.mark.parametrize("density", ["line", "given"])
def test_mala_is_exact(alpha, density):
    """Mean and covariance within 1 % of the largest standard deviation and variance, at a step that is biased alone."""
    torch.manual_seed(0)
    sigma, step = 0.3, 3.0
    x = torch.zeros(40_000, 2)
    ask = NORMAL.log_density if density == "given" else None
    total, square, count, rate = torch.zeros(2), torch.zeros(2, 2), 0, []
    for k, at in enumerate(mala(NORMAL, x, fixed(sigma, alpha, 40), updates=5, step=step, inside=0, log_density=ask)):
        rate.append(at.accepted.mean().item())
        if k >= 15:
            total, square, count = total + at.x.mean(0), square + at.x.T @ at.x / len(at.x), count + 1
    mean = total / count
    covariance = square / count - mean[:, None] * mean
    want = alpha**2 * COVARIANCE + sigma**2 * torch.eye(2)
    torch.testing.assert_close(mean, alpha * NORMAL.mean, atol=0.01 * want.max().sqrt().item(), rtol=0)
    torch.testing.assert_close(covariance, want, atol=0.01 * want.max().item(), rtol=0)
    assert 0.5 < sum(rate) / len(rate) < 0.99


def test_malas_line_is_the_difference_of_log_densities():
    """The same noise makes the same decisions, whichever way the acceptance is found."""
    x = MODES.draw(500, rng())
    runs = [
        last(mala(MODES, x, fixed(0.2), updates=10, step=2.0, noise=Seeds(range(500)), **options))
        for options in ({"log_density": MODES.log_density}, {"inside": 6}, {"inside": 0})
    ]
    same = [(run == runs[0]).all(1).float().mean().item() for run in runs]
    assert same[1] > 0.98  # rounding alone
    a_normal = [
        last(mala(NORMAL, x, fixed(0.2), updates=10, step=2.0, noise=Seeds(range(500)), **options))
        for options in ({"log_density": NORMAL.log_density}, {"inside": 0})
    ]
    assert (a_normal[0] == a_normal[1]).all(1).float().mean() > 0.98


@pytest.mark.parametrize("inside", [0, 1, 3])
def test_malas_line_asks_between_its_ends_alone(inside):
    x, asked = MODES.draw(4, rng()), []

    def counted(x, level):
        asked.append(x)
        return MODES(x, level)

    last(mala(counted, x, fixed(0.2), updates=3, step=2.0, noise=Seeds(range(4)), inside=inside))
    # where the walk begins and ends, where each update may end, and the points between the two
    assert len(asked) == 2 + 3 * (1 + inside)


def test_mala_refuses_what_langevin_would_not():
    """Larger steps are refused more, and a refused walk stays where it is."""
    torch.manual_seed(0)
    x = NORMAL.draw(2000, rng())
    small, large = (next(mala(NORMAL, x, fixed(1.0), updates=1, step=s)) for s in (0.05, 3.5))
    assert small.accepted.mean() > 0.95 > 0.8 > large.accepted.mean()
    moved = (large.x != x).any(1)
    assert torch.equal(moved, large.accepted == 1)


@pytest.mark.parametrize("alphas", ["exploding", "preserving"])
def test_annealed_is_the_same_walk_whatever_the_alphas(alphas):
    """With x / alpha as the place, levels of the same ratio walk alike."""
    path = ncsn_like(8, high=10.0, low=0.05)
    x = 10.0 * torch.randn(50, 2, generator=rng(), dtype=torch.double)
    want = last(annealed(MODES, x, path, updates=3, noise=Seeds(range(50))))
    if alphas == "preserving":
        a, s = path.levels
        r = (a**2 + s**2).sqrt()
        path = given([Level(p / q, o / q) for p, o, q in zip(a, s, r)])
        x = x / r[0]
    torch.testing.assert_close(last(annealed(MODES, x, path, updates=3, noise=Seeds(range(50)))), want)


def test_annealed_counts_its_evaluations_and_visits_every_noisy_level():
    seen = []

    def counted(x, at):
        seen.append(at.ratio.item())
        return MODES(x, at)

    clean = walk(Cosine(), 5)
    x = torch.randn(4, 2)
    steps = list(annealed(counted, x, clean, updates=3))
    assert len(steps) == 5
    assert len(seen) == 5 * 3 + 1
    assert steps[-1].level.sigma == 0
    seen.clear()
    noisy = walk(Cosine(), 5, end_clean=False)
    assert len(list(annealed(counted, x, noisy, updates=3))) == 5
    assert len(seen) == 6 * 3
    assert seen[-1] == pytest.approx(noisy.levels.ratio[-1].item())


@pytest.mark.parametrize("clean", [True, False])
def test_annealed_steps_by_the_paths_mean_ratio_unless_it_is_told(clean):
    """Technique 4, with the ratio whose power takes the noisiest level with noise to the cleanest."""
    path = walk(Geometric(0.1, 10.0), 4, high=10.0, low=0.1, end_clean=clean)
    count = 4 if clean else 5  # levels with noise
    x = 10.0 * torch.randn(6, 2, generator=rng(), dtype=torch.double)
    step = steady_step(100 ** (1 / (count - 1)), 5)
    told = last(annealed(MODES, x, path, step=step, noise=Seeds(range(6))))
    torch.testing.assert_close(last(annealed(MODES, x, path, noise=Seeds(range(6)))), told)
    other = last(annealed(MODES, x, path, step=1.05 * step, noise=Seeds(range(6))))
    assert (other - told).abs().max() > 1e-3


def test_final_denoising_takes_the_last_noise_away():
    """Song & Ermon (2020), Algorithm 1: the last x is E[x0 | x]; without, it keeps the last level's noise."""
    torch.manual_seed(0)
    path = ncsn_like(10, high=10.0, low=0.3)
    data = Mixture(torch.zeros(1, 2), torch.zeros(1))  # one point
    x = 10.0 * torch.randn(2000, 2)
    assert last(annealed(data, x, path, updates=20)).abs().max() < 1e-5
    noisy = last(annealed(data, x, path, updates=60, step=0.1, denoised=False))
    assert noisy.std().item() == pytest.approx(0.3 * (2 / (2 - 0.05)) ** 0.5, rel=0.05)


def test_techniques_give_the_published_numbers():
    """Song & Ermon (2020), appendix B.1: CIFAR-10 and CelebA at 64, T = 5; their C is "about" 0.5, so L is near."""
    for top, side, count, epsilon in ((50.0, 32, 232, 6.2e-6), (90.0, 64, 500, 3.3e-6)):
        assert len(ncsn_path(top, 0.01, 3 * side**2)) == pytest.approx(count, rel=0.06)
        ratio = (top / 0.01) ** (1 / (count - 1))
        assert steady_step(ratio, 5) / 2 * 0.01**2 == pytest.approx(epsilon, rel=0.02)
    assert widest(torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])) == pytest.approx(5.0)


def test_steady_step_is_what_the_recursion_says():
    """The variance of `updates` updates on a point's blurred density, run as the recursion v <- (1 - h)**2 v + 2 h."""

    def after(step, ratio, updates):
        v = ratio**2
        for _ in range(updates):
            v = (1 - step / 2) ** 2 * v + step
        return v

    best = steady_step(1.3, 4)
    assert all(after(best, 1.3, 4) <= after(step, 1.3, 4) + 1e-9 for step in torch.linspace(0.01, 1.9, 60).tolist())


@pytest.mark.parametrize("predictor", ["ancestral", "ddim"])
@pytest.mark.parametrize("schedule", [Cosine(), Geometric(0.01, 50.0)], ids=["cosine", "geometric"])
def test_predictor_corrector_lands_on_the_data(predictor, schedule):
    torch.manual_seed(0)
    path = walk(schedule, 200)
    data, first = Gaussian(0.3, 0.3), path.first
    x = first.alpha.item() * 0.3 + (0.3**2 * first.alpha**2 + first.sigma**2).sqrt().item() * torch.randn(500, 64)
    x = last(predictor_corrector(data, x, path, predictor=predictor))
    assert x.mean().item() == pytest.approx(0.3, abs=0.01)
    assert x.std().item() == pytest.approx(0.3, rel=0.03)


def test_the_corrector_corrects():
    """With as few steps as 6 the flow alone leaves the wrong spread; Langevin updates at each level mend it."""
    torch.manual_seed(0)
    path = walk(Geometric(0.05, 20.0), 6, end_clean=False)
    data = Gaussian(0.0, 1.0)
    x = (1 + 20.0**2) ** 0.5 * torch.randn(300, 64)
    want = (1 + 0.05**2) ** 0.5
    wrong = [
        abs(last(predictor_corrector(data, x, path, predictor="ddim", updates=n, snr=0.3)).std().item() - want)
        for n in (0, 30)
    ]
    assert wrong[0] > 0.1
    assert wrong[1] < 0.4 * wrong[0]


def test_the_first_correction_is_the_papers():
    """Song et al. (2021), Algorithm 4, written out for one update after a deterministic step."""
    path = given([level(2.0), level(1.0)])
    x = torch.randn(3, 5, generator=rng(), dtype=torch.double)
    data = Gaussian(0.0, 1.0)
    moved = last(predictor_corrector(data, x, path, predictor="ddim", updates=0))
    z = torch.randn(3, 5, generator=rng(1), dtype=torch.double)
    g = data.score(moved, path[-1][1])
    d = 2 * (0.16 * z.norm(dim=1) / g.norm(dim=1)) ** 2
    want = moved + d[:, None] * g + (2 * d).sqrt()[:, None] * z
    assert (d < 1).all()
    got = last(predictor_corrector(data, x, path, predictor="ddim", noise=lambda _: z))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("schedule", [Cosine(), Geometric(0.01, 50.0)], ids=["cosine", "geometric"])
def test_likelihood_of_a_gaussian_is_exact(schedule):
    """Within 0.01 nats, at a level with noise, for numbers that depend on each other and whose mean is not 0."""
    data = Normal(NORMAL.mean.double(), COVARIANCE.double())
    path = walk(schedule, 60, high=50.0, low=0.2)  # alpha is 0.98 there on the first schedule
    at = path[-1][0]
    x = at.alpha * data.draw(20, rng()) + at.sigma * torch.randn(20, 2, generator=rng(1), dtype=torch.double)
    got = log_likelihood(data, x, path, probes=None, mean=data.mean, spread=1.0)
    torch.testing.assert_close(got, data.log_density(x, at), atol=0.01, rtol=0)
    # random signs find the trace of a diagonal Jacobian exactly, whatever they are
    plain, x = Gaussian(0.2, torch.tensor([0.7, 1.4], dtype=torch.double)), x - data.mean
    got = log_likelihood(plain, 0.2 + x, path, mean=0.2, spread=1.0)
    torch.testing.assert_close(got, plain.log_density(0.2 + x, at), atol=0.01, rtol=0)


def test_likelihood_of_a_mixture_is_exact_and_the_random_trace_unbiased():
    data = Mixture(MODES.means.double(), MODES.stds.double(), MODES.weights.double())
    path = walk(Geometric(0.05, 1000.0), 60)
    at = path[-1][0]
    x = data.draw(6, rng())
    exact = log_likelihood(data, x, path, probes=None, spread=2.5)
    torch.testing.assert_close(exact, data.log_density(x, at), atol=0.02, rtol=0)
    many = log_likelihood(data, x.repeat_interleave(400, 0), path, spread=2.5, noise=Seeds(range(2400))).view(6, 400)
    error = many.std(1) / 20
    assert error.max() > 0.005  # the estimate does vary
    assert ((many.mean(1) - exact).abs() < 4 * error + 1e-6).all()


def test_bits_per_dim_of_uniform_pictures_is_eight():
    """Evenly spread over the 256 greys, each number takes 8 bits."""
    size = 12
    log_density = torch.tensor([-size * math.log(256 * 2 / 255)])
    assert bits_per_dim(log_density, size).item() == pytest.approx(8)


@pytest.mark.parametrize("name", LANGEVIN)
def test_a_pictures_walk_does_not_depend_on_its_batch(name):
    path = walk(Cosine(), 4)
    x = torch.randn(3, 2, generator=rng())
    whole = last(LANGEVIN[name](MODES, x, path, noise=Seeds([5, 6, 7])))
    alone = last(LANGEVIN[name](MODES, x[1:2], path, noise=Seeds([6])))
    torch.testing.assert_close(alone, whole[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LANGEVIN)
def test_a_super_resolution_model_can_be_sampled_so(tiny, name):
    """The residual model of pictures, from its own noise; what is given is found again in what is made."""
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    given_picture = Given(round8(torch.rand(1, 3, 6, 5, generator=rng()) * 0.6 - 0.3))
    settings = restorer.settings(sampler=name, steps=3)
    assert len(list(restorer.refine(given_picture, [3], settings=settings))) == 3
    made = restorer.make(given_picture, [3], settings=settings)
    torch.testing.assert_close(shrink(made, 4), given_picture.image, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["langevin", "mala"])
def test_one_level_is_reached_by_one_deterministic_step(name):
    """From noise, not by wandering: after one tiny update it is where DDIM's step is."""
    path = walk(Cosine(), 6)
    x = torch.randn(3, 2, generator=rng())
    want = last(ddim(MODES, x, given([path.first, path[-1][0]])))
    made = last(LANGEVIN[name](MODES, x, path, updates=1, step=1e-6))
    assert (x - want).abs().max() > 0.1
    torch.testing.assert_close(made, want, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("langevin", {"step": 4.0}),
        ("langevin", {"updates": 0}),
        ("mala", {"inside": -1}),
        ("annealed", {"updates": 0, "step": 0.2}),
        ("predictor_corrector", {"snr": 0.0}),
        ("predictor_corrector", {"predictor": "heun"}),
    ],
)
def test_what_cannot_work_is_refused(name, options):
    with pytest.raises(ValueError, match=r"step|inside|update|snr|predictor"):
        next(LANGEVIN[name](MODES, torch.randn(1, 2), walk(Cosine(), 3), **options))


def test_half_way_between_levels_is_of_their_kind():
    """In log(sigma / alpha): exploding levels keep alpha = 1, and preserving ones their sum of squares."""
    middle = _between(level(2.0), level(0.5))
    assert [c.item() for c in middle] == pytest.approx([1.0, 1.0])
    for power in (1.0, 9.0):
        here, there = (level(power**0.5 * s, power**0.5 * (1 - s**2) ** 0.5) for s in (0.9, 0.2))
        middle = _between(here, there)
        assert (middle.alpha**2 + middle.sigma**2).item() == pytest.approx(power)
        assert middle.ratio.item() == pytest.approx((here.ratio * there.ratio).sqrt().item())
    mixed = _between(level(0.9, 2.0), level(0.3, 1.0))  # in between in both
    assert (mixed.alpha**2 + mixed.sigma**2).item() == pytest.approx(((4 + 0.81) * (1 + 0.09)) ** 0.5)
