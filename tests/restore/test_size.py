"""How large a result becomes, and by how many passes."""

import pytest

from sr3.model.config import ConfigError
from sr3.restore.size import passes, target_size


def test_scales_are_from_1_to_64():
    assert target_size((10, 20), 4, 1, None) == (10, 20)
    assert target_size((10, 20), 4, 64, None) == (640, 1280)
    for scale in (0.99, 64.01, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="give a number from 1 to 64"):
            target_size((10, 20), 4, scale, None)


@pytest.mark.parametrize(("scale", "count"), [(1, 1), (4, 1), (4.01, 2), (16, 2), (17, 3), (64, 3)])
def test_as_many_passes_as_reach_the_size(scale, count):
    assert passes((100, 100), (100 * scale, 100), 4) == count
    assert passes((100, 100), (100, 100 * scale), 4) == count
