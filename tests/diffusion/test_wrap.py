"""Wrappers, and above all tiles, against what they must not change."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.diffusion.level import Level, from_logsnr
from sr3.diffusion.path import walk
from sr3.diffusion.sample import ddim, dpmpp, last
from sr3.diffusion.schedule import LinearBeta
from sr3.diffusion.wrap import clipped, known, projected, tiled
from sr3.picture.windows import windows
from sr3.random import Seeds
from sr3.testing import Gaussian

LEVEL = from_logsnr(torch.tensor(0.0))
SIZES = [(1, 1), (1, 9), (7, 3), (16, 16), (17, 33), (40, 29)]
CUTS = list(itertools.product([1, 5, 16, 64], [0, 3, 20], [1, 4]))  # tile, halo, stride


def cuts(size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Those that make few enough tiles of this to be tried quickly."""
    return [cut for cut in CUTS if size[0] * size[1] <= 300 * cut[0] ** 2]


def picture(size: tuple[int, int], seed: int = 0, batch: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def identity(x: Tensor, level: Level) -> Tensor:
    return x


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_pixel_is_kept_once_and_seen_with_its_surroundings(size):
    for tile, halo, stride in cuts(size):
        count = torch.zeros(size)
        for window in windows(size, tile, halo=halo, stride=stride):
            count[window.core] += 1
            for core, outer, length in zip(window.core, window.outer, size, strict=True):
                assert 0 < core.stop - core.start <= tile
                assert 0 <= outer.start <= max(0, core.start - halo)
                assert length >= outer.stop >= min(length, core.stop + halo)
                assert outer.start % stride == 0
                assert outer.stop % stride == 0 or outer.stop == length
        assert torch.equal(count, torch.ones(size)), (tile, halo, stride)


def test_a_picture_no_larger_than_a_tile_is_one_window():
    (only,) = windows((30, 20), 32, halo=8, stride=8)
    assert only.outer == only.core == only.inner == (slice(0, 30), slice(0, 20))


def test_tiles_are_of_about_the_same_size():
    """1025 pixels in tiles of 1024 are two halves, not a tile and a sliver."""
    assert [w.core[0] for w in windows((1025, 1), 1024, stride=8)] == [slice(0, 520), slice(520, 1025)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_identity_survives(size):
    x = picture(size)
    for tile, halo, stride in cuts(size):
        assert torch.equal(tiled(lambda window: identity, size, tile, halo, stride)(x, LEVEL), x)
        for blend in {1, tile // 2, tile - 1} - {0, tile}:
            blended = tiled(lambda window: identity, size, tile, halo, stride, blend)(x, LEVEL)
            torch.testing.assert_close(blended, x, rtol=1e-5, atol=1e-6)


def test_the_window_says_where_to_cut():
    """A denoiser that answers with its conditioning: cut to the window, it must come back whole."""
    cond = picture((23, 31))
    for blend in (0, 2):
        made = tiled(lambda w: lambda x, level: cond[(..., *w.outer)], (23, 31), 6, 3, 4, blend)
        torch.testing.assert_close(made(torch.zeros_like(cond), LEVEL), cond, rtol=1e-5, atol=1e-6)


class Grid(nn.Module):
    """A network on a coarse grid, as the shipped one is: pads at the right and below, and sees 16 pixels far."""

    stride, reach = 4, 16

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((96, 24), (24, 24), (24, 48)))

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        h = F.pad(torch.cat([cond, x], 1), (0, -width % 4, 0, -height % 4), mode="replicate")
        h = F.pixel_unshuffle(h, 4)
        for layer in self.layers:
            h = layer(F.silu(h))
        return F.pixel_shuffle(h, 4)[..., :height, :width]


@pytest.fixture
def grid() -> Grid:
    torch.manual_seed(0)
    return Grid().requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 3), (16, 16), (50, 61), (64, 37)], ids=str)
@pytest.mark.parametrize("tile", [7, 16, 24, 64])
def test_tiles_of_a_bounded_network_are_exact(grid, size, tile):
    x, cond = picture(size), picture(size, seed=1)
    whole = grid(x, cond)
    made = tiled(lambda w: lambda x, level: grid(x, cond[(..., *w.outer)]), size, tile, grid.reach, grid.stride)
    torch.testing.assert_close(made(x, LEVEL), whole, rtol=1e-5, atol=1e-5)


