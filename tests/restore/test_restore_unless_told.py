"""What `sr3.restore` holds to unless it is told otherwise."""

from unless_told import differing

from sr3.task import JpegRestoration, Uncropping

HELD = {
    "restore.agreement": {"_VISITS": 24, "_STRIDE": 1.7, "_NEAR": 0.5, "_ROUNDS": 3},
    "restore.agreement:Agreement": {"share": 1.0},
    "restore.agreement:agreement": {"fidelity": 1.0},
    "restore.choose": {
        "LOW": 60.0,
        "_LUMA": (
            (16, 11, 10, 16, 24, 40, 51, 61),
            (12, 12, 14, 19, 26, 58, 60, 55),
            (14, 13, 16, 24, 40, 57, 69, 56),
            (14, 17, 22, 29, 51, 87, 80, 62),
            (18, 22, 37, 56, 68, 109, 103, 77),
            (24, 35, 55, 64, 81, 104, 113, 92),
            (49, 64, 78, 87, 103, 121, 120, 101),
            (72, 92, 95, 98, 112, 100, 103, 99),
        ),
    },
    "restore.choose:needs": {"hole": False},
    "restore.fill": {"MOST": 2.0},
    "restore.fill:inpainted": {"grow": 0, "feather": 0, "seed": 0},
    "restore.fill:uncropped": {"seed": 0},
    "restore.generate": {"PIXELS_AT_ONCE": 262144, "MOST": 64},
    "restore.generate:Cascade.stream": {"count": 1, "seed": 0},
    "restore.generate:grid": {"gap": 2},
    "restore.large": {"_EACH": {JpegRestoration: 150, Uncropping: 140}, "LEAST": 64, "_AT_WORK": 160},
    "restore.large:fits_whole": {"each": 95},
    "restore.many": {"BATCH": 16, "SMALL": 262144},
    "restore.many:many": {"ahead": 2},
    "restore.restored:Restored.save": {"quality": 95},
    "restore.restored:restored": {"colours": False},
    "restore.restored:spread": {"extent": 2.0},
    "restore.restorer:Restorer.settings": {"samples": 1},
    "restore.restorer:Restorer.refine": {"free": False},
    "restore.restorer:Restorer.make": {"check": True},
    "restore.restorer:Restorer._finish": {"free": False},
    "restore.restorer:Restorer.stream": {"seed": 0, "samples": 1, "free": False, "fidelity": 1.0},
    "restore.tiles": {"TILE": 1024, "BLEND": 32},
    "restore.tiles:Runner": {"tile": 1024},
    "restore.usual": {"FACTOR": 4},
    "restore.whole:stream": {"free": False, "fidelity": 1.0, "seed": 0},
    "restore.whole:make": {"free": False},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
