"""The script that trains releases: it is the library's training, resumed exactly, ended in time, and fitted truly."""

import json
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture

from sr3.diffusion.objective import Loss
from sr3.model import recipe as recipes
from sr3.model.checkpoint import read_tensors
from sr3.model.model import Model
from sr3.picture.collection import Pictures, load
from sr3.task import SuperResolution
from sr3.training import train as library
from sr3.training.data import Crops

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
release_curve, release_data, release_run, release_state, train_release = map(
    import_module, ("release_curve", "release_data", "release_run", "release_state", "train_release")
)

SMALL = [
    "training.batch=4",
    "training.crop=32",
    "training.warmup=8",
    "training.precision=fp32",
    "model.network.widths=[8,16]",
    "model.network.blocks=[1,1]",
    "model.network.embedding=16",
    "model.network.dropout=0.1",
    "model.sampling.steps=1",
]
BATCH = 4


def arguments(folder, out, *more, name="photo-4x-regression", settings=SMALL):
    always = ["--device", "cpu", "--report-seconds", "0", "--part-minutes", "100"]
    return [name, "--data", str(folder), "--out", str(out), "--set", *settings, *always, *map(str, more)]


def run(folder, out, *more, **changes):
    train_release.main(arguments(folder, out, *more, **changes))
    return log(out)


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def state(out):
    vectors, facts = release_state.load(out)
    return vectors, {k: v for k, v in facts.items() if k not in ("saves", "seconds", "files", "parts")}


def begin(folder, tmp_path):
    """Weights of the small network, and the setting that a diffusion recipe begins from them with."""
    run(folder, tmp_path / "begin", "--pictures", 8)
    return tmp_path / "begin" / "model.safetensors"


@pytest.mark.parametrize("name", ["photo-4x-regression", "photo-4x"])
def test_stop_and_resume_is_the_uninterrupted_run(folder, tmp_path, name):
    more = ["--begin", begin(folder, tmp_path)] if name == "photo-4x" else []
    settings = [*SMALL, "training.decay=constant"]
    run(folder, tmp_path / "whole", "--pictures", 24, *more, name=name, settings=settings)
    for pictures in (8, 12, 24):  # the second stops where the first saved twice
        run(folder, tmp_path / "parts", "--pictures", pictures, *more, name=name, settings=settings)
    (whole, facts), (parts, same) = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert facts == same
    for key in whole:
        assert torch.equal(whole[key], parts[key]), key
    assert [row["seen"] for row in log(tmp_path / "parts")] == list(range(4, 25, 4))
    files = [Model.from_file(tmp_path / where / "model.safetensors").net.state_dict() for where in ("whole", "parts")]
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])