def test_tiles_off_the_grid_or_with_too_small_a_halo_are_not(grid):
    """So the test above can fail."""
    x = picture((50, 61))
    whole = grid(x, x)
    for halo, stride in ((grid.reach, 3), (0, grid.stride), (grid.reach - 8, grid.stride)):
        made = tiled(lambda w: lambda x, level: grid(x, x), (50, 61), 20, halo, stride)(x, LEVEL)
        assert (made - whole).abs().max() > 1e-3


def test_a_whole_walk_does_not_depend_on_the_tiles(grid):
    size, path = (37, 50), walk(LinearBeta(), 6)
    cond, seeds = picture(size, seed=2), [5, 6]

    def cut(window):
        return lambda x, level: torch.tanh(grid(x, cond[(..., *window.outer)]))

    walks = []
    for tile in (8, 24, 100):
        noise = Seeds(seeds)
        denoise = tiled(cut, size, tile, grid.reach, grid.stride)
        walks.append(last(ddim(denoise, noise(cond), path, eta=1.0, noise=noise)))
    for other in walks[1:]:
        torch.testing.assert_close(other, walks[0], rtol=1e-4, atol=1e-4)


def test_blending_hides_the_seam_between_tiles_that_disagree():
    """Each window answers with its own number: cores that meet make a jump of 1, blended ones a slope."""

    def cut(window):
        return lambda x, level: torch.full_like(x, window.core[1].start / 20)

    x = torch.zeros(1, 1, 4, 60)
    hard = tiled(cut, (4, 60), 20, 0)(x, LEVEL)
    soft = tiled(cut, (4, 60), 30, 0, blend=10)(x, LEVEL)
    assert hard.diff(dim=-1).abs().max() == 1
    assert soft.diff(dim=-1).abs().max() < 0.2
    assert soft.diff(dim=-1).min() >= 0


def test_tiles_refuse_what_they_were_not_cut_for():
    with pytest.raises(ValueError, match="x is 8x9 and the tiles were cut for 9x8"):
        tiled(lambda w: identity, (9, 8), 4, 0)(picture((8, 9)), LEVEL)
    for wrong in ({"tile": 0}, {"tile": 4, "halo": -1}, {"tile": 4, "stride": 0}, {"tile": 4, "blend": 4}):
        with pytest.raises(ValueError, match="cannot cut"):
            windows((8, 8), **wrong)


def test_clipped_keeps_to_the_range_and_leaves_the_rest():
    x = torch.tensor([-7.0, -0.5, 0.2, 7.0])
    assert clipped(identity)(x, LEVEL).tolist() == pytest.approx([-1, -0.5, 0.2, 1])
    assert clipped(identity, 0, 5)(x, LEVEL).tolist() == pytest.approx([0, 0, 0.2, 5])


def test_projected_walks_end_at_what_was_given():
    """A = the mean of 4x4 pixels, A⁺ = its repetition: the result degraded again is the input, from any sampler."""
    small = picture((3, 4))

    def project(x0: Tensor) -> Tensor:
        return x0 + F.interpolate(small - F.avg_pool2d(x0, 4), scale_factor=4, mode="nearest")

    denoise = projected(Gaussian(0.3, 0.2), project)
    made = last(dpmpp(denoise, picture((12, 16), seed=3), walk(LinearBeta(), 10)))
    torch.testing.assert_close(F.avg_pool2d(made, 4), small, rtol=1e-5, atol=1e-5)
    free = last(dpmpp(Gaussian(0.3, 0.2), picture((12, 16), seed=3), walk(LinearBeta(), 10)))
    # the null space is the model's: what A does not see stays as it would have been
    rest = made - F.interpolate(small, scale_factor=4), free - F.interpolate(F.avg_pool2d(free, 4), scale_factor=4)
    torch.testing.assert_close(*rest, rtol=1e-4, atol=1e-4)


def test_known_pixels_stay_as_they_are():
    whole, mask = picture((6, 6)), torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    denoise = known(Gaussian(0.3, 0.2), whole, mask)
    made = last(ddim(denoise, picture((6, 6), seed=4), walk(LinearBeta(), 10)))
    outside = ~mask.expand_as(made)
    assert torch.equal(made[outside], whole[outside])
    assert (made[~outside] - whole[~outside]).abs().min() > 1e-4
