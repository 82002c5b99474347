"""Colours taught apart from luminance, which stays what another one-step student makes of it."""

import torch
import torch.nn.functional as F

from sr3.diffusion.denoiser import Denoiser, Example, start
from sr3.diffusion.level import Level
from sr3.diffusion.objective import Loss, clean_of
from sr3.diffusion.schedule import Schedule
from sr3.model.config import ModelConfig
from sr3.picture.grey import luminance
from sr3.random import Stream
from sr3.training.adversarial import teacher

STEP = 2 / 255
"""One step of 8 bits, in [-1, 1]."""


class Colours:
    """In one pass from pure noise: the luminance of another student for that noise, and the photograph's colours.

    Critics draw texture in luminance and leave colours where a JPEG's coarse squares had them, as the gradient of RGB's
    error points along luminance wherever that is further off.  Here each has its own teacher: luminance the answer of
    `keep`, by the Huber loss with its bend at one step of 8 bits; Cb and Cr the photograph, by the absolute error,
    `colour` times.  The loss is their sum in units of the spread.

    schedule: its noisiest level is where the student begins.
    keep: a diffusion model for the same task, by name or file, that answers in one pass.
    first: the model whose answer the student begins from, if any; `keep` must begin from the same.
    """

    def __init__(
        self,
        schedule: Schedule,
        keep: str = "photo-4x-fast",
        colour: float = 1.0,
        first: ModelConfig | str | None = None,
    ):
        if colour <= 0:
            raise ValueError("colour is above 0")
        self.noisiest, self.colour = schedule(torch.ones(())), colour
        model, self.keep = teacher(keep, first, f"{keep}, whose luminance is kept,")
        self.mark = model.mark
        """What tells the weights that are kept to from others, for a run to go on with."""
        self.keep.net.eval().requires_grad_(False)  # pyright: ignore[reportCallIssue]

    def to(self, device: torch.device | str) -> "Colours":
        """Move the model that is kept to."""
        self.keep.net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return self

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        """[B] losses; the noise is that of `rng`."""
        clean = clean_of(example)
        level = Level(*(part.expand(len(clean)) for part in self.noisiest))
        spread = float(getattr(denoiser.prediction, "sigma_data", 1.0))
        x = start(rng.normal(clean), self.noisiest, example.base, spread)
        made = denoiser(x, level, example)
        with torch.no_grad():
            kept = self.keep(x, level, example)
        light = F.huber_loss(luminance(made), luminance(kept), reduction="none", delta=STEP) / STEP
        error = made - clean
        y = luminance(error)
        tint = (error[:, 2:] - y).abs() / 1.772 + (error[:, :1] - y).abs() / 1.402  # BT.601's Cb and Cr
        return Loss((light + self.colour * tint).flatten(1).mean(1) / spread, None)
