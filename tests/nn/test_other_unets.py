"""The guided U-Net, the one of the most used public code, and a settled one, against their definitions."""

import pytest
import torch
import torch.nn.functional as F
from test_definitions import Weights, batch, shaken, silu
from torch import Tensor, nn

from sr3.nn.janspiry_palette import JanspiryPaletteUNet
from sr3.nn.janspiry_unet import JanspiryUNet
from sr3.nn.settled import settled
from sr3.nn.sr3_unet import Attention, ResidualBlock, SR3UNet, _norm
from sr3.nn.unet import UNet


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.double)


def halved(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


RESAMPLED = {None: lambda x: x, "down": halved, "up": doubled}


@pytest.mark.parametrize("resample", RESAMPLED)
@pytest.mark.parametrize(("width", "heads"), [(128, 2), (60, 1)])
def test_a_guided_block_scales_and_shifts_what_its_norm_leaves(resample, width, heads):
    """Dhariwal & Nichol (2021): heads of 64 channels, and the skip of a resampled picture is the picture."""
    block = shaken(ResidualBlock(width, width, 12, resample=resample, attend=True, scale=1.0, guided=True))
    w, x, embedding = Weights(block), drawn(2, width, 4, 6), drawn(2, 12)
    change = RESAMPLED[resample]
    h = w.conv("first", change(silu(w.group_norm("norm_first", x))))
    scale, shift = w.linear("told", silu(embedding))[:, :, None, None].chunk(2, 1)
    h = w.conv("second", silu(w.group_norm("norm_second", h) * (1 + scale) + shift))
    h = change(x) + h
    h = h + w.attention("attention", "out", w.group_norm("attention.norm", h), heads)
    torch.testing.assert_close(block(x, embedding), h, rtol=1e-6, atol=1e-6)
    assert block.attention.heads == heads


@pytest.mark.parametrize(("guided", "resample"), [(False, "up"), (False, None), (True, "up"), (True, None)])
def test_a_skip_is_a_convolution_where_something_changes(guided, resample):
    same, wider = (ResidualBlock(8, w, 4, resample=resample, guided=guided) for w in (8, 12))
    assert isinstance(same.skip, nn.Identity) == (guided or resample is None)
    assert isinstance(wider.skip, nn.Conv2d)
    assert isinstance(same.attention, nn.Identity)


def test_heads_can_be_told():
    asked = [ResidualBlock(128, 128, 4, attend=True, guided=g, heads=h).attention for g, h in ((True, 4), (False, 4))]
    assert [a.heads for a in asked] == [4, 4]
    assert ResidualBlock(128, 128, 4, attend=True).attention.heads == 1
    assert ResidualBlock(128, 128, 4, attend=True, scale=0.25).attention.scale == 0.25
    layer = shaken(Attention(16, scale=0.3, heads=4))
    w, x = Weights(layer), drawn(1, 16, 3, 2)
    qkv = w.conv("qkv", w.group_norm("norm", x)).view(1, 3, 4, 4, 6)
    q, k, v = qkv.unbind(1)
    mixed = v @ (q.transpose(-1, -2) @ k / 2).softmax(-1).transpose(-1, -2)
    want = 0.3 * (x + w.conv("out", mixed.reshape(1, 16, 3, 2)))
    torch.testing.assert_close(layer(x), want, rtol=1e-6, atol=1e-6)


def test_norms_have_groups_of_four_channels_or_more_and_32_at_most():
    assert [_norm(width).num_groups for width in (4, 8, 124, 128, 256)] == [1, 2, 31, 32, 32]
    assert _norm(8).eps == 1e-6


def test_kinds_of_the_papers_unet_differ_in_sums_and_in_how_levels_join():
    shape = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "resolution": 8, "attention_at": (4,)}
    for kind, scale, between in (
        ({}, 0.5**0.5, False),
        ({"ddpm": True}, 1.0, True),
        ({"guided": True}, 1.0, False),
        ({"guided": True, "ddpm": True}, 1.0, True),
    ):
        net = SR3UNet(**shape, **kind, heads=2, labels=5, dropout=0.1)
        blocks = [m for m in net.modules() if isinstance(m, ResidualBlock)]
        assert {m.scale for m in blocks} == {scale}
        assert {m.guided for m in blocks} == {"guided" in kind}
        assert {m.dropout.p for m in blocks} == {0.1}
        assert {m.heads for m in net.modules() if isinstance(m, Attention)} == {2}
        assert any(type(m).__name__ == "Between" for m in net.modules()) == between
        assert net.label is not None
        assert net.label.weight.shape == (5, 32)
        assert (net.embed.features, net.embed.first.out_features, net.embed.second.out_features) == (8, 32, 32)
    with pytest.raises(ValueError, match="multiple of 4"):
        SR3UNet(6)
    with pytest.raises(ValueError, match="without labels"):
        SR3UNet(**shape)(drawn(1, 3, 8, 8).float(), torch.ones(1), drawn(1, 3, 8, 8).float(), torch.tensor([0]))


