"""Comparison: differences that are known, p against scipy, directions, and files that do not belong together."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import permutation_test

from sr3.cli import main
from sr3.evaluation.compare import DEFINITIONS, compare
from sr3.evaluation.run import Run, read_run
from sr3.metric import METRICS, Consistency
from sr3.metric.extra import EYE, extra
from sr3.metric.stats import nearer_to_one
from sr3.metric.table import MEASURES, measure, ordered, worth
from sr3.model.config import ConfigError

PROTOCOL = {"model": "m", "data": "faces", "factor": 8, "border": 0, "degradation": "d", "result": "r", "steps": 8}
BICUBIC = {"psnr": [20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0]}
NAMES = [f"{i}.png" for i in range(8)]


def run(each, *, rows=(), names=NAMES, method="sr3", bicubic=None, **protocol) -> Run:
    """A run with a method's values; rows: of the whole set, measure -> (value, low, high)."""
    whole = {name: value[0] for name, value in dict(rows).items()}
    ends = {name: [value[1], value[2]] for name, value in dict(rows).items() if len(value) == 3}
    control = bicubic or {"psnr": BICUBIC["psnr"][: len(names)]}
    row = {"method": method, "interval": ends, **{n: float(np.mean(v)) for n, v in each.items()}, **whole}
    first = {"method": "bicubic", "interval": {}, **{n: float(np.mean(v)) for n, v in control.items()}}
    return Run(
        {**PROTOCOL, **protocol},
        {"bicubic": first, method: row},
        list(names),
        {"bicubic": control, method: {n: list(v) for n, v in each.items()}},
    )


BASE = np.array([25.0, 22.0, 30.0, 27.5, 24.0, 26.0, 21.0, 29.0])
GAIN = np.array([0.5, 0.7, 0.2, 0.9, 0.4, 0.6, 0.3, 0.8])


