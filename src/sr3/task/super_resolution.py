"""Super-resolution by an integer factor."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sr3.diffusion.denoiser import Example
from sr3.picture.picture import Picture
from sr3.picture.resize import enlarge, project, resize, round8, shrink
from sr3.random import Stream
from sr3.task.base import Given
from sr3.task.damage import Damage
from sr3.task.data_term import Exact


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with one sigma (in pixels) per example, 3 x 3 taps as sigma stays below 0.7."""
    side = torch.exp(-0.5 / sigma.clamp(min=1e-3).to(x) ** 2)
    taps = torch.stack([side, torch.ones_like(side), side], dim=1)
    taps = taps / taps.sum(dim=1, keepdim=True)
    kernel = taps[:, :, None] * taps[:, None, :]
    b, c, h, w = x.shape
    kernel = kernel.repeat_interleave(c, dim=0)[:, None]
    return F.conv2d(
        F.pad(x, (1, 1, 1, 1), mode="replicate").reshape(1, b * c, h + 2, w + 2), kernel, groups=b * c
    ).view(b, c, h, w)


@dataclass(frozen=True)
class SuperResolution:
    """Enlarge by `factor`; the degradation is antialiased bicubic (a = -0.5), rounded to 8 bits as a file is.

    blur: the share of training examples whose low-resolution picture is also blurred a little, by 3 x 3 taps of sigma
        0.4 to 0.6 low-resolution pixels: SR3's augmentation for cascades (Saharia et al. 2021, table 5), which does
        not say how much; the figures are those of Cascaded Diffusion Models (Ho et al. 2021).  Never in use.
    damage: what the world does to training examples, instead of the plain reduction and of `blur`.  Never in use.
    """

    factor: int = 4
    blur: float = 0.0
    damage: Damage | None = None
    method = "sr3"
    command = "upscale photo.jpg"
    colours = False
    baseline_name = "bicubic"
    given_name = "low resolution"
    degradation = "antialiased bicubic, a = -0.5, float, then rounded to 8 bits"

    @property
    def channels(self) -> int:
        return 3

    @property
    def border(self) -> int:
        return self.factor

    def result_size(self, given: Given) -> tuple[int, int]:
        return given.image.shape[-2] * self.factor, given.image.shape[-1] * self.factor

    def baseline(self, given: Given) -> Tensor:
        return enlarge(given.image, self.factor)

    def take(self, picture: Picture, file: Path | bytes | None = None) -> Given:
        return Given(picture.rgb)

    def certain(self, given: Given) -> str:
        return Exact().said

    def reduced(self, given: Given, size: tuple[int, int]) -> Given:
        return Given(resize(given.image, size))

    def windows(self, given: Given, least: int) -> list[tuple[slice, slice]]:
        return [(slice(0, given.image.shape[-2]), slice(0, given.image.shape[-1]))]

    def enlarged(self, made: Tensor, small: Given, given: Given) -> Tensor:
        return resize(made, self.result_size(given)).clamp(-1, 1)

    def again(self, made: Tensor, given: Given) -> Tensor:
        return self.degrade(made).image

    def degrade(self, clean: Tensor, *, rng: Stream | None = None) -> Given:
        if rng is not None and self.damage is not None:
            return Given(self.damage(clean, self.factor, rng=rng))
        small = shrink(clean, self.factor)
        if rng is not None and self.blur > 0:
            chosen = (rng.uniform() < self.blur).to(small.device)[:, None, None, None]
            small = torch.where(chosen, _blurred(small, 0.4 + 0.2 * rng.uniform()), small)
        return Given(round8(small))

    def prepare(self, given: Given) -> Example:
        large = self.baseline(given)
        return Example(cond=large, base=large)

    def reduce(self, made: Tensor) -> Tensor:
        return shrink(made, self.factor)

    def project(self, made: Tensor, given: Given) -> Tensor:
        return project(made, given.image, self.factor)

    def finish(self, made: Tensor, given: Given) -> Tensor:
        # clamping spoils the agreement where the picture is near black or white, and projecting again restores it;
        # alternating between the two convex sets converges, and ends inside the range
        # one picture after another, so that none is visited more often for its neighbours
        pairs = zip(made.split(1), given.image.split(1), strict=True)
        return torch.cat([self._settled(one, image) for one, image in pairs])

    def _settled(self, made: Tensor, image: Tensor) -> Tensor:
        for _ in range(8):
            made = self.project(made, Given(image))
            low, high = (end.item() for end in made.aminmax())
            if low >= -1 and high <= 1:
                break
            made.clamp_(-1, 1)
        return made
