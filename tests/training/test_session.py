"""`sr3 train` as a person uses it: in time, in parts, with a curve; said what it does and how far it is."""

import csv
import errno
import json
import signal
import sys
import time
from datetime import timedelta
from types import SimpleNamespace

import psutil
import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.cli.train import _recipe
from sr3.files import held_alone
from sr3.metric.lite import installed
from sr3.model import recipe as recipes
from sr3.model.checkpoint import read_tensors
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.training import board, curve, plot, state, train
from sr3.training.machine import Profile
from sr3.training.train import make_accelerator

SMALL = [
    "training.batch=4",
    "training.crop=32",
    "training.warmup=8",
    "training.precision=fp32",
    "training.report_every=4",
    "training.decay=constant",
    "model.network.widths=[8,16]",
    "model.network.blocks=[1,1]",
    "model.network.embedding=16",
    "model.sampling.steps=1",
]


@pytest.fixture
def go(sr3, folder):
    """Train so many pictures from the command line: (exit code, what was said)."""

    def run(out, pictures, *more, name="photo-4x-regression"):
        settings = [f"--set={s}" for s in (*SMALL, f"training.pictures={pictures}")]
        code, out_said, err = sr3("train", name, "--data", folder, "--out", out, "--device", "cpu", *settings, *more)
        return code, out_said + err

    return run


@pytest.fixture
def val(tmp_path):
    where = tmp_path / "val"
    where.mkdir()
    for k in range(3):
        noise_picture(48, 48, seed=10 + k).save(where / f"{k}.png")
    return where


def rows(out):
    with (out / "log.csv").open() as log:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(log)]


def test_parts_are_models_and_the_curve_is_measured(go, val, tmp_path):
    out = tmp_path / "out"
    code, said = go(out, 16, "--part-minutes", 0, "--val", val, "--val-pictures", 2)
    assert code == 0, said
    parts = sorted(out.glob("part-*.safetensors"))
    assert [p.name for p in parts] == ["part-0001.safetensors", "part-0002.safetensors", "part-0003.safetensors"]
    assert [Model.from_file(p).about["pictures_seen"] for p in parts] == [4, 8, 12]
    last = Model.from_file(out / "model.safetensors")
    points = curve.read(out / "curve.csv")
    assert [p["pictures"] for p in points] == [0, 4, 8, 12, 16]
    assert last.about["curve"] == points
    assert last.about["data"] == ["pictures"]
    assert {"psnr", "swd", "consistency", "consistency_free"} <= points[0]["measures"].keys()
    # projected results agree with what was given but for their rounding
    assert points[0]["measures"]["consistency"] < 1
    panels = [name for name in plot.SHOWN if name in points[0]["measures"]]
    assert panels == ["psnr", "swd", "consistency_free", *(["feature"] if installed() else [])]
    assert (out / "curve.svg").read_text().count("<circle") == len(panels) * 4
    assert "estimate for 160" in said
    assert [row["seen"] for row in rows(out)] == [4, 8, 12, 16]
    for row in rows(out):
        assert row["flops"] > 1e6
        assert 0 < row["share_of_peak"] < 2
    assert list((out / "samples").glob("*.png"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "board")).Reload()
    assert [e.value for e in events.Scalars("held-out/psnr")] == pytest.approx([p["measures"]["psnr"] for p in points])
    assert [e.step for e in events.Scalars("loss")] == [4, 8, 12, 16]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([row["loss"] for row in rows(out)])
    assert len(events.Images("given, average, raw, original")) == 1


def test_a_run_that_was_killed_tells_nothing_twice(go, val, tmp_path):
    out = tmp_path / "out"
    more = ["--val", val, "--part-minutes", 0]
    go(out, 8, *more)
    lines = (out / "log.csv").read_text()
    (out / "log.csv").write_text(lines + lines.splitlines()[-1].replace("8,", "12,", 1) + "\n")
    points = curve.read(out / "curve.csv")
    curve.write(out / "curve.csv", [*points, {**points[-1], "pictures": 12, "seen": 12}])
    code, said = go(out, 16, *more)
    assert code == 0
    assert "going on after 8 pictures" in said
    assert [row["seen"] for row in rows(out)] == [4, 8, 12, 16]
    assert [p["seen"] for p in curve.read(out / "curve.csv")] == [0, 4, 8, 12, 16]


