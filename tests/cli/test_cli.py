"""The command line: it works, keeps what it should, and answers bad input with one sentence."""

import json
import pickle
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image
from safetensors.torch import save_file

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.image import read_note
from sr3.training.estimate import estimate


@pytest.fixture
def model(tiny, tmp_path):
    return tiny.save_pretrained(tmp_path / "model")


def opened(path):
    """A picture in memory, its file closed."""
    with Image.open(path) as picture:
        picture.load()
        return picture.copy()


def test_a_file_gives_a_file_with_its_note(sr3, model, tmp_path):
    noise_picture(9, 6).save(tmp_path / "p.png")
    code, _, _ = sr3("upscale", tmp_path / "p.png", "--model", model, "--seed", 7)
    assert code == 0
    target = tmp_path / "p-4x.png"
    assert opened(target).size == (36, 24)
    note = read_note(target)
    assert note["model"] == "tiny"
    assert note["seed"] == "7"
    assert note["steps"] == "3"
    assert (note["fidelity"], note["held_to"]) == ("1", "the picture given, exactly")
    sr3("upscale", tmp_path / "p.png", "--model", model, "--seed", 7, "-o", tmp_path / "again.png")
    assert np.array_equal(np.asarray(opened(target)), np.asarray(opened(tmp_path / "again.png")))


def test_how_far_results_are_held_is_written_into_them(sr3, model, tmp_path):
    noise_picture(19, 16).save(tmp_path / "p.jpg")
    ways = {
        "whole": ([], "1", "the JPEG file's quantisation bins"),
        "half": (["--fidelity", 0.5], "0.5", "0.5 of the way to the JPEG file's quantisation bins"),
        "noisy": (["--noise", 6], "1", "the JPEG file's quantisation bins, and noise of sigma 6"),
        "none": (["--fidelity", 0], "0", "nothing"),
        "free": (["--free"], "0", "nothing"),
    }
    for name, (options, fidelity, held) in ways.items():
        target = tmp_path / f"{name}.png"
        assert sr3("upscale", tmp_path / "p.jpg", "--model", model, "-o", target, *options)[0] == 0
        note = read_note(target)
        assert (note["fidelity"], note["held_to"]) == (fidelity, held)
    made = [np.asarray(opened(tmp_path / f"{name}.png")).tobytes() for name in ways]
    assert made[-1] == made[-2]
    assert len({*made}) == 4


