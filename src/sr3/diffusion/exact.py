"""Exact denoisers: what a perfectly trained network would answer, in closed form, for data that are known.

They stand in for networks in tests and experiments.  Each is a `Denoise`, (x_t [B, ...], level) -> E[x0 | x_t], and
knows its log density and its score at every noise level.  All need sigma > 0 or a spread > 0.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sr3.diffusion.level import Level


@dataclass(frozen=True)
class Gaussian:
    """Data whose pixels are independent N(mean, std**2); both broadcast to x."""

    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """E[x0 | x_t], of x's shape."""
        a, s = level.like(x)
        return self.mean + a * self.std**2 / (a**2 * self.std**2 + s**2) * (x - a * self.mean)

    def log_density(self, x: Tensor, level: Level) -> Tensor:
        """log p(x_t), [B]."""
        a, s = level.like(x)
        variance = a**2 * self.std**2 + s**2
        each = -((x - a * self.mean) ** 2) / (2 * variance) - 0.5 * (2 * math.pi * variance).log()
        return each.flatten(1).sum(1)

    def score(self, x: Tensor, level: Level) -> Tensor:
        """The gradient of log p(x_t), of x's shape."""
        a, s = level.like(x)
        return -(x - a * self.mean) / (a**2 * self.std**2 + s**2)

    def draw(self, like: Tensor, rng: Generator) -> Tensor:
        """Data of the shape and type of `like`."""
        return self.mean + self.std * torch.randn(like.shape, generator=rng, dtype=like.dtype)


@dataclass(frozen=True)
class Normal:
    """Data from N(mean, covariance): pixels that depend on one another.

    mean: of the shape of one example, of D numbers.  covariance: [D, D].
    """

    mean: Tensor
    covariance: Tensor

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """E[x0 | x_t], of x's shape: Tweedie's formula."""
        a, s = level.like(x)
        return (x + s**2 * self.score(x, level)) / a

    def log_density(self, x: Tensor, level: Level) -> Tensor:
        """log p(x_t), [B]."""
        away, pull, logdet = self._parts(x, level)
        return -((away * pull).sum(1) + logdet + away.shape[1] * math.log(2 * math.pi)) / 2

    def score(self, x: Tensor, level: Level) -> Tensor:
        """The gradient of log p(x_t), of x's shape."""
        return -self._parts(x, level)[1].reshape(x.shape)

    def draw(self, count: int, rng: Generator) -> Tensor:
        """`count` examples."""
        root = torch.linalg.cholesky(self.covariance)
        noise = torch.randn((count, len(root)), generator=rng, dtype=root.dtype)
        return self.mean + (noise @ root.T).reshape(count, *self.mean.shape)

    def _parts(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor]:
        """x - alpha * mean [B, D], the inverse covariance of x_t times that, and its log determinant [B | 1]."""
        a, s = (c.reshape(-1, 1) for c in level.like(x))
        values, vectors = torch.linalg.eigh(self.covariance.to(x))
        variance = a**2 * values + s**2  # [B | 1, D]
        away = x.flatten(1) - a * self.mean.to(x).flatten()
        return away, ((away @ vectors) / variance) @ vectors.T, variance.log().sum(1)


@dataclass(frozen=True)
class Mixture:
    """Data from K Gaussians, component k being N(means[k], stds[k]**2) in every pixel.

    means: [K, ...], each of the shape of one example.  stds: [K].  weights: [K], adding up to 1; None: all the same.
    """

    means: Tensor
    stds: Tensor
    weights: Tensor | None = None

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """E[x0 | x_t], of x's shape: each component's answer, weighed by how likely x_t came from it."""
        alpha, means, away, variance = self._parts(x, level)
        each = means + (alpha * self.stds.to(x) ** 2 / variance)[..., None] * away  # [B, K, D]
        share = self._joint(away, variance).softmax(1)
        return (share[..., None] * each).sum(1).reshape(x.shape)

    def log_density(self, x: Tensor, level: Level) -> Tensor:
        """log p(x_t), [B]."""
        _, _, away, variance = self._parts(x, level)
        return self._joint(away, variance).logsumexp(1)

    def score(self, x: Tensor, level: Level) -> Tensor:
        """The gradient of log p(x_t), of x's shape."""
        _, _, away, variance = self._parts(x, level)
        share = self._joint(away, variance).softmax(1)
        return -((share / variance)[..., None] * away).sum(1).reshape(x.shape)

    def draw(self, count: int, rng: Generator) -> Tensor:
        """`count` examples."""
        which = torch.multinomial(self._weights(), count, replacement=True, generator=rng)
        noise = torch.randn((count, *self.means.shape[1:]), generator=rng, dtype=self.means.dtype)
        return self.means[which] + self.stds[which].reshape(-1, *[1] * (self.means.ndim - 1)) * noise

    def _weights(self) -> Tensor:
        return torch.full_like(self.stds, 1 / len(self.stds)) if self.weights is None else self.weights

    def _parts(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha [B | 1, 1], the means [K, D], x - alpha * means [B, K, D], and the variance of that [B | 1, K]."""
        a, s = (c.reshape(-1, 1) for c in level.like(x))
        means = self.means.to(x).flatten(1)
        away = x.flatten(1)[:, None] - a[..., None] * means
        return a, means, away, (a * self.stds.to(x)) ** 2 + s**2

    def _joint(self, away: Tensor, variance: Tensor) -> Tensor:
        """log p(x_t, component), [B, K]."""
        size = away.shape[-1]
        likelihood = -away.square().sum(-1) / (2 * variance) - size / 2 * (2 * math.pi * variance).log()
        return likelihood + self._weights().to(away).log()


def points(data: Tensor) -> Mixture:
    """A finite data set [K, ...], each example as likely as any other: what a network that learns by heart knows."""
    return Mixture(data, torch.zeros(len(data), dtype=data.dtype, device=data.device))
