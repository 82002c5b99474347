"""The restorer: a picture in, a better picture out, by any model and any sampler."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.sample import Step, last
from sr3.diffusion.wrap import clipped, projected
from sr3.model.config import ConfigError, Sampling
from sr3.model.device import PRECISIONS, pick_device, pick_precision
from sr3.model.model import Model
from sr3.picture.bleed import bled
from sr3.picture.image import decoded, to_pil
from sr3.picture.picture import Picture, all_finite
from sr3.picture.resize import resize
from sr3.random import Seeds, staged
from sr3.restore import large
from sr3.restore.agreement import FREE, HELD, Agreement, agreement, taken
from sr3.restore.beside import Aside, Beside
from sr3.restore.keep import Keep
from sr3.restore.note import enlarging_note
from sr3.restore.restored import Progress, Restored, finite, noted, restored
from sr3.restore.size import check_sides, made_size, passes, target_size
from sr3.restore.tiles import BLEND, TILE, Runner, check_tile
from sr3.task import Given, Restoration

if TYPE_CHECKING:
    from sr3.restore.many import One


def needs_picture(model: Model) -> Restoration:
    """The model's task; ConfigError for a model that makes pictures from nothing, where it would be given one."""
    if not isinstance(model.task, Restoration):
        name = model.config.name
        raise ConfigError(f"{name} makes pictures from nothing and is given none; use sr3 generate --model {name}")
    return model.task


