"""Animations and documents stay one file; colour runs out under transparency; what is hidden makes no fringes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from conftest import noise_picture
from PIL import Image

from sr3.picture.bleed import REACH, bled
from sr3.picture.frames import Timing, count, loops, read_frames, write_frames
from sr3.picture.image import PictureError, read, read_note
from sr3.picture.picture import Picture
from sr3.restore.restorer import Restorer


def moving(path: Path, frames: int = 3, **options: object) -> list[Image.Image]:
    images = [noise_picture(16, 12, seed=k).convert("RGBA") for k in range(frames)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[40, 70, 100][:frames], loop=2, **options)
    return images


def test_frames_are_counted_by_what_is_in_the_file(tmp_path):
    moving(tmp_path / "a.webp", lossless=True)
    moving(tmp_path / "a.png")
    moving(tmp_path / "a.gif")
    moving(tmp_path / "a.tif")
    for name in ("a.webp", "a.png", "a.gif", "a.tif"):
        assert count(tmp_path / name) == 3, name
    for k, (suffix, options) in enumerate({".webp": {}, ".png": {}, ".gif": {}, ".tif": {}, ".jpg": {}}.items()):
        noise_picture(9, 9).save(tmp_path / f"still{k}{suffix}", **options)
        assert count(tmp_path / f"still{k}{suffix}") == 1
    (tmp_path / "junk.gif").write_bytes(b"GIF89a no")
    assert count(tmp_path / "junk.gif") == 1
    assert count(tmp_path / "none.gif") == 1
    # smaller copies of a page are no pages
    whole = pyvips.Image.new_from_array(np.zeros((300, 300, 3), np.uint8))
    whole.tiffsave(str(tmp_path / "pyramid.tif"), pyramid=True, tile=True, tile_width=64, tile_height=64)
    with Image.open(tmp_path / "pyramid.tif") as image:
        assert image.n_frames > 1
    assert count(tmp_path / "pyramid.tif") == 1


@pytest.mark.parametrize(("suffix", "options"), [(".webp", {"lossless": True}), (".png", {}), (".tif", {})])
def test_frames_are_read_whole_and_with_their_times(tmp_path, suffix, options):
    images = moving(tmp_path / f"a{suffix}", **options)
    found = list(read_frames(tmp_path / f"a{suffix}"))
    if suffix != ".tif":
        assert [shown for _, shown in found] == [40, 70, 100]
        assert loops(tmp_path / f"a{suffix}") == 2
    for image, (picture, _) in zip(images, found):
        samples = ((picture.pixels + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(samples, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".gif"])
def test_frames_are_written_as_one_file(tmp_path, suffix):
    frames = [np.asarray(noise_picture(16, 12, seed=k)) for k in range(3)]
    like, path = Picture(torch.zeros(3, 1, 1)), tmp_path / f"out{suffix}"
    write_frames(path, frames, like, Timing([40, 70, 100], 0), note={"model": "tiny"})
    again = list(read_frames(path))
    assert len(again) == 3
    for frame, (picture, _) in zip(frames, again):
        assert picture.size == (16, 12)
        off = np.abs(((picture.pixels + 1) * 127.5).permute(1, 2, 0).numpy() - frame)
        assert off.mean() < {".png": 1e-3, ".tif": 1e-3, ".webp": 10, ".gif": 20}[suffix]
    assert read_note(path) == {"model": "tiny"}
    if suffix != ".tif":
        assert [shown for _, shown in again] == [40, 70, 100]
        assert loops(path) == 0


def test_deep_pages_stay_deep_and_unlike_ones_are_refused(tmp_path):
    frames = [np.random.default_rng(k).integers(0, 65536, (8, 9, 3), dtype=np.uint16) for k in range(2)]
    path = tmp_path / "deep.tif"
    write_frames(path, frames, Picture(torch.zeros(3, 1, 1), bits=16), Timing(), note={})
    again = [read(path, page=k) for k in range(2)]
    assert [p.bits for p in again] == [16, 16]
    for frame, picture in zip(frames, again):
        assert np.array_equal(((picture.pixels + 1) * 32767.5).round().permute(1, 2, 0).numpy(), frame)
    a, b = noise_picture(8, 8), noise_picture(9, 8)
    a.save(tmp_path / "unlike.tif", save_all=True, append_images=[b])
    with pytest.raises(PictureError, match="8x8 of 8 bits, and 9x8 of 8"):
        list(read_frames(tmp_path / "unlike.tif"))
    (tmp_path / "cut.webp").write_bytes((moving(tmp_path / "w.webp"), (tmp_path / "w.webp").read_bytes()[:-90])[1])
    with pytest.raises(PictureError, match="cut.webp"):
        list(read_frames(tmp_path / "cut.webp"))


def test_an_animation_stays_one_and_does_not_flicker(sr3, tiny, tmp_path):
    model = tiny.save_pretrained(tmp_path / "model")
    still, other = noise_picture(12, 8), noise_picture(12, 8, seed=1)
    frames = [still, other, still]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=50, loop=0)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50, loop=0)
    assert sr3("upscale", tmp_path / "a.png", "--model", model, "--seed", 5)[0] == 0
    made = [p for p, _ in read_frames(tmp_path / "a-4x.png")]
    assert [p.size for p in made] == [(48, 32)] * 3
    assert torch.equal(made[0].pixels, made[2].pixels)  # one noise field
    assert not torch.equal(made[0].pixels, made[1].pixels)
    still.save(tmp_path / "still.png")
    assert sr3("upscale", tmp_path / "still.png", "--model", model, "--seed", 5)[0] == 0
    assert torch.equal(read(tmp_path / "still-4x.png").pixels, made[0].pixels)
    code, _, err = sr3("upscale", tmp_path / "a.gif", "--model", model)
    assert code == 0
    assert "in 3 frames" in " ".join(err.split())
    assert count(tmp_path / "a-gif-4x.webp") == 3
    assert sr3("upscale", tmp_path / "a.gif", "--model", model, "-o", tmp_path / "b.gif")[0] == 0
    assert count(tmp_path / "b.gif") == 3
    code, _, err = sr3("upscale", tmp_path / "b.gif", "--model", model)
    assert code == 2
    assert "is a result of sr3 upscale" in err
    before = (tmp_path / "b.gif").stat().st_mtime_ns
    line = [tmp_path / "a.gif", "--model", model, "-o", tmp_path / "b.gif"]
    assert sr3("upscale", *line, "--skip-existing")[0] == 0
    assert (tmp_path / "b.gif").stat().st_mtime_ns == before
    for line, says in (([tmp_path / "a.gif", "-o", tmp_path / "x.jpg"], "has 3 frames and a .jpg file holds one"),
                       ([tmp_path / "still.png", "-o", tmp_path / "x.gif"], "is one picture")):  # fmt: skip
        code, _, err = sr3("upscale", *line, "--model", model)
        assert code == 3
        assert says in err


def test_colour_runs_outward_under_transparency():
    pixels = torch.zeros(3, 40, 60) - 1
    pixels[:, 10:20, 10:20] = torch.tensor([0.5, -0.25, 0.75])[:, None, None]
    alpha = torch.zeros(1, 40, 60)
    alpha[:, 10:20, 10:20] = 1
    found = bled(Picture(pixels, alpha))
    assert torch.equal(found.pixels[:, 10:20, 10:20], pixels[:, 10:20, 10:20])
    near = found.pixels[:, :40, : 20 + REACH]
    assert (near - torch.tensor([0.5, -0.25, 0.75])[:, None, None]).abs().max() < 1e-6
    assert found.pixels[:, :, 20 + REACH :].abs().max() == 0
    opaque = Picture(pixels, torch.ones(1, 40, 60))
    assert bled(opaque) is opaque


def test_what_is_hidden_changes_nothing_that_is_seen(tiny):
    """A white disc over black or over white that nobody sees: the same result, without dark fringes."""
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    disc = ((x - 12) ** 2 + (y - 12) ** 2 < 64).float()[None]
    restorer = Restorer(tiny)
    made = []
    for hidden in (-1.0, 1.0):
        picture = Picture(torch.where(disc > 0, 1.0, hidden).expand(3, -1, -1), disc)
        made.append(restorer.restore(picture, seed=1).variants[0])
    seen = made[0].alpha > 0.02
    assert torch.equal(made[0].pixels[:, seen[0]], made[1].pixels[:, seen[0]])
    assert torch.equal(made[0].alpha, made[1].alpha)
    assert replace(made[0], alpha=None).pixels[:, seen[0]].mean() > 0.8


def test_pages_that_pillow_does_not_read_are_pages(tmp_path):
    vips = pyvips
    pages = [
        vips.Image.black(9, 7, bands=2).linear(1, [1000 * (k + 1), 65535]).cast("ushort").copy(interpretation="grey16")
        for k in range(2)
    ]
    whole = vips.Image.arrayjoin(pages, across=1).copy()
    whole.set_type(vips.GValue.gint_type, "page-height", 7)
    whole.tiffsave(str(tmp_path / "a.tif"), page_height=7)
    with pytest.raises(OSError, match="identify"):
        Image.open(tmp_path / "a.tif")
    assert count(tmp_path / "a.tif") == 2
    found = [frame.pixels.mean().item() for frame, _ in read_frames(tmp_path / "a.tif")]
    assert found == pytest.approx([2 * 1000 * (k + 1) / 65535 - 1 for k in range(2)], abs=1e-4)


def test_pages_of_different_channels_become_alike(tmp_path):
    """Of a moving GIF Pillow's first frame is opaque RGB and the others have alpha, or the other way round."""
    grey, colour, clear = (np.full((4, 5, c), 100 + c, np.uint8) for c in (1, 3, 4))
    like = Picture(torch.zeros(3, 4, 5))
    write_frames(tmp_path / "a.tif", [grey, colour, clear], like, Timing(), note={})
    assert count(tmp_path / "a.tif") == 3
    found = [frame for frame, _ in read_frames(tmp_path / "a.tif")]
    assert [None if f.alpha is None else round(f.alpha.mean().item() * 255) for f in found] == [255, 255, 104]
    assert [round((f.pixels.mean().item() + 1) * 127.5) for f in found] == [101, 103, 104]
