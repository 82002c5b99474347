"""`sr3 dejpeg`, `colorize`, `inpaint`, `uncrop`, `restore`: what they keep, and what they say of bad input."""

import io
import json
import zlib

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.cli import steps
from sr3.cli.run import Run
from sr3.model.model import Model
from sr3.picture.image import read, read_note
from sr3.picture.jpeg_file import parse
from sr3.picture.picture import from_samples
from sr3.picture.write import write
from sr3.restore import places
from sr3.restore.restorer import Restorer
from sr3.task import TASKS


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model with random weights for each kind of task, by its kind."""
    root, made = tmp_path_factory.mktemp("models"), {}
    for kind in TASKS:
        torch.manual_seed(0)
        more = {"task": {"kind": kind}, "residual": kind != "generation", "name": f"tiny-{kind}"}
        model = Model(tiny_config(**more))
        for p in model.net.parameters():
            torch.nn.init.normal_(p, std=0.05)
        made[kind] = model.save_pretrained(root / kind)
    return made


def samples(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_restored_jpeg_is_a_png_that_compresses_to_the_file(sr3, models, tmp_path):
    noise_picture(50, 40).save(tmp_path / "p.jpg", quality=40)
    code, _, err = sr3("dejpeg", tmp_path / "p.jpg", "--model", models["jpeg-restoration"], "--seed", 4)
    assert code == 0, err
    made = tmp_path / "p-restored.png"
    assert read_note(made)["model"] == "tiny-jpeg-restoration"
    assert read_note(made)["seed"] == "4"
    with Image.open(tmp_path / "p.jpg") as before, Image.open(made) as after:
        assert not np.array_equal(np.asarray(before), np.asarray(after))
        again = io.BytesIO()
        after.convert("RGB").save(again, "JPEG", qtables=before.quantization, subsampling=2)
    pairs = zip(parse(again.getvalue()).planes, parse((tmp_path / "p.jpg").read_bytes()).planes, strict=True)
    assert np.mean(np.concatenate([(a.coefficients == b.coefficients).ravel() for a, b in pairs])) > 0.999
    assert sr3("dejpeg", tmp_path / "p.jpg", "--model", models["several"], "-o", tmp_path / "x.png")[0] == 0
    code, _, err = sr3("dejpeg", tmp_path / "p-restored.png", "--model", models["jpeg-restoration"], "--free")
    assert code == 0, err


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "RGB"])
def test_colours_of_a_grey_picture(sr3, models, tmp_path, mode):
    source = tmp_path / "g.png"
    grey = noise_picture(30, 26).convert("L")
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(source)
    elif mode == "LA":
        alpha = Image.new("L", grey.size, 200)
        Image.merge("LA", (grey, alpha)).save(source)
    else:
        grey.convert(mode).save(source)
    code, _, err = sr3("colorize", source, "--model", models["colorization"])
    assert code == 0, err
    before, after = read(source), read(tmp_path / "g-colorized.png")
    assert (len(after.pixels), after.bits) == (3, before.bits)
    assert (after.alpha is None) == (before.alpha is None)
    top = 2**before.bits - 1
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]
    off = ((weights * (after.pixels.double() + 1)).sum(0) - (before.pixels[0].double() + 1)) * top / 2
    assert off.abs().max() <= 0.5
    if mode == "L":
        assert np.array_equal(
            np.asarray(Image.fromarray(samples(tmp_path / "g-colorized.png")).convert("L")), np.asarray(grey)
        )


@pytest.mark.parametrize("command", ["dejpeg", "colorize"])
def test_fidelity_holds_a_part_of_the_way(sr3, models, tmp_path, command):
    """How far the result is from what is certain: nowhere, half as far as without, and as far as without."""
    kind = {"dejpeg": "jpeg-restoration", "colorize": "colorization"}[command]
    source = tmp_path / ("p.jpg" if command == "dejpeg" else "p.png")
    noise_picture(40, 32).convert("RGB" if command == "dejpeg" else "L").save(source, quality=30)
    made = {}
    for name, more in {"1": [], "0.5": ["--fidelity", "0.5"], "0": ["--fidelity", "0"], "free": ["--free"]}.items():
        out = tmp_path / f"{name}.png"
        code, _, err = sr3(command, source, "--model", models[kind], "-o", out, *more)
        assert code == 0, err
        assert read_note(out)["fidelity"] == name.replace("free", "0")
        made[name] = out
    assert np.array_equal(samples(made["0"]), samples(made["free"]))

    def off(out):
        again = io.BytesIO()
        with Image.open(out) as picture, Image.open(source) as before:
            if command == "colorize":
                return np.abs(np.asarray(picture.convert("L"), dtype=int) - np.asarray(before)).mean()
            picture.save(again, "JPEG", qtables=before.quantization, subsampling=2)
        pairs = zip(parse(again.getvalue()).planes, parse(source.read_bytes()).planes, strict=True)
        return np.mean(np.concatenate([np.abs(a.coefficients - b.coefficients).ravel() for a, b in pairs]))

    held, half, free = (off(made[name]) for name in ("1", "0.5", "0"))
    assert held < 0.01 * free
    assert 0.1 * free < half < 0.9 * free


def test_damaged_files_are_taken_where_that_is_asked_for(sr3, models, tmp_path):
    noise_picture(64, 48).save(tmp_path / "whole.jpg", quality=50)
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * 2 // 3])
    told = {
        "dejpeg": ("jpeg-restoration", []),
        "colorize": ("colorization", ["--grey"]),
        "inpaint": ("inpainting", ["--box", "4,4,8x8"]),
        "uncrop": ("uncropping", ["--left", 8]),
        "restore": ("denoising", []),
    }
    for command, (kind, more) in told.items():
        asked = [command, tmp_path / "cut.jpg", "--model", models[kind], "-o", tmp_path / f"{command}.png", *more]
        code, _, err = sr3(*asked)
        assert (code, err.count("\n"), "cut.jpg" in err) == (3, 1, True)
        code, _, err = sr3(*asked, "--lenient")
        assert code == 0, err
        assert samples(tmp_path / f"{command}.png").shape == (48, 72 if command == "uncrop" else 64, 3)


def test_room_is_looked_for_before_the_work(sr3, models, tmp_path, monkeypatch):
    """A WebP file has at most 16383 pixels a side; nothing is asked of the network to find that out."""
    noise_picture(24, 20).save(tmp_path / "p.png")
    monkeypatch.setattr("sr3.restore.fill.uncropped", lambda *_, **__: pytest.fail("it was begun"))
    asked = ["uncrop", tmp_path / "p.png", "--model", models["uncropping"]]
    code, _, err = sr3(*asked, "--right", 20000, "-o", tmp_path / "w.webp")
    assert (code, "16383" in err, err.count("\n")) == (3, True, 1), err
    monkeypatch.setattr("sr3.picture.memory.available", lambda: 2**20)
    code, _, err = sr3(*asked, "--to", "400x300", "-o", tmp_path / "w.png")
    assert (code, "would become 400x300" in err) == (3, True), err


@pytest.mark.parametrize(
    ("kind", "sides", "size", "known"),
    [
        ("jpeg-restoration", None, (30, 20), 30 * 20 * 3 * 2),
        ("inpainting", None, (30, 20), 30 * 20 * 3 * 2),
        ("inpainting", (8, 16), (30, 20), None),  # shown in part
        ("uncropping", None, (40, 20), None),  # shown what grows
        ("super-resolution", None, (120, 80), 120 * 80 * 3 * 2),
    ],
)
def test_what_the_network_has_to_compute_is_known_where_it_sees_all(kind, sides, size, known):
    model = Model(tiny_config(task={"kind": kind}, sides=sides))
    run = Run([], None, samples=2)
    found = steps.Choice(Restorer(model, device="cpu"), "").extent(run, (30, 20), size)
    assert (found and found.whole) == known


def test_metadata_go_along(sr3, models, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a day"
    noise_picture(20, 20).convert("L").save(tmp_path / "g.png", exif=exif, dpi=(300, 300))
    assert sr3("colorize", tmp_path / "g.png", "--model", models["colorization"])[0] == 0
    with Image.open(tmp_path / "g-colorized.png") as made:
        assert made.getexif()[0x010E] == "a day"
        assert round(made.info["dpi"][0]) == 300


def test_holes_by_mask_box_and_alpha(sr3, models, tmp_path):
    picture = noise_picture(40, 30)
    picture.save(tmp_path / "p.png")
    before = np.asarray(picture)
    drawn = Image.new("L", (40, 30))
    drawn.paste(255, (5, 6, 15, 20))
    drawn.save(tmp_path / "m.png")
    hole = np.asarray(drawn) > 0
    model = models["inpainting"]
    assert sr3("inpaint", tmp_path / "p.png", "--model", model, "--mask", tmp_path / "m.png")[0] == 0
    by_mask = samples(tmp_path / "p-inpainted.png")
    assert np.array_equal(by_mask[~hole], before[~hole])
    assert (by_mask[hole] != before[hole]).mean() > 0.5
    assert sr3("inpaint", tmp_path / "p.png", "--model", model, "--box", "5,6,10x14", "-o", tmp_path / "b.png")[0] == 0
    assert np.array_equal(samples(tmp_path / "b.png"), by_mask)
    clear = Image.merge("RGBA", (*picture.split(), Image.fromarray(np.where(hole, 0, 255).astype(np.uint8))))
    clear.save(tmp_path / "a.png")
    assert sr3("inpaint", tmp_path / "a.png", "--model", model)[0] == 0
    assert np.array_equal(samples(tmp_path / "a-inpainted.png"), by_mask)
    twice = ["--box", "0,0,4x4", "--box", "30,20,10x10", "--feather", 2, "--grow", 1]
    assert sr3("inpaint", tmp_path / "p.png", "--model", model, *twice, "-o", tmp_path / "c.png")[0] == 0
    changed = (samples(tmp_path / "c.png") != before).any(-1)
    assert changed[:7, :7].any()
    assert not changed[8:16, 8:26].any()


def test_a_result_knows_its_mask_by_what_is_in_it(sr3, models, tmp_path):
    picture, drawn = tmp_path / "p.png", tmp_path / "m.png"
    noise_picture(40, 30).save(picture)
    made, ask = tmp_path / "p-inpainted.png", ["--model", models["inpainting"], "--mask", drawn, "--skip-existing"]
    notes, counts = [], []
    for left in (5, 5, 9):
        mask = Image.new("L", (40, 30))
        mask.paste(255, (left, 6, 20, 20))
        mask.save(drawn)
        before = made.stat().st_mtime_ns if made.exists() else 0
        assert sr3("inpaint", picture, *ask)[0] == 0
        counts.append(made.stat().st_mtime_ns != before)
        notes.append(read_note(made)["mask"])
    assert counts == [True, False, True]
    assert notes[0] == notes[1] == f"{zlib.crc32(hole_of(5).tobytes()):08x}"
    assert notes[2] == f"{zlib.crc32(hole_of(9).tobytes()):08x}"
    assert str(tmp_path).encode() not in made.read_bytes()


def hole_of(left):
    hole = np.zeros((30, 40), dtype=np.uint8)
    hole[6:20, left:20] = 1
    return hole


def test_a_mask_is_read_once_for_a_folder(sr3, models, tmp_path, monkeypatch):
    many, seen = tmp_path / "many", []
    many.mkdir()
    for k in range(3):
        noise_picture(20, 16, k).save(many / f"{k}.png")
    Image.fromarray(np.eye(16, 20, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    monkeypatch.setattr(places, "read", lambda path: seen.append(path.name) or read(path))
    assert sr3("inpaint", many, "-o", tmp_path / "out", "--model", models["inpainting"], "--mask",
               tmp_path / "m.png")[0] == 0  # fmt: skip
    assert seen.count("m.png") == 1


def test_margins_by_pixels_and_by_size(sr3, models, tmp_path):
    deep = np.asarray(noise_picture(20, 16)).astype(np.uint16) * 257 + 3
    write(tmp_path / "p.png", from_samples(deep))
    model = models["uncropping"]
    assert sr3("uncrop", tmp_path / "p.png", "--model", model, "--right", 30, "--top", 2)[0] == 0
    made = read(tmp_path / "p-uncropped.png")
    assert (made.size, made.bits) == ((50, 18), 16)
    before = read(tmp_path / "p.png")
    assert torch.equal(made.pixels[:, 2:, :20], before.pixels)
    assert sr3("uncrop", tmp_path / "p.png", "--model", model, "--to", "25x16", "-o", tmp_path / "t.png")[0] == 0
    assert torch.equal(read(tmp_path / "t.png").pixels[:, :, 2:22], before.pixels)


def test_a_trace_of_several_steps_is_of_the_last_size(sr3, models, tmp_path):
    """Of pictures of one size each, and as many as the last step has."""
    noise_picture(20, 16).save(tmp_path / "p.png")
    ask = ["--model", models["uncropping"], "--right", 60, "--trace", tmp_path / "t.gif", "--steps", 3]
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "write_gif", lambda path, pictures, **_: frames.extend(pictures))
        assert sr3("uncrop", tmp_path / "p.png", *ask)[0] == 0
    assert [frame.size for frame in frames] == [(80, 16)] * 4


def test_a_trace_of_several_holes_is_of_the_largest(sr3, tmp_path):
    made = Model(tiny_config(name="small", task={"kind": "inpainting"}, sides=(4, 32)))
    made.save_pretrained(tmp_path / "m")
    noise_picture(240, 90).save(tmp_path / "p.png")
    ask = ["--model", tmp_path / "m", "--box", "20,2,4x4", "--box", "160,10,40x24", "--trace", tmp_path / "t.gif"]
    frames = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "write_gif", lambda path, pictures, **_: frames.extend(pictures))
        code, _, err = sr3("inpaint", tmp_path / "p.png", *ask, "--steps", 3, "--samples", 2)
    assert code == 0, err
    # 80 x 64 around it, reduced to 32 x 26; the small one's window is 32 x 32
    assert [frame.size for frame in frames] == [(32, 26)] * 4


def test_any_model_that_needs_the_picture_alone(sr3, models, tmp_path):
    noise_picture(20, 16).save(tmp_path / "p.png")
    options = ["--samples", 2, "--trace", tmp_path / "t.gif"]
    assert sr3("restore", tmp_path / "p.png", "--model", models["denoising"], *options)[0] == 0
    names = {p.name for p in tmp_path.glob("p-restored*")}
    assert names == {f"p-restored-{end}.png" for end in ("1", "2", "mean", "spread")}
    assert read_note(tmp_path / "p-restored-1.png")["held_to"] == "nothing"
    noise_picture(20, 16).save(tmp_path / "j.jpg")
    assert sr3("restore", tmp_path / "j.jpg", "--model", models["jpeg-restoration"])[0] == 0
    assert read_note(tmp_path / "j-restored.png")["held_to"] == "the JPEG file's quantisation bins"
    alpha = Image.new("L", (20, 16), 255)
    alpha.paste(0, (3, 4, 9, 9))
    Image.merge("RGBA", (*noise_picture(20, 16).split(), alpha)).save(tmp_path / "a.png")
    assert sr3("restore", tmp_path / "a.png", "--model", models["inpainting"])[0] == 0
    assert read(tmp_path / "a-restored.png").alpha is None


def test_a_folder_is_walked_and_what_fails_stops_nothing(sr3, models, tmp_path):
    root = tmp_path / "many"
    root.mkdir()
    for k in range(2):
        noise_picture(20, 16, k).save(root / f"{k}.jpg", quality=50)
    noise_picture(20, 16).save(root / "x.png")
    (root / "y.jpg").write_bytes((root / "0.jpg").read_bytes()[:99])
    code, _, err = sr3("dejpeg", root, "-o", tmp_path / "out", "--model", models["jpeg-restoration"])
    assert code == 1
    assert f"2 done, 1 failed, 1 left as they are: {root / 'x.png'} (no JPEG file)" in err
    assert "y.jpg is damaged" in err
    (root / "y.jpg").unlink()
    ask = ["--model", models["jpeg-restoration"], "--force"]
    assert sr3("dejpeg", root, "-o", tmp_path / "out", *ask)[0] == 0
    code, _, err = sr3("dejpeg", root / "x.png", root / "0.jpg", "-o", tmp_path / "out", *ask)  # named outright
    assert code == 1
    assert "x.png is no JPEG file" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]


def test_a_jpeg_larger_than_the_model_is_for_is_one_sentence(sr3, tmp_path):
    model = Model(tiny_config(task={"kind": "several"}, sides=(8, 32))).save_pretrained(tmp_path / "model")
    many = tmp_path / "many"
    many.mkdir()
    for name, width in (("a", 40), ("b", 30)):
        noise_picture(width, 24).save(many / f"{name}.jpg")
    code, _, err = sr3("dejpeg", many, "-o", tmp_path / "out", "--model", model)
    assert code == 1
    assert "a.jpg: what is to be restored is lost where a picture is reduced" in err
    assert "1 done, 1 failed" in err


def test_evaluate_every_task_against_its_own_baseline(sr3, models, folder, tmp_path):
    baselines = {"colorization": "grey", "denoising": "noisy", "inpainting": "smooth", "jpeg-restoration": "jpeg"}
    for kind, baseline in {**baselines, "uncropping": "smooth", "several": "grey"}.items():
        out = tmp_path / f"{kind}.json"
        options = ["--samples", 2, "--json", out, "--limit", 2, "--report", tmp_path / f"{kind}.html"]
        code, _, err = sr3("evaluate", "--model", models[kind], "--data", folder, *options)
        assert code == 0, err
        found = json.loads(out.read_text())
        assert [row["method"] for row in found["rows"]] == [baseline, "palette", "palette-mean-2"]
        assert found["protocol"]["degradation"] == Model.from_pretrained(models[kind]).task.degradation
        assert all(("join" in row) == (kind in ("inpainting", "uncropping")) for row in found["rows"])
        if kind in ("inpainting", "uncropping"):
            assert all(row["consistency"] == 0 for row in found["rows"])
            assert 0 < found["rows"][0]["join"] < 1.5  # a smooth filling has no step
        colours = [row.get("colourfulness_share") for row in found["rows"]]
        if kind in ("colorization", "several"):
            assert found["rows"][1]["consistency"] < 0.01 < found["rows"][1]["consistency_free"]
            assert colours[0] < 0.001 < colours[1]
        else:
            assert colours == [None] * 3
        assert out.with_suffix(".html").read_text("utf-8").count(found["protocol"]["degradation"]) >= 1
        code, said, err = sr3("compare", out, out)
        assert (code, err) == (0, "")
        assert "palette" in said
    code, out, _ = sr3("evaluate", "--model", models["several"], "--data", folder, "--samples", 1, "--task",
                       "measured=uncropping")  # fmt: skip
    assert code == 0
    assert "50% of the picture missing at the right" in out
    code, _, err = sr3("evaluate", "--model", models["denoising"], "--data", folder, "--task", "sigmo=3")
    assert code == 2
    assert "did you mean sigma" in err


@pytest.fixture
def same(tmp_path, monkeypatch):
    """A folder of two pictures of one size, which are enough for a search of one way."""
    monkeypatch.setattr("sr3.cli.tune.LEAST", 2)
    monkeypatch.setattr("sr3.evaluation.tune.SAMPLERS", ({"kind": "dpmpp"},))
    monkeypatch.setattr("sr3.evaluation.tune.CLEANEST", (1.0,))
    monkeypatch.setattr("sr3.evaluation.tune.SPACINGS", ("logsnr",))
    folder = tmp_path / "same"
    folder.mkdir()
    for k in range(2):
        noise_picture(24, 20, k).save(folder / f"{k}.png")
    return folder


@pytest.mark.parametrize("kind", ["colorization", "inpainting", "jpeg-restoration", "uncropping", "several"])
def test_the_search_of_schedules_and_the_study_work_for_every_task(sr3, models, same, tmp_path, kind):
    tuned = tmp_path / "tuned.safetensors"
    options = ["--steps", 2, "--criterion", "swd", "--out", tuned, "--json", tmp_path / "t.json"]
    code, _, err = sr3("tune", models[kind], "--data", same, *options)
    assert code == 0, err
    assert set(Model.from_pretrained(tuned).config.quality) == {"fast", "balanced", "best"}
    assert all(trial["swd"] > 0 for trial in json.loads((tmp_path / "t.json").read_text())["trials"])
    pairs = tmp_path / "pairs"
    assert sr3("study", pairs, "--make", "--model", tuned, "--data", same)[0] == 0
    baseline = Model.from_pretrained(tuned).task.baseline_name
    assert {p.name for p in pairs.iterdir()} == {"original", "given", baseline, "palette"}


def test_a_setting_of_the_task_is_tuned_and_studied_for(sr3, models, same, tmp_path):
    """Uncropping at the left instead of the right: what is given has its hole there, and the model stays as it was."""
    pairs = tmp_path / "pairs"
    making = ["study", pairs, "--make", "--model", models["uncropping"], "--data", same]
    assert sr3(*making, "--task", "measured=left", "--task", "share=0.25")[0] == 0
    given, original = samples(pairs / "given" / "0.png"), samples(pairs / "original" / "0.png")
    assert np.array_equal(given[:, 6:], original[:, 6:])
    assert (given[:, :6] != original[:, :6]).mean() > 0.9
    code, _, err = sr3(*making, "--task", "shown")
    assert (code, "'shown' is not a setting" in err) == (2, True)
    found = {}
    for name, more in {"right": [], "left": ["--task", "measured=left"]}.items():
        out = tmp_path / f"{name}.safetensors"
        told = ["--steps", 2, "--criterion", "swd", "--out", out, "--json", tmp_path / f"{name}.json"]
        assert sr3("tune", models["uncropping"], "--data", same, *told, *more)[0] == 0
        tuned, found[name] = Model.from_pretrained(out), json.loads((tmp_path / f"{name}.json").read_text())
        assert tuned.task.measured == "right"
        assert tuned.about["tuned"].get("task") == (["measured=left"] if more else None)
    assert found["left"]["trials"][0]["psnr"] != found["right"]["trials"][0]["psnr"]


def test_train_study_and_demo_know_the_task(sr3, models, folder, tmp_path):
    settings = ["batch=2", "crop=32", "pictures=8", "save_every=4", "report_every=4", "sample_every=8", "warmup=0"]
    network = "--set=model.network={kind='unet',patch=4,widths=[8],blocks=[1]}"
    for recipe, use in (("photo-jpeg-regression", "dejpeg photo.jpg"), ("face-palette", "colorize photo.jpg")):
        arguments = [f"--set=training.{s}" for s in [*settings, "zoom=[0.5,1.0]"]]
        run = tmp_path / recipe
        code, out, err = sr3("train", recipe, "--data", folder, "--out", run, "--device", "cpu", network, *arguments,
                             "--val", folder)  # fmt: skip
        assert code == 0, err
        assert f"is ready: sr3 {use} --model" in out


def test_super_resolution_is_learnt_with_other_tasks(sr3, folder, tmp_path):
    """Told its task, trained for a few steps, measured for either task, and used for both."""
    tasks = "[{kind='colorization'},{kind='super-resolution',factor=2},{kind='inpainting',marked=true}]"
    settings = [
        *("training.batch=4", "training.crop=32", "training.pictures=16", "training.save_every=8"),
        *("training.report_every=8", "training.sample_every=16", "training.warmup=0", "training.zoom=[0.5,1.0]"),
        f"model.task.tasks={tasks}",
        *("model.task.told=true", "model.network={kind='unet',patch=4,widths=[8],blocks=[1],labels=3}"),
    ]
    run = tmp_path / "run"
    code, out, err = sr3("train", "face-palette", "--data", folder, "--out", run, "--device", "cpu", "--val", folder,
                         *(f"--set={s}" for s in settings))  # fmt: skip
    assert code == 0, err
    assert "is ready: sr3 colorize photo.jpg --model" in out
    model = run / "model.safetensors"
    asked = ["--model", model, "--data", folder, "--samples", 1, "--task", "measured=super-resolution"]
    code, out, err = sr3("evaluate", *asked)
    assert code == 0, err
    assert "factor: 2" in out
    assert "bicubic" in out
    noise_picture(20, 16).save(tmp_path / "p.png")
    code, _, err = sr3("upscale", tmp_path / "p.png", "--model", model, "-o", tmp_path / "l.png")
    assert code == 0, err
    assert samples(tmp_path / "l.png").shape == (32, 40, 3)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("colorize", "several"), ("inpaint", "several"), ("uncrop", "several"), ("dejpeg", "jpeg-restoration")],
)
def test_a_demo_of_each_task(sr3, models, tmp_path, monkeypatch, task, kind):
    monkeypatch.setattr("sr3.evaluation.demo.SIDE", 64)
    code, out, err = sr3("demo", "--task", task, "--model", models[kind], "-o", tmp_path / "d.png")
    assert code == 0, err
    assert "original for 4 pictures" in out
    assert samples(tmp_path / "d.png").shape == (4 * (64 + 48) + 8, 4 * (64 + 8) + 8, 3)


BAD = {
    "colorize p.png": "p.png has colours already; give --grey",
    "colorize g.png --model MODEL/denoising": "is for denoising and not for colorization; use sr3 restore",
    "colorize g.png --model MODEL/generation": "makes pictures from nothing",
    "colorize g.png --steps 0": "0 steps cannot be walked",
    "colorize g.png --sampler magic": "there is no sampler 'magic'",
    "colorize g.png --quality best": "has not been tuned",
    "colorize g.png --quality good": "there is no quality 'good'",
    "colorize g.png --spacing odd": "there is no spacing 'odd'",
    "colorize g.png --samples 0": "Invalid value for '--samples'",
    "colorize g.png --device moon": "moon",
    "colorize g.png --trace t.png": "--trace writes a .gif",
    "colorize g.png --tile 0": "a tile of 0 pixels is too small",
    "colorize g.png -o x.txt": "its name must end in one of",
    "colorize none.png": "none.png",
    "colorize none.png g.png -o out": "none.png: does not exist",
    "colorize text.png": "is not a picture",
    "colorize empty.png": "is empty (0 bytes)",
    "colorize folder": "there is no picture in the folder",
    "colorize g.png --model none": "there is no model 'none'",
    "colorize g.png --model none.safetensors": "none.safetensors",
    "colorize g.png p.jpg -o g.png": "is no folder; several pictures need one",
    "inpaint p.png": "nothing says where the hole",
    "inpaint p.png --mask none.png": "none.png does not exist",
    "inpaint p.png --mask text.png": "text.png is not a picture",
    "inpaint p.png --mask small.png": "the mask small.png is 10x8 and p.png is 40x30",
    "inpaint p.png --mask black.png": "black all over, so there is nothing to make",
    "inpaint p.png --mask white.png": "would be made anew, with nothing to go by",
    "inpaint p.png --box 0,0,40x30": "would be made anew",
    "inpaint p.png --box 5,5,40x10": "the box 5,5,40x10 is not inside p.png, which is 40x30",
    "inpaint p.png --box 41,5,1x1": "is not inside",
    "inpaint p.png --box 5,5,10": "'5,5,10' is not a box",
    "inpaint p.png --box 5,5,0x4": "is not a box",
    "inpaint p.png --box 5,5,4x0": "is not a box",
    "inpaint p.png --box -5,5,4x4": "is not a box",
    "inpaint p.png --box a,b,cxd": "is not a box",
    "inpaint p.png --box 5,5,4x4 --grow -1": "Invalid value for '--grow'",
    "inpaint p.png --box 5,5,4x4 --feather 999": "Invalid value for '--feather'",
    "inpaint p.png --box 5,5,4x4 --grow 200": "covers the whole picture",
    "inpaint p.png --box 5,5,4x4 --feather 60": "covers the whole picture",
    "inpaint opaque.png": "has no transparent pixel",
    "inpaint clear.png": "would be made anew",
    "inpaint p.png --box 5,5,4x4 --model MODEL/colorization": "not for inpainting; use sr3 colorize",
    "inpaint text.png --box 5,5,4x4": "is not a picture",
    "inpaint p.png --box 1,1,2x2 --samples 2 --trace t.mp4": "--trace writes a .gif",
    "uncrop p.png": "give --to or pixels for at least one of",
    "uncrop p.png --left 0": "give --to or pixels",
    "uncrop p.png --left -4": "Invalid value for '--left'",
    "uncrop p.png --left 4 --to 80x80": "and not both",
    "uncrop p.png --to 20x60": "p.png is 40x30 and 20x60 is no larger; give a larger size",
    "uncrop p.png --to 40x30": "is no larger",
    "uncrop p.png --to 80": "'80' is not a size",
    "uncrop p.png --to 0x50": "is not a size",
    "uncrop p.png --to axb": "is not a size",
    "uncrop p.png --left four": "Invalid value for '--left'",
    "uncrop p.png --right 4 --model MODEL/inpainting": "not for uncropping; use sr3 inpaint",
    "uncrop text.png --right 4": "is not a picture",
    "uncrop none.png --right 4": "none.png",
    "dejpeg p.png": "p.png is no JPEG file",
    "dejpeg g.png": "g.png is no JPEG file",
    "dejpeg fake.jpg": "fake.jpg is no JPEG file",
    "dejpeg cut.jpg": "cut.jpg is damaged or incomplete",
    "dejpeg cmyk.jpg": "cmyk.jpg",
    "dejpeg text.jpg": "text.jpg is not a picture",
    "dejpeg empty.jpg": "empty.jpg is empty",
    "dejpeg p.jpg --model MODEL/super-resolution": "not for jpeg-restoration; use sr3 upscale",
    "dejpeg p.jpg --precision fp64": "fp64",
    "dejpeg p.jpg --seed one": "Invalid value for '--seed'",
    "dejpeg p.jpg -o folder/x.bmp": "its name must end in one of",
    "dejpeg p.jpg --steps 20000": "20000 steps cannot be walked",
    "dejpeg": "Missing argument",
    "dejpeg p.jpg --scale 2": "No such option",
    "restore p.png": "shows no damage: it is opaque, has colours and is neither noisy nor a JPEG file of low quality",
    "restore p.jpg": "name the task by sr3 colorize, inpaint, uncrop or dejpeg",
    "restore p.png --model MODEL/several": "shows no damage that is among colorization, inpainting, jpeg-restoration",
    "upscale p.png --model MODEL/several": "cannot be used by sr3 upscale: it was not trained for super-resolution",
    "restore p.png --mask small.png --model MODEL/several": "the mask small.png is 10x8 and p.png is 40x30",
    "restore p.png --mask black.png --model MODEL/several": "black all over, so there is nothing to make",
    "restore p.png --mask white.png --model MODEL/inpainting": "would be made anew, with nothing to go by",
    "restore p.png --mask none.png": "none.png does not exist",
    "restore p.png --mask small.png --model MODEL/colorization": "not for inpainting; use sr3 colorize",
    "restore p.png --box 1,1": "'1,1' is not a box",
    "restore p.png --box 0,0,40x30 --model MODEL/several": "would be made anew",
    "restore clear.png --model MODEL/several": "all of this picture is transparent, with nothing to go by",
    "restore none.png": "none.png: does not exist",
    "restore folder": "there is no picture in the folder",
    "restore text.png": "text.png is not a picture",
    "restore g.png --model none": "there is no model 'none'",
    "restore g.png --model MODEL/several --samples 0": "Invalid value for '--samples'",
    "restore g.png --model MODEL/several --steps 0": "0 steps cannot be walked",
    "colorize g.png --hints none.png": "none.png does not exist",
    "colorize g.png --hints text.png": "text.png is not a picture",
    "colorize g.png --hints empty.png": "is empty (0 bytes)",
    "colorize g.png --hints p.png": "p.png: the hints have no transparency, which would say where no colour is known",
    "colorize g.png --hints clear.png": "clear.png: the hints are transparent all over; paint the colours",
    "colorize g.png --hints dots.png": "dots.png: the hints are 10x8 and the picture is 40x30",
    "colorize p.png --hints opaque.png": "p.png has colours already; give --grey",
    "inpaint p.png --box 1,1,4x4 --detail none": "there is no model 'none'",
    "inpaint p.png --box 1,1,4x4 --detail MODEL/inpainting": "tiny-inpainting does not enlarge; give a model that does",
    "uncrop p.png --right 4 --detail MODEL/colorization": "tiny-colorization does not enlarge",
    "uncrop p.png --to 41x29": "is no larger; give a larger size",
    "uncrop p.png --to 41": "'41' is not a size",
    "uncrop folder --right 4": "there is no picture in the folder",
    "dejpeg folder": "there is no picture in the folder",
    "dejpeg none.jpg": "none.jpg: does not exist",
    "dejpeg clear.png --model MODEL/several": "clear.png is no JPEG file",
    "demo --task restore": "there is no demo of 'restore'",
    "demo --task colorize --model none": "there is no model 'none'",
    "demo --task uncrop --model MODEL/generation": "makes pictures from nothing",
    "evaluate --model MODEL/several --data folder --task measured=denoising": "not trained for denoising",
    "evaluate --model MODEL/inpainting --data folder --task measured_area=2": "holes of 2 to 2 of a picture cannot be",
    "evaluate --model MODEL/jpeg-restoration --data folder --task quality=0": "the quality 0 is out of range",
    "restore p.png --model MODEL/inpainting": "nothing says where this picture's hole is",
    "restore clear.png --model MODEL/inpainting": "all of this picture is transparent, with nothing to go by",
    "restore p.png --model MODEL/uncropping": "how far this picture is to grow is not said",
    "restore p.png --model MODEL/colorization": "has colours already",
    "restore p.png --model MODEL/generation": "makes pictures from nothing",
    "restore text.png --model MODEL/denoising": "is not a picture",
    "demo --task sharpen": "there is no demo of 'sharpen'",
    "demo --task inpaint --model MODEL/colorization": "not for inpainting",
    "demo --task dejpeg -o d.txt": "its name must end in one of",
}
USUAL = {"colorize": "colorization", "inpaint": "inpainting", "uncrop": "uncropping", "dejpeg": "jpeg-restoration"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with good files and bad."""
    monkeypatch.chdir(tmp_path)
    picture = noise_picture(40, 30)
    picture.save("p.png")
    picture.save("p.jpg")
    picture.save("fake.jpg", "PNG")
    picture.convert("L").save("g.png")
    picture.convert("CMYK").save("cmyk.jpg")
    for name, size, colour in (("small", (10, 8), 255), ("black", (40, 30), 0), ("white", (40, 30), 255)):
        Image.new("L", size, colour).save(f"{name}.png")
    for name, alpha in (("opaque", 255), ("clear", 0)):
        Image.merge("RGBA", (*picture.split(), Image.new("L", (40, 30), alpha))).save(f"{name}.png")
    Image.merge(
        "RGBA", (*noise_picture(10, 8).split(), Image.eval(Image.linear_gradient("L").resize((10, 8)), int))
    ).save("dots.png")
    for suffix in ("png", "jpg"):
        (tmp_path / f"text.{suffix}").write_text("hello " * 100)
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "p.jpg").read_bytes()[:700])
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("typed", BAD)
def test_bad_input_gets_one_sentence(sr3, models, place, typed):
    words = [str(models[word.removeprefix("MODEL/")]) if word.startswith("MODEL/") else word for word in typed.split()]
    if words[0] in USUAL and "--model" not in words and len(words) > 1:
        words += ["--model", str(models[USUAL[words[0]]])]
    before = {p.name for p in place.iterdir()}
    code, out, err = sr3(*words)
    assert code in (1, 2, 3)
    assert BAD[typed] in " ".join(err.replace("│", " ").split()), err
    assert "Traceback" not in err + out
    if "Usage" not in err:
        assert len([line for line in err.splitlines() if " s, tiny" not in line]) <= 2
    assert {p.name for p in place.iterdir()} - before <= {"out"}


@pytest.mark.parametrize(
    ("typed", "recipe"),
    [
        ("inpaint p.png --box 1,1,4x4 --model face-palette", "face-palette"),
        ("uncrop p.png --right 4 --model face-palette", "face-palette"),
        ("restore p.png --model photo-denoise", "photo-denoise"),
        ("demo --task inpaint --model face-palette", "face-palette"),
    ],
)
def test_a_model_that_is_not_there_yet_can_be_trained(sr3, place, monkeypatch, typed, recipe):
    monkeypatch.setattr("sr3.model.model.names", lambda: ["photo-4x"])
    code, _, err = sr3(*typed.split())
    assert code == 2
    assert f"no model {recipe} comes with the package; train one with: sr3 train {recipe} --data" in err
