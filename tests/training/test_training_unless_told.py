"""What `sr3.training` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "training.adversarial": {"STEP": 2 / 255},
    "training.adversarial:Adversarial": {
        "verdict": 1.0,
        "feature": 0.5,
        "fine": 0.0,
        "grid": 0.0,
        "colour": 0.0,
        "sigma": 0.02,
        "span": 0.8,
        "rate": 0.002,
    },
    "training.batches": {"CHUNK": 16384},
    "training.batches:Batches": {"rank": 0, "world": 1},
    "training.board": {"SHOWN": 4},
    "training.board:_Counter": {"total": 0},
    "training.colours": {"STEP": 2 / 255},
    "training.colours:Colours": {"keep": "photo-4x-fast", "colour": 1.0, "first": None},
    "training.critic:Head": {"inside": 64},
    "training.critic:Pixels": {"widths": (24, 48, 64, 96)},
    "training.curve": {"RATIOS": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)},
    "training.data:Crops": {
        "seed": 0,
        "turn": True,
        "zoom": (1.0, 1.0),
        "ZOOM_STEPS": 16,
        "ZOOM_MOST": 1000,
        "TABLE": 67108864,
        "GATHERED": 33554432,
    },
    "training.estimate": {"BASE": 400000000},
    "training.estimate:estimate": {"data": 0, "seconds": 30.0},
    "training.flat:Flat": {"matrices_first": False},
    "training.machine": {"AHEAD": 4},
    "training.machine:Profile": {"STEPS": range(5, 25)},
    "training.notes": {"HISTORY": 4096},
    "training.notes:Report": {"saved": False},
    "training.optimiser": {"_ROUNDS": 5, "_COEFFICIENTS": (3.4445, -4.775, 2.0315)},
    "training.optimiser:Muon": {"momentum": 0.95},
    "training.plot": {"FEWEST": 4},
    "training.run": {"PATIENCE": 50},
    "training.state": {"VERSION": 2},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
