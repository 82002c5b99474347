"""Score matching measured: how near each objective comes to a known score, and what a step costs against dimension.

python experiments/score_bench.py [--seconds 60] [--skip-training]

The truth is a mixture of three Gaussians in two dimensions at the level `at`; the error is the relative root mean
square of the score under the mixture, sqrt(E|s - truth|**2 / E|truth|**2).
"""

import argparse
import time

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import Denoiser, Example, tell_logsnr
from sr3.diffusion.level import Level, diffuse
from sr3.diffusion.objective import Objective
from sr3.diffusion.predict import Score
from sr3.diffusion.schedule import Geometric
from sr3.diffusion.score_matching import DenoisingScore, ExplicitScore, ImplicitScore, SlicedScore
from sr3.nn.energy import EnergyScore
from sr3.random import Stream
from sr3.testing import Mixture

AT = 0.3
ROAD = Geometric(0.01, 10.0)
MODES = Mixture(
    torch.tensor([[-1.5, 0.0], [1.5, 1.0], [0.5, -1.5]]), torch.tensor([0.4, 0.5, 0.3]), torch.tensor([0.5, 0.3, 0.2])
)


class Network(nn.Module):
    """Three layers with SiLU."""

    def __init__(self, size: int, out: int, width: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, out)
        )

    def forward(self, x: Tensor, told: Tensor, cond: Tensor | None) -> Tensor:
        return self.layers(x)


class Quick(Stream):
    """One generator for the batch: a generator for each example would be most of the time at two dimensions."""

    def __init__(self, seed: int, size: int):
        self.device, self.size, self.shared = torch.device("cpu"), size, torch.Generator().manual_seed(seed)

    def uniform(self) -> Tensor:
        return torch.rand(self.size, generator=self.shared, dtype=torch.float64)

    def normal(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=self.shared, dtype=x.dtype)


def objectives() -> dict[str, Objective]:
    """What is compared."""
    return {
        "explicit": ExplicitScore(ROAD, AT, truth=MODES.score),
        "implicit, exact trace": ImplicitScore(ROAD, AT),
        "implicit, Hutchinson": ImplicitScore(ROAD, AT, trace="hutchinson"),
        "sliced": SlicedScore(ROAD, AT, reduced=False),
        "sliced, reduced": SlicedScore(ROAD, AT),
        "denoising": DenoisingScore(ROAD, AT),
    }


def trained(objective: Objective, seconds: float, energy: bool, batch: int = 512) -> tuple[float, int, float]:
    """The relative error after at most so many seconds, the steps, and the seconds to reach 0.1 (nan: never)."""
    torch.manual_seed(0)
    net = EnergyScore(Network(2, 1)) if energy else Network(2, 2)
    average = [p.detach().clone() for p in net.parameters()]
    denoiser = Denoiser(net, Score(), tell_logsnr)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(1)
    level = Level(torch.ones((), dtype=torch.float64), torch.tensor(AT, dtype=torch.float64))
    test = diffuse(MODES.draw(20_000, rng), torch.randn(20_000, 2, generator=rng), level)
    truth = MODES.score(test, level)
    reached, steps, spent = float("nan"), 0, 0.0
    error = float("inf")
    while spent < seconds:
        began = time.perf_counter()
        for _ in range(200):
            optimiser.param_groups[0]["lr"] = 3e-3 * max(0.02, (1 - spent / seconds))
            optimiser.zero_grad()
            example = Example(target=MODES.draw(batch, rng))
            objective(denoiser, example, rng=Quick(steps, batch)).each.mean().backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            steps += 1
            share = max(0.002, 1 / steps)
            torch._foreach_lerp_(average, [p.detach() for p in net.parameters()], share)
        spent += time.perf_counter() - began
        live = [p.detach().clone() for p in net.parameters()]
        with torch.no_grad():
            for p, a in zip(net.parameters(), average, strict=True):
                p.copy_(a)
            wrong = denoiser.score(test, level) - truth
            for p, a in zip(net.parameters(), live, strict=True):
                p.copy_(a)
        error = (wrong.square().mean() / truth.square().mean()).sqrt().item()
        if error <= 0.1 and reached != reached:
            reached = spent
    return error, steps, reached


def cost(objective: Objective, size: int, batch: int = 16, budget: float = 5.0) -> float:
    """Milliseconds a step of a batch: loss and gradient; the least of several, for what `budget` seconds allow."""
    net = Network(size, size)
    denoiser, example = Denoiser(net, Score(), tell_logsnr), Example(target=torch.randn(batch, size))
    best, began, count = float("inf"), time.perf_counter(), 0
    while count < 2 or (time.perf_counter() - began < budget and count < 50):
        before = time.perf_counter()
        net.zero_grad()
        objective(denoiser, example, rng=Quick(0, batch)).each.mean().backward()
        best, count = min(best, time.perf_counter() - before), count + 1
    return 1000 * best


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="to train each objective for, at most 120 for bar 2"
    )
    parser.add_argument("--skip-training", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (2, 16, 256, 3072)
    print("| ms a step, batch 16 | " + " | ".join(f"D = {d}" for d in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name, objective in objectives().items():
        if name == "explicit":
            continue
        row = [cost(objective, d) for d in sizes]
        print(f"| {name} | " + " | ".join(f"{ms:.3g}" for ms in row) + " |", flush=True)
    if options.skip_training:
        return
    print(f"\n| trained {options.seconds:g} s | relative error | steps | seconds to 0.1 |\n|---|---|---|---|")
    for energy in (False, True):
        for name, objective in objectives().items():
            error, steps, reached = trained(objective, options.seconds, energy)
            label = f"{name}, energy" if energy else name
            print(f"| {label} | {error:.3f} | {steps} | {reached:.1f} |", flush=True)


if __name__ == "__main__":
    main()
