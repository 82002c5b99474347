"""The side by side: who is ahead, by how much, and what another implementation is given and gives."""

import importlib
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image
from torch import nn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def side(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    module = importlib.import_module("side_by_side")
    monkeypatch.setattr(module, "patches_for", lambda pictures: 64)  # quicker
    return module


@pytest.fixture
def public(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return importlib.import_module("public_sr3")


@pytest.fixture
def faces(tmp_path):
    """Originals, results with little noise ("ours") and with more noise and a green tint ("theirs")."""
    rng = np.random.default_rng(0)
    for i in range(12):
        clean = np.asarray(noise_picture(64, 64, seed=i)).astype(float) * 0.8 + 20
        noise = rng.standard_normal(clean.shape)
        for name, made in {"data": clean, "ours": clean + 4 * noise, "theirs": clean + 12 * noise + [0, 6, 0]}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(made.clip(0, 255).round().astype(np.uint8)).save(tmp_path / name / f"{i:02}.png")
    return tmp_path


def run(module, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def pixels(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]).astype(float)


def test_the_better_set_is_ahead_by_the_known_difference(side, faces, monkeypatch, capsys):
    (faces / "seen.py").write_text(
        "def means(x):\n    return x.unfold(2, 16, 16).unfold(3, 16, 16).mean((4, 5)).flatten(1)\n"
    )
    folders = [part for name in ("data", "ours", "theirs") for part in (f"--{name}", faces / name)]
    extra = ["--features", f"{faces}/seen.py:means", "--seconds", 0.5, 80, "--json", faces / "found.json"]
    run(side, monkeypatch, "compare", *folders, *extra)
    said = capsys.readouterr().out
    found = json.loads((faces / "found.json").read_text())
    clean, ours, theirs = (pixels(faces / name) for name in ("data", "ours", "theirs"))
    psnr = [10 * np.log10(255**2 / ((made - clean) ** 2).mean((1, 2, 3))).mean() for made in (ours, theirs)]
    assert found["sets"]["ours"]["psnr"][0] == pytest.approx(psnr[0], abs=1e-4)
    apart = found["ours - theirs"]
    assert apart["psnr"][0] == pytest.approx(psnr[0] - psnr[1], abs=1e-4)
    assert apart["tint"][0] == pytest.approx(-6, abs=0.5)
    assert list(apart) == list(side.MEASURES)
    for name, (value, low, high) in apart.items():
        assert low < value < high
        assert (value > 0) == side.MEASURES[name]
    assert "1/160" in said
    last = said.strip().splitlines()[-1]
    assert last.count("ahead") == 6
    # the other way round the same differences with the other sign
    folders = ["--data", faces / "data", "--ours", faces / "theirs", "--theirs", faces / "ours"]
    run(side, monkeypatch, "compare", *folders, *extra)
    assert capsys.readouterr().out.strip().splitlines()[-1].count("behind") == 6
    assert json.loads((faces / "found.json").read_text())["ours - theirs"]["swd"][0] == pytest.approx(-apart["swd"][0])


def test_equal_sets_are_not_told_apart(side, faces):
    truth, sets = side.matched([faces / "data"], {"theirs": faces / "ours", "ours": faces / "ours"})
    found = side.measured(truth, sets)
    for name, ends in found["ours - theirs"].items():
        assert ends == [0, 0, 0]
        assert side.verdict(name, *ends[1:]) == "undecided"


def test_the_measures_of_a_set_are_the_library_s(side, faces):
    """Intervals of the sliced Wasserstein distance too, but for the mean along other directions."""
    truth, sets = side.matched([faces / "data"], {"theirs": faces / "theirs", "ours": faces / "ours"})
    metric = side.SWD(side.patches_for(12))
    metric.update(sets["ours"] / 255, truth / 255, truth / 255)
    value, low, high = side.measured(truth, sets)["sets"]["ours"]["swd"]
    assert value == pytest.approx(metric.compute()["swd"])
    want = metric.intervals(0)["swd"]
    assert high - low == pytest.approx(want[1] - want[0], rel=0.3)


def test_pictures_are_matched_by_name(side, faces):
    (faces / "ours" / "03.png").unlink()
    (faces / "theirs" / "00.png").unlink()
    truth, sets = side.matched([faces / "data"], {"theirs": faces / "theirs", "ours": faces / "ours"})
    assert len(truth) == len(sets["ours"]) == 10
    kept = [i for i in range(12) if i not in (0, 3)]
    assert np.array_equal(truth.permute(0, 2, 3, 1).numpy(), pixels(faces / "data")[kept])
    assert np.array_equal(sets["theirs"].permute(0, 2, 3, 1).numpy(), pixels(faces / "theirs")[[i - 1 for i in kept]])
    for path in sorted((faces / "ours").iterdir())[3:]:  # 00.png has no counterpart
        path.unlink()
    with pytest.raises(SystemExit, match="2 of the originals"):
        side.matched([faces / "data"], {"theirs": faces / "theirs", "ours": faces / "ours"})


def test_the_gallery_shows_the_results_and_not_the_originals(side, faces, monkeypatch):
    folders = [part for name in ("data", "ours", "theirs") for part in (f"--{name}", faces / name)]
    run(side, monkeypatch, "compare", *folders, "--gallery", faces / "gallery.png")
    sheet = np.asarray(Image.open(faces / "gallery.png"))
    blocks = [sheet[b * 140 : b * 140 + 128, 72:] for b in range(2)]  # 2 rows of 64, then 12 pixels of white
    cells = [[b[r * 64 : r * 64 + 64, c * 64 : c * 64 + 64] for b in blocks for c in range(10)][:12] for r in range(2)]
    for row, name in enumerate(("theirs", "ours")):
        assert np.array_equal(np.stack(cells[row]), pixels(faces / name))
    originals = pixels(faces / "data")
    assert all((cells[r][i] != originals[i]).any() for r in range(2) for i in range(12))


CONFIG = """{ // as theirs, with comments
  "datasets": {"train": {"batch_size": 4}}, // pictures
  "model": {"unet": {"inner_channel": 64}, "beta_schedule": {"train": {"n": 1}, "val": {"n": 2}}}
}"""
CODE = """
import numpy as np, torch
class Model:
    def __init__(self, config):
        self.config, self.log_dict, self.netG = config, {}, torch.nn.Linear(1, 1)
        self.optG, self.seen = torch.optim.Adam(self.netG.parameters()), []
    def set_new_noise_schedule(self, options, schedule_phase): self.schedule = options["n"], schedule_phase
    def feed_data(self, data): self.data = data
    def optimize_parameters(self):
        self.optG.zero_grad()
        loss = (self.netG.weight - 1).square().sum()
        loss.backward()
        self.optG.step()
        self.log_dict["l_pix"] = loss.item()
        made.append((self, np.random.rand(), self.data))
    def test(self, continous):
        assert continous
        self.out = torch.cat([self.data["HR"], self.data["SR"] * 2])
    def get_current_visuals(self): return {"SR": self.out}
made = []
def create_model(config): return Model(config)
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A stand-in for the public code, with its shape and none of its words."""
    root = tmp_path / "clone"
    (root / "config").mkdir(parents=True)
    (root / "config" / "sr_sr3_16_128.json").write_text(CONFIG)
    (root / "model.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "model", raising=False)
    yield root
    sys.modules.pop("model", None)


def test_training_gives_pairs_as_theirs_and_goes_on(public, clone, tmp_path, monkeypatch, capsys):
    clock = itertools.count()
    ticks = lambda: float(next(clock))  # noqa: E731
    monkeypatch.setattr(public, "time", SimpleNamespace(monotonic=ticks, process_time=ticks))
    (tmp_path / "data").mkdir()
    full = noise_picture(160, 160, seed=1)
    full.save(tmp_path / "data" / "0.png")
    options = ["train", "--clone", clone, "--data", tmp_path / "data", "--state", tmp_path / "kept.pt", "--width", 8]
    run(public, monkeypatch, *options, "--minutes", 0.5)
    made = list(sys.modules["model"].made)
    assert len(made) == 30  # a step takes a second
    model = made[0][0]
    assert model.config["model"]["unet"] == {"inner_channel": 8, "norm_groups": 4}
    assert model.config["gpu_ids"] is None
    assert model.schedule == (1, "train")
    bicubic = Image.Resampling.BICUBIC
    want = {"HR": full.resize((128, 128), bicubic), "SR": full.resize((16, 16), bicubic).resize((128, 128), bicubic)}
    flips = set()
    for *_, data in made:
        straight = {k: torch.from_numpy(np.array(v) / 255.0).permute(2, 0, 1)[None] * 2 - 1 for k, v in want.items()}
        for flipped in (False, True):
            if all(
                torch.allclose(data[k].double(), v.flip(-1) if flipped else v, atol=1e-6) for k, v in straight.items()
            ):
                flips.add(flipped)
                break
        else:
            pytest.fail("what the model was given is not the pair")
    assert flips == {False, True}
    assert f"{len(made)} pictures seen" in capsys.readouterr().out
    weight = model.netG.weight.clone()
    run(public, monkeypatch, *options, "--minutes", 0.5)  # nothing left to do
    assert len(sys.modules["model"].made) == len(made)
    run(public, monkeypatch, *options, "--minutes", 1)
    again, noise, _ = sys.modules["model"].made[len(made)]
    assert noise != made[0][1]
    kept = torch.load(tmp_path / "kept.pt")
    assert kept["seen"] == len(sys.modules["model"].made) == 60
    assert kept["seconds"] == 60
    assert abs(again.netG.weight - 1).item() < abs(weight - 1).item()
    options[-1] = 16
    with pytest.raises(SystemExit, match="width 8, not 16"):
        run(public, monkeypatch, *options, "--minutes", 1)


def test_sampling_writes_the_last_stage_once(public, clone, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for i in range(3):
        noise_picture(128, 128, seed=i).save(tmp_path / "data" / f"{i}.png")
    state = {"net": nn.Linear(1, 1).state_dict(), "width": 64}
    torch.save(state, tmp_path / "kept.pt")
    out = tmp_path / "out"
    out.mkdir()
    options = ["sample", "--clone", clone, "--data", tmp_path / "data", "--state", tmp_path / "kept.pt", "--out", out]
    run(public, monkeypatch, *options, "--batch", 2)
    for i in range(3):
        small = noise_picture(128, 128, seed=i).resize((16, 16), Image.Resampling.BICUBIC)
        input_ = np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC)) / 127.5 - 1
        want = ((input_ * 2).clip(-1, 1) + 1) * 127.5
        made = np.asarray(Image.open(out / f"{i}.png"))
        assert np.abs(made - want).max() <= 0.51
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "2.png").unlink()
    run(public, monkeypatch, *options, "--batch", 2)
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"2.png"}
