"""Critics learn, from the same batches, and are judged on others."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
critics = import_module("critics")


def pairs(count: int, seed: int):
    rng = torch.Generator().manual_seed(seed)
    for _ in range(count):
        smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=rng), scale_factor=4, mode="bicubic")
        dotted = smooth.clone()
        dotted[..., ::4, ::4] += 0.2
        yield dotted, smooth


@pytest.mark.parametrize(("kind", "rate"), [("adam", 2e-3), ("muon", 2e-3)])
def test_what_is_learnt_is_told_of_what_was_not_seen(kind, rate):
    known, unseen = list(pairs(40, 0)), list(pairs(4, 1))
    last, new, order = critics.learnt(kind, rate, known, unseen)
    assert last < 1.97
    assert new < last + 0.5
    assert len(order) == 4
    assert order[0] == 1.0
    # the other way round, what it has learnt of the first is wrong of the second
    _, wrong, order = critics.learnt(kind, rate, known, [(true, false) for false, true in unseen])
    assert wrong > 2
    assert order[0] == 0.0
