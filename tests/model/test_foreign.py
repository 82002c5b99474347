"""Weights of other code: a network written here from the format's description is the oracle, in its own names."""

import math
import os
import pickle

import pytest
import torch
import torch.nn.functional as F

from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError
from sr3.model.foreign import bring
from sr3.model.model import Model
from sr3.picture.resize import enlarge
from sr3.restore.restorer import Restorer
from sr3.task import Given

SHAPES = {
    "plain": dict(channels=16, multipliers=(1, 2), blocks=1, attention=(), groups=8),
    "deep": dict(channels=8, multipliers=(1, 2, 2), blocks=2, attention=(1, 2), groups=4),
}
BETAS = {"plain": (1e-4, 0.5, 40), "deep": (1e-6, 0.6, 40)}
"""First, last and number; so many that nearly nothing is left of the picture, as in that code's 2000 steps."""


def state_of(channels, multipliers, blocks, attention, groups, betas=None):
    """A state dict in the format, with random weights."""
    rng = torch.Generator().manual_seed(0)
    state = {}

    def put(name, *shape, bias=True):
        fan = math.prod(shape[1:])
        state[f"denoise_fn.{name}.weight"] = torch.randn(shape, generator=rng) / fan**0.5
        if bias:
            state[f"denoise_fn.{name}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)

    def norm(name, width):
        state[f"denoise_fn.{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=rng)
        state[f"denoise_fn.{name}.bias"] = 0.1 * torch.randn(width, generator=rng)

    def block(name, width_in, width_out, attends):
        put(f"{name}.res_block.noise_func.noise_func.0", width_out, channels)
        for part, width in (("block1", width_in), ("block2", width_out)):
            norm(f"{name}.res_block.{part}.block.0", width)
            put(f"{name}.res_block.{part}.block.3", width_out, width, 3, 3)
        if width_in != width_out:
            put(f"{name}.res_block.res_conv", width_out, width_in, 1, 1)
        if attends:
            norm(f"{name}.attn.norm", width_out)
            put(f"{name}.attn.qkv", 3 * width_out, width_out, 1, 1, bias=False)
            put(f"{name}.attn.out", width_out, width_out, 1, 1)

    put("noise_level_mlp.1", 4 * channels, channels)
    put("noise_level_mlp.3", channels, 4 * channels)
    put("downs.0", channels, 6, 3, 3)
    width, kept, k = channels, [channels], 1
    for level, many in enumerate(multipliers):
        for _ in range(blocks):
            block(f"downs.{k}", width, channels * many, level in attention)
            width = channels * many
            kept, k = [*kept, width], k + 1
        if level < len(multipliers) - 1:
            put(f"downs.{k}.conv", width, width, 3, 3)
            kept, k = [*kept, width], k + 1
    block("mid.0", width, width, True)
    block("mid.1", width, width, False)
    k = 0
    for level in reversed(range(len(multipliers))):
        for _ in range(blocks + 1):
            block(f"ups.{k}", width + kept.pop(), channels * multipliers[level], level in attention)
            width, k = channels * multipliers[level], k + 1
        if level:
            put(f"ups.{k}.conv", width, width, 3, 3)
            k += 1
    norm("final_conv.block.0", width)
    put("final_conv.block.3", 3, width, 3, 3)
    if betas:
        state["betas"] = torch.linspace(*betas)
        state["alphas_cumprod"] = (1 - state["betas"]).cumprod(0)
    return state


def oracle(state, groups, picture, level):
    """The network's answer to [B, 6, H, W] and sqrt(alpha-bar), from the names in the file alone."""
    w = {k.removeprefix("denoise_fn."): v for k, v in state.items()}

    def conv(name, x, **options):
        return F.conv2d(
            x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=w[f"{name}.weight"].shape[-1] // 2, **options
        )

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(name, x):
        parts = x.unflatten(1, (groups, -1)).flatten(2)
        flat = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return flat.reshape(x.shape) * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]

    def swish(x):
        return x * torch.sigmoid(x)

    def block(name, x):
        own = f"{name}.res_block"
        h = conv(f"{own}.block1.block.3", swish(normed(f"{own}.block1.block.0", x)))
        h = h + linear(f"{own}.noise_func.noise_func.0", told)[:, :, None, None]
        h = conv(f"{own}.block2.block.3", swish(normed(f"{own}.block2.block.0", h)))
        x = h + (conv(f"{own}.res_conv", x) if f"{own}.res_conv.weight" in w else x)
        if f"{name}.attn.qkv.weight" not in w:
            return x
        q, k, v = conv(f"{name}.attn.qkv", normed(f"{name}.attn.norm", x)).flatten(2).chunk(3, 1)
        seen = torch.softmax(q.mT @ k / x.shape[1] ** 0.5, -1)  # [B, N, N], each row one position's looks
        return x + conv(f"{name}.attn.out", (v @ seen.mT).reshape(x.shape))

    count = w["noise_level_mlp.1.weight"].shape[1] // 2
    angle = level * torch.tensor([1e4 ** (-k / count) for k in range(count)])
    told = torch.cat([angle.sin(), angle.cos()])[None]
    told = linear("noise_level_mlp.3", swish(linear("noise_level_mlp.1", told)))
    h = conv("downs.0", picture)
    kept, k = [h], 1
    while any(name.startswith(f"downs.{k}.") for name in w):
        h = conv(f"downs.{k}.conv", h, stride=2) if f"downs.{k}.conv.weight" in w else block(f"downs.{k}", h)
        kept, k = [*kept, h], k + 1
    h = block("mid.1", block("mid.0", h))
    k = 0
    while any(name.startswith(f"ups.{k}.") for name in w):
        if f"ups.{k}.conv.weight" in w:
            h = conv(f"ups.{k}.conv", h.repeat_interleave(2, -1).repeat_interleave(2, -2))
        else:
            h = block(f"ups.{k}", torch.cat([h, kept.pop()], 1))
        k += 1
    assert not kept
    return conv("final_conv.block.3", swish(normed("final_conv.block.0", h)))


def sampled(state, groups, cond, betas, noises):
    """That code's sampling: Ho et al. (2020), algorithm 2 with their beta-tilde and estimates clipped."""
    betas = torch.linspace(*betas, dtype=torch.float64)
    alphas = (1 - betas).cumprod(0)
    noises = iter(noises)
    x = next(noises)
    for t in reversed(range(len(betas))):
        now, before = alphas[t].item(), alphas[t - 1].item() if t else 1.0
        eps = oracle(state, groups, torch.cat([cond, x], 1), now**0.5)
        x0 = ((x - (1 - now) ** 0.5 * eps) / now**0.5).clamp(-1, 1)
        beta = betas[t].item()
        x = (beta * before**0.5 * x0 + (1 - before) * (1 - beta) ** 0.5 * x) / (1 - now)
        if t:
            x = x + (beta * (1 - before) / (1 - now)) ** 0.5 * next(noises)
    return x


@pytest.fixture(params=SHAPES)
def made(request, tmp_path):
    """(the state dict, its groups, its betas, its file)."""
    betas = BETAS[request.param]
    state = state_of(**SHAPES[request.param], betas=betas)
    torch.save(state, tmp_path / "I1_E1_gen.pth")
    return state, SHAPES[request.param]["groups"], betas, tmp_path / "I1_E1_gen.pth"


def test_the_network_is_the_formats(made):
    state, groups, _, path = made
    model = bring(path, "janspiry-sr3", groups=groups)
    x, cond = torch.randn(2, 2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    for level in (0.02, 0.5, 0.9999):
        with torch.no_grad():
            found = model.net(x, torch.full((2,), level), cond)
        torch.testing.assert_close(found, oracle(state, groups, torch.cat([cond, x], 1), level), atol=1e-4, rtol=1e-4)


def test_best_is_that_codes_own_sampling_for_the_same_noise(made, sr3, monkeypatch):
    state, groups, betas, path = made
    code, out, _ = sr3("import", path, "--from", "janspiry-sr3", "--groups", groups, "--factor", 4)
    assert code == 0
    assert f"4 times larger; taken for granted are this factor and norms of {groups} groups" in " ".join(out.split())
    rng = torch.Generator().manual_seed(2)
    given = torch.rand(1, 3, 4, 6, generator=rng) * 2 - 1
    noises = [torch.randn(1, 3, 16, 24, generator=rng) for _ in range(betas[2])]
    wanted = sampled(state, groups, enlarge(given, 4), betas, noises)
    drawn = iter(noises)
    monkeypatch.setattr("sr3.restore.restorer.Seeds", lambda _: lambda x: next(drawn))
    restorer = Restorer.load(path.with_suffix(".safetensors"), precision="fp32", device="cpu")
    found = restorer.make(Given(given), [0], free=True, settings=restorer.settings(quality="best"))
    torch.testing.assert_close(found, wanted.clamp(-1, 1), atol=1e-4, rtol=0)
    assert next(drawn, None) is None


def test_what_the_file_says_is_read_and_the_weights_stay_fp32(made, tmp_path, sr3):
    state, groups, (start, stop, steps), path = made
    assert sr3("import", path, "--from", "janspiry-sr3", "--groups", groups, "-o", tmp_path / "m.safetensors")[0] == 0
    model = Model.from_pretrained(tmp_path / "m.safetensors")
    assert model.config.name == "I1_E1_gen"
    assert model.config.schedule == {"kind": "linear-beta", "start": start, "stop": stop, "steps": steps}
    assert [model.config.quality[name].steps for name in ("fast", "balanced", "best")] == [20, 50, steps]
    assert model.config.sampling == model.config.quality["balanced"]
    for name, steps in (("fast", 20), ("balanced", 50)):
        found = model.config.quality[name]
        assert (found.steps, found.spacing, found.sampler) == (steps, "logsnr", {"kind": "dpmpp", "eta": 1.0})
    assert model.config.task == {"kind": "super-resolution", "factor": 8}
    assert torch.equal(model.net.get_parameter("enter.weight"), state["denoise_fn.downs.0.weight"])
    assert "ask before" in model.about["terms"]
    # a copy of what was imported has as many numbers as was given
    assert sum(p.numel() for p in model.net.parameters()) == sum(
        v.numel() for k, v in state.items() if k.startswith("denoise_fn.")
    )


def test_the_groups_of_the_published_networks_are_known(tmp_path):
    high = dict(channels=32, multipliers=(1, 2, 4, 8, 16), blocks=1, attention=())
    for shape, groups in ((high, 16), ({**high, "multipliers": (2, 4), "blocks": 2}, 32)):
        parallel = {f"module.{k}": v for k, v in state_of(**shape, groups=groups).items()}
        torch.save(parallel, tmp_path / "a_gen.pth")
        model = bring(tmp_path / "a_gen.pth", "janspiry-sr3")
        assert model.config.network["groups"] == groups
        assert model.config.schedule == {"kind": "linear-beta", "start": 1e-6, "stop": 1e-2, "steps": 2000}


class Evil:
    def __reduce__(self):
        return print, ("this code ran",)


def without(state, *names, **more):
    return {k: v for k, v in state.items() if k not in names} | more


PLAIN = state_of(**SHAPES["plain"], betas=BETAS["plain"])
REFUSED = [
    (lambda p: None, "does not exist; give a .pth"),
    (lambda p: p.mkdir(), "is a folder; give a .pth"),
    (lambda p: p.write_bytes(b"no"), "without running code"),
    *[
        (lambda p, junk=junk: p.write_bytes(junk), "without running code")
        for junk in (
            b"abc",
            b"\x80\x02.",
            b"\x80\x02}q\x00.",
            pickle.dumps({"a": [1, 2]}, 2)[:-4],
            b"(lp0\n.",
            b"\x80\x02Q.",
        )
    ],
    (lambda p: p.write_bytes(pickle.dumps(Evil())), "without running code"),
    (lambda p: torch.save({"a": Evil()}, p), "without running code"),
    (lambda p: torch.save({"epoch": 1, "optimizer": {}}, p), "ending in _gen.pth"),
    (lambda p: torch.save([torch.zeros(1)], p), "holds no state dict"),
    (lambda p: torch.save({}, p), "holds no state dict"),
    (lambda p: torch.save({"a": 3}, p), "holds no state dict"),
    (lambda p: torch.save({"weight": torch.zeros(1)}, p), "no weights named denoise_fn.downs.0"),
    (lambda p: torch.save({k: v for k, v in PLAIN.items() if "mlp" not in k}, p), "DDPM network"),
    (lambda p: torch.save(PLAIN | {"denoise_fn.downs.0.weight": torch.zeros(16, 3, 3, 3)}, p), "from nothing"),
    (lambda p: torch.save(PLAIN | {"betas": torch.linspace(0.01, 0.2, 30) ** 2}, p), "not evenly spaced"),
    (
        lambda p: torch.save(without(PLAIN, "denoise_fn.mid.1.res_block.block1.block.3.bias"), p),
        r"middle\.1\.first\.bias",
    ),
    *[
        (lambda p, bad=bad: torch.save(PLAIN | {"betas": bad}, p), "its betas are .* no list of numbers")
        for bad in (torch.zeros(0), torch.tensor(0.1), torch.zeros(2, 3), torch.zeros(3, dtype=torch.complex64))
    ],
    *[
        (
            lambda p, bad=bad: torch.save(PLAIN | {"denoise_fn.downs.0.weight": bad}, p),
            "downs.0.weight.* (no weights|not 4)",
        )
        for bad in (
            torch.zeros(0, 6, 3, 3),
            torch.tensor(1.0),
            torch.zeros(16),
            torch.zeros(16, 6, 3),
            torch.zeros(16, 6, 3, 3, dtype=torch.int32),
            torch.zeros(16, 6, 3, 3).to_sparse(),
        )
    ],
    (
        lambda p: torch.save(PLAIN | {"denoise_fn.downs.1.res_block.block1.block.3.weight": torch.tensor(2.0)}, p),
        "no weights",
    ),
    (lambda p: torch.save(PLAIN | {"denoise_fn.mid.0.attn.out.bias": torch.full((32,), math.nan)}, p), "hold NaN"),
    (lambda p: torch.save(PLAIN | {"denoise_fn.extra": torch.zeros(2)}, p), "as extra the network needs none"),
    (
        lambda p: torch.save(PLAIN | {"denoise_fn.mid.0.attn.out.bias": torch.zeros(7)}, p),
        r"needs \(32,\).* has \(7,\)",
    ),
]


@pytest.mark.parametrize(("make", "why"), REFUSED, ids=[r[1] for r in REFUSED])
def test_files_that_cannot_be_imported_are_refused_in_a_sentence(make, why, tmp_path, capsys):
    path = tmp_path / "a_gen.pth"
    make(path)
    with pytest.raises(CheckpointError, match=why):
        bring(path, "janspiry-sr3", groups=8)
    assert capsys.readouterr() == ("", "")


def test_a_schedule_longer_than_any_model_may_have_is_refused(tmp_path):
    torch.save(PLAIN | {"betas": torch.linspace(1e-6, 1e-2, 12_000)}, tmp_path / "a_gen.pth")
    with pytest.raises(ConfigError, match="less than or equal to 10000"):
        bring(tmp_path / "a_gen.pth", "janspiry-sr3", groups=8)


@pytest.mark.skipif(os.name == "nt", reason="no file can be called so there")
def test_a_files_name_becomes_one_that_a_model_can_have(tmp_path):
    torch.save(PLAIN, tmp_path / "a\\b\nc.pth")
    assert bring(tmp_path / "a\\b\nc.pth", "janspiry-sr3", groups=8).config.name == "a_b_c"


def test_what_is_asked_for_and_cannot_be_is_refused(made, sr3, tmp_path):
    _, _, _, path = made
    with pytest.raises(
        ConfigError, match="no code 'diffusers' to import from; there is janspiry-palette, janspiry-sr3"
    ):
        bring(path, "diffusers")
    with pytest.raises(ConfigError, match="divisible by num_groups"):
        bring(path, "janspiry-sr3", groups=3)
    assert "is none" in sr3("import", path, "--from", "janspiry-sr3", "-o", tmp_path / "a.pth")[2]
    (tmp_path / "there.safetensors").write_text("mine")
    code, _, err = sr3("import", path, "--from", "janspiry-sr3", "-o", tmp_path / "there.safetensors")
    assert code == 2
    assert "is there already; --force replaces it" in err
    assert (tmp_path / "there.safetensors").read_text() == "mine"
