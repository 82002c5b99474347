"""Large pictures: whether they are made by bands, how large these are, and what is made of them, on the disk."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from sr3.diffusion.sample import Step
from sr3.model.config import ConfigError, Sampling
from sr3.model.model import Model
from sr3.model.walk import NO_NOISE
from sr3.picture.large import LargePicture, Scratch
from sr3.picture.memory import give_back, in_use
from sr3.picture.picture import Picture, to_samples
from sr3.picture.room import WRITING, memory_for
from sr3.picture.rows import Resampling, resampled, seen_by
from sr3.restore.agreement import Agreement
from sr3.restore.bands import SETTLES, Bands, NotFiniteError, unit
from sr3.restore.beside import Beside, beside
from sr3.restore.restored import UNUSABLE, Progress, Restored
from sr3.restore.tiles import Runner, reach_of
from sr3.task import Denoising, Given, JpegRestoration, SuperResolution, Task, Uncropping
from sr3.task.data_term import Reduction

LOCAL = (SuperResolution, JpegRestoration, Denoising)
"""The tasks whose results are made, at each place, of what is given near it, so that they can be cut."""

POINTWISE = {"once": (1, 2), "ancestral": (1, 2), "ddim": (1, 3), "dpmpp": (1, 2), "heun": (2, 6)}
"""The samplers that treat each pixel alike, so that their walks can be cut: how often they ask in a step, and how many
pictures they hold meanwhile."""

MOST = 100
"""Questions of a walk by bands; of as many as this, nearly all of a picture would be under way at once."""

LEAST, LARGEST = 64, 1024
"""Rows of a band."""

_STEP = 32
"""Rows by which they differ, and more where the model's own unit asks for it."""


class Cut(NamedTuple):
    """Rows of a band, columns of a network's tile, and the bytes that it takes beside what is there before."""

    rows: int
    tile: int
    bytes: int


def suits(model: Model, settings: Sampling, have: tuple[int, int], want: tuple[int, int]) -> bool:
    """Whether a result of a size (width, height) can be made by bands: in one pass, by a network of bounded reach."""
    task, sampler = model.task, settings.sampler["kind"]
    made = (have[0] * task.factor, have[1] * task.factor)
    # what is made larger than asked for is reduced as it comes
    return (
        type(task) in LOCAL
        and (want == made or (isinstance(task, SuperResolution) and want[0] <= made[0] and want[1] <= made[1]))
        and model.first is None
        and reach_of(model) is not None
        and sampler in POINTWISE
        and _questions(model, settings) <= MOST
        and made[0] >= LEAST
    )


def each(task: Task) -> int:
    """Bytes for each pixel of a result that is made at once, while it is made and written."""
    return each_of(type(getattr(task, "own", task)))


def each_of(kind: type) -> int:
    """The same, of a kind of task."""
    return _EACH.get(kind, WRITING)


def fits_whole(size: tuple[int, int], memory: int, each: int = WRITING) -> bool:
    """Whether a result of (width, height) may be made at once, where the whole process may take so many bytes.

    each: bytes for a pixel.
    """
    return size[0] * size[1] * each <= memory - in_use()


def tile_for(model: Model, size: tuple[int, int], samples: int, memory: int, tile: int) -> int:
    """The tile with which a result of (width, height) that is made at once fits so many bytes, or else the smallest.

    It is halved from `tile` on, and stays where that would change the result: where a network sees the whole picture.
    """
    room = memory - in_use() - memory_for(size[0] * size[1], samples, each=each(model.task))
    while tile // 2 >= smallest(model, tile) and at_work(model, size, tile) > room:
        tile //= 2
    return tile


def smallest(model: Model, tile: int) -> int:
    """The side of the smallest tile that `tile_for` comes to."""
    return min(tile, 4 * LEAST) if all(reach_of(one) is not None for one in model.chain) else tile


def at_work(model: Model, size: tuple[int, int], tile: int) -> int:
    """Bytes that a tile of a result of (width, height) takes while the network is at it."""
    halo, sides = 2 * max(reach_of(one) or 0 for one in model.chain), model.config.sides
    most = max(size) if sides is None else sides[1] * model.task.factor
    wide, high = (min(side, tile + halo, most) for side in size)
    return _AT_WORK * wide * high


def cut_for(model: Model, settings: Sampling, size: tuple[int, int], memory: int, tile: int) -> Cut:
    """The largest bands with which the whole process takes no more than so many bytes, or else the smallest."""
    step, first = _steps(model)
    room = memory - in_use()
    cut = _cut(model, settings, size, first, tile)
    for rows in range(first, max(LARGEST, first) + 1, step):
        larger = _cut(model, settings, size, rows, tile)
        if larger.bytes > room:
            break
        cut = larger
    return cut


def least(model: Model, settings: Sampling, size: tuple[int, int]) -> int:
    """Bytes that a result of (width, height) takes at least by bands."""
    return cut_for(model, settings, size, 0, 4 * LEAST).bytes


