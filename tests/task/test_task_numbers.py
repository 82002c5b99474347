"""Tasks number by number: what may be asked of them, how a stroke and a box come of their draws, whose noise it is."""

import math
import zlib

import numpy as np
import pytest
import torch

from sr3.picture.jpeg import JpegBins
from sr3.picture.picture import Picture
from sr3.picture.resize import resize, round8
from sr3.random import Seeds, Stream, mix
from sr3.task.base import Given, again, own_stream
from sr3.task.denoising import Denoising
from sr3.task.generation import Generation
from sr3.task.holes import _stroke, boxes, masks, painted, side_of
from sr3.task.inpainting import Inpainting, _within, joined
from sr3.task.jpeg_restoration import INSET, JpegRestoration
from sr3.task.super_resolution import SuperResolution
from sr3.task.uncropping import Uncropping


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return round8(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1)


CAN = [
    (Inpainting, {"strokes": 0.0}, {"strokes": -1e-6}),
    (Inpainting, {"strokes": 1.0}, {"strokes": 1 + 1e-6}),
    (Inpainting, {"area": (0.3, 0.3)}, {"area": (0.3, 0.299)}),
    (Inpainting, {"area": (1e-6, 0.999)}, {"area": (0.0, 0.5)}),
    (Inpainting, {"measured_area": 0.999}, {"area": (0.5, 1.0)}),
    (Inpainting, {"measured": "boxes"}, {"measured": "box"}),
    (Uncropping, {"around": 0.0}, {"around": -1e-6}),
    (Uncropping, {"around": 1.0}, {"around": 1 + 1e-6}),
    (Uncropping, {"share": 1e-6}, {"share": 0.0}),
    (Uncropping, {"share": 0.999}, {"share": 1.0}),
    (Uncropping, {"measured": "top"}, {"measured": "above"}),
    (Denoising, {"sigma": 255.0}, {"sigma": 255.01}),
    (Denoising, {"sigma": 1e-6}, {"sigma": 0.0}),
    (JpegRestoration, {"low": 1, "high": 1}, {"low": 0}),
    (JpegRestoration, {"low": 100, "high": 100}, {"high": 101}),
    (JpegRestoration, {"quality": 1}, {"quality": 0}),
    (JpegRestoration, {"quality": 100}, {"quality": 101}),
    (JpegRestoration, {"falloff": 1e-6}, {"falloff": 0.0}),
    (JpegRestoration, {"falloff": 1e6}, {"falloff": math.inf}),
    (JpegRestoration, {"halved": 0.0}, {"halved": -1e-6}),
    (JpegRestoration, {"halved": 1.0}, {"halved": 1 + 1e-6}),
    (JpegRestoration, {"chroma": "4:4:4"}, {"chroma": "4:2:2"}),
    (Generation, {"size": 1}, {"size": 0}),
    (Generation, {"size": (1, 9)}, {"size": (9, 0)}),
    (Generation, {"classes": 0}, {"classes": -1}),
    (Generation, {"classes": ("a", "b")}, {"classes": ("a", "a")}),
]


@pytest.mark.parametrize(("kind", "right", "wrong"), CAN, ids=str)
def test_what_may_be_asked_ends_where_it_says(kind, right, wrong):
    made = kind(**right)
    assert {name: getattr(made, name) for name in right} == right
    with pytest.raises(ValueError, match=r"give|there are|is at least|each once|measured|positive"):
        kind(**wrong)


class Canvas:
    """Writes down what is drawn."""

    def __init__(self):
        self.lines, self.circles = [], []

    def line(self, ends, fill, width):
        assert fill == 255
        self.lines.append((*ends, width))

    def ellipse(self, box, fill):
        assert fill == 255
        self.circles.append(box)


def test_a_stroke_turns_to_and_fro_by_72_degrees():
    """All draws in the middle: eight lines of an eighth of the diagonal, 26 parts of 256 of the smaller side wide."""
    canvas = Canvas()
    _stroke(canvas, 256, 128, iter([0.5] * 100))
    length = math.hypot(256, 128) / 8
    x, y, want = 128.0, 64.0, []
    for step in range(8):
        there = (x + length * math.cos(math.radians(72)), y + length * math.sin(math.radians(72)) * (-1) ** (step + 1))
        want.append((x, y, *there, 13))
        x, y = there
    assert np.allclose(canvas.lines, want)
    assert np.allclose(canvas.circles, [(x - 6.5, y - 6.5, x + 6.5, y + 6.5) for _, _, x, y, _ in want])


