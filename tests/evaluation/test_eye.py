"""Evaluation and schedule search by what a network sees."""

import sys

import numpy as np
import pytest
import torch
from conftest import noise_picture
from torch import nn

from sr3.cli.evaluate import table
from sr3.evaluation import criterion as judging
from sr3.evaluation.criterion import BY_SWD, SHARES, Criterion, criterion
from sr3.evaluation.evaluate import evaluate
from sr3.evaluation.result import Result
from sr3.evaluation.tune import Bench
from sr3.metric.lite import Lite
from sr3.model.config import ConfigError
from sr3.picture.collection import Pictures
from sr3.restore.restorer import Restorer


@pytest.fixture
def network() -> Lite:
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.ReLU6()) for a, b in ((3, 8), (8, 12))]
    return Lite("small", stages, nn.Conv2d(12, 6, 4, 4), nn.Linear(6, 3))


@pytest.fixture
def pictures() -> Pictures:
    pixels = [np.asarray(noise_picture(32, 32, seed=i)) for i in range(5)]
    return Pictures([f"{i}.png" for i in range(5)], pixels)


def test_the_score_adds_shares_of_bicubics(network):
    bicubic = {"kernel": 0.5, "feature": 0.4, "consistency_free": 20.0}
    by_eye = Criterion(network)
    assert by_eye.score(bicubic, bicubic) == pytest.approx(3)
    assert by_eye.score({"kernel": 0.1, "feature": 0.2, "consistency_free": 2}, bicubic) == pytest.approx(0.8)
    # unbiased distances fall below 0; there is nothing better than not to be told apart
    assert by_eye.score({"kernel": -0.1, "feature": 0.2, "consistency_free": 0}, bicubic) == pytest.approx(0.5)
    assert by_eye.score({"kernel": 9, "feature": 0.2, "consistency_free": 0}, bicubic | {"kernel": -0.1}) == 0.5
    assert BY_SWD.score({"swd": 30.0, "consistency_free": 2.0}, {}) == 32
    assert "small, (255 x - 127) / 128" in by_eye.said
    assert "SWD" in BY_SWD.said


def test_a_trial_is_measured_beside_bicubic(network, tiny, pictures):
    restorer = Restorer(tiny, device="cpu")
    bench = Bench(restorer, pictures, 0, Criterion(network), batch=2)
    trial = bench.trial(tiny.config.sampling, 3, None)
    assert trial is not None
    assert {*SHARES, "swd", "psnr"} <= trial.measures.keys()
    assert trial.score == pytest.approx(sum(max(0, trial.measures[n]) / bench.baseline[n] for n in SHARES))
    # bicubic's are those that an evaluation prints
    options = {"samples": 1, "features": network, "measures": ["grid"]}
    *_, found = evaluate(restorer, pictures, **options)
    assert isinstance(found, Result)
    row = found.rows[0]
    assert row["method"] == "bicubic"
    for name in ("kernel", "feature"):
        assert row[name] == pytest.approx(bench.baseline[name], rel=1e-4)
    # and consistency is of the first batch, as a trial's is
    first = found.each["bicubic"]["consistency_free"][:2]
    assert bench.baseline["consistency_free"] == pytest.approx(sum(first) / 2, rel=1e-4)
    assert bench.baseline["consistency_free"] != pytest.approx(row["consistency_free"], rel=1e-2)
    assert found.rows[1]["feature"] == pytest.approx(trial.measures["feature"], rel=1e-3)
    assert len(found.each["sr3"]["feature"]) == len(pictures)
    assert "grid" in row
    for name in ("feature", "kernel"):
        assert "small, (255 x - 127) / 128" in found.protocol[name]
    assert "feature " in table(found)
    assert Bench(restorer, pictures, 0, BY_SWD).baseline == {}


def test_where_the_network_is_not_installed_swd_judges_and_that_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # importing it now fails
    found = criterion()
    assert found.network is None
    assert "(the extra `eye`); judged by SWD" in found.note
    with pytest.raises(ConfigError, match="the extra `eye`"):
        criterion("eye")
    assert criterion("swd") is BY_SWD
    with pytest.raises(ConfigError, match="did you mean eye"):
        criterion("eyes")


def test_where_it_is_installed_the_eye_judges(monkeypatch, network):
    monkeypatch.setattr(judging, "lite", lambda device: network)
    assert criterion().network is criterion("eye").network is network
    assert criterion().note == ""
