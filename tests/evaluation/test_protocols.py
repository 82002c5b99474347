"""The paper's tables 3, 4 and 5: what is shown, counted and compared, by definition."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.evaluation import making, recognition
from sr3.evaluation.likeness import reduced
from sr3.evaluation.making import evaluate_made
from sr3.evaluation.recognition import middle, recognise
from sr3.evaluation.result import Result
from sr3.metric.features import frechet
from sr3.metric.stats import wilson
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import DataError, Pictures
from sr3.picture.resize import resize, round8, shrink
from sr3.random import mix
from sr3.restore.generate import Cascade
from sr3.restore.restorer import Restorer
from sr3.task import Given

COLOURS = {"red": (230, 30, 30), "green": (30, 220, 40), "blue": (20, 40, 230)}


def by_colour(pictures):
    """A classifier of seven classes: red, green, blue by how much there is, and four that are never first."""
    return torch.cat([pictures.mean((2, 3)), torch.tensor([[-1.0, -2.0, -3.0, -4.0]]).expand(len(pictures), 4)], 1)


def model(**changes):
    torch.manual_seed(0)
    made = Model(tiny_config(**changes))
    for parameter in made.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return made


def result(running):
    *_, last = running
    assert isinstance(last, Result)
    return last


def test_how_many_the_paper_takes():
    """Table 3: the first 1000 pictures; table 4: 50 000."""
    assert (recognition.FIRST, making.COUNT) == (1000, 50_000)


# --- table 3


def test_the_middle_is_what_a_classifier_is_shown():
    """Short side 256, the middle 224: of a picture of 256 by 320 just its middle pixels."""
    pixels = np.asarray(noise_picture(320, 256, seed=1))
    found = middle("a", pixels)
    wanted = torch.from_numpy(pixels[16:240, 48:272].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    assert middle("a", np.asarray(noise_picture(300, 500))).shape == (1, 3, 224, 224)
    with pytest.raises(DataError, match="b has 223x300 pixels"):
        middle("b", np.asarray(noise_picture(223, 300)))


def test_it_is_made_small_and_restored_as_table_3_says():
    """56x56, 64x64 by bicubic, the model, 256x256, 224x224: each step written out again."""
    sampling = {"sampler": {"kind": "dpmpp", "eta": 0.5}, "steps": 4, "spacing": "t", "cleanest": 0.5}
    made = model(task={"kind": "super-resolution", "factor": 4}, sampling=sampling)
    restorer = Restorer(made, device="cpu", precision="fp32")
    pictures = Pictures(["a"], [np.asarray(noise_picture(256, 256, seed=2))])
    seen: list[torch.Tensor] = []

    def classifier(x):
        seen.append(x)
        return by_colour(x)

    found = result(recognise(restorer, pictures, classifier, seed=5))
    original = middle("a", pictures.pixels[0])
    given = round8(resize(round8(shrink(original, 4)), (64, 64)))
    made = restorer.make(Given(given), [mix(5, 0, 0)])
    wanted = (round8(resize(round8(made), (224, 224))) + 1) / 2
    assert made.shape == (1, 3, 256, 256)
    assert any(x.shape == wanted.shape and (x - wanted).abs().max() < 1e-3 for x in seen)
    assert torch.equal(seen[0], (original + 1) / 2)
    assert [row["method"] for row in found.rows] == ["original", "bicubic", "sr3"]
    assert found.protocol["given"].startswith("that, 56x56, enlarged to 64x64")
    assert {key: found.protocol[key] for key in sampling} == sampling


def test_the_shares_are_those_of_the_answers():
    """Even pictures keep their colour, so every method is right where the label is; top-5 knows five of seven."""
    restorer = Restorer(model(task={"kind": "super-resolution", "factor": 4}), device="cpu", precision="fp32")
    pixels = [np.full((230, 230, 3), colour, np.uint8) for colour in COLOURS.values()]
    pictures = Pictures(list(COLOURS), pixels)
    found = result(recognise(restorer, pictures, by_colour, labels=[0, 2, 6], batch=2))
    for row in found.rows[:2]:
        assert row["accuracy"] == pytest.approx(1 / 3)  # of red alone
        assert row["accuracy_5"] == pytest.approx(2 / 3)  # blue is the second or third answer, the seventh never
        assert row["agreement"] == row["agreement_5"] == 1
        assert row["interval"]["accuracy"] == list(wilson(1, 3))
        assert row["interval"]["agreement"] == list(wilson(3, 3))
    assert found.protocol["interval"].startswith("95 %: Wilson")
    assert found.each["bicubic"]["accuracy_5"] == [1.0, 1.0, 0.0]
    unlabelled = result(recognise(restorer, pictures, by_colour))
    assert set(unlabelled.rows[0]) == {"method", "interval", "agreement", "agreement_5"}


def test_a_model_of_another_factor_and_bad_classifiers_are_refused():
    pictures = Pictures(["a"], [np.asarray(noise_picture(256, 256))])
    four = Restorer(model(task={"kind": "super-resolution", "factor": 4}), device="cpu", precision="fp32")
    two = Restorer(model(task={"kind": "super-resolution", "factor": 2}), device="cpu", precision="fp32")
    for restorer, classifier, labels, why in (
        (two, by_colour, None, "does not enlarge 4 times"),
        (four, lambda x: x.mean((2, 3))[:, None], None, "logits have the shape"),
        (four, by_colour, [7], "has 7 classes, and a label is 7"),
        (four, lambda x: 1 / 0, None, "ZeroDivisionError"),
    ):
        with pytest.raises(ConfigError, match=why):
            list(recognise(restorer, pictures, classifier, labels=labels))


def test_by_the_command(tmp_path, sr3):
    model(task={"kind": "super-resolution", "factor": 4}).save_pretrained(tmp_path / "m")
    (tmp_path / "data").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (224, 240), colour).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "labels.csv").write_text("blue.png,2\ngreen.png,1\nred.png,0\n")
    own = tmp_path / "own.py"
    own.write_text("def seen(x):\n    return x.mean((2, 3))\n")
    common = ["evaluate", "--model", tmp_path / "m", "--data", tmp_path / "data", "--protocol", "recognition"]
    common += ["--device", "cpu", "--precision", "fp32"]
    more = ["--classifier", f"{own}:seen", "--labels", tmp_path / "labels.csv", "--json", tmp_path / "r.json"]
    code, said, err = sr3(*common, *more, "--limit", 2)
    assert code == 0, err
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert [row["accuracy"] for row in rows[:2]] == [1, 1]
    assert "top-5" in said
    assert "PSNR" not in said
    assert "pictures: 2" in said
    code, _, err = sr3(*common)
    assert code == 2
    assert "recognition needs a classifier" in err
    code, _, err = sr3(*common, "--protocol", "recognitoin")
    assert code == 2
    assert "did you mean recognition" in err


# --- tables 4 and 5


MAKER = {
    "name": "maker",
    "residual": False,
    "network": {"kind": "unet", "patch": 1, "widths": [8], "blocks": [1], "embedding": 16, "labels": 3},
    "prediction": {"kind": "edm", "sigma_data": 0.5},
    "task": {"kind": "generation", "size": 8, "classes": list(COLOURS)},
    "schedule": {"kind": "log-normal"},
    "sampling": {"sampler": {"kind": "ancestral"}, "steps": 2},
}


@pytest.fixture
def cascades():
    larger = {"task": {"kind": "super-resolution", "factor": 2}}
    return [Cascade([model(**MAKER), model(name=n, **larger)], device="cpu", precision="fp32") for n in ("one", "two")]


@pytest.fixture
def real():
    return Pictures([f"{k}" for k in range(12)], [np.asarray(noise_picture(20, 32, seed=k)) for k in range(12)])


def test_each_class_is_made_as_often_and_compared_with_as_many(cascades, real, monkeypatch):
    """The Fréchet distance of what the cascade makes and of the first pictures, reduced: written out again."""
    monkeypatch.setattr(making, "patches_for", lambda count: 16)
    found = result(
        evaluate_made(cascades, real, count=6, seed=2, measures=["frechet"], features=by_colour, classifier=by_colour)
    )
    assert [row["method"] for row in found.rows] == ["maker+one", "maker+two"]
    target = (reduced(real.first(6), (16, 16)) + 1) / 2
    for cascade, row in zip(cascades, found.rows, strict=True):
        made = (round8(cascade(6, seed=12)) + 1) / 2  # the third six
        wanted = frechet(by_colour(made).double(), by_colour(target).double())
        assert row["frechet"] == pytest.approx(wanted, rel=1e-3)
        classes = torch.arange(6) % 3
        assert row["accuracy"] == pytest.approx(float((by_colour(made).argmax(1) == classes).double().mean()))
        assert not math.isnan(row["swd"])
        assert "agreement" not in row
    assert [told["steps"] for told in found.protocol["cascades"]] == [[2, 3], [2, 3]]
    assert [told["size"] for told in found.protocol["cascades"]] == [[16, 16], [16, 16]]
    assert found.protocol["pictures"] == 6
    assert found.protocol["seeds"].startswith("picture k: seed * pictures + k")
    assert "jackknife" in found.protocol["interval"]
    assert "Wilson" in found.protocol["interval"]
    first, second = (
        {"sampler": {"kind": kind}, "steps": k, "spacing": "logsnr"} for kind, k in (("ancestral", 2), ("dpmpp", 3))
    )
    assert [told["sampling"] for told in found.protocol["cascades"]] == [[first, second]] * 2


def test_runs_of_two_seeds_have_no_picture_in_common(cascades, real, monkeypatch):
    """Picture k had seed + k: of four pictures seeds 0 and 1 shared three, and their agreement meant nothing."""
    monkeypatch.setattr(making, "patches_for", lambda count: 16)
    asked, labels = [], Cascade.labels

    def heard(self, seeds, classes=None):
        asked.append(list(seeds))
        return labels(self, seeds, classes)

    monkeypatch.setattr(Cascade, "labels", heard)
    for seed in (0, 1):
        result(evaluate_made(cascades[:1], real, count=4, seed=seed, classifier=by_colour))
    # what is asked of the cascade and what the classifier is to find
    assert asked == [[0, 1, 2, 3]] * 2 + [[4, 5, 6, 7]] * 2


def test_what_cannot_be_compared_is_refused(cascades, real):
    small = Cascade([model(**{**MAKER, "name": "s"})], device="cpu", precision="fp32")
    plain = model(**{**MAKER, "network": {**MAKER["network"], "labels": 0}, "task": {"kind": "generation", "size": 16}})
    blind = Cascade([plain], device="cpu", precision="fp32")
    for which, options, why in (
        ([*cascades, small], {}, "several sizes"),
        (cascades, {"count": 13}, "13 pictures cannot be compared with 12"),
        (cascades, {"count": 1}, "at least 2"),
        (cascades, {"measures": ["feature"]}, "no measure 'feature' of made pictures"),
        ([blind], {"classifier": by_colour}, "knows no classes"),
        (cascades, {"classes": ["pink"]}, "no class 'pink'"),
    ):
        with pytest.raises(ConfigError, match=why):
            list(evaluate_made(which, real, **options))


def test_tables_4_and_5_by_the_command(tmp_path, sr3, real, monkeypatch):
    monkeypatch.setattr(making, "patches_for", lambda count: 16)
    model(**MAKER).save_pretrained(tmp_path / "a")
    for name in ("b", "c"):
        model(name=name, task={"kind": "super-resolution", "factor": 2}).save_pretrained(tmp_path / name)
    (tmp_path / "data").mkdir()
    for name, pixels in zip(real.names, real.pixels, strict=True):
        Image.fromarray(pixels).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.mean((2, 3))\n")
    both = f"{tmp_path / 'a'},{tmp_path / 'b'};{tmp_path / 'a'},{tmp_path / 'c'}"
    common = ["evaluate", "--protocol", "generation", "--model", both, "--data", tmp_path / "data", "--device", "cpu"]
    more = ["--features", f"{tmp_path / 'own.py'}:seen", "--limit", 4, "--precision", "fp32"]
    code, said, err = sr3(*common, *more, "--json", tmp_path / "g.json")
    assert code == 0, err
    rows = json.loads((tmp_path / "g.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["maker+b", "maker+c"]
    assert all(row["frechet"] >= 0 for row in rows)
    assert "Fréchet" in said
    # two runs of one recipe have one name, and their rows none; a broken picture is no success
    (tmp_path / "data" / "!.png").write_bytes(b"no picture")
    common[common.index(both)] = both.replace(str(tmp_path / "c"), str(tmp_path / "b"))
    code, _, err = sr3(*common, *more, "--json", tmp_path / "h.json")
    assert code == 1
    assert "!.png is broken" in err
    rows = json.loads((tmp_path / "h.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["maker+b (1)", "maker+b (2)"]


def test_real_pictures_are_held_in_8_bits(real):
    held = making._bytes(real, (16, 16))
    assert held.dtype == torch.uint8
    torch.testing.assert_close(held.float() / 255, (reduced(real, (16, 16)) + 1) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("protocol", "option"),
    [
        ("recognition", ["--border", 4]),
        ("recognition", ["--border", 0]),
        ("recognition", ["--measures", "fid"]),
        ("recognition", ["--features", "efficientnet-lite0"]),
        ("recognition", ["--task", "factor=4"]),
        ("generation", ["--free"]),
        ("generation", ["--labels", "a.csv", "--classifier", "efficientnet-lite0"]),
        ("generation", ["--regression", "photo-4x-regression"]),
        ("generation", ["--given", "small"]),
        ("recognition", ["--samples", 2]),
        ("generation", ["--samples", 1]),
    ],
)
def test_options_that_a_protocol_does_not_look_at_are_refused(tmp_path, sr3, protocol, option):
    (tmp_path / "a.csv").write_text("a,0\n")
    code, _, err = sr3("evaluate", "--data", tmp_path, "--protocol", protocol, *option)
    assert code == 2
    assert f"--protocol {protocol} has no use for {option[0]}; leave it out" in " ".join(err.split())


def test_pictures_too_small_for_the_table_are_named_and_left_out(tmp_path, sr3):
    model(task={"kind": "super-resolution", "factor": 4}).save_pretrained(tmp_path / "m")
    (tmp_path / "data").mkdir()
    for name, size in (("a", (224, 240)), ("b", (300, 223)), ("c", (250, 230)), ("d", (240, 240))):
        noise_picture(*size).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.mean((2, 3))\n")
    told = ["--protocol", "recognition", "--classifier", f"{tmp_path / 'own.py'}:seen", "--json", tmp_path / "r.json"]
    code, _, err = sr3("evaluate", "--model", tmp_path / "m", "--data", tmp_path / "data", "--limit", 2, *told)
    assert code == 0, err
    assert "b.png is left out, as it has a side below 224 pixels" in " ".join(err.split())
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["names"] == ["a.png", "c.png"]
    assert found["protocol"].keys() >= {"version", "torch", "device", "precision", "threads"}
