"""Holes and margins of whole pictures: what is kept, how old meets new, and large pictures for small models."""

from functools import partial

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.evaluation.method import Ways, rounded
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.grey import luminance
from sr3.picture.picture import Picture, PictureError, from_samples, to_samples
from sr3.random import mix, staged
from sr3.restore import whole
from sr3.restore.fill import inpainted, plan, ramp, uncropped
from sr3.restore.restored import Restored
from sr3.restore.restorer import Restorer
from sr3.restore.whole import set_task, stream
from sr3.task import Given, Inpainting


def model(kind: str, **changes: object) -> Restorer:
    torch.manual_seed(0)
    made = Model(tiny_config(task={"kind": kind}, **changes))
    for p in made.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return Restorer(made)


def photo(width: int, height: int, bits: int = 8, seed: int = 0) -> Picture:
    samples = np.array(noise_picture(width, height, seed))
    if bits == 16:
        noise = np.random.default_rng(seed).integers(0, 257, samples.shape)
        samples = (samples.astype(np.uint32) * 256 + noise).clip(0, 65535).astype(np.uint16)
    return from_samples(samples)


def box(width: int, height: int, left: int, top: int, wide: int, high: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width, dtype=torch.bool)
    mask[..., top : top + high, left : left + wide] = True
    return mask


def go(restorer: Restorer, **options: object):
    return partial(stream, restorer, **options)


def last(steps) -> Restored:
    *_, result = steps
    assert isinstance(result, Restored)
    return result


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("sides", [None, (4, 16)])
def test_known_pixels_come_back_bit_for_bit(bits, samples, sides):
    picture, mask = photo(40, 32, bits), box(40, 32, 10, 8, 12, 9)
    restorer = model("inpainting", sides=sides)
    found = last(inpainted(picture, mask, go(restorer, seed=1, samples=samples)))
    before = to_samples(picture, bits)
    for made in [*found.variants, *([found.mean] if found.mean else [])]:
        after = to_samples(made, bits)
        assert np.array_equal(after[~mask[0, 0].numpy()], before[~mask[0, 0].numpy()])
        assert (after[mask[0, 0].numpy()] != before[mask[0, 0].numpy()]).mean() > 0.5


def test_a_hole_that_alpha_told_is_filled_and_opaque():
    picture, hole = photo(20, 16), box(20, 16, 3, 4, 6, 5)
    clear = Picture(picture.pixels, alpha=1 - hole[0].float())
    made = model("inpainting").restore(clear)
    assert made.variants[0].alpha is None
    assert made.held == "the pixels around the hole"


def test_a_feather_mixes_and_beyond_it_nothing_changes():
    picture, mask = photo(48, 40), box(48, 40, 20, 15, 8, 8)
    found = last(inpainted(picture, mask, go(model("inpainting")), grow=2, feather=3)).variants[0]
    share = ramp(mask, 3)[0, 0]
    assert share.unique().tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    rows = (found.pixels != picture.pixels).any(0).any(1).nonzero().flatten()
    assert (rows.min(), rows.max()) == (15 - 5, 22 + 5)
    assert torch.equal(ramp(mask, 0), mask.float())
    with pytest.raises(PictureError, match="covers the whole picture"):
        last(inpainted(picture, mask, go(model("inpainting")), feather=60))


@pytest.mark.parametrize("size", [(40, 30), (7, 9), (1, 1)])
@pytest.mark.parametrize("sides", [(3, 5, 2, 0), (100, 0, 0, 0), (37, 80, 51, 9)])
def test_uncropping_goes_in_steps_that_at_most_double_the_area(size, sides):
    steps = plan(size, sides)
    assert tuple(map(sum, zip(*steps, strict=True))) == sides
    width, height = size
    for left, right, top, bottom in steps:
        assert left + right + top + bottom > 0
        before = width * height
        width, height = width + left + right, height + top + bottom
        assert width * height <= 2 * before or before < 16
    assert len(plan((10, 10), (0, 10, 0, 0))) == 1
    assert len(plan((10, 10), (0, 30, 0, 0))) == 2
    assert plan((10, 10), (0, 30, 0, 0)) == [(0, 10, 0, 0), (0, 20, 0, 0)]  # twice as large is not too large
    assert plan((10, 10), (0, 11, 0, 0)) == [(0, 10, 0, 0), (0, 1, 0, 0)]


