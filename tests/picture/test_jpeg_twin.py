"""The twin of libjpeg against libjpeg, through Pillow."""

import io

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.picture import jpeg_twin

SIZES = [(64, 64), (47, 33), (16, 16), (3, 17), (5, 6), (1, 1)]


def through_pillow(picture: Image.Image, **options: int) -> np.ndarray:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return np.asarray(Image.open(file)).reshape(picture.height, picture.width, -1).astype(int)


def as_tensor(picture: Image.Image) -> torch.Tensor:
    samples = np.array(picture).reshape(picture.height, picture.width, -1)
    return torch.from_numpy(samples).permute(2, 0, 1)[None].float() / 127.5 - 1


def as_samples(x: torch.Tensor) -> np.ndarray:
    samples = ((x[0] + 1) * 127.5).permute(1, 2, 0)
    torch.testing.assert_close(samples, samples.round(), rtol=0, atol=1e-3)
    return samples.round().int().numpy()


@pytest.mark.parametrize("quality", [5, 10, 30, 49, 50, 75, 95, 100])
@pytest.mark.parametrize("halved", [False, True])
def test_pixels_are_libjpegs(quality, halved):
    """To the last bit: every quality, both subsamplings, odd sizes, smooth pictures and noise up to the corners."""
    rough = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    for picture in (*(noise_picture(*size, seed=quality) for size in SIZES), rough):
        theirs = through_pillow(picture, quality=quality, subsampling=2 if halved else 0)
        ours = jpeg_twin.compress(as_tensor(picture), torch.tensor([quality]), halved=halved)
        assert np.array_equal(as_samples(ours), theirs), picture.size


@pytest.mark.parametrize("quality", [10, 75])
def test_grey_is_libjpegs(quality):
    picture = noise_picture(35, 21, seed=4).convert("L")
    ours = jpeg_twin.compress(as_tensor(picture), torch.tensor([quality]))
    assert np.array_equal(as_samples(ours), through_pillow(picture, quality=quality))


def test_tables_are_the_files():
    for quality in (1, 25, 49, 50, 51, 90, 100):
        file = io.BytesIO()
        noise_picture(16, 16).save(file, "JPEG", quality=quality)
        theirs = Image.open(file).quantization  # type: ignore[attr-defined]
        ours = jpeg_twin.tables(torch.tensor([quality]))[0].flatten(1).int().tolist()
        assert ours == [list(theirs[0]), list(theirs[1])]


def test_each_picture_has_its_quality():
    x = torch.cat([as_tensor(noise_picture(32, 16, seed=s)) for s in (1, 2)])
    both = jpeg_twin.compress(x, torch.tensor([30, 90]))
    for i, q in enumerate((30, 90)):
        assert torch.equal(both[[i]], jpeg_twin.compress(x[[i]], torch.tensor([q])))


def test_split_and_join():
    x = torch.arange(2 * 16 * 24.0).view(2, 16, 24)
    assert torch.equal(jpeg_twin.split(x)[1, 1, 2], x[1, 8:16, 16:24])
    assert torch.equal(jpeg_twin.join(jpeg_twin.split(x)), x)
