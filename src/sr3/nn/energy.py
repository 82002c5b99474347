"""A network whose answer is the gradient of a scalar: an energy in place of a field."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class EnergyScore(nn.Module):
    """score = -grad_x E(x): the score of the density proportional to exp(-E), which no other field is.

    (x [B, ...], told [B], cond | None) -> x's shape.  E is the sum of the inner network's answer over all but the
    batch, so that scalar networks and those that answer with a picture both serve; Hyvärinen (2005), section 2, and
    Salimans & Ho (2021), section 3.  With the Score prediction the answer is the score itself; with Eps, sigma * E is
    the energy and the sign is the network's to learn.

    Training needs the second derivative of every operation in `net`; attention is told to use the one kernel that has
    it.  The gradient is taken under `torch.no_grad` and `torch.inference_mode` too.
    """

    needs_double_backward = True
    """Read by `score_matching.needs_double_backward`."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def energy(self, x: Tensor, told: Tensor, cond: Tensor | None = None) -> Tensor:
        """E(x), [B]: minus the log density, up to a constant that depends on the level."""
        with sdpa_kernel(SDPBackend.MATH):
            return self.net(x, told, cond).flatten(1).sum(1)

    def forward(self, x: Tensor, told: Tensor, cond: Tensor | None = None) -> Tensor:
        """-grad_x E(x), x's shape."""
        keep = torch.is_grad_enabled()
        # tensors born in inference mode cannot be differentiated: work on copies made outside it
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone() if keep and x.requires_grad else x.clone().detach().requires_grad_()
            told, cond = told.clone(), None if cond is None else cond.clone()
            total = self.energy(x, told, cond).sum()
            return -torch.autograd.grad(total, x, create_graph=keep)[0]