@pytest.mark.parametrize(
    ("name", "pictures", "setting"),
    [
        ("photo-4x-regression", 4, None),
        ("photo-4x-regression", 16, None),
        ("photo-4x", 4, "training.begin"),
        ("photo-4x", 16, "training.begin"),
        ("photo-4x", 16, "model.first"),
    ],
)
def test_it_is_the_librarys_training(folder, tmp_path, name, pictures, setting):
    """Steps of both from the same weights over the same crops: the same losses, weights and averages."""
    settings = [*SMALL, f"training.pictures={pictures}", "training.report_every=4"]
    if setting:
        settings.append(f'training.begin="{begin(folder, tmp_path)}"')
    if setting == "model.first":
        settings.append(f'model.first="{tmp_path / "begin" / "model.safetensors"}"')
    recipe = recipes.load(name, settings)
    reports = [report for _, report in library.train(recipe, Crops(load(folder), 32), tmp_path / "library")]
    rows = run(folder, tmp_path / "script", name=name, settings=settings)
    assert [row["loss"] for row in rows] == pytest.approx([report.loss for report in reports], rel=1e-4)
    assert [row["gradient"] for row in rows] == pytest.approx([report.gradient for report in reports], rel=1e-3)
    assert [row["rate"] for row in rows] == [report.rate for report in reports]
    theirs, _ = read_tensors(tmp_path / "library" / "state.safetensors")
    resumed = release_run.Run(recipe, Crops(load(folder), 32), tmp_path / "script")
    for mine, prefix in ((resumed.flat.weights.detach(), "net."), (resumed.average, "average.")):
        for key, value in resumed.flat.named(mine).items():
            torch.testing.assert_close(value, theirs[prefix + key], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_rate_and_average_are_the_librarys(decay):
    recipe = recipes.load("photo-4x", [f"training.decay={decay}"])
    for seen in (0, 8, 640, 12_000, 30_000):
        assert release_run.rate_at(seen, recipe) == library.rate_at(seen, recipe)
    assert release_run.share_at(0, recipe) == 1
    t = recipe.training
    assert (1 - release_run.share_at(10**7, recipe)) ** (t.average / t.batch) == pytest.approx(0.5)


@pytest.mark.parametrize("zoom", [(1.0, 1.0), (0.8, 1.7), (64, 64)])
@pytest.mark.parametrize("turn", [True, False])
def test_crops_drawn_ahead_are_the_crops(monkeypatch, zoom, turn):
    monkeypatch.setattr(release_data, "CHUNK", 12)
    sizes = [(40, 48), (64, 33), (50, 50), (90, 70)]
    pixels = [np.asarray(noise_picture(*size, seed=k)) for k, size in enumerate(sizes)]
    crops = Crops(Pictures([str(k) for k in range(4)], pixels), 32, seed=3, turn=turn, zoom=zoom)
    batches = release_data.Batches(crops, SuperResolution(4), 0, 5)
    for seen in (0, 5, 10, 15, 1000, 0):
        made = batches(seen)
        torch.testing.assert_close(made.clean, crops(range(seen, seen + 5)), rtol=0, atol=0)
        torch.testing.assert_close(made.given.image, SuperResolution(4).degrade(made.clean).image, rtol=0, atol=0)


def test_a_batch_that_is_not_finite_is_skipped_and_counted(folder, tmp_path):
    recipe = recipes.load("photo-4x-regression", SMALL)
    crops = Crops(load(folder), 32)
    training = release_run.Run(recipe, crops, tmp_path)
    batches = release_data.Batches(crops, training.model.task, 0, BATCH)
    for _ in range(2):
        training.step(batches(training.seen))
    before = [training.flat.weights.detach().clone(), training.average.clone()]
    before += [v.clone() for v in training.optimiser.state[training.flat.weights].values()]
    spoiled = batches(training.seen)
    training.step(spoiled._replace(clean=spoiled.clean * float("nan")))
    after = [training.flat.weights.detach(), training.average]
    after += list(training.optimiser.state[training.flat.weights].values())
    assert all(map(torch.equal, before, after))
    training.step(batches(training.seen))
    assert not torch.equal(before[0], training.flat.weights)
    found = training.read()
    assert training.skipped == 1
    assert training.seen == 4 * BATCH
    assert np.isfinite(found["loss"])


def test_endless_nonsense_ends_the_run(folder, tmp_path, monkeypatch):
    class Nonsense:
        def __call__(self, denoiser, example, *, rng):
            return Loss(denoiser.raw(example.target, example).flatten(1).mean(1) * float("inf"), None)

    monkeypatch.setitem(release_run.OBJECTIVES, "regression", Nonsense)
    settings = [*SMALL, 'training.objective={kind="regression"}', "training.crop=16"]
    with pytest.raises(SystemExit, match="50 times in a row"):
        run(folder, tmp_path, "--pictures", 4000, settings=settings)
    assert not (tmp_path / "model.safetensors").exists()


def test_parts_are_models_and_the_curve_is_measured(folder, tmp_path):
    val = tmp_path / "val"
    val.mkdir()
    for k in range(3):
        noise_picture(48, 48, seed=10 + k).save(val / f"{k}.png")
    more = ["--part-minutes", 0, "--val", val, "--val-pictures", 2]
    run(folder, tmp_path / "out", "--pictures", 12, *more)
    parts = sorted((tmp_path / "out").glob("part-*.safetensors"))
    assert [p.name for p in parts] == ["part-0001.safetensors", "part-0002.safetensors"]
    assert [Model.from_file(p).about["pictures_seen"] for p in parts] == [4, 8]
    last = Model.from_file(tmp_path / "out" / "model.safetensors")
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert [p["pictures"] for p in curve] == [0, 4, 8, 12]
    assert last.about["curve"] == curve
    assert last.about["data"] == ["pictures"]
    assert {"psnr", "swd", "consistency", "consistency_free"} <= curve[0]["measures"].keys()
    # projected results agree with what was given but for their rounding
    assert curve[0]["measures"]["consistency"] < 1
    with torch.no_grad():
        training = release_run.Run(
            train_release.recipe_of(train_release.parsed(arguments(folder, tmp_path / "out", "--pictures", 12))),
            Crops(load(folder), 32),
            tmp_path / "out",
        )
    for key, value in last.net.state_dict().items():
        torch.testing.assert_close(value, training.flat.named(training.average)[key].half().float(), rtol=0, atol=0)


def test_measures_are_those_of_evaluate(tiny):
    from sr3.evaluation.evaluate import evaluate
    from sr3.evaluation.result import Result
    from sr3.restore.restorer import Restorer

    pictures = Pictures(list("abc"), [np.asarray(noise_picture(48, 48 + k // 2 * 4, seed=k)) for k in range(3)])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    found = release_curve.measure(restorer, pictures)
    *_, result = evaluate(restorer, pictures, samples=1)
    assert isinstance(result, Result)
    row = next(r for r in result.rows if r["method"] == "sr3")
    for name in ("psnr", "swd", "consistency", "consistency_free"):
        assert found[name] == pytest.approx(row[name], rel=1e-5), name


def test_the_error_of_x0_is_that_of_the_estimate(tiny):
    """Of a denoiser that always answers mid-grey, the mean square of the pictures; of one that errs by half, a quarter
    of that."""
    from sr3.restore.restorer import Restorer

    pictures = Pictures(["a"], [np.full((32, 32, 3), 255, dtype=np.uint8)])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    for answer, wanted in ((0.0, 10 * np.log10(0.25)), (0.5, 10 * np.log10(0.0625))):
        restorer.model.denoiser = lambda answer=answer: lambda x, level, example: torch.full_like(x, answer)
        assert release_curve.error(restorer, pictures) == pytest.approx(wanted, abs=1e-4)
    del restorer.model.denoiser
    honest = release_curve.error(restorer, pictures)
    assert honest == release_curve.error(restorer, pictures)


def test_the_time_limit_holds(folder, tmp_path):
    began = time.monotonic()
    rows = run(folder, tmp_path, "--pictures", 10**9, "--minutes", 0.08)
    assert time.monotonic() - began < 0.08 * 60 + 1
    assert 0 < rows[-1]["seen"] < 10**9
    assert Model.from_file(tmp_path / "model.safetensors").about["pictures_seen"] == rows[-1]["seen"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_step(folder, tmp_path, monkeypatch, number):
    settings = [*SMALL, "training.decay=constant"]
    run(folder, tmp_path / "whole", "--pictures", 8, settings=settings)
    held = signal.getsignal(number)

    def struck(self):
        signal.raise_signal(number)
        return report(self)

    report = train_release.Session.report
    monkeypatch.setattr(
        train_release.Session, "report", lambda self: struck(self) if self.run.seen == 8 else report(self)
    )
    with pytest.raises(SystemExit):
        run(folder, tmp_path / "parts", "--pictures", 4000, settings=settings)
    assert signal.getsignal(number) is held
    (whole, facts), (parts, same) = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert facts == same
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert Model.from_file(tmp_path / "parts" / "model.safetensors").about["pictures_seen"] == 8


def test_begin_has_the_average_begin_too_and_warms_up(folder, tmp_path):
    weights = begin(folder, tmp_path)
    given = ["--begin", weights, "--pictures", 4]
    settings = [s for s in SMALL if "warmup" not in s]
    options = train_release.parsed(arguments(folder, tmp_path / "out", *given, settings=settings))
    recipe = train_release.recipe_of(options)
    assert recipe.training.warmup == max(recipes.load("photo-4x-regression").training.warmup, 100 * BATCH)
    training = release_run.Run(recipe, Crops(load(folder), 32), tmp_path / "out")
    for key, value in Model.from_file(weights).net.state_dict().items():
        assert torch.equal(training.flat.named(training.average)[key], value)
        assert torch.equal(training.net.state_dict()[key], value)
    assert training.pictures == 8  # the same model: what it had seen counts


def test_another_recipe_or_other_pictures_are_refused(folder, tmp_path):
    run(folder, tmp_path / "out", "--pictures", 4)
    with pytest.raises(SystemExit, match="another recipe"):
        run(folder, tmp_path / "out", "--pictures", 4, settings=[*SMALL, "training.rate=0.5"])
    noise_picture(40, 40).save(folder / "new.png")
    with pytest.raises(SystemExit, match="other pictures"):
        run(folder, tmp_path / "out", "--pictures", 4)


def test_states_are_pieces_that_belong_together(tmp_path, monkeypatch):
    monkeypatch.setattr(release_state, "LIMIT", release_state.HEADER + 4 * 100)
    vectors = {"a": torch.randn(130), "b": torch.randn(130)}
    for saves in (1, 2):
        release_state.save(tmp_path, vectors, {"saves": saves})
    pieces = sorted(tmp_path.glob("state-*.safetensors"))
    assert len(pieces) == 3
    found, facts = release_state.load(tmp_path)
    assert all(torch.equal(found[key], vectors[key]) for key in vectors)
    assert facts["saves"] == 2
    old = pieces[1].read_bytes()
    release_state.save(tmp_path, vectors, {"saves": 4})
    pieces[1].write_bytes(old)
    with pytest.raises(ValueError, match="together"):
        release_state.load(tmp_path)


def test_weights_in_one_vector_are_the_networks(tiny):
    net = tiny.net.requires_grad_(True)
    x, told, cond = torch.randn(2, 3, 16, 16), torch.zeros(2), torch.randn(2, 3, 16, 16)
    net(x, told, cond).square().mean().backward()
    slopes = {name: p.grad.clone() for name, p in net.named_parameters()}
    values = {name: p.detach().clone() for name, p in net.named_parameters()}
    flat = release_state.Flat(net)
    net(x, told, cond).square().mean().backward()
    for name, value in flat.named(flat.weights.detach()).items():
        torch.testing.assert_close(value, values[name], rtol=0, atol=0)
        torch.testing.assert_close(flat.named(flat.weights.grad)[name], slopes[name])
    with torch.no_grad():
        flat.weights.zero_()
    assert all(not p.any() for p in net.parameters())


@pytest.mark.parametrize("broken", [False, True])
def test_a_compiled_network_takes_the_same_step(folder, tmp_path, monkeypatch, broken):
    """And where compiling fails, a sentence is said and the step is the plain one."""
    crops = Crops(load(folder), 32)
    weights = begin(folder, tmp_path)
    more = [f'training.begin="{weights}"', f'model.first="{weights}"', "model.network.dropout=0.0"]
    recipe = recipes.load("photo-4x", [*SMALL, *more])
    found = []

    class Broken(torch.nn.Module):
        def forward(self, *given):
            raise RuntimeError("no compiler")

    real = torch.compile
    for compiled in (False, True):
        training = release_run.Run(recipe, crops, tmp_path / str(compiled))
        batches = release_data.Batches(crops, training.model.task, 0, BATCH)
        if compiled:
            monkeypatch.setattr(
                torch, "compile", lambda net, **o: Broken() if broken else real(net, backend="aot_eager", **o)
            )
            monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **o: None)
            said = training.compile(batches(0))
            assert (said is not None and "no compiler" in said) if broken else said is None
        for _ in range(3):
            training.step(batches(training.seen))
        found.append((training.flat.weights.detach(), training.average))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_models_that_are_too_large_are_refused(folder, tmp_path):
    with pytest.raises(SystemExit, match="at most 16 MB"):
        run(folder, tmp_path, settings=[*SMALL, "model.network.widths=[256,512]", "model.network.blocks=[1,4]"])


def test_profile_names_the_operations(folder, tmp_path):
    run(folder, tmp_path, "--pictures", 30 * BATCH, "--profile")
    assert "aten::" in (tmp_path / "profile.txt").read_text()
    assert (tmp_path / "trace.json.gz").exists()


def test_the_fit_recovers_a_known_curve():
    n = np.geomspace(1e4, 1e7, 9)
    found = release_curve.fit(n, 28.5 - 40 * n**-0.35)
    assert found.a == pytest.approx(28.5, abs=0.02)
    assert found.c == pytest.approx(0.35, rel=0.02)
    assert found(1e8) == pytest.approx(28.5 - 40 * 1e8**-0.35, abs=0.02)


def test_the_plot_says_what_is_an_estimate(tmp_path, capsys):
    n = [0, 1e4, 1e5, 1e6, 1e7]
    curve = [
        {"pictures": k, "measures": {name: 10 + 50 * max(k, 1) ** -0.5 for name in release_curve.SHOWN}} for k in n
    ]
    source, target = tmp_path / "curve.json", tmp_path / "curve.svg"
    source.write_text(json.dumps(curve))
    train_release.main(["--plot", str(source), "--plot-out", str(target)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(release_curve.SHOWN)
    assert all("estimate for 1e+08: 10.0" in line for line in said)
    assert target.read_text().count("<circle") == 4 * len(release_curve.SHOWN)
    source.write_text(json.dumps(curve[:4]))
    with pytest.raises(SystemExit, match="at least 4 points"):
        train_release.main(["--plot", str(source), "--plot-out", str(target)])


def test_it_needs_no_more_than_it_says():
    """Neither Accelerate, libvips nor the command line's libraries are imported."""
    strangers = ["accelerate", "pyvips", "typer", "rich", "huggingface_hub", "torchvision", "skimage", "tensorboard"]
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import train_release"
    code += f"; print([name for name in {strangers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
