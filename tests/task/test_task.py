"""Tasks: what the world does to a picture, against a plain account of it, and what the user gets."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import correlate

from sr3.diffusion.denoiser import NOTHING
from sr3.picture.resize import shrink
from sr3.random import Stream
from sr3.task import TASKS, Generation, Given, Restoration, SuperResolution


def picture(height: int, width: int, count: int = 1, reach: float = 0.6) -> torch.Tensor:
    rng = torch.Generator().manual_seed(height + width)
    return reach * (2 * torch.rand(count, 3, height, width, generator=rng) - 1)


def black_and_white(height: int, width: int) -> torch.Tensor:
    """Squares of 8 pixels: bicubic kernels overshoot at their edges."""
    return torch.sign(picture(height // 8, width // 8)).repeat_interleave(8, -1).repeat_interleave(8, -2)


def test_the_tasks_that_there_are():
    palette = {"colorization", "denoising", "inpainting", "jpeg-restoration", "uncropping"}
    assert TASKS.keys() == {"super-resolution", "generation", "several", *palette}
    assert TASKS["super-resolution"] is SuperResolution
    assert isinstance(SuperResolution(), Restoration)
    assert not isinstance(Generation(), Restoration)


def test_what_a_task_says_of_itself():
    task, small = SuperResolution(), Given(picture(5, 7))
    assert (task.factor, task.channels, task.border, task.blur) == (4, 3, 4, 0)
    assert (task.method, task.baseline_name, task.given_name) == ("sr3", "bicubic", "low resolution")
    given = {kind: one().given_name for kind, one in TASKS.items() if kind != "generation"}
    assert len(set(given.values())) == 6  # of several it is the one that is measured
    assert given["several"] == given["colorization"] == "grey"
    assert SuperResolution(3).border == 3
    assert SuperResolution(3).result_size(small) == (15, 21)
    assert (Generation().channels, Generation().factor, Generation().method) == (0, 1, "generated")
    assert Generation((2, 3)).result_size(Generation((2, 3)).empty(1)) == (2, 3)


def test_the_degraded_picture_is_the_shrunk_one_as_a_file_holds_it():
    clean = black_and_white(24, 32)
    small = SuperResolution(4).degrade(clean).image
    exact = (127.5 * (shrink(clean, 4) + 1)).clamp(0, 255)
    assert (127.5 * (shrink(clean, 4) + 1)).max() > 255.6
    levels = 127.5 * (small + 1)
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(levels, exact.round(), atol=1e-3, rtol=0)


def gaussian(sigma: float) -> np.ndarray:
    """3 x 3 taps that add up to 1."""
    along = np.exp(-0.5 * np.array([-1, 0, 1]) ** 2 / sigma**2)
    return np.outer(along, along) / along.sum() ** 2


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_share_of_training_pictures_is_blurred_by_sigma_0_4_to_0_6(share):
    clean = picture(24, 32, 40, reach=1.0)
    draws = Stream(3, range(40))
    chosen, sigma = draws.uniform() < share, 0.4 + 0.2 * draws.uniform()
    task = SuperResolution(2, blur=share)
    made = task.degrade(clean, rng=Stream(3, range(40))).image
    assert 0.35 < chosen.double().mean() / share <= 1.35
    small = shrink(clean, 2).double().numpy()
    for k in range(40):
        wanted = small[k]
        if chosen[k]:
            wanted = np.stack([correlate(c, gaussian(sigma[k].item()), mode="nearest") for c in wanted])
        # half a level of rounding, and no more
        assert np.abs(made[k].numpy() - wanted.clip(-1, 1)).max() < 0.51 / 127.5
    plain = SuperResolution(2).degrade(clean, rng=Stream(3, range(40))).image
    assert torch.equal(plain, task.degrade(clean).image)  # in use nothing is blurred
    assert not torch.equal(plain, made)


def test_a_task_without_blur_leaves_the_stream_as_it_is():
    """So that a run's noise is the same with and without the option in its recipe."""
    stream = Stream(3, range(2))
    SuperResolution(2).degrade(picture(4, 4, 2), rng=stream)
    assert torch.equal(stream.uniform(), Stream(3, range(2)).uniform())


def test_the_network_sees_pillows_bicubic_and_begins_from_it():
    small = SuperResolution(4).degrade(picture(32, 24)).image
    pixels = (127.5 * (small[0] + 1)).permute(1, 2, 0).numpy()
    large = [Image.fromarray(c, "F").resize((24, 32), Image.Resampling.BICUBIC) for c in np.moveaxis(pixels, -1, 0)]
    example = SuperResolution(4).prepare(Given(small))
    wanted = torch.from_numpy(np.stack([np.asarray(c) for c in large])[None]) / 127.5 - 1
    torch.testing.assert_close(example.cond, wanted, atol=1e-4, rtol=0)
    assert torch.equal(example.base, example.cond)
    assert torch.equal(SuperResolution(4).baseline(Given(small)), example.cond)
    assert example.mask is None
    assert example.target is None


def test_projection_is_the_nearest_picture_that_agrees():
    """Among all pictures that shrink to what is given none is nearer: what is added has no part that shrinks to 0."""
    task, made, free = SuperResolution(2), picture(12, 16), picture(12, 16, 1, reach=1.0)
    given = Given(picture(6, 8))
    nearest = task.project(made, given)
    torch.testing.assert_close(shrink(nearest, 2), given.image, atol=1e-5, rtol=0)
    unseen = task.project(free, Given(torch.zeros_like(given.image)))
    assert min((nearest - made).abs().max(), unseen.abs().max()) > 0.1
    assert abs(((nearest - made) * unseen).sum().item()) < 1e-3


def test_the_result_is_in_range_and_agrees_even_near_black_and_white():
    task, clean = SuperResolution(4), black_and_white(48, 40)
    given = task.degrade(clean)
    rough = 0.5 * clean + picture(48, 40)
    made, once = task.finish(rough, given), task.project(rough, given).clamp(-1, 1)
    assert made.abs().max() <= 1
    off, off_once = ((shrink(x, 4) - given.image).abs().mean().item() for x in (made, once))
    assert off < 0.2 * off_once


def test_generation_is_given_nothing_but_a_size():
    task = Generation(16)
    assert task.sides == (16, 16)
    assert Generation((4, 6)).sides == (4, 6)
    assert Generation().sides == (32, 32)
    empty = Generation((4, 6)).empty(3)
    assert empty.image.shape == (3, 0, 4, 6)
    assert empty.mask is None
    clean = picture(4, 6, 3)
    assert task.degrade(clean).image.shape == (3, 0, 4, 6)
    assert task.prepare(empty) == NOTHING
    made = torch.tensor([-1.5, -0.5, 0.5, 1.5]).view(1, 1, 2, 2)
    assert torch.equal(task.project(made, empty), made)
    assert task.finish(made, empty).flatten().tolist() == [-1, -0.5, 0.5, 1]


def test_pictures_have_sides():
    assert Generation(1).sides == (1, 1)
    for size in (0, (0, 4), (4, 0), (3, -1)):
        with pytest.raises(ValueError, match="a side is at least 1 pixel"):
            Generation(size)