def test_strokes_have_4_to_12_lines_within_the_picture():
    for first, count in ((0.0, 4), (0.99, 12)):
        canvas = Canvas()
        _stroke(canvas, 64, 48, iter([first, 0.0, 1.0, 0.9, 0.1] + [0.25, 0.75] * 20))
        assert len(canvas.lines) == count
        radius, turn = 80 / 8, 2 * math.pi / 5 - 2 * math.pi / 15
        x, y = canvas.lines[0][:2]
        assert (x, y) == pytest.approx((0.9 * 64, 0.1 * 48))
        angle, length = turn * 0.875, radius * 1.25
        # up to the border and no further, in both directions
        ends = canvas.lines[0][2:4]
        assert ends == pytest.approx((min(x + length * math.cos(angle), 64), max(y - length * math.sin(angle), 0)))
        assert ends[1] == 0
        assert canvas.lines[1][3] == pytest.approx(length * math.sin(angle))
        assert [line[4] for line in canvas.lines] == [round(48 * 40 / 256)] * count
    thin = Canvas()
    _stroke(thin, 9, 9, iter([0.0] * 100))
    assert thin.lines[0][4] == 1
    assert np.allclose(thin.circles[0][2] - thin.circles[0][0], 1)


def test_painting_goes_on_to_the_area_and_is_turned_over_by_chance(monkeypatch):
    def corner(canvas, width, height, draw):
        next(draw)
        canvas.rectangle((0, 0, 3, 1), fill=255)

    monkeypatch.setattr("sr3.task.holes._stroke", corner)
    for draws, rows, columns in (
        ([9, 0.4, 0.6], slice(6, 8), slice(0, 4)),
        ([9, 0.6, 0.4], slice(0, 2), slice(6, 10)),
        ([9, 0.5, 0.5], slice(0, 2), slice(0, 4)),
        ([9], slice(6, 8), slice(6, 10)),
    ):
        want = np.zeros((8, 10), bool)
        want[rows, columns] = True
        assert np.array_equal(painted((8, 10), iter(draws), 0.1), want)
    assert not painted((8, 10), iter([0.9, 0.9]), 0.0).any()
    assert painted((8, 10), iter([9, 9, 9]), 0.5).sum() == 8  # the draws end before the area is covered


def test_a_box_has_its_share_and_its_shape_and_lies_where_it_is_drawn():
    # one box of a quarter, twice as high as wide in parts of the sides, and at the far end of what room there is
    mask = boxes((64, 32), iter([0.0, 0.3, 1.0, 0.999, 0.0]), 0.25)
    tall = 0.5 * 2**0.5
    high, wide = round(tall * 64), round(0.25 / tall * 32)
    want = np.zeros((64, 32), bool)
    want[64 - high :, :wide] = True
    assert np.array_equal(mask, want)
    # two boxes of 0.5 and 1.5 parts
    mask = boxes((100, 100), iter([0.2, 0.0, 0.999999, 0.5, 0.0, 0.0, 0.5, 0.999, 0.999]), 0.4)
    assert int(mask[:45, :45].sum()) == round(0.1**0.5 * 100) ** 2
    assert int(mask[45:, 45:].sum()) == round(0.3**0.5 * 100) ** 2
    assert boxes((4, 4), iter([0.0, 0.3, 0.0, 0.0, 0.0]), 1e-9).sum() == 1


def test_holes_are_what_they_were():
    """A run that goes on under another version of the library goes on with the same holes."""
    made = masks((9, 14), Stream(3, [0, 5]), 0.0, (0.2, 0.4))
    assert [f"{zlib.crc32(np.packbits(one.numpy()).tobytes()):08x}" for one in made] == ["309840ea", "0aaed0d2"]


def test_a_kind_of_hole_and_its_area_are_drawn_first(monkeypatch):
    seen = []
    monkeypatch.setattr("sr3.task.holes.uniforms", lambda *_: np.array([[0.3, 0.25, 7], [0.4, 0.5, 8]]))
    for name in ("boxes", "painted"):
        told = lambda size, draw, area, name=name: seen.append((name, next(draw), area)) or np.zeros(size)  # noqa: E731
        monkeypatch.setattr(f"sr3.task.holes.{name}", told)
    masks((3, 4), Stream(0, [0, 1]), 0.4, (0.2, 0.6))
    assert seen == [("painted", 7, pytest.approx(0.3)), ("boxes", 8, pytest.approx(0.4))]


