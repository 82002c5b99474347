"""Many pictures: in their order, each as by itself, and none that ends the others."""

import io
from itertools import count, islice

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config

from sr3.model.model import Model
from sr3.restore import many as module
from sr3.restore.restorer import Restorer


@pytest.fixture
def things(tmp_path):
    """Pictures of two sizes, a JPEG, one with alpha, and two that are none."""
    brought = io.BytesIO()
    noise_picture(12, 8, seed=5).save(brought, "JPEG")
    (tmp_path / "bad.png").write_bytes(b"no")
    clear = noise_picture(12, 8, seed=6).convert("RGBA")
    clear.putalpha(noise_picture(12, 8, seed=7).convert("L"))
    same = [noise_picture(12, 8, seed=k) for k in range(4)]
    return [*same, tmp_path / "bad.png", brought.getvalue(), clear, noise_picture(9, 9), tmp_path / "none.png", same[0]]


@pytest.mark.parametrize(
    "options", [{}, {"scale": 5, "seed": 3, "steps": 1}, {"free": True}, {"size": (40, 30)}, {"samples": 2}]
)
def test_each_is_as_by_itself_whatever_goes_together(tiny, things, options, monkeypatch):
    restorer = Restorer(tiny, precision="fp32")
    options = {"steps": 2, **options}
    walks: list[int] = []
    refine = restorer.refine
    monkeypatch.setattr(
        restorer, "refine", lambda given, *a, **k: (walks.append(len(given.image)), refine(given, *a, **k))[1]
    )
    alone = list(restorer.many(things, **options))
    assert set(walks) == {1}
    walks.clear()
    together = list(restorer.many(things, batch=4, **options))
    assert (4 in walks) == ("samples" not in options)
    for thing, one, two in zip(things, alone, together, strict=True):
        assert one.thing is thing
        assert two.thing is thing
        if one.error is not None:
            assert str(one.error) == str(two.error)
            assert str(thing) in str(one.error)
            continue
        assert one.result.held == two.result.held
        direct = restorer.restore(thing, **options)
        assert one.result.note == two.result.note == direct.note
        for found in (one, two):
            for a, b in zip(found.result.variants, direct.variants, strict=True):
                assert torch.allclose(a.pixels, b.pixels, atol=1e-4)
                assert (a.alpha is None) == (b.alpha is None)
    assert sum(one.error is not None for one in alone) == 2


def test_large_ones_go_alone(tiny, things, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 48 * 32 - 1)
    restorer = Restorer(tiny)
    monkeypatch.setattr(module, "_at_once", lambda *_: pytest.fail("they are large"))
    assert len(list(restorer.many(things, steps=1, batch=4))) == len(things)


@pytest.mark.parametrize("batch", [1, 4])
def test_one_that_is_larger_than_the_size_asked_for_ends_no_others(tiny, batch):
    pictures = [noise_picture(side, side) for side in (8, 20, 9)]
    found = list(Restorer(tiny, precision="fp32").many(pictures, batch=batch, size=(16, 16)))
    assert [one.error is None for one in found] == [True, False, True]
    assert "the size 16x16 is smaller than the picture's 20x20" in str(found[1].error)


def test_what_has_no_end_is_not_run_through(tiny):
    asked: list[int] = []

    def endless():
        for k in count():
            asked.append(k)
            yield np.full((8, 8, 3), k, np.uint8)

    found = list(islice(Restorer(tiny).many(endless(), ahead=2, steps=1), 3))
    assert [one.thing[0, 0, 0] for one in found] == [0, 1, 2]
    assert len(asked) <= 6


@pytest.mark.parametrize("task", [None, {"kind": "jpeg-restoration", "quality": 30}], ids=["enlarging", "restoring"])
def test_what_is_held_to_its_own_file_goes_alone(task, monkeypatch):
    """Neighbours of one size, whose coefficients are not each other's."""
    torch.manual_seed(0)
    model = Model(tiny_config(**({"task": task} if task else {})))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    files = []
    for seed in range(3):
        noise_picture(24, 16, seed).save(file := io.BytesIO(), "JPEG", quality=30)
        files.append(file.getvalue())
    restorer = Restorer(model, precision="fp32")
    for one, file in zip(restorer.many(files, batch=3, steps=2), files, strict=True):
        alone = restorer.restore(file, steps=2)
        assert one.result.held == alone.held
        assert torch.equal(one.result.variants[0].pixels, alone.variants[0].pixels)
    # what is held to nothing needs no file
    walks: list[int] = []
    make = restorer.make
    monkeypatch.setattr(
        restorer, "make", lambda given, *a, **k: (walks.append(len(given.image)), make(given, *a, **k))[1]
    )
    list(restorer.many(files, batch=3, steps=2, free=True))
    assert walks == [3]


def test_sixteen_bits_go_alone_where_the_depth_matters():
    """The result of a task that knows its file's depth is that deep."""
    restorer = Restorer(Model(tiny_config(task={"kind": "colorization"})), precision="fp32")
    pictures = [np.full((16, 24), 257 * k + 3, np.uint16) for k in (70, 90)]
    for one, picture in zip(restorer.many(pictures, batch=2, steps=1), pictures, strict=True):
        alone = restorer.restore(picture, steps=1).variants[0]
        assert one.result.variants[0].bits == 16
        assert torch.equal(one.result.variants[0].pixels, alone.pixels)


@pytest.mark.parametrize(("batch", "ahead", "wanted"), [(1, 8, [1] * 8), (3, 8, [3, 3, 2]), (16, 2, [8])])
def test_no_more_at_once_than_is_asked_for(tiny, monkeypatch, batch, ahead, wanted):
    """Also of what is left at the end."""
    restorer, walks = Restorer(tiny, precision="fp32"), []
    make, restore = restorer.make, restorer.restore
    monkeypatch.setattr(restorer, "make", lambda now, *a, **k: (walks.append(len(now.image)), make(now, *a, **k))[1])
    monkeypatch.setattr(restorer, "restore", lambda *a, **k: (walks.append(1), restore(*a, **k))[1])
    pictures = [noise_picture(12, 8, seed=k) for k in range(8)]
    found = list(restorer.many(pictures, batch=batch, ahead=ahead, steps=1))
    assert [one.thing for one in found] == pictures
    assert walks == wanted


def test_what_does_not_fit_together_is_restored_alone(tiny, monkeypatch):
    restorer = Restorer(tiny, precision="fp32")
    pictures = [noise_picture(12, 8, seed=k) for k in range(3)]
    alone = [restorer.restore(picture, steps=1).variants[0].pixels for picture in pictures]

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(restorer, "make", full)
    found = list(restorer.many(pictures, batch=3, steps=1))
    assert all(torch.equal(one.result.variants[0].pixels, pixels) for one, pixels in zip(found, alone, strict=True))

    def broken(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr(restorer, "make", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(restorer.many(pictures, batch=3, steps=1))


def test_what_is_kept_of_one_picture_is_kept_of_those_of_its_size(tiny):
    restorer = Restorer(tiny, precision="fp32")
    keep = torch.zeros(1, 1, 8, 12, dtype=torch.bool)
    keep[..., :6] = True
    pictures = [noise_picture(12, 8, seed=k) for k in range(3)]
    for one, picture in zip(restorer.many(pictures, batch=3, keep=keep, steps=1), pictures, strict=True):
        alone, free = (restorer.restore(picture, keep=mask, steps=1).variants[0].pixels for mask in (keep, None))
        assert torch.equal(one.result.variants[0].pixels, alone)
        assert not torch.equal(alone, free)
