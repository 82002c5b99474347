"""Configuration: unknown keys name their neighbours; every shipped recipe builds."""

import pytest
import torch

from sr3.diffusion.schedule import SCHEDULES, LinearBeta
from sr3.diffusion.tables import SAMPLERS
from sr3.model import recipe as recipes
from sr3.model.config import ConfigError, build, check
from sr3.model.model import Model


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


@pytest.mark.parametrize(
    ("name", "millions"),
    [("sr3-16-128", 564.5), ("sr3-64-256", 621.5), ("sr3-64-512", 614.2), ("sr3-256-1024", 150.2)],
)
def test_the_papers_recipes_are_the_papers(name, millions):
    """Saharia et al. (2021), section 3 and appendix A; counted and built without memory."""
    recipe = recipes.load(name)
    with torch.device("meta"):
        count = sum(p.numel() for p in Model(recipe.model).net.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.15)
    t, model = recipe.training, recipe.model
    assert (t.batch, t.pictures, t.warmup, t.rate, t.decay) == (256, 256 * 10**6, 256 * 10**4, 1e-4, "constant")
    assert (t.objective["loss"], model.prediction["kind"], model.residual) == ("l1", "eps", False)
    assert model.schedule == {"kind": "linear-beta", "start": 1e-6, "stop": 1e-2, "steps": 2000}
    assert model.sampling.sampler == {"kind": "ancestral", "variance": "fixed"}
    assert model.sampling.steps <= 100
    small, large = (int(n) for n in name.split("-")[1:])
    assert t.crop == large == small * model.task["factor"]
    assert model.network.get("dropout", 0) == (0.2 if name == "sr3-16-128" else 0)


@pytest.mark.parametrize("name", [n for n in recipes.names() if n.endswith("-regression")])
def test_a_baseline_has_the_architecture_of_its_model(name):
    baseline, model = recipes.load(name).model, recipes.load(name.removesuffix("-regression")).model
    assert (baseline.network, baseline.task, baseline.residual) == (model.network, model.task, model.residual)
    assert (baseline.kind, model.kind) == ("regression", "diffusion")
