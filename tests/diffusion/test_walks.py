"""Samplers step by step against their papers' lines, written out for the levels at hand."""

import math

import pytest
import torch

from sr3.diffusion.level import Level
from sr3.diffusion.path import given, walk
from sr3.diffusion.sample import WALKS, Step, ddim, dpmpp, heun, last, once
from sr3.diffusion.schedule import Cosine, Geometric
from sr3.testing import Gaussian

DATA = Gaussian(0.3, 0.4)


def level(alpha: float, sigma: float) -> Level:
    return Level(*torch.tensor([alpha, sigma], dtype=torch.double))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def edm_step(y, s, t, z, *, gamma=0.0, s_noise=1.0):
    """Karras et al. (2022), Algorithm 2, lines 4 to 11, from noise s to t."""
    up = s * (1 + gamma)
    y = y + math.sqrt(up**2 - s**2) * s_noise * z
    d = (y - DATA(y, level(1, up))) / up
    ahead = y + (t - up) * d
    if t > 0:
        d = (d + (ahead - DATA(ahead, level(1, t))) / t) / 2
    return y + (t - up) * d


CHURNS = {
    "none": ({}, 0.0, 0.0),
    "some": ({"churn": 0.6}, 0.3, 0.3),
    "capped": ({"churn": 40.0}, math.sqrt(2) - 1, math.sqrt(2) - 1),
    "noisy levels only": ({"churn": 0.6, "churn_low": 1.0}, 0.3, 0.0),
    "clean levels only": ({"churn": 0.6, "churn_high": 1.0}, 0.0, 0.3),
    "both ends count": ({"churn": 0.6, "churn_low": 0.5, "churn_high": 3.0}, 0.3, 0.3),
    "inflated": ({"churn": 0.6, "churn_noise": 1.007}, 0.3, 0.3),
}


@pytest.mark.parametrize(("options", "first", "second"), CHURNS.values(), ids=CHURNS)
@pytest.mark.parametrize("kind", ["exploding", "preserving"])
def test_heun_is_algorithm_2_of_edm(kind, options, first, second):
    """On y = x / alpha, whatever alpha is."""
    sigmas = (3.0, 0.5, 0.0)
    alphas = [1.0 if kind == "exploding" else 1 / math.sqrt(1 + s**2) for s in sigmas]
    path = given([level(a, a * s) for a, s in zip(alphas, sigmas, strict=True)])
    y, z = noise(0, 5, 2), [noise(1, 5, 2), noise(2, 5, 2)]
    draws = iter([v for v, gamma in zip(z, (first, second), strict=True) if gamma])
    steps = list(heun(DATA, alphas[0] * y, path, noise=lambda _: next(draws), **options))
    y = edm_step(y, 3.0, 0.5, z[0], gamma=first, s_noise=options.get("churn_noise", 1.0))
    torch.testing.assert_close(steps[0].x, alphas[1] * y)
    y = edm_step(y, 0.5, 0.0, z[1], gamma=second, s_noise=options.get("churn_noise", 1.0))
    torch.testing.assert_close(steps[1].x, y)
    assert [s.level for s in steps] == [path[0][1], path[1][1]]
    assert not list(draws)  # and no more noise is asked for than is used


