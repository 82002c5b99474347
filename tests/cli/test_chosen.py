"""`sr3 restore`: which of its tasks a model is used for, and which model where none is named; known colours."""

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.cli import choosing, palette
from sr3.model.model import Model
from sr3.picture.image import read, read_note
from sr3.picture.picture import Picture, PictureError
from sr3.restore.choose import needs, quality
from sr3.restore.restorer import Restorer
from sr3.task.several import PARTS


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    made = Model(tiny_config(name="tiny-all", task={"kind": "several", "tasks": [{"kind": kind} for kind in PARTS]}))
    for p in made.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return made.save_pretrained(tmp_path_factory.mktemp("several"))


@pytest.fixture
def damaged(tmp_path):
    """A folder with a picture in need of each task."""
    root = tmp_path / "damaged"
    root.mkdir()
    picture = noise_picture(160, 160)
    picture.convert("L").save(root / "grey.png")
    alpha = Image.new("L", (160, 160), 255)
    alpha.paste(0, (30, 40, 80, 90))
    Image.merge("RGBA", (*picture.split(), alpha)).save(root / "hole.png")
    picture.save(root / "low.jpg", quality=20)
    smooth = noise_picture(160, 160).resize((8, 8)).resize((160, 160), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(scale=20, size=(160, 160, 3))
    Image.fromarray((np.asarray(smooth) * 0.5 + 64 + noise).clip(0, 255).astype(np.uint8)).save(root / "noisy.png")
    noise_picture(24, 20).save(root / "plain.png")
    return root


def test_each_picture_gets_what_it_needs(sr3, model, damaged, tmp_path):
    code, _, err = sr3("restore", damaged, "-o", tmp_path / "out", "--model", model)
    assert code == 0, err
    held = {path.stem: read_note(path)["held_to"] for path in (tmp_path / "out").iterdir()}
    assert held == {
        "grey": "the luminance given",
        "hole": "the pixels around the hole",
        "low": "the JPEG file's quantisation bins",
        "noisy": "nothing",
        "plain": "the picture given, exactly",
    }
    assert read(tmp_path / "out" / "plain.png").size == (96, 80)
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "out" / "grey.png").convert("L")),
        np.asarray(Image.open(damaged / "grey.png")),
    )


def test_a_mask_settles_the_task(sr3, model, damaged, tmp_path):
    grey, out = damaged / "grey.png", tmp_path / "o.png"
    code, _, err = sr3("restore", grey, "-o", out, "--model", model, "--box", "10,10,20x30")
    assert code == 0, err
    changed = np.asarray(Image.open(out).convert("L")) != np.asarray(Image.open(grey))
    assert changed[10:40, 10:30].any()
    changed[10:40, 10:30] = False
    assert not changed.any()
    assert read_note(out)["boxes"] == "10,10,20x30"


def test_without_a_model_it_is_the_usual_one(sr3, model, damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "USUAL", dict.fromkeys(choosing.USUAL, str(model)))
    code, _, err = sr3("restore", damaged, "-o", tmp_path / "out")
    assert code == 0, err
    assert f"4 done, 0 failed, 1 left as they are: {damaged / 'plain.png'} (shows no damage)" in err
    assert not (tmp_path / "out" / "plain.png").exists()
    # alone it is asked for, and there is no result
    code, _, err = sr3("restore", damaged / "plain.png", "-o", tmp_path / "o.png")
    assert code != 0
    assert "plain.png shows no damage" in err
    # found in a folder it is not, however many are there
    (tmp_path / "one").mkdir()
    (damaged / "plain.png").rename(tmp_path / "one" / "plain.png")
    code, _, err = sr3("restore", tmp_path / "one", "-o", tmp_path / "none")
    assert (code, err.strip()) == (0, "left as it is: shows no damage")
    assert read_note(tmp_path / "out" / "noisy.png")["held_to"] == "nothing"


def test_it_says_what_a_picture_was_taken_for(sr3, model, damaged, tmp_path, monkeypatch):
    grey, boxed = damaged / "grey.png", damaged / "plain.png"
    monkeypatch.setattr(choosing, "USUAL", dict.fromkeys(choosing.USUAL, str(model)))
    said = [sr3("restore", grey, "-o", tmp_path / "a.png")[2]]
    said.append(sr3("restore", grey, "-o", tmp_path / "b.png", "--model", model)[2])
    said.append(sr3("restore", boxed, "-o", tmp_path / "c.png", "--box", "10,10,5x5")[2])
    ends = ("(it is grey)", "(as asked for; it is grey)", "(it has a hole)")
    assert [text.strip().endswith(end) for text, end in zip(said, ends, strict=True)] == [True] * 3, said


