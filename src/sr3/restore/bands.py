"""Large pictures by bands: the memory is that of a few bands, whatever the picture's height."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise, Example
from sr3.diffusion.level import Level
from sr3.diffusion.sample import Step
from sr3.diffusion.wave import Look, Wave
from sr3.model.config import Sampling
from sr3.model.model import Model
from sr3.picture.memory import trim
from sr3.picture.windows import Window, around, blocks
from sr3.random import Rows
from sr3.restore.agreement import Agreement
from sr3.restore.beside import Aside
from sr3.restore.tiles import Runner, reach_of
from sr3.task import Given, Restoration
from sr3.task.data_term import Exact, InBins, Reduction

FADES = 16
"""Pixels of the picture given beyond which nothing is left of a projection: it falls to a third with each, and so to
less than float32 can tell."""

SETTLES = 32
"""The same of the end of a walk that is held to a file's bins or to noise, which projects until it is near."""

UNIT = 16
"""Pixels of the picture given: bands begin at multiples of it, and most JPEG files' units of blocks do."""

_MARGIN = 4
"""Pixels of the picture given, and more than an enlargement looks beyond its edges."""


See = Callable[[slice], Tensor]


class NotFiniteError(ArithmeticError):
    """A network has answered what is no picture."""


@dataclass(frozen=True)
class Bands:
    """One picture's restoration, by bands of so many rows of the result.

    model: for a task of `sr3.restore.large.LOCAL`, without a first model, its network's reach bounded.
    run: runs its network, in tiles as wide as the run's.
    given: [1, 3, h, w], and its file where that is known; no more.  held: what all of it is held to.
    rows: a multiple of `unit`.
    """

    model: Model
    run: Runner
    given: Given
    held: Agreement
    settings: Sampling
    seed: int
    rows: int
    fields: dict[int, Rows] = field(default_factory=dict[int, Rows])

    @property
    def task(self) -> Restoration:
        """The model's."""
        assert isinstance(self.model.task, Restoration)
        return self.model.task

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the result."""
        return self.task.result_size(self.given)

    @property
    def count(self) -> int:
        """How many bands there are."""
        return -(-self.size[0] // self.rows)

    def __iter__(self) -> Generator[Tensor, None, None]:
        """The bands of the result, [1, 3, n, W] in [-1, 1], from the top down; NotFiniteError where one is none."""
        height = self.size[0]
        bands = [slice(start, min(height, start + self.rows)) for start in range(0, height, self.rows)]
        looks = [self._network()]
        reduces = isinstance(self.task, Reduction)  # of other tasks nothing fades, and units of blocks are held alone
        if self.held.share > 0:
            looks.append(self._held(FADES if reduces else 0, lambda held, x, given: held.project(self.task, x, given)))
        settles = FADES if isinstance(self.held.term, Exact) else SETTLES
        end = self._held((settles if reduces else 0) if self.held.share == 1 else None, self._finish)
        self.fields.clear()
        with torch.inference_mode():
            for band in Wave(bands, self._begin, looks, [end]):
                yield band.float().cpu()

    def _begin(self, rows: slice, ask: Denoise) -> Iterator[Step]:
        """The walk of a band, which asks for what it cannot see."""
        blank = torch.zeros(1, 3, rows.stop - rows.start, self.size[1], device=self.run.device)
        base = self._example(rows, slice(0, self.size[1])).base if self.model.config.residual else None
        draws = iter(range(2**31))

        def noise(x: Tensor) -> Tensor:
            draw = next(draws)
            if draw not in self.fields:
                self.fields[draw] = Rows(self.seed, draw, (3, *self.size))
            return self.fields[draw](rows)[None].to(x.dtype).to(x.device)

        return self.model.walk(ask, blank, noise, self.settings, Example(base=base))

    def _example(self, rows: slice, columns: slice) -> Example:
        """What the network sees of a part of the result, whose edges are multiples of the factor or the picture's."""
        factor, sides = self.task.factor, self.given.image.shape[-2:]
        low = [slice(part.start // factor, part.stop // factor) for part in (rows, columns)]
        seen = [around(part, size, _MARGIN) for part, size in zip(low, sides, strict=True)]
        example = self.task.prepare(self.given.cut(*seen).to(self.run.device))
        inner = [
            slice(part.start - whole.start * factor, part.stop - whole.start * factor)
            for part, whole in zip((rows, columns), seen, strict=True)
        ]
        cut = {name: x[..., inner[0], inner[1]] for name, x in example._asdict().items() if x is not None}
        return example._replace(**cut)

    def _network(self) -> Look:
        """The network's estimate, of which every pixel sees as far as the network reaches."""
        reach = reach_of(self.model) or 0
        step = unit(self.model)
        height, width = self.size

        def work(see: See, seen: slice, wanted: slice, level: Level) -> Tensor:
            made = self._empty(wanted)
            for columns in blocks(slice(0, width), width, step, 0, self.run.tile):
                if self.run.heard is not None:
                    self.run.heard(0)
                window = Window((seen, around(columns, width, reach, step)), (wanted, columns))
                across = window.outer[1]
                run = replace(self.run, tile=max(height, width), heard=None)
                size = seen.stop - seen.start, across.stop - across.start
                estimate = run(self.model, self._example(*window.outer), size)(see(across), level)
                made[..., columns] = estimate[(..., *window.inner)].clamp(-1, 1)
                if self.run.heard is not None:
                    self.run.heard(made.shape[-2] * (columns.stop - columns.start))
            trim()
            return made

        return Look(lambda rows: around(rows, height, reach, step), work)

    def _held(self, halo: int | None, hold: Callable[[Agreement, Tensor, Given], Tensor]) -> Look:
        """What holds an estimate to the picture given, and sees `halo` pixels of that around each; None: each alone."""
        factor = self.task.factor
        high, wide = self.given.image.shape[-2:]
        term, files = self.held.term, self.given.files
        bins = term.bins if isinstance(term, InBins) else files[0] if files else None
        down, across = ((UNIT, 0), (UNIT, 0)) if bins is None else bins.grid

        def rows_around(rows: slice) -> slice:
            low = slice(rows.start // factor, rows.stop // factor)
            return _times(low if halo is None else around(low, high, halo, *down), factor)

        def work(see: See, seen: slice, wanted: slice, level: Level) -> Tensor:
            made = self._empty(wanted)
            low = slice(seen.start // factor, seen.stop // factor)
            for core in blocks(slice(0, wide), wide, UNIT, 0, max(UNIT, self.run.tile // factor)):
                outer = core if halo is None else around(core, wide, halo, *across)
                window = Window((seen, _times(outer, factor)), (wanted, _times(core, factor)))
                x, part = see(window.outer[1]), self.given.cut(low, outer).to(self.run.device)
                if halo is not None and files:
                    part = part._replace(files=(files[0].cut(low, outer),))
                held = hold(self.held if halo is None else self._cut(low, outer), x, part)
                made[..., window.core[1]] = held[(..., *window.inner)]
            if self.run.heard is not None:
                self.run.heard(Aside(made.shape[-2] * made.shape[-1] if hold != self._finish else 0))
            return made

        return Look(rows_around, work)

    def _empty(self, rows: slice) -> Tensor:
        return torch.empty(1, 3, rows.stop - rows.start, self.size[1], device=self.run.device)

    def _cut(self, rows: slice, columns: slice) -> Agreement:
        """What a part of the picture given is held to."""
        term = self.held.term
        if self.held.share == 0 or not isinstance(term, InBins):
            return self.held
        return replace(self.held, term=replace(term, bins=term.bins.cut(rows, columns)))

    def _finish(self, held: Agreement, x: Tensor, given: Given) -> Tensor:
        if not torch.isfinite(x).all():
            raise NotFiniteError("a band is not finite")
        return held.finish(self.task, x, given)


def unit(model: Model) -> int:
    """Rows of the result of which bands are made up: whole pixels given, and positions of the network's grid."""
    return math.lcm(int(getattr(model.net, "stride", 1)), model.task.factor)


def _times(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
