"""The SR3 U-Net: the paper's sizes, what it is before training, and that it hears and sees what it is given."""

import pytest
import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import tell_alpha, tell_plain_alpha
from sr3.diffusion.level import Level
from sr3.nn.embed import NoiseEmbedding, sinusoid
from sr3.nn.sr3_unet import PUBLISHED, Attention, ResidualBlock, SR3UNet

MILLIONS = {"16-128": 564.5, "64-256": 621.4, "64-512": 614.1, "256-1024": 150.2, "palette": 552.8}


def small(**changes: object) -> SR3UNet:
    torch.manual_seed(0)
    shape = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "resolution": 16, "attention_at": (8,)}
    return SR3UNet(**(shape | changes))


def shaken(**changes: object) -> SR3UNet:
    """As after one step of training: nothing is exactly zero."""
    net = small(**changes)
    for p in net.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return net


def batch(height: int = 16, width: int = 16, size: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    x, cond = (torch.randn(size, 3, height, width, generator=rng) for _ in range(2))
    return x, torch.linspace(1000, 4990, size), cond


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_shapes_have_the_published_sizes(name: str) -> None:
    with torch.device("meta"):
        net = SR3UNet(**PUBLISHED[name])
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert count == pytest.approx(MILLIONS[name], rel=0.005)


def test_attention_is_at_16_and_in_the_middle() -> None:
    with torch.device("meta"):
        net = SR3UNet(**PUBLISHED["16-128"])
    widths = [m.out.out_channels for m in net.modules() if isinstance(m, Attention)]
    assert widths == [1024] * (3 + 1 + 4)  # down, middle, up: 16 x 16 is the level of multiplier 8 before the last


def test_answers_zero_before_training() -> None:
    x, noise, cond = batch()
    assert torch.equal(small()(x, noise, cond), torch.zeros_like(x))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 16), (9, 30)])
def test_any_size_is_the_padded_size_cut_back(size: tuple[int, int]) -> None:
    height, width = size
    net = shaken().eval()
    x, noise, cond = batch(height, width)
    down, right = -height % 4, -width % 4

    def padded(picture: Tensor) -> Tensor:
        rows = torch.arange(height + down).clamp(max=height - 1)
        columns = torch.arange(width + right).clamp(max=width - 1)
        return picture[:, :, rows][..., columns]

    whole = net(padded(x), noise, padded(cond))
    assert whole.shape[-2:] == (height + down, width + right)
    torch.testing.assert_close(net(x, noise, cond), whole[..., :height, :width])


def test_every_input_matters_once_the_weights_are_not_zero() -> None:
    net = shaken().eval()
    x, noise, cond = batch()
    first = net(x, noise, cond)
    for other in (net(x + 0.1, noise, cond), net(x, noise - 5, cond), net(x, noise, cond.flip(-1))):
        assert (other - first).abs().max() > 1e-4


def test_examples_do_not_see_each_other() -> None:
    net = shaken().eval()
    x, noise, cond = batch(size=3)
    torch.testing.assert_close(net(x, noise, cond)[1:2], net(x[1:2], noise[1:2], cond[1:2]))


def test_gradient_reaches_every_parameter() -> None:
    net = shaken()
    x, noise, cond = batch()
    net(x, noise, cond).square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert silent == []


def test_checkpointing_changes_nothing_but_memory() -> None:
    x, noise, cond = batch()
    grads = []
    for checkpointing in (False, True):
        net = shaken(checkpointing=checkpointing)
        net(x, noise, cond).square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(grads[1], grads[0], rtol=0, atol=0)


def test_unconditional() -> None:
    net = shaken(cond_channels=0)
    x, noise, cond = batch()
    assert net(x, noise).abs().max() > 0
    with pytest.raises(ValueError, match="of 0 channels, and got one of 3"):
        net(x, noise, cond)
    with pytest.raises(ValueError, match="of 3 channels, and got none"):
        small()(x, noise)
    with pytest.raises(ValueError, match="4x4, and the noisy picture 16x16"):
        small()(x, noise, cond[..., :4, :4])


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_block_is_skip_over_root_two_at_first(resample: str | None) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(8, 8, 16, resample=resample)
    x = torch.randn(2, 8, 6, 6)
    skip = {
        None: lambda x: x,
        "up": lambda x: block.skip(x.repeat_interleave(2, -1).repeat_interleave(2, -2)),
        "down": lambda x: block.skip(x.unflatten(-1, (-1, 2)).mean(-1).unflatten(-2, (-1, 2)).mean(-2)),
    }[resample]
    torch.testing.assert_close(block(x, torch.randn(2, 16)), skip(x) / 2**0.5)


