"""The numbers of the damage: what a recipe gets that sets nothing, how far it may go, and that plans stay the same."""

import hashlib
from dataclasses import asdict

import pytest

from sr3.random import Stream
from sr3.task.damage.damage import Damage

DEFAULTS = {
    "clean": 1 / 3,
    "twice": 0.5,
    "blur": 0.6,
    "sigma": (0.1, 0.7),
    "shapes": (0.5, 0.3, 0.2),
    "stretch": (0.3, 1.0),
    "kernels": (0.5, 0.2, 0.27, 0.03),
    "scale": (0.6, 2.0),
    "noise": 0.5,
    "gaussian": (1.0, 10.0),
    "poisson": 0.4,
    "photons": (400.0, 20000.0),
    "grey": 0.4,
    "sharpen": 0.15,
    "amount": (0.2, 1.2),
    "radius": (0.3, 1.2),
    "jpeg": 0.75,
    "quality": (30, 95),
    "first_quality": (60, 95),
    "halved": 0.7,
    "webp": 0.05,
    "webp_quality": (40, 95),
}
"""Written down once more: to change a default is to change what `damage = {}` in a recipe trains on."""

BOUNDS = {
    "sigma": (0.01, 10),
    "stretch": (0.01, 1),
    "scale": (0.125, 8),
    "gaussian": (0.01, 255),
    "photons": (10, 1e9),
    "amount": (0, 10),
    "radius": (0.01, 10),
    "quality": (1, 100),
    "first_quality": (1, 100),
    "webp_quality": (1, 100),
}
SHARES = ["clean", "twice", "blur", "noise", "poisson", "grey", "sharpen", "halved"]


def test_what_a_recipe_gets_that_sets_nothing():
    assert asdict(Damage()) == DEFAULTS


@pytest.mark.parametrize("name", BOUNDS)
def test_ranges_may_reach_their_bounds_and_no_further(name):
    low, high = BOUNDS[name]
    assert getattr(Damage(**{name: (low, high)}), name) == (low, high)
    for wrong in ((low - 1e-3, high), (low, high * 1.001), (high, low)):
        with pytest.raises(ValueError, match=f"damage.{name}=.* is no range"):
            Damage(**{name: wrong})


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_from_0_to_1(name):
    for share in (0, 1):
        assert getattr(Damage(**{name: share}), name) == share
    for wrong in (-0.001, 1.001):
        with pytest.raises(ValueError, match=f"damage.{name}=.* is no share"):
            Damage(**{name: wrong})


def test_files_and_kinds_share_what_there_is():
    assert Damage(jpeg=0.9, webp=0.1).webp == 0.1
    for options, says in (
        ({"jpeg": 0.9, "webp": 0.11}, r"damage.jpeg \+ damage.webp = 1.01"),
        ({"shapes": (0.5, 0.3, 0.1)}, "damage.shapes sums to 0.9"),
        ({"kernels": (1.1, -0.1, 0.0, 0.0)}, "damage.kernels sums to 1"),
    ):
        with pytest.raises(ValueError, match=says):
            Damage(**options)


def test_no_picture_between_passes_is_without_pixels():
    """An eighth of two pixels is one."""
    plans = Damage(clean=0, twice=1, scale=(0.125, 0.125)).plans((8, 8), 4, Stream(0, range(20)))
    sizes = [dict(step.options)["size"] for plan in plans for step in plan if step.kind == "resize"]
    assert set(sizes) == {(1, 1), (2, 2)}


def test_plans_are_what_they_were():
    """A run that goes on under another version of the library goes on with the same damage."""
    plans = Damage().plans((64, 96), 4, Stream(11, range(200)))

    def rounded(value):
        if isinstance(value, float):
            return f"{value:.4g}"
        return f"({', '.join(map(rounded, value))})" if isinstance(value, tuple) else str(value)

    text = "\n".join(rounded(plan) for plan in plans)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7ff3b41f35749d8d"
