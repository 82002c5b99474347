"""The restorer: a picture in, a better picture out, by any model and any sampler."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from sr3.diffusion.denoiser import Denoise, Example, start
from sr3.diffusion.level import Level
from sr3.diffusion.path import SPACINGS, walk
from sr3.diffusion.sample import Step, last
from sr3.diffusion.tables import SAMPLERS
from sr3.diffusion.wrap import clipped, projected, tiled
from sr3.model.config import QUALITIES, ConfigError, Sampling, check, nearest
from sr3.model.device import pick_device, pick_precision
from sr3.model.model import Model
from sr3.picture.image import Picture, PictureError, from_any, to_pil
from sr3.picture.resize import resize
from sr3.picture.windows import Window
from sr3.random import Seeds
from sr3.task import Generation, Given

TILE = 1024
"""Side, in pixels of the result, of the largest piece that a network is given at once by default."""


class Progress(NamedTuple):
    """Where a restoration stands: `done` of `total` steps, and the picture as it is now thought to become."""

    done: int
    total: int
    step: Step


@dataclass(frozen=True)
class Restored:
    """What comes out: the variants, and for several of them their mean and their spread."""

    variants: list[Picture]
    mean: Picture | None = None
    spread: Picture | None = None
    """Standard deviation over the variants at each pixel, grey, white where they differ most."""


def needs_picture(model: Model) -> None:
    """ConfigError for a model that makes pictures from nothing, where it would be given one."""
    if isinstance(model.task, Generation):
        name = model.config.name
        raise ConfigError(f"{name} makes pictures from nothing and is given none; use sr3 generate --model {name}")


class Restorer:
    """A model made ready for use on one device.

        restorer = Restorer.load("photo-4x")
        restorer("small.jpg").save("large.png")

    model: from `Model.from_pretrained`.
    device: "auto", "cpu", "cuda", "mps"; precision: "auto", "fp32", "bf16", "fp16".
    tile: side, in pixels of the result, of the pieces that the network is given one at a time; smaller needs less
        memory and gives the same picture.
    """

    def __init__(
        self, model: Model, *, device: str | None = None, precision: str | None = None, tile: int | None = None
    ):
        self.model = model
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        if tile is not None and tile < 1:
            raise ConfigError(f"a tile of {tile} pixels is too small; give at least 1")
        self.tile = tile
        model.net.eval().requires_grad_(False)
        model.net.to(device=self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.first = Restorer(model.first, device=device, precision=precision, tile=tile) if model.first else None

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> "Restorer":
        """A restorer by a model's name, file or Hub id; options as for the class."""
        return cls(Model.from_pretrained(name), **options)

    def settings(
        self,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        spacing: str | None = None,
        quality: str | None = None,
    ) -> Sampling:
        """The model's own way of sampling, with what is asked for instead.  ConfigError for unknown names.

        quality: "fast", "balanced" or "best", as `sr3 tune` found them for this model.
        """
        config = self.model.config
        settings = config.sampling
        if quality is not None:
            if quality not in QUALITIES:
                raise ConfigError(f"there is no quality {quality!r}{nearest(quality, list(QUALITIES))}")
            if config.kind != "regression":
                tuned = {str(name): found for name, found in config.quality.items()}
                if quality not in tuned:
                    raise ConfigError(f"{config.name} has not been tuned and knows no {quality!r}; run sr3 tune on it")
                settings = tuned[quality]
        asked: dict[str, Any] = {}
        if sampler is not None and config.kind != "regression":
            asked["sampler"] = {"kind": sampler}
        if steps is not None and config.kind != "regression":
            if not 1 <= steps <= 10_000:
                raise ConfigError(f"{steps} steps cannot be walked; give a number from 1 to 10000")
            asked["steps"] = steps
        if spacing is not None:
            if spacing not in SPACINGS:
                raise ConfigError(f"there is no spacing {spacing!r}{nearest(spacing, list(SPACINGS))}")
            asked["spacing"] = spacing
        settings = settings.model_copy(update=asked)
        if settings.sampler.get("kind") not in SAMPLERS:
            name = str(settings.sampler.get("kind"))
            raise ConfigError(f"there is no sampler {name!r}{nearest(name, list(SAMPLERS))}")
        return settings

    def refine(
        self,
        given: Given,
        seeds: Sequence[int],
        *,
        settings: Sampling | None = None,
        free: bool = False,
        wrap: Callable[[Denoise], Denoise] | None = None,
    ) -> Iterator[Step]:
        """Walk from noise to a batch of pictures; `given.image` is [B, 3, h, w] in [-1, 1], one seed for each.

        free: do not hold the result to what was given; otherwise every step's estimate is projected onto it.
        wrap: a wrapper, as those of `sr3.diffusion.wrap`, to put around the denoiser last.
        """
        settings = settings or self.model.config.sampling
        task = self.model.task
        given = _moved(given, self.device)
        example = task.prepare(given)
        shape = (len(seeds), 3, given.image.shape[-2] * task.factor, given.image.shape[-1] * task.factor)
        noise = Seeds(seeds)
        blank = torch.zeros(shape, device=self.device)
        if self.first is not None:  # like Model.prepare, in tiles
            with torch.inference_mode():
                guess = self.first._network(self.first.model.task.prepare(given), shape)
                example = example._replace(base=guess(blank, Level(*blank.new_tensor((0.0, 1.0)))))
        regression = self.model.config.kind == "regression"
        base = example.base if self.model.config.residual else None
        try:
            path = walk(
                self.model.schedule, settings.steps, settings.spacing, high=settings.noisiest, low=settings.cleanest
            )
            x = blank if regression else start(noise(blank), path[0][0], base, self.model.spread)
        except ValueError as error:
            raise ConfigError(f"{self.model.config.name} cannot be sampled so: {error}") from error
        denoise = clipped(self._network(example, shape))
        if not free:
            denoise = projected(denoise, lambda x0: task.project(x0, given))
        if wrap is not None:
            denoise = wrap(denoise)
        sampler, options = SAMPLERS[settings.sampler["kind"]], check("sampler", SAMPLERS, settings.sampler)
        if "spread" in signature(sampler).parameters:
            options = {"spread": self.model.spread, **options}
        with torch.inference_mode():
            yield from sampler(denoise, x, path, noise=noise, **options)

    def make(self, given: Given, seeds: Sequence[int], **options: Any) -> Tensor:
        """The last picture of `refine`, finished: [B, 3, H, W] in [-1, 1] on the CPU."""
        return self._finish(last(self.refine(given, seeds, **options)), given, free=bool(options.get("free")))

    def _finish(self, made: Tensor, given: Given, *, free: bool) -> Tensor:
        given = _moved(given, made.device)
        with torch.inference_mode():
            done = made.clamp(-1, 1) if free else self.model.task.finish(made, given)
        return done.float().cpu()

    def finish(
        self, x: Tensor, given: Given, seeds: Sequence[int], *, settings: Sampling | None = None, free: bool = False
    ) -> Tensor:
        """The pictures [B, 3, H, W] in [-1, 1] that a walk which ended at x gives; walks again in fp32 if need be."""
        made = self._finish(x, given, free=free)
        if torch.isfinite(made).all():
            return made
        return self._again_in_fp32(given, seeds, settings or self.model.config.sampling, free)

    def _network(self, example: Example, shape: tuple[int, ...]) -> Denoise:
        """The denoiser of a batch, in tiles where the picture is larger than one."""
        denoiser, task = self.model.denoiser(), self.model.task
        reach = getattr(self.model.net, "reach", None)
        stride = int(getattr(self.model.net, "stride", task.factor))
        tile = self.tile or TILE

        def run(part: Example) -> Denoise:
            def denoise(x: Tensor, level: Any) -> Tensor:
                with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                    return denoiser(x, level, part).float()

            return denoise

        if max(shape[-2:]) <= tile:
            return run(example)

        def cut(window: Window) -> Denoise:
            crop = lambda t: None if t is None else t[(..., *window.outer)]  # noqa: E731
            return run(Example(*(crop(part) for part in example)))

        if reach is None:  # no bound on what a pixel sees: overlap and blend
            return tiled(cut, size=(shape[-2], shape[-1]), tile=tile, halo=32, stride=stride, blend=32)
        return tiled(cut, size=(shape[-2], shape[-1]), tile=tile, halo=int(reach), stride=stride)

    def stream(
        self,
        picture: Any,
        *,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        samples: int = 1,
        free: bool = False,
        steps: int | None = None,
        sampler: str | None = None,
        spacing: str | None = None,
        quality: str | None = None,
    ) -> Iterator[Progress | Restored]:
        """Restore one picture, step by step: yields a `Progress` for each step and last the `Restored`.

        picture: a path, PIL image, array, tensor or `Picture`; see `sr3.picture.image.from_any`.
        scale: how many times larger, at least 1; size: (width, height) instead.  Default: the model's factor.
        samples: how many variants; their seeds are seed, seed + 1, …
        quality: "fast", "balanced" or "best"; see `settings`.
        """
        needs_picture(self.model)
        source = from_any(picture)
        settings = self.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality)
        if samples < 1:
            raise ConfigError(f"{samples} samples cannot be made; give at least 1")
        wide, high = target_size(source.size, self.model.task.factor, scale, size)
        factor = self.model.task.factor
        need = max(wide / source.size[0], high / source.size[1])
        passes = max(1, math.ceil(math.log(need) / math.log(factor) - 1e-9)) if factor > 1 else 1
        self._check_sides(source.size, factor ** (passes - 1))
        total, done = passes * samples * settings.steps, 0
        variants: list[Tensor] = []
        for k in range(samples):
            made = source.rgb
            for _ in range(passes):
                given, step = Given(made), None
                for step in self.refine(given, [seed + k], settings=settings, free=free):
                    done += 1
                    yield Progress(done, total, step)
                assert step is not None
                made = self.finish(step.x, given, [seed + k], settings=settings, free=free)
            variants.append(made if (made.shape[-1], made.shape[-2]) == (wide, high) else resize(made, (high, wide)))
        yield self._restored(source, variants)

    def _check_sides(self, size: tuple[int, int], larger: int) -> None:
        """PictureError where the picture, or what the last of several passes is given, is none the model is for."""
        name, sides = self.model.config.name, self.model.config.sides
        if sides is None:
            return
        low, high = sides
        if min(size) < low or max(size) > high:
            raise PictureError(
                f"{name} is for pictures of {low} to {high} pixels a side, and this one has {size[0]}x{size[1]}; "
                + ("crop it closely, or use another model" if max(size) > high else "too little is left to go by")
            )
        if max(size) * larger > high:
            raise PictureError(
                f"{name} would have to enlarge its own result, {size[0] * larger}x{size[1] * larger}, and is for "
                f"pictures of at most {high} pixels a side; ask for less"
            )

    def __call__(self, picture: Any, **options: Any) -> Image.Image:
        """Restore one picture; options as for `stream`.  With samples > 1: the first variant."""
        return to_pil(self.restore(picture, **options).variants[0])

    def restore(self, picture: Any, **options: Any) -> Restored:
        """Restore one picture; options as for `stream`."""
        *_, result = self.stream(picture, **options)
        assert isinstance(result, Restored)
        return result

    def _again_in_fp32(self, given: Given, seeds: Sequence[int], settings: Sampling, free: bool) -> Tensor:
        warnings.warn("the result was not finite; computing again in fp32", RuntimeWarning, stacklevel=3)
        held, self.dtype = self.dtype, torch.float32
        try:
            made = self.make(given, seeds, settings=settings, free=free)
        finally:
            self.dtype = held
        if not torch.isfinite(made).all():
            raise ConfigError("the model's result is not finite even in fp32: its weights or settings are unusable")
        return made

    def _restored(self, source: Picture, variants: list[Tensor]) -> Restored:
        size = variants[0].shape[-2:]
        alpha = None
        if source.alpha is not None:
            alpha = resize(source.alpha[None], (size[0], size[1]))[0].clamp(0, 1)

        def dress(pixels: Tensor) -> Picture:
            pixels = pixels[0].clamp(-1, 1)
            if source.pixels.shape[0] == 1:
                pixels = pixels.mean(0, keepdim=True)
            return replace(source, pixels=pixels, alpha=alpha)

        if len(variants) == 1:
            return Restored([dress(variants[0])])
        stack = torch.stack(variants)
        spread = stack.std(0).mean(1)
        # two standard deviations of a tenth of the range are white: fixed, so that maps can be compared
        shown = (spread / 0.2).clamp(0, 1) * 2 - 1
        return Restored(
            [dress(v) for v in variants],
            mean=dress(stack.mean(0)),
            spread=Picture(pixels=shown, alpha=None, bits=8, keep={}),
        )


def _moved(given: Given, device: torch.device) -> Given:
    return Given(given.image.to(device), None if given.mask is None else given.mask.to(device))


def target_size(
    have: tuple[int, int], factor: int, scale: float | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) of the result.  ConfigError for both at once, and for results smaller than the picture."""
    if scale is not None and size is not None:
        raise ConfigError("give a scale or a size, not both")
    if size is not None:
        if size[0] < have[0] or size[1] < have[1]:
            raise ConfigError(
                f"the size {size[0]}x{size[1]} is smaller than the picture's {have[0]}x{have[1]}; sr3 only enlarges"
            )
        return size
    scale = float(factor) if scale is None else scale
    if not math.isfinite(scale) or scale < 1 or scale > 64:
        raise ConfigError(f"the scale {scale:g} is out of range; give a number from 1 to 64")
    return max(1, round(have[0] * scale)), max(1, round(have[1] * scale))
