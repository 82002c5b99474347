"""JPEG restoration: libjpeg's own files in training and measuring, and results that compress to the file given."""

import io

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.picture.jpeg import JpegBins
from sr3.picture.jpeg_file import parse
from sr3.random import Stream
from sr3.task import Given, JpegRestoration, Restoration


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1


def pixels(x: torch.Tensor) -> np.ndarray:
    return ((x[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def file_of(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def opened(data: bytes) -> torch.Tensor:
    return tensor(Image.open(io.BytesIO(data)))


def test_what_is_given_is_pillows_jpeg_in_training_and_in_measuring():
    clean = torch.cat([tensor(noise_picture(40, 48, seed=k)) for k in range(12)])
    task = JpegRestoration(low=5, high=40, halved=0.5)
    draws = Stream(3, range(12))
    qualities, halved = task.qualities(draws.uniform()), draws.uniform() < 0.5
    assert 0 < halved.sum() < 12
    given = task.degrade(clean, rng=Stream(3, range(12)))
    assert given.files is None
    for k, x in enumerate(clean.split(1)):
        ways = {"quality": int(qualities[k]), "subsampling": 2 if halved[k] else 0}
        assert torch.equal(given.image[k : k + 1], opened(file_of(Image.fromarray(pixels(x)), **ways)))
    for chroma, number in (("4:2:0", 2), ("4:4:4", 0)):
        measured = JpegRestoration(quality=33, chroma=chroma).degrade(clean)
        wanted = [opened(file_of(Image.fromarray(pixels(x)), quality=33, subsampling=number)) for x in clean.split(1)]
        assert torch.equal(measured.image, torch.cat(wanted))
        assert measured.files is not None
        assert len(measured.files) == 12


@pytest.mark.parametrize(("low", "high", "falloff"), [(5, 30, 10.0), (5, 95, 30.0), (7, 7, 1.0)])
def test_the_chance_of_a_quality_falls_as_its_exponential(low, high, falloff):
    """p(q) in proportion to exp(-q / falloff), Palette's for 5 to 30 and 10."""
    drawn = JpegRestoration(low, high, falloff).qualities((torch.arange(200_000) + 0.5).double() / 200_000)
    every = torch.arange(low, high + 1).double()
    assert sorted(set(drawn.tolist())) == every.tolist()
    wanted = torch.exp(-every / falloff)
    found = torch.stack([(drawn == q).double().mean() for q in every])
    torch.testing.assert_close(found, wanted / wanted.sum(), atol=1e-5, rtol=0)
    assert (JpegRestoration().low, JpegRestoration().high, JpegRestoration().falloff) == (5, 30, 10)


def coefficients(data: bytes) -> list[np.ndarray]:
    return [plane.coefficients for plane in parse(data).planes]


@pytest.mark.parametrize("quality", [10, 30, 75])
@pytest.mark.parametrize("chroma", [0, 2])
def test_the_result_compressed_again_is_the_file(quality, chroma):
    """By Pillow with the file's own tables; from the JPEG with noise."""
    picture = noise_picture(104, 88, seed=quality)
    data = file_of(picture, quality=quality, subsampling=chroma)
    before = Image.open(io.BytesIO(data))
    given = Given(opened(data), files=(JpegBins.of(data),))
    rough = given.image + 0.2 * torch.randn(given.image.shape, generator=torch.Generator().manual_seed(1))
    made = JpegRestoration().finish(rough, given)
    again = file_of(Image.fromarray(pixels(made)), qtables=before.quantization, subsampling=chroma)
    same = np.concatenate([(a == b).ravel() for a, b in zip(coefficients(again), coefficients(data), strict=True)])
    rough_again = file_of(Image.fromarray(pixels(rough)), qtables=before.quantization, subsampling=chroma)
    apart = np.concatenate([(a != b).ravel() for a, b in zip(coefficients(rough_again), coefficients(data))])
    assert same.mean() >= 0.999
    assert apart.mean() > 0.002


def test_projection_brings_a_result_nearer_to_the_truth():
    """The truth is in a convex set, so that the nearest point of it is nowhere farther."""
    truth = tensor(noise_picture(96, 64, seed=5))
    task = JpegRestoration(quality=75, chroma="4:4:4")
    given = task.degrade(truth)
    rough = given.image + 0.08 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    before, after = ((x - truth).square().mean() for x in (rough.clamp(-1, 1), task.finish(rough, given)))
    assert after < 0.9 * before


def test_each_picture_of_a_batch_is_held_to_its_own_file():
    clean = torch.cat([tensor(noise_picture(32, 32, seed=k)) for k in range(3)])
    task = JpegRestoration(quality=20)
    given = task.degrade(clean)
    made = task.finish(0.9 * given.image, given)
    for k in range(3):
        one = given.of([k])
        assert torch.equal(task.finish(0.9 * one.image, one), made[k : k + 1])
    assert torch.equal(task.project(clean, given._replace(files=None)), clean)


def test_what_would_have_been_given_again():
    clean = tensor(noise_picture(32, 40, seed=8))
    task = JpegRestoration(quality=60)
    assert torch.equal(task.again(clean, Given(clean)), task.degrade(clean).image)
    assert task.degradation == "JPEG by libjpeg, quality 60, 4:2:0"
    assert isinstance(task, Restoration)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"low": 0}, "from 0 to 30"),
        ({"low": 40}, "from 40 to 30"),
        ({"high": 101}, "from 5 to 101"),
        ({"quality": 0}, "quality 0"),
        ({"falloff": 0.0}, "falloff 0"),
        ({"halved": 1.5}, "halved=1.5"),
        ({"chroma": "4:1:1"}, "no chroma '4:1:1'"),
    ],
)
def test_bad_settings(wrong, says):
    with pytest.raises(ValueError, match=says):
        JpegRestoration(**wrong)
