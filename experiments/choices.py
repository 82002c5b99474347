"""Which of the known ideas are worth their cost: one small benchmark, equal pictures seen, several seeds.

    python experiments/choices.py --data faces.zip [more.zip …] --pictures 12000 --seeds 0 1 2 --out choices.json
    python experiments/choices.py --table choices.json

Faces, whole, reduced to 32 x 32; given 8 x 8 (factor 4).  Every arm has the same network, batch, rate, pictures and
held-out pictures, and differs from its neighbour in one thing.  Two measures that do not depend on how the network is
parametrised: the error of x0 at fixed noise levels (mean over levels of 10 log10 of its mean square, in dB, lower is
better; no sampler involved), and of samples made in the same 16 steps: PSNR, sliced Wasserstein distance, consistency
without projection, tint.  Finished runs are kept in the JSON file: the same command goes on where it stopped.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import TELLS, Denoiser, Example, Regressor, start
from sr3.diffusion.level import Level, diffuse
from sr3.diffusion.objective import Denoising, Regression
from sr3.diffusion.path import walk
from sr3.diffusion.predict import EDM, PREDICTIONS
from sr3.diffusion.sample import dpmpp, last
from sr3.diffusion.schedule import LinearBeta, LogNormal
from sr3.diffusion.wrap import clipped
from sr3.files import write_text
from sr3.metric import PSNR, SWD, Consistency
from sr3.nn.unet import UNet
from sr3.picture.collection import Pictures, load
from sr3.picture.resize import round8
from sr3.random import Seeds, Stream, generator
from sr3.task import SuperResolution
from sr3.training.data import Crops

SIDE, FACTOR, BATCH, STEPS, HELD_OUT = 32, 4, 32, 16, 128
RATIOS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


@dataclass(frozen=True)
def shown(task: SuperResolution, clean: Tensor, rng: Stream | None = None) -> Example:
    """What the network sees, of pixels that bfloat16 does not round."""
    with torch.autocast("cpu", enabled=False):
        return task.prepare(task.degrade(clean, rng=rng))


class Arm:
    """One way of training.  The default is the faithful SR3 objective."""

    what: str
    prediction: str = "eps"
    loss: str = "l1"
    tell: str = "alpha"
    edm: bool = False
    base: str | None = None
    """None: the picture itself is diffused; "bicubic", "regression": what is left over that."""
    see_base: bool = False
    """Show the network the regression's output in place of the bicubic enlargement."""
    begin: bool = False
    """Begin from the regression's weights."""
    weight: str | None = None
    dream: float = 0.0
    blur: float = 0.0
    one_level: bool = False


FAITHFUL = Arm("faithful SR3: eps, L1, linear betas, tells 5000 sqrt(alpha-bar)")
OURS = Arm("EDM over the bicubic residual", prediction="edm", loss="l2", tell="logsnr", edm=True, base="bicubic")
ARMS = {
    "sr3": FAITHFUL,
    "sr3-l2": replace(FAITHFUL, what="… with L2", loss="l2"),
    "sr3-one-level": replace(FAITHFUL, what="… with one noise level per batch", one_level=True),
    "sr3-plain-tell": replace(FAITHFUL, what="… told sqrt(alpha-bar) unscaled", tell="plain-alpha"),
    "sr3-logsnr-tell": replace(FAITHFUL, what="… told the log-SNR", tell="logsnr"),
    "sr3-min-snr": replace(FAITHFUL, what="… L2 with min-SNR-5", loss="l2", weight="min-snr"),
    "sr3-dream": replace(FAITHFUL, what="… with DREAM", dream=1.0),
    "x0": replace(FAITHFUL, what="x0, L2", prediction="x0", loss="l2"),
    "v": replace(FAITHFUL, what="v, L2", prediction="v", loss="l2"),
    "edm": replace(OURS, what="EDM, the picture itself", base=None),
    "edm-residual": OURS,
    "edm-residual-l1": replace(OURS, what="… with L1", loss="l1"),
    "edm-residual-blur": replace(OURS, what="… with blurred conditioning in half the examples", blur=0.5),
    "edm-residual-dream": replace(OURS, what="… with DREAM", dream=1.0),
    "edm-residual-begin": replace(OURS, what="… beginning from the regression's weights", begin=True),
    "edm-over-regression": replace(OURS, what="EDM over the regression's residual", base="regression"),
    "edm-over-regression-l1": replace(OURS, what="… with L1", base="regression", loss="l1"),
    "edm-over-regression-seen": replace(
        OURS, what="… with L1, shown the regression's output", base="regression", loss="l1", see_base=True
    ),
}


class OneLevel(Stream):
    """One uniform for the whole batch, as public re-implementations draw."""

    def uniform(self) -> Tensor:
        return super().uniform()[:1].expand(self.size)