def test_a_folder_gives_a_folder_and_broken_files_stop_nothing(sr3, model, folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    code, _, err = sr3("upscale", folder, "-o", tmp_path / "out", "--model", model, "--scale", 2)
    assert code == 1
    assert "broken.jpg" in err
    assert "3 done, 1 failed" in err
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert found == ["a.png", "b.jpg", "deep er/c ü.webp"]
    assert opened(tmp_path / "out" / "a.png").size == (80, 96)


def test_samples_and_trace(sr3, model, tmp_path):
    noise_picture(5, 5).save(tmp_path / "p.png")
    code, _, _ = sr3("upscale", tmp_path / "p.png", "--model", model, "--samples", 2, "--trace", tmp_path / "t.gif")
    assert code == 0
    names = {p.name for p in tmp_path.glob("*4x*")}
    assert names == {"p-4x-1.png", "p-4x-2.png", "p-4x-mean.png", "p-4x-spread.png"}
    with Image.open(tmp_path / "t.gif") as gif:
        assert gif.n_frames >= 3  # a frame like the one before is left out


def test_evaluate_writes_the_promised_json(sr3, model, folder, tmp_path):
    code, out, _ = sr3("evaluate", "--model", model, "--data", folder, "--samples", 2, "--json", tmp_path / "e.json")
    assert code == 0
    assert "Y-PSNR" in out
    found = json.loads((tmp_path / "e.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["bicubic", "sr3", "sr3-mean-2"]
    keys = {"method", "psnr", "psnr_y", "ssim", "ssim_y", "consistency", "swd", "seconds"}
    assert all(keys <= row.keys() for row in found["rows"])
    assert found["protocol"]["pictures"] == 3


def test_train_a_folder_and_use_the_model(sr3, folder, tmp_path):
    settings = ["batch=2", "crop=32", "pictures=8", "save_every=4", "report_every=2", "sample_every=8", "warmup=0"]
    arguments = [f"--set=training.{s}" for s in settings]
    network = "--set=model.network={kind='unet',patch=4,widths=[8],blocks=[1]}"
    code, _, err = sr3(
        "train",
        "photo-4x-regression",
        "--data",
        folder,
        "--out",
        tmp_path / "run",
        network,
        "--device",
        "cpu",
        *arguments,
    )
    assert code == 0, err
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    assert list((tmp_path / "run" / "board").iterdir())
    noise_picture(6, 6).save(tmp_path / "p.png")
    code, _, _ = sr3("upscale", tmp_path / "p.png", "--model", tmp_path / "run" / "model.safetensors")
    assert code == 0


def test_dry_run_trains_nothing(sr3, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sr3.training.estimate.estimate", partial(estimate, seconds=1))
    code, out, _ = sr3(
        "train", "photo-4x", "--data", folder, "--out", tmp_path / "run", "--dry-run", "--set", "training.crop=32",
        "--set", "training.batch=2", "--device", "cpu", "--set", "training.precision=fp32",
        "--set", "model.network={kind='unet',patch=4,widths=[8],blocks=[1],embedding=16}",
    )  # fmt: skip
    assert code == 0
    assert "million parameters" in out
    # how many steps fit into a second depends on what else runs
    assert re.search(r"in fp32, from steps of up to [12] pictures", out)
    assert not (tmp_path / "run").exists()


def test_one_odd_model_does_not_end_the_list(sr3, monkeypatch):
    own = Model.from_pretrained.__func__

    def loaded(cls, name, **options):
        if name == "photo-2x":
            raise ConfigError("photo-2x: there is no 'colour'")
        return own(cls, name, **options)

    monkeypatch.setattr(Model, "from_pretrained", classmethod(loaded))
    code, out, err = sr3("models")
    assert code == 0
    assert "photo-4x-fast" in out
    assert err == "sr3: photo-2x: there is no 'colour'\n"


def test_show_and_models(sr3, model):
    assert sr3("models")[0] == 0
    code, out, _ = sr3("show", model)
    assert code == 0
    assert "tiny" in out


def _cut(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def bad_files(folder: Path) -> dict[str, Path]:
    """Pictures that are none, by name."""
    folder.mkdir()
    for suffix, options in ((".png", {}), (".jpg", {}), (".webp", {}), (".tif", {}), (".bmp", {}), (".gif", {})):
        for keep in (0.0, 0.02, 0.5):
            path = folder / f"cut{int(keep * 100)}{suffix}"
            noise_picture(64, 64).save(path, **options)
            _cut(path, keep)
    for name, content in {
        "text.png": b"hello",
        "text.jpg": b"hello" * 100,
        "zeros.png": bytes(5000),
        "zeros.tif": bytes(5000),
        "html.webp": b"<html></html>",
        "pickle.png": pickle.dumps([1]),
        "signature.png": b"\x89PNG\r\n\x1a\n",
        "signature.jpg": b"\xff\xd8\xff\xe0",
        "riff.webp": b"RIFF\x00\x00\x00\x00WEBP",
        "zip.jpg": b"PK\x03\x04" + bytes(100),
        "csv.png": b"1,2\n3,4\n",
        "pdf.png": b"%PDF-1.4\n",
    }.items():
        (folder / name).write_bytes(content)
    header = b"IHDR" + (10**6).to_bytes(4, "big") + (10**6).to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    import zlib

    huge = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    (folder / "huge.png").write_bytes(huge)
    (folder / "directory.png").mkdir()
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "nan.tif")
    return {p.name: p for p in sorted(folder.iterdir())}


def test_bad_pictures_are_one_sentence_each(sr3, model, tmp_path):
    bad = bad_files(tmp_path / "bad")
    assert len(bad) >= 32
    for name, path in bad.items():
        code, _, err = sr3("upscale", path, "--model", model, "-o", tmp_path / "out.png")
        if code == 0 and name.startswith("cut50"):
            pytest.fail(f"{name} was taken for whole")
        assert code in (2, 3), name  # a folder without pictures is a wrong request
        assert len(err.strip().splitlines()) == 1, (name, err)
        assert "Traceback" not in err
        assert name in err, (name, err)
        assert not (tmp_path / "out.png").exists()


BAD_USE = [
    ["upscale"],
    ["upscale", "{missing}"],
    ["upscale", "{missing}/deeper.png"],
    ["upscale", "{empty}"],
    ["upscale", "{good}", "--model", "nothing"],
    ["upscale", "{good}", "--model", "photo4x"],
    ["upscale", "{good}", "--model", "{missing}.safetensors"],
    ["upscale", "{good}", "--model", "{good}"],
    ["upscale", "{good}", "--model", "{pickle}"],
    ["upscale", "{good}", "--model", "{emptyfile}"],
    ["upscale", "{good}", "--model", "{foreign}"],
    ["upscale", "{good}", "--model", "{shape}"],
    ["upscale", "{good}", "--model", "{version}"],
    ["upscale", "{good}", "--model", "{unknown}"],
    ["upscale", "{good}", "--model", "{empty}"],
    ["upscale", "{good}", "--scale", "0"],
    ["upscale", "{good}", "--scale", "-3"],
    ["upscale", "{good}", "--scale", "nan"],
    ["upscale", "{good}", "--scale", "inf"],
    ["upscale", "{good}", "--scale", "1000"],
    ["upscale", "{good}", "--scale", "big"],
    ["upscale", "{good}", "--size", "big"],
    ["upscale", "{good}", "--size", "0x0"],
    ["upscale", "{good}", "--size", "10"],
    ["upscale", "{good}", "--size", "-5x9"],
    ["upscale", "{good}", "--size", "2x2"],
    ["upscale", "{good}", "--size", "99x99", "--scale", "2"],
    ["upscale", "{good}", "--steps", "0"],
    ["upscale", "{good}", "--steps", "-1"],
    ["upscale", "{good}", "--steps", "99999"],
    ["upscale", "{good}", "--steps", "x"],
    ["upscale", "{good}", "--sampler", "dpm"],
    ["upscale", "{good}", "--spacing", "even"],
    ["upscale", "{good}", "--samples", "0"],
    ["upscale", "{good}", "--samples", "-2"],
    ["upscale", "{good}", "--seed", "x"],
    ["upscale", "{good}", "--fidelity", "1.5"],
    ["upscale", "{good}", "--fidelity", "-1"],
    ["upscale", "{good}", "--fidelity", "nan"],
    ["upscale", "{good}", "--noise", "-1"],
    ["upscale", "{good}", "--noise", "inf"],
    ["upscale", "{good}", "--device", "tpu"],
    ["upscale", "{good}", "--device", "cuda:99"],
    ["upscale", "{good}", "--precision", "fp8"],
    ["upscale", "{good}", "--tile", "0"],
    ["upscale", "{good}", "--tile", "-5"],
    ["upscale", "{good}", "--trace", "t.mp4"],
    ["upscale", "{good}", "{good2}", "--trace", "t.gif"],
    ["upscale", "{good}", "-o", "{good}"],
    ["upscale", "{good}", "-o", "out.xyz"],
    ["upscale", "{good}", "{good2}", "-o", "{good3}"],
    ["upscale", "{good}", "--unknown"],
    ["upscalee", "{good}"],
    ["show", "nothing"],
    ["show", "{pickle}"],
    ["show"],
    ["demo", "-o", "out.xyz"],
    ["demo", "--model", "nothing"],
    ["evaluate"],
    ["evaluate", "--data", "{missing}"],
    ["evaluate", "--data", "{empty}"],
    ["evaluate", "--data", "{good}", "--limit", "0"],
    ["evaluate", "--data", "{good}", "--model", "nothing"],
    ["evaluate", "--data", "{good}", "--samples", "0"],
    ["evaluate", "--data", "{emptyfile}"],
    ["train"],
    ["train", "photo-4x"],
    ["train", "photo", "--data", "{folder}", "--out", "run"],
    ["train", "{missing}.toml", "--data", "{folder}", "--out", "run"],
    ["train", "{notoml}", "--data", "{folder}", "--out", "run"],
    ["train", "{latin}", "--data", "{folder}", "--out", "run"],
    ["train", "photo-4x", "--data", "{missing}", "--out", "run"],
    ["train", "photo-4x", "--data", "{empty}", "--out", "run"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "{good}"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.crop=30"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.crop=512"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.bach=4"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.batch=0"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.batch=many"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "batch"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "training.rate=-1"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--set", "model.tell=loud"],
    ["train", "photo-4x", "--data", "{folder}", "--out", "run", "--minutes", "0"],
]


@pytest.fixture
def things(tmp_path, model, folder):
    """What the bad command lines name."""
    paths = {"missing": tmp_path / "missing", "folder": folder, "empty": tmp_path / "empty"}
    paths["empty"].mkdir()
    for name in ("good", "good2", "good3"):
        paths[name] = tmp_path / f"{name}.png"
        noise_picture(8, 8).save(paths[name])
    for name, content in {
        "pickle": pickle.dumps({"weights": [1]}),
        "emptyfile": b"",
        "notoml": b"[model\nname=",
        "latin": b"name = \xe9",
    }.items():
        paths[name] = tmp_path / f"{name}{'.toml' if name in ('notoml', 'latin') else '.safetensors'}"
        paths[name].write_bytes(content)
    from sr3.model import checkpoint

    tensors, metadata = checkpoint.read_tensors(model)
    for name in ("foreign", "shape", "version", "unknown"):
        paths[name] = tmp_path / f"{name}.safetensors"
    save_file({"a": torch.zeros(1)}, paths["foreign"])
    checkpoint.write_tensors(paths["shape"], {**tensors, "leave.weight": torch.zeros(1)}, metadata)
    checkpoint.write_tensors(paths["version"], tensors, {**metadata, "version": "7"})
    config = json.loads(metadata["config"]) | {"colour": 1}
    checkpoint.write_tensors(paths["unknown"], tensors, {**metadata, "config": json.dumps(config)})
    return paths


def test_bad_use_is_one_sentence_each(sr3, things, model, monkeypatch, tmp_path):
    assert len(BAD_USE) >= 75
    monkeypatch.chdir(tmp_path)
    before = {p: p.read_bytes() for p in things.values() if p.is_file()}
    for line in BAD_USE:
        arguments = [a.format(**things) for a in line]
        if arguments[0] == "upscale" and "--model" not in arguments:
            arguments += ["--model", str(model)]
        if arguments[0] == "evaluate" and "--model" not in arguments:
            arguments += ["--model", str(model)]
        code, _, err = sr3(*arguments)
        assert code in (1, 2, 3), (line, code, err)
        assert "Traceback" not in err, line
        said = [text for text in err.strip().splitlines() if not text.startswith(("Usage:", "Try ")) and text.strip()]
        said = [text for text in said if "pictures," not in text and "left out" not in text]
        assert len(said) == 1, (line, err)
    assert {p: p.read_bytes() for p in before} == before
    assert not list(tmp_path.glob("out*"))
