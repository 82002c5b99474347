"""What `sr3.evaluation` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "evaluation.betas": {"FIRST": (-6.0, -1.5), "LAST": (-1.5, 0.0), "MANTISSAS": 0.5, "LARGEST": 0.98},
    "evaluation.betas:search": {"trials": 60, "seed": 0},
    "evaluation.betas:tune_betas": {"budgets": (8, 16), "trials": 60, "seed": 0},
    "evaluation.compare": {
        "SURE": 0.05,
        "SAME_PICTURE": {"psnr": 0.02, "psnr_y": 0.02},
        "FEW_ROUNDED": 2e-8,
    },
    "evaluation.compare:compare": {"seed": 0},
    "evaluation.demo": {"SIDE": 256},
    "evaluation.demo:rows": {"seed": 0},
    "evaluation.evaluate:evaluate": {"samples": 8, "seed": 0, "free": False, "keep": 0},
    "evaluation.likeness:distance": {"interval": True},
    "evaluation.likeness:by_chance": {"repeats": 4, "seed": 0},
    "evaluation.making": {"COUNT": 50000},
    "evaluation.making:evaluate_made": {"seed": 0},
    "evaluation.recognition": {"SHORT": 256, "SHOWN": 224, "FACTOR": 4, "FIRST": 1000},
    "evaluation.recognition:recognise": {"seed": 0, "free": False, "batch": 8},
    "evaluation.report.gallery": {"SIDES": (1024, 768, 512, 384, 256), "PIXELS": 16000000},
    "evaluation.report.plot": {"WIDTH": 340, "LINE": 26, "LEFT": 112, "RIGHT": 14, "NAME": 6.8, "TICK": 6.2},
    "evaluation.report.plot:plots": {"levels": False},
    "evaluation.study.answers:Study": {"seed": 0},
    "evaluation.study.pairs:make_pairs": {"seed": 0},
    "evaluation.study.plan:plan": {"seed": 0},
    "evaluation.tally": {"OTHERS": 4},
    "evaluation.tally:_Method": {"seconds": 0.0, "pictures": 0},
    "evaluation.demo:sheet": {"colours": False},
    "evaluation.tune": {"AT_ONCE": 16, "CLEANEST": (0.02, 0.2, 1.0, 2.0, 3.5)},
    "evaluation.tune:Trial": {"lost": 0},
    "evaluation.tune:tune": {"budgets": (2, 4, 8, 16, 32), "seed": 0},
    "evaluation.tune:Bench": {"batch": 16},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
