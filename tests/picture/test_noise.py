"""The noise that is seen in a picture: as much as was added, and none where none was."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import noise_picture
from PIL import Image, ImageDraw

from sr3.picture.noise import noise_level
from sr3.picture.resize import round8


def white(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def smooth(side: int = 160) -> torch.Tensor:
    """A picture without detail, [3, side, side], that noise of any size here leaves in range."""
    x = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1)) * 0.6 - 0.3
    return F.interpolate(x, size=(side, side), mode="bicubic")[0]


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1


@pytest.mark.parametrize("sigma", [4.0, 8.0, 16.0, 30.0])
@pytest.mark.parametrize("side", [100, 160, 600])  # of the last not every patch is looked at
def test_it_is_as_much_as_was_added(sigma, side):
    noisy = round8(smooth(side) + sigma / 127.5 * white(3, side, side))
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.06)
    grey = round8(smooth(side)[:1] + sigma / 127.5 * white(1, side, side, seed=2))
    assert noise_level(grey) == pytest.approx(sigma, rel=0.06)


def test_what_counts_as_noise():
    """From 3 to 60 steps of 8 bits, and the least of the channels."""
    for sigma, seen in ((2.7, False), (3.3, True), (55, True), (66, False)):
        assert (noise_level(smooth() + sigma / 127.5 * white(3, 160, 160)) > 0) == seen, sigma
    each = torch.tensor([20.0, 5.0, 10.0])[:, None, None]
    assert noise_level(smooth() + each / 127.5 * white(3, 160, 160)) == pytest.approx(5, rel=0.06)


def test_small_pictures_say_nothing():
    """A thousand patches are the least: 32 x 32 of 8 x 8 pixels."""
    assert noise_level(0.1 * white(3, 39, 39)) == pytest.approx(12.75, rel=0.15)
    for size in ((38, 38), (7, 4000), (8, 8), (1, 1)):
        assert noise_level(0.1 * white(3, *size)) == 0


def drawn() -> Image.Image:
    """Lines, discs and letters on white."""
    rng, picture = np.random.default_rng(0), Image.new("RGB", (240, 200), "white")
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        a, b, c, d = (int(v) for v in rng.integers(0, 240, 4))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        draw.line((a, b, c, d), colour, 1 + a % 3)
        draw.ellipse((c, d, c + 9, d + 7), outline=colour)
        draw.text((a, d), "sr3", colour)
    return picture


SYNTHETIC = {
    "plain": torch.full((3, 160, 160), 0.3),
    "smooth": smooth(),
    "a slope of 8 bits": round8(torch.linspace(-1, 1, 300).expand(3, 200, 300)),
    "drawn": as_tensor(drawn()),
    "dithered": as_tensor(noise_picture(240, 240).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)),
    "black and white": as_tensor(noise_picture(240, 240).convert("1")),
    "squares": (torch.arange(160)[:, None] // 8 + torch.arange(160) // 8).remainder(2).expand(3, -1, -1) * 2.0 - 1,
    "every pixel another colour": 2 * torch.rand(3, 160, 160, generator=torch.Generator().manual_seed(3)) - 1,
    "a small palette at random": white(3, 160, 160).sign(),
    "detail": as_tensor(noise_picture(640, 640).resize((160, 160), Image.Resampling.LANCZOS)),
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_clean_pictures_have_none(name):
    assert noise_level(SYNTHETIC[name]) == 0


def test_photographs_that_are_clean_have_none():
    data = pytest.importorskip("skimage", reason="the extra `demo` is not installed").data
    for name in ("astronaut", "chelsea", "coffee", "camera", "brick", "grass", "gravel", "coins", "text", "horse"):
        samples = np.atleast_3d(np.asarray(getattr(data, name)()))
        x = torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1) / (127.5 if samples.max() > 1 else 0.5) - 1
        assert noise_level(x) == 0, name
    brick = torch.from_numpy(data.brick().astype(np.float32))[None] / 127.5 - 1
    assert noise_level(round8(brick + 8 / 127.5 * white(*brick.shape))) == pytest.approx(8, rel=0.06)


@pytest.mark.parametrize(("neighbour", "seen"), [(0.025, True), (0.05, True), (0.12, False)])
def test_noise_that_is_not_white_is_none(neighbour, seen):
    """Blurred along both axes by (a, 1, a), the strengths of its frequencies are ((1 + 2a) / (1 - 2a))^4 apart."""
    taps = torch.tensor([neighbour, 1, neighbour])
    kernel = (taps[:, None] * taps).expand(3, 1, 3, 3)
    noise = F.conv2d(white(1, 3, 162, 162), kernel, groups=3)[0]
    assert (noise_level(smooth() + 0.08 * noise) > 0) == seen


@pytest.mark.parametrize(("share", "seen"), [(0.04, True), (0.2, False)])
def test_noise_is_everywhere(share, seen):
    """Where a part of the picture is plain it is texture."""
    x = smooth() + 0.08 * white(3, 160, 160)
    x[..., : math.ceil(160 * share) + 4] = 0
    assert (noise_level(x) > 0) == seen
