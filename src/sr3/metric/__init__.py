"""Measures.  They know nothing of diffusion.

Pictures come in as [B, 3, H, W] in [0, 1], already rounded to 8 bits by whoever measures.
"""

from sr3.metric.base import Metric
from sr3.metric.consistency import Consistency
from sr3.metric.psnr import PSNR
from sr3.metric.ssim import SSIM
from sr3.metric.swd import SWD
from sr3.metric.tint import Tint

METRICS = {"psnr": PSNR, "ssim": SSIM, "consistency": Consistency, "swd": SWD, "tint": Tint}

__all__ = ["METRICS", "PSNR", "SSIM", "SWD", "Consistency", "Metric", "Tint"]