def test_churn_keeps_the_kind_of_levels_it_finds():
    """Where variance is preserved the noisier level preserves it too, and exploding ones keep alpha = 1."""
    for ratio, alpha in ((2.0, 1.0), (2.0, 1 / math.sqrt(5)), (2.0, 3.0)):
        seen = []

        def asked(x, at, seen=seen):
            seen.append(at)
            return DATA(x, at)

        here = level(alpha, alpha * ratio)
        last(heun(asked, noise(0, 2, 2), given([here, level(alpha, 0)]), churn=0.1, noise=torch.zeros_like))
        assert seen[0].ratio.item() == pytest.approx(2.2)
        if alpha == 1:
            assert seen[0].alpha == 1
        else:
            power = [(at.alpha**2 + at.sigma**2).item() for at in (here, seen[0])]
            assert power[0] == pytest.approx(power[1])


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_shares_its_variance_between_old_noise_and_new(eta):
    """Song et al. (2021, DDIM), eq. 12 and 16, for any alpha and sigma: the marginal at the next level is kept."""
    (a, s), (b, r) = step = (level(0.5, 0.9), level(0.8, 0.4))
    x, z = noise(0, 6, 2), noise(1, 6, 2)
    x0 = DATA(x, step[0])
    fresh = eta * r / s * torch.sqrt(s**2 - (a * r / b) ** 2)
    wanted = b * x0 + (r**2 - fresh**2).sqrt() * (x - a * x0) / s + fresh * z
    (got,) = ddim(DATA, x, given(step), eta=eta, noise=lambda _: z)
    torch.testing.assert_close(got.x, wanted)
    torch.testing.assert_close(got.x0, x0)
    assert got.level == step[1]


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # inside diffusers
def test_dpmpp_of_the_reverse_sde_is_diffusers(diffusers):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        1000, 1e-4, 0.02, "linear", solver_order=2, algorithm_type="sde-dpmsolver++", lower_order_final=True,
        final_sigmas_type="zero", euler_at_final=True,
    )  # fmt: skip
    scheduler.set_timesteps(8)
    bars = scheduler.alphas_cumprod.double()[scheduler.timesteps]
    path = given([*(Level(b.sqrt(), (1 - b).sqrt()) for b in bars), level(1, 0)])
    x = ours = noise(0, 4, 3, 2, 2).float()
    draws = [noise(k, 4, 3, 2, 2).float() for k in range(8)]
    for k, t in enumerate(scheduler.timesteps):
        a, s = path[k][0].like(x)
        eps = (x - a * DATA(x, path[k][0])) / s
        x = scheduler.step(eps, t, x, variance_noise=draws[k]).prev_sample
    left = iter(draws)
    torch.testing.assert_close(last(dpmpp(DATA, ours, path, eta=1.0, noise=lambda _: next(left))), x, atol=2e-3, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("exploding", [True, False])
def test_dpmpp_solves_exactly_where_the_estimate_does_not_change(eta, exploding):
    """With x0 known (one point of data) each step's mean and variance are exact, so many steps are one."""
    path = walk(Geometric(0.1, 9.0) if exploding else Cosine(4, -6), 5, end_clean=False)
    point = Gaussian(0.7, 0.0)
    (a, s), (b, r) = path.first, path[-1][1]
    x = a * 0.7 + s * noise(0, 40_000, 1)
    torch.manual_seed(0)
    made = last(dpmpp(point, x, path, eta=eta))
    assert made.mean().item() == pytest.approx(b.item() * 0.7, abs=0.02 * r.item())
    assert made.std().item() == pytest.approx(r.item(), rel=0.02)
    if eta == 0:
        torch.testing.assert_close(made, b * 0.7 + r * (x - a * 0.7) / s)


def test_once_asks_once_and_is_at_the_picture():
    asked = []

    def denoise(x, at):
        asked.append(at)
        return x + 1

    path = walk(Cosine(), 7)
    (step,) = once(denoise, torch.zeros(2, 3), path)
    assert asked == [path.first]
    assert torch.equal(step.x, torch.ones(2, 3))
    assert torch.equal(step.x0, step.x)
    assert [c.item() for c in step.level] == [1, 0]
    assert step.accepted is None


def test_a_walk_that_is_over_has_no_last_step():
    with pytest.raises(ValueError, match="no step left"):
        last(iter([]))
    assert last(iter([Step(torch.ones(1), torch.zeros(1), level(1, 0))])).item() == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ddim", {"eta": -0.01}),
        ("ddim", {"eta": 1.01}),
        ("dpmpp", {"eta": -0.01}),
        ("dpmpp", {"eta": 1.01}),
        ("dpmpp", {"order": 3}),
        ("dpmpp", {"order": 0}),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(name, options):
    with pytest.raises(ValueError, match="eta is between 0 and 1|the order is 1 or 2"):
        next(WALKS[name](DATA, torch.zeros(1, 1), walk(Cosine(), 2), **options))
