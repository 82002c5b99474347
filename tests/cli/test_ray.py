"""Ray: a cluster of two actors on this machine, one of which is killed; every picture is made once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import noise_picture

from sr3.picture.image import read

psutil = pytest.importorskip("psutil")
pytest.importorskip("ray.data", reason="the extra ray")

COUNT = 60


def actors(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes of the actors, which Ray names after what they run."""
    below = psutil.Process(process.pid).children(recursive=True)
    found: list[int] = []
    for child in below:
        try:
            if "MapWorker" in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="it kills by a signal")
def test_an_actor_is_killed_and_nothing_is_lost(sr3, tiny, tmp_path):
    model, given, out = tiny.save_pretrained(tmp_path / "model"), tmp_path / "in", tmp_path / "out"
    given.mkdir()
    for k in range(COUNT):
        noise_picture(16, 12, seed=k).save(given / f"{k:02d}.png")
    (given / "bad.png").write_bytes(b"no")
    line = ["upscale", given, "--model", model, "--precision", "fp32", "--jobs", "1"]
    command = [sys.executable, "-m", "sr3", *map(str, line), "-o", str(out), "--ray", "local", "--actors", "2"]
    environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    process = subprocess.Popen([*command, "--manifest", str(tmp_path / "m.jsonl")], env=environment)
    try:
        end, killed = time.monotonic() + 300, 0
        while process.poll() is None and time.monotonic() < end:
            if not killed and out.is_dir() and len(list(out.glob("*.png"))) >= 3 and len(actors(process)) == 2:
                killed = actors(process)[0]
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.02)
        assert process.wait(10) == 1  # of the bad one
    finally:
        process.kill()
    assert killed
    told = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert set(Counter(t["input"] for t in told).values()) == {1}
    assert [Path(t["input"]).name for t in told if t["error"]] == ["bad.png"]
    assert sr3(*line, "-o", tmp_path / "here")[0] == 1
    names = sorted(p.name for p in (tmp_path / "here").iterdir())
    assert sorted(p.name for p in out.glob("[!.]*")) == names
    assert len(names) == COUNT
    for name in names:
        assert (read(out / name).pixels == read(tmp_path / "here" / name).pixels).all()
