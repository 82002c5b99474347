"""The degradation is torch's; its adjoint, inverse and projection are exact."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr3.picture.resize import enlarge, project, round8, shrink, shrink_adjoint, shrink_inverse

SIZES = [(1, 1), (1, 5), (2, 3), (7, 12), (30, 17)]


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_shrink_is_torchs_antialiased_bicubic(factor, size):
    x = torch.randn(2, 3, size[0] * factor, size[1] * factor, dtype=torch.double)
    want = F.interpolate(x, size=size, mode="bicubic", antialias=True)
    torch.testing.assert_close(shrink(x, factor), want)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_adjoint(factor, size):
    x = torch.randn(1, 3, size[0] * factor, size[1] * factor, dtype=torch.double)
    y = torch.randn(1, 3, *size, dtype=torch.double)
    torch.testing.assert_close((shrink(x, factor) * y).sum(), (x * shrink_adjoint(y, factor)).sum())


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_projection_agrees_and_moves_least(factor, size):
    x, y = torch.randn(1, 3, size[0] * factor, size[1] * factor), torch.randn(1, 3, *size)
    made = project(x, y, factor)
    torch.testing.assert_close(shrink(made, factor), y, atol=2e-5, rtol=0)
    torch.testing.assert_close(project(made, y, factor), made, atol=2e-5, rtol=0)
    # the move is in the range of the adjoint: orthogonal to everything that shrinks to nothing
    hidden = torch.randn_like(x)
    hidden = hidden - shrink_inverse(shrink(hidden, factor), factor)
    assert abs(((made - x) * hidden).sum().item()) < 1e-3 * (1 + hidden.norm() * (made - x).norm()).item()


def test_enlarge_is_pillows_bicubic():
    # of little contrast: Pillow clamps to 8 bits between the two axes
    small = np.random.default_rng(0).integers(100, 150, (7, 9), dtype=np.uint8)
    want = torch.from_numpy(np.array(Image.fromarray(small).resize((36, 28), Image.Resampling.BICUBIC)))
    got = enlarge(torch.from_numpy(small)[None, None].double(), 4)[0, 0]
    # half a step for its last rounding; for the first, half a step times the largest sum of |weights|, 1.25
    assert (got - want).abs().max() <= 0.5 + 0.5 * 1.25


def test_shrink_refuses_what_does_not_divide():
    with pytest.raises(ValueError, match="multiples of 4"):
        shrink(torch.zeros(1, 3, 8, 10), 4)


def test_round8_keeps_8_bit_values_and_clamps():
    values = torch.arange(256) / 127.5 - 1
    torch.testing.assert_close(round8(values), values)
    assert round8(torch.tensor([-3.0, 3.0])).tolist() == [-1, 1]
