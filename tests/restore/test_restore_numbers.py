"""The small parts of restoring, number by number: sizes, holes, what pictures need, ramps, steps and maps."""

import errno
import io
import math
import re
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize
from sr3.restore.agreement import FREE, HELD, Agreement, agreement, taken
from sr3.restore.choose import needs, quality
from sr3.restore.fault import EXTRAS, code_and_sentence
from sr3.restore.fill import plan, ramp
from sr3.restore.keep import Keep
from sr3.restore.places import Mask, bands, check_bands, hole, mark_of, read_mask
from sr3.restore.restored import restored, spread
from sr3.restore.size import check_sides, fitted, passes, target_size
from sr3.restore.tiles import check_tile
from sr3.restore.usual import usual
from sr3.task import Given
from sr3.task.data_term import Exact, InBins, Soft
from sr3.task.denoising import Denoising
from sr3.task.inpainting import Inpainting
from sr3.task.super_resolution import SuperResolution


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def jpeg(picture: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def test_a_size_is_given_or_comes_of_a_scale():
    assert target_size((10, 21), 4, None, None) == (40, 84)
    assert target_size((10, 21), 4, 2.5, None) == (25, 52)
    assert target_size((10, 21), 4, None, (10, 21)) == (10, 21)
    assert target_size((10, 21), 4, None, (10, 22)) == (10, 22)
    with pytest.raises(ConfigError, match="not both"):
        target_size((10, 21), 4, 2.0, (40, 84))
    for small in ((9, 30), (30, 20)):
        with pytest.raises(PictureError, match=f"{small[0]}x{small[1]} is smaller than the picture's 10x21"):
            target_size((10, 21), 4, None, small)


@pytest.mark.parametrize(
    ("box", "fit", "want"),
    [
        ((100, 100), "inside", (100, 50)),
        ((100, 100), "cover", (200, 100)),
        ((100, 100), "stretch", (100, 100)),
        ((100, None), "inside", (100, 50)),
        ((None, 100), "cover", (200, 100)),
        ((None, 100), "stretch", (200, 100)),
        ((7, 90), "inside", (7, 4)),
        ((1, 1), "inside", (1, 1)),
    ],
)
def test_a_picture_fits_a_box(box, fit, want):
    assert fitted((40, 20), box, fit) == want
    assert fitted((1, 500), (100, 100), "inside") == (1, 100)
    assert fitted((500, 1), (100, 100), "inside") == (100, 1)
    with pytest.raises(ConfigError, match="there is no fit 'insid'; did you mean inside"):
        fitted((40, 20), box, "insid")


def test_a_model_that_enlarges_nothing_is_used_once():
    assert passes((10, 10), (40, 40), 1) == 1
    assert passes((10, 10), (41, 10), 2) == 3
    assert passes((10, 20), (40, 20), 2) == 2


def test_pictures_are_as_large_as_their_model_is_for():
    config = tiny_config(sides=(8, 32))
    check_sides(tiny_config(), (1, 10_000), 9)
    for size, larger in (((8, 32), 1), ((8, 8), 4), ((8, 16), 2)):
        check_sides(config, size, larger)
    for size, larger, says in (
        ((7, 20), 1, "8 to 32 pixels a side, and this one has 7x20; too little is left to go by"),
        ((20, 7), 1, "20x7; too little"),
        ((8, 33), 1, "8x33; crop it closely"),
        ((8, 9), 4, "enlarge its own result, 32x36, and is for pictures of at most 32 pixels"),
    ):
        with pytest.raises(PictureError, match=says):
            check_sides(config, size, larger)


def test_tiles_are_larger_than_what_they_overlap_by():
    bounded, whole = (Model(tiny_config(network={**tiny_config().network, **more})) for more in ({}, {"attention": 1}))
    check_tile(bounded, 1)
    check_tile(whole, 64)
    with pytest.raises(ConfigError, match="a tile of 0 pixels is too small; give at least 1"):
        check_tile(bounded, 0)
    with pytest.raises(ConfigError, match="a tile of 63 pixels .* overlap by 32 pixels; give at least 64"):
        check_tile(whole, 63)


def test_the_usual_model_is_another_for_refinement():
    assert usual(refined=False) == ("photo-4x-fast", "the default")
    assert usual(refined=False, scale=2.1) == ("photo-4x-fast", "the default")
    for scale in (1, 2):
        assert usual(refined=False, scale=scale) == ("photo-2x", "for scales up to 2")
    for scale in (None, 2, 4):
        assert usual(refined=True, scale=scale) == ("photo-4x", "for refinement")
        assert usual(refined=False, scale=scale, jpeg=True) == usual(refined=False, scale=scale)
    name, why = usual(refined=True, jpeg=True)
    assert name == "photo-4x"
    assert "undamaged pictures alone" in why


def test_a_model_of_one_step_has_one_quality():
    sampling = tiny_config().sampling
    one, two = (Model(tiny_config(sampling=sampling.model_copy(update={"steps": n}))).walk for n in (1, 2))
    asked = {"sampler": None, "spacing": None, "samples": 1}
    assert one.settings(steps=None, quality="best", **asked) == one.settings(steps=None, quality=None, **asked)
    assert one.settings(steps=1, quality="fast", **asked) == one.settings(steps=None, quality=None, **asked)
    for told in ({"steps": 3}, {"sampler": "heun"}, {"spacing": "t"}):
        with pytest.raises(ConfigError, match=f"tiny takes one step, whatever its {next(iter(told))}; leave that out"):
            one.settings(**{"steps": None, "quality": None, **asked, **told})
    tuned = tiny_config(sampling=sampling.model_copy(update={"steps": 1}), quality={"best": sampling})
    assert Model(tuned).walk.settings(steps=3, quality=None, **asked).steps == 3  # the search chose one of many
    with pytest.raises(ConfigError, match="has not been tuned"):
        two.settings(steps=None, quality="best", **asked)
    with pytest.raises(ConfigError, match="there is no quality .bset.; did you mean best"):
        one.settings(steps=None, quality="bset", **asked)


@pytest.mark.parametrize("q", [1, 10, 49, 50, 51, 75, 95, 100])
def test_the_quality_of_a_jpeg_is_pillows(q):
    assert quality(jpeg(noise_picture(16, 16), quality=q)) == q


def test_what_cannot_be_looked_into_has_no_quality():
    with pytest.raises(PictureError, match="tables cannot be read"):
        quality(b"\xff\xd8\xff\xe0 and no more")


def test_a_picture_says_what_it_needs():
    colours = torch.full((3, 32, 32), 0.2)
    colours[0] = -0.3

    def kinds(picture, file=None, **more):
        return [need.kind for need in needs(picture, file, **more)]

    assert kinds(Picture(colours)) == []
    assert kinds(Picture(colours), hole=True) == ["inpainting"]
    assert kinds(Picture(colours[:1])) == kinds(Picture(colours[1:2].expand(3, -1, -1))) == ["colorization"]
    for alpha, found in ((0.49, ["inpainting"]), (0.5, [])):
        seen = torch.ones(1, 32, 32)
        seen[0, 3, 4] = alpha
        assert kinds(Picture(colours, seen)) == found
    noisy = Picture(0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    (need,) = needs(noisy)
    assert need.kind == "denoising"
    assert need.why.startswith("it has noise of sigma 1")
    for q, found in ((59, ["jpeg-restoration"]), (60, [])):
        assert kinds(noisy, jpeg(noise_picture(16, 16), quality=q)) == found
    assert kinds(noisy, b"\xff\xd8\xff") == []
    assert next(needs(noisy, jpeg(noise_picture(16, 16), quality=59))).why == "it is a JPEG file of quality 59"


def test_a_ramp_falls_in_equal_steps_around_the_hole():
    mask = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    mask[..., 4, 4] = True
    away = torch.maximum(*((torch.arange(9) - 4).abs().view(shape).expand(9, 9) for shape in ((9, 1), (1, 9))))
    for wide in (0, 1, 3):
        want = (1 - away / (wide + 1)).clamp(min=0)
        torch.testing.assert_close(ramp(mask, wide)[0, 0], want)


def test_steps_add_up_and_double_the_area_at_most():
    assert plan((10, 10), (0, 10, 0, 0)) == [(0, 10, 0, 0)]
    assert plan((10, 10), (0, 11, 0, 0)) == [(0, 10, 0, 0), (0, 1, 0, 0)]
    assert plan((1, 1), (1, 1, 1, 0)) == [(1, 1, 1, 0)]
    assert plan((8, 8), (0, 0, 0, 0)) == []
    assert plan((1, 1), (3, 3, 3, 3))[0] == (1, 1, 1, 1)  # nine times as large, as there is no less
    for size, sides in (((8, 6), (3, 40, 17, 0)), ((100, 50), (100, 100, 50, 50))):
        steps = plan(size, sides)
        assert [sum(k) for k in zip(*steps, strict=True)] == list(sides)
        wide, high = size
        for left, right, top, bottom in steps:
            before, wide, high = wide * high, wide + left + right, high + top + bottom
            assert before < wide * high <= 2 * before


def test_a_hole_is_by_mask_by_boxes_or_by_alpha(tmp_path):
    picture, file = Picture(pixels(3, 6, 8)), Path("a.png")
    found, same = hole(picture, file, None, [(2, 1, 3, 2), (7, 5, 1, 1)])
    want = torch.zeros(6, 8, dtype=torch.bool)
    want[1:3, 2:5] = True
    want[5, 7] = True
    assert torch.equal(found[0, 0], want)
    assert same is picture
    mask = Mask(Path("m.png"), want[None, None] & (torch.arange(8) < 4))
    assert torch.equal(
        hole(picture, file, mask, [(7, 5, 1, 1)])[0][0, 0], mask.hole[0, 0] | (want & (want.sum(0) == 1))
    )
    alpha = torch.ones(1, 6, 8)
    alpha[0, 2, 3], alpha[0, 2, 4] = 0.49, 0.5
    through = Picture(picture.pixels, alpha)
    found, opaque = hole(through, file, None, [])
    assert found.nonzero().tolist() == [[0, 0, 2, 3]]
    assert opaque.alpha is None
    # what is made can be seen, and all else is as transparent as it was
    found, seen = hole(through, file, mask, [])
    assert torch.equal(seen.alpha[0], torch.where(found[0, 0], 1.0, alpha[0]))
    assert seen.alpha[0, 2, 4] == 0.5
    assert alpha[0, 2, 3] == torch.tensor(0.49)
    assert hole(through, file, None, [(3, 2, 2, 1)])[1].alpha is None
    for box in ((6, 0, 3, 1), (0, 5, 1, 2)):
        with pytest.raises(PictureError, match="is not inside a.png, which is 8x6"):
            hole(picture, file, None, [box])
    hole(picture, file, None, [(5, 0, 3, 1), (0, 4, 1, 2)])
    for wrong, boxes, of, says in (
        (Mask(Path("m.png"), mask.hole[..., :7]), [], picture, "the mask m.png is 7x6 and a.png is 8x6"),
        (None, [], picture, "nothing says where the hole of a.png is"),
        (None, [], Picture(picture.pixels, torch.ones(1, 6, 8)), "a.png has no transparent pixel"),
        (Mask(Path("m.png"), mask.hole & False), [], picture, "m.png is black all over"),
        (None, [(0, 0, 8, 6)], picture, "all of a.png would be made anew"),
    ):
        with pytest.raises(PictureError, match=says):
            hole(of, file, wrong, boxes)
    Image.fromarray(np.where(want.numpy(), 32, 31).astype(np.uint8)).save(tmp_path / "m.png")
    read = read_mask(tmp_path / "m.png")
    assert torch.equal(read.hole[0, 0], want)
    assert read.mark == f"{zlib.crc32(bytes(want.byte().flatten().tolist())):08x}"


def test_marks_tell_pixels_and_alpha_apart():
    x, alpha = pixels(3, 4, 5), torch.rand(1, 4, 5)
    bytes_ = x.numpy().tobytes()
    assert mark_of(Picture(x)) == f"{zlib.crc32(bytes_):08x}"
    assert mark_of(Picture(x, alpha)) == f"{zlib.crc32(bytes_ + alpha.numpy().tobytes()):08x}"
    assert Mask(Path("m"), torch.zeros(1, 1, 1, 1, dtype=torch.bool)).mark == "d202ef8d"  # with its zeros in front
    assert len(mark_of(Picture(torch.zeros(1, 1, 1)))) == 8


def test_bands_are_pixels_or_lead_to_a_size():
    source = Path("a.png")
    assert bands(source, (10, 8), (1, 2, 3, 4), None) == (1, 2, 3, 4)
    assert bands(source, (10, 8), (0, 0, 0, 0), (13, 8)) == (1, 2, 0, 0)
    assert bands(source, (10, 8), (0, 0, 0, 0), (10, 13)) == (0, 0, 2, 3)
    for to in ((10, 8), (9, 20), (20, 7)):
        with pytest.raises(PictureError, match=f"a.png is 10x8 and {to[0]}x{to[1]} is no larger"):
            bands(source, (10, 8), (0, 0, 0, 0), to)
    check_bands((0, 1, 0, 0), None)
    check_bands((0, 0, 0, 0), (5, 5))
    for sides, to in (((0, 0, 0, 0), None), ((1, 0, 0, 0), (5, 5))):
        with pytest.raises(ConfigError, match="and not both"):
            check_bands(sides, to)


def test_how_far_something_is_held_is_from_0_to_1_and_said():
    task, picture = SuperResolution(4), Picture(torch.full((3, 16, 16), 0.25))
    assert agreement(task, None, picture) == HELD
    assert agreement(task, None, picture, fidelity=0) is FREE
    assert agreement(task, None, picture, fidelity=0.25).said == "0.25 of the way to the picture given, exactly"
    assert (HELD.said, FREE.said) == ("the picture given, exactly", "nothing")
    for wrong in (-0.01, 1.01, math.nan):
        with pytest.raises(ConfigError, match="from 0 .free. to 1 .held."):
            agreement(task, None, picture, fidelity=wrong)
    for wrong in (-0.01, math.inf, math.nan):
        with pytest.raises(ConfigError, match="makes no sense"):
            agreement(task, None, picture, noise=wrong)
    assert agreement(task, None, picture, noise=0) == HELD
    assert agreement(task, None, picture, noise=3).term == Soft(3, "given")
    noisy = Picture(torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.1)
    seen = agreement(task, None, noisy).term
    assert isinstance(seen, Soft)
    assert seen.sigma == pytest.approx(12.75, rel=0.1)
    assert seen.source == "estimated"
    assert agreement(Denoising(), None, noisy, given=Given(noisy.pixels[None])) is FREE
    given = Given(noisy.pixels[None], torch.ones(1, 1, 64, 64) > 0)
    around = agreement(Inpainting(), None, noisy, given=given, fidelity=0.5)
    assert around == Agreement(Exact("the pixels around the hole"), 0.5)
    assert agreement(Inpainting(), None, noisy, fidelity=0.5).said == "0.5 of the way to what its task was given"


def test_a_jpeg_is_held_to_its_bins_unless_they_are_not_its():
    file = jpeg(noise_picture(16, 16), quality=80)
    with Image.open(io.BytesIO(file)) as opened:
        samples = torch.from_numpy(np.array(opened)).permute(2, 0, 1).float() / 127.5 - 1
    task, picture = SuperResolution(4), Picture(samples)
    held = agreement(task, file, picture)
    assert isinstance(held.term, InBins)
    assert (held.term.sigma, held.share, held.reason) == (0.0, 1.0, "")
    assert agreement(task, file, picture, noise=2.0).term.sigma == 2
    other = Picture(samples[:, :8])
    for noise, term in ((None, Exact()), (3.0, Soft(3.0))):
        found = agreement(task, file, other, noise=noise, fidelity=0.5)
        assert (found.term, found.share) == (term, 0.5)
        assert found.reason.startswith("not in its JPEG bins: ")
        assert ";" not in found.reason
        assert found.said.endswith(f"({found.reason})")
    assert agreement(task, b"\x89PNG", other).reason == ""


def test_a_file_is_looked_into_where_the_task_has_a_use_for_it(tmp_path):
    noise_picture(16, 16).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        samples = torch.from_numpy(np.array(opened)).permute(2, 0, 1).float() / 127.5 - 1
    from sr3.task.jpeg_restoration import JpegRestoration

    picture, task = Picture(samples), JpegRestoration()
    for source in (tmp_path / "a.jpg", str(tmp_path / "a.jpg"), (tmp_path / "a.jpg").read_bytes()):
        assert taken(task, picture, source)[0].files is not None
    assert taken(task, picture)[0].files is None
    assert taken(task, Picture(samples[:, :8]), tmp_path / "a.jpg")[0].files is None
    alpha = torch.ones(1, 16, 16)
    alpha[0, 0, 0] = 0
    given, opaque = taken(Inpainting(), Picture(samples, alpha))
    assert given.mask is not None
    assert opaque.alpha is None
    with pytest.raises(PictureError, match="nothing says"):
        taken(Inpainting(), picture)


def test_shares_of_the_way_and_walks_end_in_range():
    task, given = SuperResolution(2), Given(pixels(1, 3, 4, 4))
    made = pixels(1, 3, 8, 8, seed=1) * 1.5
    whole = task.project(made, given)
    torch.testing.assert_close(HELD.project(task, made, given), whole)
    torch.testing.assert_close(Agreement(share=0.25).project(task, made, given), made + 0.25 * (whole - made))
    assert FREE.project(task, made, given) is made
    assert torch.equal(Agreement(share=0.25).finish(task, made, given), made.clamp(-1, 1))
    assert torch.equal(HELD.finish(task, made, given), task.finish(made, given))
    clean = resize(pixels(1, 3, 3, 3), (8, 8)).clamp(-1, 1)
    given, soft = task.degrade(clean), Agreement(Soft(2.0))

    def off(x):
        small = task.reduce(x)
        return (soft.term.nearest(small, given.image, rounds=3) - small).abs().max()

    found = soft.finish(task, clean + 0.3 * made, given)
    assert found.abs().max() <= 1
    assert 127.5 * off(clean + 0.3 * made) > 5
    assert 127.5 * off(found) < 0.5


def test_what_is_kept_is_enlarged_wherever_any_of_it_is_marked():
    task, given = SuperResolution(2), Given(pixels(1, 3, 4, 5))
    where = torch.zeros(1, 1, 4, 5)
    where[..., 1, 2] = 0.2
    keep = Keep.of(task, given, where)
    want = torch.ones(8, 10, dtype=torch.bool)
    want[2:4, 4:6] = False
    assert torch.equal(keep.made[0, 0], want)
    assert torch.equal(keep.picture, task.baseline(given))
    made = pixels(1, 3, 8, 10, seed=2)
    assert torch.equal(keep.join(made), torch.where(want, made, keep.picture))
    assert torch.equal(keep.wrap(lambda x, level: x)(made, None), keep.join(made))
    for wrong in (where[..., :4], where[..., :3, :]):
        with pytest.raises(PictureError, match="give a mask of the same size"):
            Keep.of(task, given, wrong)


def test_what_comes_out_is_dressed_as_its_source():
    source = Picture(pixels(3, 4, 4), torch.rand(1, 4, 4), bits=16)
    one = restored(source, [pixels(1, 3, 8, 8) * 2])
    assert (one.mean, one.spread, one.held) == (None, None, "")
    (made,) = one.variants
    assert made.pixels.abs().max() == 1
    assert made.bits == 16
    assert torch.equal(made.alpha, resize(source.alpha[None], (8, 8))[0].clamp(0, 1))
    a, b = pixels(1, 3, 8, 8), pixels(1, 3, 8, 8, seed=1)
    two = restored(Picture(source.pixels), [a, b], hold=lambda x: x * 0.5)
    assert two.variants[0].alpha is None
    torch.testing.assert_close(two.mean.pixels, (a + b)[0] / 4)
    torch.testing.assert_close(restored(source, [a, b]).mean.pixels, (a + b)[0] / 2)
    deviation = ((a - b).abs() / 2**0.5).mean(1, keepdim=True)
    torch.testing.assert_close(spread(torch.stack([a, b])), (deviation / 0.2).clamp(max=1))
    torch.testing.assert_close(spread(torch.stack([a, b]), 1.0), (deviation / 0.1).clamp(max=1))
    torch.testing.assert_close(two.spread.pixels, (deviation[0] / 0.2).clamp(max=1) * 2 - 1)
    grey = restored(Picture(source.pixels[:1]), [a])
    torch.testing.assert_close(grey.variants[0].pixels, a[0].mean(0, keepdim=True))
    assert len(restored(Picture(source.pixels[:1]), [a], colours=True).variants[0].pixels) == 3


def test_variants_are_numbered_beside_their_mean_and_spread(tmp_path):
    a, b = pixels(1, 3, 8, 8), pixels(1, 3, 8, 8, seed=1)
    source = Picture(pixels(3, 4, 4))
    files = restored(source, [a, b]).save(tmp_path / "x.png")
    assert [f.name for f in files] == ["x-1.png", "x-2.png", "x-mean.png", "x-spread.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f.name for f in files]
    assert restored(source, [a]).save(str(tmp_path / "y.jpg"), quality=5) == [tmp_path / "y.jpg"]
    restored(source, [a]).save(tmp_path / "z.jpg")
    restored(source, [a, b]).save(tmp_path / "w.jpg", quality=5)
    assert (tmp_path / "y.jpg").stat().st_size < (tmp_path / "z.jpg").stat().st_size
    assert (tmp_path / "w-1.jpg").read_bytes() == (tmp_path / "y.jpg").read_bytes()
    assert quality((tmp_path / "z.jpg").read_bytes()) == 95
    assert restored(source, [a])._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ConfigError("a\n  b"), (2, "a b")),
        (PictureError("bad"), (1, "bad")),
        (ModuleNotFoundError("no x", name="x.y"), (2, "this needs the package x.y, which is not installed; see")),
        (
            ModuleNotFoundError("no ray", name="ray.data"),
            (2, "this needs the package ray.data, which is not installed: pip install 'sr3[ray]'"),
        ),
        (ModuleNotFoundError("no sr3.z", name="sr3.z"), None),
        (ModuleNotFoundError("no name"), None),
        (OSError(errno.ENOSPC, "No space", "f.png"), (1, "the disk is full (f.png); nothing written before is lost")),
        (OSError(errno.ENOSPC, "No space"), (1, "the disk is full; nothing written before is lost")),
        (OSError(errno.EACCES, "Permission denied", "f.png"), (1, "f.png: Permission denied")),
        (OSError("odd"), (1, "odd")),
        (MemoryError(), (1, "not enough memory; give a smaller --memory or --tile, or close")),
        (RuntimeError("CUDA Out of memory."), (1, "not enough memory")),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), (1, "not enough memory")),
        (type("TrainingError", (RuntimeError,), {})("no"), (1, "no")),
        (RuntimeError("a defect"), None),
    ],
)
def test_what_a_person_can_cause_has_a_code_and_a_sentence(error, found):
    told = code_and_sentence(error)
    assert (told is None) == (found is None)
    if told is not None and found is not None:
        assert told[0] == found[0]
        assert told[1].startswith(found[1])


