"""Classes: where they come from, that crops keep them, and that a network learns to be told."""

import numpy as np
import pytest
from PIL import Image

from sr3.model import recipe as recipes
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import DataError, Pictures, load
from sr3.training import curve
from sr3.training.data import Crops
from sr3.training.labels import settled
from sr3.training.state import identity

TINY = [
    "model.network={kind='unet',patch=1,widths=[16],blocks=[2],embedding=32,labels=3}",
    "model.task={kind='generation',size=8,classes=3}",
    "model.prediction={kind='x0'}",
    "model.sampling={sampler={kind='ddim'},steps=4}",
    "training.crop=8",
    "training.zoom=[1,1]",
    "training.precision=fp32",
    "training.rate=3e-3",
    "training.warmup=160",
]
COLOURS = {"blue": (30, 30, 220), "green": (20, 200, 40), "red": (230, 40, 30)}


def recipe(*more):
    return recipes.load("ddpm-32-small", [*TINY, *more])


@pytest.fixture
def coloured(tmp_path):
    """A folder for each class, of even pictures of its colour."""
    for name, colour in COLOURS.items():
        for k in range(2):
            path = tmp_path / "data" / "deep" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), colour).save(path)
    return tmp_path / "data"


def test_a_class_is_the_name_of_the_folder_and_its_names_go_into_the_model(coloured):
    names = load(coloured).names
    found, labels = settled(recipe(), names)
    assert found.model.task["classes"] == ["blue", "green", "red"]
    assert labels == [0, 0, 1, 1, 2, 2]
    again, same = settled(found, names)  # the names it has now are kept
    assert (again, same) == (found, labels)
    plain = recipes.load("ddpm-32-small")
    assert settled(plain, names) == (plain, None)


def test_numbers_are_themselves():
    """Folders 0 … 2, of which one is empty, and in the order of numbers and not of words."""
    found, labels = settled(recipe(), ["2/a.png", "0/b.png"])
    assert (found.model.task["classes"], labels) == (3, [2, 0])
    found, labels = settled(recipe(), ["10/a.png", "9/b.png", "70/c.png"])
    assert (found.model.task["classes"], labels) == (["9", "10", "70"], [1, 0, 2])


