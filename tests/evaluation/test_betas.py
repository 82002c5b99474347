"""The search over betas finds what is known to be better: of data that are Gaussian, and denoised exactly."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from scipy.optimize import minimize

from sr3.diffusion.exact import Gaussian
from sr3.diffusion.path import walk
from sr3.diffusion.sample import ancestral
from sr3.diffusion.schedule import Betas, LinearBeta
from sr3.evaluation import betas as module
from sr3.evaluation.betas import sampling, schedule, search, tune_betas
from sr3.evaluation.criterion import BY_SWD, Criterion, criterion
from sr3.evaluation.tune import Searching, Trial, Tuned
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import Pictures
from sr3.random import mix, uniforms
from sr3.restore.restorer import Restorer

STD, END = 0.3, float(LinearBeta().knots[0][-1])


def distance(betas, std=STD):
    """The exact Fréchet distance between N(0, std**2) and where SR3's walk along these betas ends, denoised exactly.

    Each step is x' = p x + q x0 + noise with x0 = c x, so the variance goes by (p + q c)**2, plus the noise's.
    """
    bars = np.concatenate([[1.0], np.cumprod(1 - np.asarray(betas))])
    variance = 1.0
    for k in range(len(betas), 0, -1):
        here, there, beta = bars[k], bars[k - 1], betas[k - 1]
        c = math.sqrt(here) * std**2 / (here * std**2 + 1 - here)
        p = math.sqrt(1 - beta) * (1 - there) / (1 - here)
        q = math.sqrt(there) * beta / (1 - here)
        variance = (p + q * c) ** 2 * variance + (beta if k > 1 else 0)
    return (math.sqrt(variance) - std) ** 2


def linear(steps):
    """SR3's training schedule walked evenly in t: the betas of so many steps."""
    bars = LinearBeta().knots[0][:: 2000 // steps].numpy()
    return tuple(1 - bars[1:] / bars[:-1])


def test_the_closed_form_is_the_walk():
    """The recursion that the tests judge by, against the sampler itself on many pixels."""
    betas = linear(8)
    assert math.prod(1 - b for b in betas) == pytest.approx(END)
    path = walk(Betas(betas), 8, "t")
    x = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.manual_seed(1)
    *_, end = ancestral(Gaussian(0.0, STD), x, path)
    assert (float(end.x.std()) - STD) ** 2 == pytest.approx(distance(betas), rel=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("steps", [8, 16])
def test_it_finds_schedules_that_are_known_to_be_better(steps, seed):
    """Far ahead of even steps along the training schedule, and of the best of as many without mantissas."""
    found = dict(search(distance, steps, END, trials=120, seed=seed))
    assert len(found) <= 120
    best = min(found.values())
    assert best < distance(linear(steps)) / 10
    for betas, value in found.items():
        assert distance(betas) == value
        assert len(betas) == steps
        assert math.prod(1 - b for b in betas) == pytest.approx(END, rel=1e-6)
    assert dict(search(distance, steps, END, trials=120, seed=seed)) == found


def test_it_comes_near_the_best_there_is():
    """Where the best is not perfect, three steps for two spreads at once, beside an optimiser with every digit."""

    def worst(betas):
        return distance(betas, 0.3) + distance(betas, 0.1)

    def of(x):
        betas = schedule(3, END, x[0], x[1])
        return 9.0 if betas is None else worst(betas)

    grid = [(a, b) for a in np.linspace(-5, -0.5, 40) for b in np.linspace(-1.5, -0.01, 40)]
    known = minimize(of, min(grid, key=of), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}).fun
    best = min(value for _, value in search(worst, 3, END, trials=200))
    assert known <= best * 1.001
    assert math.sqrt(best) < 1.25 * math.sqrt(known)


def test_exponents_come_first_and_then_mantissas_ever_nearer():
    """Where they are drawn: the ends within their ranges, later each within what is left of half a decade around the
    best."""
    found = list(search(lambda betas: betas[0], 4, 1e-4, trials=20, seed=3))
    drawn = [np.log10(np.array(betas[:3])) for betas, _ in found]
    coarse, fine = drawn[:10], drawn[10:]
    for k, exponents in enumerate(coarse):
        one, two = uniforms(mix(3, 4), [k], 6)[0, :2]
        assert exponents[0] == pytest.approx(-6 + 4.5 * one)
        assert exponents[2] == pytest.approx(min(-1.5 + 1.5 * two, math.log10(0.98)))
        assert exponents[1] == pytest.approx((-6 + 4.5 * one - 1.5 + 1.5 * two) / 2)
    best = min(coarse, key=lambda exponents: exponents[0])
    moves = 0.5 * (2 * uniforms(mix(3, 4), [10], 6)[0, 2:5] - 1)  # half of the way, half a decade is left
    assert fine[0] == pytest.approx(np.minimum(best + moves, math.log10(0.98)))


def test_the_family_is_wavegrads_but_for_the_last():
    betas = schedule(6, 1e-4, -4, 0 - 0.4)
    assert np.log10(betas[:-1]) == pytest.approx(np.linspace(-4, -0.4, 5))
    moved = schedule(6, 1e-4, -4, -0.4, [0.1, 0, 0, 0, -0.2])
    assert np.log10(np.array(moved[:5]) / betas[:5]) == pytest.approx([0.1, 0, 0, 0, -0.2])
    assert schedule(1, 1e-4, -4, -1) == (1 - 1e-4,)
    assert schedule(9, 0.5, -0.5, -0.1) is None  # beyond the end already
    assert max(schedule(4, 1e-8, -1, 0)[:-1]) == 0.98


def test_a_models_walk_visits_the_products_of_the_betas():
    model = Model(tiny_config())
    betas = (1e-3, 0.05, 0.5, 0.9, 0.995)
    levels = model.walk.path(sampling(betas)).levels
    wanted = np.cumprod(1 - np.array(betas))[::-1]
    assert levels.alpha[:-1].square().numpy() == pytest.approx(wanted)
    assert levels.sigma[:-1].square().numpy() == pytest.approx(1 - wanted)
    assert levels.sigma[-1] == 0
    for bad in ((), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            Betas(bad)


@pytest.fixture
def restorer():
    torch.manual_seed(0)
    model = Model(tiny_config(task={"kind": "super-resolution", "factor": 4}))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return Restorer(model, device="cpu", precision="fp32")


@pytest.fixture
def pictures():
    return Pictures([str(k) for k in range(4)], [np.asarray(noise_picture(32, 32, seed=k)) for k in range(4)])


def test_a_model_is_tuned_by_the_frechet_distance(restorer, pictures):
    judged = Criterion(features=lambda x: x.mean((2, 3)))
    assert judged.said == "Fréchet distance of features; the user's network"
    *steps, last = tune_betas(restorer, pictures, criterion=judged, budgets=(3, 2), trials=4)
    assert isinstance(last, Tuned)
    assert all(isinstance(step, Searching) for step in steps)
    assert [step.steps for step in steps] == sorted(step.steps for step in steps)
    for budget, best in last.best.items():
        own = [s.trial for s in steps if s.steps == budget]
        assert best.score == min(t.score for t in own) == best.measures["frechet"]
        assert best.settings.steps == budget == len(best.settings.schedule["values"])
        # the search starts as noisy as the schedule of training ends
        path = restorer.model.walk.path(best.settings)
        assert float(path.levels.ratio[0]) == pytest.approx(5.0, rel=1e-5)
    assert set(last.quality) == {"fast", "balanced", "best"}


def test_psnr_may_be_bounded_and_bad_budgets_are_refused(restorer, pictures, monkeypatch):
    class Planted:
        def __init__(self, *_):
            pass

        def psnr(self, regression):
            return 30.0

        def trial(self, settings, budget, floor):
            betas = settings.schedule["values"]
            psnr = 29.5 if betas[0] > 1e-4 else 20.0
            return Trial(settings, budget, betas[0], {"psnr": psnr}, floor is None or psnr >= floor)

    monkeypatch.setattr(module, "Bench", Planted)
    *_, free = tune_betas(restorer, pictures, criterion=BY_SWD, budgets=(4,), trials=40)
    *_, bound = tune_betas(
        restorer, pictures, criterion=BY_SWD, budgets=(4,), trials=40, regression=restorer, within=1.0
    )
    assert free.best[4].settings.schedule["values"][0] < 1e-4 < bound.best[4].settings.schedule["values"][0]
    for options, why in (
        ({"budgets": ()}, "1 to 100"),
        ({"budgets": (101,)}, "1 to 100"),
        ({"within": 1.0}, "needs the regression"),
    ):
        with pytest.raises(ConfigError, match=why):
            next(tune_betas(restorer, pictures, criterion=BY_SWD, **options))
    monkeypatch.setattr(Planted, "trial", lambda *_: None)
    with pytest.raises(ConfigError, match="no betas of 4 steps"):
        list(tune_betas(restorer, pictures, criterion=BY_SWD, budgets=(4,), trials=4))


def test_the_command_searches_betas_and_the_model_then_uses_them(restorer, pictures, tmp_path, sr3, monkeypatch):
    monkeypatch.setattr("sr3.cli.tune.LEAST", len(pictures))
    from PIL import Image

    restorer.model.save_pretrained(tmp_path / "m")
    (tmp_path / "data").mkdir()
    for name, pixels in zip(pictures.names, pictures.pixels, strict=True):
        Image.fromarray(pixels).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "own.py").write_text("def seen(x):\n    return x.mean((2, 3))\n")
    file = tmp_path / "m" / "model.safetensors"
    common = ["tune", file, "--data", tmp_path / "data", "--steps", "2", "--device", "cpu", "--precision", "fp32"]
    code, _, err = sr3(
        *common, "--betas", 3, "--features", f"{tmp_path / 'own.py'}:seen", "--json", tmp_path / "t.json"
    )
    assert code == 0, err
    record = json.loads((tmp_path / "t.json").read_text())
    assert record["criterion"].startswith("Fréchet")
    assert len(record["trials"]) <= 3
    quality = Model.from_file(file).config.quality
    assert quality["best"].schedule["kind"] == "betas"
    code, _, err = sr3(
        "upscale", tmp_path / "data" / "0.png", "--model", file, "--quality", "best", "--output", tmp_path / "o.png"
    )
    assert code == 0, err
    with pytest.raises(ConfigError, match="names no function"):
        criterion("frechet", features="nothing")