def test_an_extra_is_the_one_that_brings_the_package():
    """By the distribution's name where the package is not installed here, or comes with one that is named."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    named = {
        extra: {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in ones}
        for extra, ones in project["optional-dependencies"].items()
    }
    called = {
        "skimage": "scikit-image",
        "cv2": "opencv-python-headless",
        "multipart": "python-multipart",
        **dict.fromkeys(("pandas", "pyarrow"), "ray"),
    }
    for module, extra in EXTRAS.items():
        brought = named[extra] | (named["onnx"] if extra == "export" else set())
        assert called.get(module, module.replace("_", "-")) in brought, module


@pytest.mark.parametrize(
    ("back", "paint"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((0, 0, 0), (255, 0, 0)),  # in any colour
        ((0, 0, 0), (0, 0, 90)),
        ((0, 0, 0, 0), (255, 0, 0, 255)),  # on a layer of its own
        ((255, 255, 255, 0), (255, 255, 255, 255)),  # whatever that hides
        ((255, 255, 255, 0), (0, 0, 0, 255)),
        ((9, 9, 9, 255), (255, 255, 255, 255)),
        ((0, 0, 0, 255), (255, 255, 255, 128)),
    ],
)
def test_a_mask_is_what_is_painted(tmp_path, back, paint):
    mask = Image.new("RGBA" if len(back) == 4 else "RGB", (12, 9), back)
    mask.paste(paint, (3, 2, 8, 7))
    mask.save(tmp_path / "m.png")
    want = torch.zeros(9, 12, dtype=torch.bool)
    want[2:7, 3:8] = True
    assert torch.equal(read_mask(tmp_path / "m.png").hole[0, 0], want)
    # where nothing is painted there is nothing
    Image.new(mask.mode, (12, 9), (0, 0, 0, 255)[: len(back)]).save(tmp_path / "m.png")
    assert not read_mask(tmp_path / "m.png").hole.any()
