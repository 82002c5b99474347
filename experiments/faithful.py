"""SR3 as published beside ours, on the smallest problem where it works, at equal minutes, with curves.

    python experiments/faithful.py --minutes 60 --out runs/faithful
    python experiments/faithful.py --minutes 60 --out runs/faithful --arms paper edm residual network ours
    python experiments/faithful.py --out runs/faithful --table

8x8 to 32x32, faces drawn by `drawn.py` (or --data faces.zip: whole pictures, reduced; some are held out).  Every arm
trains for so many minutes of processor time (of one core, with OMP_NUM_THREADS=1), the regression that it begins from
included, and is measured at a twentieth, a tenth, … and at the end of them, with averaged weights, on pictures that
nobody trained on:

- `paper`: the recipe sr3-8-32.  Noise predicted, L1, 2000 linear betas, the paper's U-Net, no residual, no projection.
- `edm`: the same network, but preconditioned and taught as in Karras et al. (2022), L2.
- `residual`: that, of what the bicubic enlargement leaves.
- `network`: that, by the efficient U-Net: the recipe tiny-4x without a first model.
- `ours`: that, of what a regression leaves, which gets a third of the minutes; held to the picture given.

PSNR, SSIM, sliced Wasserstein distance and consistency of one sample, in the steps that its recipe says: 100 of
Algorithm 2 for `paper`, 8 for ours.  At the end `paper` is measured in all its 2000 steps too (--steps), and in
few of DPM-Solver++, as imported weights are sampled, with the seconds of the processor that both take.  Stop at any
moment: the same command goes on.  More --minutes go on from fewer.  Several processes may share --out, each with arms
of its own.
Prints a table, with bicubic above; writes faithful.json, faithful.svg (needs matplotlib) and faithful.png: given, each
arm, original.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from drawn import drawn
from PIL import Image
from torch import Tensor

from sr3.evaluation.method import rounded
from sr3.files import replacing, write_text
from sr3.metric import PSNR, SSIM, SWD, Consistency
from sr3.metric.swd import patches_for
from sr3.model import recipe as recipes
from sr3.model.config import Recipe, Sampling
from sr3.model.model import Model
from sr3.picture.collection import Pictures, load
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make
from sr3.task import Restoration, again
from sr3.training.data import Crops
from sr3.training.run import Run
from sr3.training.train import learn, make_accelerator

SIDE, FACTOR, BATCH = 32, 4, 32
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Of the minutes, after which an arm is measured."""
FIRST = 1 / 3
"""Of the minutes, that the regression of `ours` gets."""
SHOWN = 12
FEW = (8, 20, 50)
QUICK: dict[str, Any] = {"sampler": {"kind": "dpmpp", "eta": 1.0}, "spacing": "logsnr"}
"""How `sr3 import` has weights sampled that were trained for 2000 steps."""

EDM = [
    "model.prediction={kind='edm',sigma_data=0.5}",
    "model.tell='logsnr'",
    "model.schedule={kind='log-normal',mean=-1.2,std=1.2,sigma_min=0.002,sigma_max=80.0}",
    "model.sampling={sampler={kind='dpmpp',eta=1.0},steps=16}",
    "training.objective={kind='denoising',loss='l2'}",
    "training.warmup=3200",
]
RESIDUAL = [
    *EDM,
    "model.residual=true",
    "model.prediction={kind='edm',sigma_data=0.18}",
    "model.schedule={kind='log-normal',mean=-1.85,std=1.4,sigma_min=0.001,sigma_max=9.0}",
]


@dataclass(frozen=True)
class Arm:
    """A recipe with what is changed in it.  held: whether results are held to what was given."""

    recipe: str
    settings: tuple[str, ...] = ()
    held: bool = False


ARMS = {
    "paper": Arm("sr3-8-32"),
    "edm": Arm("sr3-8-32", tuple(EDM)),
    "residual": Arm("sr3-8-32", tuple(RESIDUAL)),
    "network": Arm("tiny-4x", ("model.prediction.sigma_data=0.18", "model.schedule.mean=-1.85")),
    "ours": Arm("tiny-4x", held=True),
}


