"""Large pictures for models of small ones: what is shown to them, and how what they make comes to full size."""

import json
import subprocess
import sys
from functools import partial

import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.metric.join import join
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.exchange import from_pil
from sr3.picture.grey import guided, luminance
from sr3.picture.picture import Picture
from sr3.picture.resize import resize
from sr3.random import Seeds, Stream, staged
from sr3.restore import restorer as module
from sr3.restore import whole
from sr3.restore.fill import uncropped
from sr3.restore.restored import Restored
from sr3.restore.restorer import Restorer
from sr3.restore.whole import check_detail, make, stream
from sr3.task import Colorization, Given, Inpainting, Uncropping
from sr3.task.inpainting import hollow, joined


def model(kind: str, **changes: object) -> Restorer:
    torch.manual_seed(0)
    made = Model(tiny_config(task={"kind": kind}, **changes))
    for p in made.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return Restorer(made)


def photo(width: int, height: int, seed: int = 0) -> Picture:
    return from_pil(noise_picture(width, height, seed))


def box(width: int, height: int, left: int, top: int, wide: int, high: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width, dtype=torch.bool)
    mask[..., top : top + high, left : left + wide] = True
    return mask


def last(steps) -> Restored:
    *_, result = steps
    assert isinstance(result, Restored)
    return result


@pytest.mark.parametrize(
    ("hole", "rows", "columns"),
    [
        ((40, 30, 10, 6), (17, 49), (29, 61)),  # as large as the model's pictures, around its middle
        ((0, 0, 10, 6), (0, 32), (0, 32)),  # moved into the picture
        ((115, 85, 5, 5), (58, 90), (88, 120)),
        ((20, 30, 40, 20), (10, 70), (0, 80)),  # with half of its larger side all around
        ((0, 0, 120, 45), (0, 90), (0, 120)),
    ],
)
def test_the_window_is_what_is_around_the_hole(hole, rows, columns):
    given = hollow(photo(120, 90).rgb, box(120, 90, *hole), Stream(0, [0]))
    (found,) = Inpainting().windows(given, 32)
    assert [(s.start, s.stop) for s in found] == [rows, columns]
    assert given.mask[..., found[0], found[1]].sum() == given.mask.sum()
    (everything,) = Colorization().windows(given, 32)
    assert [(s.start, s.stop) for s in everything] == [(0, 90), (0, 120)]
    nothing = given._replace(mask=torch.zeros_like(given.mask))
    assert Inpainting().windows(nothing, 32)[0][0].stop == 90


def test_a_hole_in_a_large_picture_is_filled_at_full_resolution_where_the_model_may_see_it():
    """As if the picture had been cut there first."""
    restorer, picture = model("inpainting", sides=(4, 32)), photo(120, 90)
    given = hollow(picture.rgb, box(120, 90, 40, 30, 10, 6), Stream(0, [0]))
    found = last(stream(restorer, picture, given, seed=3, samples=2))
    part = given.cut(slice(17, 49), slice(29, 61))
    alone = last(restorer.stream(Picture(part.image[0].clamp(-1, 1)), given=part, seed=3, samples=2))
    for made, small in zip(found.variants, alone.variants, strict=True):
        assert torch.equal(made.pixels[:, 17:49, 29:61], small.pixels)
        rest = ~given.mask[0].expand(3, -1, -1)
        assert torch.equal(made.pixels[rest], picture.pixels[rest])


def test_a_batch_is_as_its_pictures_one_by_one():
    restorer = model("inpainting", sides=(4, 32))
    given = restorer.model.task.degrade(torch.cat([photo(64, 48, k).rgb for k in range(3)]))
    together = make(restorer, given, [5, 6, 7])
    for k in range(3):
        assert torch.equal(together[k : k + 1], make(restorer, given.of([k]), [5 + k]))


def test_a_filling_found_small_has_no_step_at_its_border():
    """A slope whose middle was found too bright: the border meets, and the offset is gone, as it is at the border."""
    slope = torch.linspace(-0.8, 0.6, 64).expand(1, 3, 48, 64)
    given = hollow(slope, box(64, 48, 20, 10, 24, 20), Stream(0, [0]))
    mask = given.mask.expand_as(slope)
    found = joined(torch.where(mask, slope + 0.2, slope + 0.2), given)
    assert torch.allclose(found[~mask], slope[~mask], atol=1e-6)
    assert (found - slope)[mask].abs().max() < 0.01
    # where only the filling is off, the known pixels know nothing of it
    assert torch.allclose(joined(torch.where(mask, slope + 0.2, slope), given)[mask], (slope + 0.2)[mask], atol=1e-6)
    free = given._replace(mask=None)
    assert joined(slope, free) is slope


