"""The restorer: any size, exact agreement with what was given, and the same picture whatever the tile or batch."""

import io

import numpy as np
import pytest
import torch
from conftest import TINY, Spoilt, noise_picture, tiny_config
from PIL import Image

from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.image import read, read_note, to_pil
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import round8, shrink
from sr3.random import mix
from sr3.restore.restorer import Progress, Restored, Restorer, target_size
from sr3.task import Given


@pytest.fixture
def restorer(tiny):
    return Restorer(tiny, device="cpu", precision="fp32")


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 9), (5, 40)])
def test_any_size(restorer, size):
    assert restorer(noise_picture(*size)).size == (size[0] * 4, size[1] * 4)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "heun", "dpmpp"])
def test_the_result_made_small_again_is_what_was_given(restorer, sampler):
    # of little contrast, so that a picture within the range exists that shrinks to it
    given = Given(round8(torch.rand(1, 3, 12, 10) * 0.6 - 0.3))
    made = restorer.make(given, [3], settings=restorer.settings(sampler=sampler))
    torch.testing.assert_close(shrink(made, 4), given.image, atol=1e-3, rtol=0)
    free = restorer.make(given, [3], settings=restorer.settings(sampler=sampler), free=True)
    assert (shrink(free, 4) - given.image).abs().max() > 0.01


@pytest.mark.parametrize("tile", [16, 24, 40, 1000])
def test_the_tile_does_not_matter(tiny, tile):
    given = Given(torch.rand(1, 3, 37, 30) * 2 - 1)
    whole = Restorer(tiny, device="cpu", precision="fp32", tile=10_000).make(given, [1])
    made = Restorer(tiny, device="cpu", precision="fp32", tile=tile).make(given, [1])
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=0)


def test_the_batch_and_order_do_not_matter(restorer):
    images = torch.rand(3, 3, 8, 8) * 2 - 1
    together = restorer.make(Given(images), [5, 6, 7])
    alone = restorer.make(Given(images[1:2]), [6])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)
    assert (restorer.make(Given(images[1:2]), [8]) - alone).abs().max() > 0.01


def test_samples_mean_and_spread(restorer):
    picture = noise_picture(8, 8)
    result = restorer.restore(picture, samples=3, seed=4)
    assert len(result.variants) == 3
    for k, variant in enumerate(result.variants):
        torch.testing.assert_close(variant.pixels, restorer.restore(picture, seed=4 + k).variants[0].pixels)
    stack = torch.stack([v.pixels for v in result.variants])
    torch.testing.assert_close(result.mean.pixels, stack.mean(0))
    want = (stack.std(0).mean(0) / 0.2).clamp(0, 1) * 2 - 1
    torch.testing.assert_close(result.spread.pixels[0], want)


def test_it_reports_each_step(restorer):
    *steps, result = restorer.stream(noise_picture(6, 6), samples=2, steps=5)
    assert [(s.done, s.total) for s in steps if isinstance(s, Progress)] == [(k, 10) for k in range(1, 11)]
    assert isinstance(result, Restored)


def test_grey_stays_grey_and_alpha_is_enlarged(restorer):
    assert restorer(noise_picture(6, 6).convert("L")).mode == "L"
    picture = noise_picture(6, 6).convert("RGBA")
    picture.putalpha(128)
    made = restorer(picture)
    assert made.mode == "RGBA"
    assert set(np.asarray(made)[..., 3].ravel().tolist()) == {128}


@pytest.mark.parametrize(
    ("options", "size"), [({"scale": 2}, (20, 12)), ({"size": (33, 7)}, (33, 7)), ({"scale": 5.5}, (55, 33))]
)
def test_scale_and_size(restorer, options, size):
    assert restorer(noise_picture(10, 6), **options).size == size


