"""EXIF's orientations: how what is stored is turned to stand upright."""

from torch import Tensor

from sr3.picture.opened import open_by_vips
from sr3.picture.picture import load_vips


def orientation(data: bytes) -> int:
    """EXIF's orientation of a file, as what decodes it turns it; 1 where there is none or nonsense."""
    try:
        image = open_by_vips(data, lenient=True)
        found = int(image.get("orientation")) if image.get_typeof("orientation") else 1
    except (load_vips().Error, ValueError):
        return 1
    return found if found in range(1, 9) else 1


TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""EXIF's orientations as (transposed, upside down, mirrored), done in this order to what is stored."""


def upright(x: Tensor, turned: int) -> Tensor:
    """Pictures as stored [B, C, H, W], upright."""
    transposed, *flips = TURNS[turned]
    x = x.transpose(-1, -2) if transposed else x
    return x.flip([axis for axis, flip in zip((-2, -1), flips, strict=True) if flip])


def stored(x: Tensor, turned: int) -> Tensor:
    """The inverse of `upright`."""
    transposed, *flips = TURNS[turned]
    x = x.flip([axis for axis, flip in zip((-2, -1), flips, strict=True) if flip])
    return x.transpose(-1, -2) if transposed else x