def test_colours_follow_an_edge_that_the_reduction_has_lost():
    """Two plain colours of unlike luminance, their border within a small pixel."""
    large = torch.empty(1, 3, 96, 96)
    large[:] = torch.tensor([-0.6, 0.1, 0.5])[:, None, None]
    large[..., 43:] = torch.tensor([0.9, 0.4, -0.3])[:, None, None]
    small, grey = resize(large, (12, 12)), luminance(resize(large, (12, 12)))
    found, plain = guided(small, grey, luminance(large)), resize(small, (96, 96))
    chroma = lambda x: x - luminance(x)  # noqa: E731
    off = [(chroma(x) - chroma(large)).abs().mean().item() for x in (found, plain)]
    assert 0.7 * off[1] < off[0] < 0.8 * off[1]
    # the luminance is the enlarged one's, and of plain luminance nothing is changed
    assert (luminance(found) - luminance(plain.clamp(-1, 1))).abs().max() < 0.02
    even = guided(small, torch.full_like(grey, 0.2), torch.full((1, 1, 96, 96), 0.2))
    torch.testing.assert_close(even, plain.clamp(-1, 1), atol=1e-5, rtol=0)


def nothing_added() -> Restorer:
    """A regression that enlarges twice and adds nothing to bicubic."""
    made = Model(tiny_config(name="tiny-2x", kind="regression", task={"kind": "super-resolution", "factor": 2}))
    for p in made.net.parameters():
        p.data.zero_()
    return Restorer(made)


@pytest.mark.parametrize(("size", "passes"), [((120, 96), 2), ((60, 64), 1), ((40, 36), 0)])
def test_a_hole_is_enlarged_by_a_model_that_sees_the_known_pixels(monkeypatch, size, passes):
    """At every size: its estimates have them, and so has the result, bit for bit."""
    restorer, detail, picture = model("inpainting", sides=(4, 32)), nothing_added(), photo(*size)
    mask = box(*size, size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2)
    given = hollow(picture.rgb, mask, Stream(0, [0]))
    seen = []
    make_one = detail.make

    def spied(small, seeds, wrap):
        seen.append((small.image, wrap))
        return make_one(small, seeds, wrap=wrap)

    monkeypatch.setattr(detail, "make", spied)
    found = last(stream(restorer, picture, given, detail=detail)).variants[0]
    assert len(seen) == passes
    known = ~mask[0].expand(3, -1, -1)
    assert torch.equal(found.pixels[known], picture.pixels[known])
    for small, wrap in seen:
        size = 2 * small.shape[-2], 2 * small.shape[-1]
        there = restorer.model.task.reduced(given, size)
        held = wrap(lambda x, level: x)(torch.full((1, 3, *size), 9.0), None)
        assert torch.equal(held, torch.where(there.mask, 9.0, there.image))
    plain = last(stream(restorer, picture, given)).variants[0]
    assert torch.equal(found.pixels, plain.pixels) == (passes == 0)
    with pytest.raises(ConfigError, match="tiny does not enlarge"):
        check_detail(restorer)


def test_what_a_detail_adds_is_in_the_hole():
    """One that adds nothing makes about what bicubic enlargement makes; the step at the border is taken away alike."""
    restorer, picture = model("inpainting", sides=(4, 32)), photo(64, 64)
    mask = box(64, 64, 16, 16, 32, 32)
    given = hollow(picture.rgb, mask, Stream(0, [0]))
    plain, other = (
        last(stream(restorer, picture, given, detail=d)).variants[0].pixels for d in (None, nothing_added())
    )
    assert (plain - other).abs().mean() < 0.05


def test_a_detail_meets_the_pixels_around_the_hole():
    """A slope whose filling was found too bright everywhere: where the known pixels are, and so in the hole."""
    slope = torch.linspace(-0.8, 0.6, 128).expand(1, 3, 96, 128)
    given = hollow(slope, box(128, 96, 40, 20, 48, 40), Stream(0, [0]))
    task = Inpainting()
    small = resize(slope, (24, 32)) + 0.2
    found = whole._detailed(nothing_added(), task, small, given, [0])
    assert (found - slope)[given.mask.expand_as(slope)].abs().max() < 0.05
    # where it was 18 times as steep, and 8 bits are two thirds of a step of the slope
    assert join((found + 1) / 2, given.mask).item() < 1.6 * join((slope + 1) / 2, given.mask).item()


