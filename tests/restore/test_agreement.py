"""What results are held to: chosen from the file, kept at the end, and the same whatever the tile."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image, ImageCms

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture import jpeg_twin
from sr3.picture.image import from_any as read_any
from sr3.picture.image import read
from sr3.picture.jpeg import JpegBins, cosines
from sr3.picture.picture import Picture
from sr3.picture.resize import round8, shrink
from sr3.random import Stream, staged
from sr3.restore.agreement import FREE, Agreement, agreement, taken
from sr3.restore.restorer import Progress, Restorer
from sr3.task import TASKS, Generation, Given, SuperResolution
from sr3.task.damage import Damage
from sr3.task.data_term import Exact, InBins, Soft

BINS = "the JPEG file's quantisation bins"


@pytest.fixture
def restorer(tiny):
    return Restorer(tiny, device="cpu", precision="fp32")


@pytest.fixture
def regression(tiny):
    return Restorer(Model(tiny_config(kind="regression"), tiny.net), device="cpu", precision="fp32")


def saved(path: Path, picture: Image.Image | None = None, **options: object) -> Path:
    (picture or noise_picture(30, 21, seed=2)).save(path, **options)  # type: ignore[arg-type]
    return path


def chosen(path: Path, **options: float) -> Agreement:
    return agreement(SuperResolution(), path, read(path), **options)


def inside(path: Path, made: Picture) -> float:
    """The share of coefficients in the file's bins, of the result as a file of 8 bits holds it."""
    return JpegBins.of(path).agree(shrink(round8(made.pixels.expand(3, -1, -1)[None]), 4))


# what is chosen


