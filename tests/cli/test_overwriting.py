"""No command writes over what it reads, nor, without --force, over anything that is there."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from conftest import noise_picture, tiny_config

from sr3.cli.jobs import check_free
from sr3.model.config import ConfigError
from sr3.model.model import Model

RUN = {
    "protocol": {"data": "x", "factor": 4, "method": "sr3", "baseline": "bicubic", "pictures": 2},
    "rows": [{"method": "sr3", "psnr": 21.0}, {"method": "bicubic", "psnr": 20.0}],
    "names": ["a", "b"],
    "each": {"sr3": {"psnr": [20.0, 22.0]}, "bicubic": {"psnr": [19.0, 21.0]}},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("a.png", "mask.png", "there.png", "there.gif", "there.html", "face-16-0.png"):
        noise_picture(8, 8).save(name, format="PNG")
    for name in ("a.json", "b.json", "there.json"):
        Path(name).write_text(json.dumps(RUN), encoding="utf-8")
    brought = io.BytesIO(Path("a.png").read_bytes())
    with tarfile.open("s.tar", "w") as out:
        info = tarfile.TarInfo("a.png")
        info.size = len(brought.getvalue())
        out.addfile(info, brought)
    Path("s-4x.tar.done").write_text("notes", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A model of several tasks."""
    return Model(tiny_config(name="several", task={"kind": "several"})).save_pretrained(tmp_path_factory.mktemp("m"))


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    "line",
    [
        "upscale a.png -o o.png --manifest a.png",
        "upscale a.png -o o.png --manifest MODEL",
        "upscale a.png -o o.png --manifest o.png",
        "upscale a.png -o mask.png --keep mask.png --force",
        "upscale s.tar --manifest s-4x.tar.done",
        "inpaint a.png --mask mask.png -o mask.png --force",
        "restore a.png --mask mask.png -o mask.png --force",
        "colorize a.png --grey --hints mask.png -o mask.png --force",
        "compare a.json b.json --json a.json --force",
        "compare a.json b.json --json ./../here/b.json --force",
        "evaluate --data a.png --json a.png --force",
        "evaluate --data a.png --json o.html --report o.html",
        "tune MODEL --data a.png --plot a.png --force",
    ],
)
def test_what_is_read_is_not_written(sr3, tiny, several, here, line):
    model = tiny.save_pretrained(here / "model")
    words = [str(model) if word == "MODEL" else word for word in line.split()]
    if words[0] in ("upscale", "inpaint", "colorize"):
        words += ["--model", str(several if words[0] != "upscale" else model), "--steps", "1"]
    before = contents(here)
    code, _, err = sr3(*words)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "would overwrite" in err or "would both be" in err
    assert contents(here) == before


@pytest.mark.parametrize(
    "line",
    [
        "upscale s.tar",
        "demo -o there.png",
        "compare a.json b.json --json there.json",
        "evaluate --data a.png --json there.json",
        "evaluate --data a.png --report there.html",
        "tune photo-4x --data a.png --out o.safetensors --json there.json",
        "tune photo-4x --data a.png --out o.safetensors --plot there.png",
        "tune photo-4x --data a.png --out there.json",
        "study . --summary --json there.json",
        "generate",
        "generate -o .",
        "generate --grid there.png",
        "generate --trace there.gif",
    ],
)
def test_what_is_there_stays_without_force(sr3, here, line):
    before = contents(here)
    code, _, err = sr3(*line.split())
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "is there already" in err
    assert "--force" in err
    assert contents(here) == before


def test_by_force_it_is_replaced(sr3, here):
    code, _, err = sr3("compare", "a.json", "b.json", "--json", "there.json", "--force")
    assert (code, err) == (0, "")
    assert json.loads(Path("there.json").read_text("utf-8"))["a"] == "a.json"
    before = contents(here)
    assert sr3("generate", "--steps", "1", "--force")[0] == 0
    assert contents(here)["face-16-0.png"] != before["face-16-0.png"]


def test_a_manifest_is_added_to(sr3, tiny, here):
    model = tiny.save_pretrained(here / "model")
    for name in ("o.png", "p.png"):
        line = ["upscale", "a.png", "--model", model, "--steps", 1, "-o", name, "--manifest", "m.jsonl"]
        assert sr3(*line)[0] == 0
    said = [json.loads(line)["output"] for line in Path("m.jsonl").read_text("utf-8").splitlines()]
    assert said == [["o.png"], ["p.png"]]


def test_what_is_not_asked_for_is_free(here):
    check_free([(None, "--json"), (Path("new"), "-o")], [None, Path("a.png")], force=False)
    with pytest.raises(ConfigError, match=r"a.png would overwrite a.png, which is read; give another -o"):
        check_free([(Path("a.png"), "-o")], [Path("a.png")], force=True)
    with pytest.raises(ConfigError, match=r"there.png is there already \(and 1 more\); give another name, or --force"):
        check_free([(Path("there.png"), "-o"), (Path("a.png"), "--json")], force=False)
