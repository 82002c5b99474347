"""Which search finds better ways of sampling: SR3's, over betas, or ours, over samplers, spacings and ends of the walk?

    python experiments/searches.py --model face-8x --data faces160-train-0.zip --steps 8 16 --out searches.json
    python experiments/searches.py --table searches.json

Both search on the same pictures by the same score, the Fréchet distance over the features of EfficientNet-Lite0 (or
--features), from the same noise, and with as many trials; what each finds best is judged on other pictures with other
noise.  Beside them stands the model's own way at as many steps, which nobody searched here.  Runs that are done are
kept in the JSON file: the same command goes on.  Give pictures that nothing was measured on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr3.evaluation.betas import tune_betas
from sr3.evaluation.criterion import Criterion, criterion
from sr3.evaluation.tune import Bench, Tuned, tune
from sr3.files import write_text
from sr3.model.config import Sampling
from sr3.picture.collection import Pictures, load
from sr3.restore.restorer import Restorer

JUDGED = 1000
"""Added to the seed of the noise that the found ways are judged with."""


def squares(pictures: Pictures, side: int) -> Pictures:
    """The middle squares, reduced to one size."""
    found: list[np.ndarray] = []
    for pixels in pictures.pixels:
        least = min(pixels.shape[:2])
        top, left = ((room - least) // 2 for room in pixels.shape[:2])
        cut = Image.fromarray(pixels[top : top + least, left : left + least])
        found.append(np.asarray(cut.resize((side, side), Image.Resampling.LANCZOS)))
    return Pictures(list(pictures.names), found)


def contest(
    restorer: Restorer, search: Pictures, judge: Pictures, how: Criterion, steps: int, seed: int
) -> dict[str, Any]:
    """What each search found, and what that is worth on the pictures to judge by."""
    *ours_tried, ours = tune(restorer, search, budgets=(steps,), seed=seed, criterion=how)
    trials = len(ours_tried)
    *_, betas = tune_betas(restorer, search, budgets=(steps,), seed=seed, criterion=how, trials=trials)
    assert isinstance(ours, Tuned)
    assert isinstance(betas, Tuned)
    own = restorer.model.config.sampling.model_copy(update={"steps": steps})
    ways: dict[str, Sampling] = {"own": own, "walks": ours.best[steps].settings, "betas": betas.best[steps].settings}
    bench = Bench(restorer, judge, seed + JUDGED, how)
    row: dict[str, Any] = {"steps": steps, "seed": seed, "trials": trials}
    for name, settings in ways.items():
        found = bench.trial(settings, steps, None)
        row[name] = None if found is None else found.as_dict()
    for name, searched in (("walks", ours), ("betas", betas)):
        row[name]["searched"] = searched.best[steps].score
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: the score on the judging pictures, with the one that the search saw in brackets."""
    lines = ["| steps | seed | trials | own | walks | betas | PSNR: own, walks, betas |", "|---" * 7 + "|"]
    for row in rows:
        cells = ["–" if row["own"] is None else f"{row['own']['score']:.4g}"]
        cells += [f"{row[name]['score']:.4g} ({row[name]['searched']:.4g})" for name in ("walks", "betas")]
        psnr = ", ".join("–" if row[n] is None else f"{row[n]['psnr']:.2f}" for n in ("own", "walks", "betas"))
        lines.append(f"| {row['steps']} | {row['seed']} | {row['trials']} | {' | '.join(cells)} | {psnr} |")
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--model", default="face-8x")
    args.add_argument("--data", nargs="+")
    args.add_argument("--side", type=int, default=128)
    args.add_argument("--pictures", type=int, default=48, help="to search on, and as many others to judge by")
    args.add_argument("--steps", type=int, nargs="+", default=[8, 16])
    args.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args.add_argument("--features")
    args.add_argument("--precision", default="fp32")
    args.add_argument("--device", default="cpu")
    args.add_argument("--out", type=Path, default=Path("searches.json"))
    args.add_argument("--table", type=Path)
    options = args.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text("utf-8"))))
        return
    restorer = Restorer.load(options.model, device=options.device, precision=options.precision)
    how = criterion("frechet", restorer.device, options.features)
    found = load(options.data).first(2 * options.pictures)
    both = squares(found, options.side)
    search = both.first(options.pictures)
    judge = Pictures(both.names[options.pictures :], both.pixels[options.pictures :])
    rows: list[dict[str, Any]] = json.loads(options.out.read_text("utf-8")) if options.out.exists() else []
    for seed in options.seeds:
        for steps in options.steps:
            if any((row["steps"], row["seed"]) == (steps, seed) for row in rows):
                continue
            rows.append(contest(restorer, search, judge, how, steps, seed))
            write_text(options.out, json.dumps(rows, indent=1) + "\n")
            print(table(rows[-1:]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
