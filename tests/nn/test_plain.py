"""The plain network against its definition, and its reach against what it sees."""

import pytest
import torch
import torch.nn.functional as F

from sr3.model.config import ModelConfig
from sr3.model.model import Model
from sr3.nn.plain import PlainNet
from sr3.restore.restorer import Restorer
from sr3.task import Given, SuperResolution


def shaken(**options) -> PlainNet:
    """A small network whose layers all do something."""
    torch.manual_seed(0)
    net = PlainNet(**{"width": 8, "blocks": 2, **options}).double().requires_grad_(False)
    for p in net.parameters():
        p.copy_(0.2 * torch.randn_like(p))
    return net


def answer(net: PlainNet, cond: torch.Tensor) -> torch.Tensor:
    return net(torch.zeros(len(cond), 3, *cond.shape[-2:]).to(cond), torch.zeros(len(cond)), cond)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_it_is_edsr_with_one_pixel_shuffle(patch):
    net, cond = shaken(patch=patch), torch.randn(2, 3, 8, 12, dtype=torch.float64)
    w = dict(net.named_parameters())

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), w[f"{name}.weight"], w[f"{name}.bias"])

    begin = h = conv(F.pixel_unshuffle(cond, patch), "enter")
    for k in range(2):
        h = h + conv(conv(h, f"body.{k}.first").clamp(min=0), f"body.{k}.second")
    expected = F.pixel_shuffle(conv(begin + conv(h, "last"), "leave"), patch)
    torch.testing.assert_close(answer(net, cond), expected)


def test_neither_noise_nor_x_is_looked_at():
    net, cond = shaken(), torch.randn(1, 3, 16, 16, dtype=torch.float64)
    a, b = (net(x, torch.full((1,), float(k)), cond) for k, x in enumerate(torch.randn(2, 1, 3, 16, 16).double()))
    assert torch.equal(a, b)


def test_a_stirred_one_adds_a_convolution_of_x():
    still, stirred = shaken(), shaken(stirred=True)
    missing = stirred.load_state_dict(still.state_dict(), strict=False)
    assert missing.missing_keys == ["stir.weight"]
    cond, x = torch.randn(2, 1, 3, 16, 12, dtype=torch.float64)
    wanted = torch.nn.functional.conv2d(F.pixel_unshuffle(x, 4), stirred.stir.weight, padding=1)
    seen = []
    stirred.body[0].register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    made = stirred(x, torch.zeros(1), cond)
    still.body[0].register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    plain = still(x, torch.zeros(1), cond)
    torch.testing.assert_close(seen[0] - seen[1], wanted)
    assert not torch.equal(made, plain)
    torch.testing.assert_close(stirred(torch.zeros_like(x), torch.zeros(1), cond), plain)


def test_untrained_it_answers_nothing_and_every_size_fits():
    net = PlainNet(width=8, blocks=1)
    for height, width in ((1, 1), (5, 7), (16, 9)):
        made = net(torch.zeros(1, 3, height, width), torch.zeros(1), torch.randn(1, 3, height, width))
        assert made.shape == (1, 3, height, width)
        assert not made.any()


@pytest.mark.parametrize(("patch", "blocks"), [(1, 1), (2, 3), (4, 2)])
def test_nothing_beyond_its_reach_is_seen_and_nearly_all_within(patch, blocks):
    net = shaken(patch=patch, blocks=blocks)
    reach, middle = net.reach, 15 * patch
    cond = torch.randn(1, 3, 1, 1, dtype=torch.float64) + torch.zeros(1, 3, 31 * patch, 31 * patch)
    other = cond.clone()
    other[..., middle : middle + 1, middle : middle + 1] += 1
    seen = (answer(net, other) - answer(net, cond)).abs().sum((0, 1)).nonzero() - middle
    assert seen.abs().max() <= reach
    assert seen.abs().max() >= reach - 2 * patch


def test_a_task_that_gives_nothing_to_see_is_refused():
    with pytest.raises(ValueError, match="sees nothing but the conditioning picture"):
        PlainNet(cond_channels=0)


def test_a_recipe_can_name_it_and_tiles_are_the_whole():
    config = ModelConfig(name="m", kind="regression", residual=True, network={"kind": "plain", "width": 8, "blocks": 2})
    net = shaken().float()
    net.leave.weight.mul_(0.02)  # answers of about a picture's size, or float32 would round what is clamped later
    model = Model(config, net=net)
    assert isinstance(Model(config).net, PlainNet)
    given = Given(torch.rand(1, 3, 33, 29) * 2 - 1)
    whole, tiles = (Restorer(model, device="cpu", tile=tile).make(given, [0]) for tile in (None, 48))
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)
    assert not torch.equal(whole, SuperResolution(4).finish(SuperResolution(4).baseline(given), given))