def test_the_file_decides(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for n, options in enumerate(
        ({}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"icc_profile": icc}, {"quality": 100})
    ):
        assert chosen(saved(tmp_path / f"{n}.jpg", **options)).said == BINS, options
    assert chosen(saved(tmp_path / "grey.jpg", noise_picture(9, 9).convert("L"))).said == BINS
    dots = (np.random.default_rng(0).integers(0, 2, (20, 24, 3)) * 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    for quality in (10, 30, 95):  # no coder copes with them: decoded, luma is 6 steps of 8 bits outside
        assert chosen(saved(tmp_path / "dots.jpg", Image.fromarray(dots), quality=quality)).said == BINS
    saved(tmp_path / "a.jpg").rename(tmp_path / "named.png")  # what is in it counts, not its name
    assert chosen(tmp_path / "named.png").said == BINS
    for name in ("a.png", "a.webp", "a.tif"):
        assert chosen(saved(tmp_path / name)) == Agreement(Exact(), 1.0, "")
    assert agreement(Generation(), tmp_path / "named.png", read(tmp_path / "named.png")).said == (
        "what its task was given"
    )
    assert agreement(SuperResolution(), None, read(tmp_path / "named.png")).said == "the picture given, exactly"


def test_tasks_say_what_is_certain(tmp_path):
    """Nothing is said to be held to that is not: a noisy picture, or a JPEG whose file nobody has."""
    plain, jpeg = saved(tmp_path / "a.png"), saved(tmp_path / "a.jpg", quality=20)
    data = bytearray(saved(tmp_path / "b.jpg", quality=20).read_bytes())
    (tmp_path / "b.jpg").write_bytes(data.replace(b"\xff\xc0", b"\xff\xc9", 1))  # arithmetic codes, it says
    several = TASKS["several"]().as_kind("jpeg-restoration")
    restoration = TASKS["jpeg-restoration"]()
    for task, path, said in (
        (TASKS["denoising"](), jpeg, "nothing"),
        (restoration, plain, "nothing"),
        (restoration, jpeg, BINS),
        (several, jpeg, BINS),
        (several, plain, "nothing"),
    ):
        given, picture = taken(task, read(path), path)
        assert agreement(task, path, picture, given=given).said == said
    given, _ = taken(restoration, read(jpeg), tmp_path / "b.jpg")
    assert given.files is None
    hole = TASKS["inpainting"]().degrade(read(plain).rgb)
    assert agreement(TASKS["inpainting"](), plain, read(plain), given=hole).said == "the pixels around the hole"
    grey = TASKS["colorization"]().degrade(read(plain).rgb)
    assert agreement(TASKS["colorization"](), plain, read(plain), given=grey).said == "the luminance given"
    assert SuperResolution().certain(given) == "the picture given, exactly"


def test_a_jpeg_is_restored_within_its_bins(tmp_path):
    """By whatever way its file comes: through the restorer too."""
    torch.manual_seed(0)
    model = Model(tiny_config(task={"kind": "jpeg-restoration"}))
    for p in model.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    path, use = saved(tmp_path / "a.jpg", quality=60), Restorer(model, device="cpu", precision="fp32")
    held, free = use.restore(path), use.restore(path, free=True)
    assert (held.held, free.held, use.restore(read(path)).held) == (BINS, "nothing", "nothing")
    same, other = (JpegBins.of(path).agree(round8(x.variants[0].pixels[None])) for x in (held, free))
    assert same > 0.999
    assert other < 0.99


def test_noise_that_is_seen_is_not_held_to(tmp_path):
    samples = np.full((80, 90, 3), 128.0) + 12 * np.random.default_rng(0).normal(size=(80, 90, 3))
    noisy = Image.fromarray(samples.round().clip(0, 255).astype(np.uint8))
    path = saved(tmp_path / "noisy.png", noisy)
    found = chosen(path).term
    assert isinstance(found, Soft)
    assert found.sigma == pytest.approx(12, rel=0.08)
    assert "(estimated)" in chosen(path).said
    assert chosen(path, noise=0).term == Exact()
    assert chosen(path, noise=7).term == Soft(7, "given")
    again = saved(tmp_path / "noisy.jpg", noisy, quality=95)
    assert chosen(again).said == BINS
    widened = chosen(again, noise=7).term
    assert isinstance(widened, InBins)
    assert widened.sigma == 7


def test_bins_that_cannot_be_had_are_said(tmp_path):
    good = saved(tmp_path / "good.jpg", quality=90)
    data, picture = good.read_bytes(), read(good)
    (tmp_path / "arithmetic.jpg").write_bytes(data.replace(b"\xff\xc0", b"\xff\xc9", 1))
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    saved(tmp_path / "other.jpg", noise_picture(30, 21, seed=9), quality=90)
    saved(tmp_path / "larger.jpg", noise_picture(31, 21))
    for name, says in {
        "arithmetic": "arithmetic-coded",
        "half": "damaged",
        "other": "steps of 8 bits from its pixels",
        "larger": "31x21",
    }.items():
        found = agreement(SuperResolution(), tmp_path / f"{name}.jpg", picture)
        assert found.term == Exact()
        assert found.said.startswith("the picture given, exactly (not in its JPEG bins: the file")
        assert says in found.reason
        assert str(tmp_path) not in found.said
    inks = saved(tmp_path / "inks.jpg", noise_picture(24, 16).convert("CMYK"))
    assert "4 components" in chosen(inks).reason
    assert chosen(inks, noise=5).term == Soft(5)


def test_what_is_out_of_range_is_refused(restorer):
    picture = noise_picture(6, 6)
    for wrong in (-0.1, 1.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="fidelity"):
            restorer(picture, fidelity=wrong)
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="noise"):
            restorer(picture, noise=wrong)


# what comes of it


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30},
        {"quality": 75, "subsampling": 0},
        {"quality": 75, "subsampling": 1, "progressive": True},
        {"quality": 95},
        {"quality": 95, "subsampling": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["diffusion", "regression"])
