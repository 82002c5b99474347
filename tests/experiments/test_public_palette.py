"""The public Palette beside ours: which networks are compared, and along which betas."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFIGURATION = """{ // what it is
    "model": {"which_networks": [{"name": ["a", "B"], // a class
        "args": {"unet": {"inner_channel": 64, "attn_res": [
                // 32,
                16 // of halvings
            ], "num_head_channels": 32},
            "module_name": "guided_diffusion",
            "beta_schedule": {"train": {"n_timestep": 2000},
                "test": {"n_timestep": 1000, "linear_start": 1e-4, "linear_end": 0.09}}}}]}
}"""


@pytest.fixture
def public(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return importlib.import_module("public_palette")


@pytest.mark.parametrize(("steps", "start", "stop"), [(1000, 1e-4, 0.09), (500, 2e-4, 0.18), (50, 2e-3, 0.99)], ids=str)
def test_the_published_configuration_is_read_with_other_widths_and_steps(public, tmp_path, steps, start, stop):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "inpainting_celebahq.json").write_text(CONFIGURATION)
    found = public.configuration(tmp_path, 32, steps)
    assert found["unet"]["inner_channel"] == 32
    test = found["beta_schedule"]["test"]
    assert (test["n_timestep"], test["linear_start"], test["linear_end"]) == pytest.approx((steps, start, stop))
    every = public.kinds(found)
    assert every["as published"] is found
    assert [kind["unet"]["attn_res"] for kind in every.values()] == [[16], [2, 4], [16]]
    assert [kind["module_name"] for kind in every.values()] == ["guided_diffusion"] * 2 + ["sr3"]
    assert ["num_head_channels" in kind["unet"] for kind in every.values()] == [True, True, False]
