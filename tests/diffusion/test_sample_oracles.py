"""Samplers and objectives against exact denoisers and against diffusers' schedulers."""

import math

import pytest
import torch

from sr3.diffusion.level import Level
from sr3.diffusion.path import given, walk
from sr3.diffusion.sample import ancestral, ddim, dpmpp, heun, last
from sr3.diffusion.schedule import Cosine, Karras, LinearBeta
from sr3.diffusion.tables import SAMPLERS
from sr3.random import Seeds

MEAN, STD = 0.3, 0.3

ELSEWHERE = {
    "once",  # a regressor's one answer, no walk
    "langevin",  # one level, so it does not come from noise: tests/test_langevin.py
    "mala",  # likewise
    "predictor_corrector",  # its step is a ratio of norms, which one dimension does not have: likewise
}
OPTIONS = {"annealed": {"updates": 20}}
"""Samplers that end at the data only in the limit of many updates."""


def exact(x, level):
    """E[x0 | x_t] for N(MEAN, STD**2)."""
    a, s = level.like(x)
    return MEAN + a * STD**2 / (a**2 * STD**2 + s**2) * (x - a * MEAN)


def begin(path, count=20_000):
    level = path[0][0]
    noise = torch.randn(count, 1, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return (level.alpha * MEAN + (level.alpha**2 * STD**2 + level.sigma**2).sqrt() * noise).double()


@pytest.mark.parametrize("schedule", [Cosine(), Karras(), LinearBeta()], ids=["cosine", "karras", "linear"])
@pytest.mark.parametrize("name", [n for n in SAMPLERS if n not in ELSEWHERE])
def test_lands_on_the_data(name, schedule):
    torch.manual_seed(0)
    path = walk(schedule, 200, "logsnr")
    x = last(SAMPLERS[name](exact, begin(path), path, **OPTIONS.get(name, {})))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, rel=0.03)


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (heun, 2), (dpmpp, 2)], ids=["ddim", "heun", "2M"])
def test_measured_order(sampler, order):
    errors = []
    for steps in (32, 64):
        path = walk(Cosine(), steps, "logsnr", high=20.0, low=0.05, end_clean=False)
        here, there = path[0][0], path[-1][1]
        x = begin(path, 100)
        # the probability flow of a Gaussian keeps the standardised value
        z = (x - here.alpha * MEAN) / (here.alpha**2 * STD**2 + here.sigma**2).sqrt()
        want = there.alpha * MEAN + (there.alpha**2 * STD**2 + there.sigma**2).sqrt() * z
        errors.append((last(sampler(exact, x, path)) - want).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_identities():
    path = walk(Cosine(), 10, "logsnr")
    x = begin(path, 50)
    seeds = lambda: Seeds(range(50))  # noqa: E731
    posterior = last(ancestral(exact, x, path, variance="posterior", noise=seeds()))
    torch.testing.assert_close(last(ddim(exact, x, path, eta=1.0, noise=seeds())), posterior)
    torch.testing.assert_close(last(dpmpp(exact, x, path, order=1, eta=1.0, noise=seeds())), posterior)
    torch.testing.assert_close(last(dpmpp(exact, x, path, order=1)), last(ddim(exact, x, path)))


def levels_of(scheduler, steps):
    """The levels that a diffusers scheduler visits, the clean one last."""
    bars = scheduler.alphas_cumprod.double()[steps]
    return [*(Level(b.sqrt(), (1 - b).sqrt()) for b in bars), Level(*torch.eye(2).double()[0])]


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_is_diffusers(diffusers, eta):
    scheduler = diffusers.DDIMScheduler(1000, 1e-4, 0.02, "linear", clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(10)
    path = given(levels_of(scheduler, scheduler.timesteps))
    x = ours = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    noises = [torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(k)) for k in range(20)]
    for k, t in enumerate(scheduler.timesteps):
        level = path[k][0]
        a, s = level.like(x)
        eps = (x - a * exact(x, level)) / s
        x = scheduler.step(eps, t, x, eta=eta, variance_noise=noises[k] if eta else None).prev_sample
    draws = iter(noises)
    mine = last(ddim(exact, ours, path, eta=eta, noise=lambda _: next(draws)))
    if eta == 0:
        torch.testing.assert_close(mine, x, atol=2e-4, rtol=0)
    else:
        # diffusers adds noise at the last step only if its variance is not 0, as we do
        torch.testing.assert_close(mine, x, atol=2e-4, rtol=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # inside diffusers
def test_dpmpp_is_diffusers(diffusers):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        1000, 1e-4, 0.02, "linear", solver_order=2, algorithm_type="dpmsolver++", lower_order_final=True,
        final_sigmas_type="zero", euler_at_final=True,
    )  # fmt: skip
    scheduler.set_timesteps(12)
    path = given(levels_of(scheduler, scheduler.timesteps))
    x = ours = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    for k, t in enumerate(scheduler.timesteps):
        level = path[k][0]
        a, s = level.like(x)
        x = scheduler.step((x - a * exact(x, level)) / s, t, x).prev_sample
    torch.testing.assert_close(last(dpmpp(exact, ours, path)), x, atol=1e-3, rtol=0)
