"""What stands beside a model, and what is said where it cannot: baselines, networks, labels, names of rows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.evaluation import demo, method
from sr3.evaluation.betas import search
from sr3.evaluation.criterion import BY_SWD
from sr3.evaluation.evaluate import evaluate as measured
from sr3.evaluation.method import Ways, regression_beside, regression_of
from sr3.evaluation.run import read_run
from sr3.evaluation.study.pairs import _flat, make_pairs
from sr3.evaluation.tune import Bench
from sr3.metric.features import DISTANCES, FeatureDistance, MissingError
from sr3.metric.identity import Identity
from sr3.model.checkpoint import read_tensors, save
from sr3.model.config import ConfigError, Sampling
from sr3.model.model import Model
from sr3.picture.collection import Pictures, load
from sr3.restore.fault import code_and_sentence
from sr3.restore.restorer import Restorer
from sr3.task import Given


def model(factor=4, **changes):
    torch.manual_seed(0)
    made = Model(tiny_config(task={"kind": "super-resolution", "factor": factor}, **changes))
    for parameter in made.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return made


def regression(factor=4, **changes):
    return model(factor, kind="regression", prediction={"kind": "x0"}, **changes)


def test_only_a_regression_of_the_same_factor_is_a_baseline(tmp_path):
    restorer = Restorer(model(4), precision="fp32")
    for name, made, says in (
        ("two", regression(2), "two/model.safetensors is no baseline for tiny, as it makes pictures 2 times larger"),
        ("diffusion", model(4), "as it is a diffusion model; give another --regression"),
    ):
        made.save_pretrained(tmp_path / name)
        with pytest.raises(ConfigError, match=says):
            regression_beside(restorer, tmp_path / name / "model.safetensors")
    regression(4).save_pretrained(tmp_path / "four")
    assert regression_beside(restorer, tmp_path / "four").model.config.kind == "regression"


def test_a_model_that_keeps_a_shipped_name_for_another_factor_has_no_baseline():
    assert regression_of(model(4, name="photo-4x")) is not None
    assert regression_of(model(2, name="photo-4x")) is None


def test_a_regression_beside_another_keeps_its_own_folder(tmp_path):
    pictures = Pictures(["a.png"], [np.asarray(noise_picture(16, 16))])
    own, other = regression(4), regression(4)
    torch.nn.init.normal_(next(other.net.parameters()), std=0.3)
    list(make_pairs(Restorer(own), Restorer(other), pictures, tmp_path / "pairs"))
    assert {p.name for p in (tmp_path / "pairs").iterdir()} == {"original", "given", "bicubic", "regression", "model"}


def test_no_two_pictures_have_one_name_in_a_folder():
    assert _flat(["a-2.png", "a.jpg", "a.png"]) == ["a-2", "a", "a-3"]
    assert _flat(["a.png", "b/a.png", "b-a.png"]) == ["a", "b-a", "b-a-2"]


def test_what_nobody_looks_at_is_not_made(monkeypatch):
    restorer, asked = Restorer(model(4), precision="fp32"), []
    monkeypatch.setattr(method, "make", lambda r, g, s, free, **_: asked.append(free) or torch.zeros(1, 3, 16, 16))
    given = Given(torch.zeros(1, 3, 4, 4))
    for beside in (True, False):
        asked.clear()
        found = list(Ways(restorer, None, restorer.settings(), 1, 0, False, beside)(given, [0]))
        assert asked == ([False, True] if beside else [False])
        assert (found[-1].free is None) == (not beside)
        assert found[-1].finite.all()


def test_pictures_may_be_taken_evenly(tmp_path):
    for kind in "abc":
        (tmp_path / kind).mkdir()
        for k in range(4):
            Image.new("RGB", (8, 8), (10 * k, 0, ord(kind))).save(tmp_path / kind / f"{k}.png")
    assert load(tmp_path, most=3).names == ["a/0.png", "a/1.png", "a/2.png"]
    assert load(tmp_path, most=3, spread=True).names == ["a/0.png", "b/0.png", "c/0.png"]
    (tmp_path / "b" / "0.png").write_bytes(b"no picture")
    found = load(tmp_path, most=3, spread=True)
    assert (found.names, found.broken) == (["a/0.png", "c/0.png", "a/1.png"], ["b/0.png"])
    assert len(load(tmp_path, most=50, spread=True)) == 11


def test_weights_of_other_programs_stay_in_fp32_when_they_are_tuned(tmp_path):
    from sr3.cli.tune import _keep

    tuned = SimpleNamespace(quality={"balanced": Sampling(steps=2)})
    for name, half in (("fine", False), ("plain", True)):
        made = model(4)
        save(tmp_path / name, made.config, made.tensors(), half=half)
        _keep(Model.from_pretrained(tmp_path / name), tuned, tmp_path / name, {})
        kinds = {t.dtype for t in read_tensors(tmp_path / name)[0].values()}
        assert kinds == {torch.float16 if half else torch.float32}


def test_a_file_of_made_pictures_says_what_it_is(tmp_path):
    row = {"method": "face-16", "swd": 1.0, "interval": {}}
    (tmp_path / "a.json").write_text(json.dumps({"protocol": {}, "names": [], "rows": [row], "each": {}}))
    with pytest.raises(ConfigError, match=r"a.json is of pictures made of nothing, which have no originals"):
        read_run(tmp_path / "a.json")


def test_a_file_may_have_values_that_are_none(tmp_path):
    row = {"method": "sr3", "psnr": 1.0, "interval": {}}
    each = {"sr3": {"psnr": [1, float("inf"), None, float("nan")]}}
    told = {"protocol": {}, "names": ["a", "b", "c", "d"], "rows": [row], "each": each}
    (tmp_path / "a.json").write_text(json.dumps(told))
    assert read_run(tmp_path / "a.json").each["sr3"]["psnr"] == [1.0, None, None, None]


@pytest.mark.parametrize("measure", [lambda f: FeatureDistance(f, {"kernel": DISTANCES["kernel"]}), Identity])
def test_features_of_two_lengths_are_said(measure):
    found = measure(lambda x: x.flatten(1))
    found.update(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 3, 1, 1))
    with pytest.raises(MissingError, match=r"of one picture are 48 numbers and of another 75; average") as raised:
        found.update(torch.rand(2, 3, 5, 5), torch.rand(2, 3, 5, 5), torch.rand(2, 3, 1, 1))
    assert code_and_sentence(raised.value)[0] == 2


def test_the_demonstration_takes_any_factor(monkeypatch):
    monkeypatch.setattr(demo, "SIDE", 32)
    monkeypatch.setattr(demo, "photographs", lambda: [("a", torch.zeros(1, 3, 32, 32))])
    (row,) = demo.rows(Restorer(model(3), precision="fp32"), None)
    assert {tuple(shown.shape[-2:]) for _, shown in row.pictures[1:]} == {(30, 30)}


def test_a_task_changes_nothing_of_what_the_network_is_shown():
    inpainting = Model(tiny_config(task={"kind": "inpainting"}, residual=False))
    inpainting.change_task(["measured=boxes"])
    assert inpainting.task.measured == "boxes"
    with pytest.raises(ConfigError, match=r"marked=true changes what tiny is shown; train another for that"):
        inpainting.change_task(["marked=true"])
    assert not inpainting.task.marked


def test_heuns_evaluations_are_two_a_step_but_for_the_last():
    restorer = Restorer(model(4), precision="fp32")
    bench = Bench(restorer, Pictures(["a"], [np.asarray(noise_picture(16, 16))]), 0, BY_SWD)
    settings = Sampling(sampler={"kind": "heun"}, steps=3, spacing="logsnr")
    assert bench.trial(settings, 8, None).evaluations == 5
    assert bench.trial(settings.model_copy(update={"sampler": {"kind": "ddim"}}), 3, None).evaluations == 3


def test_accuracy_asks_for_labels():
    restorer, pictures = Restorer(model(4)), Pictures(["a"], [np.asarray(noise_picture(32, 32))])
    for more in ({}, {"classifier": lambda x: x.mean((2, 3))}, {"labels": [0]}):
        with pytest.raises(ConfigError, match="accuracy needs a classifier of yours, and labels"):
            list(measured(restorer, pictures, measures=["accuracy"], samples=1, **more))


def test_one_step_has_one_schedule():
    tried = []
    assert len(list(search(lambda betas: tried.append(betas) or 1.0, 1, 0.1, trials=60))) == 1
    assert tried == [(0.9,)]
