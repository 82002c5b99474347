"""What `sr3 upscale` reads and writes: nothing is overwritten or made twice, whatever the files are called."""

import io
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_picture, spent
from PIL import Image

from sr3.cli.jobs import PIPE, Job, absent, check, check_room, plan
from sr3.cli.names import Naming
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture import memory
from sr3.picture.image import PictureError, read_note
from sr3.restore import usual
from sr3.restore.restorer import Restorer


@pytest.fixture
def model(tiny, tmp_path):
    return tiny.save_pretrained(tmp_path / "model")


@pytest.fixture
def up(sr3, model):
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 1, *arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def here(tmp_path, monkeypatch):
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("out-1.png", "a.png", "p.gif"):
        noise_picture(6, 5).save(name)
    return place


@pytest.mark.parametrize(
    "line",
    [
        "out-1.png -o out.png --samples 2",
        "a.png out-1.png -o . --samples 1",
        "p.gif --trace p.gif",
        "p.gif --trace ./../here/p.gif",
        "a.png --trace link.gif",
        "a.png -o hard.png",
        "a.png -o out.png --samples 2",
        ". -o .",
        "../here -o ../here",
        "a.png -o a-4x-1.png/b.png",
        "a.png -o t.png --trace t.png",
    ],
)
def test_what_is_read_is_never_overwritten(up, here, line):
    (here / "link.gif").symlink_to("p.gif")
    os.link("a.png", "hard.png")
    Path("a-4x-1.png").touch()
    before = contents(here)
    for more in ([], ["--force"]):
        if line.startswith("a.png -o out.png") and more:
            continue  # it is no input then
        if "link.gif" in line and more:
            continue
        code, _, err = up(*line.split(), *more)
        assert code == 2, err
        assert len(err.splitlines()) == 1
        assert contents(here) == before


def test_what_is_there_stays_without_force(up, here):
    assert up("a.png")[0] == 0
    first = Path("a-4x.png").read_bytes()
    code, _, err = up("a.png", "--seed", 1)
    assert code == 2
    assert "a-4x.png is there already" in err
    assert Path("a-4x.png").read_bytes() == first
    assert up("a.png", "--seed", 1, "--force")[0] == 0
    assert Path("a-4x.png").read_bytes() != first
    assert up("a.png", "-o", "new.png", "--trace", "new.gif", "--skip-existing")[0] == 0
    code, _, err = up("a.png", "-o", "other.png", "--trace", "new.gif", "--skip-existing")
    assert code == 2
    assert "new.gif is there already" in err


def test_skipping_goes_by_what_made_the_result(up, here):
    def stamps() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in here.glob("out*")}

    line = ["a.png", "-o", "out.png", "--samples", 2, "--skip-existing"]
    Path("out-1.png").unlink()
    assert up(*line)[0] == 0
    assert len(stamps()) == 4
    before = stamps()
    assert up(*line)[0] == 0
    assert stamps() == before
    Path("out-spread.png").unlink()
    assert up(*line)[0] == 0
    assert stamps().keys() == before.keys()
    for change in (["--seed", 5], ["--scale", 2], ["--steps", 2], ["--free"]):
        before = stamps()
        assert up(*line, *change)[0] == 0
        assert all(stamps()[name] != before[name] for name in before), change
    noise_picture(3, 3).save("out-mean.png")
    before = contents(here)
    code, _, err = up(*line)
    assert code == 3
    assert "no result of sr3" in err
    assert contents(here) == before


def test_its_own_results_are_not_enlarged(up, here):
    for folder in ("a", "b"):
        Path(folder).mkdir()
        assert up("a.png", "-o", f"{folder}/made.png")[0] == 0
    noise_picture(6, 5, seed=1).save("b/other.jpg")
    code, _, err = up("b")
    assert code == 0
    assert "1 done, 0 failed, 1 left" in err
    assert sorted(contents(here / "b-4x")) == ["other.jpg"]
    code, _, err = up("a/made.png")
    assert code == 2
    assert "--force" in err
    assert up("a/made.png", "--force")[0] == 0


def names(jobs: list[Job]) -> list[str]:
    return [job.target.as_posix() for job in jobs]


