"""Palette's tasks: what is given and what is left as it is, against plain accounts of both."""

import math
import time

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.picture.grey import as_grey, coloured, luminance
from sr3.picture.picture import Picture, PictureError, from_samples, to_samples
from sr3.random import Stream
from sr3.task import TASKS, Colorization, Denoising, Given, Inpainting, Restoration, Uncropping
from sr3.task.holes import FILLINGS, boxes, filled, grown, masks, side_of, smooth
from sr3.task.inpainting import hollow


def tensor(width: int, height: int, seed: int = 0) -> torch.Tensor:
    samples = np.array(noise_picture(width, height, seed))
    return torch.from_numpy(samples).permute(2, 0, 1)[None].float() / 127.5 - 1


SAME_SIZE = ["colorization", "denoising", "inpainting", "jpeg-restoration", "uncropping"]


@pytest.mark.parametrize("kind", SAME_SIZE)
def test_what_all_of_them_have_in_common(kind):
    task, clean = TASKS[kind](), torch.cat([tensor(24, 32, k) for k in range(3)])
    assert isinstance(task, Restoration)
    assert (task.method, task.channels, task.factor, task.border) == ("palette", 3, 1, 0)
    assert task.command.split()[0] in {"colorize", "dejpeg", "inpaint", "restore", "uncrop"}
    for rng in (None, Stream(1, range(3))):
        given = task.degrade(clean, rng=rng)
        example = task.prepare(given)
        assert torch.equal(example.cond, given.image)
        assert torch.equal(example.base, task.baseline(given))
        assert example.mask is given.mask
        assert task.result_size(given) == (32, 24)
        made = task.finish(clean + 0.3, given)
        assert made.abs().max() <= 1
    # what is measured does not depend on the batch
    alone = task.degrade(clean[1:2])
    assert torch.equal(alone.image, task.degrade(clean).image[1:2])
    # the truth is in agreement with what was given of it
    given = task.degrade(clean)
    if kind != "denoising":
        assert torch.equal(task.again(clean, given), given.image)


@pytest.mark.parametrize("kind", ["inpainting", "uncropping"])
def test_a_network_is_told_where_the_hole_is_where_it_is_to_be(kind):
    task, clean = TASKS[kind](marked=True), torch.cat([tensor(24, 32, k) for k in range(3)])
    assert (task.channels, TASKS[kind]().channels) == (4, 3)
    given = task.degrade(clean, rng=Stream(1, range(3)))
    example, plain = task.prepare(given), TASKS[kind]().prepare(given)
    assert torch.equal(example.cond[:, 3:], given.mask.float())
    assert torch.equal(example.cond[:, :3], task.baseline(given))
    assert torch.equal(torch.where(given.mask, 0, example.cond[:, :3]), torch.where(given.mask, 0, clean))
    # no noise in the hole, and all else as without
    other = hollow(clean, given.mask, Stream(7, range(3)))
    assert not torch.equal(other.image, given.image)
    assert torch.equal(task.prepare(other).cond, example.cond)
    assert torch.equal(example.base, plain.base)
    assert example.mask is given.mask
    whole = task.prepare(Given(clean)).cond
    assert torch.equal(whole[:, :3], clean)
    assert not whole[:, 3].any()


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_made_grey_again_are_the_grey_picture(bits):
    """By Pillow's mode L at 8 bits, and by exact sums at 16; for colours far out of range, in black and in white."""
    top, rng = 2**bits - 1, torch.Generator().manual_seed(bits)
    levels = torch.randint(0, top + 1, (1, 1, 64, 64), generator=rng)
    levels[..., :4, :], levels[..., 4:8, :] = 0, top
    grey = levels.float() / (top / 2) - 1
    made = coloured(3 * torch.rand(1, 3, 64, 64, generator=rng) - 1.5, grey, bits)
    assert made.abs().max() <= 1
    samples = to_samples(Picture(made[0], bits=bits), bits)
    exact = samples.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(exact - levels[0, 0].numpy()).max() < 0.5
    assert np.ptp(samples.astype(int), axis=-1).max() > top / 2
    if bits == 8:
        assert np.array_equal(np.asarray(Image.fromarray(samples).convert("L")), levels[0, 0].numpy())


