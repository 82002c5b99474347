"""Data terms: the nearest picture that agrees, against SciPy's transform, and what projection makes of it."""

import io

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image, ImageCms
from scipy.fft import dctn, idctn

from sr3.picture.collection import load
from sr3.picture.image import read
from sr3.picture.jpeg import JpegBins
from sr3.picture.resize import shrink, shrink_inverse
from sr3.task import Generation, Given, SuperResolution
from sr3.task.data_term import Exact, InBins, Reduction, Soft


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def jpeg(width: int, height: int, **options: object) -> JpegBins:
    file = io.BytesIO()
    noise_picture(width, height, seed=width).save(file, "JPEG", **options)  # type: ignore[arg-type]
    return JpegBins.of(file.getvalue())


def test_only_what_was_reduced_can_be_held_to_a_reduction():
    assert isinstance(SuperResolution(), Reduction)
    assert not isinstance(Generation(), Reduction)
    made = random(1, 3, 12, 8)
    assert torch.equal(SuperResolution(4).reduce(made), shrink(made, 4))  # not rounded, not clamped


def test_exactly_is_exactly():
    small, given = random(2, 3, 5, 4), random(2, 3, 5, 4, seed=1)
    assert Exact().nearest(small, given) is given


def blocks(size: int) -> list[slice]:
    return [slice(a, min(a + 8, size)) for a in range(0, size, 8)]


@pytest.mark.parametrize("size", [(16, 8), (19, 27), (8, 5), (3, 3), (1, 9), (24, 16)])
def test_soft_clips_the_coefficients_of_the_difference(size):
    """At twice sigma, block by block; what is left over at the ends are smaller blocks."""
    small, given, sigma = random(2, 3, *size), random(2, 3, *size, seed=1), 20.0
    wanted = (small - given).double().numpy()
    for rows in blocks(size[0]):
        for columns in blocks(size[1]):
            part = dctn(wanted[..., rows, columns], axes=(-2, -1), norm="ortho")
            most = 2 * sigma / 127.5
            wanted[..., rows, columns] = idctn(part.clip(-most, most), axes=(-2, -1), norm="ortho")
    made = Soft(sigma).nearest(small, given)
    torch.testing.assert_close(made, given + torch.from_numpy(wanted).float(), atol=2e-6, rtol=0)
    assert (made - small).abs().max() > 0.1
    torch.testing.assert_close(Soft(sigma).nearest(made, given), made, atol=2e-6, rtol=0)
    torch.testing.assert_close(Soft(1e-4).nearest(small, given), given, atol=1e-4, rtol=0)


def test_soft_lets_noise_be_and_holds_colours():
    """Of white noise 95 % of the coefficients may stay; all pixels of a block alike may only be off by a quarter."""
    given, sigma = torch.zeros(1, 3, 64, 64), 10.0
    noise = sigma / 127.5 * random(1, 3, 64, 64)
    left = noise - Soft(sigma).nearest(noise, given)
    # of a standard normal z, E max(|z| - 2, 0)^2 = 0.0115
    assert (left.square().mean() / noise.square().mean()).item() == pytest.approx(0.0115, rel=0.1)
    shifted = Soft(sigma).nearest(given + 0.5, given)
    torch.testing.assert_close(shifted, given + 2 * sigma / 8 / 127.5, atol=1e-6, rtol=0)
    assert Soft(6.284).said == "the picture given, within noise of sigma 6.28 (given)"


def test_bins_are_the_files():
    bins, small = jpeg(24, 17, quality=60), 0.4 * random(2, 3, 17, 24)
    term = InBins(bins)
    assert torch.equal(term.nearest(small, small), bins.project(small, rounds=1))
    assert torch.equal(term.nearest(small, small, rounds=100), bins.project(small))
    assert bins.agree(small) < 0.9
    assert bins.agree(term.nearest(small, small, rounds=100)) == 1


def test_noise_widens_the_bins():
    """By two sigma on either side, less the inset that roundings need."""
    bins, sigma = jpeg(32, 32, quality=80, subsampling=0), 6.0
    small = 0.4 * random(1, 3, 32, 32)
    made = InBins(bins, sigma).nearest(small, small, rounds=100)
    beyond = [((f - p.steps).abs() - 0.5) * p.table for f, p in zip(bins.forward(made), bins.planes)]
    most = max(b.max().item() for b in beyond)
    assert 2 * sigma - 1 - 0.01 < most <= 2 * sigma - 1 + 0.06
    assert "noise of sigma 6" in InBins(bins, sigma).said


@pytest.mark.parametrize("which", ["soft", "bins"])
def test_projection_reduces_to_the_nearest_and_changes_nothing_unseen(which):
    task, made, image = SuperResolution(4), 0.3 * random(1, 3, 64, 48), 0.3 * random(1, 3, 16, 12, seed=1)
    term = Soft(12.0) if which == "soft" else InBins(jpeg(12, 16, quality=50))
    nearest = term.nearest(task.reduce(made), image)
    held = task.project(made, Given(nearest))
    torch.testing.assert_close(shrink(held, 4), nearest, atol=1e-5, rtol=0)
    change = held - made
    torch.testing.assert_close(change, shrink_inverse(shrink(change, 4), 4), atol=1e-5, rtol=0)
    assert change.abs().max() > 0.01


def test_training_and_use_read_alike(tmp_path):
    """Collections are read by the reader of use: the same samples, whatever the file, and no colour is converted."""
    picture = noise_picture(40, 24, seed=4)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", quality=70, icc_profile=icc)
    picture.save(tmp_path / "b.jpg", quality=90, subsampling=0, exif=exif)
    picture.save(tmp_path / "c.png", icc_profile=icc)
    picture.convert("L").save(tmp_path / "d.jpg")
    picture.convert("CMYK").save(tmp_path / "e.jpg")
    picture.save(tmp_path / "f.webp", quality=80)
    found = load(tmp_path)
    assert len(found) == 6
    for name, samples in zip(found.names, found.pixels):
        used = (read(tmp_path / name).rgb[0].permute(1, 2, 0) + 1) * 127.5
        np.testing.assert_allclose(used.numpy(), samples, atol=1e-4)
