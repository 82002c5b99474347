"""The schedule search finds what is best, says what it may, and leaves a file that knows it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Spoilt, noise_picture
from PIL import Image
from safetensors.torch import load_file

from sr3.cli import main
from sr3.evaluation import tune as tuning
from sr3.evaluation.criterion import BY_SWD, Criterion, criterion
from sr3.evaluation.tune import Searching, Trial, Tuned, choose, tune
from sr3.metric.lite import Lite
from sr3.model.config import ConfigError, Sampling
from sr3.model.model import Model
from sr3.picture.collection import Pictures
from sr3.picture.image import read_note
from sr3.restore.restorer import Restorer


def trial(evaluations: int, score: float, fits: bool = True) -> Trial:
    return Trial(Sampling(steps=evaluations), evaluations, score, {"psnr": 20.0}, fits)


def test_qualities_are_the_fewest_steps_within_25_5_and_0_percent():
    best = {n: trial(n, score) for n, score in {2: 50.0, 4: 12.4, 8: 10.4, 16: 10.0, 32: 10.1}.items()}
    found = choose(best)
    assert {name: s.steps for name, s in found.items()} == {"fast": 4, "balanced": 8, "best": 16}


def test_what_keeps_psnr_goes_before_what_does_not():
    best = {2: trial(2, 5.0, fits=False), 4: trial(4, 9.0)}
    assert choose(best)["best"].steps == 4
    assert choose(best)["fast"].steps == 4


class Planted:
    """A bench whose best setting is known; its sampler is the best only in the best spacing."""

    def __init__(self, restorer: Restorer, pictures: Pictures, seed: int, criterion: Criterion):
        self.count = 0

    def psnr(self, restorer: Restorer) -> float:
        return 30.0

    def trial(self, settings: Sampling, budget: int, floor: float | None) -> Trial | None:
        if settings.noisiest is not None:
            return None  # as if it would not start from noise
        self.count += 1
        score = 100 / budget
        score += {"ddim": 0, "dpmpp": 2, "heun": 4}[settings.sampler["kind"]]
        score += 3 if settings.sampler["kind"] == "ddim" and settings.spacing != "karras" else 0
        score += {"karras": 0, "logsnr": 1, "t": 2}[settings.spacing]
        score += abs((settings.cleanest or 9) - 0.2)
        psnr = 29.5 if settings.sampler["kind"] == "dpmpp" else 28.0
        return Trial(settings, budget, score, {"psnr": psnr}, floor is None or psnr >= floor)


@pytest.fixture
def pictures() -> Pictures:
    pixels = [np.asarray(noise_picture(32, 32, seed=i)) for i in range(4)]
    return Pictures([f"{i}.png" for i in range(4)], pixels)


def test_the_search_finds_the_planted_optimum(tiny, pictures, monkeypatch):
    monkeypatch.setattr(tuning, "Bench", Planted)
    *steps, found = tune(Restorer(tiny, device="cpu"), pictures, budgets=[8, 2])
    assert isinstance(found, Tuned)
    assert all(isinstance(s, Searching) for s in steps)
    for budget in (2, 8):
        best = found.best[budget].settings
        assert (best.sampler["kind"], best.spacing, best.cleanest, best.noisiest) == ("ddim", "karras", 0.2, None)
        assert best.steps == budget
    assert len(found.trials) == len(steps) < 2 * 20
    keys = [(t.evaluations, t.settings.model_dump_json()) for t in found.trials]
    assert len(set(keys)) == len(keys)  # nothing is tried twice


def test_within_excludes_what_loses_too_much_psnr(tiny, pictures, monkeypatch):
    monkeypatch.setattr(tuning, "Bench", Planted)
    restorer = Restorer(tiny, device="cpu")
    *_, found = tune(restorer, pictures, budgets=[4], regression=restorer, within=1.0)
    assert isinstance(found, Tuned)
    assert found.best[4].settings.sampler["kind"] == "dpmpp"


def test_what_loses_pictures_loses_to_all_that_does_not():
    lost = Trial(Sampling(), 4, float("inf"), {"psnr": 40.0}, True, lost=1)
    assert min([lost, trial(4, 90.0, fits=False)], key=tuning.rank).lost == 0
    assert lost.as_dict()["lost"] == 1
    assert lost.as_dict()["score"] is None
    json.dumps(lost.as_dict(), allow_nan=False)
    assert "lost" not in trial(4, 9.0).as_dict()


def lite_like():
    """The eye, with random weights: the package need not be there."""
    torch.manual_seed(0)
    stages = [torch.nn.Conv2d(3, 4, 3, 2, 1)]
    return Lite("small", stages, torch.nn.Conv2d(4, 5, 1), torch.nn.Linear(5, 7))


@pytest.mark.parametrize("kind", ["swd", "eye", "frechet"])
def test_pictures_that_are_not_finite_are_counted(tiny, pictures, kind, monkeypatch):
    monkeypatch.setattr(tuning, "SAMPLERS", tuning.SAMPLERS[:2])
    monkeypatch.setattr(tuning, "CLEANEST", (0.2,))
    means = sorted(p.mean() / 127.5 - 1 for p in pictures.pixels)
    tiny.net = Spoilt(tiny.net, above=(means[-1] + means[-2]) / 2)
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    found = {"swd": BY_SWD, "eye": Criterion(lite_like()), "frechet": Criterion(features=lambda x: x.mean((2, 3)))}
    steps = tune(restorer, pictures, budgets=[1], criterion=found[kind])
    first = next(steps)
    assert isinstance(first, Searching)
    assert first.trial.lost == 2  # with projection, and without
    with pytest.raises(ConfigError, match="in 1 steps gives finite pictures alone"):
        list(steps)
    with pytest.raises(ConfigError, match="not finite even in fp32"):
        next(tune(restorer, pictures, budgets=[1], regression=restorer, within=1.0))


def test_trials_are_walked_again_in_fp32(tiny, pictures):
    want = next(tune(Restorer(tiny, device="cpu", precision="fp32"), pictures, budgets=[1]))
    tiny.net = Spoilt(tiny.net)
    with pytest.warns(RuntimeWarning, match="again in fp32"):
        found = next(tune(Restorer(tiny, device="cpu", precision="bf16"), pictures, budgets=[1]))
    assert isinstance(found, Searching)
    assert isinstance(want, Searching)
    assert found.trial.score == pytest.approx(want.trial.score)
    assert found.trial.lost == 0


def test_heun_gets_half_the_steps_for_the_same_evaluations():
    heun = tuning._with_budget(Sampling(sampler={"kind": "heun"}), 8)
    calls = 0

    def denoise(x, level):
        nonlocal calls
        calls += 1
        return x

    from sr3.diffusion.path import walk
    from sr3.diffusion.sample import last
    from sr3.diffusion.schedule import LogNormal
    from sr3.diffusion.tables import SAMPLERS

    last(SAMPLERS["heun"](denoise, torch.zeros(1), walk(LogNormal(), heun.steps)))
    assert calls in (7, 8)


@pytest.mark.parametrize("wrong", ["sizes", "steps", "within"])
def test_bad_use_is_one_sentence(tiny, pictures, wrong):
    options = {"budgets": [2]}
    if wrong == "sizes":
        pictures.pixels[0] = pictures.pixels[0][:28]
    elif wrong == "steps":
        options = {"budgets": [0]}
    else:
        options |= {"within": 1.0}
    with pytest.raises(ConfigError):
        list(tune(Restorer(tiny, device="cpu"), pictures, **options))


def test_the_command_writes_a_file_that_knows_its_qualities(tiny, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "SAMPLERS", tuning.SAMPLERS[:1])
    monkeypatch.setattr(tuning, "CLEANEST", (0.2, 1.0))
    monkeypatch.setattr(tuning, "SPACINGS", ("logsnr",))
    path = tiny.save_pretrained(tmp_path)
    before = load_file(path)
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        noise_picture(32, 32, seed=i).save(data / f"{i}.png")

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["sr3", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    small = tmp_path / "small.png"
    noise_picture(8, 8).save(small)
    assert run("upscale", small, "--model", path, "--quality", "fast", "-o", tmp_path / "no.png") == 2
    assert "has not been tuned" in capsys.readouterr().err
    monkeypatch.setattr("sr3.cli.tune.LEAST", 4)
    plot, log = tmp_path / "p.svg", tmp_path / "t.json"
    assert run("tune", path, "--data", data, "--steps", "1,2", "--plot", plot, "--json", log) == 0
    assert plot.read_text("utf-8").lstrip().startswith("<?xml")
    assert len(json.loads(log.read_text("utf-8"))["trials"]) >= 4
    after = Model.from_file(path)
    assert after.config.sampling == after.config.quality["balanced"]
    assert set(after.about["tuned"]["best"]) == {"1", "2"}
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, before[name])
    for name in ("fast", "best"):
        out = tmp_path / f"{name}.png"
        assert run("upscale", small, "--model", path, "--quality", name, "-o", out) == 0
        assert read_note(out)["steps"] == str(after.config.quality[name].steps)
        with Image.open(out) as made:
            assert made.size == (32, 32)
    assert run("upscale", small, "--model", path, "--quality", "bets") == 2
    assert "best" in capsys.readouterr().err


def test_features_are_for_the_criterion_that_asks_them(tmp_path):
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.mean((2, 3))\n")
    own = f"{tmp_path / 'own.py'}:seen"
    assert criterion("auto", features=own).features is not None
    assert criterion("frechet", features=own).features is not None
    for name in ("swd", "eye"):
        with pytest.raises(ConfigError, match=f"for the criterion frechet, and not for {name}"):
            criterion(name, features=own)


def test_a_heun_step_that_is_no_heun_step_is_not_tried(tiny, pictures, monkeypatch):
    monkeypatch.setattr(tuning, "Bench", Planted)
    *steps, _ = tune(Restorer(tiny, device="cpu", precision="fp32"), pictures, budgets=[1, 2, 3])
    tried = {(step.steps, step.trial.settings.sampler["kind"]) for step in steps}
    assert {budget for budget, kind in tried if kind == "heun"} == {3}


def test_how_long_it_will_take_is_known_before(tiny, pictures, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now[0])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    make = tuning.make

    def slow(*all_, settings, **more):
        now[0] += 0.5 * settings.steps
        return make(*all_, settings=settings, **more)

    monkeypatch.setattr(tuning, "make", slow)
    monkeypatch.setattr(tuning, "AT_ONCE", len(pictures))
    # one batch with projection and one without; each thing changed has one way that is the one before
    assert tuning.ahead(restorer, pictures, [2, 8]) == (42, pytest.approx(0.5 * 2 * 21 * 10))
    assert tuning.ahead(restorer, pictures, [1, 8], betas=30) == (31, pytest.approx(0.5 * 2 * (1 + 240)))