def test_results_of_jpegs_are_in_their_bins(tmp_path, restorer, regression, kind, options):
    """Of a network that knows nothing too, and where colours end at black and white."""
    picture = noise_picture(45, 37, seed=5).point(lambda v: min(255, max(0, 2 * v - 128)))
    path = saved(tmp_path / "a.jpg", picture, **options)
    use = restorer if kind == "diffusion" else regression
    held, free = use.restore(path, seed=3), use.restore(path, seed=3, free=True)
    assert held.held == BINS
    assert free.held == "nothing"
    assert inside(path, free.variants[0]) < 0.97
    assert inside(path, held.variants[0]) >= 0.998


@pytest.mark.parametrize("turned", [1, 2, 6, 7])
def test_turned_and_grey_files(tmp_path, restorer, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    for mode in ("RGB", "L"):
        path = saved(tmp_path / f"{mode}.jpg", noise_picture(40, 24).convert(mode), quality=80, exif=exif)
        made = restorer.restore(path).variants[0]
        assert made.size == ((96, 160) if turned > 4 else (160, 96))
        assert made.pixels.shape[0] == len(mode)
        assert inside(path, made) >= 0.99


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("tile", [16, 24, 40])
def test_the_tile_does_not_matter(tiny, tmp_path, name, tile):
    """What a result is held to is applied to the whole, so that no block of a JPEG lies across tiles."""
    path = saved(tmp_path / name)
    pieces, whole = (
        Restorer(tiny, device="cpu", precision="fp32", tile=t).restore(path, noise=4.0, samples=2, seed=8)
        for t in (tile, 10_000)
    )
    for a, b in zip(pieces.variants, whole.variants):
        torch.testing.assert_close(a.pixels, b.pixels, atol=1e-4, rtol=0)
    assert "noise of sigma 4" in pieces.held


def test_soft_results_stay_as_near_as_noise(restorer):
    """No coefficient of the difference to the picture given is beyond two sigma, where a free result's are."""
    picture, sigma = noise_picture(24, 16), 3.0
    given = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].double() / 127.5 - 1

    def most(**options: float) -> float:
        made = shrink(restorer.restore(picture, seed=1, **options).variants[0].pixels[None].double(), 4)
        blocks = cosines() @ jpeg_twin.split(made - given) @ cosines().T
        return blocks.abs().max().item() * 127.5

    assert most(noise=sigma) < 2 * sigma + 1
    assert most(free=True) > 2.5 * sigma
    assert most() < 1