def test_a_known_difference():
    found = compare(run({"psnr": BASE}), run({"psnr": BASE + GAIN}, steps=64))
    (one,) = found.paired
    assert (one.measure, one.pictures, one.better) == ("psnr", 8, "B")
    assert (one.a, one.b) == (pytest.approx(BASE.mean()), pytest.approx((BASE + GAIN).mean()))
    assert one.difference == pytest.approx(0.55)
    assert one.says == "B is better by 0.55 dB"
    # the bootstrap's interval is about the normal one; that of the runs themselves would be tens of times wider
    half = 1.96 * GAIN.std() / math.sqrt(8)
    assert one.low == pytest.approx(0.55 - half, abs=0.03)
    assert one.high == pytest.approx(0.55 + half, abs=0.03)
    assert found.settings == {"steps": (8, 64)}
    assert (found.methods, found.pictures, found.whole, found.notes) == (("sr3", "sr3"), 8, [], [])


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 0.6])
def test_p_is_that_of_all_sign_flips(shift):
    difference = np.array([0.31, -0.42, 0.55, -0.13, 0.27, 0.08, -0.36, 0.61]) + shift
    ours = compare(run({"ssim": BASE}), run({"ssim": BASE + difference})).paired[0].p

    def mean(x, axis):
        return x.mean(axis=axis)

    exact = permutation_test((difference,), mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert ours == pytest.approx(exact, abs=0.015)


def test_every_measure_has_its_direction():
    for name, one in METRICS.items():
        made = Consistency(lambda x: x, "consistency_free") if one is Consistency else one()
        for part in (name, *made.compute()):
            assert measure(part).better == ("higher" if one.higher_is_better else "lower"), part
    assert measure("swd_0").better == measure("swd_low").better == "lower"
    assert {name for name, one in MEASURES.items() if one.better == "higher"} == {
        *("psnr", "psnr_y", "ssim", "ssim_y", "is", "accuracy", "accuracy_5", "agreement", "agreement_5", "identity")
    }
    assert {name for name, one in MEASURES.items() if one.better in ("one", "neither")} == {
        *("calibration", "spread", "pairwise", "pairwise_lpips", "colourfulness", "colourfulness_share", "join")
    }
    assert [worth(n, 1.5) for n in ("psnr", "swd", "calibration", "spread")] == [1.5, -1.5, -0.5, None]
    assert ordered({"other", "swd_1", "ssim", "swd_0", "psnr"}) == ["psnr", "ssim", "swd_0", "swd_1", "other"]


@pytest.mark.parametrize(
    ("name", "better", "says"),
    [
        ("psnr_y", "B", "B is better by 0.55 dB"),
        ("agreement", "B", "B is better by 0.55"),
        ("lpips", "A", "A is better by 0.55"),
        ("tint", "A", "A is better by 0.55 of 255"),
        ("consistency_free", "A", "A is better by 0.55 ×1e-5"),
        ("spread", None, "B is larger by 0.55 of 255"),
    ],
)
def test_which_is_better_goes_by_direction(name, better, says):
    one = compare(run({name: BASE}), run({name: BASE + GAIN})).paired[0]
    assert (one.better, one.says) == (better, says)
    back = compare(run({name: BASE + GAIN}), run({name: BASE})).paired[0]
    assert back.better == {"A": "B", "B": "A", None: None}[better]
    assert back.difference == pytest.approx(-0.55)


def test_what_is_not_sure_is_not_called_better():
    mixed = np.array([0.5, -0.5, 0.4, -0.3, 0.6, -0.5, 0.2, -0.1])
    assert compare(run({"psnr": BASE}), run({"psnr": BASE + mixed})).paired[0].says == "not told apart"
    same = compare(run({"psnr": BASE}), run({"psnr": BASE})).paired[0]
    assert (same.says, same.difference, same.low, same.high, same.p) == ("equal", 0, 0, 0, 1)
    # all three better: the interval leaves 0 out, but one of four such triples does so by chance
    three = compare(run({"psnr": BASE[:3]}, names=NAMES[:3]), run({"psnr": BASE[:3] + 1}, names=NAMES[:3])).paired[0]
    assert three.low == pytest.approx(1)
    assert three.p == pytest.approx(0.25, abs=0.02)
    assert (three.better, three.says) == (None, "not told apart")
    one = compare(run({"psnr": BASE[:1]}, names=NAMES[:1]), run({"psnr": BASE[:1] + 1}, names=NAMES[:1])).paired[0]
    assert (one.low, one.p, one.better, one.says) == (None, None, None, "one picture tells nothing")


def test_only_pictures_of_both_are_compared_by_name():
    order = [5, 3, 1]
    other = run(
        {"psnr": [*(BASE[order] + 1), 99.0]},
        names=[*(NAMES[i] for i in order), "new.png"],
        bicubic={"psnr": [*(BICUBIC["psnr"][i] for i in order), 1.0]},
        rows={"swd": (1.0, 0.9, 1.1)},
    )
    found = compare(run({"psnr": BASE}, rows={"swd": (9.0, 8.0, 10.0)}), other)
    (one,) = found.paired
    assert (one.pictures, one.a, one.difference) == (3, pytest.approx(BASE[order].mean()), pytest.approx(1))
    assert found.whole == []
    assert "8 pictures and B 4, of which 3 are in both" in found.notes[0]


def test_pictures_without_a_value_and_twins_of_a_name():
    names = ["x", "x", "y"]
    a = Run(PROTOCOL, {"sr3": {"method": "sr3"}}, names, {"sr3": {"ssim": [0.1, 0.2, None]}})
    b = Run(PROTOCOL, {"sr3": {"method": "sr3"}}, names, {"sr3": {"ssim": [0.3, 0.6, 0.9]}})
    (one,) = compare(a, b).paired
    assert (one.pictures, one.difference) == (2, pytest.approx(0.3))


def test_measures_of_a_set_have_no_p():
    a = run({"psnr": BASE}, rows={"swd": (10, 9, 11), "fid": (50, 40, 60), "is": (2, 1.9, 2.1), "kid": (0.1,)})
    b = run({"psnr": BASE}, rows={"swd": (20, 19, 21), "fid": (55, 45, 65), "is": (3, 2.9, 3.1), "kid": (0.2,)})
    found = {one.measure: one for one in compare(a, b).whole}
    assert list(found) == ["swd", "fid", "kid", "is"]
    assert not any(hasattr(one, "p") for one in found.values())
    assert {n: (one.better, one.overlap) for n, one in found.items()} == {
        "swd": ("A", False),
        "fid": (None, True),
        "is": ("B", False),
        "kid": (None, None),
    }
    assert found["fid"].says == "the intervals overlap: not told apart"
    assert (found["swd"].a, found["swd"].b_interval) == (10, (19, 21))
    assert found["kid"].says == "no interval"


def test_what_is_best_at_one_is_judged_by_how_far_it_is_from_one():
    """One run is as much above 1 as the other is below: they differ, and none is better."""
    low, high = [0.95 + 0.03 * (-1) ** k for k in range(8)], [1.05 + 0.03 * (-1) ** (k // 2) for k in range(8)]
    (found,) = compare(run({"join": low}), run({"join": high})).paired
    assert found.p < 0.02
    assert (found.better, found.says) == (None, "B is larger; which is nearer to 1 is not told apart")
    (found,) = compare(run({"join": low}), run({"join": [x + 0.15 for x in high]})).paired
    assert (found.better, found.says) == ("A", "A is better by 0.15")
    assert nearer_to_one([1.5, 0.7, math.nan], [1.2, 1.4, 1.0], seed=0)[0] == pytest.approx(0.1 - 0.3)
    with pytest.raises(ValueError, match="two finite pairs"):
        nearer_to_one([1.5, math.nan], [1.2, 1.4], seed=0)
    runs = [run({"psnr": BASE}, rows={"calibration": ends}) for ends in ((0.95, 0.93, 0.965), (1.045, 1.02, 1.065))]
    (whole,) = compare(*runs).whole
    assert (whole.better, whole.overlap) == (None, False)
    assert whole.says == "B is larger; which is nearer to 1 is not told apart"
    (whole,) = compare(runs[0], run({"psnr": BASE}, rows={"calibration": (1.3, 1.2, 1.4)})).whole
    assert whole.better == "A"


def test_every_network_that_a_protocol_names_must_be_the_same():
    found = extra(EYE, features=lambda x: x.mean((2, 3)), classifier=lambda x: x.mean((2, 3)))
    assert {"identity", "agreement"} <= set(found.said) <= set(DEFINITIONS)


def test_calibration_is_best_at_one_and_is_of_the_set():
    a = run({"calibration": BASE / 25}, rows={"calibration": (0.7, 0.6, 0.75)})
    b = run({"calibration": BASE / 25}, rows={"calibration": (1.1, 1.0, 1.2)})
    found = compare(a, b)
    assert found.paired == []
    assert [(one.measure, one.better) for one in found.whole] == [("calibration", "B")]


def test_methods():
    a = run({"psnr": BASE})
    b = run({"psnr": BASE + 1}, method="regression")
    assert compare(a, b).methods == ("sr3", "regression")
    assert compare(a, b, method="bicubic").paired[0].says == "equal"
    assert compare(a, b, method="bicubic, regression").paired[0].difference > 0
    with pytest.raises(ConfigError, match="B has no method 'sr3'; there is bicubic, regression"):
        compare(a, b, method="sr3")
    with pytest.raises(ConfigError, match="A has no method 'bicubc'; did you mean bicubic"):
        compare(a, b, method="bicubc")


def test_bicubic_tells_whether_the_runs_measured_alike():
    a = run({"psnr": BASE, "ssim": BASE}, bicubic={**BICUBIC, "ssim": list(BASE)})
    moved = [*BICUBIC["psnr"][:7], 30.0]
    with pytest.raises(ConfigError, match="7.png is not the same picture in both files: bicubic's PSNR is 27.00 in A"):
        compare(a, run({"psnr": BASE}, bicubic={"psnr": moved}))
    found = compare(a, run({"psnr": BASE, "ssim": BASE}, bicubic={**BICUBIC, "ssim": list(BASE * 2)}))
    assert [one.measure for one in found.paired] == ["psnr"]
    assert found.notes == ["SSIM is left out: it differs for bicubic, so the two runs did not measure it alike"]
    # the same for measures of the whole set, such as distances over features that no protocol can name
    b = run({"psnr": BASE}, rows={"frechet": (2, 1, 3)})
    a, b = (replace(b, rows={**b.rows, "bicubic": {**b.rows["bicubic"], "frechet": v}}) for v in (5.0, 6.0))
    found = compare(a, b)
    assert found.whole == []
    assert found.notes[0].startswith("Fréchet is left out")


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ({"data": "photos"}, "data is 'faces' in A and 'photos' in B"),
        ({"factor": 4}, "factor is 8 in A and 4 in B"),
        ({"border": 8}, "border is 0 in A and 8 in B"),
        ({"degradation": "other"}, "degradation is 'd' in A"),
        ({"ssim": "another window"}, "ssim is 'a window' in A and 'another window' in B"),
    ],
)
def test_other_protocols_are_refused(protocol, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compare(run({"psnr": BASE}, ssim="a window"), run({"psnr": BASE}, **protocol))


def test_no_picture_in_common():
    with pytest.raises(ConfigError, match="no picture in common"):
        compare(run({"psnr": BASE}), run({"psnr": BASE}, names=[f"other {n}" for n in NAMES]))


def test_sets_of_which_one_lost_pictures_are_not_compared():
    """A run that lost its hardest picture would have the better distance; its own note says what it lost."""
    lost = "sr3: 1 of 8 pictures have no finite result, even in fp32, and are left out of it"
    rows = {"swd": (10, 9, 11), "calibration": (0.9, 0.8, 1.0)}
    a = run({"psnr": BASE}, rows=rows, notes=["both", "of A"])
    b = run({"psnr": BASE}, rows={"swd": (5, 4, 6), "calibration": (0.9, 0.8, 1.0)}, notes=["both", lost])
    assert [one.measure for one in compare(a, b).whole] == ["swd", "calibration"]
    b.each["sr3"]["psnr"][3] = None
    found = compare(a, b)
    assert found.whole == []
    assert found.notes == [
        "A has 8 pictures and B 7, of which 7 are in both; measures of a whole set are left out, as the sets differ",
        "A and B: both",
        "A: of A",
        f"B: {lost}",
    ]
    assert found.paired[0].pictures == 7
    a.each["sr3"]["psnr"][3] = None  # the same one: the sets are alike again
    assert [one.measure for one in compare(a, b).whole] == ["swd", "calibration"]
    a.each["sr3"]["psnr"][3], a.each["sr3"]["psnr"][4] = 27.5, None
    assert compare(a, b).notes[0].startswith("A has 7 pictures and B 7, of which 6 are in both")
    # what the samples' diversity is of goes by its own values
    b.each["sr3"]["psnr"] = list(a.each["sr3"]["psnr"])
    for one in (a, b):
        one.each["sr3"]["calibration"] = [0.9] * 8
    b.each["sr3"]["calibration"][0] = None
    assert [one.measure for one in compare(a, b).whole] == ["swd"]
    assert compare(replace(a, protocol={**a.protocol, "notes": 7}), b).notes[-1] == f"B: {lost}"


def test_the_control_is_held_to_hundredths_of_a_db():
    """Bicubic is computed, not sampled: a quarter of a dB is another picture, or another border."""
    for name, title in (("psnr", "PSNR"), ("psnr_y", "Y-PSNR")):
        a, near, far, odd = (
            run({"psnr": BASE}, bicubic={**BICUBIC, name: [*BICUBIC["psnr"][:7], last]})
            for last in (27.0, 27.015, 27.25, -1e300)
        )
        assert compare(a, near).paired
        for other, says in ((far, "27.25 in B"), (odd, "in B")):
            with pytest.raises(
                ConfigError, match=f"7.png is not the same picture.*bicubic's {title} is 27.00 .*{says}"
            ):
                compare(a, other)
    # of a picture that is nearly its original one rounded number is many dB
    a, b = (run({"psnr": BASE}, bicubic={"psnr": [*BICUBIC["psnr"][:7], last]}) for last in (100.0, 88.0))
    assert compare(a, b).notes == []


def test_runs_of_two_classifiers_are_not_compared():
    with pytest.raises(ConfigError, match="classifier is 'one' in A and 'other' in B"):
        compare(run({"psnr": BASE}, classifier="one"), run({"psnr": BASE}, classifier="other"))


@pytest.fixture
def sr3(monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["sr3", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return command


def written(path, a: Run):
    rows = list(a.rows.values())
    path.write_text(json.dumps({"protocol": a.protocol, "rows": rows, "names": a.names, "each": a.each}), "utf-8")
    return path


def test_the_command(sr3, tmp_path):
    a = written(tmp_path / "a.json", run({"psnr": list(BASE)}, rows={"swd": (10, 9, 11)}, sampler={"kind": "ddim"}))
    b = written(
        tmp_path / "b.json", run({"psnr": list(BASE + GAIN)}, rows={"swd": (20, 19, 21)}, sampler={"kind": "heun"})
    )
    assert read_run(a).each["sr3"]["psnr"] == list(BASE)
    code, out, err = sr3("compare", a, b, "--json", tmp_path / "c.json")
    assert (code, err) == (0, "")
    assert "sampler: ddim -> heun" in out
    assert "pictures in both: 8" in out
    line = next(line for line in out.splitlines() if line.startswith("PSNR"))
    assert line.split()[1:4] == ["25.56", "26.11", "+0.55"]
    assert line.endswith("B is better by 0.55 dB")
    line = next(line for line in out.splitlines() if line.startswith("SWD"))
    assert line.split()[1:9] == ["10.00", "9.00", "…", "11.00", "20.00", "19.00", "…", "21.00"]
    assert line.endswith("A is better; the intervals do not overlap")
    found = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert found["paired"][0]["difference"] == pytest.approx(0.55)
    assert found["whole"][0]["b_interval"] == [19, 21]
    assert found["settings"] == {"sampler": [{"kind": "ddim"}, {"kind": "heun"}]}


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"rows": [], "protocol": {}, "names": [], "each": {}}',
        '{"rows": [{"method": "a"}], "protocol": {}, "names": ["x"], "each": {"a": {"psnr": [1, 2]}}}',
        '{"rows": [{"method": "a"}], "protocol": {}, "names": ["x"], "each": {"a": {"psnr": ["1"]}}}',
        '{"rows": [{"method": "a"}], "protocol": {}, "names": ["x"], "each": {"b": {"psnr": [1]}}}',
        '{"rows": 3, "protocol": {}, "names": ["x"], "each": {}}',
        '{"a": ' * 100_000,
    ],
    ids=range(10),
)
def test_other_files_are_refused_in_a_sentence(sr3, tmp_path, contents):
    good = written(tmp_path / "a.json", run({"psnr": list(BASE)}))
    bad = tmp_path / "b.json"
    bad.write_text(contents)
    code, out, err = sr3("compare", good, bad)
    assert (code, out) == (2, "")
    assert err == f"sr3: {bad} is not a file that `sr3 evaluate --json` wrote\n"


def test_bad_use_of_the_command(sr3, tmp_path):
    good = written(tmp_path / "a.json", run({"psnr": list(BASE)}))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    for other, sentence in (("none.json", "there is no file"), ("picture.png", "is not a file that")):
        code, _, err = sr3("compare", good, tmp_path / other)
        assert code == 2
        assert sentence in err
    code, _, err = sr3("compare", good, written(tmp_path / "b.json", run({"psnr": list(BASE)}, border=8)))
    assert (code, err) == (2, "sr3: the two files do not measure alike: border is 0 in A and 8 in B\n")
