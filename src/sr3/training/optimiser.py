"""The optimisers, over weights in one vector: each leaves everything as it is where a step was not finite."""

import torch
from torch import Tensor, nn

from sr3.training.flat import Flat

_ROUNDS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
"""Rounds of the quintic a x + b x^3 + c x^5, and its coefficients, by which Jordan et al. bring singular values to
about 1: what is at least 1/200 of the norm ends between 0.68 and 1.16."""


def orthogonal(matrix: Tensor) -> Tensor:
    """The same singular vectors with singular values of about 1, [m, n] -> [m, n]; a matrix of zeros stays one.

    By Newton and Schulz's iteration, matrix products alone (Jordan et al. 2024, "Muon: an optimizer for hidden layers
    in neural networks").
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-12)
    a, b, c = _COEFFICIENTS
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Adam:
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019): one kernel for all weights.

    moments: "step", "exp_avg" and "exp_avg_sq", as PyTorch calls them.  betas: the decays of the last two.
    """

    def __init__(
        self,
        weights: nn.Parameter,
        moments: dict[str, Tensor],
        *,
        rate: float,
        betas: tuple[float, float],
        decay: float,
    ):
        self.adam = torch.optim.AdamW([weights], lr=rate, betas=betas, weight_decay=decay, fused=True)
        self.adam.state[weights] = moments

    def step(self, rate: float, good: Tensor) -> None:
        """Move the weights where `good` is 1."""
        self.adam.param_groups[0]["lr"] = rate
        if good.device.type in ("cpu", "cuda"):
            # the fused optimiser reads this on the device and leaves everything as it is where it is 1
            self.adam.found_inf = 1 - good  # pyright: ignore[reportAttributeAccessIssue]
        elif not good.item():
            return
        self.adam.step()


class Muon:
    """Muon for all weights with two dimensions or more, Adam for the others.

    A matrix W [m, n] (a convolution's is [out, in height width]) moves against its gradient's Nesterov momentum, made
    orthogonal and 0.2 sqrt(max(m, n)) times as large: an RMS of about 0.2 a step, which is Adam's, so that one learning
    rate and one weight decay serve both (Liu et al. 2025, "Muon is scalable for LLM training", equation 4).

    flat: with the matrices first.  moments: Adam's, of which the first is the matrices' momentum.
    """

    momentum = 0.95

    def __init__(
        self, flat: Flat, moments: dict[str, Tensor], *, rate: float, betas: tuple[float, float], decay: float
    ):
        self.decay = decay
        vectors = (flat.weights.detach(), flat.gradient, moments["exp_avg"])
        self.matrices = list(zip(*map(flat.matrices, vectors), strict=True))
        begin = flat.places[len(self.matrices)]
        others = nn.Parameter(flat.weights.detach()[begin:])
        others.grad = flat.gradient[begin:]
        held = {name: moment[begin:] if moment.ndim else moment for name, moment in moments.items()}
        self.adam = Adam(others, held, rate=rate, betas=betas, decay=decay)

    @torch.no_grad()
    def step(self, rate: float, good: Tensor) -> None:
        """Move the weights where `good` is 1."""
        self.adam.step(rate, good)
        for weight, gradient, held in self.matrices:
            slope = torch.where(good > 0, gradient, 0)
            held.add_(good * (slope - (1 - self.momentum) * held))
            weight.mul_(1 - good * rate * self.decay)
            size = rate * 0.2 * max(weight.shape) ** 0.5
            weight.sub_(good * size * orthogonal(slope + self.momentum * held))