def test_the_network_of_the_public_code():
    """Two levels, attention at the coarse one; sums are plain, and the embedding enters as it is."""
    net = shaken(JanspiryUNet(8, (1, 2), 1, (1,), groups=2, dropout=0.2))
    w, (x, noise, cond) = Weights(net), batch(8)
    embedding = w.embedding(noise, 8)
    assert w.all["embed.first.weight"].shape == (32, 8)

    def norm(name: str, h: Tensor) -> Tensor:
        groups = h.reshape(len(h), 2, -1)
        mean, var = groups.mean(2, keepdim=True), groups.var(2, unbiased=False, keepdim=True)
        normal = ((groups - mean) / (var + 1e-5).sqrt()).view_as(h)
        return normal * w.all[f"{name}.weight"].view(-1, 1, 1) + w.all[f"{name}.bias"].view(-1, 1, 1)

    def block(name: str, h: Tensor) -> Tensor:
        inner = w.conv(f"{name}.first", silu(norm(f"{name}.norm_first", h)))
        inner = inner + w.linear(f"{name}.told", embedding)[:, :, None, None]
        skip = w.conv(f"{name}.skip", h) if f"{name}.skip" in w else h
        h = skip + w.conv(f"{name}.second", silu(norm(f"{name}.norm_second", inner)))
        if f"{name}.attention.qkv" not in w:
            return h
        b, c, high, wide = h.shape
        flat = norm(f"{name}.attention.norm", h).reshape(b, c, -1)
        q, k, v = (w.all[f"{name}.attention.qkv.weight"][..., 0, 0] @ flat).chunk(3, 1)
        mixed = v @ (q.transpose(1, 2) @ k / c**0.5).softmax(-1).transpose(1, 2)
        return h + w.conv(f"{name}.attention.out", mixed.view(b, c, high, wide))

    h = w.conv("enter", torch.cat([cond, x], 1))
    kept = [h, block("down.0", h)]
    kept.append(w.conv("down.1.conv", kept[-1], stride=2))
    kept.append(block("down.2", kept[-1]))
    h = block("middle.1", block("middle.0", kept[-1]))
    for k in range(2):
        h = block(f"up.{k}", torch.cat([h, kept.pop()], 1))
    h = w.conv("up.2.conv", doubled(h))
    for k in (3, 4):
        h = block(f"up.{k}", torch.cat([h, kept.pop()], 1))
    torch.testing.assert_close(net(x, noise, cond), w.conv("leave", silu(norm("norm", h))), rtol=1e-5, atol=1e-6)
    has = [
        name for name in ("down.0", "down.2", "middle.0", "middle.1", "up.0", "up.3") if f"{name}.attention.qkv" in w
    ]
    assert has == ["down.2", "middle.0", "up.0"]
    assert {m.p for m in net.modules() if isinstance(m, nn.Dropout)} == {0.2}


def test_the_public_palettes_network_has_guided_blocks_with_norms_and_heads_as_told():
    net = JanspiryPaletteUNet(8, (12, 24), 1, (1,), groups=3, head=6, dropout=0.2)
    assert {m.eps for m in net.modules() if isinstance(m, nn.GroupNorm)} == {1e-5}
    assert {m.num_groups for m in net.modules() if isinstance(m, nn.GroupNorm)} == {3}
    assert {(m.heads, m.scale) for m in net.modules() if isinstance(m, Attention)} == {(4, 1.0)}
    assert {m.heads for m in JanspiryPaletteUNet(8, (12, 24), 1, (1,), 3, 0).modules() if isinstance(m, Attention)} == {
        1
    }
    blocks = [m for m in net.modules() if isinstance(m, ResidualBlock)]
    assert {(m.guided, m.scale, m.dropout.p, m.told.in_features) for m in blocks} == {(True, 1.0, 0.2, 32)}
    assert (net.embed.features, net.embed.first.out_features, net.embed.second.out_features) == (8, 32, 32)
    for wrong in ({"widths": ()}, {"head": 5}, {"head": -1}, {"groups": 5}):
        with pytest.raises(ValueError, match="levels and heads|no heads of 5|divisible"):
            JanspiryPaletteUNet(**{"channels": 8, "widths": (12, 24), "groups": 3, "head": 6} | wrong)


def test_a_settled_network_is_the_one_that_is_told_its_level():
    net = shaken(UNet(patch=2, widths=(8, 12), blocks=(1, 2), embedding=16, attention=2, dropout=0.3)).float()
    x, _, cond = (t.float() for t in batch(8))
    fixed = settled(net.train(), 2.5)
    told = torch.full((2,), 2.5)
    torch.testing.assert_close(fixed(x, told, cond), net.eval()(x, told, cond), rtol=1e-4, atol=1e-4)
    assert (fixed(x, told, cond) - net(x, told * 3, cond)).abs().max() > 1e-2
    assert fixed.pads
    assert not fixed.training
    assert not any(p.requires_grad for p in fixed.parameters())
    bare = settled(net, 2.5, pads=False)
    assert not bare.pads
    assert net.pads
    torch.testing.assert_close(bare(x, told, cond), fixed(x, told, cond))
    with pytest.raises(RuntimeError):
        bare(x[..., :7], told, cond[..., :7])
    other = nn.Conv2d(3, 3, 1)
    kept = settled(other, 1.0, pads=False)
    assert kept is not other
    assert torch.equal(F.conv2d(x, kept.weight, kept.bias), other(x))
