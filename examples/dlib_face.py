"""Features for `sr3 evaluate --features examples/dlib_face.py:face`: dlib's face recognition network.

Needs dlib (pip install dlib-bin) and its weights, dlib_face_recognition_resnet_model_v1.dat (public domain; part of the
package face_recognition_models), whose path is read from the environment variable DLIB_FACE.  The framing is that of
aligned CelebA's centre square: dlib's chip is the rows from 30 % to 90 % and the columns from 20 % to 80 % of it, which
of five framings tried kept 24 people furthest apart.
"""

import os

import dlib
import numpy as np
import torch
import torch.nn.functional as F

_network = dlib.face_recognition_model_v1(os.environ["DLIB_FACE"])


def face(pictures: torch.Tensor) -> np.ndarray:
    """[B, 3, H, W] in [0, 1] -> [B, 128], 128 numbers a face."""
    height, width = pictures.shape[-2:]
    inner = pictures[..., round(0.3 * height) : round(0.9 * height), round(0.2 * width) : round(0.8 * width)].float()
    chips = F.interpolate(inner, size=(150, 150), mode="bicubic", antialias=True).clamp(0, 1)
    shown = (chips.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return np.stack([np.array(_network.compute_face_descriptor(np.ascontiguousarray(chip))) for chip in shown])
