"""Score matching, Langevin dynamics, diffusion and SR3 in pictures: all that docs/tutorial.md shows.

python examples/toy_2d.py --out DIR [--seed 0] [--fast]

Points in the plane, whose density and score are known exactly, and one photograph.  Needs matplotlib and scikit-image
(pip install ".[plot,demo]").  --fast: a tenth of the work, to see that it runs.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from toy_panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Shown,
    arrows,
    dots,
    frame,
    grid,
    image_of,
    level,
    panels,
    shade,
    shown,
    title,
    two_spreads,
)

from sr3 import Restorer
from sr3.diffusion.denoiser import Denoiser, Example, start, tell_logsnr
from sr3.diffusion.langevin import annealed, langevin, mala
from sr3.diffusion.level import diffuse
from sr3.diffusion.objective import Denoising, Objective
from sr3.diffusion.path import given, walk
from sr3.diffusion.predict import Eps, Score
from sr3.diffusion.sample import Step, ancestral, ddim, last
from sr3.diffusion.schedule import Cosine, Geometric
from sr3.diffusion.score_matching import DenoisingScore, ImplicitScore, SlicedScore
from sr3.picture.image import to_pil
from sr3.random import Stream
from sr3.restore.restorer import Progress, Restored
from sr3.task import SuperResolution
from sr3.testing import Mixture, Normal

THREE = Mixture(
    torch.tensor([[-1.5, 0.0], [1.5, 1.0], [0.5, -1.5]]), torch.tensor([0.4, 0.5, 0.3]), torch.tensor([0.5, 0.3, 0.2])
)
AT = 0.3
"""The noise at which fields are learnt: enough for the data's holes to be visited."""
FAR = Mixture(torch.tensor([[-2.5, -2.5], [2.5, 2.5]]), torch.tensor([0.5, 0.5]), torch.tensor([0.8, 0.2]))
TILTED = Normal(torch.zeros(2), torch.tensor([[1.0, 0.6], [0.6, 0.5]]))


class Quick(Stream):
    """One generator for the batch: one for each example would take longer than a network this small."""

    def __init__(self, seed: int, size: int):
        self.size, self.shared = size, torch.Generator().manual_seed(seed)

    def uniform(self) -> Tensor:
        return torch.rand(self.size, generator=self.shared, dtype=torch.float64)

    def normal(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=self.shared, dtype=x.dtype)


class Network(nn.Module):
    """A few layers that see the point and the noise level."""

    def __init__(self, width: int = 96, depth: int = 2):
        super().__init__()
        sizes = [3, *[width] * depth]
        hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 2))

    def forward(self, x: Tensor, told: Tensor, cond: Tensor | None) -> Tensor:
        return self.layers(torch.cat([x, told[:, None] / 1000], 1))


def rng(seed: int) -> torch.Generator:
    """A generator of its own for each use."""
    return torch.Generator().manual_seed(seed)


def noise_of(seed: int) -> Callable[[Tensor], Tensor]:
    """Noise for samplers."""
    source = rng(seed)
    return lambda x: torch.randn(x.shape, generator=source, dtype=x.dtype)


def trained(
    denoiser: Denoiser, objective: Objective, batch: Callable[[torch.Generator], Tensor], steps: int, seed: int
) -> Denoiser:
    """The denoiser, its network trained for so many steps of Adam on fresh data."""
    source, optimiser = rng(seed), torch.optim.Adam(denoiser.net.parameters(), lr=1e-2)
    for k in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - k / steps)
        x0 = batch(source)
        optimiser.zero_grad()
        objective(denoiser, Example(target=x0), rng=Quick(seed + k, len(x0))).each.mean().backward()
        nn.utils.clip_grad_norm_(denoiser.net.parameters(), 1.0)
        optimiser.step()
    return denoiser


def new(seed: int, prediction: Score | Eps, depth: int = 2) -> Denoiser:
    """An untrained denoiser."""
    torch.manual_seed(seed)
    return Denoiser(Network(depth=depth), prediction, tell_logsnr)


def wrong(denoiser: Denoiser, seed: int) -> float:
    """The relative root mean square error of a score at `AT`, under the density of `THREE`."""
    x = diffuse(THREE.draw(5000, rng(seed)), torch.randn(5000, 2, generator=rng(seed + 1)), level(AT))
    truth = THREE.score(x, level(AT))
    with torch.no_grad():
        return ((denoiser.score(x, level(AT)) - truth).square().mean() / truth.square().mean()).sqrt().item()