def test_each_result_has_a_name_of_its_own(here):
    for name in (
        "p",
        "p.bmp",
        "p.jpg",
        "p.webp",
        "x/deep/photo.jpg",
        "y/photo.jpg",
        "y/PHOTO.jpg",
        ".png",
        "no suffix",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        noise_picture(6, 5).save(name, "PNG")
    found, failures = plan([Path(n) for n in ("p.gif", "p.bmp", "p.jpg", ".png", "no suffix")], None, Naming("4x"))
    assert names(found) == ["p-gif-4x.png", "p-bmp-4x.png", "p-4x.jpg", ".png-4x.png", "no suffix-4x.png"]
    assert not failures
    inputs = [Path("x/deep/photo.jpg"), Path("y/photo.jpg"), Path("y/PHOTO.jpg"), Path("p.jpg")]
    found, _ = plan(inputs, Path("out"), Naming("4x"))
    expected = ["out/deep-photo.jpg", "out/y-photo.jpg", "out/y-PHOTO-2.jpg", "out/p.jpg"]
    assert names(found) == expected
    assert sorted(names(plan([*inputs[:2][::-1], *inputs[2:]], Path("out"), Naming("4x")).jobs)) == sorted(expected)
    # of one folder, whose name would tell nothing
    alike, _ = plan([Path("p.jpg"), Path("p.webp"), Path("y/photo.jpg")], Path("out"), Naming("4x", format="png"))
    assert names(alike) == ["out/p-jpg.png", "out/p-webp.png", "out/photo.png"]
    named = Naming("4x", format="png", pattern="big-{stem}")
    alike, _ = plan([Path("p.jpg"), Path("p"), Path("p.webp")], Path("out"), named)
    assert names(alike) == ["out/big-p-jpg.png", "out/big-p-none.png", "out/big-p-webp.png"]
    assert len(plan([Path("p.jpg"), Path("../here/p.jpg")], None, Naming("4x")).jobs) == 1
    assert names(plan([Path("y/../x")], None, Naming("4x")).jobs) == ["y/../x-4x/deep/photo.jpg"]
    os.chdir("x")
    assert names(plan([Path(".")], None, Naming("2x")).jobs) == [(here / "x-2x/deep/photo.jpg").as_posix()]
    with pytest.raises(ConfigError, match="would overwrite"):
        plan([Path("../x")], Path("."), Naming("4x"))


def test_ten_thousand_names_take_little(tmp_path):
    """All are known before any work, as two results may not have one name: in a second or two and some megabytes, and
    no longer for each where there are more."""

    def planned(root: Path) -> list[Job]:
        jobs, failures = plan([root], None, Naming("4x"))
        check(jobs, samples=1, trace=None, force=False, skip_existing=True)
        assert not failures
        return jobs

    def calls(root: Path) -> int:
        """How many functions are called: unlike seconds, the same on a busy machine."""
        count = itertools.count()
        sys.setprofile(lambda *_: next(count))
        try:
            planned(root)
        finally:
            sys.setprofile(None)
        return next(count)

    for first in range(16):
        folder = tmp_path / "in" / f"{first % 4}" / f"{first // 4}"
        folder.mkdir(parents=True)
        for k in range(first, 10_000, 16):
            (folder / f"{k}.jpg").touch()
    began = time.process_time()
    jobs = planned(tmp_path / "in")
    assert time.process_time() - began < 4.0  # 0.7 s where nothing else runs
    assert len({job.target for job in jobs}) == 10_000
    # four times as many, and not sixteen
    assert calls(tmp_path / "in" / "0") < 4.5 * calls(tmp_path / "in" / "0" / "0")
    del jobs

    def held(root: Path) -> int:
        tracemalloc.start()
        try:
            planned(root)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # a quarter, as they are slow when they are watched; twice, as Python's own table of names may grow meanwhile
    assert min(held(tmp_path / "in" / "0") for _ in range(2)) < 20e6 / 4


def test_a_misspelt_name_is_refused_before_anything_is_loaded(here):
    command = [sys.executable, "-X", "importtime", "-m", "sr3", "upscale", "b.png", "zzz"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 3
    said = [line for line in told.stderr.splitlines() if not line.startswith("import time:")]
    assert said == ["sr3: b.png: does not exist; did you mean a.png?", "sr3: zzz: does not exist; check its name"]
    assert not {"torch", "numpy", "pyvips"} & {line.split("|")[-1].strip() for line in told.stderr.splitlines()}
    assert absent(Path("x" * 5000)) is not None
    assert absent(PIPE) is None


def test_a_misspelt_name_is_refused_at_once(here):
    assert 0 < spent("upscale", "b.png") < 0.5


def test_some_failed_is_1_and_all_failed_3(up, here):
    Path("bad.png").write_bytes(b"no")
    code, _, err = up("bad.png", "a.png", "missing.png", "-o", "out")
    assert code == 1
    assert "1 done, 2 failed" in err
    assert up("bad.png", "-o", "out")[0] == 3


def test_a_misspelt_name_among_others_is_said_first_and_once(up, here):
    code, _, err = up("a.png", "b.png", "-o", "out")
    assert code == 1
    first, *more = err.splitlines()
    assert first == "sr3: b.png: does not exist; did you mean a.png?"
    assert "out" in more[0]
    assert "b.png" not in "".join(more)


def test_a_pipe_in_and_a_pipe_out(model, here, sr3):
    command = [sys.executable, "-m", "sr3", "upscale", "-", "--model", model, "--steps", "1"]
    given = Path("a.png").read_bytes()
    made = subprocess.run(command, input=given, stdout=subprocess.PIPE, timeout=120, check=True).stdout
    assert sr3("upscale", "a.png", *command[5:], "-o", "file.png")[0] == 0
    with Image.open(io.BytesIO(made)) as piped, Image.open("file.png") as file:
        assert np.array_equal(np.asarray(piped), np.asarray(file))
    assert sorted(p.name for p in here.iterdir()) == ["a.png", "file.png", "out-1.png", "p.gif"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are text")
def test_names_that_are_no_text_and_unreadable_folders_stop_nothing(up, here, monkeypatch):
    odd = Path(os.fsdecode(b"folder/n\xff[b].png"))
    Path("folder/locked").mkdir(parents=True)
    noise_picture(6, 5).save(io.BytesIO(), "PNG")
    odd.write_bytes(Path("a.png").read_bytes())
    Path("folder/z.png").write_bytes(Path("a.png").read_bytes())
    Path(os.fsdecode(b"folder/bad\xfe.png")).write_bytes(b"no")
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    code, _, err = up("folder", "-o", "out")
    assert code == 1
    assert "2 done, 2 failed" in err
    assert "locked" in err
    assert sorted(os.listdir(b"out")) == [b"n\xff[b].png", b"z.png"]


def test_what_has_no_place_is_refused_before_the_work(up, here, monkeypatch):
    monkeypatch.setattr(Restorer, "stream", lambda *_, **__: pytest.fail("it began to work"))
    for line, says in (
        ("a.png -o - --samples 2", "2 samples, their mean and their spread do not go into one pipe; give a file by -o"),
        ("- --samples 2", "one pipe"),
        ("a.png -o b.png --trace out-1.png/t.gif", "nothing can be written into out-1.png; give another --trace"),
    ):
        code, out, err = up(*line.split())
        assert (code, out) == (2, ""), err
        assert says in err


def test_an_empty_folder_among_several_is_one_failure(up, here):
    Path("empty").mkdir()
    code, _, err = up("empty", "a.png", "-o", "out")
    assert code == 1
    assert "sr3: empty: there is no picture in this folder" in err
    assert sorted(contents(here / "out")) == ["a.png"]
    assert up("empty")[0] == 2


def test_what_is_piped_is_called_standard_input(up, here, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 24 * 20 * 95 - 1)
    for brought, says in ((b"no", "is not a picture"), (Path("a.png").read_bytes(), "would become 24x20, which")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(brought)))
        code, _, err = up("-", "-o", "b.png")
        assert code == 3
        assert err.lstrip().startswith(f"sr3: standard input {says}")
        assert ".sr3-" not in err


def test_what_goes_through_pipes_is_as_in_files(up, here, monkeypatch):
    def piped(path, *more):
        out = io.TextIOWrapper(io.BytesIO())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(path).read_bytes())))
            patch.setattr(sys, "stdout", out)
            code, _, err = up("-", "-o", "-", *more)
        return code, out.buffer.getvalue(), err

    deep = [Image.fromarray(np.full((6, 5), 257 * k + 1, np.uint16)) for k in (50, 90)]
    deep[0].save("deep.tif", save_all=True, append_images=deep[1:])
    code, made, err = piped("deep.tif", "--format", "tif")
    assert code == 0, err
    with Image.open(io.BytesIO(made)) as pages:
        assert (pages.n_frames, pages.mode) == (2, "I;16")
    code, made, err = piped("deep.tif", "--format", "jpg")
    assert (code, made) == (3, b"")
    assert "standard input has 2 frames and a .jpg file holds one" in err
    assert up("a.png", "-o", "b.png")[0] == 0
    code, made, err = piped("b.png")
    assert (code, made) == (2, b"")
    assert "standard input is a result of sr3 upscale; give --force" in err