@pytest.mark.alone
def test_the_time_limit_holds(go, tmp_path):
    go(tmp_path / "first", 4)  # what is imported takes time too
    began = time.monotonic()
    # the minutes are counted from the beginning of the process
    minutes = (time.time() - psutil.Process().create_time() + 2) / 60
    code, said = go(tmp_path / "out", 10**9, "--minutes", minutes)
    assert code == 0, said
    assert time.monotonic() - began < 4
    seen = int(read_tensors(tmp_path / "out" / "state.safetensors")[1]["seen"])
    assert 0 < seen < 10**9
    assert f"is of {seen:,} of 1,000,000,000 pictures; the same command goes on" in said
    assert "fit into the minutes" in said
    assert Model.from_file(tmp_path / "out" / "model.safetensors").about["pictures_seen"] == seen


def test_ctrl_c_says_how_far_it_is(go, tmp_path, monkeypatch):
    add, before = board.Board.add, signal.signal(signal.SIGINT, signal.default_int_handler)

    def pressed(self, report):
        add(self, report)
        if report.seen == 8:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(board.Board, "add", pressed)
    try:
        code, said = go(tmp_path / "parts", 4000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "8 of 4,000 pictures seen; the same command goes on" in " ".join(said.split())
    monkeypatch.undo()
    assert read_tensors(tmp_path / "parts" / "state.safetensors")[1]["seen"] == "8"


def test_begin_raises_the_rate_slowly(go, tmp_path):
    assert go(tmp_path / "begin", 4)[0] == 0
    weights = str(tmp_path / "begin" / "model.safetensors")
    longer = recipes.load("photo-4x-regression").training.warmup
    out = tmp_path / "out"
    assert _recipe("photo-4x-regression", ["training.batch=4"], weights, out).training.warmup == max(longer, 400)
    assert _recipe("photo-4x-regression", ["training.batch=400"], weights, out).training.warmup == 40_000
    assert _recipe("photo-4x-regression", SMALL, weights, out).training.warmup == 8  # as was asked
    code, said = go(out, 4, "--begin", weights)
    assert code == 0, said
    about = Model.from_file(tmp_path / "out" / "model.safetensors").about
    assert about["begun"] == {"name": "photo-4x-regression", "pictures_seen": 4}
    assert about["pictures_seen"] == 8


def test_what_began_from_weights_goes_on_without_naming_them(sr3, folder, tmp_path):
    """Its warm-up was made longer for them."""
    small = [s for s in SMALL if "warmup" not in s] + ["training.batch=16"]
    settings = [f"--set={s}" for s in (*small, "training.pictures=32")]
    line = ["train", "photo-4x-regression", "--data", folder, "--device", "cpu", *settings]
    assert sr3(*line, "--out", tmp_path / "first")[0] == 0
    begin = ["--begin", tmp_path / "first" / "model.safetensors", "--set", "training.pictures=16"]
    out = tmp_path / "out"
    assert sr3(*line, *begin, "--out", out)[0] == 0
    before = json.loads(read_tensors(out / "state.safetensors")[1]["recipe"])["training"]["warmup"]
    assert before == 1600 > recipes.load("photo-4x-regression").training.warmup
    code, _, err = sr3(*line, "--out", out)
    assert code == 0, err
    assert read_tensors(out / "state.safetensors")[1]["seen"] == "32"
    code, _, err = sr3(*line, "--out", out, "--set", "training.warmup=8")
    assert (code, "training.warmup was 1600 and is 8" in " ".join(err.split())) == (2, True)


def test_profile_names_the_operations(go, tmp_path, monkeypatch):
    assert (Profile.STEPS.start, Profile.STEPS.stop) == (5, 25)
    monkeypatch.setattr(Profile, "STEPS", range(1, 3))
    code, said = go(tmp_path, 16, "--profile")
    assert code == 0
    assert "aten::" in said
    assert "aten::" in (tmp_path / "profile.txt").read_text()
    assert (tmp_path / "trace.json.gz").exists()


def test_val_needs_something_to_compare(go, val, tmp_path):
    code, said = go(tmp_path / "out", 4, "--val", val, "--set=model.task.size=32", name="face-16")
    assert code == 2
    assert "leave --val out" in said


def test_trackers_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match="nonsense"):
        make_accelerator("cpu", trackers=["nonsense"], folder=tmp_path)
    with pytest.raises(ConfigError, match="the tracker wandb needs its package"):
        make_accelerator("cpu", trackers=["tensorboard", "wandb"], folder=tmp_path)


