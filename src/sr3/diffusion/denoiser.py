"""The denoiser: a network that has been told what it predicts and how it is told the noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sr3.diffusion.level import Level
from sr3.diffusion.predict import Prediction

Denoise = Callable[[Tensor, Level], Tensor]
"""(x_t [B, C, H, W], level) -> estimate of x0, of the same shape.  All that a sampler sees."""


class Example(NamedTuple):
    """One batch as a network meets it.  Pictures are float32 [B, C, H, W] in [-1, 1]."""

    target: Tensor | None = None
    """The clean picture; None when it is what we want."""
    cond: Tensor | None = None
    """What the network sees beside x_t, at the size of x_t."""
    mask: Tensor | None = None
    """Bool [B, 1, H, W], True where pixels are to be made; None = everywhere."""
    base: Tensor | None = None
    """A first guess of the picture; residual models predict the difference from it."""
    label: Tensor | None = None
    """int64 [B], which of several tasks each picture is for, where the network is to be told."""


NOTHING = Example()
"""The example of unconditional generation."""


def tell_alpha(level: Level) -> Tensor:
    """5000 * sqrt(alpha-bar): SR3's noise level at WaveGrad's scale, so that 0.999 and 1 can be told apart."""
    return 5000 * level.alpha / (level.alpha**2 + level.sigma**2).sqrt()


def tell_plain_alpha(level: Level) -> Tensor:
    """sqrt(alpha-bar) unscaled, as the common public re-implementation does.  For comparison only."""
    return level.alpha / (level.alpha**2 + level.sigma**2).sqrt()


def tell_plain_alpha_bar(level: Level) -> Tensor:
    """alpha-bar unscaled, as the common public re-implementation of Palette does."""
    return level.alpha**2 / (level.alpha**2 + level.sigma**2)


def tell_logsnr(level: Level) -> Tensor:
    """250 * log(sigma / alpha): EDM's c_noise = log(sigma) / 4 at a sinusoid's usual scale of 1000."""
    return 250 * (level.sigma.log() - level.alpha.log()).clamp(-20, 20)


def tell_nothing(level: Level) -> Tensor:
    """0: the network must see by itself how noisy its input is; technique 3 of Song & Ermon (2020, NCSNv2)."""
    return torch.zeros_like(level.sigma)


TELLS: dict[str, Callable[[Level], Tensor]] = {
    "alpha": tell_alpha,
    "plain-alpha": tell_plain_alpha,
    "plain-alpha-bar": tell_plain_alpha_bar,
    "logsnr": tell_logsnr,
    "nothing": tell_nothing,
}


@dataclass(frozen=True)
class Denoiser:
    """A network, what it predicts, and how it is told the noise.  Owns no weights; variants are `replace(d, net=…)`.

    net: (x [B, C, H, W], told [B], cond | None) -> [B, C, H, W]; where there is a label, that is a fourth argument.
    residual: predict the difference from `example.base`: the network is shown x - alpha * base, so that the
        diffusion is still of the picture itself and samplers and wrappers need not know.
    pasted: show the network the known pixels of `example.cond` in x too, as they are, instead of noisy ones: where
        `example.mask` is False.  Which ones x has there is then all the same, in training and in use.
    """

    net: nn.Module
    prediction: Prediction
    tell: Callable[[Level], Tensor] = tell_alpha
    residual: bool = False
    pasted: bool = False

    def raw(self, x: Tensor, level: Level, example: Example) -> Tensor:
        """The network's own answer at x_t, for objectives: to be compared with `target`."""
        return self._raw(self._shift(x, level, example), level, example).to(x.dtype)

    def _raw(self, inside: Tensor, level: Level, example: Example) -> Tensor:
        told = self.tell(level).float().to(inside.device).expand(len(inside))
        if self.pasted and example.mask is not None and example.cond is not None:
            inside = torch.where(example.mask, inside, example.cond[:, : inside.shape[1]].to(inside))
        return _asked(self.net, self.prediction.enter(inside, level), told, example)

    def target(self, x0: Tensor, eps: Tensor, level: Level, example: Example) -> Tensor:
        """What `raw` should answer when x_t = alpha * x0 + sigma * eps."""
        return self.prediction.target(x0 - self._base(example) if self.residual else x0, eps, level)

    def clean(self, out: Tensor, x: Tensor, level: Level, example: Example) -> Tensor:
        """The estimate of x0 that an answer of `raw` stands for."""
        return self._clean(out, self._shift(x, level, example), level, example)

    def _clean(self, out: Tensor, inside: Tensor, level: Level, example: Example) -> Tensor:
        x0 = self.prediction.clean(out, inside, level)
        return x0 + self._base(example) if self.residual else x0

    def __call__(self, x: Tensor, level: Level, example: Example = NOTHING) -> Tensor:
        """E[x0 | x_t, example], [B, C, H, W]."""
        inside = self._shift(x, level, example)
        return self._clean(self._raw(inside, level, example).to(x.dtype), inside, level, example)

    def score(self, x: Tensor, level: Level, example: Example = NOTHING) -> Tensor:
        """The gradient of log p(x_t), by Tweedie's formula: (alpha * x0 - x) / sigma**2.

        Predictions are affine, x0 = skip * x + gain * out, and the two numbers are found in float64: at the clean end
        the difference would lose its digits in float32.  Needs sigma > 0.
        """
        a, s = level
        zero = torch.zeros_like(s)
        skip, gain = self.prediction.clean(zero, zero + 1, level), self.prediction.clean(zero + 1, zero, level)
        own, far = Level((a * gain) / s**2, (a * skip - 1) / s**2).like(x)
        return own * self.raw(x, level, example) + far * self._shift(x, level, example)

    def given(self, example: Example = NOTHING) -> Denoise:
        """The function of (x, level) that samplers and wrappers take."""
        return lambda x, level: self(x, level, example)

    def _base(self, example: Example) -> Tensor:
        if example.base is None:
            raise ValueError("a residual model needs a first guess: the example's base is missing")
        return example.base

    def _shift(self, x: Tensor, level: Level, example: Example) -> Tensor:
        return x - level.like(x).alpha * self._base(example) if self.residual else x


