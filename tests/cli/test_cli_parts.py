"""The command line's small parts, without a model: boxes, times, lines, tables, traces and parts."""

import io
import json
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from sr3.cli import clock
from sr3.cli.clock import Clock, Extent, screen, spoken
from sr3.cli.compare import table as compared
from sr3.cli.evaluate import table
from sr3.cli.outcome import Outcome, Teller, refuse_absent, say
from sr3.cli.parts import share
from sr3.cli.pipes import PIPE, at_hand, to_hand
from sr3.cli.places import parse_box
from sr3.cli.steps import check_trace
from sr3.cli.study import _tasks
from sr3.model.config import ConfigError
from sr3.picture.picture import PictureError


def test_a_box_is_left_top_and_a_size():
    assert parse_box(" 10 , 20,30X40 ") == (10, 20, 30, 40)
    assert parse_box("0,0,1x1") == (0, 0, 1, 1)
    for wrong in ("1,2,0x3", "1,2,3x0", "1,2,3", "-1,2,3x4", "1,2,3x4,5"):
        with pytest.raises(typer.BadParameter, match="is not a box; write LEFT,TOP,WIDTHxHEIGHT"):
            parse_box(wrong)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (89.9, "90 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
    ],
)
def test_times_are_said_as_people_say_them(seconds, said):
    assert spoken(seconds) == said