def network(seed: int) -> nn.Module:
    """The same small network for every arm."""
    torch.manual_seed(seed)
    return UNet(patch=2, widths=(32, 64), blocks=(1, 2), embedding=64).to(memory_format=torch.channels_last)  # type: ignore[return-value]


def batches(crops: Crops, pictures: int) -> Iterator[tuple[int, Tensor]]:
    for seen in range(0, pictures, BATCH):
        yield seen, crops(range(seen, seen + BATCH))


def fit(net: nn.Module, loss_of: Any, crops: Crops, pictures: int) -> dict[str, Tensor]:
    """Train; returns the averaged weights.  Adam, warm-up, cosine: the same for all."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99))
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    for seen, clean in batches(crops, pictures):
        rate = 1e-3 * min(1.0, (seen + BATCH) / 1000) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * seen / pictures)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(seen, clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        half_life = min(1000.0, max(seen, 1) / 8)
        share = 1 - 0.5 ** (BATCH / half_life)
        for k, v in net.state_dict().items():
            average[k].lerp_(v, share)
    return average


class Bench:
    """The data, the held-out pictures, and one regression per seed."""

    def __init__(self, sources: list[str], pictures: int):
        found = load(sources)
        cut = lambda part: Pictures([found.names[i] for i in part], [found.pixels[i] for i in part])  # noqa: E731
        every = max(2, len(found) // HELD_OUT)
        held = [i for i in range(len(found)) if i % every == 0][:HELD_OUT]
        kept = sorted(set(range(len(found))) - set(held))
        self.crops = Crops(cut(kept), SIDE, seed=1, turn=False, zoom=(64, 64))
        # the held-out pictures whole and unflipped: crops of a set of one picture are that picture or its mirror image
        self.truth = torch.cat([Crops(cut([i]), SIDE, seed=1, turn=False, zoom=(64, 64))([i]) for i in held])
        self.pictures = pictures
        self.task = SuperResolution(FACTOR)
        self.example = self.task.prepare(self.task.degrade(self.truth))
        self.scale = float((self.truth - self._base(self.example)).std())
        self.regressions: dict[int, tuple[dict[str, Tensor], float]] = {}

    @staticmethod
    def _base(example: Example) -> Tensor:
        assert example.base is not None
        return example.base

    def regression(self, seed: int) -> tuple[dict[str, Tensor], float]:
        """Averaged weights, and the spread of what they leave."""
        if seed not in self.regressions:
            net = network(seed)
            regressor, objective = Regressor(net, self.scale), Regression("l2")

            def loss_of(seen: int, clean: Tensor) -> Tensor:
                example = shown(self.task, clean)._replace(target=clean)
                return objective(regressor, example, rng=Stream(seed, range(seen, seen + BATCH))).each.mean()

            weights = fit(net, loss_of, self.crops, self.pictures)
            net.load_state_dict(weights)
            net.eval()
            self.regressions[seed] = weights, float((self.truth - self.guess(net, self.example)).std())
        return self.regressions[seed]

    def guess(self, net: nn.Module, example: Example) -> Tensor:
        with torch.no_grad():
            return Regressor(net, self.scale)(self._base(example), Level(torch.tensor(0.0), torch.tensor(1.0)), example)

    def run(self, arm: Arm, seed: int) -> dict[str, dict[str, float]]:
        """Train one arm and measure it, with averaged and with raw weights."""
        base_net, spread = None, self.scale
        if arm.base == "regression" or arm.begin:
            weights, left = self.regression(seed)
            if arm.base == "regression":
                base_net = network(seed)
                base_net.load_state_dict(weights)
                spread = left
        net = network(seed + 100)
        if arm.begin:
            net.load_state_dict(self.regression(seed)[0])
        spread = spread if arm.base else 0.5
        prediction = EDM(spread) if arm.edm else PREDICTIONS[arm.prediction]()
        # EDM's own choice is -1.2 and 1.2 for a spread of 0.5; the same relative to other spreads
        noisiest = 50 * (spread if arm.base else 1.0)
        schedule = LogNormal(-0.5 + math.log(spread), 1.4, 0.001, noisiest) if arm.edm else LinearBeta()
        denoiser = Denoiser(net, prediction, TELLS[arm.tell], residual=arm.base is not None)
        objective = Denoising(schedule, loss=arm.loss, weight=arm.weight, dream=arm.dream)  # type: ignore[arg-type]
        task = SuperResolution(FACTOR, blur=arm.blur)
        stream = OneLevel if arm.one_level else Stream

        def prepared(clean: Tensor, rng: Stream | None) -> Example:
            example = shown(task, clean, rng)
            if base_net is None:
                return example
            base = self.guess(base_net, example)
            return example._replace(base=base, cond=base if arm.see_base else example.cond)

        def loss_of(seen: int, clean: Tensor) -> Tensor:
            rng = stream(seed, range(seen, seen + BATCH))
            return objective(denoiser, prepared(clean, rng)._replace(target=clean), rng=rng).each.mean()

        average = fit(net, loss_of, self.crops, self.pictures)
        net.eval()
        found: dict[str, dict[str, float]] = {}
        example = prepared(self.truth, None)
        if arm in (FAITHFUL, OURS):
            found["raw"] = self.measure(denoiser, schedule, example, spread if arm.base else 1.0)
        net.load_state_dict(average)
        return found | {"ema": self.measure(denoiser, schedule, example, spread if arm.base else 1.0)}

    def measure(self, denoiser: Denoiser, schedule: Any, example: Example, spread: float) -> dict[str, float]:
        with torch.no_grad():
            errors: list[float] = []
            eps = torch.randn(self.truth.shape, generator=generator(5))
            for ratio in RATIOS:
                level = schedule(
                    schedule.when(torch.tensor(-2 * math.log(ratio), dtype=torch.float64)).expand(len(eps))
                )
                x0 = denoiser(diffuse(self.truth, eps, level), level, example).clamp(-1, 1)
                errors.append(10 * math.log10(float((x0 - self.truth).square().mean() / 4)))
            path = walk(schedule, STEPS, "logsnr", low=0.02)
            noise = Seeds([7 + i for i in range(len(self.truth))])
            x = start(noise(self.truth), path[0][0], example.base if denoiser.residual else None, spread)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                made = last(dpmpp(clipped(denoiser.given(example)), x, path, eta=1.0, noise=noise))
            made = made.nan_to_num().clamp(-1, 1)
        shown, truth, given = ((round8(t) + 1) / 2 for t in (made, self.truth, self.task.degrade(self.truth).image))
        again = lambda t: (self.task.degrade(2 * t - 1).image + 1) / 2  # noqa: E731
        row = {"error": sum(errors) / len(errors)}
        row |= {f"error_{ratio:g}": e for ratio, e in zip(RATIOS, errors, strict=True)}
        for metric in (PSNR(), SWD(), Consistency(again)):
            metric.update(shown, truth, given)
            row |= metric.compute()
        row["tint"] = float((shown.mean((2, 3)) - truth.mean((2, 3))).abs().mean() * 255)
        return row


COLUMNS = (
    ("error", "error of x0, dB", 2),
    ("psnr", "PSNR", 2),
    ("swd", "SWD", 1),
    ("consistency", "cons.", 1),
    ("tint", "tint", 2),
)


def table(found: dict[str, Any]) -> str:
    """Mean and spread (standard deviation) over seeds, in Markdown."""
    lines = ["| arm | what | " + " | ".join(t for _, t, _ in COLUMNS) + " | seeds |", "|---" * (len(COLUMNS) + 3) + "|"]

    def cells(runs: list[dict[str, float]]) -> str:
        shown: list[str] = []
        for key, _, digits in COLUMNS:
            values = torch.tensor([r[key] for r in runs], dtype=torch.float64)
            spread = f" ± {values.std():.{digits}f}" if len(runs) > 1 else ""
            shown.append(f"{values.mean():.{digits}f}{spread}")
        return " | ".join(shown)

    for name, arm in ARMS.items():
        runs = [r for key, r in found.items() if key.rsplit("/", 1)[0] == name]
        if runs:
            lines.append(f"| {name} | {arm.what} | {cells([r['ema'] for r in runs])} | {len(runs)} |")
        if runs and name in ("sr3", "edm-residual"):
            raw = cells([r["raw"] for r in runs])
            lines.append(f"| {name}, raw weights | … without the moving average | {raw} | {len(runs)} |")
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", nargs="+")
    args.add_argument("--pictures", type=int, default=12_000)
    args.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args.add_argument("--only", nargs="*", choices=list(ARMS))
    args.add_argument("--out", type=Path, default=Path("choices.json"))
    args.add_argument("--threads", type=int)
    args.add_argument("--table", type=Path)
    options = args.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text("utf-8"))))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    found: dict[str, Any] = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    bench = Bench(options.data, options.pictures)
    for seed in options.seeds:
        for name in options.only or ARMS:
            key = f"{name}/{seed}"
            if key in found:
                continue
            began = time.monotonic()
            found[key] = bench.run(ARMS[name], seed) | {
                "seconds": time.monotonic() - began,
                "pictures": options.pictures,
            }
            write_text(options.out, json.dumps(found, indent=1) + "\n")
            ema = found[key]["ema"]
            print(key, {k: round(ema[k], 2) for k, _, _ in COLUMNS}, f"{found[key]['seconds']:.0f} s", flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
