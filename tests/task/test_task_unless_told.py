"""What `sr3.task` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "task.base:Given": {"bits": 8, "mixed": False},
    "task.base:own_stream": {"seed": 0},
    "task.base:SameSize": {"channels": 3, "factor": 1, "border": 0, "colours": False},
    "task.colorization:Colorization": {"colours": True},
    "task.damage.damage": {
        "_PLANS": 14301806,
        "_DRAWS": 64,
        "_BOUNDS": {
            "sigma": (0.01, 10),
            "stretch": (0.01, 1),
            "scale": (0.125, 8),
            "gaussian": (0.01, 255),
            "photons": (10, 1000000000.0),
            "amount": (0, 10),
            "radius": (0.01, 10),
            "quality": (1, 100),
            "first_quality": (1, 100),
            "webp_quality": (1, 100),
        },
    },
    "task.damage.operators": {"_CUT": 3.5},
    "task.data_term": {"BEYOND": 2.0},
    "task.data_term:DataTerm.nearest": {"rounds": 1},
    "task.data_term:Exact.nearest": {"rounds": 1},
    "task.data_term:InBins": {"sigma": 0.0},
    "task.data_term:InBins.nearest": {"rounds": 1},
    "task.data_term:Soft": {"grid": ((8, 0), (8, 0))},
    "task.data_term:Soft.nearest": {"rounds": 1},
    "task.denoising:Denoising": {"sigma": 25.0},
    "task.generation:Generation": {"size": 32, "classes": 0},
    "task.holes": {
        "_HOLES": 262629,
        "_DRAWS": 1024,
        "BOXES": (1, 5),
        "VERTICES": (4, 12),
        "WIDTHS": (0.046875, 0.15625),
        "TURN": (0.8377580409572782, 1.6755160819145563),
        "_DRAWN": 8,
    },
    "task.inpainting:Inpainting": {
        "strokes": 0.6,
        "area": (0.1, 0.4),
        "measured_area": 0.25,
        "marked": False,
        "context": 0.5,
    },
    "task.jpeg_restoration": {"CHROMA": {"4:2:0": 2, "4:4:4": 0}, "INSET": 2.0},
    "task.jpeg_restoration:JpegRestoration": {"low": 5, "high": 30, "falloff": 10.0, "halved": 0.5, "quality": 10},
    "task.several:Several": {"told": False},
    "task.super_resolution:SuperResolution": {"factor": 4, "blur": 0.0, "colours": False},
    "task.uncropping:Uncropping": {"around": 0.5, "share": 0.5, "marked": False, "context": 0.5},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
