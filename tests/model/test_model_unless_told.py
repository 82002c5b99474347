"""What `sr3.model` holds to unless it is told otherwise."""

from unless_told import bounds, differing

from sr3.model.config import Sampling, Training

HELD = {
    "model.checkpoint": {"VERSION": 1},
    "model.checkpoint:read_tensors": {"weights": True},
    "model.checkpoint:save": {"half": True},
    "model.checkpoint:load": {"weights": True},
    "model.config": {"LARGEST": 1048576},
    "model.config:Sampling": {"steps": 16},
    "model.config:ModelConfig": {"residual": False, "pasted": False},
    "model.config:Training": {
        "pictures": 1000000,
        "batch": 16,
        "accumulate": 1,
        "crop": 128,
        "turn": True,
        "zoom": (1.0, 1.0),
        "colour": 0.0,
        "rate": 0.0001,
        "warmup": 10000,
        "betas": (0.9, 0.999),
        "weight_decay": 0.0,
        "clip": 1.0,
        "average": 100000,
        "compile": False,
        "seed": 0,
        "save_every": 10000,
        "report_every": 500,
        "sample_every": 50000,
    },
    "model.export:export": {"force": False},
    "model.foreign:janspiry_palette": {"side": 256, "groups": 32},
    "model.foreign:janspiry_sr3": {"factor": 8},
    "model.hub": {"WAIT": 10.0, "EACH": 2.0},
    "model.model:Model.methods": {"samples": 1},
    "model.walk:Refinement": {"varies": True},
    "model.walk:AtOnce": {"varies": False},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}


def test_what_a_recipe_may_say_has_its_bounds():
    assert bounds(Sampling) == {"steps": {"ge": 1, "le": 10_000}, "noisiest": {"gt": 0}, "cleanest": {"gt": 0}}
    assert bounds(Training) == {
        **{key: {"ge": 1} for key in ("pictures", "batch", "accumulate", "crop")},
        **{key: {"ge": 1} for key in ("save_every", "report_every", "sample_every")},
        **{key: {"ge": 0} for key in ("warmup", "weight_decay", "average")},
        **{key: {"gt": 0} for key in ("rate", "clip")},
        "colour": {"ge": 0, "le": 2},
    }