def test_each_more_sample_takes_memory_of_its_own(here, monkeypatch):
    for samples, needs in ((1, 95), (2, 107), (5, 143)):
        monkeypatch.setattr(memory, "available", lambda: 20 * 30 * needs)  # noqa: B023
        check_room(Job(Path("a.png"), Path("b.png")), (20, 30), samples)
        monkeypatch.setattr(memory, "available", lambda: 20 * 30 * needs - 1)  # noqa: B023
        with pytest.raises(PictureError, match="a.png would become 20x30"):
            check_room(Job(Path("a.png"), Path("b.png")), (20, 30), samples)


def test_another_version_keeps_what_was_made(up, here, monkeypatch):
    assert up("a.png", "-o", "b.png")[0] == 0
    monkeypatch.setattr("sr3.restore.note.__version__", "99")
    before = Path("b.png").stat().st_mtime_ns
    assert up("a.png", "-o", "b.png", "--skip-existing")[0] == 0
    assert Path("b.png").stat().st_mtime_ns == before
    assert up("a.png", "-o", "b.png", "--force")[0] == 0
    assert read_note(Path("b.png"))["software"] == "sr3 99"


def test_what_cannot_be_written_is_refused_before_the_work(up, here, monkeypatch):
    monkeypatch.setattr(Restorer, "stream", lambda *_, **__: pytest.fail("it began to work"))
    code, _, err = up("a.png", "-o", "a.webp", "--size", "20000x9", "--fit", "stretch")
    assert code == 3
    assert "16383" in err
    monkeypatch.setattr(memory, "available", lambda: 24 * 20 * 95 - 1)
    code, _, err = up("a.png", "-o", "b.png")
    assert code == 3
    assert "a.png would become 24x20, which takes" in err
    # the model makes that on the way to less, too
    code, _, err = up("a.png", "-o", "b.png", "--scale", 2)
    assert code == 3
    assert "a.png would first become 24x20, which takes" in err
    monkeypatch.setattr(memory, "available", lambda: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 23))
    code, _, err = up("a.png", "-o", "b.png")
    assert code == 3
    assert "is full" in err


