"""The walk that a restorer takes: where it starts, which levels it visits, and what each estimate is held to."""

import pytest
import torch
from conftest import tiny_config

from sr3.diffusion.path import walk
from sr3.model.model import Model
from sr3.picture.resize import enlarge, round8, shrink
from sr3.random import Seeds
from sr3.restore.restorer import Restorer
from sr3.task import Given

GIVEN = Given(round8(torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 0.6 - 0.3))
COSINE = {"schedule": {"kind": "cosine", "high": 12.0, "low": -12.0}}


@pytest.mark.parametrize("changes", [{}, COSINE, {"residual": False, **COSINE}], ids=["residual", "cosine", "picture"])
@pytest.mark.parametrize("cleanest", [None, 0.2])
def test_it_starts_and_goes_where_the_settings_say(changes, cleanest):
    sampling = {"sampler": {"kind": "ddim"}, "steps": 4, "spacing": "karras", "cleanest": cleanest}
    model = Model(tiny_config(**changes, sampling=sampling))
    restorer = Restorer(model, device="cpu", precision="fp32")
    asked = []

    def wrap(denoise):
        def listening(x, level):
            asked.append((x, level))
            return denoise(x, level)

        return listening

    list(restorer.refine(GIVEN, [4, 9], wrap=wrap))
    path = walk(model.schedule, 4, "karras", low=cleanest)
    assert [at for _, at in asked] == [here for here, _ in path]
    a, s = path.first
    base = enlarge(GIVEN.image, 4) if model.config.residual else 0
    noise = Seeds([4, 9])(torch.zeros(2, 3, 20, 24))
    torch.testing.assert_close(asked[0][0], (a * base + s * noise).float())
    if model.config.residual and changes:
        assert a < 0.01 < 1  # so that alpha matters


def test_the_noisiest_level_can_be_chosen():
    sampling = {"sampler": {"kind": "ddim"}, "steps": 2, "noisiest": 4.0}
    restorer = Restorer(Model(tiny_config(sampling=sampling)), device="cpu", precision="fp32")
    asked = []
    list(restorer.refine(GIVEN, [1, 2], wrap=lambda d: lambda x, at: asked.append(at) or d(x, at)))
    assert asked[0].ratio.item() == pytest.approx(4)


@pytest.mark.parametrize("free", [False, True])
def test_every_estimate_is_in_range_and_held_to_what_is_given(tiny, free):
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    steps = list(restorer.refine(GIVEN, [4, 9], free=free))
    assert len(steps) == 3
    for step in steps:
        away = (shrink(step.x0, 4) - GIVEN.image).abs().max().item()
        assert (away > 0.01) == free
        assert away < 1e-4 or free
        if free:
            assert step.x0.abs().max() <= 1