@pytest.mark.parametrize("bits", [8, 16])
def test_the_picture_stays_bit_for_bit_in_a_larger_one(bits):
    picture = photo(20, 16, bits)
    found = last(uncropped(picture, (30, 5, 0, 9), go(model("uncropping")))).variants[0]
    assert found.size == (55, 25)
    after = to_samples(found, bits)
    assert np.array_equal(after[:16, 30:50], to_samples(picture, bits))
    again = last(uncropped(picture, (30, 5, 0, 9), go(model("uncropping")))).variants[0]
    assert torch.equal(found.pixels, again.pixels)


def test_steps_before_the_last_make_one_variant():
    """The result is that of each step's first variant, without the others' work."""
    restorer, picture = model("uncropping"), photo(20, 16)
    steps = restorer.settings().steps
    *walk, found = uncropped(picture, (0, 60, 0, 0), go(restorer, samples=3))
    assert [step.total for step in walk] == [steps] * steps + [3 * steps] * 3 * steps
    first = last(uncropped(picture, (0, 20, 0, 0), go(restorer))).variants[0]
    wanted = last(uncropped(first, (0, 40, 0, 0), go(restorer, samples=3), seed=staged(0, 0x57EA)))
    for a, b in zip(found.variants, wanted.variants, strict=True):
        assert torch.equal(a.pixels, b.pixels)
    assert found.note["seed"] == "0"  # and not that of the last step