class Bench:
    """The pictures, and what is measured on those that are held out."""

    def __init__(self, train: Pictures, held: Tensor):
        self.train, self.held = train, held

    def crops(self, recipe: Recipe) -> Crops:
        t = recipe.training
        return Crops(self.train, t.crop, seed=t.seed, turn=t.turn, zoom=t.zoom, colour=t.colour, resample=t.resample)

    def made(self, restorer: Restorer, free: bool, settings: Sampling | None = None) -> Tensor:
        """One sample of every held-out picture, on [0, 1] in 8-bit steps."""
        found: list[Tensor] = []
        for first in range(0, len(self.held), BATCH):
            given = restorer.model.task.degrade(self.held[first : first + BATCH])
            varies = restorer.model.walk.varies
            seeds = [mix(0, first + k, 0) if varies else 0 for k in range(len(given.image))]
            found.append(rounded(make(restorer, given, seeds, free=free, settings=settings)))
        return torch.cat(found)

    def bicubic(self) -> dict[str, Any]:
        """What the enlargement alone is worth, as an arm that takes no time."""
        task = needs_picture(Model(recipes.load(ARMS["ours"].recipe).model))
        made = rounded(task.baseline(task.degrade(self.held)))
        return {"points": [{"minutes": 0, "seen": 0, **self.compare(task, made)}]}

    def measure(self, restorer: Restorer, made: Tensor) -> dict[str, float]:
        return self.compare(needs_picture(restorer.model), made)

    def compare(self, task: Restoration, made: Tensor) -> dict[str, float]:
        original = (self.held + 1) / 2
        given = task.degrade(self.held)
        small = (given.image + 1) / 2
        found: dict[str, float] = {}
        for metric in (PSNR(), SSIM(), SWD(patches_for(len(made)))):
            metric.update(made, original, small)
            found |= metric.compute()
        agree = Consistency()
        agree.update(again(task, made, given), original, small)
        return {k: v for k, v in (found | agree.compute()).items() if not k.startswith("swd_")}


def reduced(pictures: Pictures) -> Tensor:
    """Whole, unflipped, at the size of the problem: [N, 3, 32, 32] in [-1, 1]."""
    each = [
        np.asarray(Image.fromarray(p[: min(p.shape[:2]), : min(p.shape[:2])]).resize((SIDE, SIDE), 1))
        for p in pictures.pixels
    ]
    return torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2).float() / 127.5 - 1


