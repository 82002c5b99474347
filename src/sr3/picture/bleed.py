"""Colour under transparency: what is opaque runs outward into what is not, so that no network sees a false edge."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from sr3.picture.picture import Picture

REACH = 24
"""Pixels that colour runs outward; networks for single pictures hardly look further, and beyond it is grey."""


def bled(picture: Picture) -> Picture:
    """The picture, whose wholly transparent pixels have the mean of their nearest neighbours' colours.

    What is hidden there is often black, which an enlargement would draw out into dark fringes.  Pixels that can be seen
    stay as they are, bit for bit.
    """
    if picture.alpha is None or bool((picture.alpha > 0).all()):
        return picture
    known = (picture.alpha > 0).float()[None]
    pixels = torch.where(known > 0, picture.pixels[None], 0.0)
    for _ in range(REACH):
        weight, total = _around(known), _around(pixels * known)
        new = (known == 0) & (weight > 0)
        if not new.any():
            break
        pixels = torch.where(new, total / weight.clamp(min=1e-6), pixels)
        known = torch.where(new, 1.0, known)
    return replace(picture, pixels=pixels[0])


def _around(x: torch.Tensor) -> torch.Tensor:
    """Sums over 3 x 3 pixels."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, divisor_override=1)