def stream(
    model: Model,
    run: Runner,
    source: Picture,
    given: Given,
    held: Agreement,
    settings: Sampling,
    seed: int,
    *,
    memory: int,
    want: tuple[int, int] | None = None,
    near: Path | None = None,
) -> Iterator[Progress | Restored]:
    """Restore a picture by bands: a `Progress` for each, its step the band's, and last the `Restored`.

    want: (width, height) that it is then reduced to; by default it is not.
    Its variant is a `LargePicture` in the folder `near`.  Out of memory, the bands are halved and it begins again; so
    it does in fp32 where half precision gives what is not finite.  ConfigError where that does not help.
    """
    high, wide = model.task.result_size(given)
    cut = cut_for(model, settings, (wide, high), memory, run.tile)
    give_back(_FLOATS * wide * cut.rows // 2)
    run = replace(run, tile=cut.tile)
    bands = Bands(model, run, given, held, settings, seed, cut.rows)
    if run.heard is not None:  # the end of a band comes while others are on their way
        own, steps = beside(model.task, held, given), len(model.walk.path(settings))
        asks = POINTWISE[settings.sampler["kind"]][0]
        run.heard(Beside(own.step + own.end / steps, 0.0, high * wide, asks))
    alpha = source.alpha is not None
    scratch = Scratch(want or (wide, high), source.channels + alpha, source.bits, near)
    while True:
        try:
            yield from _written(bands, source, scratch, (high, wide), held.said)
            break
        except NotFiniteError as error:
            if bands.run.dtype == torch.float32:
                raise ConfigError(UNUSABLE) from error
            warnings.warn("the result was not finite; computing again in fp32", RuntimeWarning, stacklevel=2)
            bands = replace(bands, run=replace(bands.run, dtype=torch.float32), fields={})
        except (RuntimeError, MemoryError) as error:
            smaller = _halved(bands)
            if smaller is None or not out_of_memory(error):
                raise
            bands = smaller
        scratch.restart()
    yield Restored([LargePicture(scratch, source.keep, source.dpi)], held=held.said)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, on the CPU or on an accelerator."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def _written(bands: Bands, source: Picture, scratch: Scratch, made: tuple[int, int], said: str) -> Iterator[Progress]:
    """Each band, reduced and dressed as the whole is by `restored`, and written.  made: the whole's (height, width)."""
    level, done = NO_NOISE.first, 0
    want = (scratch.size[1], scratch.size[0])
    reduced = Resampling(made, want)
    for number, band in enumerate(bands):
        pixels = reduced(band[0]).clamp(-1, 1)
        if source.channels == 1:
            pixels = pixels.mean(0, keepdim=True)
        rows = slice(done, done + pixels.shape[1])
        if rows.stop > done:
            scratch.write(to_samples(Picture(pixels, _alpha(source, rows, want)), source.bits))
        done = rows.stop
        # the first of them is that the walk has begun
        yield Progress(number + 2, bands.count + 1, Step(band, band, level), said, part=True)


def _alpha(source: Picture, rows: slice, want: tuple[int, int]) -> torch.Tensor | None:
    if source.alpha is None:
        return None
    have = (source.size[1], source.size[0])
    seen = seen_by(rows, have[0], want[0])
    return resampled(source.alpha[:, seen], seen.start, rows, have, want).clamp(0, 1)


def _halved(bands: Bands) -> Bands | None:
    """Smaller ones; None where they are as small as can be."""
    step, first = _steps(bands.model)
    rows, tile = max(first, bands.rows // 2 // step * step), max(4 * LEAST, bands.run.tile // 2)
    if (rows, tile) == (bands.rows, bands.run.tile) or bands.run.tile < 4 * LEAST:
        return None
    return replace(bands, rows=rows, run=replace(bands.run, tile=tile), fields={})


def _steps(model: Model) -> tuple[int, int]:
    """Rows by which bands are larger and smaller, and those of the smallest."""
    step = unit(model) * -(-_STEP // unit(model))
    return step, step * -(-LEAST // step)


def _cut(model: Model, settings: Sampling, size: tuple[int, int], rows: int, tile: int) -> Cut:
    """What bands of so many rows take: x, an estimate and the one before it for all that are under way, and the tiles
    that are at work."""
    width, height = size
    tile = min(tile, LARGEST, max(width, LEAST))
    settles = SETTLES * model.task.factor if isinstance(model.task, Reduction) else 0
    questions, halo = _questions(model, settings), 2 * max(settles, reach_of(model) or 0)
    # each question is two bands further down, and what their neighbours look at is kept; one works
    each = 2 * POINTWISE[settings.sampler["kind"]][1] + 3
    rows_kept = min(questions * (each * rows + halo // 2) + 12 * rows, (each + 3) * height)
    work = _AT_WORK * (min(rows, height) + halo) * (tile + halo)
    return Cut(rows, tile, _FLOATS * width * rows_kept + work)


_FLOATS = 12
"""Bytes of a pixel in float32."""

_AT_WORK = 160
"""Bytes for each pixel of a tile while it is held to the picture given, and more than a network takes."""

_EACH: dict[type, int] = {JpegRestoration: 150, Uncropping: 140}
"""`each`, where it is not `WRITING`: the file's coefficients, and the picture before it was made wider."""


def _questions(model: Model, settings: Sampling) -> int:
    return len(model.walk.path(settings)) * POINTWISE[settings.sampler["kind"]][0]