def learnt(steps: int, seed: int) -> dict[str, Denoiser]:
    """Networks before and after score matching."""
    road = Geometric(0.01, 10.0)
    ways: dict[str, Objective] = {
        "implicit": ImplicitScore(road, AT),
        "sliced": SlicedScore(road, AT),
        "denoising": DenoisingScore(road, AT),
    }
    batch = lambda source: THREE.draw(512, source)  # noqa: E731
    after = {name: trained(new(seed, Score()), way, batch, steps, seed) for name, way in ways.items()}
    return {"before training": new(seed, Score()), **after}


def walked(count: int, seed: int) -> dict[str, tuple[Tensor, list[Step]]]:
    """Where two kinds of Langevin walk begin, and the steps they take, at equal evaluations."""
    begin = 8 * torch.randn(count, 2, generator=rng(seed))
    # a path must fall; this one hardly does
    still = given([level(0.1 * (1 + 1e-9 * (250 - k))) for k in range(251)])
    falling = walk(Geometric(0.1, 8.0), 250, "logsnr", high=8.0, low=0.1)
    plain = langevin(FAR, begin, still, updates=6, step=3.0, noise=noise_of(seed))
    cooled = annealed(FAR, begin, falling, updates=6, step=0.4, noise=noise_of(seed))
    return {"plain Langevin": (begin, list(plain)), "annealed Langevin": (begin, list(cooled))}


def weight(x: Tensor) -> float:
    """The share of points in the lower left mode of `FAR`, which has 0.8."""
    return (x.sum(1) < 0).double().mean().item()


def at_a_large_step(count: int, seed: int, step: float = 3.0) -> dict[str, tuple[Tensor, float]]:
    """Points after unadjusted and after adjusted Langevin on a Gaussian, and the share of accepted updates."""
    path = given([level(0.5 * (1 + 1e-9)), level(0.5)])
    begin = TILTED.draw(count, rng(seed)) + 0.5 * torch.randn(count, 2, generator=rng(seed + 1))
    free = last(langevin(TILTED, begin, path, updates=100, step=step, noise=noise_of(seed)))
    (held,) = mala(TILTED, begin, path, updates=100, step=step, noise=noise_of(seed))
    assert held.accepted is not None
    return {"unadjusted": (free, 1.0), "Metropolis-adjusted": (held.x, held.accepted.mean().item())}


def spiral(count: int, source: torch.Generator) -> Tensor:
    """Points on two arms of a spiral, of about unit spread."""
    turn = 1.6 * math.pi * torch.rand(count, generator=source).sqrt()
    arm = torch.where(torch.rand(count, generator=source) < 0.5, 1.0, -1.0)
    away = arm[:, None] * torch.stack([turn.cos(), turn.sin()], 1) * turn[:, None] / 3
    return away + 0.04 * torch.randn(count, 2, generator=source)


def back(denoiser: Denoiser, count: int, steps: int, seed: int) -> tuple[Tensor, list[Step]]:
    """Pure noise, and the walk from there to data."""
    path = walk(Cosine(), steps, "t")
    begin = start(torch.randn(count, 2, generator=rng(seed)), path.first)
    with torch.no_grad():
        return begin, list(ancestral(denoiser.given(), begin, path, variance="posterior", noise=noise_of(seed)))


