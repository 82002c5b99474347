"""A JPEG file's coefficients against Pillow's pixels, and the pictures that agree with them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import noise_picture
from PIL import Image

from sr3.picture import jpeg_twin
from sr3.picture.image import read
from sr3.picture.jpeg import JpegBins
from sr3.picture.jpeg_file import ZIGZAG, parse
from sr3.picture.picture import PictureError
from sr3.picture.windows import blocks

QUALITIES = [10, 30, 75, 95]
WAYS = [
    {},
    {"subsampling": 0},
    {"subsampling": 1},
    {"progressive": True},
    {"progressive": True, "subsampling": 0},
    {"optimize": True},
    {"restart_marker_blocks": 3},
]


def written(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def as_tensor(picture: Image.Image) -> torch.Tensor:
    samples = np.array(picture).reshape(picture.height, picture.width, -1)
    return torch.from_numpy(samples).permute(2, 0, 1)[None].float() / 127.5 - 1


def blurred(data: bytes) -> torch.Tensor:
    """What a JPEG file shows, blurred: near the set of a file, and not in it."""
    x = as_tensor(Image.open(io.BytesIO(data)))
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


def outside(bins: JpegBins, x: torch.Tensor) -> float:
    """How far the worst coefficient is beyond its bin's end, in steps of 8 bits; the set's own definition."""
    found = zip(bins.forward(x), bins.planes)
    return max((((f - p.steps).abs() - 0.5) * p.table).max().item() for f, p in found)


@pytest.mark.parametrize("quality", [1, *QUALITIES, 100])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_coefficients_make_pillows_luma(quality, way):
    """Opened by the twin, which is libjpeg's arithmetic, the luma coefficients are what Pillow decodes, to the bit."""
    for size in ((40, 32), (47, 33), (3, 17)):
        data = written(noise_picture(*size, seed=quality), quality=quality, **way)
        plane = parse(data).planes[0]
        d = jpeg_twin._transform()
        c = torch.from_numpy(plane.coefficients * plane.table).double()
        made = jpeg_twin.join(jpeg_twin._shifted(jpeg_twin._shifted(d.T @ c, 11) @ d, 18)).clamp(-128, 127) + 128
        opened = Image.open(io.BytesIO(data))
        opened.draft("YCbCr", None)
        theirs = np.asarray(opened)[..., 0]
        assert np.array_equal(made[: size[1], : size[0]].numpy(), theirs)


@pytest.mark.parametrize("progressive", [False, True])
def test_chroma_is_read_too(progressive):
    """At 4:4:4 all planes of the file are as many coefficients as Pillow's YCbCr has."""
    data = written(noise_picture(24, 19, seed=3), quality=80, subsampling=0, progressive=progressive)
    opened = Image.open(io.BytesIO(data))
    opened.draft("YCbCr", None)
    d = jpeg_twin._transform()
    for n, plane in enumerate(parse(data).planes):
        c = torch.from_numpy(plane.coefficients * plane.table).double()
        made = jpeg_twin.join(jpeg_twin._shifted(jpeg_twin._shifted(d.T @ c, 11) @ d, 18)).clamp(-128, 127) + 128
        assert np.array_equal(made[:19, :24].numpy(), np.asarray(opened)[..., n])


def test_both_orders_hold_the_same_coefficients():
    picture = noise_picture(50, 41, seed=6)
    plain, progressive = (parse(written(picture, quality=85, progressive=p)) for p in (False, True))
    for a, b in zip(plain.planes, progressive.planes):
        assert np.array_equal(a.coefficients, b.coefficients)
        assert (a.down, a.across) == (b.down, b.across)
    assert [(p.down, p.across) for p in plain.planes] == [(2, 2), (1, 1), (1, 1)]
    assert [p.coefficients.shape for p in plain.planes] == [(6, 7, 8, 8), (3, 4, 8, 8), (3, 4, 8, 8)]
    assert np.array_equal(plain.planes[0].table, jpeg_twin.tables(torch.tensor([85]))[0, 0].int().numpy())
    assert sorted(ZIGZAG) == list(range(64))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("way", [{"subsampling": 0}, {"subsampling": 2}, {"subsampling": 1}], ids=str)
