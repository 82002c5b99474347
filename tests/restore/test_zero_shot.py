"""Zero-shot restoration: exact denoisers stand in for networks."""

import pytest
import torch
from conftest import Spoilt, tiny_config
from test_generate import MAKER

from sr3.diffusion.level import Level
from sr3.diffusion.path import even_logsnr, given
from sr3.diffusion.sample import last
from sr3.diffusion.schedule import Karras
from sr3.diffusion.tables import SAMPLERS
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.resize import shrink, shrink_inverse
from sr3.restore.restorer import Restorer
from sr3.restore.zero_shot import enlarging, inpainting, restore
from sr3.testing import Gaussian, Normal

PATH = even_logsnr(Karras(0.01, 50.0), 60)
COUNT = 2000


def walk(denoise, size, sampler="ddim", count=COUNT, path=PATH, **options):
    rng = torch.Generator().manual_seed(0)
    noise = lambda x: torch.randn(x.shape, generator=rng)  # noqa: E731
    x = path.first.sigma.float() * noise(torch.zeros(count, *size))
    return last(SAMPLERS[sampler](denoise, x, path, noise=noise, **options))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_independent_pixels_the_free_ones_have_the_priors_mean_and_spread(eta):
    """Given some of a Gaussian's independent pixels, the posterior of the others is the prior."""
    data = Gaussian(0.3, 0.5)
    picture = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    mask = torch.arange(16).view(1, 1, 4, 4) % 3 == 0
    made = walk(inpainting(picture, mask)(data), (1, 4, 4), "dpmpp", eta=eta)
    kept = ~mask.expand_as(made)
    assert torch.equal(made[kept], picture.expand_as(made)[kept])
    free = made[~kept]
    assert free.mean().item() == pytest.approx(0.3, abs=0.02)
    assert free.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_enlarging_draws_from_the_posterior_of_independent_pixels(eta):
    """x = A⁺y + (1 - A⁺A) z, z from the prior, is the posterior of independent pixels of one spread given A x = y."""
    data = Gaussian(0.2, 0.5)
    small = torch.linspace(-0.8, 0.8, 4).view(1, 1, 2, 2)
    made = walk(enlarging(small, 3)(data), (1, 6, 6), "dpmpp", eta=eta)
    torch.testing.assert_close(shrink(made, 3), small.expand(len(made), -1, -1, -1), rtol=0, atol=1e-5)

    unit = torch.eye(36).view(36, 1, 6, 6)
    null = (unit - shrink_inverse(shrink(unit, 3), 3)).flatten(1)  # the projection onto what A does not see
    mean = shrink_inverse(small, 3).flatten() + null @ torch.full((36,), 0.2)
    torch.testing.assert_close(made.flatten(1).mean(0), mean, rtol=0, atol=0.05)
    covariance = torch.cov(made.flatten(1).T)
    assert (covariance - 0.25 * null).norm() < 0.2 * (0.25 * null).norm()


def test_with_pixels_that_depend_langevin_at_little_noise_reaches_the_posterior_and_ddim_does_not():
    """Two pixels of correlation 0.8, the first known to be 1: the other is N(0.8, 0.36)."""
    data = Normal(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    picture, mask = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[False, True]]]])
    hold = inpainting(picture, mask)
    one = torch.ones((), dtype=torch.float64)
    path = given([Level(one, 2 * one), Level(one, 0.1 * one)])
    free = walk(hold(data), (1, 1, 2), "langevin", path=path, updates=600, step=1.0)[:, 0, 0, 1]
    # what is left of the noise, 0.01 and the step's bias, widens it a little
    assert free.mean().item() == pytest.approx(0.8, abs=0.05)
    assert free.var().item() == pytest.approx(0.36, abs=0.05)
    quick = walk(hold(data), (1, 1, 2), "ddim")[:, 0, 0, 1]
    assert abs(quick.mean().item() - 0.8) > 0.1 or abs(quick.var().item() - 0.36) > 0.1


@pytest.fixture
def restorer() -> Restorer:
    torch.manual_seed(0)
    model = Model(tiny_config(**MAKER))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return Restorer(model, device="cpu", precision="fp32")


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "once"])
def test_every_sampler_agrees_with_what_is_known(restorer, sampler):
    rng = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 8, 8, generator=rng) - 0.5
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:6, 2:6] = True
    made = restore(restorer, picture, [1, 2], mask=mask, steps=4, sampler=sampler)
    known = ~mask.expand_as(made)
    assert torch.equal(made[known], picture.expand_as(made)[known])
    assert not torch.equal(made[0], made[1])
    assert (made[~known] - picture.expand_as(made)[~known]).abs().mean() > 0.01

    # a flat picture leaves room for the range of pictures and the agreement at once
    small = torch.full((1, 3, 2, 2), 0.1)
    made = restore(restorer, small, [1, 2], factor=4, steps=4, sampler=sampler)
    assert made.abs().max() <= 1
    torch.testing.assert_close(shrink(made, 4), small.expand(2, -1, -1, -1), rtol=0, atol=0.02)


def test_a_pictures_result_does_not_depend_on_its_batch(restorer):
    small = torch.linspace(-0.3, 0.3, 12).view(1, 3, 2, 2)
    both = restore(restorer, small, [1, 2], factor=4)
    torch.testing.assert_close(restore(restorer, small, [2], factor=4), both[1:], rtol=0, atol=1e-4)


def test_what_is_not_finite_is_computed_again_in_fp32(restorer):
    small, picture, mask = torch.full((1, 3, 2, 2), 0.1), torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8) > 0
    want = restore(restorer, small, [1], factor=4), restore(restorer, picture, [1, 2], mask=mask)
    restorer.model.net = Spoilt(restorer.model.net)
    spoilt = Restorer(restorer.model, device="cpu", precision="bf16")
    with pytest.warns(RuntimeWarning, match="again in fp32"):
        made = restore(spoilt, small, [1], factor=4), restore(spoilt, picture, [1, 2], mask=mask)
    for one, other in zip(made, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_what_cannot_be_restored_is_refused(restorer, tiny):
    picture, mask = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    for arguments, options, why in (
        ((restorer, picture, [1]), {}, "a mask to fill in or a factor"),
        ((restorer, picture, [1]), {"mask": mask, "factor": 2}, "one of them"),
        ((restorer, picture, [1]), {"factor": 2}, "makes pictures of 8x8, and this would be 16x16"),
        ((restorer, picture, [1]), {"mask": mask.float()}, "not bool"),
        ((restorer, picture, [1]), {"mask": mask[..., :4]}, "not as large"),
        ((restorer, picture.expand(2, -1, -1, -1), [1, 2, 3]), {"mask": mask}, "3 seeds need"),
        ((restorer, picture, [1]), {"factor": 0}, "0 times"),
        ((Restorer(tiny, device="cpu"), picture, [1]), {"mask": mask}, "tiny is no unconditional model"),
    ):
        with pytest.raises(ConfigError, match=why):
            restore(*arguments, **options)
