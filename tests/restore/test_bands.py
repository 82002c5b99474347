"""Large pictures by bands: the same picture, kept on the disk, with the memory that was allowed."""

import numpy as np
import pytest
import torch
from conftest import TINY, Spoilt, noise_picture, tiny_config
from PIL import Image

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.image import read
from sr3.picture.large import LargePicture
from sr3.restore import large
from sr3.restore.bands import Bands
from sr3.restore.beside import Aside, Beside
from sr3.restore.restored import Restored
from sr3.restore.restorer import Progress, Restorer


def model(kind: str = "diffusion", **changes: object) -> Model:
    torch.manual_seed(0)
    made = Model(tiny_config(kind=kind, **changes))
    for p in made.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return made


def both(made: Model, picture: object, monkeypatch, rows: int = 64, tile: int = 256, **options: object):
    """What is made at once and by bands, 8-bit samples as float."""
    whole = Restorer(made, precision="fp32").restore(picture, **options).variants[0]
    monkeypatch.setattr(large, "cut_for", lambda *_: large.Cut(rows, tile, 0))
    by_bands = Restorer(made, precision="fp32", memory=1).restore(picture, **options).variants[0]
    assert isinstance(by_bands, LargePicture)
    assert not isinstance(whole, LargePicture)
    assert by_bands.size == whole.size
    rounded = ((whole.pixels + 1) * 127.5).round()
    return ((by_bands.pixels + 1) * 127.5).round(), rounded, by_bands, whole


def off(found: torch.Tensor, wanted: torch.Tensor) -> tuple[float, float]:
    """The share of samples that differ, and by how much at most."""
    apart = (found - wanted).abs()
    return (apart > 0).double().mean().item(), apart.max().item()


@pytest.mark.parametrize("sampler", ["dpmpp", "ancestral", "ddim", "heun"])
def test_a_picture_is_the_same_by_bands(monkeypatch, sampler):
    picture = noise_picture(70, 50)
    found, wanted, *_ = both(model(), picture, monkeypatch, sampler=sampler, seed=4)
    share, most = off(found, wanted)
    assert share < 1e-4
    assert most <= 1


@pytest.mark.parametrize("options", [{}, {"free": True}, {"fidelity": 0.5}, {"noise": 10.0}], ids=str)
@pytest.mark.parametrize(("suffix", "turned"), [("png", 1), ("jpg", 1), ("jpg", 3), ("jpg", 6)])
def test_whatever_it_is_held_to(tmp_path, monkeypatch, suffix, turned, options):
    """A JPEG's own blocks, turned as EXIF says; the end of the walk settles band by band."""
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / f"a.{suffix}"
    noise_picture(75, 53).save(path, quality=60, exif=exif)
    found, wanted, *_ = both(model("regression"), path, monkeypatch, rows=64, **options)
    share, most = off(found, wanted)
    settles = suffix == "jpg" and options in ({}, {"noise": 10.0})
    assert share < (2e-2 if settles else 1e-3)
    assert most <= (3 if settles else 1)


@pytest.mark.parametrize("options", [{}, {"free": True}, {"fidelity": 0.5}], ids=str)
@pytest.mark.parametrize(
    ("mode", "turned", "subsampling"), [("RGB", 1, 2), ("RGB", 3, 2), ("RGB", 6, 0), ("RGB", 8, 1), ("L", 1, 0)]
)
def test_a_jpeg_is_restored_by_bands_in_its_own_blocks(tmp_path, monkeypatch, mode, turned, subsampling, options):
    """The end visits the bins until a band is near them, and not until all of the picture is."""
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / "a.jpg"
    size = (75, 141) if turned < 5 else (141, 75)
    noise_picture(*size).convert(mode).save(path, quality=40, subsampling=subsampling, exif=exif)
    made = model("regression", task={"kind": "jpeg-restoration"})
    found, wanted, *_ = both(made, path, monkeypatch, rows=64, tile=64, **options)
    share, most = off(found, wanted)
    assert share < (5e-3 if options == {} else 1e-4)
    assert most <= 1


