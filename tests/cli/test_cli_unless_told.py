"""What `sr3.cli` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "cli.claims:claim": {"wait": False},
    "cli.clock": {"LONG": 10.0},
    "cli.clock:Clock": {"frames": 1},
    "cli.compare:command": {"seed": 0},
    "cli.demo:command": {"seed": 0},
    "cli.evaluate": {"SAMPLES": 8, "ALWAYS": 8, "SEEN": ("feature", "kernel"), "FEW": 16},
    "cli.evaluate:command": {"seed": 0, "free": False, "keep": 24},
    "cli.export:command": {"force": False},
    "cli.generate:command": {"count": 1, "seed": 0},
    "cli.import_:command": {"force": False},
    "cli.jobs:check_room": {"frames": 1},
    "cli.outcome:Outcome": {"frames": 1, "seconds": 0.0},
    "cli.palette:dejpeg": {"free": False, "fidelity": 1.0, "lenient": False},
    "cli.palette:walk": {
        "free": False,
        "fidelity": 1.0,
        "lenient": False,
        "hole": False,
        "instead": "give a smaller picture",
    },
    "cli.pipes:write_result": {"quality": 95},
    "cli.rays": {"BLOCKS": 1000},
    "cli.restoring": {"LIGHT": 4194304},
    "cli.restoring:Work": {"enlarges": False, "lenient": False, "most": None, "instead": "ask for less", "used": 0},
    "cli.restoring:Work._prepared": {"wait": False},
    "cli.restoring:Work._made": {"quiet": False},
    "cli.run": {"LEAST_TILE": 64},
    "cli.run:Run": {
        "output_quality": 95,
        "strip_location": False,
        "force": False,
        "samples": 1,
        "seed": 0,
        "jobs": 3,
        "skip_existing": False,
        "quiet": False,
        "json": False,
    },
    "cli.steps:check_trace": {"count": 1},
    "cli.study:command": {
        "seconds": 3.0,
        "seed": 0,
        "enlarge": 0,
        "port": 8008,
        "no_open": False,
        "summary": False,
        "make": False,
    },
    "cli.tars": {"MEMBER": 268435456},
    "cli.train": {"WARM_UP_STEPS": 100},
    "cli.train:command": {"val_pictures": 64, "profile": False, "dry_run": False},
    "cli.tune": {"LEAST": 16},
    "cli.tune:command": {"limit": 64, "seed": 0},
    "cli.web:command": {
        "port": 8008,
        "upload": 120,
        "pixels": 100,
        "made": 64,
        "queue": 200,
        "seconds": 3600,
        "hours": 24,
        "disk": 10,
        "no_open": False,
    },
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