def test_colours_that_fit_stay_as_they_are():
    clean = 0.5 * tensor(32, 32)
    grey = ((luminance(clean) + 1) * 127.5).round() / 127.5 - 1
    # half a sample of rounding, and what the luminance's own rounding moves
    assert (coloured(clean, grey) - clean).abs().max() < 1.4 / 127.5
    assert luminance(torch.tensor([[[[1.0]], [[-1.0]], [[-1.0]]]])).item() == pytest.approx(2 * 0.299 - 1)
    assert luminance(torch.tensor([[[[-1.0]], [[-1.0]], [[1.0]]]])).item() == pytest.approx(2 * 0.114 - 1)


def test_colorization_is_held_to_the_grey_picture_step_by_step():
    task, clean = Colorization(), tensor(24, 16)
    given = task.degrade(clean)
    pillows = np.asarray(Image.fromarray(to_samples(Picture(clean[0]), 8)).convert("L"))
    assert np.array_equal(((given.image[0, 0] + 1) * 127.5).round().numpy(), pillows)
    assert torch.equal(given.image[:, 0], given.image[:, 2])
    made = task.project(0.3 * clean, given)
    torch.testing.assert_close(luminance(made), given.image[:, :1], atol=1e-6, rtol=0)
    colours, held = (x[:, :1] - x[:, 2:] for x in (0.3 * clean, made))
    torch.testing.assert_close(held, colours, atol=1e-6, rtol=0)


def test_grey_pictures_of_any_depth_are_taken_and_coloured_ones_are_not():
    task = Colorization()
    deep = from_samples(np.array([[[0], [40000], [65535]]], dtype=np.uint16))
    assert task.take(deep).bits == 16
    assert task.take(deep).image.shape == (1, 3, 1, 3)
    with pytest.raises(PictureError, match="colours already"):
        task.take(Picture(tensor(8, 8)[0]))
    for bits in (8, 16):
        grey = as_grey(Picture(tensor(8, 8)[0], bits=bits))
        assert len(grey.pixels) == 1
        steps = (grey.pixels + 1) * (2**bits - 1) / 2
        torch.testing.assert_close(steps, steps.round(), atol=0.01, rtol=0)
        assert as_grey(grey) is grey
    assert task.reduced(task.take(deep), (1, 2)).image.shape == (1, 3, 1, 2)


def test_noise_of_the_sigma_that_is_said():
    clean, task = torch.zeros(4, 3, 64, 64), Denoising(12.75)
    noisy = task.degrade(clean, rng=Stream(1, range(4))).image
    assert noisy.std().item() == pytest.approx(0.1, rel=0.02)
    steps = (noisy + 1) * 127.5
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(task.project(noisy, Given(clean)), noisy)
    assert Denoising().sigma == 25
    for wrong in (0.0, -1.0, 256.0):
        with pytest.raises(ValueError, match="out of range"):
            Denoising(wrong)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_holes_have_the_area_that_is_asked_for(share):
    size, count = (96, 128), 200
    area = masks(size, Stream(7, range(count)), share, (0.1, 0.4)).float().mean((1, 2, 3))
    # boxes overlap and so cover less; a stroke is drawn to its end and so covers more
    assert area.min() > 0.02
    assert area.max() < 0.62
    assert area.mean() == pytest.approx(0.27 if share else 0.22, abs=0.03)
    small = masks(size, Stream(7, range(count)), share, (0.1, 0.1)).float().mean().item()
    assert 0.07 < small < 0.16


def test_one_to_five_boxes_that_add_up():
    """A box alone has exactly its share, up to whole pixels."""
    counts = set()
    for k in range(60):
        mask = boxes((200, 200), iter(np.random.default_rng(k).random(50).tolist()), 0.2)
        rows = np.flatnonzero(mask.any(1))
        assert mask.any()
        first = iter(np.random.default_rng(k).random(50).tolist())
        count = 1 + int(next(first) * 5)
        counts.add(count)
        if count == 1:
            columns = np.flatnonzero(mask.any(0))
            area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            assert mask.sum() == area
            assert area / 200**2 == pytest.approx(0.2, abs=0.01)
    assert counts == {1, 2, 3, 4, 5}


