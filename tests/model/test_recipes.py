"""Recipes: what they average and what they say of the papers, against the papers' own units."""

import math

import pytest

from sr3.model import recipe as recipes

DECAYS = {
    "sr3-16-128": 0.9999,
    "sr3-16-128-regression": 0.9999,
    "sr3-64-256": 0.9999,
    "sr3-64-512": 0.9999,
    "sr3-256-1024": 0.9999,
    "ddpm-32": 0.9999,
    "ddpm-64": 0.9999,
    "ncsn-32": 0.999,
    "ncsn-64": 0.999,
}
"""Of the moving average, at each step: Palette's (SR3 names none), Ho et al. (2020), Song & Ermon (2020)."""


@pytest.mark.parametrize("name", DECAYS)
def test_the_half_life_of_the_average_is_the_papers_decay(name):
    """decay ** (half-life / batch) = 1 / 2, in pictures seen."""
    training = recipes.load(name).training
    steps = math.log(0.5) / math.log(DECAYS[name])
    assert training.average == pytest.approx(steps * training.batch, rel=1e-3)


@pytest.mark.parametrize("name", [n for n in recipes.names() if n not in DECAYS])
def test_our_own_recipes_average_too(name):
    """A half-life between a twenty-fifth and a sixth of the run: long enough to help, short enough to forget."""
    training = recipes.load(name).training
    assert 1 / 40 < training.average / training.pictures < 1 / 5