def test_sampling_and_measuring_do_not_change_the_run(go, val, tmp_path):
    """Nothing of what a run shows has a part in what it learns."""
    go(tmp_path / "plain", 12, "--set=training.sample_every=1000")
    more = ["--set=training.sample_every=4", "--val", val, "--part-minutes", 0, "--minutes", 1000]
    go(tmp_path / "shown", 12, *more)
    one, two = (read_tensors(tmp_path / where / "state.safetensors")[0] for where in ("plain", "shown"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert json.loads(read_tensors(tmp_path / "shown" / "state.safetensors")[1]["parts"]) == 2


SCORES = [
    "model.task={kind='generation',size=32}",
    "model.prediction={kind='score'}",
    "model.tell='logsnr'",
    "model.schedule={kind='cosine'}",
    "training.crop=32",
]


@pytest.mark.parametrize("objective", ["{kind='implicit-score',trace='hutchinson'}", "{kind='sliced-score'}"])
def test_what_is_differentiated_twice_is_trained_by_the_command_too(go, tmp_path, objective):
    settings = [f"--set={s}" for s in (*SCORES, f"training.objective={objective}")]
    code, said = go(tmp_path / "run", 8, *settings, name="ddpm-32-small")
    assert code == 0, said
    assert " GFLOP a picture" in said


def test_pictures_that_are_learnt_from_and_measured_are_named(go, val, folder, tmp_path):
    assert "learnt from" not in go(tmp_path / "apart", 4, "--val", val)[1]
    (val / "1.png").write_bytes((folder / "a.png").read_bytes())
    code, said = go(tmp_path / "out", 4, "--val", val)
    assert code == 0, said
    said = " ".join(said.split())
    assert "1 of the 3 pictures of --val are learnt from too, 1.png as a.png" in said


def test_another_val_begins_another_curve(go, val, tmp_path):
    out, keep = tmp_path / "out", "--set=training.keep=psnr"
    more = ["--part-minutes", 0, keep]
    assert go(out, 8, "--val", val, *more)[0] == 0
    before = (out / "curve.csv").read_text()
    assert "begins anew" not in go(out, 12, "--val", val, *more)[1]
    (val / "0.png").unlink()
    code, said = go(out, 16, "--val", val, *more)
    assert code == 0, said
    assert "the curve begins anew" in " ".join(said.split())
    (aside,) = out.glob("curve-*.csv")
    assert aside.read_text().startswith(before)
    assert [p["seen"] for p in curve.read(out / "curve.csv")] == [12, 16]
    assert len(list(out.glob("best-*.safetensors"))) <= 1
    # and that one is now the curve's
    assert "begins anew" not in go(out, 20, "--val", val, *more)[1]
    assert [p["seen"] for p in curve.read(out / "curve.csv")] == [12, 16, 20]


def test_the_best_weights_are_written_before_the_curve_says_so(go, val, tmp_path, monkeypatch):
    """A run that ended between the two would else go on to call older weights the best."""

    def full(path, points):
        raise OSError(errno.ENOSPC, "no space left", str(path))

    monkeypatch.setattr(curve, "write", full)
    out = tmp_path / "out"
    assert go(out, 8, "--val", val, "--part-minutes", 0, "--set=training.keep=psnr")[0] == 1
    assert Model.from_file(out / "best.safetensors", weights=False).about["pictures_seen"] == 0  # before the first step
    assert not (out / "curve.csv").exists()


def test_a_stage_is_done_when_its_run_is_whatever_weights_are_kept(go, val, tmp_path):
    out = tmp_path / "out"
    assert state.seen(out) == 0
    go(out, 8, "--val", val, "--part-minutes", 0, "--set=training.keep=psnr")
    assert state.seen(out) == 8


def test_who_waits_for_a_measurement_waits_a_day(monkeypatch):
    """Half an hour is the usual end of a group's patience, and held-out pictures on a CPU may take longer."""
    asked = {}

    def made(**options):
        asked.update(options)
        return SimpleNamespace(log_with=[], device=torch.device("cpu"))

    monkeypatch.setattr(train, "Accelerator", made)
    make_accelerator("cpu")
    (patient,) = asked["kwargs_handlers"]
    assert patient.to_kwargs()["timeout"] == timedelta(days=1)


def test_a_picture_that_comes_back_as_it_was_hides_no_other(go, val, tmp_path):
    Image.new("RGB", (48, 48), "white").save(val / "page.png")
    out = tmp_path / "out"
    code, said = go(out, 8, "--part-minutes", 0, "--val", val, "--set=training.keep=psnr")
    assert code == 0, said
    measured = [point["measures"]["psnr"] for point in curve.read(out / "curve.csv")]
    assert max(measured) < 100
    assert len(set(measured)) == 3
    points = [{"seen": k, "measures": {"psnr": value}} for k, value in enumerate((float("inf"), 30.0, 31.0, 30.5))]
    assert board.Board.best.fget(SimpleNamespace(points=points))["seen"] == 2


def test_the_best_are_those_that_the_curve_names(go, val, tmp_path):
    """And not others, which were the best while nobody wrote them down."""
    out, more = tmp_path / "out", ["--part-minutes", 0, "--val", val]
    go(out, 8, *more, "--set=training.keep=psnr")
    (out / "best.safetensors").write_bytes((out / "part-0001.safetensors").read_bytes())
    points = curve.read(out / "curve.csv")
    points[0]["measures"]["psnr"] = 90.0  # of the weights after no pictures, which are not those of the file
    curve.write(out / "curve.csv", points)
    code, said = go(out, 8, *more, "--set=training.keep=psnr")
    assert code == 0
    assert "those that measured best were not written" in " ".join(said.split())


@pytest.mark.parametrize("end", ["16,0.1,0.2", "\0" * 40, "x" * 9, ",".join(["1"] * 11)])
def test_a_line_that_was_not_written_whole_is_none(go, tmp_path, end):
    go(tmp_path / "out", 8)
    log = tmp_path / "out" / "log.csv"
    log.write_bytes(log.read_bytes() + end.encode())
    code, said = go(tmp_path / "out", 12)
    assert code == 0, said
    assert [row["seen"] for row in rows(tmp_path / "out")] == [4, 8, 12]


def test_measuring_takes_no_more_than_its_part_of_the_minutes(go, val, tmp_path, monkeypatch):
    real, asked = curve.measure, []

    def slow(restorer, pictures):
        asked.append(len(pictures))
        time.sleep(0.5 * len(pictures))
        return real(restorer, pictures)

    monkeypatch.setattr(curve, "measure", slow)
    age = time.time() - psutil.Process().create_time()
    code, said = go(tmp_path / "out", 8, "--val", val, "--minutes", (age + 3) / 60)
    assert code == 0, said
    assert asked == [1, 1]
    assert "--val is not measured in these minutes: that takes about" in " ".join(said.split())
    # as long as it took before is known where a run goes on
    asked.clear()
    assert go(tmp_path / "other", 4, "--val", val, "--part-minutes", 0)[0] == 0
    assert asked == [3, 3]
    points = curve.read(tmp_path / "other" / "curve.csv")
    assert points[-1]["seconds"] > 1.5
    age = time.time() - psutil.Process().create_time()
    code, said = go(tmp_path / "other", 8, "--val", val, "--minutes", (age + 3) / 60)
    assert code == 0, said
    assert asked == [3, 3]


def test_a_folder_is_trained_in_by_one(go, tmp_path):
    (tmp_path / "out").mkdir()
    with held_alone(tmp_path / "out") as alone:
        assert alone
        code, said = go(tmp_path / "out", 4)
    assert (code, "another process is training in" in said) == (2, sys.platform != "win32")
    assert go(tmp_path / "out", 4)[0] == 0


def test_a_device_that_is_not_there_is_refused(go, tmp_path):
    code, said = go(tmp_path / "out", 4, "--device", "cuda:99")
    assert code == 2
    assert "the device 'cuda:99' cannot be used on this machine" in " ".join(said.split())


def test_as_small_as_can_be_is_left_out_and_not_refused(go, folder, tmp_path):
    noise_picture(40, 15, seed=3).save(folder / "small.png")
    noise_picture(40, 16, seed=4).save(folder / "just.png")
    code, said = go(tmp_path / "out", 4, "--set=training.zoom=[0.47,1]")  # half of the crop, in sixteenths
    assert code == 0, said
    assert "small.png" in said
    assert "just.png" not in said


def test_a_run_in_the_folder_of_its_pictures_goes_on(sr3, folder):
    """And neither it nor another is taught its samples."""
    settings = [f"--set={s}" for s in (*SMALL, "training.sample_every=4")]
    for name, pictures, seen in (("runs/a", 4, 4), ("runs/a", 8, 8), ("runs/b", 4, 4)):
        line = ["train", "photo-4x-regression", "--data", folder, "--out", folder / name, "--device", "cpu", *settings]
        code, _, err = sr3(*line, f"--set=training.pictures={pictures}")
        assert code == 0, err
        assert err.startswith("3 pictures")
        assert read_tensors(folder / name / "state.safetensors")[1]["seen"] == str(seen)
    assert list((folder / "runs" / "a" / "samples").iterdir())