def test_block_preserves_the_variance_when_both_branches_speak() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(64, 64, 16)
    nn.init.xavier_uniform_(block.second.weight, gain=1.6)  # silu halves the spread, and a little more
    x = torch.randn(4, 64, 24, 24)
    h = 2**0.5 * block(x, torch.zeros(4, 16)) - x
    gain = 1 / h.std()
    with torch.no_grad():
        block.second.weight *= gain
    assert block(x, torch.zeros(4, 16)).var().item() == pytest.approx(1, abs=0.03)


def test_attention_is_softmax_of_products() -> None:
    torch.manual_seed(0)
    layer = Attention(8)
    x = torch.randn(2, 8, 3, 5)
    torch.testing.assert_close(layer(x), x / 2**0.5)
    nn.init.normal_(layer.out.weight)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)
    weights = torch.einsum("bcn,bcm->bnm", q, k).div(8**0.5).softmax(-1)
    h = torch.einsum("bnm,bcm->bcn", weights, v).reshape(x.shape)
    torch.testing.assert_close(layer(x), (x + layer.out(h)) / 2**0.5)


def test_neighbouring_low_noise_levels_are_far_apart_in_the_embedding() -> None:
    alpha = torch.tensor([0.999, 1.0], dtype=torch.float64)
    level = Level(alpha, (1 - alpha**2).sqrt())

    def distance(told: Tensor) -> float:
        first, second = sinusoid(told, 128)
        return ((first - second).norm() / second.norm()).item()

    assert distance(tell_alpha(level)) > 0.3
    assert distance(tell_plain_alpha(level)) < 0.01  # why the scale is there


def test_sinusoid_is_what_it_says() -> None:
    told = torch.tensor([0.0, 2.5, 4999.0])
    out = sinusoid(told, 6)
    for k in range(3):
        angle = told.double() * 1e4 ** (-k / 3)
        torch.testing.assert_close(out[:, k].double(), angle.sin(), rtol=0, atol=1e-3)
        torch.testing.assert_close(out[:, 3 + k].double(), angle.cos(), rtol=0, atol=1e-3)
    assert sinusoid(told.half(), 6).dtype == torch.float32
    torch.testing.assert_close(
        sinusoid(told[1:2], 2),
        torch.tensor([[2.5, 2.5]]).sin() * torch.tensor([1.0, 0])
        + torch.tensor([[2.5, 2.5]]).cos() * torch.tensor([0, 1.0]),
    )
    for odd in (5, 1, 0, -2):
        with pytest.raises(ValueError, match="even"):
            sinusoid(told, odd)


def test_embedding_follows_the_type_of_its_weights() -> None:
    assert NoiseEmbedding(8, 4).bfloat16()(torch.ones(2)).dtype == torch.bfloat16


def test_a_label_is_a_vector_beside_the_noise_level():
    """What the blocks are told is the noise level's embedding plus the label's row; without a label, no row."""
    torch.manual_seed(0)
    net = SR3UNet(channels=8, multipliers=(1, 2), blocks=1, resolution=8, cond_channels=0, labels=3).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    told: list[torch.Tensor] = []
    net.down[0].register_forward_pre_hook(lambda module, inputs: told.append(inputs[1]))
    x, noise = torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0])
    plain = net(x, noise)
    own = net(x, noise, None, torch.tensor([2, 0]))
    assert net.label is not None
    torch.testing.assert_close(told[1] - told[0], net.label.weight[[2, 0]])
    torch.testing.assert_close(told[0], net.embed(noise))
    assert (own - plain).abs().max() > 1e-3
    assert "label.weight" in net.state_dict()
    bare = SR3UNet(channels=8, multipliers=(1, 2), blocks=1, resolution=8, cond_channels=0)
    assert not [key for key in bare.state_dict() if "label" in key]
    with pytest.raises(ValueError, match="without labels"):
        bare(x, noise, None, torch.tensor([0, 1]))