def test_strokes_are_six_tenths_and_one_example_does_not_depend_on_another():
    whole = masks((64, 64), Stream(5, range(300)), 0.6, (0.1, 0.4))
    alone = masks((64, 64), Stream(5, [17]), 0.6, (0.1, 0.4))
    assert torch.equal(whole[17:18], alone)

    def is_boxes(mask: torch.Tensor) -> bool:
        """Axis-parallel: few different rows."""
        return len(torch.unique(mask[0], dim=0)) <= 11

    assert sum(map(is_boxes, whole)) / 300 == pytest.approx(0.4, abs=0.06)
    task = Inpainting()
    assert (task.strokes, task.area, task.measured_area) == (0.6, (0.1, 0.4), 0.25)


@pytest.mark.parametrize("task", [Inpainting(), Inpainting(measured="boxes"), Uncropping(), Uncropping(measured="all")])
def test_the_hole_holds_noise_and_the_rest_stays_bit_for_bit(task):
    clean = torch.cat([tensor(128, 96, k) for k in range(2)])
    for rng in (None, Stream(4, range(2))):
        given = task.degrade(clean, rng=rng)
        mask = given.mask.expand_as(clean)
        assert torch.equal(given.image[~mask], clean[~mask])
        assert given.image[mask].std().item() == pytest.approx(1, abs=0.03)
        assert abs(given.image[mask].mean().item()) < 0.03
        made = task.finish(2 * torch.randn_like(clean), given)
        assert torch.equal(made[~mask], clean[~mask])
        assert made.abs().max() <= 1
        assert torch.equal(task.again(made, given), given.image)