@dataclass(frozen=True)
class Regressor:
    """The same network without noise, SR3's regression baseline (Saharia et al. 2021, section 4).

    It answers at once: the picture that is best in the mean, whatever x_t.  scale: the network's unit, the spread of
    the residual, so that the weights can be handed to a diffusion model and back.
    """

    net: nn.Module
    scale: float = 1.0
    residual: bool = True

    def raw(self, like: Tensor, example: Example) -> Tensor:
        """The network's own answer [B, C, H, W], in units of `scale`."""
        told = torch.zeros(len(like), device=like.device)
        return _asked(self.net, torch.zeros_like(like), told, example).to(like.dtype)

    def __call__(self, x: Tensor, level: Level, example: Example = NOTHING) -> Tensor:
        x0 = self.scale * self.raw(x, example)
        return x0 + example.base if self.residual and example.base is not None else x0

    def given(self, example: Example = NOTHING) -> Denoise:
        """The function of (x, level) that samplers and wrappers take; ignores both."""
        return lambda x, level: self(x, level, example)


def _asked(net: nn.Module, x: Tensor, told: Tensor, example: Example) -> Tensor:
    """A network's answer; one that knows of no labels need not take any."""
    more = () if example.label is None else (example.label,)
    return net(x, told, example.cond, *more)


TERMINAL_ALPHA_BAR = 1e-3
"""How much signal may be left where a sampler starts from pure noise."""


def start(noise: Tensor, level: Level, base: Tensor | None = None, spread: float = 1.0) -> Tensor:
    """x at the noisy end of a walk: sigma * noise, or alpha * base + sigma * noise for residual models.

    spread: the standard deviation of what the noise must hide: 1 for pictures, sigma_data for residuals.
    ValueError where the level leaves signal that the start does not have: the result would be noise and tints.
    """
    logsnr = level.logsnr.max().item() + 2 * math.log(spread)
    left = 1 / (1 + math.exp(-logsnr))
    if left > TERMINAL_ALPHA_BAR:
        raise ValueError(
            f"the walk would start from pure noise where alpha-bar is still {left:.3g}; "
            f"it must be at most {TERMINAL_ALPHA_BAR:g}, or the picture keeps noise and a tint. "
            "Use larger betas (or a larger sigma_max) for fewer steps"
        )
    a, s = level.like(noise)
    return s * noise if base is None else (s * noise).add_(a * base)  # large pictures are slow to find room for
