"""What a run shows while it trains: TensorBoard curves, and strips of samples from averaged and raw weights."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sr3.interrupt import held
from sr3.model.config import Recipe
from sr3.model.model import Model
from sr3.restore.restorer import Restorer
from sr3.training.data import Crops
from sr3.training.train import Report, Run

SHOWN = 4
"""Pictures in a strip."""


class Board:
    """Writes `folder`/board for TensorBoard and `folder`/samples/*.png."""

    def __init__(self, folder: Path, crops: Crops, recipe: Recipe):
        self.folder, self.recipe = folder, recipe
        self.writer = SummaryWriter(str(folder / "board"))
        side = crops.side
        # the last crops there can be: a run that is shorter than that never trains on just these
        self.clean = crops(range(2**62, 2**62 + SHOWN)).cpu()[..., :side, :side]
        self.next_strip = 0

    def add(self, run: Run, report: Report) -> None:
        """One report's curves, and a strip where one is due."""
        write, seen = self.writer.add_scalar, report.seen
        # interrupted inside its queue, TensorBoard's thread would never be told to end, and closing wait for ever
        with held():
            write("loss", report.loss, seen)
            write("rate", report.rate, seen)
            write("gradient", report.gradient, seen)
            write("pictures a second", report.speed, seen)
            write("waiting for data", report.waiting, seen)
            write("skipped", report.skipped, seen)
            for place, value in report.by_level.items():
                write(f"loss at log-SNR/{place:+d}", value, seen)
        if seen >= self.next_strip:
            self.next_strip = (seen // self.recipe.training.sample_every + 1) * self.recipe.training.sample_every
            self.strip(run)

    def strip(self, run: Run) -> None:
        """Rows: given, averaged weights, raw weights, original."""
        rows: list[Tensor] = []
        made: dict[str, Tensor] = {}
        for name, weights in (("average", run.average), ("raw", run.model.net.state_dict())):
            with torch.random.fork_rng():
                model = Model(run.model.config)
            model.first = run.model.first
            model.net.load_state_dict(weights)
            restorer = Restorer(model, device=str(run.accelerator.device))
            given = model.task.degrade(self.clean)
            made[name] = restorer.make(given, list(range(len(self.clean))), free=True)
            if not rows:
                cond = model.task.prepare(given).cond
                rows.append(self.clean if cond is None else cond.clamp(-1, 1).cpu())
        rows += [made["average"], made["raw"], self.clean]
        picture = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        pixels = ((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        path = self.folder / "samples" / f"{run.seen:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        with held():
            self.writer.add_image("given, average, raw, original", pixels, run.seen, dataformats="HWC")

    def close(self) -> None:
        """Flush everything."""
        with held():
            self.writer.close()
