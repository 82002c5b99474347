"""Batches: drawn many at once, and each made while the step before it runs."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3.model.config import Training
from sr3.random import Stream, mix
from sr3.task import Given, Task
from sr3.training.data import Crops, Places

CHUNK = 16_384
"""Crops whose places are drawn at once: some milliseconds on the CPU, and one copy to the GPU of half a megabyte."""


class Batch(NamedTuple):
    """Clean pictures, what is given of them, the randomness of their step, and when they are ready."""

    clean: Tensor
    given: Given
    rng: Stream
    ready: Any = None


class Batches:
    """The pictures of a run, cut and degraded on the device, in the parts that a step takes one after another.

    Of the `batch` crops that begin with crop `seen`, process `rank` of `world` has every world-th.  On a GPU the next
    ones are made ahead, on a stream of their own, which the step in progress does not wait for: copying a constant of
    the task from the host then holds up that stream alone.
    """

    def __init__(self, crops: Crops, task: Task, training: Training, *, rank: int = 0, world: int = 1):
        self.crops, self.task, self.seed = crops, task, training.seed
        self.batch, self.parts, self.rank, self.world = training.batch, training.accumulate, rank, world
        self.size = self.batch // (self.parts * world)
        self.device = crops.device
        self.side = torch.cuda.Stream(self.device, priority=-1) if self.device.type == "cuda" else None
        self.drawn: dict[int, list[Places]] = {}
        self.held: dict[int, list[Batch]] = {}
        if self.side is not None:
            # the pictures and matrices were copied on the other stream
            self.side.wait_stream(torch.cuda.current_stream(self.device))

    def _own(self, seen: int) -> list[int]:
        return list(range(seen + self.rank, seen + self.batch, self.world))

    def _places(self, seen: int) -> list[Places]:
        """Of each part of the batch; those of the batches after it are drawn too."""
        if seen not in self.drawn:
            starts = range(seen, seen + max(1, CHUNK // self.batch) * self.batch, self.batch)
            drawn = self.crops.draw([crop for start in starts for crop in self._own(start)])
            places = self.crops.places(drawn, self.size)
            self.drawn = {s: places[k * self.parts : (k + 1) * self.parts] for k, s in enumerate(starts)}
        return self.drawn[seen]

    def _made(self, seen: int) -> list[Batch]:
        own, made = self._own(seen), []
        for part, places in enumerate(self._places(seen)):
            rng = Stream(mix(self.seed, 0x5EED), own[part * self.size : (part + 1) * self.size], self.device)
            clean = self.crops.cut(places)
            given = self.task.degrade(clean, rng=rng)
            if self.crops.labelled:
                given = given._replace(label=places.numbers[:, 5])
            made.append(Batch(clean, given, rng))
        return made

    @torch.no_grad()
    def prepare(self, seen: int) -> None:
        """Begin to make a batch; on a CPU nothing is done before it is asked for."""
        if self.side is None:
            return
        with torch.cuda.stream(self.side):
            made = self._made(seen)
            ready = torch.cuda.Event()
            ready.record(self.side)
        self.held = {seen: [part._replace(ready=ready) for part in made]}

    @torch.no_grad()
    def __call__(self, seen: int) -> list[Batch]:
        """The parts of the batch that begins with crop `seen`."""
        if self.side is None:
            return self._made(seen)
        if seen not in self.held:
            self.prepare(seen)
        made = self.held.pop(seen)
        main = torch.cuda.current_stream(self.device)
        main.wait_event(made[0].ready)
        for tensor in (t for part in made for t in (part.clean, *part.given)):
            if isinstance(tensor, Tensor):
                tensor.record_stream(main)  # or its memory might be handed out while the step still reads it
        return made