def test_each_band_begins_from_noise_of_its_own(monkeypatch):
    restorer, begun = model("uncropping"), []
    refine = restorer.refine
    monkeypatch.setattr(restorer, "refine", lambda given, own, **k: (begun.append(own), refine(given, own, **k))[1])
    last(uncropped(photo(20, 16), (0, 60, 0, 0), go(restorer, seed=7), seed=7))
    assert begun == [[7], [staged(7, 0x57EA)]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sides", [None, (4, 16)])
def test_colours_have_the_luminance_of_what_was_given(bits, sides):
    """Also where they were found in a reduced picture: within half a sample, and so within 0.5 / 255."""
    grey = from_samples(to_samples(photo(50, 37, bits), bits)[..., :1])
    restorer = model("colorization", sides=sides)
    found = last(stream(restorer, grey, restorer.model.task.take(grey), seed=3, samples=3))
    for made in (*found.variants, found.mean):
        assert made.bits == bits
        samples = torch.from_numpy(to_samples(made, bits).astype(np.float64)).permute(2, 0, 1)[None]
        off = luminance(samples)[0, 0].numpy() - to_samples(grey, bits)[..., 0]
        assert np.abs(off).max() <= 0.5
        assert samples.diff(dim=1).abs().max() > 2


def test_a_large_picture_is_solved_small_and_its_colours_are_enlarged():
    """What a model would make of the reduced picture, enlarged."""
    grey = from_samples(to_samples(photo(64, 48), 8)[..., :1])
    restorer = model("colorization", sides=(4, 32))
    task = restorer.model.task
    large = last(stream(restorer, grey, task.take(grey))).variants[0]
    small = task.reduced(task.take(grey), (24, 32))
    alone = last(restorer.stream(Picture(small.image[0]), given=small)).variants[0]
    difference = lambda x: x[:1] - x[2:]  # noqa: E731
    reduced = torch.nn.functional.avg_pool2d(difference(large.pixels)[None], 2)[0]
    both = torch.stack([reduced.flatten(), difference(alone.pixels).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95


def test_what_a_small_model_makes_is_held_as_far_as_asked_and_says_so():
    grey = from_samples(to_samples(photo(64, 48), 8)[..., :1])
    restorer = model("colorization", sides=(4, 32))
    task = restorer.model.task
    given = task.take(grey)
    small = task.reduced(given, (24, 32))
    for options, said in (
        ({}, "the luminance given"),
        ({"free": True}, "nothing"),
        ({"fidelity": 0.5}, "0.5 of the way to the luminance given"),
    ):
        found = last(stream(restorer, grey, given, **options))
        alone = last(restorer.stream(Picture(small.image[0]), given=small, **options)).variants[0]
        large = task.enlarged(alone.pixels[None], small, given)
        # no walk has held it at full size
        wanted = large.clamp(-1, 1).lerp(
            task.finish(large, given), {"free": 0.0, "fidelity": 0.5}.get(*options, 1.0) if options else 1.0
        )
        assert torch.equal(found.variants[0].pixels, wanted[0])
        assert found.held == said
    assert not torch.equal(task.finish(large, given), large)


def test_what_is_measured_is_what_users_get():
    """Of a model for smaller pictures: evaluation reduces them as the command does."""
    restorer = model("inpainting", sides=(4, 32))
    given = restorer.model.task.degrade(photo(64, 48).rgb)
    settings = restorer.settings(steps=2)
    ways = Ways(restorer, None, settings, samples=1, seed=7, free=False)
    _, made = ways(given, [3])
    for free, pictures in ((False, made.pictures), (True, made.free)):
        wanted = last(stream(restorer, photo(64, 48), given, seed=mix(7, 3, 0), steps=2, free=free)).variants[0].pixels
        torch.testing.assert_close(pictures[0], rounded(wanted), atol=1e-6, rtol=0)


def test_a_picture_too_long_is_named_by_its_own_size():
    restorer = model("colorization", sides=(4, 32))
    grey = from_samples(np.zeros((3, 90, 1), dtype=np.uint8))
    with pytest.raises(PictureError, match="pictures of 4 to 32 pixels a side, and of this one, 90x3, 32x1 would be"):
        last(stream(restorer, grey, restorer.model.task.take(grey)))


def test_a_model_for_another_task_is_refused():
    with pytest.raises(ConfigError, match="is for inpainting and not for colorization; use sr3 inpaint"):
        set_task(model("inpainting").model, "colorization", "colorize")
    several = model("several").model
    assert set_task(several, "uncropping", "uncrop").command.startswith("uncrop")
    with pytest.raises(ConfigError, match="cannot be used by sr3 restore: it was not trained for denoising"):
        set_task(several, "denoising", "restore")


def test_what_is_given_goes_with_its_picture():
    given = Given(torch.zeros(3, 3, 4, 4), label=torch.arange(3), files=None, bits=16)
    part = given.of([2, 0])
    assert part.label.tolist() == [2, 0]
    assert part.bits == 16
    assert given.to("cpu").label is not None


def test_colours_that_are_held_to_nothing_are_as_sharp_as_the_picture():
    """The luminance that is lost where it is reduced is no colour: without it a free result would be a blur."""
    board = (np.indices((48, 64)).sum(0) % 2)[..., None] * 60  # of which nothing is left in a reduced picture
    grey = from_samples((to_samples(photo(64, 48), 8)[..., :1] // 2 + board).astype(np.uint8))
    restorer = model("colorization", sides=(4, 16))
    found = last(stream(restorer, grey, restorer.model.task.take(grey), free=True)).variants[0]
    detail = lambda x: x.diff(dim=-1)  # noqa: E731
    both = torch.stack([detail(luminance(found.pixels[None])).flatten(), detail(grey.pixels).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9


@pytest.mark.parametrize("sides", [None, (4, 24)])
def test_what_is_transparent_stays_so_beside_what_is_added(sides):
    """And what it hides is not shown to the model: other hidden colours, the same result."""
    plain, hidden = photo(20, 16), photo(20, 16, seed=4)
    alpha = 1 - box(20, 16, 12, 3, 8, 9)[0].float()
    alpha[0, 0, 0] = 0.5
    restorer, made = model("uncropping", sides=sides), []
    for other in (plain, hidden):
        picture = Picture(torch.where(alpha > 0, plain.pixels, other.pixels), alpha)
        made.append(last(uncropped(picture, (6, 30, 0, 4), go(restorer))).variants[0])
        assert torch.equal(made[-1].pixels[:, :16, 6:26], picture.pixels)
    one, two = made
    assert torch.equal(one.alpha[:, :16, 6:26], alpha)
    outside = torch.ones_like(one.alpha, dtype=torch.bool)
    outside[:, :16, 6:26] = False
    assert (one.alpha[outside] == 1).all()
    assert torch.equal(one.pixels[outside.expand(3, -1, -1)], two.pixels[outside.expand(3, -1, -1)])


def test_what_was_made_as_large_as_it_is_needs_no_detail():
    mask = torch.zeros(1, 1, 8, 10, dtype=torch.bool)
    mask[..., 2:5, 3:6] = True
    given = Given(torch.rand(1, 3, 8, 10), mask)
    made, part = torch.rand(1, 3, 8, 10), whole._Part(slice(0, 8), slice(0, 10), given, given)
    assert whole._sized(Inpainting(), made, part, "a model that is not asked", [0]) is made