class Restorer:
    """A model made ready for use on one device.

        restorer = Restorer.load("photo-4x")
        restorer("small.jpg").save("large.png")

    model: from `Model.from_pretrained`.
    device: "auto", "cpu", "cuda", "mps"; precision: "auto", "fp32", "bf16", "fp16".
    tile: side, in pixels of the result, of the pieces that the network is given one at a time; smaller needs less
        memory and gives the same picture.
    memory: bytes that the process may take; larger pictures are made by bands, where they can be (`sr3.restore.large`),
        and are then a `LargePicture`, or else in smaller tiles.  None: whatever it takes.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str | None = None,
        precision: str | None = None,
        tile: int | None = None,
        memory: int | None = None,
    ):
        self.model = model
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.tile = self.largest = TILE if tile is None else tile
        self.heard: Callable[[int | Beside | Aside], None] | None = None
        """Called, where it is set, as a `Runner`'s is."""
        self.memory, self.bands = memory, True  # bands: to be set to False where pictures are wanted whole
        self.near: Path | None = None
        """The folder that large pictures are kept in until they are saved; None: the system's."""
        check_tile(model, self.tile)
        for one in model.chain:
            one.net.eval().requires_grad_(False)
            one.net.to(device=self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> "Restorer":
        """A restorer by a model's name, file or Hub id; options as for the class."""
        return cls(Model.from_pretrained(name), **options)

    def beside(self, model: Model) -> "Restorer":
        """A restorer of another model, on the same device and in the same precision."""
        precision = next(name for name, dtype in PRECISIONS.items() if dtype == self.dtype)
        return Restorer(model, device=str(self.device), precision=precision)

    def settings(
        self,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        spacing: str | None = None,
        quality: str | None = None,
        samples: int = 1,
    ) -> Sampling:
        """The model's own way of sampling, with what is asked for instead.  ConfigError for what cannot be had.

        quality: "fast", "balanced" or "best", as `sr3 tune` found them for this model.
        samples: how many different answers are wanted; a regression has one.
        """
        return self.model.walk.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality, samples=samples)

    def least(self, have: tuple[int, int], want: tuple[int, int], settings: Sampling, samples: int = 1) -> int | None:
        """Bytes that a result of a size (width, height) takes at least by bands; None where it cannot be made so."""
        cut = self.memory is not None and samples == 1 and large.suits(self.model, settings, have, want)
        return large.least(self.model, settings, made_size(have, want, self.model.task.factor)) if cut else None

    def refine(
        self,
        given: Given,
        seeds: Sequence[int],
        *,
        settings: Sampling | None = None,
        free: bool = False,
        held: Agreement = HELD,
        wrap: Callable[[Denoise], Denoise] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Iterator[Step]:
        """Walk from noise to a batch of pictures; `given.image` is [B, C, h, w] in [-1, 1], one seed for each.

        free: do not hold the result to what was given; otherwise every step's estimate is projected onto it.
        held: what it is held to, and how far; by default exactly to what was given.
        wrap: a wrapper, as those of `sr3.diffusion.wrap`, to put around the denoiser last.
        dtype: another precision than the restorer's.
        """
        task, given = self.model.task, given.to(self.device)
        run = Runner(self.device, dtype or self.dtype, self.tile, self.heard)
        size = task.result_size(given)
        with torch.inference_mode():
            example = self.model.prepare(given, replace(run, heard=None))
            run.begins(task, FREE if free else held, given)
        denoise = clipped(run(self.model, example, size))
        if not free and held.share > 0:
            denoise = projected(denoise, lambda x0: held.project(task, x0, given))
        if wrap is not None:
            denoise = wrap(denoise)
        blank = torch.zeros((), device=self.device).expand(len(seeds), 3, *size)
        steps = self.model.walk(denoise, blank, Seeds(seeds), settings or self.model.config.sampling, example)
        with torch.inference_mode():
            yield from steps

    def make(self, given: Given, seeds: Sequence[int], *, check: bool = True, **options: Any) -> Tensor:
        """Where `refine` ends, finished: [B, 3, H, W] in [-1, 1] on the CPU; options as for `refine`.

        What is not finite is made again in fp32.  check: ConfigError where that does not help; otherwise it is handed
        over as it is.
        """
        x = self.mended(last(self.refine(given, seeds, **options)), given, seeds, **options)
        return self._finish(finite(x) if check else x, given, **options)

    def finish(self, x: Tensor, given: Given, seeds: Sequence[int], **options: Any) -> Tensor:
        """What `make` makes, of a walk that has ended at x."""
        return self._finish(finite(self.mended(x, given, seeds, **options)), given, **options)

    def mended(self, x: Tensor, given: Given, seeds: Sequence[int], **options: Any) -> Tensor:
        """x [B, ...], where a walk with these options has ended, with what is not finite walked again in fp32."""
        if self.dtype == torch.float32 or all_finite(x):
            return x
        lost = ~torch.isfinite(x).flatten(1).all(1)
        warnings.warn("the result was not finite; computing again in fp32", RuntimeWarning, stacklevel=3)
        again = last(self.refine(given, seeds, dtype=torch.float32, **options))
        return torch.where(lost[:, None, None, None], again, x)

    def _finish(
        self, made: Tensor, given: Given, *, free: bool = False, held: Agreement = HELD, **_options: Any
    ) -> Tensor:
        given = given.to(made.device)
        with torch.inference_mode():
            done = (FREE if free else held).finish(self.model.task, made, given)
        return done.float().cpu()

    def stream(
        self,
        picture: Any,
        *,
        given: Given | None = None,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        samples: int = 1,
        free: bool = False,
        fidelity: float = 1.0,
        noise: float | None = None,
        keep: Tensor | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        spacing: str | None = None,
        quality: str | None = None,
    ) -> Iterator[Progress | Restored]:
        """Restore one picture, step by step: yields a `Progress` for each step and last the `Restored`.

        picture: a path, open file, bytes, PIL image, array, tensor or `Picture`; see `sr3.picture.image.decoded`.
        given: what the model's task is given of it, where that is more than the picture says by itself.
        scale: how many times larger, at least 1; size: (width, height) instead.  Default: the model's factor.
        samples: how many variants; their seeds are seed, seed + 1, …
        free, fidelity, noise: how far the result is held to the picture, 1 is fully and free is 0, and what noise is
            known to be in it; what it is held to is chosen from the file, see `sr3.restore.agreement.agreement`.
        keep: bool [1, 1, h, w] of the picture; where True, it is only enlarged, and nothing is made up.
        quality: "fast", "balanced" or "best"; see `settings`.
        """
        task = needs_picture(self.model)
        (source, origin), factor = decoded(picture), task.factor
        if given is None:
            given, source = taken(task, bled(source), None if free else origin)
        how = self.settings(steps=steps, sampler=sampler, spacing=spacing, quality=quality)
        if samples < 1:
            raise ConfigError(f"{samples} samples cannot be made; give at least 1")
        have = (given.image.shape[-1], given.image.shape[-2])
        wide, high = target_size(have, factor, scale, size)
        check_sides(self.model.config, have, factor ** (passes(have, (wide, high), factor) - 1))
        chosen = agreement(task, origin, source, given=given, fidelity=0.0 if free else fidelity, noise=noise)
        alone = self.bands and keep is None and given.mask is None
        memory = None if not alone or self.least(have, (wide, high), how, samples) is None else self.memory
        made = made_size(have, (wide, high), factor)
        cut = memory is not None and not large.fits_whole(made, memory, large.each(task))
        if self.memory is not None and self.device.type == "cpu":  # an accelerator's tiles are in its own
            self.tile = self.largest if cut else large.tile_for(self.model, made, samples, self.memory, self.largest)
        asked: dict[str, Any] = dict(scale=scale, size=size, steps=steps, sampler=sampler, spacing=spacing)
        asked |= dict(quality=quality, seed=seed, samples=samples, free=free, fidelity=fidelity, noise=noise)
        note = enlarging_note(self, asked, origin)
        while True:
            walk = self._at_once(source, given, chosen, how, (wide, high), seed, samples, keep)
            if cut:
                run = Runner(self.device, self.dtype, self.tile, self.heard)
                each = (self.model, run, source, given, chosen, how, seed)
                walk = large.stream(*each, memory=memory or 0, want=(wide, high), near=self.near)
            try:
                yield from noted(walk, note)
                return
            except (RuntimeError, MemoryError) as error:
                if cut or not large.out_of_memory(error) or not (memory or self._halve((wide, high))):
                    raise
            # what it has taken so far is free here
            cut, memory = memory is not None, memory and memory // 2

    def _halve(self, size: tuple[int, int]) -> bool:
        """Make tiles half as large as did not fit for a result of this size; False where they are too small already."""
        before = self.tile
        self.tile = self.largest = max(2 * BLEND, min(self.tile, max(size)) // 2)
        return self.tile < before

    def _at_once(
        self,
        source: Picture,
        given: Given,
        chosen: Agreement,
        how: Sampling,
        want: tuple[int, int],
        seed: int,
        samples: int,
        keep: Tensor | None,
    ) -> Iterator[Progress | Restored]:
        """`stream`, with all of the picture in memory; want: (width, height) of the result."""
        task, (wide, high) = needs_picture(self.model), want
        count = passes((given.image.shape[-1], given.image.shape[-2]), want, task.factor)
        # what a later pass is given is no file
        each_held = [chosen, *[Agreement(share=chosen.share)] * (count - 1)]
        total, done = count * samples * how.steps, 0
        variants: list[Tensor] = []
        for k in range(samples):
            now, made, there = given, given.image, keep
            for number, held in enumerate(each_held):
                # the same noise in every pass would repeat its pattern at two sizes
                own, step = [staged(seed + k, number)], None
                stays = None if there is None else Keep.of(task, now, there)
                wrap = None if stays is None else stays.wrap
                for step in self.refine(now, own, settings=how, held=held, wrap=wrap):
                    done += 1
                    yield Progress(done, total, step, chosen.said)
                assert step is not None
                made = self.finish(step.x, now, own, settings=how, held=held, wrap=wrap)
                if stays is not None:
                    made, there = stays.join(made), ~stays.made
                now = Given(made)
            variants.append(made if (made.shape[-1], made.shape[-2]) == (wide, high) else resize(made, (high, wide)))
        hold = partial(chosen.finish, task, given=given) if task.colours else None
        yield replace(restored(source, variants, colours=task.colours, hold=hold), held=chosen.said)

    def __call__(self, picture: Any, **options: Any) -> Image.Image:
        """Restore one picture; options as for `stream`.  With samples > 1: the first variant."""
        return to_pil(self.restore(picture, **options).variants[0])

    def restore(self, picture: Any, **options: Any) -> Restored:
        """Restore one picture; options as for `stream`."""
        *_, result = self.stream(picture, **options)
        assert isinstance(result, Restored)
        return result

    def many(self, things: Iterable[Any], **options: Any) -> "Iterator[One]":
        """Restore many pictures, one after another or small ones together; see `sr3.restore.many.many`."""
        from sr3.restore.many import many

        return many(self, things, **options)
