"""Several tasks by one network: each picture is treated by its own task, whatever its neighbours are."""

import pytest
import torch
from conftest import TINY, tiny_config

from sr3.diffusion.denoiser import Denoiser, Example
from sr3.diffusion.predict import PREDICTIONS
from sr3.model.config import ConfigError, Recipe
from sr3.model.model import Model
from sr3.nn.unet import UNet
from sr3.picture.picture import Picture
from sr3.picture.resize import shrink
from sr3.random import Stream
from sr3.restore.restorer import Restorer
from sr3.task import Colorization, Given, Inpainting, JpegRestoration, Restoration, SuperResolution
from sr3.task.several import PARTS, Several
from sr3.training.plan import check_crop


def clean(count: int = 12) -> torch.Tensor:
    rng = torch.Generator().manual_seed(count)
    small = 2 * torch.rand(count, 3, 4, 4, generator=rng) - 1
    return ((torch.nn.functional.interpolate(small, scale_factor=8.0, mode="bilinear") + 1) * 127.5).round() / 127.5 - 1


def test_each_example_is_of_one_task_and_as_that_task_makes_it():
    task, x = Several(), clean(40)
    given = task.degrade(x, rng=Stream(2, range(40)))
    labels = Stream(2, range(40)).integers(4)
    assert torch.equal(given.label, labels)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    for number, kind in enumerate(task.kinds):
        chosen = (labels == number).nonzero().flatten().tolist()
        stream = Stream(2, range(40))
        stream.integers(4)
        alone = PARTS[kind]().degrade(x[chosen], rng=stream.of(chosen))
        assert torch.equal(given.image[chosen], alone.image)
        whole = torch.ones_like(alone.image[:, :1], dtype=torch.bool)
        assert torch.equal(given.mask[chosen], whole if alone.mask is None else alone.mask)


@pytest.mark.parametrize("verb", ["project", "finish", "again"])
def test_a_mixed_batch_is_held_picture_by_picture(verb):
    task, x = Several(), clean(12)
    given = task.degrade(x, rng=Stream(5, range(12)))
    rough = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    together = getattr(task, verb)(rough, given)
    for k in range(12):
        own = PARTS[task.kinds[int(given.label[k])]]()
        assert torch.equal(together[k : k + 1], getattr(own, verb)(rough[k : k + 1], given.of([k])))
    base = task.baseline(given)
    for k in range(12):
        own = PARTS[task.kinds[int(given.label[k])]]()
        assert torch.equal(base[k : k + 1], own.baseline(given.of([k])))


def test_pictures_to_be_enlarged_go_along_at_the_size_of_their_results():
    """In a batch of several tasks as A⁺ y, of which each verb makes what the task alone makes of y."""
    task = Several(tasks=[{"kind": "colorization"}, {"kind": "super-resolution", "factor": 4}], told=True)
    alone, x = SuperResolution(4), clean(9)
    given = task.degrade(x, rng=Stream(3, range(9)))
    chosen = (given.label == 1).nonzero().flatten().tolist()
    assert 0 < len(chosen) < 9
    assert given.image.shape == x.shape
    small = alone.degrade(x[chosen])
    close = lambda a, b: torch.testing.assert_close(a, b, atol=2e-5, rtol=0)  # noqa: E731
    close(shrink(given.image[chosen], 4), small.image)
    example, wanted = task.prepare(given), alone.prepare(small)
    close(example.cond[chosen], wanted.cond)
    close(example.base[chosen], wanted.base)
    assert example.mask[chosen].all()
    rough = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for verb in ("project", "finish"):
        close(getattr(task, verb)(rough, given)[chosen], getattr(alone, verb)(rough[chosen], small))
    close(shrink(task.again(rough, given)[chosen], 4), alone.again(rough[chosen], small))
    assert task.result_size(given) == (32, 32)
    assert torch.equal(task.baseline(given)[given.label == 0], given.image[given.label == 0])