def test_a_window_is_around_the_hole_within_the_picture():
    for size in (1, 7, 20):
        for begin in range(size):
            for end in range(begin + 1, size + 1):
                for margin, least in ((0, 0), (2, 0), (1, 6), (3, 40)):
                    found = _within(begin, end, margin, least, size)
                    length = min(size, max(end - begin + 2 * margin, least))
                    assert 0 <= found.start <= begin
                    assert end <= found.stop <= size
                    assert found.stop - found.start == length
                    off = (found.start + found.stop) - (begin + end)
                    assert off in (-1, 0) or found.start == 0 or found.stop == size
    mask = torch.zeros(1, 1, 40, 60, dtype=torch.bool)
    mask[..., 10:15, 20:23] = True
    ((rows, columns),) = Inpainting().windows(Given(torch.zeros(1, 3, 40, 60), mask), 0)
    assert (rows, columns) == (slice(7, 18), slice(17, 26))
    assert Inpainting().windows(Given(torch.zeros(1, 3, 40, 60), mask & False), 0) == [(slice(0, 40), slice(0, 60))]


def test_bands_are_as_wide_as_their_share():
    task, want = Uncropping(share=0.4), {"left": (4, 0, 0, 0), "right": (0, 4, 0, 0), "top": (0, 0, 3, 0)}
    for side, bands in (want | {"bottom": (0, 0, 0, 3), "all": (1, 1, 1, 1)}).items():
        assert tuple(task._bands((7, 10), side)) == bands, side
    assert tuple(task._bands((13, 18), "all")) == (2, 2, 1, 2)
    assert side_of((7, 10), (1, 2, 3, 2))[0, 0].int().tolist() == [
        [int(y < 3 or y > 4 or x < 1 or x > 7) for x in range(10)] for y in range(7)
    ]
    drawn = Uncropping(around=0.3).holes(torch.zeros(400, 3, 4, 4), Stream(2, range(400)))
    around = drawn[:, 0].any(1).all(1) & drawn[:, 0].any(2).all(1)
    assert around.float().mean().item() == pytest.approx(0.3, abs=0.07)


def test_randomness_of_a_picture_is_that_of_its_samples():
    x = torch.tensor([-1.0, 0.0, 0.2, 1.0, 3.0, -3.0]).view(1, 1, 2, 3)
    bytes_ = bytes([0, 128, 153, 255, 255, 0])
    assert torch.equal(own_stream(x, 5).uniform(), Stream(5, [zlib.crc32(bytes_)]).uniform())
    assert torch.equal(own_stream(x).uniform(), Stream(0, [zlib.crc32(bytes_)]).uniform())
    clean = picture(2, 3, 12, 12)
    noisy = round8(clean + 25 / 127.5 * own_stream(clean).normal(clean))
    assert torch.equal(Denoising().degrade(clean).image, noisy)
    assert not torch.equal(Denoising().degrade(clean, rng=Stream(0, [0, 1])).image, noisy)
    given, task = Inpainting(measured="boxes").degrade(clean), Inpainting(measured="boxes", measured_area=0.25)
    assert torch.equal(given.mask, masks((12, 12), own_stream(clean), 0.0, (0.25, 0.25)))
    assert torch.equal(given.image, torch.where(given.mask, own_stream(clean, 1).normal(clean), clean))
    strokes = masks((12, 12), own_stream(clean), 1.0, (0.25, 0.25))
    assert torch.equal(Inpainting().degrade(clean).mask, strokes)
    alpha = torch.ones(1, 12, 12)
    alpha[..., 3] = 0.499
    alpha[..., 4] = 0.5
    taken = task.take(Picture(clean[0], alpha))
    assert torch.equal(taken.mask, (torch.arange(12) == 3).expand(1, 1, 12, 12))
    assert torch.equal(taken.image[..., 3], Stream(mix(0, 0x401E), [0]).normal(clean[:1])[..., 3])
    walks = Seeds([0])(clean[:1])  # what the walk begins with is another noise, as in training
    assert not torch.equal(taken.image[..., 3], walks[..., 3])


def test_a_filling_found_small_is_moved_to_what_is_known():
    """A constant error is taken away in the hole too, and what is known is as it was; the result is in range."""
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 4:9, 5:11] = True
    clean = torch.full((1, 3, 16, 16), 0.4)
    made = joined(clean + 0.2, Given(torch.where(mask, 7.0, clean), mask))
    torch.testing.assert_close(made, clean, atol=1e-5, rtol=0)
    assert joined(clean + 0.2, Given(clean)).max() == pytest.approx(0.6)
    high = joined(torch.where(mask, 1.5, clean), Given(clean, mask))
    assert high.max() == 1
    inside = Inpainting().finish(torch.where(mask, 1.5, clean), Given(clean * 2.6, mask))
    assert torch.equal(inside, torch.where(mask, 1.0, clean * 2.6))


