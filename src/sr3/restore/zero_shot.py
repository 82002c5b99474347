"""Zero-shot restoration: an unconditional model, held to what is known of the picture.

Nothing is trained for it.  The estimate of x0 at every step is corrected to agree with what is given: known pixels are
put in (`sr3.diffusion.wrap.known`), or the estimate is projected onto the pictures that shrink to a given one
(`sr3.diffusion.wrap.projected`; Wang et al. 2023, DDNM, eq. 13).  Both are the same correction, x0 + A⁺(y - A x0),
and go with every sampler.  What is given is agreed with: known pixels exactly, a smaller picture up to what the range
of pictures leaves open near black and white.  The rest is a draw from what the model thinks fits where its pixels are
independent of the known ones, and an approximation otherwise: the noise in x stays the model's own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.sample import Step
from sr3.diffusion.wrap import known, projected
from sr3.model.config import ConfigError
from sr3.picture.resize import project
from sr3.restore.restorer import Restorer
from sr3.task import Generation, SuperResolution
from sr3.task.base import Given

Hold = Callable[[Denoise], Denoise]
"""A wrapper that holds a denoiser to what is given."""


def inpainting(picture: Tensor, mask: Tensor) -> Hold:
    """Hold to the pixels of `picture` [B, C, H, W] where `mask`, bool [B or 1, 1, H, W], is False."""
    return lambda denoise: known(denoise, picture, mask)


def enlarging(small: Tensor, factor: int) -> Hold:
    """Hold to the pictures that shrink (`sr3.picture.resize.shrink`) to `small` [B, C, h, w] by `factor`."""
    return lambda denoise: projected(denoise, lambda x0: project(x0, small.to(x0), factor))


def stream(
    restorer: Restorer,
    given: Tensor,
    seeds: Sequence[int],
    *,
    mask: Tensor | None = None,
    factor: int | None = None,
    **options: Any,
) -> Iterator[Step]:
    """The steps of `restore`, whose arguments these are."""
    blank, hold = _held(restorer, given, seeds, mask, factor)
    return restorer.refine(blank, seeds, settings=restorer.settings(**options), wrap=hold)


def restore(
    restorer: Restorer,
    given: Tensor,
    seeds: Sequence[int],
    *,
    mask: Tensor | None = None,
    factor: int | None = None,
    **options: Any,
) -> Tensor:
    """Pictures made by an unconditional model that agree with a given one: [B, 3, H, W] in [-1, 1], one for each seed.

        faces = Restorer.load("face-16")
        restore(faces, face, [1, 2, 3], mask=hole)       # other eyes in the same face
        restore(faces, tiny, [1, 2, 3], factor=4)        # a face of 16x16 for one of 4x4

    given: [1 or B, 3, h, w] in [-1, 1].
    mask: bool, [1 or B, 1, H, W], True = pixels to be made; the others stay as they are.
    factor: how many times larger the result is than what is given; the result shrinks to it again.
    Options as for `Restorer.settings`.  What is not finite is made again in fp32.  ConfigError for a model that is not
    unconditional, for a mask and a factor at once or neither, for sizes that are not the model's, and for what is not
    finite in fp32 either.
    """
    blank, hold = _held(restorer, given, seeds, mask, factor)
    made = restorer.make(blank, seeds, settings=restorer.settings(**options), wrap=hold)
    if mask is not None:
        return torch.where(mask.cpu(), made, given.cpu())
    assert factor is not None
    # finish projects and clamps in turn, until both hold
    return SuperResolution(factor).finish(made, Given(given.cpu().expand(len(made), -1, -1, -1)))


def _held(
    restorer: Restorer, given: Tensor, seeds: Sequence[int], mask: Tensor | None, factor: int | None
) -> tuple[Given, Hold]:
    """What the model itself is given, which is nothing, and what holds it to the picture."""
    task, name = restorer.model.task, restorer.model.config.name
    if not isinstance(task, Generation):
        raise ConfigError(f"{name} is no unconditional model; zero-shot restoration needs one, such as face-16")
    if (mask is None) == (factor is None):
        raise ConfigError("give a mask to fill in or a factor to enlarge by, one of them")
    if factor is not None and factor < 1:
        raise ConfigError(f"a picture cannot be enlarged {factor} times")
    high, wide = (side * (factor or 1) for side in given.shape[-2:])
    if (high, wide) != task.sides:
        raise ConfigError(f"{name} makes pictures of {task.sides[1]}x{task.sides[0]}, and this would be {wide}x{high}")
    if mask is not None and (mask.dtype != torch.bool or mask.shape[-2:] != given.shape[-2:]):
        raise ConfigError("the mask is not bool, or not as large as the picture")
    count = len(seeds)
    if any(len(part) not in (1, count) for part in (given, *([] if mask is None else [mask]))):
        raise ConfigError(f"{count} seeds need one picture and mask for all, or {count}")
    each = given.expand(count, -1, -1, -1).to(restorer.device)
    if mask is not None:
        return task.empty(count), inpainting(each, mask.to(restorer.device))
    assert factor is not None
    return task.empty(count), enlarging(each, factor)
