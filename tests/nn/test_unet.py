"""The efficient U-Net: any size, silent at first, and blind beyond its reach."""

import pytest
import torch

from sr3.nn import strips
from sr3.nn.unet import Attention, UNet

SHAPES = [
    dict(patch=4, widths=(8,), blocks=(2,)),
    dict(patch=4, widths=(8, 12), blocks=(1, 1)),
    dict(patch=2, widths=(8, 8, 8), blocks=(1, 1, 1)),
]


def awake(**shape):
    """A network whose zero-initialised layers are not zero."""
    torch.manual_seed(0)
    net = UNet(embedding=16, **shape).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.mark.parametrize("shape", SHAPES)
def test_begins_by_answering_nothing(shape):
    net = UNet(embedding=16, **shape)
    out = net(torch.randn(2, 3, 16, 16), torch.rand(2), torch.randn(2, 3, 16, 16))
    assert out.abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 31), (16, 48)])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_size(shape, size):
    net = awake(**shape)
    out = net(torch.randn(1, 3, *size).double(), torch.rand(1), torch.randn(1, 3, *size).double())
    assert out.shape == (1, 3, *size)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_sees_no_further_than_its_reach_and_nearly_as_far(shape):
    net = awake(**shape)
    side = 2 * net.reach + 4 * net.stride
    side -= side % net.stride
    x = torch.randn(1, 3, side, side, dtype=torch.double, requires_grad=True)
    cond = torch.randn(1, 3, side, side, dtype=torch.double)
    middle = side // 2
    net(x, torch.zeros(1), cond)[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)).nonzero()
    furthest = (seen - middle).abs().max().item()
    assert net.reach / 2 < furthest <= net.reach


@pytest.mark.parametrize("shape", SHAPES)
def test_every_weight_and_the_noise_level_matter(shape):
    net = awake(**shape)
    x, cond = torch.randn(1, 3, 16, 16).double(), torch.randn(1, 3, 16, 16).double()
    net(x, torch.tensor([100.0]), cond).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert not torch.equal(net(x, torch.tensor([100.0]), cond), net(x, torch.tensor([101.0]), cond))


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        net = awake(patch=2, widths=(8, 8), blocks=(1, 1)).train()
        net.checkpointing = checkpointing
        torch.manual_seed(1)
        net(torch.randn(1, 3, 8, 8).double(), torch.ones(1), torch.randn(1, 3, 8, 8).double()).sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_unconditional():
    net = UNet(cond_channels=0, widths=(8,), blocks=(1,), embedding=16)
    assert net(torch.randn(1, 3, 8, 8), torch.zeros(1)).shape == (1, 3, 8, 8)


def test_widths_and_blocks_must_match():
    with pytest.raises(ValueError, match="2 widths, 1 blocks"):
        UNet(widths=(8, 8), blocks=(1,))


def test_attention_sees_everything_and_knows_no_order():
    """One head over two positions is the weighted mean that the formula gives; all positions matter to all."""
    torch.manual_seed(0)
    layer = Attention(4, 1).double()
    torch.nn.init.normal_(layer.leave.weight)
    x = torch.randn(1, 4, 3, 5, dtype=torch.double)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)
    weights = (q.transpose(1, 2) @ k / 4**0.5).softmax(-1)
    wanted = x + layer.leave((v @ weights.transpose(1, 2)).view_as(x))
    torch.testing.assert_close(layer(x), wanted)
    turned = layer(x.flip(-1)).flip(-1)
    torch.testing.assert_close(turned, wanted)


def test_a_network_with_attention_has_no_bound_on_what_it_sees():
    net = awake(patch=2, widths=(8, 8), blocks=(1, 2), attention=2)
    assert net.reach is None
    x = torch.randn(1, 3, 64, 64, dtype=torch.double, requires_grad=True)
    net(x, torch.rand(1), torch.randn(1, 3, 64, 64).double())[0, 0, 0, 0].backward()
    assert (x.grad[0, :, -8:, -8:] != 0).any()
    with pytest.raises(ValueError, match="heads"):
        UNet(widths=(8,), blocks=(1,), attention=3)


@pytest.mark.parametrize("strip", [64, 300, 2**20])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 48), (61, 30)])
@pytest.mark.parametrize("shape", [*SHAPES, dict(patch=2, widths=(8, 8), blocks=(1, 2), attention=2)])
def test_strips_answer_as_the_whole(shape, size, strip, monkeypatch):
    """Without gradients the network goes by strips; wherever these begin, the answer is that of layers over all."""
    monkeypatch.setattr("sr3.nn.strips.STRIP", strip)
    net = awake(**shape)
    x, cond = torch.randn(2, 3, *size).double(), torch.randn(2, 3, *size).double()
    wanted = net(x, torch.tensor([3.0, 90.0]), cond)
    with torch.inference_mode():
        torch.testing.assert_close(net(x, torch.tensor([3.0, 90.0]), cond), wanted, rtol=1e-10, atol=1e-12)


def test_strips_end_where_the_picture_does_and_leave_none_too_low(monkeypatch):
    monkeypatch.setattr("sr3.nn.strips.STRIP", 64)
    for high in range(1, 200):
        edges = list(strips._strips(high, 8, 8))
        assert [*(a for a, _ in edges), high] == [0, *(b for _, b in edges)]
        assert min(b - a for a, b in edges) >= min(high, 3)