def test_target_size_refuses():
    for options in [(0.5, None), (float("nan"), None), (65, None), (2, (100, 100))]:
        with pytest.raises(ConfigError):
            target_size((10, 10), 4, *options)
    with pytest.raises(PictureError):  # of this picture, and not of others
        target_size((10, 10), 4, None, (5, 100))


def test_a_schedule_that_ends_with_signal_left_is_refused_with_the_reason():
    short = {"kind": "linear-beta", "steps": 100}
    model = Model(tiny_config(schedule=short, residual=False, prediction={"kind": "eps"}, tell="alpha"))
    with pytest.raises(ConfigError, match="alpha-bar is still 0.6"):
        Restorer(model, device="cpu")(noise_picture(4, 4))


def test_a_regression_model_answers_at_once_and_without_noise(tiny):
    config = tiny_config(kind="regression", sampling={"sampler": {"kind": "once"}, "steps": 1})
    restorer = Restorer(Model(config, tiny.net), device="cpu", precision="fp32")
    picture = noise_picture(9, 7)
    assert np.array_equal(np.asarray(restorer(picture, seed=1)), np.asarray(restorer(picture, seed=2)))


def test_the_papers_network_is_tiled_by_blending():
    network = {"kind": "sr3-unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "resolution": 32}
    model = Model(tiny_config(network=network))
    made = Restorer(model, device="cpu", tile=64)(noise_picture(30, 20))
    assert made.size == (120, 80)
    assert TINY["kind"] == "unet"


WHOLE = {
    "attention": {**TINY, "attention": 2},
    "the paper's": {"kind": "sr3-unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "resolution": 32},
}


@pytest.mark.parametrize("network", WHOLE)
@pytest.mark.parametrize("tile", [1, 32, 33, 63])
def test_tiles_that_would_not_end_are_refused(network, tile):
    """They overlap by 32 pixels where a network sees the whole picture: 33 would add a pixel each, and 32 none."""
    with pytest.raises(ConfigError, match="sees the whole picture.* at least 64"):
        Restorer(Model(tiny_config(network=WHOLE[network])), device="cpu", tile=tile)


def test_tiles_of_the_first_model_are_looked_at_too():
    first = tiny_config(name="first", kind="regression", network=WHOLE["attention"])
    with pytest.raises(ConfigError, match="40 pixels is too small for first"):
        Restorer(Model(tiny_config(first=first.model_dump())), device="cpu", tile=40)


def test_what_is_not_finite_is_computed_again_in_fp32(tiny):
    given = Given(torch.rand(2, 3, 5, 4) * 2 - 1)
    want = Restorer(tiny, device="cpu", precision="fp32").make(given, [1, 2])
    tiny.net = Spoilt(tiny.net)
    with pytest.warns(RuntimeWarning, match="again in fp32"):
        made = Restorer(tiny, device="cpu", precision="bf16").make(given, [1, 2])
    torch.testing.assert_close(made, want, atol=1e-5, rtol=0)


def test_what_is_finite_is_not_computed_again(tiny):
    """One picture of the batch is lost, in fp32 already: it is refused, or handed over, and the other is as it was."""
    given = Given(torch.stack([torch.full((3, 4, 4), -0.5), torch.full((3, 4, 4), 0.5)]))
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    want = restorer.make(given, [1, 2])
    tiny.net = Spoilt(tiny.net, above=0)
    with pytest.raises(ConfigError, match="not finite even in fp32"):
        restorer.make(given, [1, 2])
    made = restorer.make(given, [1, 2], check=False)
    assert torch.equal(made[0], want[0])
    assert made[1].isnan().all()


def test_each_pass_has_its_own_noise(restorer):
    picture = noise_picture(4, 3)
    small = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    first = restorer.make(Given(small), [5])
    second = restorer.make(Given(first), [mix(5, 1)])
    made = restorer.restore(picture, scale=16, seed=5).variants[0]
    torch.testing.assert_close(made.pixels[None], second)
    assert (restorer.make(Given(first), [5]) - second).abs().max() > 0.01


def test_a_regression_takes_one_step_and_no_other_is_asked_of_it(tiny):
    model = Model(tiny_config(kind="regression"), tiny.net)  # its own way of sampling says 3 steps
    restorer = Restorer(model, device="cpu", precision="fp32")
    how = restorer.settings(steps=1, quality="best")
    assert (how.steps, how.sampler) == (1, {"kind": "once"})
    given = Given(torch.rand(1, 3, 4, 4) * 2 - 1)
    (step,) = restorer.refine(given, [1], settings=how)
    assert torch.equal(step.x, step.x0)
    assert [s.total for s in restorer.stream(noise_picture(4, 4)) if isinstance(s, Progress)] == [1]
    assert restorer.model.methods(8) == ["regression"]
    for wrong in ({"samples": 2}, {"quality": "superb"}, {"spacing": "t"}, {"steps": 9}, {"sampler": "heun"}):
        with pytest.raises(ConfigError):
            restorer.settings(**wrong)
    with pytest.raises(ConfigError, match="no steps to tune"):
        model.walk.tunable()


def test_methods_are_named_by_the_task(tiny):
    assert tiny.methods() == ["sr3"]
    assert tiny.methods(8) == ["sr3", "sr3-mean-8"]


def test_from_numpy_tensor_path(restorer, tmp_path):
    picture = noise_picture(7, 5)
    picture.save(tmp_path / "a.png")
    want = np.asarray(restorer(picture))
    pixels = np.asarray(picture)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
    for thing in (tmp_path / "a.png", str(tmp_path / "a.png"), pixels, tensor):
        assert np.array_equal(np.asarray(restorer(thing)), want)


def test_a_model_says_which_sizes_it_is_for(tiny):
    tiny.config = tiny.config.model_copy(update={"sides": (8, 20)})
    restorer = Restorer(tiny, device="cpu")
    assert restorer(noise_picture(8, 20)).size == (32, 80)
    for size, word in (((7, 9), "too little"), ((21, 9), "crop")):
        with pytest.raises(PictureError, match=word) as caught:
            restorer(noise_picture(*size))
        assert f"{size[0]}x{size[1]}" in str(caught.value)
    with pytest.raises(PictureError, match="its own result"):
        restorer(noise_picture(9, 9), scale=8)


def _corrector(**changes: object) -> Model:
    """A model that corrects a regression model, both with random weights."""
    torch.manual_seed(1)
    first = tiny_config(name="first", kind="regression")
    model = Model(tiny_config(first=first.model_dump(), **changes))
    for parameter in [*model.net.parameters(), *model.first.net.parameters()]:
        torch.nn.init.normal_(parameter, std=0.05)
    torch.nn.init.normal_(model.first.net.leave.weight, std=2.0)  # a guess that differs from the enlargement
    return model


def test_a_model_over_a_regression_begins_from_its_answer():
    model = _corrector()
    given = Given(torch.rand(1, 3, 9, 7) * 2 - 1)
    want = Restorer(model.first, device="cpu", precision="fp32", tile=10_000)
    guess = model.prepare(given).base
    torch.testing.assert_close(guess.clamp(-1, 1), want.make(given, [0], free=True))
    with torch.no_grad():  # a network that answers zero: EDM's estimate is that of a Gaussian of spread sigma_data
        for parameter in model.net.leave.parameters():
            parameter.zero_()
    restorer = Restorer(model, device="cpu", precision="fp32")
    settings = restorer.settings(steps=6, sampler="ddim")
    many = Given(given.image.expand(200, -1, -1, -1))
    made = torch.stack([step.x for step in restorer.refine(many, range(200), settings=settings, free=True)])[-1]
    inside = guess[0].abs() < 0.6  # clipping at the ends of the range does not reach these
    torch.testing.assert_close(made.mean(0)[inside], guess[0][inside], atol=5 * 0.1 / 200**0.5, rtol=0)
    assert (model.task.prepare(given).base - guess).abs().mean() > 0.03  # not the enlargement


@pytest.mark.parametrize("tile", [16, 40])
def test_the_tile_does_not_matter_over_a_regression_either(tile):
    given = Given(torch.rand(1, 3, 21, 30) * 2 - 1)
    model = _corrector()
    whole = Restorer(model, device="cpu", precision="fp32", tile=10_000).make(given, [1])
    made = Restorer(model, device="cpu", precision="fp32", tile=tile).make(given, [1])
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=0)


def test_a_file_holds_the_regression_too(tmp_path):
    model = _corrector()
    given = Given(torch.rand(1, 3, 8, 8) * 2 - 1)
    again = Model.from_file(model.save_pretrained(tmp_path))
    want = Restorer(model, device="cpu", precision="fp32").make(given, [1])
    made = Restorer(again, device="cpu", precision="fp32").make(given, [1])
    torch.testing.assert_close(made, want, atol=0.02, rtol=0)  # stored in half precision


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"residual": False}, "residual diffusion"),
        ({"kind": "regression"}, "residual diffusion"),
        ({"task": {"kind": "super-resolution", "factor": 2}}, "different tasks"),
    ],
)
def test_what_cannot_correct_a_regression_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        _corrector(**changes)