def test_what_the_network_sees_is_never_in_half_precision():
    """Where it learns in bfloat16, products of matrices are rounded: of features, and not of the pixels given."""
    told = {"kind": "several", "tasks": [{"kind": "super-resolution", "factor": 2}, {"kind": "colorization"}]}
    model = Model(tiny_config(task=told))
    given = model.task.degrade(clean(), rng=Stream(0, list(range(12))))
    plain = model.prepare(given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = model.prepare(given)
    for of, as_it_is in ((seen.cond, plain.cond), (seen.base, plain.base)):
        torch.testing.assert_close(of, as_it_is, rtol=0, atol=0)


def test_used_for_super_resolution_it_is_that_task():
    task = Several(tasks=[{"kind": "colorization"}, {"kind": "super-resolution", "factor": 2}])
    assert (task.factor, task.border, task.multiple) == (1, 0, 2)
    used, alone, x = task.as_kind("super-resolution"), SuperResolution(2), clean(3)
    assert (used.factor, used.border, used.baseline_name, used.method) == (2, 2, "bicubic", "palette")
    given = used.degrade(x)
    assert torch.equal(given.image, alone.degrade(x).image)
    assert used.result_size(given) == (32, 32)
    for verb in ("baseline", "again"):
        arguments = [given] if verb == "baseline" else [x, given]
        assert torch.equal(getattr(used, verb)(*arguments), getattr(alone, verb)(*arguments))
    assert torch.equal(used.finish(0.9 * x, given), alone.finish(0.9 * x, given))
    assert torch.equal(used.prepare(given).cond, alone.prepare(given).cond)
    config = {"task": {"kind": "several", "tasks": list(task.tasks)}, "network": TINY}
    recipe = Recipe.model_validate({"model": tiny_config(**config), "training": {"crop": 33}})
    with pytest.raises(ConfigError, match="crop=33 must be a multiple of the task's factor 2"):
        check_crop(recipe)


def test_what_is_measured_is_one_of_the_tasks():
    x = clean(3)
    task = Several(tasks=[{"kind": "jpeg-restoration", "quality": 44}, {"kind": "colorization"}])
    assert isinstance(task, Restoration)
    assert (task.baseline_name, task.command.split()[0], task.colours) == ("grey", "colorize", True)
    assert torch.equal(task.degrade(x).image, Colorization().degrade(x).image)
    other = task.as_kind("jpeg-restoration")
    given, alone = other.degrade(x), JpegRestoration(quality=44).degrade(x)
    assert torch.equal(given.image, alone.image)
    assert given.label.tolist() == [0, 0, 0]
    assert torch.equal(other.finish(0.9 * x, given), JpegRestoration(quality=44).finish(0.9 * x, alone))
    assert (other.degradation, other.colours) == ("JPEG by libjpeg, quality 44, 4:2:0", False)
    assert Several(tasks=[{"kind": "uncropping"}, {"kind": "inpainting"}]).command.split()[0] == "uncrop"
    hole = Several().as_kind("inpainting")
    small = hole.reduced(hole.degrade(x), (16, 16))
    assert small.label.tolist() == [1, 1, 1]
    assert small.mask.shape == (3, 1, 16, 16)
    assert torch.equal(hole.prepare(Given(x)).cond, x)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tasks": []}, "give at least one"),
        ({"measured": "denoising"}, "not trained for denoising"),
        ({"tasks": [{"kind": "generation"}], "measured": "generation"}, "no task 'generation' to do with others"),
        ({"tasks": [{"kind": "colorization"}, {"kind": "colorization"}]}, "once"),
        ({"tasks": [{"kind": "colorization"}, {"kind": "inpainting", "area": [0.9, 0.1]}]}, "holes of"),
    ],
)
def test_bad_settings(options, says):
    with pytest.raises(ValueError, match=says):
        Several(**options)
    with pytest.raises(ConfigError, match=says):
        Model(tiny_config(task={"kind": "several", **options}))


def test_the_network_is_told_the_task_where_it_is_to_be():
    x = clean(2)
    for told in (False, True):
        task = Several(told=told)
        label = task.prepare(task.degrade(x)).label
        assert (label is None) == (not told)
    torch.manual_seed(0)
    net = UNet(**{key: value for key, value in TINY.items() if key != "kind"}, labels=4)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    told = torch.zeros(2)
    plain = net(x, told, x)
    answers = [net(x, told, x, torch.full((2,), k)) for k in range(4)]
    assert all(not torch.equal(a, plain) for a in answers)
    mixed = net(x, told, x, torch.tensor([1, 3]))
    torch.testing.assert_close(mixed[0], answers[1][0])
    torch.testing.assert_close(mixed[1], answers[3][1])
    net.label.weight.data.zero_()
    assert torch.equal(net(x, told, x, torch.tensor([1, 3])), plain)
    denoiser = Denoiser(net, PREDICTIONS["eps"]())
    from sr3.diffusion.level import Level

    level = Level(torch.tensor(0.8), torch.tensor(0.6))
    net.label.weight.data.normal_(std=0.5)
    first, second = (denoiser(x, level, Example(cond=x, label=torch.full((2,), k))) for k in (0, 1))
    assert not torch.equal(first, second)
    with pytest.raises(ValueError, match="without labels"):
        UNet()(x, told, x, torch.tensor([0, 0]))


def test_a_network_in_tiles_is_told_the_task():
    """Of a picture larger than a tile: the label has no place in it and goes to every tile whole."""
    torch.manual_seed(0)
    network = {**TINY, "labels": 4}
    model = Model(tiny_config(task={"kind": "several", "told": True}, network=network))
    for p in model.net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    model.net.label.weight.data.normal_(std=1.0)
    made = []
    for kind in ("colorization", "jpeg-restoration"):
        given = model.task.as_kind(kind).take(Picture(clean(1)[0].mean(0, keepdim=True)))
        whole, tiles = (Restorer(model, device="cpu", tile=tile).make(given, [0], free=True) for tile in (None, 16))
        torch.testing.assert_close(tiles, whole, atol=1e-4, rtol=0)
        made.append(whole)
    assert (made[0] - made[1]).abs().max() > 1e-3


def test_a_fresh_network_begins_as_if_it_were_not_told():
    assert UNet(labels=3).label.weight.abs().max() == 0
    assert Inpainting().channels == Several().channels


def test_tasks_that_see_less_see_zeros_in_the_other_channels():
    marked = {"kind": "inpainting", "marked": True}
    task = Several(tasks=[{"kind": "colorization"}, marked])
    assert (task.channels, Several().channels) == (4, 3)
    x = clean(40)
    given = task.degrade(x, rng=Stream(3, range(40)))
    cond, hole = task.prepare(given).cond, given.label == 1
    assert 10 < hole.sum() < 30
    assert torch.equal(cond[hole, 3:], given.mask[hole].float())
    assert not cond[~hole, 3].any()
    assert torch.equal(cond[~hole, :3], given.image[~hole])
    net = Model(tiny_config(task={"kind": "several", "tasks": [{"kind": "colorization"}, marked]})).net
    assert net.cond_channels == 4
