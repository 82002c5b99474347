"""Weights in one flat vector."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Flat:
    """A network's parameters and gradients as views of two vectors.

    The optimiser, the average, the norm and the exchange between processes are then one tensor each: one kernel
    instead of hundreds, and none of the refusals of fused optimisers where a gradient's memory lies otherwise than its
    weight's.  Buffers stay where they are: they are kept with the weights, but neither trained nor averaged.
    """

    def __init__(self, net: nn.Module, *, matrices_first: bool = False):
        named = list(net.named_parameters())
        if matrices_first:
            named.sort(key=lambda pair: pair[1].ndim < 2)
        self.names = [name for name, _ in named]
        self.shapes = [p.shape for _, p in named]
        kept = net.state_dict().keys()
        self.buffers = {name: buffer for name, buffer in net.named_buffers() if name in kept}
        sizes = [-(-shape.numel() // 64) * 64 for shape in self.shapes]  # aligned, as compiled kernels like it
        self.places = torch.tensor([0, *sizes]).cumsum(0).tolist()
        device = next(net.parameters()).device
        self.weights = nn.Parameter(torch.zeros(self.places[-1], device=device))
        self.gradient = torch.zeros_like(self.weights)
        self.weights.grad = self.gradient
        mine, slopes = self.views(self.weights.detach()), self.views(self.gradient)
        for name, parameter in net.named_parameters():
            mine[name].copy_(parameter.detach())
            parameter.data = mine[name]
            parameter.grad = slopes[name]

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector by the parameters' names; convolutions' weights are channels-last."""
        found: dict[str, Tensor] = {}
        for name, shape, place in zip(self.names, self.shapes, self.places[:-1], strict=True):
            part = vector[place : place + shape.numel()]
            if len(shape) == 4:
                out, into, height, width = shape
                found[name] = part.view(out, height, width, into).permute(0, 3, 1, 2)
            else:
                found[name] = part.view(shape)
        return found

    def matrices(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector's parameters of two dimensions or more as [outputs, inputs], a convolution's taps among its
        inputs."""
        pairs = zip(self.shapes, self.places[:-1], strict=True)
        return [vector[at : at + s.numel()].view(s[0], -1) for s, at in pairs if len(s) >= 2]

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """What `load_state_dict` takes: the views of a vector, and the buffers."""
        return self.views(vector.detach()) | self.buffers

    def fill(self, vector: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors by the parameters' names into a vector."""
        for name, view in self.views(vector).items():
            view.copy_(tensors[name])
