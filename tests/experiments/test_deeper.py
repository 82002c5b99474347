"""One level more: it answers as before, and what is new can learn."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from conftest import tiny_config

from sr3.model.config import ConfigError
from sr3.model.model import Model

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
deeper = import_module("deeper").deeper

SHALLOW = {"kind": "unet", "patch": 2, "widths": [8, 12], "blocks": [1, 4], "embedding": 16}


def trained(**network):
    torch.manual_seed(1)
    model = Model(tiny_config(network={**SHALLOW, **network}))
    for p in model.net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model


def test_it_answers_as_before_and_sees_further():
    before = trained()
    after = deeper(before, 20, 3)
    x, cond, told = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32), torch.tensor([120.0])
    torch.testing.assert_close(after.net(x, told, cond), before.net(x, told, cond), atol=1e-5, rtol=1e-5)
    assert after.config.network["widths"] == [8, 12, 20]
    assert after.config.network["blocks"] == [1, 2, 3]
    assert after.net.reach > before.net.reach
    # what is new has a slope, and so learns
    after.net(x, told, cond).square().sum().backward()
    assert after.net.merge[1].weight.grad.abs().sum() > 0
    after.net.merge[1].weight.data.add_(0.1)
    assert not torch.allclose(after.net(x, told, cond), before.net(x, told, cond), atol=1e-2)


def test_blocks_and_attention_are_added_and_change_nothing_at_first():
    before = trained()
    after = deeper(before, 20, 3, more=[2, 1], attention=4)
    x, cond, told = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32), torch.tensor([120.0])
    torch.testing.assert_close(after.net(x, told, cond), before.net(x, told, cond), atol=1e-5, rtol=1e-5)
    assert after.config.network["blocks"] == [3, 3, 3]
    assert after.net.attend.heads == 4
    assert {len(after.net.down[0]), len(after.net.up[0])} == {3}
    for block in (after.net.down[0][2], after.net.up[1][2]):  # those that are new do nothing yet
        assert not block.second.weight.any()
    first = trained()
    before.first = first
    assert deeper(before, 20, 3).first is first
    with pytest.raises(ConfigError, match="has 2 levels"):
        deeper(before, 20, 3, more=[1])


@pytest.mark.parametrize("network", [{"blocks": [1, 3]}, {"attention": 2}])
def test_what_cannot_be_made_deeper(network):
    with pytest.raises(ConfigError, match="without attention, with an even last level"):
        deeper(trained(**network), 16, 1)
