"""Sizes: how large a result becomes, in how many passes of a model, and whether the model is for that."""

import math

from sr3.model.config import ConfigError, ModelConfig, nearest
from sr3.picture.picture import PictureError


def target_size(
    have: tuple[int, int], factor: int, scale: float | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) of the result.

    ConfigError for both at once, and a scale out of range; PictureError for a picture that is larger than the size.
    """
    if scale is not None and size is not None:
        raise ConfigError("give a scale or a size, not both")
    if size is not None:
        if size[0] < have[0] or size[1] < have[1]:
            raise PictureError(
                f"the size {size[0]}x{size[1]} is smaller than the picture's {have[0]}x{have[1]}; sr3 only enlarges"
            )
        return size
    scale = float(factor) if scale is None else scale
    if not math.isfinite(scale) or scale < 1 or scale > 64:
        raise ConfigError(f"the scale {scale:g} is out of range; give a number from 1 to 64")
    return max(1, round(have[0] * scale)), max(1, round(have[1] * scale))


FITS = ("inside", "cover", "stretch")


def fitted(have: tuple[int, int], box: tuple[int | None, int | None], fit: str) -> tuple[int, int]:
    """(width, height) of a picture made to fit a box, of which one side may be left open.

    inside: the largest that fits in, with its own proportions; cover: the smallest with them that covers it; stretch:
    the box itself.  ConfigError for another word.
    """
    if fit not in FITS:
        raise ConfigError(f"there is no fit {fit!r}{nearest(fit, list(FITS))}")
    wide, high = box
    if fit == "stretch" and wide is not None and high is not None:
        return wide, high
    larger = [want / side for want, side in zip(box, have, strict=True) if want is not None]
    scale = (max if fit == "cover" else min)(larger)
    return max(1, round(have[0] * scale)), max(1, round(have[1] * scale))


def passes(have: tuple[int, int], want: tuple[int, int], factor: int) -> int:
    """How often a model that makes sides `factor` times larger is used for a picture of at least the size wanted."""
    need = max(want[0] / have[0], want[1] / have[1])
    return max(1, math.ceil(math.log(need) / math.log(factor) - 1e-9)) if factor > 1 else 1


def made_size(have: tuple[int, int], want: tuple[int, int], factor: int) -> tuple[int, int]:
    """(width, height) of the largest picture on the way to a result: a model enlarges by its own factor alone."""
    whole = factor ** passes(have, want, factor)
    return max(want[0], have[0] * whole), max(want[1], have[1] * whole)


def check_sides(config: ModelConfig, size: tuple[int, int], larger: int) -> None:
    """PictureError where the picture, or what the last of several passes is given, is none the model is for."""
    if config.sides is None:
        return
    low, high = config.sides
    if min(size) < low or max(size) > high:
        raise PictureError(
            f"{config.name} is for pictures of {low} to {high} pixels a side, and this one has {size[0]}x{size[1]}; "
            + ("crop it closely, or use another model" if max(size) > high else "too little is left to go by")
        )
    if max(size) * larger > high:
        raise PictureError(
            f"{config.name} would have to enlarge its own result, {size[0] * larger}x{size[1] * larger}, and is for "
            f"pictures of at most {high} pixels a side; ask for less"
        )