def small_face() -> tuple[Image.Image, Image.Image]:
    """A part of a photograph (NASA, public domain), and the same four times smaller."""
    from skimage import data

    clean = torch.from_numpy(data.astronaut()[20:212, 128:320].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    return shown(clean), shown(SuperResolution(4).degrade(clean).image)


def refined(small: Image.Image, seed: int) -> tuple[list[Step], Image.Image]:
    """Every step of SR3's walk from noise to the picture, and what the user gets."""
    restorer = Restorer.load("photo-4x", device="cpu")
    *seen, end = restorer.stream(small, seed=seed)
    assert isinstance(end, Restored)
    return [progress.step for progress in seen if isinstance(progress, Progress)], to_pil(end.variants[0])


def density(effort: float, seed: int) -> Shown:
    """A mixture of three Gaussians: its density, and its score."""
    figure, axes = panels(1, 2, 3.7)
    for ax in axes:
        shade(ax, THREE, AT, 3.0)
    title(axes[0], "the density p(x), and 150 draws")
    x = THREE.draw(150, rng(seed)) + AT * torch.randn(150, 2, generator=rng(seed + 1))
    axes[0].scatter(x[:, 0], x[:, 1], s=5, color=GREY)
    title(axes[1], "its score: uphill in log p(x)")
    arrows(axes[1], THREE.score(grid(3.0, 17), level(AT)), BLUE, 3.0, 17)
    return Shown(figure, "exact")


def fields(effort: float, seed: int) -> Shown:
    """The exact score beside a network's, before and after training in three ways."""
    networks = learnt(max(2, int(2000 * effort)), seed)
    errors = {name: wrong(network, seed) for name, network in networks.items()}
    figure, (exact, before, note, *after) = panels(2, 3, 5.0)
    note.axis("off")
    note.text(0, 0.5, NOTE, fontsize=9, va="center", transform=note.transAxes)
    for ax in (exact, before, *after):
        shade(ax, THREE, AT, 3.0)
    title(exact, "exact")
    arrows(exact, THREE.score(grid(3.0, 15), level(AT)), BLUE, 3.0, 15)
    for ax, (name, network) in zip((before, *after), networks.items(), strict=True):
        title(ax, f"{name}: error {errors[name]:.0%}")
        with torch.no_grad():
            arrows(ax, network.score(grid(3.0, 15), level(AT)), RED, 3.0, 15)
    return Shown(figure, "relative error " + ", ".join(f"{name} {error:.3f}" for name, error in errors.items()))


NOTE = """blue arrows: the truth
red arrows: a network

error: the root mean square
of what the arrows are off,
over their own, where the
density has its points"""


def walks(effort: float, seed: int) -> Shown:
    """Plain and annealed Langevin between two far modes, at four moments."""
    figure, axes = panels(2, 4, 4.3)
    said: list[str] = []
    for row, (name, (begin, steps)) in enumerate(walked(max(50, int(4000 * effort)), seed).items()):
        share = weight(steps[-1].x)
        colours = [RED if right else BLUE for right in (steps[-1].x.sum(1) > 0)[:700]]
        for ax, k in zip(axes[4 * row :], (0, 50, 110, 250), strict=False):
            x = steps[k - 1].x if k else begin
            ax.scatter(x[:700, 0], x[:700, 1], s=3, c=colours, lw=0, alpha=0.8)
            ax.set(xlim=(-9, 9), ylim=(-9, 9), xticks=[], yticks=[])
            title(ax, f"{6 * k} updates")
        axes[4 * row].set_ylabel(name, fontsize=9)
        axes[4 * row + 3].set_xlabel(f"weights {share:.2f} and {1 - share:.2f}\n(truly 0.80 and 0.20)", fontsize=8)
        said.append(f"{name} {share:.3f}")
    return Shown(figure, f"weight of the larger mode, truly 0.8: {', '.join(said)}")


def adjusted(effort: float, seed: int) -> Shown:
    """Unadjusted and adjusted Langevin at a step that is too large for the former."""
    figure, axes = panels(1, 2, 4.0)
    truth = TILTED.covariance + 0.25 * torch.eye(2)
    said: list[str] = []
    for ax, (name, (x, accepted)) in zip(axes, at_a_large_step(max(50, int(5000 * effort)), seed).items(), strict=True):
        found = torch.cov(x.T)
        ax.scatter(x[:1500, 0], x[:1500, 1], s=3, color=GREY, alpha=0.6, lw=0)
        ax.add_patch(two_spreads(truth, color=BLUE, ls="solid", label="the truth"))
        ax.add_patch(two_spreads(found, color=RED, ls="dashed", label="these points"))
        ax.set(xlim=(-4, 4), ylim=(-3.6, 4.4))
        ax.legend(fontsize=8, loc="upper left", title="two standard deviations", title_fontsize=8)
        narrow = torch.linalg.eigvalsh(found)[0] / torch.linalg.eigvalsh(truth)[0]
        title(ax, f"{name}: {accepted:.0%} of the steps kept\nnarrow variance {narrow:.2f} times the true one")
        said.append(f"{name} {narrow:.3f}")
    return Shown(figure, f"narrow variance over the true one: {', '.join(said)}")


def flow(effort: float, seed: int) -> Shown:
    """The probability flow beside the random walk back, from the same noise."""
    path = walk(Cosine(), max(10, int(200 * effort)), "logsnr")
    begin = start(torch.randn(60, 2, generator=rng(seed)), path.first)
    figure, axes = panels(1, 2, 3.7)
    smooth = ddim(THREE, begin, path)
    rough = ancestral(THREE, begin, path, variance="posterior", noise=noise_of(seed))
    ways = (("the probability flow: ddim", smooth), ("the random walk: ancestral, 3 of 60", rough))
    for ax, (name, steps) in zip(axes, ways, strict=True):
        shade(ax, THREE, 0.05, 3.2)
        trail = torch.stack([begin, *(step.x for step in steps)])
        which = torch.cdist(trail[-1], THREE.means).argmin(1).tolist()
        chosen = range(60) if ax is axes[0] else [which.index(mode) for mode in set(which)]
        for k in chosen:
            ax.plot(trail[:, k, 0], trail[:, k, 1], color=(BLUE, ORANGE, GREEN)[which[k]], lw=0.8, alpha=0.9)
        ax.scatter(*begin[list(chosen)].T, s=12, color="white", edgecolors="black", lw=0.7, label="noise", zorder=3)
        ax.scatter(*trail[-1].T, s=8, color="black", label="results", zorder=3)
        title(ax, name)
        ax.legend(fontsize=8, loc="lower left")
    return Shown(figure, "exact denoiser")


def diffusion(effort: float, seed: int) -> Shown:
    """Points to noise by the forward process, and noise to points by a network."""
    batch = lambda source: spiral(512, source)  # noqa: E731
    new_one, loss = new(seed, Eps(), depth=3), Denoising(Cosine(), loss="l2")
    denoiser = trained(new_one, loss, batch, max(2, int(4000 * effort)), seed)
    steps, count = max(8, int(200 * effort)), 1500
    begin, made = back(denoiser, count, steps, seed)
    data, eps = spiral(count, rng(seed + 1)), torch.randn(count, 2, generator=rng(seed + 2))
    times = [0.0, 0.1, 0.3, 1.0]
    forwards = [diffuse(data, eps, Cosine()(torch.tensor(t))) for t in times]
    backwards = [begin, *(made[round((1 - t) * steps) - 1].x for t in times[::-1][1:])]
    figure, axes = panels(2, 4, 4.0)
    for k, x in enumerate([*forwards, *backwards]):
        dots(axes[k], x, BLUE if k < 4 else RED)
        title(axes[k], f"t = {times[k] if k < 4 else times[7 - k]:g}")
    axes[0].set_ylabel("forwards: noise is added", fontsize=8)
    axes[4].set_ylabel("back: a network takes it out", fontsize=8)
    frames = [frame(x) for x in [begin, *(step.x for step in made[:: max(1, steps // 20)]), made[-1].x]]
    return Shown(figure, f"{steps} steps back", frames)


def face(effort: float, seed: int) -> Shown:
    """A photograph through SR3's refinement."""
    clean, small = small_face()
    steps, result = refined(small, seed)
    total = len(steps)
    bicubic = small.resize(clean.size, Image.Resampling.BICUBIC)
    columns = [("given: 48×48", small, bicubic, "bicubic")]
    for k in (0, round(0.4 * total), total - 2):
        columns.append(
            (f"x after step {k + 1} of {total}", shown(steps[k].x), shown(steps[k].x0), "its estimate of x0")
        )
    columns.append(("result: 192×192", result, clean, "the photograph"))
    figure, axes = panels(2, 5, 3.3)
    for k, (above, upper, lower, below) in enumerate(columns):
        for ax, picture, text in ((axes[k], upper, above), (axes[k + 5], lower, below)):
            ax.imshow(picture, interpolation="nearest")
            ax.set_title(text, fontsize=8)
            ax.axis("off")
    return Shown(figure, f"{total} steps")


PICTURES: dict[str, Callable[[float, int], Shown]] = {
    f.__name__: f for f in (density, fields, walks, adjusted, flow, diffusion, face)
}


def make(out: Path, effort: float, seed: int) -> Iterator[str]:
    """Write every picture into a folder; yields a line about each."""
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        began = time.perf_counter()
        made = picture(effort, seed)
        colours = 160 if name == "face" else 96  # a palette: a third of the bytes
        image_of(made.figure).quantize(colours).save(out / f"tutorial-{name}.png", optimize=True)
        if made.frames:
            first, *rest = (f.quantize(16) for f in made.frames)
            times = [400, *[80] * (len(rest) - 1), 2000]
            first.save(out / f"tutorial-{name}.gif", save_all=True, append_images=rest, duration=times, loop=0)
        yield f"tutorial-{name}: {made.says} ({time.perf_counter() - began:.1f} s)"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    for line in make(options.out, 0.1 if options.fast else 1.0, options.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
