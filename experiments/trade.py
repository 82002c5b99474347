"""What a model gives up in PSNR for nearness to real pictures, over many ways of sampling it.

    python experiments/trade.py --model face-8x --data held-out.zip --limit 64 --steps 4 8 16 --plot trade.svg

No estimator is best in both (Blau and Michaeli, 2018).  Where the mean square error of the best estimator is M, and
its distribution lies at the Wasserstein distance d from that of real pictures, there is an estimator at the share s of
that distance with M + d^2 (1 - s)^2, and none with less; d^2 is at most M (Freirich, Michaeli and Meir, 2021).  So
where the regression is the best estimator there is, going to the share s need not cost more than
10 log10(1 + (1 - s)^2) dB: 0.97 at half, 3.01 at none.  That is the plot's line, with the sliced Wasserstein distance
standing for the true one and the regression for the best estimator.

A model below it gives up more than anything has to.  Not all of that is the model's fault: samples of the posterior,
even exact ones, reach the line at s = 0 only, unless nothing of what is drawn can be known (d^2 = M).

Each way of sampling is also mixed with the regression's answer (--mix).
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.method import regression_of
from sr3.files import replacing, write_text
from sr3.metric import PSNR, SSIM, SWD, Consistency
from sr3.metric.swd import patches_for
from sr3.model.config import Sampling
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.picture.resize import round8
from sr3.random import mix
from sr3.restore.restorer import Restorer
from sr3.task import Given

SAMPLERS: tuple[dict[str, Any], ...] = (
    {"kind": "dpmpp", "eta": 1.0},
    {"kind": "dpmpp", "eta": 0.5},
    {"kind": "dpmpp", "eta": 0.0},
)
SPACINGS = ("logsnr", "karras")
CLEANEST = (0.5, 1.0, 2.0)
"""Where walks end, sigma / alpha in units of the spread of what is diffused."""


def cost(share: float) -> float:
    """dB below the best estimator at which one may lie at this share of its distance: 10 log10(1 + (1 - s)^2)."""
    return 10 * math.log10(1 + max(0.0, 1 - share) ** 2)


def ways(steps: list[int], spread: float) -> Iterator[Sampling]:
    """The ways of sampling that are tried."""
    for count in steps:
        for sampler in SAMPLERS:
            for spacing in SPACINGS:
                for end in CLEANEST:
                    yield Sampling(sampler=sampler, steps=count, spacing=spacing, cleanest=round(end * spread, 4))


def name(settings: Sampling) -> str:
    """Short, for a table."""
    sampler = " ".join(f"{k} {v}" if k != "kind" else str(v) for k, v in settings.sampler.items())
    return f"{sampler}, {settings.spacing}, to {settings.cleanest}"


class Bench:
    """Pictures of one size, degraded once."""

    def __init__(self, task: Any, pictures: list[Tensor], seed: int, batch: int = 8):
        self.clean, self.seed, self.batch = torch.stack(pictures), seed, batch
        self.given, self.task = task.degrade(self.clean).image, task

    def made(self, restorer: Restorer, settings: Sampling | None = None, *, free: bool = False) -> Tensor:
        """[N, 3, H, W] in [-1, 1]."""
        parts = []
        for first in range(0, len(self.given), self.batch):
            given = self.given[first : first + self.batch]
            seeds = [mix(self.seed, first + i, 0) for i in range(len(given))]
            parts.append(restorer.make(Given(given), seeds, settings=settings, free=free))
        return torch.cat(parts)

    def measured(self, made: Tensor) -> dict[str, float]:
        """psnr, ssim, swd and consistency of pictures in [-1, 1], as they are after rounding to 8 bits."""
        again = Consistency(lambda x: (self.task.degrade(2 * x - 1).image + 1) / 2)
        found: dict[str, float] = {}
        for metric in (PSNR(), SSIM(), SWD(patches_for(len(made))), again):
            metric.update((round8(made) + 1) / 2, (self.clean + 1) / 2, (self.given + 1) / 2)
            found |= metric.compute()
        return found


def plot(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    """dB below the regression against the share of its distance; dots for samples, small ones for mixtures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes: Any = figure.subplots()
    shares = [i / 100 for i in range(101)]
    axes.plot(shares, [cost(s) for s in shares], color="black", label="enough for the best possible estimator")
    for k, count in enumerate(sorted({row["steps"] for row in rows if row["steps"]})):
        for mixed, size in ((False, 22), (True, 5)):
            some = [r for r in rows if r["steps"] == count and (r["mix"] < 1) == mixed]
            label = None if mixed else f"{count} steps"
            axes.scatter([r["share"] for r in some], [r["below"] for r in some], s=size, color=f"C{k}", label=label)
    axes.set(xlabel="SWD, share of the regression's", ylabel="PSNR below the regression's, dB", title=title)
    axes.set(xlim=(0, 1.05), ylim=(3.2, -0.1))
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--model", default="face-8x")
    args.add_argument("--regression", help="by default the model's own")
    args.add_argument("--data", nargs="+", required=True, help="pictures of one size")
    args.add_argument("--limit", type=int, default=64)
    args.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16])
    args.add_argument("--mix", type=float, nargs="*", default=[0.8, 0.6], help="the share of the sample in mixtures")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--plot", type=Path)
    args.add_argument("--json", type=Path)
    options = args.parse_args()
    model = Model.from_pretrained(options.model)
    baseline = Model.from_pretrained(options.regression) if options.regression else regression_of(model)
    if baseline is None:
        raise SystemExit(f"{options.model} has no regression model; give --regression")
    if model.config.kind == "regression":
        raise SystemExit(f"{options.model} is a regression model: there is nothing to sample")
    restorer = Restorer(model)
    pixels = load(options.data).pixels[: options.limit]
    if len({p.shape for p in pixels}) != 1:
        raise SystemExit("the pictures must be of one size")
    bench = Bench(
        model.task, [torch.from_numpy(p.copy()).permute(2, 0, 1).float() / 127.5 - 1 for p in pixels], options.seed
    )
    middle = bench.made(Restorer(baseline))
    base = bench.measured(middle)
    rows: list[dict[str, Any]] = []
    print("| steps | sampling | of the sample | PSNR below | SSIM below | SWD | share | cost at the limit |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| | regression: PSNR {base['psnr']:.2f}, SSIM {base['ssim']:.3f} | | 0 | 0 | {base['swd']:.1f} | 1 | 0 |")
    for settings in ways(options.steps, restorer.model.spread):
        made = bench.made(restorer, settings)
        for share in (1.0, *options.mix):
            found = bench.measured(middle + share * (made - middle))
            row = {"steps": settings.steps, "sampling": name(settings), "mix": share, **found}
            row |= {"below": base["psnr"] - found["psnr"], "share": found["swd"] / base["swd"]}
            rows.append(row)
            less = f"{row['below']:.2f} | {base['ssim'] - found['ssim']:.3f}"
            apart = f"{found['swd']:.1f} | {row['share']:.2f} | {cost(row['share']):.2f}"
            print(f"| {settings.steps} | {row['sampling']} | {share:g} | {less} | {apart} |", flush=True)
    if options.json:
        write_text(options.json, json.dumps({"regression": base, "rows": rows}, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot, f"{model.config.name}, {len(pixels)} pictures")


if __name__ == "__main__":
    main()
