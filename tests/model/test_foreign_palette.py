"""Weights of the public Palette: networks written here from the format's description are the oracle, in its names."""

import math

import numpy as np
import pytest
import test_foreign as other
import torch
import torch.nn.functional as F
from PIL import Image

from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError
from sr3.model.foreign import bring
from sr3.model.model import Model
from sr3.nn.sr3_unet import Attention
from sr3.restore.restorer import Restorer
from sr3.task import Given

SHAPES = {
    "plain": dict(channels=8, widths=(16, 32), blocks=1, attention=(), groups=4, head=8),
    "deep": dict(channels=6, widths=(8, 12, 24), blocks=2, attention=(1, 2), groups=2, head=4),
    "one-head": dict(channels=4, widths=(8, 16), blocks=1, attention=(0,), groups=4, head=0),
    "one-level": dict(channels=8, widths=(12,), blocks=2, attention=(), groups=3, head=6),
}
BETAS = 1e-4, 0.4, 50


def knots(betas):
    """What that code keeps of its schedule in training, of what matters here."""
    left = (1 - torch.linspace(*betas, dtype=torch.float64)).cumprod(0)
    return {"gammas": left.float(), "sqrt_recipm1_gammas": (1 / left - 1).sqrt().float()}


def state_of(channels, widths, blocks, attention, groups, head, betas=BETAS):
    """A state dict in the format, with random weights."""
    rng = torch.Generator().manual_seed(0)
    state = {}

    def put(name, *shape):
        fan = math.prod(shape[1:])
        state[f"denoise_fn.{name}.weight"] = torch.randn(shape, generator=rng) / fan**0.5
        state[f"denoise_fn.{name}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)

    def norm(name, width):
        state[f"denoise_fn.{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=rng)
        state[f"denoise_fn.{name}.bias"] = 0.1 * torch.randn(width, generator=rng)

    def block(name, width_in, width_out):
        norm(f"{name}.in_layers.0", width_in)
        put(f"{name}.in_layers.2", width_out, width_in, 3, 3)
        put(f"{name}.emb_layers.1", 2 * width_out, 4 * channels)
        norm(f"{name}.out_layers.0", width_out)
        put(f"{name}.out_layers.3", width_out, width_out, 3, 3)
        if width_in != width_out:
            put(f"{name}.skip_connection", width_out, width_in, 1, 1)

    def attend(name, width):
        norm(f"{name}.norm", width)
        put(f"{name}.qkv", 3 * width, width, 1)
        put(f"{name}.proj_out", width, width, 1)

    put("cond_embed.0", 4 * channels, channels)
    put("cond_embed.2", 4 * channels, 4 * channels)
    put("input_blocks.0.0", widths[0], 6, 3, 3)
    width, kept, k = widths[0], [widths[0]], 1
    for level, wide in enumerate(widths):
        for _ in range(blocks):
            block(f"input_blocks.{k}.0", width, wide)
            if level in attention:
                attend(f"input_blocks.{k}.1", wide)
            width, kept, k = wide, [*kept, wide], k + 1
        if level < len(widths) - 1:
            block(f"input_blocks.{k}.0", width, width)
            kept, k = [*kept, width], k + 1
    block("middle_block.0", width, width)
    attend("middle_block.1", width)
    block("middle_block.2", width, width)
    k = 0
    for level in reversed(range(len(widths))):
        for number in range(blocks + 1):
            block(f"output_blocks.{k}.0", width + kept.pop(), widths[level])
            width = widths[level]
            if level in attention:
                attend(f"output_blocks.{k}.1", width)
            if level and number == blocks:
                block(f"output_blocks.{k}.{2 if level in attention else 1}", width, width)
            k += 1
    norm("out.0", width)
    put("out.2", 3, width, 3, 3)
    return state | (knots(betas) if betas else {})


def oracle(state, shape, picture, gamma):
    """The network's answer to [B, 6, H, W], the condition first, at alpha-bar = gamma; by the names in the file."""
    w = {k.removeprefix("denoise_fn."): v for k, v in state.items()}

    def conv(name, x):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=w[f"{name}.weight"].shape[-1] // 2)

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(name, x):
        parts = x.unflatten(1, (shape["groups"], -1)).flatten(2)
        flat = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return flat.reshape(x.shape) * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]

    def swish(x):
        return x * torch.sigmoid(x)

    def same(x):
        return x

    def halved(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def doubled(x):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    def block(name, x, change=same):
        h = conv(f"{name}.in_layers.2", change(swish(normed(f"{name}.in_layers.0", x))))
        more, shift = linear(f"{name}.emb_layers.1", swish(told))[..., None, None].chunk(2, 1)
        h = normed(f"{name}.out_layers.0", h) * (1 + more) + shift
        h = conv(f"{name}.out_layers.3", swish(h))
        x = change(x)
        return h + (conv(f"{name}.skip_connection", x) if f"{name}.skip_connection.weight" in w else x)

    def attention(name, x):
        if f"{name}.qkv.weight" not in w:
            return x
        rows = w[f"{name}.qkv.weight"][..., 0] @ normed(f"{name}.norm", x).flatten(2) + w[f"{name}.qkv.bias"][:, None]
        wide = shape["head"] or x.shape[1]
        seen = []
        for first in range(0, x.shape[1] * 3, 3 * wide):  # a head's query, key and value, and then the next head's
            q, k, v = rows[:, first : first + 3 * wide].chunk(3, 1)
            seen.append(v @ torch.softmax(q.mT @ k / wide**0.5, -1).mT)
        out = w[f"{name}.proj_out.weight"][..., 0] @ torch.cat(seen, 1) + w[f"{name}.proj_out.bias"][:, None]
        return x + out.reshape(x.shape)

    levels, blocks = len(shape["widths"]), shape["blocks"]
    half = shape["channels"] // 2
    angle = gamma * torch.tensor([1e4 ** (-k / half) for k in range(half)])
    told = torch.cat([angle.cos(), angle.sin()])[None]
    told = linear("cond_embed.2", swish(linear("cond_embed.0", told)))
    h = conv("input_blocks.0.0", picture)
    kept, k = [h], 1
    for level in range(levels):
        for _ in range(blocks):
            h = attention(f"input_blocks.{k}.1", block(f"input_blocks.{k}.0", h))
            kept, k = [*kept, h], k + 1
        if level < levels - 1:
            h = block(f"input_blocks.{k}.0", h, halved)
            kept, k = [*kept, h], k + 1
    h = block("middle_block.2", attention("middle_block.1", block("middle_block.0", h)))
    for k in range(levels * (blocks + 1)):
        h = attention(f"output_blocks.{k}.1", block(f"output_blocks.{k}.0", torch.cat([h, kept.pop()], 1)))
        for last in (f"output_blocks.{k}.1", f"output_blocks.{k}.2"):
            if f"{last}.in_layers.0.weight" in w:
                h = block(last, h, doubled)
    return conv("out.2", swish(normed("out.0", h)))


def sampled(answer, cond, betas, noises, mask=None):
    """That code's sampling: Ho et al. (2020), algorithm 2 with their beta-tilde and estimates clipped.

    answer: of [B, 6, H, W] and alpha-bar.  mask: after every step what is outside is put back.
    """
    betas = torch.linspace(*betas, dtype=torch.float64)
    alphas = (1 - betas).cumprod(0)
    noises = iter(noises)
    x = next(noises) if mask is None else cond
    for t in reversed(range(len(betas))):
        now, before, beta = alphas[t].item(), alphas[t - 1].item() if t else 1.0, betas[t].item()
        eps = answer(torch.cat([cond, x], 1), now)
        x0 = ((x - (1 - now) ** 0.5 * eps) / now**0.5).clamp(-1, 1)
        x = (beta * before**0.5 * x0 + (1 - before) * (1 - beta) ** 0.5 * x) / (1 - now)
        if t:
            x = x + (beta * (1 - before) / (1 - now)) ** 0.5 * next(noises)
        if mask is not None:
            x = torch.where(mask, x, cond)
    return x


def options(shape):
    """What is told of a shape."""
    return {"groups": shape["groups"], "head_width": shape["head"]}


@pytest.fixture(params=SHAPES)
def made(request, tmp_path):
    """(the state dict, its shape, its file)."""
    state = state_of(**SHAPES[request.param])
    torch.save(state, tmp_path / "190_Network.pth")
    return state, SHAPES[request.param], tmp_path / "190_Network.pth"


def test_the_network_is_the_formats(made):
    state, shape, path = made
    model = bring(path, "janspiry-palette", task="inpainting", **options(shape))
    x, cond = torch.randn(2, 2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    for gamma in (1e-6, 0.3, 0.9999):
        with torch.no_grad():
            found = model.net(x, torch.full((2,), gamma), cond)
        torch.testing.assert_close(found, oracle(state, shape, torch.cat([cond, x], 1), gamma), atol=1e-4, rtol=1e-4)


def best_of(path, given, noises, betas, monkeypatch):
    """What "best" makes with such betas for such noise."""
    restorer = Restorer.load(path, precision="fp32", device="cpu")
    settings = restorer.settings(quality="best")
    assert (settings.steps, settings.spacing) == (1000, "t")
    assert settings.schedule == {"kind": "linear-beta", "start": 1e-4, "stop": 0.09, "steps": 1000}
    spec = dict(zip(("kind", "start", "stop", "steps"), ("linear-beta", *betas), strict=True))
    settings = settings.model_copy(update={"steps": betas[2], "schedule": spec})
    drawn = iter(noises)
    monkeypatch.setattr("sr3.restore.restorer.Seeds", lambda _: lambda x: next(drawn))
    found = restorer.make(given, [0], free=given.mask is None, settings=settings)
    assert next(drawn, None) is None
    return found


FEW = 1e-3, 0.97, 16
"""Betas for a short walk, of which nothing is left at the end."""


TASKS = "inpainting", "uncropping", "colorization"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["deep", "sr3"])
def test_best_is_that_codes_own_sampling_for_the_same_noise(kind, task, tmp_path, sr3, monkeypatch):
    rng, path = torch.Generator().manual_seed(2), tmp_path / "5_Network_ema.pth"
    if kind == "sr3":
        state, told = other.state_of(**other.SHAPES["deep"]), ["--groups", 4]
        said = "pictures of 16 pixels, one head of attention and norms of 4 groups"
    else:
        state, told = state_of(**SHAPES[kind], betas=None), ["--groups", 2, "--head-width", 4]
        said = "pictures of 16 pixels, heads of 4 channels and norms of 2 groups"
    torch.save(state, path)
    code, out, err = sr3("import", path, "--from", "janspiry-palette", "--task", task, "--side", 16, *told)
    assert code == 0, err
    assert f"{task}; taken for granted are {said}" in " ".join(out.split())

    def answer(picture, gamma):
        if kind == "sr3":
            return other.oracle(state, 4, picture, gamma)
        return oracle(state, SHAPES[kind], picture, gamma)

    whole, noises = torch.rand(1, 3, 16, 12, generator=rng) * 2 - 1, torch.randn(FEW[2], 1, 3, 16, 12, generator=rng)
    mask, cond = None, whole[:, :1].expand_as(whole)
    if task != "colorization":
        mask = torch.zeros(1, 1, 16, 12, dtype=torch.bool)
        mask[..., 3:11, 5:12] = True
        cond = torch.where(mask, noises[0], whole)  # where the walk begins, too
    wanted = sampled(answer, cond, FEW, noises if mask is None else noises[1:], mask)
    found = best_of(path.with_suffix(".safetensors"), Given(cond, mask), noises, FEW, monkeypatch)
    if mask is not None:
        assert torch.equal(torch.where(mask, 0, found), torch.where(mask, 0, whole))
    torch.testing.assert_close(found, wanted.clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("betas", [(1e-6, 0.01, 2000), (1e-4, 0.02, 1000), (0.001, 0.3, 30), None])
def test_what_the_file_says_is_read_and_the_rest_is_as_published(betas, tmp_path):
    shape = dict(channels=32, widths=(32, 64), blocks=1, attention=(1,), groups=32, head=32)
    state = state_of(**shape, betas=betas)
    torch.save(
        {f"module.{k}": v.half() if k.endswith("out.2.bias") else v for k, v in state.items()}, tmp_path / "a.pth"
    )
    model = bring(tmp_path / "a.pth", "janspiry-palette", task="colorization")
    start, stop, steps = betas or (1e-6, 0.01, 2000)
    assert model.config.schedule == {"kind": "linear-beta", "start": start, "stop": stop, "steps": steps}
    assert (model.config.task, model.config.sides) == ({"kind": "colorization"}, (32, 256))
    assert [model.config.quality[name].steps for name in ("fast", "balanced", "best")] == [20, 50, 1000]
    assert model.config.sampling == model.config.quality["balanced"]
    assert {layer.heads for layer in model.net.modules() if isinstance(layer, Attention)} == {2}
    norm = model.net.middle[0].norm_first
    assert (norm.num_groups, norm.eps) == (32, 1e-5)
    assert torch.equal(model.net.get_parameter("enter.weight"), state["denoise_fn.input_blocks.0.0.weight"])
    assert "ask before" in model.about["terms"]
    assert "lightness" in model.about["limits"]
    assert sum(p.numel() for p in model.net.parameters()) == sum(
        v.numel() for k, v in state.items() if k.startswith("denoise_fn.")
    )


def test_a_large_picture_is_filled_around_its_hole_and_stays_as_it_is_elsewhere(tmp_path, sr3):
    torch.save(state_of(**SHAPES["plain"]), tmp_path / "a.pth")
    how = ["--task", "inpainting", "--side", 16, "--groups", 4, "--head-width", 8]
    assert sr3("import", tmp_path / "a.pth", "--from", "janspiry-palette", *how)[0] == 0
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    how = ["--model", tmp_path / "a.safetensors", "--quality", "fast", "--box", "20,10,6x7", "-o", tmp_path / "q.png"]
    code, _, err = sr3("inpaint", tmp_path / "p.png", *how)
    assert code == 0, err
    differs = (np.asarray(Image.open(tmp_path / "q.png")) != pixels).any(-1)
    hole = np.zeros_like(differs)
    hole[10:17, 20:26] = True
    assert not differs[~hole].any()
    assert differs[hole].mean() > 0.9


PLAIN = state_of(**SHAPES["plain"])
N = "denoise_fn."


def without(*names, **more):
    return {k: v for k, v in PLAIN.items() if k not in names} | more


REFUSED = {
    "no file": (None, "does not exist; give a .pth"),
    "a program": ({"a": other.Evil()}, "without running code"),
    "training's state": ({"epoch": 1, "optimizers": []}, r"ending in _Network\.pth"),
    "another table": ({"weight": torch.zeros(1)}, r"no weights named denoise_fn\.input_blocks"),
    "no embedding": (without(f"{N}cond_embed.0.weight"), "no weights named"),
    "from nothing": (PLAIN | {f"{N}input_blocks.0.0.weight": torch.zeros(16, 3, 3, 3)}, "from nothing"),
    "a flat first layer": (PLAIN | {f"{N}input_blocks.0.0.weight": torch.zeros(16, 6)}, "2 sides, and not 4"),
    "no weight": (PLAIN | {f"{N}input_blocks.1.0.in_layers.2.weight": torch.tensor(1.0)}, "no weights"),
    "sparse": (PLAIN | {f"{N}out.2.weight": PLAIN[f"{N}out.2.weight"].to_sparse()}, "no weights"),
    "whole numbers": (PLAIN | {f"{N}out.2.weight": PLAIN[f"{N}out.2.weight"].int()}, "no weights"),
    "not a number": (PLAIN | {f"{N}out.2.bias": torch.full((3,), math.nan)}, "hold NaN"),
    "an odd sinusoid": (PLAIN | {f"{N}cond_embed.0.weight": torch.zeros(32, 7)}, "odd number of features"),
    "no sinusoid": (PLAIN | {f"{N}cond_embed.0.weight": torch.zeros(32)}, "odd number of features"),
    "convolutions between levels": (
        PLAIN | {f"{N}input_blocks.2.0.op.weight": torch.zeros(16, 16, 3, 3)},
        "joined by convolutions",
    ),
    "no way up": ({k: v for k, v in PLAIN.items() if "output_blocks" not in k}, "unlike numbers of blocks"),
    "no way down": ({k: v for k, v in PLAIN.items() if "input_blocks.1" not in k}, "unlike numbers of blocks"),
    "a block too many": (PLAIN | {f"{N}input_blocks.9.0.x": torch.zeros(1)}, "does not fit: as down"),
    "a level too many": (PLAIN | {f"{N}output_blocks.9.0.x": torch.zeros(1)}, "unlike numbers of blocks"),
    "only the first layers": (
        {k: PLAIN[k] for k in PLAIN if k.startswith((f"{N}input_blocks.0.", f"{N}cond_embed", f"{N}out."))},
        "unlike numbers of blocks",
    ),
    "the same twice": (PLAIN | {f"{N}input_blocks.1.3.in_layers.2.bias": torch.zeros(16)}, "besides another"),
    "one of ours": (PLAIN | {f"{N}enter.bias": torch.zeros(16)}, "besides another"),
    "a weight too many": (PLAIN | {f"{N}extra": torch.zeros(2)}, "as extra the network needs none"),
    "a strange number": (PLAIN | {f"{N}input_blocks.{'9' * 5000}.0.x": torch.zeros(2)}, "the network needs none"),
    "a weight too few": (without(f"{N}middle_block.2.in_layers.2.bias"), r"middle\.1\.first\.bias"),
    "another shift": (PLAIN | {f"{N}middle_block.0.emb_layers.1.weight": torch.zeros(32, 32)}, r"needs \(64, 32\)"),
    "attention of another width": (PLAIN | {f"{N}middle_block.1.qkv.weight": torch.zeros(95, 32, 1)}, "has \\(95"),
    "flat attention": (PLAIN | {f"{N}middle_block.1.qkv.weight": torch.zeros(96)}, r"has \(96,\)"),
    "other betas": (
        PLAIN | {"sqrt_recipm1_gammas": knots((0.01, 0.2, 30))["sqrt_recipm1_gammas"] ** 2},
        "not evenly spaced",
    ),
    "no noise": (PLAIN | {"sqrt_recipm1_gammas": torch.zeros(30)}, "not evenly spaced"),
    "betas that are none": (PLAIN | {"sqrt_recipm1_gammas": torch.full((30,), math.nan)}, "not evenly spaced"),
    "no list": (PLAIN | {"sqrt_recipm1_gammas": torch.zeros(3, 2)}, "no list of numbers"),
    "an empty list": (PLAIN | {"sqrt_recipm1_gammas": torch.zeros(0)}, "no list of numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_cannot_be_imported_are_refused_in_a_sentence(name, tmp_path, capsys):
    state, why = REFUSED[name]
    path = tmp_path / "a.pth"
    if state is not None:
        torch.save(state, path)
    with pytest.raises(CheckpointError, match=why):
        bring(path, "janspiry-palette", task="inpainting", groups=4, head_width=8)
    assert capsys.readouterr() == ("", "")


def test_what_is_told_must_fit(tmp_path, sr3):
    path, older = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save(PLAIN, path)
    torch.save(other.PLAIN, older)
    for told, why in (
        ({}, "is not in it, and is not told; give --task, one of colorization, inpainting, uncropping"),
        ({"task": "jpeg-restoration"}, "'jpeg-restoration' is no task of that code; give --task"),
        (
            {"task": "inpainting", "factor": 4},
            "janspiry-palette is told no factor; it is told task, side, groups, head-width",
        ),
        ({"task": "inpainting", "groups": 4, "head_width": 5}, "32 channels are no heads of 5 each"),
        ({"task": "inpainting", "groups": 3, "head_width": 8}, "divisible by num_groups"),
    ):
        with pytest.raises(ConfigError, match=why):
            bring(path, "janspiry-palette", **told)
    with pytest.raises(ConfigError, match="one head; leave out --head-width"):
        bring(older, "janspiry-palette", task="inpainting", groups=8, head_width=8)
    with pytest.raises(ConfigError, match="janspiry-sr3 is told no head-width; it is told factor, groups"):
        bring(older, "janspiry-sr3", head_width=8)
    assert sr3("import", path, "--from", "janspiry-palette")[0] == 2
    assert not path.with_suffix(".safetensors").exists()


def test_known_pixels_are_pasted_for_holes_alone(tmp_path):
    torch.save(PLAIN, tmp_path / "a.pth")
    told = {"groups": 4, "head_width": 8}
    configs = [bring(tmp_path / "a.pth", "janspiry-palette", task=task, **told).config for task in TASKS]
    assert [config.pasted for config in configs] == [True, True, False]
    config = configs[0]
    for change in ({"residual": True}, {"task": {"kind": "colorization"}}, {"kind": "regression"}):
        with pytest.raises(ConfigError, match="pasted is for inpainting and uncropping"):
            Model(config.model_copy(update=change))
