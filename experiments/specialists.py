"""One model for four tasks beside a model for each, and L1 beside L2: Palette's tables 7 and 6, at little compute.

    python experiments/specialists.py --data faces-train.zip --people faces-val.zip --out runs/specialists

Faces reduced to 32x32, a network of the recipe face-palette's kind, every arm taught with as many pictures, from three
seeds: `one` (a specialist of each task), `all` (one model for the four), `told` (that, told its task), `l1` (that, by
L1).  Then each is measured on every task that it knows, as `palette.py --table` measures.  Stop at any moment: the same
command goes on, and what is trained is not trained again.  Writes a folder of a run for each arm and seed, table.json
and table.md.  The table is in docs/results.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path

KINDS = ("colorization", "inpainting", "uncropping", "jpeg-restoration")
TOLD = ["model.task.told=true", "model.network.labels=4"]
SMALL = ["training.crop=32", "training.zoom=[3.6, 5.0]"]
"""Of pictures of 160: 32 to 44 pixels are seen of which 32 are kept."""


def arms(pictures: int) -> dict[str, list[str]]:
    """Name: what is set in the recipe.  The rate is Muon's, and falls to nothing over the pictures."""
    usual = [
        *SMALL,
        f"training.pictures={pictures}",
        f"training.average={pictures // 12}",
        f"training.save_every={pictures}",
        f"training.sample_every={pictures}",
        f"training.warmup={pictures // 12}",
        "training.optimiser=muon",
        "training.rate=2e-3",
    ]
    found = {f"one-{kind}": [*usual, f'model.task={{kind="{kind}"}}'] for kind in KINDS}
    return found | {"all": usual, "told": [*usual, *TOLD], "l1": [*usual, "training.objective.loss=l1"]}


def train(arm: str, settings: list[str], seed: int, data: list[Path], out: Path, device: str) -> Path:
    """The model's file, of a run that has ended."""
    run = out / f"{arm}-{seed}"
    if not (run / "done").exists():
        words = [word for path in data for word in ("--data", str(path))]
        words += [word for change in [*settings, f"training.seed={seed}"] for word in ("--set", change)]
        command = [sys.executable, "-m", "sr3", "train", "face-palette", *words, "--out", str(run), "--device", device]
        subprocess.run(command, check=True)
        (run / "done").touch()
    return run / "model.safetensors"


def main() -> None:
    """Train what is not trained, and measure."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=Path, nargs="+", required=True)
    args.add_argument("--people", type=Path, nargs="+", required=True)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--pictures", type=int, default=6000)
    args.add_argument("--seeds", type=int, default=3)
    args.add_argument("--limit", type=int, default=100)
    args.add_argument("--samples", type=int, default=2)
    args.add_argument("--device", default="cpu")
    asked = args.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    named: list[str] = []
    for seed in range(asked.seeds):  # a seed of every arm first, so that what is stopped early can be compared
        for arm, settings in arms(asked.pictures).items():
            file = train(arm, settings, seed, asked.data, asked.out, asked.device)
            named.append(f"{arm.split('-')[0]}={file}")
    measure = [sys.executable, str(Path(__file__).with_name("palette.py")), "--people", *map(str, asked.people)]
    measure += ["--limit", str(asked.limit), "--samples", str(asked.samples), "--device", asked.device]
    measure += ["--json", str(asked.out / "table.json"), "--table", *named]
    made = subprocess.run(measure, check=True, stdout=subprocess.PIPE, text=True).stdout
    (asked.out / "table.md").write_text(made)
    print(made)


if __name__ == "__main__":
    main()
