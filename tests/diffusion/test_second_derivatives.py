"""Objectives that differentiate a derivative: right where it works, refused before training where it cannot."""

import math

import pytest
import torch
from conftest import TINY
from test_score_matching import AT, KINDS, ROAD, TRUTH, Linear, Small, data, mean_of, of
from torch import nn

from sr3.diffusion.denoiser import Example
from sr3.diffusion.objective import Denoising
from sr3.diffusion.schedule import Cosine
from sr3.diffusion.score_matching import (
    DenoisingScore,
    ImplicitScore,
    SlicedScore,
    check_double_backward,
    needs_double_backward,
)
from sr3.model import recipe as recipes
from sr3.model.config import ConfigError
from sr3.nn.energy import EnergyScore
from sr3.nn.unet import Attention, UNet
from sr3.picture.collection import load
from sr3.random import Stream
from sr3.training.data import Crops
from sr3.training.train import make_accelerator, train


@pytest.mark.parametrize("energy", [False, True], ids=["score", "energy"])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_right(name, energy):
    """Autograd through the derivative against finite differences, for every parameter."""
    net = EnergyScore(Small(out=1, width=4)) if energy else Small(width=4)
    names, values = zip(*net.named_parameters())

    def loss(*given):
        class Given(nn.Module):
            def forward(self, x, told, cond):
                return torch.func.functional_call(net, dict(zip(names, given)), (x, told, cond))

        return mean_of(KINDS[name], Given(), data(3))

    assert torch.autograd.gradcheck(loss, [v.detach().requires_grad_() for v in values], atol=1e-6)


def test_an_energys_score_is_a_gradient_and_works_without_gradients():
    net = EnergyScore(Small(out=1))
    x = torch.randn(4, 2, dtype=torch.double)
    told = torch.zeros(4)
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda v: -torch.func.grad(lambda u: net.net(u[None], 0, 0).sum())(v))
    )(x)
    torch.testing.assert_close(jacobian, jacobian.mT)
    want = torch.func.vmap(lambda v: -torch.func.grad(lambda u: net.net(u[None], 0, 0).sum())(v))(x)
    torch.testing.assert_close(net(x, told, None).detach(), want)
    with torch.no_grad():
        quiet = net(x, told, None)
    assert not quiet.requires_grad
    with torch.inference_mode():
        made_here = x * 1.0
        torch.testing.assert_close(net(made_here, told * 1.0, made_here).clone(), want)
    parameters = list(net.parameters())
    moved = torch.autograd.grad(net(x, told, None).square().sum(), parameters, allow_unused=True)
    assert moved[0].abs().max() > 0


def test_losses_without_gradients_are_the_same_number():
    """Evaluation under `torch.no_grad` still differentiates by x."""
    for objective in KINDS.values():
        with_gradients = mean_of(objective, Small(), data(5))
        with torch.no_grad():
            without = mean_of(objective, Small(), data(5))
        assert with_gradients.requires_grad
        assert not without.requires_grad
        torch.testing.assert_close(without, with_gradients.detach())


def test_pictures_and_attention_have_second_derivatives():
    """The package's U-Net, with attention, whose fused kernel has none."""
    torch.manual_seed(0)
    net = UNet(cond_channels=0, patch=4, widths=(8,), blocks=(1,), embedding=8, attention=2)
    assert any(isinstance(m, Attention) for m in net.modules())
    for p in net.parameters():
        nn.init.normal_(p, std=0.2)
    example = Example(target=torch.randn(2, 3, 8, 8))
    check_double_backward(SlicedScore(Cosine()), of(net), example, Stream(0, range(2)))
    each = SlicedScore(Cosine())(of(net), example, rng=Stream(0, range(2))).each
    each.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.attend.qkv.parameters())


class Once(torch.autograd.Function):
    """A square whose derivative has none."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_a_network_without_second_derivatives_is_refused_before_training():
    class Stuck(Linear):
        def forward(self, x, told, cond):
            return Once.apply(super().forward(x, told, cond)) @ self.matrix

    net = Stuck(TRUTH)
    example, rng = Example(target=data(2)), Stream(0, range(2))
    check_double_backward(DenoisingScore(ROAD, AT), of(net), example, rng)  # one derivative is enough
    with pytest.raises(ValueError, match="second derivative"):
        check_double_backward(ImplicitScore(ROAD, AT), of(net), example, rng)


def test_who_needs_second_derivatives():
    assert needs_double_backward(ImplicitScore(ROAD))
    assert needs_double_backward(SlicedScore(ROAD))
    assert not needs_double_backward(DenoisingScore(ROAD))
    assert not needs_double_backward(Denoising(ROAD), Small())
    assert needs_double_backward(Denoising(ROAD), nn.Sequential(EnergyScore(Small(out=1))))


def test_the_trainer_refuses_what_cannot_be_differentiated_twice(folder, tmp_path):
    def recipe(*more):
        small = ["training.batch=2", "training.crop=32", "training.pictures=4", "training.warmup=0"]
        r = recipes.load("photo-4x-regression", small)
        raw = r.model_dump()
        raw["model"].update(kind="diffusion", network=TINY, prediction={"kind": "eps"}, tell="logsnr")
        raw["model"]["schedule"] = {"kind": "cosine"}
        raw["training"].update(objective={"kind": "sliced-score"}, precision="fp32", begin=None, **dict(more))
        return type(r).model_validate(raw)

    crops = Crops(load(folder), 32)
    accelerator = make_accelerator("cpu")
    with pytest.raises(ConfigError, match=r"training\.compile=false"):
        next(train(recipe(("compile", True)), crops, tmp_path / "a", accelerator=accelerator))

    reports = [report for _, report in train(recipe(), crops, tmp_path / "c", accelerator=accelerator)]
    assert math.isfinite(reports[-1].loss)
    assert reports[-1].seen == 4
