"""Both U-Nets against their definitions, written out once more over the same weights, every one of them at work."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.nn.energy import EnergyScore
from sr3.nn.plain import PlainNet
from sr3.nn.sr3_unet import PUBLISHED, ResidualBlock, SR3UNet
from sr3.nn.unet import UNet


def shaken(net: nn.Module) -> nn.Module:
    """Double, and no weight at its first value: what is zero or one there would hide what it multiplies."""
    rng = torch.Generator().manual_seed(0)
    net = net.double().eval().requires_grad_(False)
    for p in net.parameters():
        p.copy_(0.3 * torch.randn(p.shape, generator=rng, dtype=torch.double))
    return net


def batch(side: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    x, cond = (torch.randn(2, 3, side, side, generator=rng, dtype=torch.double) for _ in range(2))
    return x, torch.tensor([30.0, 2.5], dtype=torch.double), cond


class Weights:
    """The layers of a network by name, without its code."""

    def __init__(self, net: nn.Module):
        self.all = dict(net.named_parameters())

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self.all

    def conv(self, name: str, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
        weight = self.all[f"{name}.weight"]
        padding = weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, weight, self.all[f"{name}.bias"], stride, padding)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.all[f"{name}.weight"].T + self.all[f"{name}.bias"]

    def group_norm(self, name: str, x: Tensor) -> Tensor:
        """Groups of four channels, as there are few."""
        groups = x.reshape(len(x), x.shape[1] // 4, -1)
        mean, var = groups.mean(2, keepdim=True), groups.var(2, unbiased=False, keepdim=True)
        normal = ((groups - mean) / (var + 1e-6).sqrt()).view_as(x)
        return normal * self.all[f"{name}.weight"].view(-1, 1, 1) + self.all[f"{name}.bias"].view(-1, 1, 1)

    def embedding(self, noise: Tensor, features: int) -> Tensor:
        half = features // 2
        angle = noise[:, None] * torch.tensor([math.exp(-math.log(1e4) * k / half) for k in range(half)])
        return self.linear("embed.second", silu(self.linear("embed.first", torch.cat([angle.sin(), angle.cos()], 1))))

    def attention(self, name: str, leave: str, normal: Tensor, heads: int) -> Tensor:
        b, c, h, w = normal.shape
        q, k, v = self.conv(f"{name}.qkv", normal).view(b, 3, heads, c // heads, h * w).unbind(1)
        share = (q.transpose(-1, -2) @ k / (c // heads) ** 0.5).softmax(-1)
        return self.conv(f"{name}.{leave}", (v @ share.transpose(-1, -2)).reshape(b, c, h, w))


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def pixel_norm(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("side", [8, 7, 5])
def test_the_efficient_unet(side):
    """Two levels, two blocks at the coarse one with attention between them; sides are padded to multiples of 4."""
    net = shaken(UNet(patch=2, widths=(8, 12), blocks=(1, 2), embedding=16, attention=2))
    w, (x, noise, cond) = Weights(net), batch(side)
    embedding = silu(w.embedding(noise, 16))
    padded = F.pad(torch.cat([cond, x], 1), (0, 8 - side, 0, 8 - side), mode="replicate")

    def block(name: str, h: Tensor) -> Tensor:
        scale, shift = w.linear(f"{name}.modulate", embedding)[:, :, None, None].chunk(2, 1)
        inner = silu(w.conv(f"{name}.first", (1 + scale) * pixel_norm(h) + shift))
        return h + w.conv(f"{name}.second", inner)

    h = kept = block("down.0.0", w.conv("enter", F.pixel_unshuffle(padded, 2)))
    h = block("down.1.0", w.conv("shrink.0", F.pixel_unshuffle(h, 2)))
    h = h + w.attention("attend", "leave", pixel_norm(h), heads=2)
    h = block("down.1.1", h)
    h = block("up.0.0", w.conv("merge.0", torch.cat([F.pixel_shuffle(w.conv("grow.0", h), 2), kept], 1)))
    wanted = F.pixel_shuffle(w.conv("leave", silu(h)), 2)[..., :side, :side]
    torch.testing.assert_close(net(x, noise, cond), wanted, rtol=1e-5, atol=1e-6)
    assert not torch.equal(net(cond, noise, x), net(x, noise, cond))
    assert (net.stride, net.reach) == (4, None)
    # 2 px for each of enter and leave, 2 convolutions of 2 px twice, 4 of 4 px, and a place of the grid
    assert UNet(patch=2, widths=(8, 12), blocks=(1, 2), embedding=16).reach == 2 * 2 + 2 * 2 * 2 + 4 * 4 + 4


@pytest.mark.parametrize("ddpm", [False, True])
def test_the_papers_unet(ddpm):
    """Three levels, attention at the middle one; SR3's sums are over root two and its blocks resample inside."""
    shape = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "resolution": 8, "attention_at": (4,)}
    net = shaken(SR3UNet(**shape, ddpm=ddpm, dropout=0.2))
    w, (x, noise, cond) = Weights(net), batch(8)
    embedding, root = w.embedding(noise, 8), 1 if ddpm else 2**0.5

    def resampled(h: Tensor, how: str) -> Tensor:
        if how == "down":
            return (h[..., ::2, ::2] + h[..., 1::2, ::2] + h[..., ::2, 1::2] + h[..., 1::2, 1::2]) / 4
        return h.repeat_interleave(2, -1).repeat_interleave(2, -2) if how == "up" else h

    def block(name: str, h: Tensor, how: str = "") -> Tensor:
        if ddpm and how:
            if how == "down":
                return w.conv(f"{name}.conv", F.pad(h, (0, 1, 0, 1)), stride=2, padding=0)
            return w.conv(f"{name}.conv", resampled(h, "up"))
        inner = w.conv(f"{name}.first", resampled(silu(w.group_norm(f"{name}.norm_first", h)), how))
        inner = inner + w.linear(f"{name}.told", silu(embedding))[:, :, None, None]
        inner = w.conv(f"{name}.second", silu(w.group_norm(f"{name}.norm_second", inner)))
        skip = resampled(h, how)
        h = ((w.conv(f"{name}.skip", skip) if f"{name}.skip" in w else skip) + inner) / root
        if f"{name}.attention.qkv" not in w:
            return h
        normal = w.group_norm(f"{name}.attention.norm", h)
        return (h + w.attention(f"{name}.attention", "out", normal, heads=1)) / root

    h = w.conv("enter", torch.cat([cond, x], 1))
    kept = [h]
    for k, how in enumerate(["", "down", "", "down", ""]):
        h = block(f"down.{k}", h, how)
        kept.append(h)
    h = block("middle.1", block("middle.0", h))
    for k, how in enumerate(["", "", "up", "", "", "up", "", ""]):
        h = block(f"up.{k}", h if how else torch.cat([h, kept.pop()], 1), how)
    wanted = w.conv("leave", silu(w.group_norm("norm", h)))
    torch.testing.assert_close(net(x, noise, cond), wanted, rtol=1e-5, atol=1e-6)
    assert "down.2.attention.qkv" in w
    assert "down.0.attention.qkv" not in w
    assert "down.4.attention.qkv" not in w