def test_jpegs_are_visited_once_on_the_way_and_often_at_the_end(monkeypatch):
    asked = []

    def project(self, x, *, inset, rounds):
        asked.append((inset, rounds))
        return x + 2

    task, clean = JpegRestoration(), picture(2, 3, 16, 16)
    given = task.degrade(clean)
    assert isinstance(given.files[0], JpegBins)
    monkeypatch.setattr(JpegBins, "project", project)
    assert torch.equal(task.project(clean, given), clean + 2)
    assert asked == [(INSET, 1)] * 2
    assert torch.equal(task.finish(clean, given), torch.ones_like(clean))
    assert asked[2:] == [(INSET, 100)] * 2
    assert torch.equal(task.finish(clean + 3, given._replace(files=None)), (clean + 3).clamp(-1, 1))


def test_half_of_the_jpegs_of_training_have_half_the_chroma(monkeypatch):
    seen = {}

    def compress(x, quality, *, halved):
        seen[halved] = quality.tolist()
        return x * 0 + (1 if halved else -1)

    monkeypatch.setattr("sr3.task.jpeg_restoration.compress", compress)
    clean = torch.zeros(300, 3, 2, 2)
    for share in (0.0, 0.3, 1.0):
        seen.clear()
        made = JpegRestoration(halved=share, low=7, high=9).degrade(clean, rng=Stream(0, range(300))).image
        assert (made[:, 0, 0, 0] == 1).float().mean().item() == pytest.approx(share, abs=0.08 if share == 0.3 else 0)
        assert {q for qualities in seen.values() for q in qualities} == {7, 8, 9}
        assert len(seen.get(True, [])) == int((made[:, 0, 0, 0] == 1).sum())


def test_classes_are_told_by_name_by_number_or_in_turn():
    named, counted = Generation(8, classes=("cat", "1", "dog")), Generation((8, 6), classes=12)
    assert [named.number(n) for n in ("cat", "1", "dog", 0, 2, "2")] == [0, 1, 2, 0, 2, 2]
    assert [counted.number(n) for n in ("0", 11)] == [0, 11]
    with pytest.raises(ValueError, match="there is no class '3'; there are cat, 1, dog$"):
        named.number("3")
    with pytest.raises(ValueError, match="there is no class 12; there are 0, 1, 2, 3, 4, 5, 6, 7 and 4 more"):
        counted.number(12)
    with pytest.raises(ValueError, match="^there is no class 8; there are 0, 1, 2, 3, 4, 5, 6, 7$"):
        Generation(classes=8).number(8)
    with pytest.raises(ValueError, match="no classes"):
        Generation().number(0)
    assert counted.prepare(counted.empty(14)).label.tolist() == [*range(12), 0, 1]
    told = torch.tensor([5, 5])
    assert counted.prepare(counted.empty(2, told)).label is told
    assert Generation().prepare(Generation().empty(2)).label is None
    assert (counted.sides, counted.channels, counted.factor) == ((8, 6), 0, 1)
    assert counted.empty(2).image.shape == (2, 0, 8, 6)


def test_super_resolution_says_and_does_the_same_at_another_size():
    task, x = SuperResolution(2), picture(1, 3, 8, 12)
    given = task.degrade(x)
    assert (task.channels, task.border, task.result_size(given)) == (3, 2, (8, 12))
    assert torch.equal(task.reduced(given, (3, 4)).image, resize(given.image, (3, 4)))
    assert task.windows(given, 0) == [(slice(0, 4), slice(0, 6))]
    small = picture(1, 3, 4, 4, seed=1) * 3
    wide = task.enlarged(small, given, given)
    assert torch.equal(wide, resize(small, (8, 12)).clamp(-1, 1))
    assert torch.equal(task.again(x, given), given.image)
    assert task.certain(given) == "the picture given, exactly"


def test_what_would_be_given_again_is_on_0_to_1_as_measures_have_it():
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(Denoising(), x, Given(2 * x - 1)), x)
    small = SuperResolution(2).degrade(2 * x - 1)
    assert torch.equal(again(SuperResolution(2), x, small), (small.image + 1) / 2)
