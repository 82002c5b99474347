"""Join: is there a step where what was made meets what was given?"""

import torch
from torch import Tensor

from sr3.metric.base import PerPicture, nan


def join(made: Tensor, mask: Tensor) -> Tensor:
    """How steep pictures [B, 3, H, W] are across the border of their holes [B, 1, H, W], over what they are elsewhere.

    The mean absolute difference of neighbours of which one is in the hole (True) and one is not, over that of
    neighbours of which neither is: [B].  NaN where there are none of either, and where all that is known is plain.
    """
    inside = mask[:, 0].double()
    across, known = torch.zeros(2, 2, len(made), dtype=torch.float64)  # each: sum, count
    for axis in (-1, -2):
        step = made.double().diff(dim=axis).abs().mean(1)
        one, other = (inside.narrow(axis, k, inside.shape[axis] - 1) for k in (0, 1))
        for sums, chosen in ((across, (one - other).abs()), (known, (1 - one) * (1 - other))):
            sums[0] += (step * chosen).sum((1, 2)).cpu()
            sums[1] += chosen.sum((1, 2)).cpu()
    sound = (across[1] > 0) & (known[0] > 0)
    found = (across[0] / across[1].clamp(min=1)) / (known[0] / known[1].clamp(min=1)).clamp(min=1e-300)
    return torch.where(sound, found, nan(len(made)))


class Join(PerPicture):
    """Mean over pictures of `join`: 1 where the border is as the rest of the picture, more where a step is seen."""

    higher_is_better = False
    names = ("join",)

    def update(self, made: Tensor, mask: Tensor) -> None:
        """Add a batch and its holes."""
        self.means.add("join", join(made, mask))