def test_half_of_a_picture_is_missing_at_a_side_or_around():
    task, seen = Uncropping(), set()
    found = task.holes(torch.zeros(80, 3, 40, 60), Stream(9, range(80)))
    for mask in found[:, 0]:
        edges = tuple(bool(edge.all()) for edge in (mask[:, 0], mask[:, -1], mask[0], mask[-1]))
        seen.add(edges)
        assert mask.float().mean().item() == pytest.approx(0.5, abs=0.02)
        kept = ~mask
        assert kept.any(0).sum() * kept.any(1).sum() == kept.sum()  # a rectangle
    assert len(seen) == 5
    assert sum(mask[0].all() and mask[-1].all() for mask in found[:, 0]) / 80 == pytest.approx(0.5, abs=0.12)
    assert Uncropping(share=0.25).holes(torch.zeros(1, 3, 8, 8), None).float().mean() == 0.25
    assert Uncropping(measured="left").degradation == "50% of the picture missing at the left, filled with noise"


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 9)])
def test_a_smooth_filling_keeps_what_is_known_and_continues_what_is_plain(size):
    plain = torch.full((1, 3, *size), 0.3)
    mask = torch.zeros(1, 1, *size, dtype=torch.bool)
    mask[..., size[1] // 3 : 2 * size[1] // 3] = True
    torch.testing.assert_close(smooth(torch.where(mask, 9.0, plain), mask), plain, atol=1e-5, rtol=0)
    slope = torch.linspace(-1, 1, size[1]).expand(1, 3, *size)
    found = smooth(torch.where(mask, 9.0, slope), mask)
    assert torch.equal(found[~mask.expand_as(found)], slope[~mask.expand_as(found)])
    if size[0] > 1:
        assert (found - slope).abs().max() < 0.35
        assert found.min() >= -1
        assert found.max() <= 1
    nothing = torch.ones_like(mask)
    assert torch.equal(smooth(plain, nothing), torch.zeros_like(plain))


@pytest.mark.parametrize("border", [31, 32, 48])
def test_a_smooth_filling_meets_what_is_known_wherever_the_border_lies(border):
    """At 32 coarse pixels of every size end; what is beyond them is 0.5 at the border, and 0 in the mean."""
    slope = torch.linspace(-0.5, 0.5, border).expand(1, 3, 64, border)
    whole = torch.cat([slope, torch.full((1, 3, 64, 64 - border), 9.0)], -1)
    mask = side_of((64, 64), (0, 64 - border, 0, 0))
    assert (smooth(whole, mask)[..., border] - 0.5).abs().max() < 0.06


def test_opencvs_fillings():
    import cv2

    clean = tensor(48, 40)
    mask = torch.zeros(1, 1, 40, 48, dtype=torch.bool)
    mask[..., 10:20, 15:30] = True
    samples = to_samples(Picture(clean[0]), 8)
    assert len(FILLINGS) == 3
    for name, method in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
        made = filled(clean, mask, name)
        theirs = cv2.inpaint(samples, mask[0, 0].numpy().astype(np.uint8), 3, method)
        assert np.array_equal(to_samples(Picture(made[0]), 8), theirs)
        assert Inpainting(fill=name).baseline_name == name


def test_a_mask_grows_by_discs():
    mask = torch.zeros(1, 1, 21, 21, dtype=torch.bool)
    mask[..., 10, 10] = True
    found = grown(mask, 4)[0, 0]
    y, x = torch.meshgrid(torch.arange(21) - 10, torch.arange(21) - 10, indexing="ij")
    assert torch.equal(found, x**2 + y**2 <= 16)
    assert grown(mask, 0) is mask
    many = torch.rand(2, 1, 13, 17, generator=torch.Generator().manual_seed(0)) < 0.03
    rows, columns = torch.meshgrid(torch.arange(13), torch.arange(17), indexing="ij")
    for pixels in (1, 5, 12, 40):
        for one, made in zip(many[:, 0], grown(many, pixels)[:, 0], strict=True):
            near = [(rows - y) ** 2 + (columns - x) ** 2 <= pixels**2 for y, x in one.nonzero().tolist()]
            assert torch.equal(made, torch.stack(near).any(0))
    began = time.process_time()
    assert grown(torch.eye(512, dtype=torch.bool)[None, None], 256).float().mean() > 0.8
    assert time.process_time() - began < 6  # a convolution with the disc takes 30
    assert side_of((4, 5), (1, 0, 0, 2)).sum() == 20 - 2 * 4


def test_a_reduced_hole_covers_all_that_is_unknown():
    task, clean = Inpainting(), tensor(64, 48)
    given = task.degrade(clean)
    small = task.reduced(given, (12, 16))
    blocks = given.mask.view(1, 1, 12, 4, 16, 4).any(5).any(3)
    assert torch.equal(small.mask, blocks)
    assert small.image.shape == (1, 3, 12, 16)
    assert small.image[~blocks.expand(1, 3, 12, 16)].abs().max() <= 1
    with pytest.raises(ValueError, match="lost where a picture is reduced"):
        Denoising().reduced(given, (12, 16))


def test_a_picture_says_by_its_alpha_where_its_hole_is():
    alpha = torch.ones(1, 8, 8)
    alpha[..., :3] = 0.2
    given = Inpainting().take(Picture(tensor(8, 8)[0], alpha))
    assert given.mask is not None
    assert given.mask.sum() == 24
    for without in (None, torch.ones(1, 8, 8)):
        with pytest.raises(PictureError, match="nothing says where"):
            Inpainting().take(Picture(tensor(8, 8)[0], without))
    with pytest.raises(PictureError, match="all of this picture is transparent"):
        Inpainting().take(Picture(tensor(8, 8)[0], torch.zeros(1, 8, 8)))
    with pytest.raises(PictureError, match="how far"):
        Uncropping().take(Picture(tensor(8, 8)[0]))


@pytest.mark.parametrize(
    ("task", "wrong"),
    [
        (Inpainting, {"strokes": -0.1}),
        (Inpainting, {"area": (0.4, 0.1)}),
        (Inpainting, {"area": (0.0, 0.1)}),
        (Inpainting, {"measured_area": 1.0}),
        (Inpainting, {"measured": "dots"}),
        (Inpainting, {"fill": "magic"}),
        (Uncropping, {"around": 2.0}),
        (Uncropping, {"share": 0.0}),
        (Uncropping, {"share": 1.0}),
        (Uncropping, {"measured": "middle"}),
        (Uncropping, {"fill": "magic"}),
    ],
)
def test_bad_settings(task, wrong):
    with pytest.raises(ValueError, match=r"share|holes|measured"):
        task(**wrong)


def test_the_middle_that_is_kept_has_the_sides_of_half_an_area():
    mask = Uncropping(measured="all").holes(torch.zeros(1, 3, 100, 100), None)[0, 0]
    side = int((~mask).any(0).sum())
    assert side == 100 - round(100 * (1 - math.sqrt(0.5)))
