"""A model that needs one pass as one graph: a picture in, a larger one out, in operations that every runtime has."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.level import Level
from sr3.diffusion.sample import WALKS
from sr3.model.config import ConfigError, check
from sr3.model.model import Model
from sr3.nn.settled import settled
from sr3.picture.resize import cubic
from sr3.task.super_resolution import SuperResolution


class Enlarge(nn.Module):
    """`sr3.picture.resize.enlarge` as convolutions and a pixel-shuffle: [B, 3, h, w] -> [B, 3, h * factor, w * factor].

    Each of the factor**2 pixels that one pixel becomes is a weighted mean of its 5 x 5 neighbours.  Taps beyond the
    border count for nothing, so the sum is divided by the weights that lie inside.
    """

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor
        places = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        taps = cubic(torch.arange(-2, 3, dtype=torch.float64) - places[:, None])  # [factor, 5]
        kernel = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(factor**2, 1, 5, 5).float()
        self.one, self.three = nn.Buffer(kernel), nn.Buffer(kernel.repeat(3, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        # zeros and ones of a size that is known only when the graph runs: not every runtime can make them otherwise
        inside = F.conv2d(x[:, :1] * 0 + 1, self.one, padding=2)
        spread = F.conv2d(x, self.three, padding=2, groups=3)
        return F.pixel_shuffle(spread, self.factor) / F.pixel_shuffle(inside, self.factor)


class Pass(nn.Module):
    """One look of a network at an enlarged picture, as an estimate of the clean one, in [-1, 1] but for overshoots.

    x0 = keep * noise + gain * net(enter * noise, told, large) + base, as predictions are affine in x and in the
    network's answer.  A regression has no noise.  (large, base, noise), each [B, 3, H, W] -> [B, 3, H, W].

    level: the walk's first, and with it the only one at which the network is asked.
    pads: whether the result's sides may be other than multiples of the network's stride.
    """

    def __init__(self, model: Model, level: Level, pads: bool):
        super().__init__()
        denoiser = model.denoiser()
        self.noisy = isinstance(denoiser, Denoiser)
        told, self.enter, self.keep, self.gain = 0.0, 0.0, 0.0, model.spread
        if isinstance(denoiser, Denoiser):
            one, sigma = torch.ones((), dtype=torch.float64), level.sigma.item()
            told = float(denoiser.tell(level))
            # x is alpha * base + sigma * noise, and what is shown and kept of it is x - alpha * base
            self.enter = sigma * denoiser.prediction.enter(one, level).item()
            self.keep = sigma * denoiser.prediction.clean(0 * one, one, level).item()
            self.gain = denoiser.prediction.clean(one, 0 * one, level).item()
        self.net = settled(model.net, told, pads)
        self.told = nn.Buffer(torch.tensor([told], dtype=torch.float32))
        self.residual = denoiser.residual

    def forward(self, large: Tensor, base: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        if self.noisy:
            x0 = self.gain * self.net(self.enter * noise, self.told, large) + self.keep * noise
        else:
            x0 = self.gain * self.net(0 * large, self.told, large)
        return x0 + base if self.residual else x0


class Graph(nn.Module):
    """What is exported: the enlargement and the networks, from files' values to files' values.

    (picture [B, 3, h, w] RGB in [0, 1]) -> [B, 3, h * factor, w * factor] in [0, 1], and for a diffusion model of one
    step (picture, noise [B, 3, h * factor, w * factor], standard normal).  Equal to what `sr3.Restorer` makes with
    `free=True` in fp32: the projection onto the picture given is not in it.

    ConfigError for a model of several steps, and for one that does not enlarge.
    """

    def __init__(self, model: Model):
        super().__init__()
        if not isinstance(model.task, SuperResolution):
            raise ConfigError(f"{model.config.name} does not enlarge pictures, and only models that do can be exported")
        level = _only(model)
        self.factor = model.task.factor
        self.enlarge = Enlarge(self.factor)
        self.strides = [int(getattr(one.net, "stride", 1)) for one in model.chain]
        self.pads = any(self.factor % stride for stride in self.strides)
        # the first model's answer is what the next corrects
        self.passes = nn.ModuleList(Pass(one, level, self.pads) for one in reversed(model.chain))
        self.noisy = model.walk.varies
        self.eval().requires_grad_(False)

    def forward(self, picture: Tensor, noise: Tensor | None = None) -> Tensor:
        """See the class."""
        large = made = self.enlarge(picture * 2 - 1)
        for one in self.passes:
            made = one(large, made, noise)
        return (made.clamp(-1, 1) + 1) / 2


def _only(model: Model) -> Level:
    """The one level at which a model asks its network; ConfigError where there are several, or where it is noisier."""
    settings = model.walk.settings(steps=None, sampler=None, spacing=None, quality=None, samples=1)
    path, kind = model.walk.path(settings), settings.sampler["kind"]
    if len(path) > 1 or kind not in WALKS:
        raise ConfigError(
            f"{model.config.name} refines a picture in {settings.steps} steps of {kind!r}, and what is exported is one "
            "pass: give a regression model, or a diffusion model of one step"
        )
    if check("sampler", WALKS, settings.sampler).get("churn", 0) > 0:
        raise ConfigError(
            f"{model.config.name} is sampled with churn, which adds noise before its one step and is not in what is "
            "exported: give a model without it"
        )
    return path.first