def test_a_table_names_each_picture(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("a.png, cat\nb.png,dog\nc.png,emu\n", encoding="utf-8")
    found, labels = settled(recipe(), ["c.png", "a.png", "b.png"], table)
    assert (found.model.task["classes"], labels) == (["cat", "dog", "emu"], [2, 0, 1])


@pytest.mark.parametrize(
    ("names", "table", "error", "why"),
    [
        (["a.png"], None, DataError, "a.png is in no folder that names its class"),
        (["x/a.png", "y/b.png"], None, DataError, "of 2 classes, and the recipe is for 3"),
        (["a.png"], "b.png,1", DataError, "has no class for a.png"),
        (["a.png"], b"\xff", DataError, "must be a CSV file"),
    ],
)
def test_what_cannot_be_labelled_is_refused(tmp_path, names, table, error, why):
    file = None
    if table is not None:
        file = tmp_path / "t.csv"
        file.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(error, match=why):
        settled(recipe(), names, file)


def test_a_recipe_without_classes_takes_no_table_and_one_with_names_no_others(tmp_path):
    with pytest.raises(ConfigError, match="ddpm-32-small knows no classes"):
        settled(recipes.load("ddpm-32-small"), ["a/a.png"], tmp_path / "t.csv")
    named = recipe("model.task={kind='generation',size=8,classes=['a','b','c']}")
    with pytest.raises(DataError, match="class 'd', which the recipe does not name"):
        settled(named, ["a/a.png", "d/b.png"])


def test_as_many_labels_as_classes():
    with pytest.raises(ConfigError, match="can be told 3 labels and the task has 2 classes"):
        Model(recipe("model.task.classes=2").model)


def test_each_crop_has_its_pictures_class():
    values = [10, 100, 200]
    pixels = [np.full((12, 9, 3), value, np.uint8) for value in values]
    crops = Crops(Pictures(["a", "b", "c"], pixels), 8, labels=[2, 0, 1])
    drawn = crops.draw(range(60))
    (places,) = crops.places(drawn, 60)
    shown = ((crops.cut(places)[:, 0, 0, 0] + 1) * 127.5).round().long().tolist()
    assert set(shown) == set(values)
    assert places.numbers[:, 5].tolist() == [[2, 0, 1][values.index(v)] for v in shown]
    with pytest.raises(DataError, match="2 labels for 3 pictures"):
        Crops(Pictures(["a", "b", "c"], pixels), 8, labels=[1, 2])


def test_other_labels_are_another_run():
    pictures = Pictures(["a"], [np.zeros((8, 8, 3), np.uint8)])
    told = [identity(recipe(), Crops(pictures, 8, labels=labels))["data"] for labels in (None, [0], [1])]
    assert len(set(told)) == 3


def test_a_network_learns_the_colours_that_it_is_told(coloured, tmp_path, sr3):
    """By the command line, from folders to `--class`: each made picture has the colour of its class."""
    out = tmp_path / "run"
    settings = [f"--set={s}" for s in (*TINY, "training.pictures=3200", "training.batch=16")]
    code, _, err = sr3("train", "ddpm-32-small", "--data", coloured, "--out", out, "--device", "cpu", *settings)
    assert code == 0, err
    model = out / "model.safetensors"
    common = ["generate", "--model", model, "--device", "cpu", "--precision", "fp32", "--seed", 5, "--count", 4]
    code, _, err = sr3(*common, "--class", "red,green", "--out", tmp_path / "made")
    assert code == 0, err
    for seed in range(5, 9):
        made = np.asarray(Image.open(tmp_path / "made" / f"ddpm-32-small-{seed}.png")).mean((0, 1))
        wanted = COLOURS["red" if seed % 2 == 0 else "green"]
        assert np.abs(made - wanted).max() < 25
    code, _, err = sr3(*common, "--class", "yellow")
    assert code == 2
    assert "there is no class 'yellow'; there are blue, green, red" in err
    code, _, err = sr3("generate", "--model", "face-16", "--class", "1")
    assert code == 2
    assert "it knows no classes" in err


def test_the_best_measured_weights_are_kept(tmp_path, sr3):
    """A rate that soon spoils what was learnt: the first point is the best, and what the run ends with."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(data / f"{k}.png")
    small = ["model.network.widths=[8,16]", "model.network.blocks=[1,1]", "model.network.embedding=16"]
    more = ["training.rate=0.3", "training.warmup=0", "training.batch=4", "training.crop=32", "training.average=0"]
    more += ["training.precision=fp32", "training.report_every=4", "training.pictures=12"]

    def go(out, keep, val=("--val", data, "--part-minutes", 0)):
        settings = [f"--set={s}" for s in (*small, *more, f"training.keep={keep}")]
        arguments = ["--data", data, *val, "--out", out, "--device", "cpu"]
        code, said, err = sr3("train", "photo-4x-regression", *arguments, *settings)
        assert code == 0, err
        return said, Model.from_file(out / "model.safetensors").about["pictures_seen"]

    said, seen = go(tmp_path / "best", "psnr")
    points = curve.read(tmp_path / "best" / "curve.csv")
    psnr = [point["measures"]["psnr"] for point in points]
    best = points[psnr.index(max(psnr))]["pictures"]
    assert best < 12
    assert seen == best
    assert f"kept: the weights after {best} pictures, {max(psnr):.2f} dB" in said
    said, seen = go(tmp_path / "last", "last")
    assert seen == 12
    assert "kept" not in said
    assert "the last weights are kept" in go(tmp_path / "blind", "psnr", ())[0]