def test_a_model_is_loaded_when_a_file_deserves_it(sr3, tmp_path, monkeypatch):
    assert {Model.from_pretrained(name).task.factor for name in (usual.PLAIN, usual.FAST)} == {usual.FACTOR}
    assert Model.from_pretrained(usual.TWICE).task.factor == 2
    loaded: list[str] = []
    load = Restorer.load
    monkeypatch.setattr(Restorer, "load", lambda name, **how: (loaded.append(name), load(name, **how))[1])
    (tmp_path / "folder").mkdir()
    for name in ("a.jpg", "b.jpg"):
        noise_picture(8, 8).save(tmp_path / "folder" / name)
    assert sr3("upscale", tmp_path / "folder")[0] == 0
    assert sorted(p.name for p in (tmp_path / "folder-4x").iterdir()) == ["a.jpg", "b.jpg"]
    assert loaded == ["photo-4x-fast"]
    code, _, err = sr3("upscale", tmp_path / "folder", "-o", tmp_path / "out", "--device", "abacus")
    assert code == 2
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["upscale a.png", "evaluate --data a.png", "study pairs --make --data a.png"], ids=lambda x: x.split()[0]
)
def test_a_recipe_that_is_not_trained_says_how(sr3, here, line):
    code, _, err = sr3(*line.split(), "--model", "sr3-16-128")
    assert code == 2
    assert "train one with: sr3 train sr3-16-128 --data" in err