@pytest.mark.parametrize(
    ("named", "why"), [([], "the default; it knows faces alone"), (["--model", "another"], "as asked for")]
)
def test_a_command_says_whether_its_model_was_asked_for(sr3, model, damaged, tmp_path, monkeypatch, named, why):
    monkeypatch.setattr(palette, "load_restorer", lambda name, **how: Restorer.load(model, **how))
    code, _, err = sr3("colorize", damaged / "grey.png", "-o", tmp_path / "o.png", *named)
    assert code == 0, err
    assert err.strip().endswith(f"({why})")


def test_what_pictures_are_in_need_of(damaged):
    def kinds(name, **options):
        path = damaged / name
        data = path.read_bytes() if name.endswith("jpg") else None
        return [need.kind for need in needs(read(path), data, **options)]

    assert kinds("grey.png") == ["colorization"]
    assert kinds("grey.png", hole=True) == ["inpainting", "colorization"]
    assert kinds("hole.png") == ["inpainting"]
    assert kinds("low.jpg") == ["jpeg-restoration"]
    assert kinds("noisy.png") == ["denoising"]
    assert kinds("plain.png") == []
    equal = Picture(torch.full((3, 8, 8), 0.5))
    assert [need.why for need in needs(equal)] == ["it is grey"]
    noise_picture(64, 64).save(damaged / "fine.jpg", quality=60)
    assert kinds("fine.jpg") == []
    assert list(needs(Picture(torch.rand(3, 8, 8)), b"\xff\xd8\xff nothing")) == []


@pytest.mark.parametrize("asked", [2, 5, 17, 30, 49, 50, 51, 59, 60, 75, 90, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quality_of_a_jpeg_file_is_what_it_was_saved_with(tmp_path, asked, mode):
    noise_picture(24, 24).convert(mode).save(tmp_path / "p.jpg", quality=asked)
    assert quality((tmp_path / "p.jpg").read_bytes()) == asked


def test_a_file_without_tables_has_no_quality():
    with pytest.raises(PictureError, match="tables cannot be read"):
        quality(b"\xff\xd8\xff nothing")


@pytest.mark.parametrize("sides", [None, (4, 16)])
def test_known_colours_are_in_the_result(sr3, tmp_path, sides):
    torch.manual_seed(0)
    made = Model(tiny_config(task={"kind": "colorization"}, **({"sides": sides} if sides else {})))
    for p in made.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    weights = made.save_pretrained(tmp_path / "model")
    picture = noise_picture(40, 32)
    picture.convert("L").save(tmp_path / "g.png")
    alpha = Image.new("L", picture.size, 0)
    for box in ((3, 4, 9, 8), (20, 20, 21, 21), (30, 5, 36, 25)):
        alpha.paste(255, box)
    Image.merge("RGBA", (*picture.split(), alpha)).save(tmp_path / "hints.png")
    ask = ["--model", weights, "--hints", tmp_path / "hints.png"]
    assert sr3("colorize", tmp_path / "g.png", *ask)[0] == 0
    out = tmp_path / "g-colorized.png"
    after, before, known = (
        np.asarray(Image.open(out)).astype(int),
        np.asarray(picture).astype(int),
        np.asarray(alpha) > 0,
    )
    assert np.abs(after - before)[known].max() <= 2
    assert np.abs(after - before)[~known].max() > 10
    assert np.array_equal(np.asarray(Image.open(out).convert("L")), np.asarray(picture.convert("L")))
    note = read_note(out)
    assert note["held_to"] == "the luminance given and the colours known"
    # other hints, another picture
    assert sr3("colorize", tmp_path / "g.png", *ask, "--skip-existing")[0] == 0
    alpha.paste(255, (0, 0, 40, 2))
    Image.merge("RGBA", (*picture.split(), alpha)).save(tmp_path / "hints.png")
    assert sr3("colorize", tmp_path / "g.png", *ask, "--skip-existing")[0] == 0
    assert read_note(out)["hints"] != note["hints"]


def test_a_picture_whose_model_is_not_installed_stops_no_other(sr3, model, damaged, tmp_path, monkeypatch):
    usual = dict.fromkeys(choosing.USUAL, str(model)) | {"colorization": "face-palette"}
    monkeypatch.setattr(choosing, "USUAL", usual)
    code, _, err = sr3("restore", damaged, "-o", tmp_path / "out")
    assert code == 1
    assert "3 done, 1 failed, 1 left as they are" in err
    said = " ".join(err.split())
    assert "grey.png cannot be restored, as it is grey: no model face-palette comes with the package" in said
