"""Walks by bands: a picture too large for the memory is walked from the top down, all steps of a band before the next.

Samplers treat each pixel alike, and only what they ask for looks around: so a band's walk runs by itself, and waits at
each of its questions until its neighbours have come to the same one.  A band of the result is therefore done when so
many bands below it are under way as there are questions, and no more of the picture need be in memory.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.level import Level
from sr3.diffusion.sample import Step, last


class Look(NamedTuple):
    """Something that is done to a picture and looks around.

    around: the rows that must be seen for given rows of the result, of the whole picture.
    work: (columns -> what is in the rows `seen` of them [B, C, n, w], the rows `seen`, the rows wanted, the level) ->
        what is wanted of it.
    """

    around: Callable[[slice], slice]
    work: Callable[[Callable[[slice], Tensor], slice, slice, Level], Tensor]


class _LeftError(Exception):
    """Nobody waits for the walk any more."""


class Halted:
    """A walk that stops wherever it asks for an estimate, and goes on when it is told one.

    begin: begins it, given what it is to ask.  It runs in a thread of its own, never while another one runs.
    """

    def __init__(self, begin: Callable[[Denoise], Iterator[Step]]):
        self._begin = begin
        self._asked: SimpleQueue[tuple[Tensor, Level | None] | BaseException] = SimpleQueue()
        self._told: SimpleQueue[Tensor | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = -1
        """How many questions were asked, less one."""
        self.over = False

    def go(self, told: Tensor | None = None) -> tuple[Tensor, Level | None]:
        """Begin, or go on with the answer: the next question, or without a level where the walk has ended."""
        if told is None:
            self._thread.start()
        else:
            self._told.put(told)
        del told
        found = self._asked.get()
        if isinstance(found, BaseException):
            self.over = True
            raise found
        self.over = found[1] is None
        self.asked += 1
        return found

    def stop(self) -> None:
        """Leave it where it is."""
        if self._thread.is_alive():
            self._told.put(None)
            self._thread.join()

    def _ask(self, x: Tensor, level: Level) -> Tensor:
        self._asked.put((x, level))
        told = self._told.get()
        if told is None:
            raise _LeftError
        return told

    def _run(self) -> None:
        with suppress(_LeftError):
            try:
                with torch.inference_mode():
                    self._asked.put((last(self._begin(self._ask)), None))
            except _LeftError:
                raise
            except BaseException as error:
                self._asked.put(error)


class Wave:
    """A picture's walk by bands.

    bands: rows, one after another.  begin: begins a band's walk, given its rows and what it is to ask.
    looks: what is done to x at each question, in turn, once or more.  end: the same, to where the walks have come to.
    """

    def __init__(
        self,
        bands: Sequence[slice],
        begin: Callable[[slice, Denoise], Iterator[Step]],
        looks: Sequence[Look],
        end: Sequence[Look],
    ):
        self.bands, self.begin, self.looks, self.end = bands, begin, looks, end
        self.walks: dict[int, Halted] = {}
        self.levels: dict[int, Level] = {}
        self.kept: dict[tuple[int, int, int], tuple[int, Tensor]] = {}
        """What is there already, by question, look and band: from which row on, and its rows."""

    def __iter__(self) -> Generator[Tensor, None, None]:
        """The bands of the result, from the top down."""
        try:
            for band in range(len(self.bands)):
                yield self._seen(_END, len(self.end), band)
        finally:
            for walk in self.walks.values():
                walk.stop()

    def _seen(self, question: int, looks: int, band: int) -> Tensor:
        """A band of what was asked, after so many looks at it; after the last it is the answer."""
        look = self._look(question, looks)
        wanted = self.bands[band]
        seen = look.around(wanted)
        parts = [self._taken(question, looks - 1, near, band) for near in self._bands_of(seen)]

        def see(columns: slice) -> Tensor:
            return torch.cat([part[..., columns] for part in parts], dim=-2)

        return look.work(see, seen, wanted, self.levels[max(0, question)])

    def _taken(self, question: int, looks: int, band: int, by: int) -> Tensor:
        """The rows of it that another band looks at: made once, and what later ones look at is kept."""
        one, look, rows = (question, looks, band), self._look(question, looks + 1), self.bands[band]
        while one not in self.kept:
            if looks:
                self.kept[one] = rows.start, self._seen(*one)
            else:
                self._go_on(band)
        first, found = self.kept[one]
        seen = look.around(self.bands[by])
        if by + 1 < len(self.bands) and (start := look.around(self.bands[by + 1]).start) < rows.stop:
            if start > first:
                self.kept[one] = start, found[..., start - first :, :].clone()
        else:
            del self.kept[one]
        return found[..., max(0, seen.start - first) : seen.stop - first, :]

    def _go_on(self, band: int) -> None:
        """Have a band's walk come to its next question, or to its end."""
        walk = self.walks.get(band)
        if walk is None:
            rows = self.bands[band]
            walk = self.walks[band] = Halted(lambda ask: self.begin(rows, ask))
            x, level = walk.go()
        else:
            x, level = walk.go(self._seen(walk.asked, len(self.looks), band))
        if level is not None:
            self.levels[walk.asked] = level
        self.kept[_END if level is None else walk.asked, 0, band] = self.bands[band].start, x

    def _look(self, question: int, number: int) -> Look:
        return (self.end if question == _END else self.looks)[number - 1]

    def _bands_of(self, seen: slice) -> range:
        """The bands that some rows are of."""
        touched = [k for k, rows in enumerate(self.bands) if rows.start < seen.stop and rows.stop > seen.start]
        return range(touched[0], touched[-1] + 1)


_END = -1