def test_what_is_not_refined_is_made_in_one_step(sr3, tmp_path, monkeypatch):
    for name in ("a.jpg", "b.png"):
        noise_picture(24, 16).save(tmp_path / name)
    assert sr3("upscale", tmp_path / "a.jpg", tmp_path / "b.png", "-o", tmp_path / "out")[0] == 0
    found = {p.name: read_note(p)["model"] for p in (tmp_path / "out").iterdir()}
    assert found == dict.fromkeys(("a.jpg", "b.png"), "photo-4x-fast")
    # whatever it is called, and from a pipe
    shutil.copy(tmp_path / "a.jpg", tmp_path / "c.png")
    assert sr3("upscale", tmp_path / "c.png", "-o", tmp_path / "c2.png")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "a.jpg").read_bytes())))
    assert sr3("upscale", "-", "-o", tmp_path / "c3.png")[0] == 0
    assert {read_note(tmp_path / name)["model"] for name in ("c2.png", "c3.png")} == {"photo-4x-fast"}
    # what only refinement has, and a model that is named, are what was asked for
    asked = (
        (["--quality", "best"], "photo-4x-fast"),
        (["--scale", 2], "photo-2x"),
        (["--scale", 1], "photo-2x"),
        (["--scale", 3], "photo-4x-fast"),
        (["--scale", 2, "--steps", 1], "photo-4x"),
        (["--samples", 2], "photo-4x"),
        (["--quality", "fast", "--steps", 2], "photo-4x"),
        (["--model", "photo-4x-regression"], "photo-4x-regression"),
    )
    for options, model in asked:
        assert sr3("upscale", tmp_path / "a.jpg", "-o", tmp_path / "out", "--force", *options)[0] == 0
        assert any(read_note(p)["model"] == model for p in (tmp_path / "out").glob("a*.jpg"))
        for made in (tmp_path / "out").glob("a*"):
            made.unlink()


def test_a_size_is_another_scale_of_each_picture(sr3, tmp_path):
    """Each has the usual model of its own scale, in a folder as in a tar file."""
    sides = {"small.png": (24, 16), "wide.png": (50, 20), "half.png": (60, 40)}
    folder = tmp_path / "in"
    folder.mkdir()
    for name, side in sides.items():
        noise_picture(*side).save(folder / name)
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        for name in sides:
            tar.add(folder / name, name)

    def models(box, *options):
        """What each is made by: 120x80 is 5, 2.4 and 2 times as large at most."""
        out = tmp_path / "out"
        assert sr3("upscale", folder, "-o", out, "--size", box, "--force", *options)[0] == 0
        return {p.name: read_note(p)["model"] for p in out.iterdir()}

    four, two = "photo-4x-fast", "photo-2x"
    assert models("120x80") == {"small.png": four, "wide.png": four, "half.png": two}
    assert models("x40") == {"small.png": four, "wide.png": two, "half.png": two}
    # the larger of both sides' scales is what has to be made
    assert models("100x80", "--fit", "stretch") == {"small.png": four, "wide.png": four, "half.png": two}
    assert models("100x80", "--fit", "cover") == {"small.png": four, "wide.png": four, "half.png": two}
    assert set(models("120x80", "--steps", "1").values()) == {"photo-4x"}
    assert sr3("upscale", tmp_path / "in.tar", "-o", tmp_path / "out.tar", "--size", "120x80")[0] == 0
    with tarfile.open(tmp_path / "out.tar") as tar:
        (tmp_path / "within").mkdir()
        for name in tar.getnames():
            (tmp_path / "within" / name).write_bytes(tar.extractfile(name).read())
    assert {p.name: read_note(p)["model"] for p in (tmp_path / "within").glob("*.png")} == models("120x80")
