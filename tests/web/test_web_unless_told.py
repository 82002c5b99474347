"""What `sr3.web` holds to unless it is told otherwise."""

import pytest
from unless_told import bounds, differing

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")

HELD = {
    "web.api": {"MOST_LISTED": 1000},
    "web.api:sent": {"status": 200},
    "web.api:Api.seen": {"keep": False},
    "web.bundle": {"MOST": 1000},
    "web.catalogue:Catalogue": {"shipped": True},
    "web.events:Channel.listen": {"after": 0},
    "web.guard": {"PATIENCE": 20.0, "SLOWEST": 50000, "SMALL": 100000},
    "web.limits:Limits": {
        "upload": 120000000,
        "pixels": 100000000,
        "made": 64000000,
        "queue": 200,
        "seconds": 3600.0,
        "hours": 24.0,
        "disk": 10000000000,
    },
    "web.metrics": {"WEIGHT": 0.2},
    "web.queue": {"TRIES": 3, "SWEEP": 30.0},
    "web.queue:Queue.close": {"patience": 10.0},
    "web.sdapi": {"BODY": 40000000, "AT_ONCE": 4},
    "web.shapes": {"MOST_SEED": 9007199254740991},
    "web.shapes:Options": {
        "seed": 0,
        "samples": 1,
        "fidelity": 1.0,
        "free": False,
        "grey": False,
        "grow": 0,
        "feather": 0,
        "left": 0,
        "right": 0,
        "top": 0,
        "bottom": 0,
        "output_quality": 95,
        "metadata": True,
    },
    "web.shapes:Progress": {"done": 0, "total": 0},
    "web.shapes:Enlarge": {"resize_mode": 0, "upscaling_resize": 4},
    "web.store": {"_VERSION": 1},
    "web.store:Record": {"tries": 0},
    "web.study": {"BODY": 10000, "RATERS": 1000, "A_YEAR": 31536000000.0},
    "web.study:Desk": {"seconds": 3.0, "enlarge": 0},
    "web.views": {"THUMBNAIL": 320, "PREVIEW": 1024, "LARGEST": 4096, "QUALITY": 82, "LARGE": 12000000},
    "web.work": {"KEPT": 3},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}


def test_what_may_be_asked_for_has_its_bounds():
    from sr3.web.shapes import Enlarge, Options

    assert bounds(Options) == {
        "scale": {"ge": 1, "le": 64},
        "seed": {"ge": 0, "le": 2**53 - 1},
        "samples": {"ge": 1, "le": 8},
        "steps": {"ge": 1, "le": 1000},
        "fidelity": {"ge": 0, "le": 1},
        "noise": {"ge": 0, "le": 255},
        **{name: {"ge": 0, "le": 256} for name in ("grow", "feather")},
        **{name: {"ge": 0, "le": 10_000} for name in ("left", "right", "top", "bottom")},
        "output_quality": {"ge": 1, "le": 100},
    }
    sides = {f"upscaling_resize_{side}": {"ge": 1, "le": 999_999} for side in "wh"}
    assert bounds(Enlarge) == {"upscaling_resize": {"ge": 1, "le": 64}, **sides}


def test_a_key_that_nobody_knows_is_no_option():
    from sr3.web import shapes

    assert shapes.Options.model_config == {"frozen": True, "extra": "forbid", "strict": True}
    assert shapes._Shape.model_config == {"frozen": True, "extra": "forbid"}