def test_the_map_is_the_coders(quality, way):
    """The coefficients of the picture that a file was made of round to the file's, but for roundings to 8 bits."""
    for size in ((64, 48), (47, 33)):
        picture = noise_picture(*size, seed=quality)
        bins = JpegBins.of(written(picture, quality=quality, **way))
        for found, plane in zip(bins.forward(as_tensor(picture)), bins.planes):
            apart = ((found - plane.steps).abs() - 0.5).clamp(min=0) * plane.table
            # samples and 2x2 means are rounded before the transform, and the means' halves up and down by turns, which
            # in a plain block is a wave of 0.5 at the highest frequency
            assert apart.max() < 4.5
            assert (apart > 0.5).double().mean() < (0.02 if quality == 95 else 0.005)
        assert bins.agree(as_tensor(picture)) > (0.9 if quality == 95 else 0.98)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("halved", [False, True])
def test_projection(quality, halved):
    """Near, inside, and found again: a picture of the set compresses to the file that it restores."""
    for size in ((96, 64), (47, 33)):
        data = written(noise_picture(*size, seed=quality), quality=quality, subsampling=2 if halved else 0)
        bins, soft = JpegBins.of(data), blurred(data)
        made = bins.project(soft)
        assert bins.agree(soft) < 0.995
        assert bins.agree(made) == 1
        assert made.abs().max() <= 1
        assert (made - soft).abs().mean() < 2 * (soft - as_tensor(Image.open(io.BytesIO(data)))).abs().mean()
        samples = ((made[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        tables = Image.open(io.BytesIO(data)).quantization  # type: ignore[attr-defined]
        again = written(Image.fromarray(samples), qtables=tables, subsampling=2 if halved else 0)
        same = [a.coefficients == b.coefficients for a, b in zip(parse(again).planes, parse(data).planes)]
        # at 95 steps are of 2, and rounding the picture to 8 bits alone moves a coefficient by 0.35
        least = 0.96 if quality == 95 else 0.999 if size == (96, 64) else 0.997
        assert np.concatenate([s.ravel() for s in same]).mean() >= least


def test_projection_is_the_nearest_and_stays():
    """In whole blocks within the range: nothing of the set is nearer, and what is inside is left alone."""
    data = written(noise_picture(32, 32, seed=2).point(lambda v: 64 + v // 2), quality=40, subsampling=0)
    bins, soft = JpegBins.of(data), 0.8 * blurred(data)
    made = bins.project(soft, inset=0.0)
    assert torch.allclose(bins.project(made, inset=0.0), made, atol=2e-6)
    assert outside(bins, made) < 1e-2

    def ycc(x: torch.Tensor) -> torch.Tensor:
        r, g, b = x.double().unbind(1)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        return torch.stack([y, (b - y) / 1.772, (r - y) / 1.402])

    for seed in range(5):  # the angle at the nearest point of a convex set is never acute
        other = bins.project(made + 0.3 * torch.randn(made.shape, generator=torch.Generator().manual_seed(seed)))
        assert bins.agree(other) == 1
        away, along = ycc(soft) - ycc(made), ycc(other) - ycc(made)
        assert (away * along).sum() <= 1e-4 * away.norm() * along.norm()


def test_inset():
    data = written(noise_picture(32, 32, seed=8), quality=50, subsampling=0)
    bins = JpegBins.of(data)
    for inset in (0.0, 1.0, 2.0):
        deep = outside(bins, bins.project(blurred(data), inset=inset))
        assert -inset - 0.01 < deep < -inset + 0.06  # the smallest step is 10


@pytest.mark.parametrize("size", [(32, 24), (21, 13)])
def test_grey_files(size):
    data = written(noise_picture(*size).convert("L"), quality=30)
    bins = JpegBins.of(data)
    assert bins.colours == "grey"
    soft = blurred(data)
    made = bins.project(soft)
    assert made.shape == soft.shape
    assert bins.agree(made) == 1
    coloured = bins.project(soft.expand(-1, 3, -1, -1))
    torch.testing.assert_close(coloured, made.expand(-1, 3, -1, -1), rtol=0, atol=1e-5)


def test_files_in_rgb():
    """Pillow can keep RGB as it is; then no colours are mixed."""
    picture = noise_picture(32, 24, seed=5)
    data = written(picture, quality=60, keep_rgb=True)
    bins = JpegBins.of(data)
    assert bins.colours == "rgb"
    assert bins.agree(as_tensor(picture)) > 0.99
    assert bins.agree(bins.project(blurred(data))) == 1


@pytest.mark.parametrize("turned", range(1, 9))
def test_turned_files(tmp_path, turned):
    """Pictures are upright, as the reader gives them."""
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / "turned.jpg"
    noise_picture(40, 24, seed=turned).save(path, quality=92, subsampling=0, exif=exif)
    bins, upright = JpegBins.of(path), read(path).rgb
    assert bins.size == (upright.shape[-1], upright.shape[-2])
    assert bins.agree(upright) > 0.95
    assert bins.agree(upright.flip(-1)) < 0.9
    assert bins.agree(bins.project(upright)) == 1


def test_batches():
    data = written(noise_picture(32, 24), quality=50)
    bins, x = JpegBins.of(data), torch.cat([blurred(data), 0.5 * blurred(data)])
    made = bins.project(x)
    assert bins.agree(made) == 1
    assert not torch.allclose(made[0], made[1])
    with pytest.raises(ValueError, match=r"\[1, 3, 24, 31\]"):
        bins.forward(x[:1, ..., 1:])


def test_bad_files_are_refused(tmp_path: Path):
    good = written(noise_picture(64, 48), quality=90)
    frame = good.index(b"\xff\xc0") + 5  # height and width
    cases = {
        "png": (b"\x89PNG\r\n", "is no JPEG"),
        "empty": (b"", "is no JPEG"),
        "half": (good[: len(good) // 2], "breaks off"),
        "header": (good[:300], "damaged|breaks off"),
        "cmyk": (written(noise_picture(8, 8).convert("CMYK")), "4 components"),
        # T.81, table B.1: of SOF0 to SOF15 all but the first three, DHT, JPG and DAC
        **{
            f"sof{marker & 15}": (good.replace(b"\xff\xc0", bytes([255, marker]), 1), "arithmetic-coded")
            for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
        },
        "vast": (good[:frame] + b"\xff\xff\xff\xff" + good[frame + 4 :], "65535x65535"),
        "deep": (good.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c", 1), "12 bits"),
    }
    for name, (data, says) in cases.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        with pytest.raises(PictureError, match=says) as error:
            JpegBins.of(path)
        assert name in str(error.value)
        assert "give" in str(error.value)
    with pytest.raises(PictureError, match="cannot be read"):
        JpegBins.of(tmp_path / "none.jpg")


def test_damage_never_escapes_as_another_error():
    """Every fifth byte of a small file changed, in turn: a picture or PictureError."""
    good = written(noise_picture(16, 16), quality=50, progressive=True)
    for at in range(0, len(good), 5):
        bad = bytearray(good)
        bad[at] ^= 0x5A
        try:
            parse(bytes(bad))
        except PictureError:
            continue


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_part_of_a_file_is_held_to_as_the_whole_is(turned):
    """Units of 16 pixels that EXIF turns over begin at the other end, in a picture that is no multiple of them."""
    exif = Image.Exif()
    exif[0x0112] = turned
    data = written(noise_picture(90, 71, seed=turned), quality=40, subsampling=2, exif=exif)
    bins = JpegBins.of(data)
    wide, high = bins.size
    x = torch.rand(1, 3, high, wide, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = bins.project(x, rounds=1)
    rows, columns = (
        blocks(slice(0, size), size, *grid, 40) for size, grid in zip((high, wide), bins.grid, strict=True)
    )
    assert len(rows) > 1
    for down in rows:
        for across in columns:
            made = bins.cut(down, across).project(x[..., down, across], rounds=1)
            torch.testing.assert_close(made, whole[..., down, across], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="cuts the file's blocks"):
        bins.cut(slice(0, 33), slice(0, wide))