def bench(data: list[str] | None, pictures: int, held: int) -> Bench:
    """Drawn faces, or those of a folder or zip, of which every so many-th is held out."""
    if data is None:
        train = drawn(pictures, SIDE, 1, ("face",))
        names = [f"{k:06}" for k in range(pictures)]
        return Bench(Pictures(names, train), reduced(Pictures(["-"] * held, drawn(held, SIDE, 2, ("face",)))))
    found = load(data, smallest=SIDE)
    every = max(2, len(found) // held)
    out = [i for i in range(len(found)) if i % every == 0][:held]
    kept = sorted(set(range(len(found))) - set(out))
    cut = lambda part: Pictures([found.names[i] for i in part], [found.pixels[i] for i in part])  # noqa: E731
    return Bench(cut(kept), reduced(cut(out)))


def trained(recipe: Recipe, where: Path, table: Bench, minutes: float) -> Run:
    """Train on until so many minutes in all are spent; what is there goes on."""
    run = Run(recipe, table.crops(recipe), where, make_accelerator("cpu"))
    spent = lambda: run.seconds + time.process_time() - run.clock >= 60 * minutes  # noqa: E731
    # by the clock on the wall, an arm that ran beside other work would have had less
    with patch("sr3.training.run.time", SimpleNamespace(monotonic=time.process_time)):
        run.start_clock()
        if run.seconds < 60 * minutes:
            for _ in learn(run, stop=spent):
                pass
    return run


def restorer_of(run: Run) -> Restorer:
    return Restorer(run.showing(), device="cpu", precision="fp32")


def compete(name: str, out: Path, table: Bench, minutes: float, steps: int, found: dict[str, Any]) -> None:
    """Train an arm and measure it on the way; finished points are kept."""
    arm, settings, spent = ARMS[name], [*ARMS[name].settings, "training.pictures=1000000000"], 0.0
    if name == "ours":
        spent = FIRST * minutes
        base = trained(recipes.load("tiny-4x-regression", settings[-1:]), out / f"{name}-regression", table, spent)
        known = found.setdefault("regression", {"points": []})
        if not known["points"]:
            made = table.made(restorer_of(base), free=False)
            known["points"] = [{"minutes": spent, "seen": base.seen, **table.measure(restorer_of(base), made)}]
            save_pictures(out, "regression", made)
        settings.append(f"model.first={json.dumps(str(out / f'{name}-regression' / 'model.safetensors'))}")
    recipe = recipes.load(arm.recipe, settings)
    points = found.setdefault(name, {"points": []})["points"]
    for share in SHARES:
        due = minutes * share
        if due <= spent or any(point["minutes"] >= due for point in points):
            continue
        run = trained(recipe, out / name, table, due - spent)
        shown = restorer_of(run)
        made = table.made(shown, free=not arm.held)
        points.append({"minutes": due, "seen": run.seen, **table.measure(shown, made)})
        save_pictures(out, name, made)
        print(name, {k: round(v, 3) for k, v in points[-1].items()}, flush=True)
        keep(out, found, name)
    if name == "paper" and steps and found[name].get("full", {}).get("minutes") != points[-1]["minutes"]:
        walks(out, found, name, restorer_of(trained(recipe, out / name, table, 0)), table, steps)


def walks(out: Path, found: dict[str, Any], name: str, shown: Restorer, table: Bench, steps: int) -> None:
    """Measure an arm in all the steps of its training, and in few of a better sampler."""
    minutes, arm = found[name]["points"][-1]["minutes"], found[name]
    arm["few"] = []
    for way in (*({"steps": few, **QUICK} for few in FEW), {"steps": steps}):
        began = time.process_time()
        made = table.made(shown, free=True, settings=shown.model.config.sampling.model_copy(update=way))
        row = {"minutes": minutes, "steps": way["steps"], "seconds": time.process_time() - began}
        row |= table.measure(shown, made)
        if way["steps"] == steps:
            arm["full"] = row
            save_pictures(out, f"paper-{steps}", made)
        else:
            arm["few"].append(row)
        keep(out, found, name)


def keep(out: Path, found: dict[str, Any], name: str) -> None:
    """Write what this arm found beside what other arms, perhaps of other processes, have written meanwhile."""
    file = out / "faithful.json"
    there: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    mine = {key: found[key] for key in (name, "regression") if key in found and (key == name or name == "ours")}
    found |= there | mine
    order = [*list(ARMS)[:-1], "regression", *list(ARMS)[-1:]]  # before what begins from it
    write_text(file, json.dumps({key: found[key] for key in order if key in found}, indent=1) + "\n")


def save_pictures(out: Path, name: str, made: Tensor) -> None:
    """The first few, for the sheet."""
    row = torch.cat(list(made[:SHOWN]), dim=2).permute(1, 2, 0)
    with replacing(out / f"row-{name}.png") as place:
        Image.fromarray((row * 255).round().byte().numpy()).save(place, format="PNG")


def sheet(out: Path, table: Bench, found: dict[str, Any]) -> None:
    """Given (bicubic), the arms in order, original; each twice as large as it is."""
    save_pictures(out, "original", (table.held + 1) / 2)
    given = recipes.load("tiny-4x").model.task["factor"]
    small = torch.nn.functional.interpolate((table.held + 1) / 2, scale_factor=1 / given, mode="area")
    save_pictures(out, "given", torch.nn.functional.interpolate(small, scale_factor=float(given), mode="nearest"))
    names = ["given", *(n for n in [*ARMS, "regression"] if n in found), "original"]
    rows = [np.asarray(Image.open(out / f"row-{name}.png")) for name in names if (out / f"row-{name}.png").exists()]
    page = np.concatenate(rows)
    with replacing(out / "faithful.png") as place:
        Image.fromarray(page).resize((2 * page.shape[1], 2 * page.shape[0]), 0).save(place, format="PNG")


def plot(out: Path, found: dict[str, Any]) -> None:
    """PSNR, SWD and consistency against minutes; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    titles = {"psnr": "PSNR, dB", "swd": "SWD, x1e3", "consistency": "consistency, x1e-5"}
    for axes, (key, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        for name, arm in found.items():
            axes.plot([p["minutes"] for p in arm["points"]], [p[key] for p in arm["points"]], "o-", label=name, ms=3)
        axes.set(xlabel="minutes of a core", title=title, xscale="log", yscale="linear" if key == "psnr" else "symlog")
    figure.axes[0].legend(fontsize="small")
    with replacing(out / "faithful.svg") as place:
        figure.savefig(place, format="svg")


def told(found: dict[str, Any]) -> str:
    """Markdown: every point of every arm."""
    lines = ["| arm | minutes | pictures seen | PSNR | SSIM | SWD | cons. |", "|---" * 7 + "|"]
    for name, arm in found.items():
        rows = [(name, point) for point in arm["points"]]
        walked = [*arm.get("few", []), *([arm["full"]] if "full" in arm else [])]
        rows += [(f"{name}, {p['steps']} steps, {p['seconds']:.0f} s", {"seen": "", **p}) for p in walked]
        for what, p in rows:
            seen = f"{p['seen']:,}" if p["seen"] else ""
            cells = f"{p['psnr']:.2f} | {p['ssim']:.3f} | {p['swd']:.1f} | {p['consistency']:.3g}"
            lines.append(f"| {what} | {p['minutes']:.3g} | {seen} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", nargs="+", help="folders or zips of faces; by default they are drawn")
    args.add_argument("--minutes", type=float, default=60, help="of each arm")
    args.add_argument("--arms", nargs="+", choices=list(ARMS), default=["paper", "ours"])
    args.add_argument("--pictures", type=int, default=6000, help="drawn for training")
    args.add_argument("--held", type=int, default=64, help="pictures to measure on")
    args.add_argument("--steps", type=int, default=2000, help="of the paper's arm at the end; 0: not measured")
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--table", action="store_true", help="print what is there")
    options = args.parse_args()
    file = options.out / "faithful.json"
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if not options.table:
        options.out.mkdir(parents=True, exist_ok=True)
        table = bench(options.data, options.pictures, options.held)
        for name in options.arms:
            compete(name, options.out, table, options.minutes, options.steps, found)
        plot(options.out, found)
        sheet(options.out, table, found)
        found = {"bicubic": table.bicubic(), **found}
    print(told(found))


if __name__ == "__main__":
    main()