def test_fidelity_is_a_share_of_the_way(regression):
    """A regression's result reduces to what lies between its own answer and what it is held to."""
    samples = (np.asarray(noise_picture(12, 10)) // 4 + 96).astype(np.uint8)  # far from black and white
    given = torch.from_numpy(samples).permute(2, 0, 1).float() / 127.5 - 1
    free, part, full = (regression.restore(samples, fidelity=f).variants[0].pixels for f in (0, 0.3, 1))
    torch.testing.assert_close(part, free + 0.3 * (full - free), atol=1e-5, rtol=0)
    torch.testing.assert_close(shrink(full[None], 4)[0], given, atol=1e-5, rtol=0)
    assert (free - full).abs().max() > 0.01
    assert regression.restore(samples, fidelity=0.3).held == "0.3 of the way to the picture given, exactly"


def test_the_ends_of_the_scale(restorer, tmp_path):
    path = saved(tmp_path / "a.png")
    given, how = Given(read(path).rgb), restorer.settings()
    for fidelity, options in ((0.0, {"free": True}), (1.0, {})):
        made = restorer.restore(path, seed=4, fidelity=fidelity).variants[0].pixels
        assert torch.equal(made[None], restorer.make(given, [4], settings=how, **options))
    assert torch.equal(restorer.make(given, [4], held=FREE), restorer.make(given, [4], free=True))
    near, far = (restorer.restore(path, seed=4, fidelity=f).variants[0].pixels for f in (0.9, 0.1))
    off = [(shrink(x[None], 4) - given.image).abs().mean() for x in (near, far)]
    assert off[0] < 0.5 * off[1]


def test_every_step_is_held(restorer, tmp_path):
    """Not the end alone: each estimate's reduction is in the bins, but for what one visit leaves."""
    path = saved(tmp_path / "a.jpg", quality=50)
    bins = JpegBins.of(path)
    for step in restorer.stream(path):
        if isinstance(step, Progress):
            assert step.held == BINS
            assert bins.agree(shrink(step.step.x0, 4)) > 0.99


def test_a_second_pass_is_held_to_the_first(restorer, tmp_path):
    """What it is given is no file, and has no bins."""
    path = saved(tmp_path / "a.jpg", noise_picture(9, 8), quality=80)
    once, twice = (restorer.restore(path, scale=scale).variants[0].pixels for scale in (4, 16))
    torch.testing.assert_close(shrink(twice[None], 4)[0], once, atol=0.05, rtol=0)


@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_a_second_pass_goes_as_far_as_the_first(regression, fidelity):
    """Half held, half free: each pass by the share that was asked for."""
    picture = noise_picture(7, 6)
    given = Given(read_any(picture).rgb)
    held = Agreement(share=fidelity)
    first = regression.make(given, [2], held=held)
    second = regression.make(Given(first), [staged(2, 1)], held=held)
    made = regression.restore(picture, scale=16, seed=2, fidelity=fidelity, noise=0).variants[0].pixels
    assert torch.equal(made[None], second)
    others = [Agreement(share=share) for share in (0.0, 0.5, 1.0) if share != fidelity]
    assert all(not torch.equal(regression.make(Given(first), [0], held=other), second) for other in others)


def test_use_sees_what_training_made(restorer, tmp_path, monkeypatch):
    """From training's damage by a file, and through the restorer: the network is shown the same tensors."""
    seen: list[torch.Tensor] = []
    prepare = SuperResolution.prepare

    def watched(task: SuperResolution, given: Given) -> object:
        example = prepare(task, given)
        seen.append(example.cond)
        return example

    monkeypatch.setattr(SuperResolution, "prepare", watched)
    none = dict.fromkeys(("clean", "twice", "blur", "noise", "sharpen", "webp"), 0.0)
    clean = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(6)) - 0.5
    clean = torch.nn.functional.interpolate(clean, size=(128, 192), mode="bicubic")
    small = ((round8(shrink(clean, 4))[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    for halved in (0.0, 1.0):
        damage = Damage(**none, jpeg=1, kernels=(1, 0, 0, 0), quality=(60, 60), halved=halved)
        plans = ((n, damage.plans((128, 192), 4, Stream(0, [n]))[0][-1].values) for n in range(5000))
        number = next(n for n, values in plans if values[1:] == (0, 0))  # its blocks begin where a file's do
        made = SuperResolution(4, damage=damage).degrade(clean, rng=Stream(0, [number]))
        path = saved(tmp_path / "a.jpg", Image.fromarray(small), quality=60, subsampling=2 if halved else 0)
        restorer(path)
        wanted = prepare(SuperResolution(4), made).cond
        # chroma's last row and column come from what lies beyond a crop, and not beyond a file
        edge = 12 if halved else 0
        torch.testing.assert_close(
            seen[-1][..., : 128 - edge, : 192 - edge], wanted[..., : 128 - edge, : 192 - edge], atol=2e-6, rtol=0
        )
    plain = SuperResolution(4).degrade(clean)
    restorer(saved(tmp_path / "a.png", Image.fromarray(small)))
    torch.testing.assert_close(seen[-1], prepare(SuperResolution(4), plain).cond, atol=2e-6, rtol=0)


def test_pictures_in_memory_are_no_files(restorer):
    """A PIL image that was opened from a JPEG is a picture like any other: nobody knows what was done to it since."""
    file = io.BytesIO()
    noise_picture(12, 12).save(file, "JPEG")
    assert restorer.restore(Image.open(file)).held == "the picture given, exactly"
