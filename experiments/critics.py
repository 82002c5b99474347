"""How soon do critics learn to tell a student's results from photographs: by which optimiser, at which rate?

    python experiments/critics.py --student photo-4x-fast --data photos.zip

The student stays as it is.  Each critic (`sr3.training.critic.Pixels`) begins from the same weights and sees the same
batches of results and photographs, once; told is its hinge loss (2: it knows nothing, 0: it is sure and right) in the
last tenth of them and on crops that it has not seen, and for each of its maps in how many of those the photograph has
the higher mean.  Give pictures that the student was not trained on, or say that it was.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from sr3.diffusion.denoiser import start
from sr3.diffusion.level import Level
from sr3.diffusion.objective import clean_of
from sr3.diffusion.schedule import SCHEDULES
from sr3.model.config import build
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.random import Stream
from sr3.training.adversarial import STEP
from sr3.training.critic import Pixels, hinge
from sr3.training.data import Crops
from sr3.training.flat import Flat
from sr3.training.optimiser import Adam, Muon

TRIED = (("adam", 5e-4), ("adam", 2e-3), ("muon", 2e-3), ("muon", 8e-3))

Pair = tuple[Tensor, Tensor]


def pair(student: Model, crops: Crops, indices: list[int], seed: int) -> Pair:
    """The student's results of a batch, and the photographs, both with noise of one step of 8 bits."""
    rng = Stream(seed, indices)
    clean = crops(indices)
    example = student.prepare(student.task.degrade(clean, rng=rng))._replace(target=clean)
    clean = clean_of(example)
    noisiest = build("schedule", SCHEDULES, student.config.schedule)(torch.ones(()))
    level = Level(*(part.expand(len(clean)) for part in noisiest))
    with torch.no_grad():
        denoiser = student.denoiser()
        spread = float(getattr(denoiser.prediction, "sigma_data", 1.0))
        made = denoiser(start(rng.normal(clean), noisiest, example.base, spread), level, example)
    noise = STEP * rng.normal(clean)
    return made + noise, clean + noise


def learnt(kind: str, rate: float, known: list[Pair], unseen: list[Pair]) -> tuple[float, float, list[float]]:
    """(the loss in the last tenth, on what was not seen, the share of it that each map puts in order)."""
    torch.manual_seed(0)
    critic = Pixels()
    flat = Flat(critic, matrices_first=True)
    weights = flat.weights.detach()
    moments = {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weights), "exp_avg_sq": torch.zeros_like(weights)}
    settings: dict[str, object] = {"rate": rate, "betas": (0.5, 0.99), "decay": 0.0}
    optimiser = Muon(flat, moments, **settings) if kind == "muon" else Adam(flat.weights, moments, **settings)
    losses: list[float] = []
    for made, clean in known:
        flat.gradient.zero_()
        loss = hinge(critic(made), critic(clean))
        loss.backward()
        optimiser.step(rate, torch.ones(()))
        losses.append(loss.item())
    last = losses[-max(1, len(losses) // 10) :]
    with torch.no_grad():
        told = [(critic(made), critic(clean)) for made, clean in unseen]
    order = [
        torch.cat([(f[k].mean((1, 2, 3)) < t[k].mean((1, 2, 3))).float() for f, t in told]).mean().item()
        for k in range(len(critic.looks))
    ]
    return sum(last) / len(last), sum(hinge(*both).item() for both in told) / len(told), order


def main() -> None:
    """Print a line for each optimiser and rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--batches", type=int, default=140)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=128)
    chosen = parser.parse_args()
    student = Model.from_pretrained(chosen.student)
    student.net.eval()
    crops = Crops(load(chosen.data).first(chosen.limit), chosen.crop)

    def batches(first: int, count: int) -> list[Pair]:
        size = chosen.batch
        return [
            pair(student, crops, list(range(k * size, (k + 1) * size)), seed=5) for k in range(first, first + count)
        ]

    known, unseen = batches(0, chosen.batches), batches(10**6, 12)
    for kind, rate in TRIED:
        last, new, order = learnt(kind, rate, known, unseen)
        print(f"{kind} {rate:.0e}: {last:.2f}, unseen {new:.2f}, in order " + " ".join(f"{x:.2f}" for x in order))


if __name__ == "__main__":
    main()
