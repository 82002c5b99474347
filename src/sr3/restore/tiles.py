"""How a network is run: on one device, in one precision, and in tiles where a picture is larger than one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise, Example
from sr3.diffusion.level import Level
from sr3.diffusion.wrap import tiled
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.windows import Window
from sr3.restore.agreement import Agreement
from sr3.restore.beside import Aside, Beside, beside
from sr3.task import Given, Task

TILE = 1024
"""Side, in pixels of the result, of the largest piece that a network is given at once by default."""

BLEND = 32
"""By how many pixels the tiles of a network overlap that sees the whole picture."""


@dataclass(frozen=True)
class Runner:
    """Runs networks as `Model.prepare` and walks want them run.  tile: side of the largest piece, in result pixels.

    heard: called with a `Beside` when a walk begins, before each piece of the network's with 0 and after it with its
        pixels, and by bands with an `Aside` after what is done between pieces.
    """

    device: torch.device
    dtype: torch.dtype
    tile: int = TILE
    heard: Callable[[int | Beside | Aside], None] | None = None

    def begins(self, task: Task, held: Agreement, given: Given) -> None:
        """A walk begins."""
        if self.heard is not None:
            self.heard(beside(task, held, given))

    def __call__(self, model: Model, example: Example, size: tuple[int, int]) -> Denoise:
        """The denoiser of a batch whose result is of `size` = (height, width)."""
        denoiser = model.denoiser()

        def run(part: Example, pixels: int) -> Denoise:
            def denoise(x: Tensor, level: Level) -> Tensor:
                if self.heard is not None:
                    self.heard(0)
                with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                    made = denoiser(x, level, part).float()
                if self.heard is not None:
                    self.heard(pixels)
                return made

            return denoise

        if max(size) <= self.tile:
            return run(example, size[0] * size[1])

        def cut(window: Window) -> Denoise:
            parts = example._replace(label=None)._asdict().items()
            crops = {name: part[(..., *window.outer)] for name, part in parts if part is not None}
            rows, columns = window.core
            return run(example._replace(**crops), (rows.stop - rows.start) * (columns.stop - columns.start))

        reach, stride = reach_of(model), int(getattr(model.net, "stride", 1))
        if reach is None:
            return tiled(cut, size=size, tile=self.tile, halo=BLEND, stride=stride, blend=BLEND)
        return tiled(cut, size=size, tile=self.tile, halo=reach, stride=stride)


def check_tile(model: Model, tile: int) -> None:
    """ConfigError for a tile that the model's networks cannot be run in.

    A network without a bound on what a pixel sees is run in tiles that overlap and are blended.  With tiles hardly
    larger than the overlap each would add a few pixels and the walk would not end; with smaller ones none at all.
    """
    if tile < 1:
        raise ConfigError(f"a tile of {tile} pixels is too small; give at least 1")
    for one in model.chain:
        if reach_of(one) is None and tile < 2 * BLEND:
            raise ConfigError(
                f"a tile of {tile} pixels is too small for {one.config.name}: its network sees the whole picture, so "
                f"that tiles overlap by {BLEND} pixels; give at least {2 * BLEND}"
            )


def reach_of(model: Model) -> int | None:
    """How far a pixel of the network's answer sees, in pixels; None: without a bound."""
    reach = getattr(model.net, "reach", None)
    return None if reach is None else int(reach)
