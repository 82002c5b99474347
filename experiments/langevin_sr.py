"""Super-resolution by annealed Langevin dynamics beside ancestral sampling, at equal numbers of network evaluations.

    python experiments/langevin_sr.py --model photo-4x --data pictures --limit 32 --evaluations 16 48 96

The same network, the same walk's ends, the same noise at the start.  Annealed Langevin spends its evaluations on
`updates` updates at each of fewer levels, and one on the final estimate; ancestral sampling on one step each.
PSNR with its 95 % interval, its paired difference from ancestral sampling, sliced Wasserstein distance, consistency.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from sr3.files import write_text
from sr3.metric import PSNR, SWD, Consistency
from sr3.metric.stats import paired
from sr3.metric.swd import patches_for
from sr3.model.config import Sampling
from sr3.picture.collection import load
from sr3.picture.resize import round8
from sr3.random import mix
from sr3.restore.restorer import Restorer

UPDATES = (1, 2, 3, 5)


def ways(evaluations: int, sampling: Sampling) -> list[tuple[str, Sampling]]:
    """What is compared at one number of evaluations, ancestral sampling first."""
    found = [("ancestral", {"kind": "ancestral"}, evaluations)]
    for updates in UPDATES:
        levels = (evaluations - 1) // updates
        if levels >= 4:
            found.append((f"annealed, {updates} a level", {"kind": "annealed", "updates": updates}, levels))
    if evaluations % 2 == 0:
        found.append(("predictor-corrector", {"kind": "predictor_corrector"}, evaluations // 2))
    return [(name, sampling.model_copy(update={"sampler": s, "steps": n})) for name, s, n in found]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--model", default="photo-4x")
    args.add_argument("--data", nargs="+", required=True)
    args.add_argument("--limit", type=int, default=32)
    args.add_argument("--evaluations", type=int, nargs="+", default=[16, 48, 96])
    args.add_argument("--cleanest", type=float, help="where every walk ends, sigma / alpha; by default the model's own")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--json", type=Path)
    options = args.parse_args()
    restorer = Restorer.load(options.model)
    task = restorer.model.task
    pictures = load(options.data, smallest=task.factor).pixels[: options.limit]
    whole = [torch.from_numpy(p.copy()).permute(2, 0, 1).float() / 127.5 - 1 for p in pictures]
    whole = [w[:, : w.shape[1] // task.factor * task.factor, : w.shape[2] // task.factor * task.factor] for w in whole]
    size = options.batch if len({w.shape for w in whole}) == 1 else 1
    batches = [torch.stack(whole[i : i + size]) for i in range(0, len(whole), size)]
    sampling = restorer.model.config.sampling
    if options.cleanest is not None:
        sampling = sampling.model_copy(update={"cleanest": options.cleanest})
    print("| evaluations | sampler | PSNR | less than ancestral | SWD | free cons. |\n|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    for evaluations in options.evaluations:
        reference: list[float] = []
        for name, settings in ways(evaluations, sampling):
            free = Consistency(lambda x: (task.degrade(2 * x - 1).image + 1) / 2, "free")
            psnr, swd = PSNR(), SWD(patches_for(len(whole)))
            count = 0
            for clean in batches:
                given = task.degrade(clean)
                seeds = [mix(options.seed, count + i, 0) for i in range(len(clean))]
                count += len(clean)
                truth, small = (clean + 1) / 2, (given.image + 1) / 2
                made = (round8(restorer.make(given, seeds, settings=settings)) + 1) / 2
                psnr.update(made, truth, small)
                swd.update(made, truth, small)
                loose = (round8(restorer.make(given, seeds, settings=settings, free=True)) + 1) / 2
                free.update(loose, truth, small)
            each = psnr.each()["psnr"]
            reference = reference or each
            less, least, most = paired(reference, each, options.seed)
            row = {"evaluations": evaluations, "sampler": name, "settings": settings.model_dump(exclude_none=True)}
            row |= psnr.compute() | swd.compute() | free.compute() | {"less": [less, least, most]}
            rows.append(row)
            low, high = psnr.intervals(options.seed)["psnr"]
            print(
                f"| {evaluations} | {name} | {row['psnr']:.2f} ±{(high - low) / 2:.2f} | {less:.2f} "
                f"({least:.2f} … {most:.2f}) | {row['swd']:.1f} | {row['free']:.2f} |",
                flush=True,
            )
    if options.json:
        write_text(options.json, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
