"""The optimisers against their definitions, and what a step that is not finite may change: nothing."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sr3.model import recipe as recipes
from sr3.picture.collection import load
from sr3.training.data import Crops
from sr3.training.flat import Flat
from sr3.training.optimiser import Adam, Muon, orthogonal
from sr3.training.run import Run
from sr3.training.train import make_accelerator


def moments(flat):
    zeros = torch.zeros_like(flat.weights.detach())
    return {"step": torch.zeros(()), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}


@pytest.mark.parametrize("shape", [(64, 576), (96, 40), (3, 8)])
def test_singular_values_become_about_one_and_directions_stay(shape):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    # the quintic, five times, on the singular values alone
    for_each = s / s.norm()
    for _ in range(5):
        for_each = 3.4445 * for_each - 4.7750 * for_each**3 + 2.0315 * for_each**5
    assert 0.68 < for_each.min() < for_each.max() < 1.16
    torch.testing.assert_close(orthogonal(matrix), u @ torch.diag(for_each) @ v, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(orthogonal(17 * matrix), orthogonal(matrix))
    assert not orthogonal(torch.zeros(shape)).any()


def test_muon_is_its_formula_and_adam_moves_the_rest():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.GroupNorm(1, 5), nn.Flatten(), nn.Linear(5, 4))
    flat = Flat(net, matrices_first=True)
    held = moments(flat)
    settings = {"betas": (0.9, 0.99), "decay": 0.1}
    muon = Muon(flat, held, rate=1.0, **settings)
    begun = {name: p.detach().clone() for name, p in net.named_parameters()}
    rest = {name: nn.Parameter(p.clone()) for name, p in begun.items() if p.ndim < 2}
    adam = torch.optim.AdamW(rest.values(), lr=0.02, betas=(0.9, 0.99), weight_decay=0.1)
    momentum = {name: torch.zeros(len(p), p[0].numel()) for name, p in begun.items() if p.ndim >= 2}
    wanted = {name: p.reshape(len(p), -1).clone() for name, p in begun.items() if p.ndim >= 2}
    for _ in range(3):
        for name, p in net.named_parameters():
            flat.views(flat.gradient)[name].copy_(torch.randn(p.shape))
        slopes = {name: v.clone() for name, v in flat.views(flat.gradient).items()}
        muon.step(0.02, torch.tensor(1.0))
        for name, p in rest.items():
            p.grad = slopes[name]
        adam.step()
        for name, w in wanted.items():
            slope = slopes[name].reshape(w.shape)
            momentum[name] = 0.95 * momentum[name] + slope
            step = orthogonal(slope + 0.95 * momentum[name])
            wanted[name] = w * (1 - 0.02 * 0.1) - 0.02 * 0.2 * max(w.shape) ** 0.5 * step
    for name, p in net.named_parameters():
        goal = rest[name] if name in rest else wanted[name].view(p.shape)
        torch.testing.assert_close(p.detach(), goal.detach(), rtol=1e-3, atol=1e-5)
    assert held["step"] == 3


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_step_that_is_not_finite_changes_nothing(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.GroupNorm(1, 5))
    flat = Flat(net, matrices_first=kind == "muon")
    held = moments(flat)
    settings = {"rate": 0.1, "betas": (0.9, 0.99), "decay": 0.1}
    optimiser = Muon(flat, held, **settings) if kind == "muon" else Adam(flat.weights, held, **settings)
    flat.gradient.normal_()
    optimiser.step(0.1, torch.tensor(1.0))
    before = [v.clone() for v in (flat.weights.detach(), *held.values())]
    flat.gradient.fill_(torch.nan)
    optimiser.step(0.1, torch.tensor(0.0))
    for was, now in zip(before, (flat.weights.detach(), *held.values())):
        torch.testing.assert_close(was, now, rtol=0, atol=0)


def test_where_the_device_cannot_be_asked_to_skip_the_step_is_left_out():
    flat = Flat(nn.Linear(2, 2))
    optimiser = Adam(flat.weights, moments(flat), rate=0.1, betas=(0.9, 0.99), decay=0.0)
    before = flat.weights.detach().clone()
    flat.gradient.fill_(1.0)
    elsewhere = SimpleNamespace(device=SimpleNamespace(type="mps"), item=lambda: 0.0)
    optimiser.step(0.1, elsewhere)
    assert torch.equal(before, flat.weights)
    optimiser.step(0.1, torch.tensor(1.0))
    assert not torch.equal(before, flat.weights)


def test_a_run_with_muon_goes_on_as_if_it_had_not_stopped(folder, tmp_path):
    small = ["batch=4", "crop=32", "warmup=8", "save_every=8", "report_every=4", "precision=fp32", "optimiser=muon"]
    network = ["model.network={kind='plain',width=8,blocks=1}"]

    def run(out, pictures):
        settings = [*(f"training.{s}" for s in [*small, f"pictures={pictures}", "decay=constant"]), *network]
        made = Run(
            recipes.load("photo-4x-regression", settings),
            Crops(load(folder), 32),
            tmp_path / out,
            make_accelerator("cpu"),
        )
        while made.seen < pictures:
            made.step()
        made.save()
        return made.flat.named(made.flat.weights)

    whole = run("whole", 24)
    run("parts", 12)
    for name, value in run("parts", 24).items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=0)