def weights(net: nn.Module) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in net.named_parameters()}


def test_what_the_networks_are_unless_they_are_told():
    """SR3's for 16 to 128, but for its dropout; and an efficient one of two levels."""
    with torch.device("meta"):
        paper = SR3UNet()
        assert weights(paper) == weights(SR3UNet(**PUBLISHED["16-128"]))
        efficient = {"patch": 4, "widths": (64, 96), "blocks": (3, 3), "embedding": 128}
        ours = UNet()
        assert weights(ours) == weights(UNet(**efficient, in_channels=3, cond_channels=3, out_channels=3, attention=0))
        assert weights(SR3UNet(16, (1, 1), 1)) == weights(SR3UNet(16, (1, 1), 1, 128, (16,), dropout=0.0, ddpm=False))
    assert {m.p for net in (paper, ours) for m in net.modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert not paper.checkpointing
    assert not ours.checkpointing


def test_an_energy_is_a_number_for_each_example():
    energy = EnergyScore(lambda x, told, cond: x**2 / 2)
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(energy.energy(x, torch.zeros(3)), torch.stack([(v**2).sum() / 2 for v in x]))
    torch.testing.assert_close(energy(x, torch.zeros(3)), -x)


def test_dropout_is_for_training_alone():
    x, noise, cond = batch(8)
    net = shaken(UNet(widths=(8,), blocks=(1,), embedding=8, dropout=0.5))
    assert torch.equal(net(x, noise, cond), net(x, noise, cond))
    torch.manual_seed(0)
    net.train()
    assert not torch.equal(net(x, noise, cond), net(x, noise, cond))


def test_the_papers_dropout_takes_its_share_of_what_the_second_convolution_sees():
    """0.2 for 16 to 128 (appendix A); the others have none."""
    net = SR3UNet(channels=8, multipliers=(1, 2), blocks=1, resolution=8, dropout=0.2).train()
    seen = []
    block = net.middle[0]
    block.second.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    x, noise, cond = (t.float() for t in batch(32))
    net(x, noise, cond)
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_a_plain_network_begins_near_the_identity():
    """A tenth of the spread that would keep the variance, 1 / sqrt(9 * width)."""
    torch.manual_seed(0)
    net = PlainNet()
    assert (len(net.body), net.body[0].first.out_channels, net.patch) == (5, 64, 4)
    for block in net.body:
        assert block.second.weight.std().item() == pytest.approx(0.1 / 24, rel=0.03)


def test_layers_of_the_papers_unet_begin_with_unit_gain():
    """Xavier's uniform: a variance of 2 / (in + out); what ends a branch is zero."""
    torch.manual_seed(0)
    block = ResidualBlock(64, 64, 256, attend=True)
    fans = {block.told: 256 + 64, block.first: 9 * 128, block.attention.qkv: 128}
    for layer, fan in fans.items():
        assert layer.weight.var().item() == pytest.approx(2 / fan, rel=0.06)
    assert block.told.bias.abs().max() == 0
    for layer in (block.second, block.attention.out):
        assert layer.weight.abs().max() == 0


def test_padding_is_to_the_coarsest_grid_by_the_border():
    """As many levels, as many halvings; a plain network's is one."""
    assert SR3UNet(8, (1, 2, 2), 1).stride == 4
    x, noise, cond = batch(7)
    plain = shaken(PlainNet(patch=2, width=8, blocks=1))
    bordered = F.pad(cond, (0, 1, 0, 1), mode="replicate")
    torch.testing.assert_close(plain(x, noise, cond), plain(bordered, noise, bordered)[..., :7, :7])