def test_uncropping_a_large_picture_sees_what_is_near():
    picture = photo(200, 60)
    given = hollow(picture.rgb, box(200, 60, 190, 0, 10, 60), Stream(0, [0]))
    ((rows, columns),) = Uncropping().windows(given, 32)
    assert (rows.start, rows.stop) == (0, 60)
    assert (columns.start, columns.stop) == (130, 200)
    (part,) = whole._parts(model("uncropping", sides=(4, 32)), given)
    assert part.small.image.shape == (1, 3, 27, 32)


def test_a_picture_of_many_tiles_at_once_for_every_task(tmp_path):
    """Larger than a tile and than the model's pictures: in processes of their own, whose largest memory is bounded."""
    script = tmp_path / "one.py"
    script.write_text(CHILD)
    found = subprocess.run([sys.executable, script, "0.4"], capture_output=True, text=True, check=True)
    peaks = json.loads(found.stdout)
    assert set(peaks) == {"colorization", "denoising", "inpainting", "jpeg-restoration", "uncropping"}
    # above what PyTorch and an empty picture take: copies of three floats a pixel
    assert max(peaks.values()) < 300e6


CHILD = """
import json, resource, sys
import numpy as np, torch
from PIL import Image
torch.set_num_threads(1)
from sr3.model.config import ModelConfig
from sr3.model.model import Model
from sr3.picture.image import read
from sr3.picture.grey import as_grey
from sr3.restore.fill import inpainted, uncropped
from sr3.restore.restorer import Restorer
from sr3.restore.whole import stream
from functools import partial
from pathlib import Path
import os, tempfile

mega = float(sys.argv[1])
wide, high = round(1155 * mega ** 0.5), round(866 * mega ** 0.5)
place = Path(tempfile.mkdtemp())
y, x = np.mgrid[:high, :wide].astype(np.float32)
rgb = np.stack([127 + 90 * np.sin(x / 37) * np.cos(y / 53), 127 + 80 * np.sin(y / 91), 255 * x / wide], -1)
Image.fromarray(rgb.astype(np.uint8)).save(place / "p.jpg", quality=30)
del x, y, rgb
peaks = {}
for kind in ("colorization", "denoising", "inpainting", "jpeg-restoration", "uncropping"):
    child = os.fork()
    if child == 0:
        began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        network = {"kind": "unet", "patch": 4, "widths": [8], "blocks": [1], "embedding": 16}
        local = kind in ("jpeg-restoration", "denoising")
        model = Model(ModelConfig.model_validate({
            "name": "tiny", "residual": True, "network": network, "prediction": {"kind": "edm", "sigma_data": 0.1},
            "tell": "logsnr", "schedule": {"kind": "log-normal", "mean": -2.3, "std": 1.4, "sigma_min": 0.001,
            "sigma_max": 5.0}, "sampling": {"sampler": {"kind": "dpmpp"}, "steps": 2}, "task": {"kind": kind},
            "sides": None if local else [8, 64]}))
        restorer, picture = Restorer(model, tile=512), read(place / "p.jpg")
        go = partial(stream, restorer)
        if kind == "inpainting":
            mask = torch.zeros(1, 1, high, wide, dtype=torch.bool)
            mask[..., high // 4 : high // 2, wide // 4 : wide // 2] = True
            steps = inpainted(picture, mask, go)
        elif kind == "uncropping":
            steps = uncropped(picture, (0, wide // 4, 0, 0), go)
        else:
            picture = as_grey(picture) if kind == "colorization" else picture
            steps = go(picture, model.task.take(picture, place / "p.jpg" if kind == "jpeg-restoration" else None))
        for last in steps:
            pass
        made = last.variants[0]
        assert made.size[1] == high and torch.isfinite(made.pixels).all()
        (place / kind).write_text(str(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, kind
    peaks[kind] = int((place / kind).read_text())
print(json.dumps(peaks))
"""


