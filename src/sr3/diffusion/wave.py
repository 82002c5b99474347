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
    work: (what is in `seen` [B, C, n, W], the rows `seen`, the rows wanted, the level) -> what is wanted of it.
    """

    around: Callable[[slice], slice]
    work: Callable[[Tensor, slice, slice, Level], Tensor]


class _Over(Exception):
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
            raise _Over
        return told

    def _run(self) -> None:
        with suppress(_Over):
            try:
                with torch.inference_mode():
                    self._asked.put((last(self._begin(self._ask)), None))
            except _Over:
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
        self.kept: dict[tuple[int, int, int], tuple[Tensor, int]] = {}
        """What is there already, by question, look and band, and how many bands have not looked at it yet."""

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
        parts: list[Tensor] = []
        for near in self._over(seen):
            rows = self.bands[near]
            part = self._taken(question, looks - 1, near)
            parts.append(part[..., max(0, seen.start - rows.start) : seen.stop - rows.start, :])
        whole = torch.cat(parts, dim=-2)
        del parts
        return look.work(whole, seen, wanted, self.levels[max(0, question)])

    def _taken(self, question: int, looks: int, band: int) -> Tensor:
        """The same for somebody who looks at it, made once and kept until all have who will."""
        one = (question, looks, band)
        while one not in self.kept:
            if looks:
                self._keep(*one, self._seen(*one))
            else:
                self._go_on(band)
        found, left = self.kept[one]
        self.kept[one] = found, left - 1
        if left == 1:
            del self.kept[one]
        return found

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
        self._keep(_END if level is None else walk.asked, 0, band, x)

    def _keep(self, question: int, looks: int, band: int, x: Tensor) -> None:
        look = self._look(question, looks + 1)
        self.kept[question, looks, band] = x, sum(band in self._over(look.around(rows)) for rows in self.bands)

    def _look(self, question: int, number: int) -> Look:
        return (self.end if question == _END else self.looks)[number - 1]

    def _over(self, seen: slice) -> range:
        """The bands that some rows are of."""
        touched = [k for k, rows in enumerate(self.bands) if rows.start < seen.stop and rows.stop > seen.start]
        return range(touched[0], touched[-1] + 1)


_END = -1