def test_noise_is_taken_away_by_bands(monkeypatch):
    found, wanted, *_ = both(model(task={"kind": "denoising"}), noise_picture(75, 141), monkeypatch, rows=64)
    assert off(found, wanted)[1] <= 1


def test_tiles_are_as_large_as_the_memory_allows(monkeypatch):
    """Halved down to 256, and not at all where the result would be another."""
    monkeypatch.setattr(large, "in_use", lambda: 0)
    size, made = (4000, 3000), model(task={"kind": "colorization"})
    whole, halo = 95 * 4000 * 3000, 2 * made.net.reach
    for tile in (1024, 512, 256):
        enough = whole + 160 * (tile + halo) ** 2
        assert large.at_work(made, size, tile) == enough - whole
        assert large.tile_for(made, size, 1, enough, 1024) == tile
        assert large.tile_for(made, size, 1, enough - 1, 1024) == max(256, tile // 2)
        assert large.tile_for(made, size, 3, enough + 2 * 12 * 4000 * 3000, 1024) == tile
    assert large.tile_for(made, size, 1, 0, 100) == 100
    # in what is no larger than a tile nothing is gained
    assert large.at_work(made, (200, 100), 1024) == 160 * 200 * 100
    assert large.at_work(model(task={"kind": "colorization"}, sides=(8, 64)), size, 1024) == 160 * 64 * 64
    seeing = model(task={"kind": "colorization"}, network=TINY | {"attention": 2})
    assert large.tile_for(seeing, size, 1, 0, 1024) == 1024
    assert large.smallest(seeing, 1024) == 1024
    assert (large.smallest(made, 1024), large.smallest(made, 100)) == (256, 100)


def test_the_tile_of_a_picture_is_not_the_next_ones(monkeypatch):
    tried: list[int] = []
    restorer = Restorer(model(task={"kind": "colorization"}), tile=512, memory=1)
    real = restorer.refine
    monkeypatch.setattr(restorer, "refine", lambda *a, **b: (tried.append(restorer.tile), real(*a, **b))[1])
    grey = noise_picture(300, 8).convert("L")
    restorer.restore(grey)
    restorer.memory = 10**12
    restorer.restore(grey)
    assert tried == [256, 512]


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "I;16"])
def test_grey_alpha_and_16_bits(tmp_path, monkeypatch, mode):
    path = tmp_path / "a.png"
    picture = noise_picture(40, 70)
    if mode == "I;16":
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(path)
    else:
        picture.convert("RGBA").putalpha(picture.convert("L"))
        clear = picture.convert("RGBA")
        clear.putalpha(picture.convert("L"))
        clear.convert(mode).save(path)
    *_, by_bands, whole = both(model("regression"), path, monkeypatch)
    by_bands.save(tmp_path / "b.png")
    whole.save(tmp_path / "c.png")
    ours, theirs = read(tmp_path / "b.png"), read(tmp_path / "c.png")
    assert (ours.bits, ours.channels, ours.alpha is None) == (theirs.bits, theirs.channels, theirs.alpha is None)
    assert (ours.pixels - theirs.pixels).abs().max() <= 2.01 / (255 if ours.bits == 8 else 6000)
    if ours.alpha is not None:
        assert (ours.alpha - theirs.alpha).abs().max() <= 1.01 / 255


