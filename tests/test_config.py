"""Configuration: unknown keys name their neighbours; every shipped recipe builds."""

import pytest
import torch

from sr3 import recipe as recipes
from sr3.config import ConfigError, build, check
from sr3.estimate import estimate
from sr3.model import Model
from sr3.sample import SAMPLERS
from sr3.schedule import SCHEDULES, LinearBeta


def test_build_checks_names_and_types():
    assert build("schedule", SCHEDULES, {"kind": "linear-beta", "steps": 10}) == LinearBeta(steps=10)
    for spec, says in (
        ({"kind": "linear"}, "did you mean linear-beta"),
        ({"kind": "linear-beta", "step": 3}, "did you mean steps"),
        ({"kind": "linear-beta", "steps": "many"}, "steps"),
        ({}, "no schedule None"),
    ):
        with pytest.raises(ConfigError, match=says):
            build("schedule", SCHEDULES, spec)
    assert check("sampler", SAMPLERS, {"kind": "ddim", "eta": 0.5}) == {"eta": 0.5}


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_builds(name):
    with torch.device("meta"):
        model = Model(recipes.load(name).model)
    assert sum(p.numel() for p in model.net.parameters()) > 0


def test_settings_change_single_values():
    recipe = recipes.load("photo-4x", ["training.batch=3", "training.precision=fp32", "model.network.widths=[8, 8]"])
    assert recipe.training.batch == 3
    assert recipe.training.precision == "fp32"
    assert recipe.model.network["widths"] == [8, 8]


def test_estimate_counts_what_the_network_does():
    recipe = recipes.load(
        "photo-4x",
        ["model.network.widths=[8]", "model.network.blocks=[1]", "model.network.patch=4", "training.crop=32"],
    )
    found = estimate(recipe)
    model = Model(recipe.model)
    assert found.parameters == sum(p.numel() for p in model.net.parameters())
    forward = 2 * 64 * sum(p.numel() for n, p in model.net.named_parameters() if p.ndim == 4)
    # the backward pass costs twice the forward, less the gradient of the input, which the first layer does not need
    assert 2.3 * forward < found.flop_per_picture < 3.2 * forward
    assert found.state_bytes == 20 * found.parameters
    assert "million parameters" in found.text()