def test_a_clock_tells_by_pixels_by_steps_and_by_frames(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    told = []
    one = Clock(Extent(first=10, whole=40), 2, told.append)
    assert (one.share, one.left) == (0, None)
    now[0] = 105
    one.heard(10)
    assert one.share == pytest.approx(10 / 40 / 2)
    assert one.left == pytest.approx(5 * 7)
    assert told == [pytest.approx(40)]
    one.heard(10)  # a sampler that asks twice in a step
    one.step(SimpleNamespace(done=1, total=4))
    assert one.asked == 2
    assert one.share == pytest.approx(20 / 80 / 2)
    one.step(SimpleNamespace(done=2, total=4))
    assert one.asked == 2
    one.heard(1000)
    assert one.share == 0.5
    one.frame()
    assert (one.share, one.ended, one.pixels) == (0.5, 1, 0)
    one.heard(40)
    assert one.share == pytest.approx((1 + 0.5) / 2)
    assert len(told) == 1
    by_steps = Clock(None)
    by_steps.step(SimpleNamespace(done=1, total=4))
    assert by_steps.share == 0.25
    for took, long in ((2.5, False), (2.51, True)):
        heard, began = [], now[0]
        quick = Clock(None, estimated=heard.append)
        now[0] = began + took
        quick.step(SimpleNamespace(done=1, total=4))
        assert bool(heard) == long


def test_bars_are_for_people_and_not_for_files(monkeypatch):
    assert screen(quiet=False).disable  # standard error is no terminal here
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not screen(quiet=False).disable
    assert screen(quiet=True).disable


def test_an_outcome_is_a_line_and_a_record():
    note = {"model": "tiny", "seed": "7", "steps": "3"}
    one = Outcome("a.png", [Path("o.png"), Path("p.png")], (40, 30), 1, 1.23456, "the default", note)
    assert one.line() == "o.png and 1 more: 40x30, 1.2 s, tiny (the default)"
    assert one.record() == {
        "input": "a.png",
        "output": ["o.png", "p.png"],
        "size": [40, 30],
        "seed": 7,
        "settings": {"model": "tiny", "steps": "3"},
        "seconds": 1.235,
        "error": None,
    }
    moving = Outcome("a.gif", [PIPE], (4, 3), 2, 100.0, "why\n")
    assert moving.line() == "standard output: 4x3 in 2 frames, 2 min, why?"
    left = Outcome("a.png", left="already there").record()
    assert (left["left"], left["seed"], left["size"]) == ("already there", None, None)
    assert Outcome("a.png", [Path("o.png")], why="w").line() == "o.png: 0.0 s, w"


def test_outcomes_are_counted_and_told_where_they_are_wanted(tmp_path, capsys):
    lines: list[str] = []
    manifest = tmp_path / "deep" / "m.jsonl"
    tell = Teller(lines.append, as_json=True, manifest=manifest)
    outcomes = [
        Outcome("a", [Path("é.png")], why="w"),
        Outcome("b", left="there"),
        Outcome("c", error="bad"),
    ]
    for one in outcomes:
        tell(one)
    assert (tell.made, tell.left, tell.failures) == (1, 1, [("c", "bad")])
    assert lines == ["é.png: 0.0 s, w"]
    written = manifest.read_text("ascii")
    assert [json.loads(line) for line in written.splitlines()] == [o.record() for o in outcomes]
    assert capsys.readouterr().out == written
    silent = Teller(None, as_json=False, manifest=None)
    silent(outcomes[0])
    assert silent.made == 1
    assert capsys.readouterr().out == ""


def test_failures_name_their_picture_once(tmp_path, capsys):
    say([("a.png", "a.png is bad"), ("b.png", "it is bad"), ("c\n.png", "x")])
    assert capsys.readouterr().err == "sr3: a.png is bad\nsr3: b.png: it is bad\nsr3: c?.png: x\n"
    here = tmp_path / "here.png"
    here.touch()
    refuse_absent([here, tmp_path / "gone.png"])
    assert capsys.readouterr().err.startswith(f"sr3: {tmp_path / 'gone.png'}: does not exist; ")
    refuse_absent([])
    with pytest.raises(typer.Exit) as end:
        refuse_absent([tmp_path / "gone.png"])
    assert end.value.exit_code == 3


def test_pipes_stand_in_for_files(tmp_path, monkeypatch):
    with at_hand(tmp_path / "a.png") as whole:
        assert whole == tmp_path / "a.png"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"picture")))
    with at_hand(PIPE) as whole:
        assert whole.read_bytes() == b"picture"
    assert not whole.exists()

    def spoilt():
        with at_hand(PIPE) as whole:
            raise PictureError(f"{whole} is bad")

    with pytest.raises(PictureError, match="^standard input is bad$"):
        spoilt()
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    for suffix, wanted in ((None, ".png"), (".jpg", ".jpg")):
        with to_hand(PIPE, suffix) as whole:
            assert whole.suffix == wanted
            whole.write_bytes(wanted.encode())
    assert out.getvalue() == b".png.jpg"
    with to_hand(tmp_path / "new" / "o.png") as whole:
        assert whole == tmp_path / "new" / "o.png"
    assert (tmp_path / "new").is_dir()


def test_a_trace_follows_one_picture():
    check_trace(None, 9, "1/2")
    check_trace(Path("t.GIF"))
    for trace, count, shard in (("t.png", 1, None), ("t.gif", 0, None), ("t.gif", 2, None), ("t.gif", 1, "1/2")):
        with pytest.raises(ConfigError, match="--trace"):
            check_trace(Path(trace), count, shard)