def test_ordinary_pictures_are_made_at_once():
    made = Restorer(model("regression"), memory=8 * 10**9).restore(noise_picture(30, 30)).variants[0]
    assert not isinstance(made, LargePicture)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {"samples": 2}),
        ({}, {"scale": 8}),
        ({}, {"size": (81, 80)}),
        ({}, {"size": (80, 81)}),
        ({}, {"sampler": "langevin"}),
        ({}, {"steps": large.MOST + 1}),
        ({"network": TINY | {"attention": 2}}, {}),
    ],
    ids=str,
)
def test_what_cannot_be_cut_is_made_at_once(monkeypatch, changes, options):
    monkeypatch.setattr(large, "stream", lambda *_, **__: pytest.fail("by bands"))
    restorer = Restorer(model(**changes), memory=1)
    if options.get("sampler") == "langevin" or "steps" in options:  # hundreds of steps
        assert not large.suits(restorer.model, restorer.settings(**options), (20, 20), (80, 80))
        return
    assert not isinstance(restorer.restore(noise_picture(20, 20), **options).variants[0], LargePicture)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"scale": 3}),
        ("RGBA", {"scale": 1}),
        ("LA", {"size": (277, 120)}),
        ("RGBA", {"size": (90, 200)}),
        ("L", {"scale": 2.37}),
    ],
    ids=str,
)
def test_what_is_made_larger_than_asked_for_is_reduced_band_by_band(monkeypatch, mode, options):
    found, wanted, large_one, whole = both(model(), noise_picture(70, 50).convert(mode), monkeypatch, **options)
    share, most = off(found, wanted)
    assert share < 1e-4
    assert most <= 1
    if "A" in mode:
        assert large_one.alpha.shape == whole.alpha.shape
        assert (large_one.alpha - whole.alpha).abs().max() < 1.01 / 255


def test_out_of_memory_the_bands_are_halved(monkeypatch):
    """And it begins again, as often as that helps."""
    tried: list[tuple[int, int]] = []
    real = Bands.__iter__

    def tight(self: Bands):
        tried.append((self.rows, self.run.tile))
        yield next(iter(real(self)))
        if len(tried) < 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        yield from [band for k, band in enumerate(real(replaced(self))) if k]

    def replaced(bands: Bands) -> Bands:
        return Bands(bands.model, bands.run, bands.given, bands.held, bands.settings, bands.seed, bands.rows)

    picture = noise_picture(40, 80)
    wanted = Restorer(model("regression"), precision="fp32").restore(picture).variants[0]
    monkeypatch.setattr(Bands, "__iter__", tight)
    monkeypatch.setattr(large, "cut_for", lambda *_: large.Cut(256, 512, 0))
    found = Restorer(model("regression"), precision="fp32", memory=1).restore(picture).variants[0]
    assert tried == [(256, 512), (128, 256), (64, 256)]
    assert (found.pixels - wanted.pixels).abs().max() < 2.01 / 255
    monkeypatch.setattr(large, "cut_for", lambda *_: large.Cut(64, 256, 0))
    tried.clear()
    with pytest.raises(RuntimeError, match="allocate"):
        Restorer(model("regression"), precision="fp32", memory=1).restore(picture)


def test_what_is_not_finite_is_computed_again_in_fp32(monkeypatch):
    made = model("regression")
    wanted = Restorer(made, precision="fp32").restore(noise_picture(40, 40)).variants[0]
    made.net = Spoilt(made.net)
    made.net.reach, made.net.stride = 64, 8
    with pytest.warns(RuntimeWarning, match="again in fp32"):
        found = Restorer(made, precision="bf16", memory=1).restore(noise_picture(40, 40)).variants[0]
    assert isinstance(found, LargePicture)
    assert (found.pixels - wanted.pixels).abs().max() < 2.01 / 255
    made.net = Spoilt(made.net, above=-9.0)
    made.net.reach, made.net.stride = 64, 8
    with pytest.raises(ConfigError, match="not finite even in fp32"):
        Restorer(made, precision="fp32", memory=1).restore(noise_picture(40, 40))


