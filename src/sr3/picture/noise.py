"""How noisy a picture is, seen from the picture alone."""

import math

import torch
from torch import Tensor

_SIDE = 8
"""Of the patches: 64 numbers each."""

_MOST, _LEAST = 2**16, 2**10
"""Patches that are looked at, and how many it takes to say anything."""

_LOW = 16
"""How many of the 64 dimensions are looked at: those that the picture uses least."""

_FLAT, _EVERYWHERE = 1.6, 0.4
"""What white noise stays below (its own is 1.1 to 1.2) and above (its own is 0.58); clean textures seldom do either."""

_SIGMA = 3.0, 60.0
"""Steps of 8 bits; less is no noise to speak of, and more is a pattern rather than a photograph."""


def noise_level(x: Tensor) -> float:
    """The standard deviation of white noise in a picture [C, H, W] in [-1, 1], in steps of 8 bits; 0 where in doubt.

    What pictures show fills few of the 64 dimensions of 8 x 8 patches, and white noise all of them alike: the least
    eigenvalue of the patches' covariance is the noise's variance (Pyatykh, Hesser & Zheng 2013, "Image noise level
    estimation by principal component analysis", section II), here over the lower edge of Marchenko & Pastur's law, as
    patches are finite in number.  Fine texture and sharp edges fill them too, so that it counts only where

    - the 16 least eigenvalues are nearly equal, which those of textures are not;
    - nine patches of ten have their part of it, which edges on plain ground do not give.

    So noise that is weak beside the texture is not seen, nor is noise that is not white, as after JPEG, nor that of
    pictures with much plain black or white.  The least of the channels is given; below 3 and above 60 it is 0.
    """
    if min(x.shape[-2:]) < _SIDE:
        return 0.0
    step = max(1, math.ceil(math.sqrt(x.shape[-2] * x.shape[-1] / _MOST)))
    patches = x.unfold(-2, _SIDE, step).unfold(-2, _SIDE, step).flatten(-2).flatten(1, 2).double()
    if patches.shape[1] < _LEAST:
        return 0.0
    sigma = min(_variance(channel) for channel in patches - patches.mean(1, keepdim=True)) ** 0.5 * 127.5
    return sigma if _SIGMA[0] <= sigma <= _SIGMA[1] else 0.0


def _variance(centred: Tensor) -> float:
    """That of the white noise in patches [N, 64] without their mean; 0 where in doubt."""
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    low = values[:_LOW].clamp(min=0)
    if low[-1] > _FLAT * low[0]:
        return 0.0
    energy = (centred @ vectors[:, :_LOW]).square().sum(1)
    if energy.quantile(0.1) < _EVERYWHERE * low.sum():
        return 0.0
    return low[0].item() / (1 - math.sqrt(_SIDE**2 / len(centred))) ** 2