def test_what_python_saves_has_the_note_of_the_command_line(sr3, tiny, tmp_path):
    """So that it is not enlarged again, and is left where it would be made again."""
    noise_picture(12, 8).save(tmp_path / "a.png")
    model = tiny.save_pretrained(tmp_path / "model")
    line = ["upscale", tmp_path / "a.png", "--model", model, "--seed", 3, "--steps", 2, "--scale", 3]
    restorer = Restorer(tiny)
    ways = ([], {}), (["--fidelity", 0.5, "--noise", 4], {"fidelity": 0.5, "noise": 4.0})
    for number, (more, asked) in enumerate(ways):
        path = tmp_path / f"{number}.png"
        restorer.restore(tmp_path / "a.png", seed=3, steps=2, scale=3, **asked).save(tmp_path / "mine.png")
        assert sr3(*line, "-o", path, *more)[0] == 0
        assert read_note(tmp_path / "mine.png") == read_note(path)
    code, _, err = sr3("upscale", tmp_path / "mine.png", "--model", model)
    assert code == 2
    assert "is a result of sr3 upscale" in err


def test_weights_lie_as_convolutions_like_them(tiny):
    Restorer(tiny, device="cpu")
    assert tiny.net.enter.weight.is_contiguous(memory_format=torch.channels_last)


def test_results_show_and_save_themselves(tiny, tmp_path):
    restorer = Restorer(tiny)
    found = restorer.restore(noise_picture(12, 8), steps=1, samples=2)
    names = [p.name for p in found.save(tmp_path / "a.png")]
    assert names == ["a-1.png", "a-2.png", "a-mean.png", "a-spread.png"]
    for name, picture in zip(names, [*found.variants, found.mean, found.spread], strict=True):
        assert (read(tmp_path / name).pixels - picture.pixels.clamp(-1, 1)).abs().max() < 1 / 254
    assert restorer.restore(noise_picture(12, 8), steps=1).save(tmp_path / "b.jpg") == [tmp_path / "b.jpg"]
    seeds = [read_note(tmp_path / name)["seed"] for name in names]
    assert seeds == ["0", "1", "0", "0"]
    with Image.open(io.BytesIO(found._repr_png_())) as seen:
        assert (seen.format, seen.size) == ("PNG", (48, 32))
        assert np.array_equal(np.asarray(seen), np.asarray(to_pil(found.variants[0])))
    with Image.open(io.BytesIO(Picture(torch.zeros(1, 4, 3200))._repr_png_())) as seen:
        assert seen.size == (1600, 2)