def test_more_memory_makes_larger_bands(monkeypatch):
    made, size = model(), (4000, 3000)
    monkeypatch.setattr(large, "in_use", lambda: 10**8)
    settings = made.config.sampling
    cuts = [large.cut_for(made, settings, size, memory, 1024) for memory in (0, 2 * 10**8, 5 * 10**8, 10**9, 10**11)]
    assert [cut.rows for cut in cuts] == sorted(cut.rows for cut in cuts)
    assert cuts[0].rows == large.LEAST
    assert cuts[-1].rows == large.LARGEST
    for cut, memory in zip(cuts[2:], (5 * 10**8, 10**9, 10**11), strict=True):
        assert cut.bytes <= memory - 10**8
    assert large.least(made, settings, size) <= cuts[0].bytes
    # twice as wide takes twice as much, and higher no more
    wide, high = (large._cut(made, settings, size, 64, 256).bytes for size in ((80000, 3000), (40000, 6000)))
    assert wide == pytest.approx(2 * high, rel=0.05)
    assert high == large._cut(made, settings, (40000, 60000), 64, 256).bytes
    assert large.fits_whole((1000, 1000), 2 * 10**8)
    assert not large.fits_whole((1100, 1000), 2 * 10**8)


def test_progress_is_told_band_by_band(monkeypatch):
    monkeypatch.setattr(large, "cut_for", lambda *_: large.Cut(64, 256, 0))
    restorer, heard = Restorer(model("regression"), memory=1), []
    restorer.heard = heard.append
    *steps, result = restorer.stream(noise_picture(20, 50))
    assert isinstance(result, Restored)
    assert all(isinstance(step, Progress) for step in steps)
    assert [(step.done, step.total) for step in steps] == [(k, 5) for k in range(2, 6)]
    assert sum(x for x in heard if isinstance(x, int)) == 80 * 200
    # that it begins, once and first, and that each band is held once, and ended once
    assert [k for k, x in enumerate(heard) if isinstance(x, Beside)] == [0]
    assert (heard[0].area, heard[0].end, heard[0].asks) == (80 * 200, 0.0, 1)
    # and each piece before and after it
    pieces = [x for x in heard if isinstance(x, int)]
    assert pieces[::2] == [0] * (len(pieces) // 2)
    assert all(pieces[1::2])
    asides = [x.pixels for x in heard if isinstance(x, Aside)]
    assert sum(asides) == 80 * 200
    assert asides.count(0) == sum(x > 0 for x in asides) > 1


def test_tiles_are_told_before_and_after(monkeypatch):
    restorer, heard = Restorer(model("regression"), tile=64), []
    restorer.heard = heard.append
    *_, result = restorer.stream(noise_picture(20, 50))
    assert isinstance(result, Restored)
    begins, *pieces = heard
    assert isinstance(begins, Beside)
    assert pieces[::2] == [0] * (len(pieces) // 2)
    assert len(pieces) > 2
    assert all(pieces[1::2])
    assert sum(pieces) == 80 * 200


def test_out_of_memory_at_once_it_goes_on_by_bands_or_in_smaller_tiles(monkeypatch):
    """By bands where it can, and else in tiles half as large as the picture, or as those that it had."""
    real, tried = Restorer.refine, []

    def tight(self: Restorer, *args, **options):
        tried.append(self.tile)
        if self.tile > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, *args, **options)

    picture = noise_picture(40, 50)
    wanted = Restorer(model("regression"), precision="fp32").restore(picture).variants[0]
    monkeypatch.setattr(Restorer, "refine", tight)
    found = Restorer(model("regression"), precision="fp32", memory=10**12).restore(picture).variants[0]
    assert isinstance(found, LargePicture)
    assert (found.pixels - wanted.pixels).abs().max() < 2.01 / 255
    assert tried == [1024]
    tried.clear()
    restorer = Restorer(model("regression"), precision="fp32")
    found = restorer.restore(noise_picture(64, 64)).variants[0]
    assert tried == [1024, 128, 64]
    assert restorer.tile == 64
    monkeypatch.setattr(Restorer, "refine", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        restorer.restore(picture)
