"""A stopped run goes on bit for bit; the average is the average; what is not finite is skipped and said."""

import itertools
from functools import cache
from math import isfinite, isnan, nan

import pytest
import torch
from conftest import TINY, picture_folder

from sr3.model import recipe as recipes
from sr3.model.checkpoint import read_tensors
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.training.data import Crops
from sr3.training.plan import rate_at
from sr3.training.run import PATIENCE, TrainingError
from sr3.training.train import train

SMALL = [
    "training.batch=4",
    "training.crop=32",
    "training.pictures=48",
    "training.warmup=8",
    "training.save_every=24",
    "training.report_every=4",
    "model.network.widths=[8,16]",
    "model.network.blocks=[1,1]",
    "model.network.embedding=16",
    "model.network.dropout=0.1",
]


def recipe(*more: str, name: str = "photo-4x-regression"):
    return recipes.load(name, [*SMALL, *more])


@pytest.fixture
def crops(folder):
    return Crops(load(folder), 32)


def states(folder):
    return read_tensors(folder / "state.safetensors")[0]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Of a recipe's name: (where it is told to begin, the state its run ends in, its model), once for all stops."""
    place = tmp_path_factory.mktemp("uninterrupted")
    picture_folder(place)

    @cache
    def of(name):
        begin = () if name == "photo-4x-regression" else (f"training.begin={of('photo-4x-regression')[2]}",)
        for _ in train(recipe(*begin, name=name), Crops(load(place / "pictures"), 32), place / name):
            pass
        return begin, states(place / name), place / name / "model.safetensors"

    return of


@pytest.mark.parametrize("name", ["photo-4x-regression", "photo-4x"])
@pytest.mark.parametrize("stop", [4, 24, 32])
def test_stop_and_resume_is_the_uninterrupted_run(crops, uninterrupted, tmp_path, name, stop):
    more, whole, _ = uninterrupted(name)
    running = train(recipe(*more, name=name), crops, tmp_path / "parts")
    for _, report in running:
        if report.seen >= stop:
            break
    running.close()
    for _ in train(recipe(*more, name=name), crops, tmp_path / "parts"):
        pass
    parts = states(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for key in whole:
        assert torch.equal(whole[key], parts[key]), key


def test_a_batch_in_parts_is_the_same_batch(crops, tmp_path):
    for parts in (1, 4):
        settings = [f"training.accumulate={parts}", "training.precision=fp32", "model.network.dropout=0.0"]
        for _ in train(recipe(*settings), crops, tmp_path / str(parts)):
            pass
    one, four = states(tmp_path / "1"), states(tmp_path / "4")
    for key in one:
        torch.testing.assert_close(one[key], four[key], rtol=1e-3, atol=2e-4)


def test_training_lowers_the_loss(crops, tmp_path):
    losses = [report.loss for _, report in train(recipe("training.pictures=600"), crops, tmp_path)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_the_models_file_holds_the_average(crops, tmp_path):
    *_, (run, _) = train(recipe(), crops, tmp_path)
    saved = Model.from_pretrained(tmp_path / "model.safetensors")
    assert saved.about["pictures_seen"] == 48
    for key, value in saved.net.state_dict().items():
        torch.testing.assert_close(value, run.flat.named(run.average)[key].half().float(), rtol=0, atol=0)
    assert not torch.equal(run.flat.weights, run.average)


def test_without_average_the_file_holds_the_weights(crops, tmp_path):
    *_, (run, _) = train(recipe("training.average=0"), crops, tmp_path)
    assert torch.equal(run.flat.weights, run.average)


def spoil(monkeypatch, bad):
    """Let the batches that are made after so many others be no numbers."""
    plain, calls = Crops.cut, itertools.count()
    monkeypatch.setattr(Crops, "cut", lambda self, places: plain(self, places) * (nan if bad(next(calls)) else 1))


def test_a_batch_that_is_not_finite_is_skipped_and_counted(crops, tmp_path, monkeypatch):
    spoil(monkeypatch, lambda call: call == 2)
    running = train(recipe("training.average=40"), crops, tmp_path)
    kept = []
    for run, report in itertools.islice(running, 3):  # noqa: B007
        kept.append([v.clone() for v in (run.flat.weights.detach(), run.average, *run.moments.values())])
    assert all(map(torch.equal, kept[1], kept[2]))
    assert isnan(report.loss)
    *_, (run, report) = running
    assert not torch.equal(run.flat.weights, kept[2][0])
    assert report.skipped == 1
    assert isfinite(report.loss)
    assert all(torch.isfinite(t).all() for t in states(tmp_path).values())


def test_training_gives_up_on_endless_nonsense_and_saves_none(crops, tmp_path, monkeypatch):
    spoil(monkeypatch, lambda call: True)
    endless = recipe(f"training.pictures={8 * PATIENCE}", "training.save_every=100000")
    with pytest.raises(TrainingError, match="not finite"):
        for _ in train(endless, crops, tmp_path):
            pass
    assert not (tmp_path / "model.safetensors").exists()


def test_another_recipe_is_refused_in_the_same_folder(crops, tmp_path):
    next(iter(train(recipe(), crops, tmp_path)))
    for _ in itertools.islice(train(recipe(), crops, tmp_path), 1):
        pass
    with pytest.raises(ConfigError, match=r"another recipe: training\.clip was 1\.0 and is 2\.0, training\.rate was"):
        next(train(recipe("training.rate=0.5", "training.clip=2"), crops, tmp_path))
    with pytest.raises(ConfigError, match=r"another recipe: model\.network\.blocks"):
        next(train(recipe("model.network.blocks=[1,2]"), crops, tmp_path))


def test_other_pictures_are_refused_in_the_same_folder(folder, crops, tmp_path):
    next(train(recipe(), crops, tmp_path / "run"))
    pictures = load(folder)
    pictures.names[0] = "other.png"
    with pytest.raises(ConfigError, match="other pictures"):
        next(train(recipe(), Crops(pictures, 32), tmp_path / "run"))
    (folder / "a.png").unlink()
    with pytest.raises(ConfigError, match="other pictures"):
        next(train(recipe(), Crops(load(folder), 32), tmp_path / "run"))


def test_length_reports_and_parts_may_change_when_going_on(crops, tmp_path):
    next(train(recipe(), crops, tmp_path))
    free = [f"training.{s}" for s in ("pictures=52", "save_every=3", "report_every=8", "accumulate=2")]
    *_, (run, _) = train(recipe(*free), crops, tmp_path)
    assert run.seen == 52


def test_weights_of_another_shape_cannot_be_begun_from(crops, tmp_path, tiny):
    other = tiny.save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="another shape"):
        next(train(recipe(f"training.begin={other}", "model.network.widths=[8,8]"), crops, tmp_path / "run"))
    assert TINY["widths"] == [8, 16]


def test_rate_warms_up_and_decays():
    plan = recipe("training.pictures=1000", "training.warmup=100", "training.rate=1.0")
    rates = [rate_at(seen, plan) for seen in range(0, 1000, 4)]
    assert rates[0] == pytest.approx(0.04, rel=1e-3)
    assert max(rates) == pytest.approx(1, abs=0.03)
    assert rates.index(max(rates)) == 24
    assert rates[-1] == pytest.approx(0.01, abs=0.001)
