"""Many pictures: in their order, each as by itself, and none that ends the others."""

import io
from itertools import count, islice

import numpy as np
import pytest
import torch
from conftest import noise_picture

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


def test_what_has_no_end_is_not_run_through(tiny):
    asked: list[int] = []

    def endless():
        for k in count():
            asked.append(k)
            yield np.full((8, 8, 3), k, np.uint8)

    found = list(islice(Restorer(tiny).many(endless(), ahead=2, steps=1), 3))
    assert [one.thing[0, 0, 0] for one in found] == [0, 1, 2]
    assert len(asked) <= 6
