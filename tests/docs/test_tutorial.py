"""The tutorial: its names exist, its snippets run, its two languages agree, and the script draws what it shows."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from sr3.diffusion.denoiser import start
from sr3.diffusion.path import walk
from sr3.diffusion.sample import ancestral, last
from sr3.diffusion.schedule import Cosine
from sr3.picture.exchange import from_pil
from sr3.picture.resize import shrink
from sr3.testing import points

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = [ROOT / "docs" / "tutorial.md", ROOT / "docs" / "tutorial.zh-CN.md"]
ENGLISH, CHINESE = (path.read_text("utf-8") for path in TUTORIALS)


def code(text):
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def formulas(text):
    """What is between double dollars, without the spaces and the words in it."""
    return [re.sub(r"\s+|\\text\{[^}]*\}", "", formula) for formula in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)]


def resolve(name):
    """The thing of a dotted name; AttributeError where there is none."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            thing = getattr(thing, part)
        return thing
    raise AttributeError(name)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh-CN"])
def test_every_name_exists(text):
    names = re.findall(r"`(sr3(?:\.\w+)+)", text)
    assert len(names) > 30
    for name in names:
        resolve(name)
    with pytest.raises(AttributeError):
        resolve("sr3.diffusion.sample.nothing_of_the_kind")


def test_the_snippets_run_in_order():
    """Every snippet asserts what the text beside it says."""
    namespace = {}
    for k, snippet in enumerate(code(ENGLISH)):
        exec(compile(snippet, f"docs/tutorial.md, snippet {k + 1}", "exec"), namespace)
    assert k >= 12


def test_both_languages_have_the_same_code_formulas_pictures_and_names():
    assert code(ENGLISH) == code(CHINESE)
    assert formulas(ENGLISH) == formulas(CHINESE)
    for pattern in (r"\]\((pictures/[^)]+)\)", r"`(sr3\.[^`]+)`", r"^## (\d)"):
        one, other = (re.findall(pattern, text, re.MULTILINE) for text in (ENGLISH, CHINESE))
        assert len(one) >= 7
        # sentences may turn about in translation, so names may come in another order
        assert sorted(one) == sorted(other)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh-CN"])
def test_every_picture_exists_is_small_and_has_a_description(text):
    pictures = re.findall(r"!\[([^\]]*)\]\((pictures/[^)]+)\)", text)
    assert {name for _, name in pictures} == {
        f"pictures/{path.name}" for path in (ROOT / "docs/pictures").glob("tutorial-*")
    }
    total = 0
    for description, name in pictures:
        path = ROOT / "docs" / name
        total += path.stat().st_size
        assert len(description) > 10
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            assert image.size[0] >= 200
    assert total < 1_200_000


@pytest.fixture(scope="module")
def toy():
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        yield importlib.import_module("toy_2d")
    finally:
        sys.path.remove(str(ROOT / "examples"))


def test_plain_langevin_is_wrong_and_annealed_right_about_the_weights(toy):
    shares = {name: toy.weight(steps[-1].x) for name, (_, steps) in toy.walked(1000, seed=0).items()}
    assert shares["plain Langevin"] == pytest.approx(0.5, abs=0.06)
    assert shares["annealed Langevin"] == pytest.approx(0.8, abs=0.05)


def test_the_large_step_is_too_wide_unless_adjusted(toy):
    """The stationary variance of the unadjusted recursion is v / (1 - d / (4 v)) along each axis."""
    truth = torch.linalg.eigvalsh(toy.TILTED.covariance + 0.25 * torch.eye(2))
    d = 3.0 * 0.25
    found = {name: torch.linalg.eigvalsh(torch.cov(x.T)) for name, (x, _) in toy.at_a_large_step(3000, seed=0).items()}
    torch.testing.assert_close(found["unadjusted"], truth / (1 - d / (4 * truth)), rtol=0.08, atol=0)
    torch.testing.assert_close(found["Metropolis-adjusted"], truth, rtol=0.08, atol=0)


def test_training_brings_the_score_nearer_and_the_seed_decides(toy):
    errors = {name: toy.wrong(network, 0) for name, network in toy.learnt(40, seed=0).items()}
    before = errors.pop("before training")
    assert before == pytest.approx(1, abs=0.1)
    for error in errors.values():
        assert error < 0.75
    assert {name: toy.wrong(network, 0) for name, network in toy.learnt(2, seed=0).items()} == {
        name: toy.wrong(network, 0) for name, network in toy.learnt(2, seed=0).items()
    }


def test_the_spiral_comes_back_from_noise_by_the_same_steps(toy):
    """The walk back ends in the arms of a spiral when the denoiser knows the points; random ones do not lie there."""
    arms = toy.spiral(400, toy.rng(0))
    path = walk(Cosine(), 40, "t")
    begin = start(torch.randn(200, 2, generator=toy.rng(1)), path.first)
    made = last(ancestral(points(arms), begin, path, variance="posterior", noise=toy.noise_of(2)))
    assert torch.cdist(made, arms).min(1).values.max() < 0.05
    untrained = toy.new(0, toy.Eps())
    noise, steps = toy.back(untrained, 50, 8, seed=0)
    assert len(steps) == 8
    assert noise.shape == steps[-1].x.shape


def test_the_face_agrees_with_what_was_given(toy):
    pytest.importorskip("skimage")
    clean, small = toy.small_face()
    assert (clean.size, small.size) == ((192, 192), (48, 48))
    part = small.crop((16, 16, 32, 32))
    steps, result = toy.refined(part, seed=0)
    assert result.size == (64, 64)
    again = shrink(from_pil(result).rgb, 4) - from_pil(part).rgb
    assert again.abs().max() < 1.5 * 2 / 255  # what 8 bits in the result leave
    assert (from_pil(result).rgb - from_pil(clean.crop((64, 64, 128, 128))).rgb).abs().mean() < 0.15
    assert steps[-1].level.ratio < steps[0].level.ratio


@pytest.mark.parametrize("name", ["density", "fields", "walks", "adjusted", "flow", "diffusion"])
def test_every_picture_is_drawn(toy, name):
    """At the least effort there is; the name is that of a file in the tutorial."""
    made = toy.PICTURES[name](0.0, 0)
    image = toy.image_of(made.figure)
    assert image.size[0] == 910
    assert len(image.quantize(64).getcolors()) > 8
    # that of the face shows a photograph, and is drawn but not kept
    assert f"{'drawn' if name == 'face' else 'pictures'}/tutorial-{name}.png" in ENGLISH
    assert (f"pictures/tutorial-{name}.gif" in ENGLISH) == (made.frames is not None)