def test_parts_are_all_of_them_and_each_once():
    jobs = [SimpleNamespace(key=f"p{k}.png") for k in range(40)]
    assert share(jobs, None) is jobs
    assert share(jobs, "1/1") == jobs
    parts = [share(jobs, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(job.key for part in parts for job in part) == sorted(job.key for job in jobs)
    assert [job.key for job in parts[0]] == [j.key for j in jobs if zlib.crc32(j.key.encode()) % 3 == 0]
    for wrong in ("0/3", "4/3", "1", "1/", "/2", "a/2", "1/1000000", "-1/2"):
        with pytest.raises(ConfigError, match="write K/N"):
            share(jobs, wrong)


def test_a_study_asks_both_where_there_is_something_to_show():
    assert _tasks(None, True) == _tasks(["both"], False) == ("shown", "hidden")
    assert _tasks(None, False) == _tasks(["hidden"], True) == ("hidden",)
    with pytest.raises(ConfigError, match="did you mean shown"):
        _tasks(["show"], True)


def test_an_evaluation_is_a_table_of_methods():
    rows = [
        {"method": "bicubic", "psnr": 24.414, "ssim": 0.7, "interval": {"psnr": [24.3, 24.54]}},
        {"method": "sr3", "psnr": float("nan"), "ssim": None, "calibration": 0.95},
    ]
    text = table(SimpleNamespace(protocol={"data": "held", "notes": ["one", "two"]}, rows=rows))
    assert text.splitlines()[:2] == ["data: held", ""]
    lines = {line.split("  ")[0]: line for line in text.splitlines()[2:]}
    assert lines["PSNR"] == f"{'PSNR':16}   24.41 ±0.12      -"
    assert text.splitlines()[2] == f"{'':16}       bicubic    sr3"
    assert lines["SSIM"].split() == ["SSIM", "0.7000", "-"]
    assert lines["calibration"].split() == ["calibration", "-", "0.950"]
    assert "LPIPS" not in lines
    assert text.endswith("\n\nnote: one\nnote: two")
    plain = table(SimpleNamespace(protocol={}, rows=[{"method": "made", "fid": 3.0}]))
    assert [line.split()[0] for line in plain.splitlines() if line] == ["made", "FID"]


def test_a_comparison_is_a_table_of_pairs():
    pair = SimpleNamespace(
        measure="psnr", a=24.0, b=24.5, difference=0.5, low=0.4, high=0.61234, p=0.01234, says="B", pictures=7
    )
    none = SimpleNamespace(
        measure="ssim", a=0.7, b=0.7, difference=0.0, low=None, high=1.0, p=None, says="", pictures=8
    )
    whole = SimpleNamespace(measure="swd", a=1.0, a_interval=(0.5, 1.5), b=2.0, b_interval=None, says="A")
    found = SimpleNamespace(
        settings={"sampler": ({"kind": "ddim", "eta": 1.0}, None), "steps": (4, 8)},
        pictures=8,
        paired=[pair, none],
        whole=[whole],
        notes=["careful"],
    )
    lines = compared(found).splitlines()
    assert lines[:3] == ["sampler: ddim, eta 1.0 -> -", "steps: 4 -> 8", "pictures in both: 8"]
    assert lines[5].split("  ")[0] == "PSNR"
    assert lines[5].split()[1:] == ["24.00", "24.50", "+0.5", "+0.4", "…", "+0.612", "0.0123", "B", "(7", "pictures)"]
    assert lines[6].split() == ["SSIM", "0.7000", "0.7000", "+0", "-", "-"]
    assert lines[9].split() == ["SWD", "1.00", "0.50", "…", "1.50", "2.00", "-", "A"]
    assert lines[-2:] == ["", "note: careful"]


def test_the_bounds_of_a_server_are_those_asked_for(sr3, monkeypatch):
    """In megabytes, megapixels, seconds, hours and gigabytes."""
    pytest.importorskip("starlette", reason="needs the extra 'web'")
    found = []
    monkeypatch.setattr("sr3.web.queue.Queue", lambda folder, catalogue, benches, limits: found.append(limits) or 1 / 0)
    told = {"upload": 3, "pixels": 2.5, "made": 1.5, "queue": 7, "seconds": 11, "hours": 0.5, "disk": 4, "memory": 0.7}
    with pytest.raises(ZeroDivisionError):
        sr3("web", "--no-open", *(f"--{name}={value}" for name, value in told.items()))
    assert vars(found[0]) == {
        "upload": 3_000_000,
        "pixels": 2_500_000,
        "made": 1_500_000,
        "queue": 7,
        "seconds": 11,
        "hours": 0.5,
        "disk": 4_000_000_000,
        "memory": 700_000_000,
    }
