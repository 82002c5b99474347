"""The drawing for `toy_2d.py`: panels, densities, arrows, clouds of points."""

import io
import math
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image
from torch import Tensor

from sr3.diffusion.level import Level
from sr3.testing import Mixture

# Okabe and Ito's colours, which the colour-blind can tell apart
BLUE, ORANGE, RED, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#555555"
WIDTH, DPI = 7.0, 130


class Shown(NamedTuple):
    """A picture, what it says in numbers, and the frames of a moving one."""

    figure: Figure
    says: str
    frames: list[Image.Image] | None = None


def level(sigma: float) -> Level:
    """Noise on top of the data."""
    return Level(torch.ones((), dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))


def panels(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels, each of equal units, read row by row."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for ax in axes:
        ax.set_aspect("equal")
        ax.tick_params(labelsize=7)
    return figure, axes


def title(ax: Axes, text: str) -> None:
    """What a panel shows."""
    ax.set_title(text, fontsize=9)


def grid(half: float, count: int) -> Tensor:
    """[count**2, 2], row by row from below."""
    side = torch.linspace(-half, half, count)
    return torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)


def shade(ax: Axes, density: Mixture, sigma: float, half: float) -> None:
    """The density behind whatever else is drawn."""
    count = 120
    p = density.log_density(grid(half, count), level(sigma)).exp().reshape(count, count).numpy()
    side = torch.linspace(-half, half, count).numpy()
    # light: the darkest half of the colours is left to what is drawn on top
    ax.contourf(side, side, p, levels=10, cmap="Blues", vmin=0, vmax=2 * p.max(), zorder=0)
    ax.set(xlim=(-half, half), ylim=(-half, half))


def arrows(ax: Axes, field: Tensor, colour: str, half: float, count: int) -> None:
    """A field on `grid(half, count)`; long arrows shortened, so that short ones can be seen."""
    size = field.norm(dim=1, keepdim=True)
    field = field / size.clamp(min=1e-9) * torch.tanh(size / 4)
    x, f = grid(half, count).numpy(), field.numpy()
    ax.quiver(x[:, 0], x[:, 1], f[:, 0], f[:, 1], color=colour, scale=17, width=0.006, headwidth=4, zorder=2)


def two_spreads(covariance: Tensor, **how: str) -> Ellipse:
    """The ellipse two standard deviations from the mean."""
    values, vectors = torch.linalg.eigh(covariance)
    wide, high = (4 * values.sqrt()).tolist()
    turn = math.degrees(math.atan2(vectors[1, 0].item(), vectors[0, 0].item()))
    return Ellipse((0, 0), wide, high, angle=turn, fill=False, lw=1.8, **how)


def dots(ax: Axes, x: Tensor, colour: str) -> None:
    """A cloud of points without axes' numbers."""
    ax.scatter(x[:, 0], x[:, 1], s=1.5, color=colour, alpha=0.7, lw=0)
    ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[])


def frame(x: Tensor) -> Image.Image:
    """One frame of a moving picture."""
    figure = Figure(figsize=(2.4, 2.4), dpi=90, layout="constrained", facecolor="white")
    dots(figure.subplots(), x, RED)
    return image_of(figure)


def shown(x: Tensor) -> Image.Image:
    """A picture [1, 3, H, W] in [-1, 1], to look at."""
    return Image.fromarray(((x[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def image_of(figure: Figure) -> Image.Image:
    """The figure's pixels."""
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return Image.open(held).convert("RGB")