def test_holes_that_lie_apart_are_filled_one_by_one():
    """As if the picture had been cut around each, each with its own seed; the steps are counted through."""
    restorer, picture = model("inpainting", sides=(4, 32)), photo(240, 90)
    mask = box(240, 90, 20, 30, 10, 6) | box(240, 90, 180, 60, 5, 9)
    given = hollow(picture.rgb, mask, Stream(0, [0]))
    *steps, found = stream(restorer, picture, given, seed=3, samples=2)
    counts = [(step.done, step.total) for step in steps]
    assert counts == [(k + 1, len(counts)) for k in range(len(counts))]
    rest = ~mask[0].expand(3, -1, -1)
    # the first as if there were no other, the second by a stage of the sample's making
    for stage, window in (0, (slice(17, 49), slice(9, 41))), (0x9A28, (slice(48, 80), slice(166, 198))):
        part = given.cut(*window)
        assert part.mask.sum() in (60, 45)
        for k, made in enumerate(found.variants):
            seed = staged(3 + k, stage)
            alone = last(restorer.stream(Picture(part.image[0].clamp(-1, 1)), given=part, seed=seed)).variants[0]
            assert torch.equal(made.pixels[:, window[0], window[1]], alone.pixels)
            assert torch.equal(made.pixels[rest], picture.pixels[rest])
    assert torch.equal(make(restorer, given, [4])[0], found.variants[1].pixels)


def test_a_trace_follows_the_largest_of_several_holes():
    restorer, picture = model("inpainting", sides=(4, 32)), photo(240, 90)
    mask = box(240, 90, 20, 2, 4, 4) | box(240, 90, 160, 10, 40, 40)
    *steps, _ = stream(restorer, picture, hollow(picture.rgb, mask, Stream(0, [0])), samples=2)
    count = len(steps) // 4
    assert [step.follows for step in steps] == [False] * 2 * count + [True] * count + [False] * count
    single = hollow(picture.rgb, box(240, 90, 20, 30, 4, 4), Stream(0, [0]))
    assert {step.follows for step in list(stream(restorer, picture, single))[:-1]} == {None}


def test_holes_of_one_shape_are_not_filled_alike():
    """In a flat picture only the noise tells them apart; the seed that is told makes each sample again."""
    restorer = model("inpainting", sides=(4, 32))
    picture = Picture(torch.full((3, 90, 240), 0.1))
    mask = box(240, 90, 20, 30, 10, 10) | box(240, 90, 180, 30, 10, 10)
    given = Given(picture.rgb, mask)  # and not the noise of `hollow`, which differs by place
    found = last(stream(restorer, picture, given, seed=3, samples=2))
    for made in found.variants:
        one, two = (made.pixels[:, 30:40, at : at + 10] for at in (20, 180))
        assert (one - two).abs().mean() > 0.01
    again = last(stream(restorer, picture, given, seed=4)).variants[0]
    assert torch.equal(found.variants[1].pixels, again.pixels)
    assert (found.note["seed"], found.note["samples"]) == ("3", "2")


@pytest.fixture
def drawn(monkeypatch):
    """The seeds of all walks."""
    seeds: list[int] = []

    class Noted(Seeds):
        def __init__(self, own):
            seeds.extend(own)
            super().__init__(own)

    monkeypatch.setattr(module, "Seeds", Noted)
    return seeds


@pytest.mark.parametrize("sides", [None, (4, 32)])
def test_no_two_walks_of_a_picture_begin_from_one_noise_field(drawn, sides):
    """Of two steps, the last of two bands and two samples, and of their enlargements."""
    detail = nothing_added() if sides else None
    go = partial(stream, model("uncropping", sides=sides), seed=3, samples=2, **({"detail": detail} if detail else {}))
    *_, found = uncropped(photo(200, 80), (150, 150, 0, 0), go, seed=3)
    assert len(drawn) == len(set(drawn)) >= (3 if sides is None else 12)
    assert drawn[0] == 3
    assert (found.note["seed"], found.note["samples"]) == ("3", "2")
    assert len(found.variants) == 2


def test_a_detail_has_the_seed_of_its_hole(monkeypatch):
    restorer, detail, asked = model("inpainting", sides=(4, 32)), nothing_added(), []

    def detailed(_detail, _task, _made, given, seeds):
        asked.append(seeds)
        return given.image

    monkeypatch.setattr(whole, "_detailed", detailed)
    mask = box(400, 90, 20, 20, 40, 40) | box(400, 90, 320, 20, 40, 40)
    last(stream(restorer, photo(400, 90), hollow(photo(400, 90).rgb, mask, Stream(0, [0])), seed=5, detail=detail))
    assert asked == [[5], [staged(5, 0x9A28)]]
