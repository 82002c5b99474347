"""One-step students: noise and the picture given in, a result out, in one pass of the network."""

import math
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sr3.diffusion.denoiser import Denoiser, Example, start
from sr3.diffusion.level import Level
from sr3.diffusion.objective import Loss, clean_of
from sr3.diffusion.schedule import Schedule
from sr3.metric.grid import PERIODS, excess
from sr3.model.config import ConfigError, ModelConfig
from sr3.model.model import Model
from sr3.nn.unet import Block
from sr3.picture.grey import WEIGHTS, luminance
from sr3.random import Stream, mix
from sr3.training.critic import Head, Pixels, doubt, hinge
from sr3.training.flat import Flat
from sr3.training.optimiser import Muon

STEP = 2 / 255
"""One step of 8 bits, in [-1, 1]."""


class Adversarial:
    """The student's answer to pure noise shall not be told from a photograph, by heads on a frozen model's features.

    After LADD (Sauer et al. 2024, "Fast high-resolution image synthesis with latent adversarial diffusion
    distillation"): result and photograph are noised alike at a random level and shown to the judge, a diffusion model
    of ours with its condition; small heads on the outputs of its blocks learn the hinge loss.  Photographs are the
    data's own, not the judge's samples.

    The student's gradient is the sum of five, taken at its result: of the absolute error, of the heads' verdict, of
    the distance of the features, of the verdict of a network that sees the pixels (`sr3.training.critic.Pixels`; both
    pictures with noise of one step of 8 bits, so that it does not look for the photograph's rounding), and of the
    pattern of the factor's period that the result has more of than the photograph (`sr3.metric.grid`): pixel shuffle
    leaves one, and the judge does not see it below the noise.  That part is off by default: it brings the measure to
    nothing, and dots that it does not see stay.  The last four are added one after the
    other, each `verdict`, `feature`, `fine` or `grid` times as long as the sum of those before it, so that neither the
    size of the critics' answers nor the judge's scale matters (as the adaptive weight of Esser et al. 2021, equation 7,
    balances two).  The loss that is reported is the absolute error,
    in units of the spread.

    schedule: its noisiest level is where the student begins.
    judge: a diffusion model for the same task, by name or file.
    first: the model whose answer the student begins from, if any; the judge must begin from the same.
    factor: of the student's task; None: the judge's.
    colour: where above 0, the absolute error that is descended is of luminance and, so many times, of both colour
        differences (`_slope`).
    sigma, span: the median of the judge's sigma, and the standard deviation of its logarithm.
    rate: of the Muon of the heads and of the network of pixels, with which these learn sooner than with Adam
        (`experiments/critics.py`).
    """

    def __init__(
        self,
        schedule: Schedule,
        judge: str = "photo-4x",
        verdict: float = 1.0,
        feature: float = 0.5,
        fine: float = 0.0,
        grid: float = 0.0,
        colour: float = 0.0,
        sigma: float = 0.02,
        span: float = 0.8,
        rate: float = 2e-3,
        first: ModelConfig | str | None = None,
        factor: int | None = None,
    ):
        if min(verdict, feature, fine, grid, colour, span) < 0 or sigma <= 0 or rate <= 0:
            raise ValueError("verdict, feature, fine, grid, colour and span are at least 0, and sigma and rate above 0")
        self.noisiest = schedule(torch.ones(()))
        self.verdict, self.feature, self.fine, self.grid, self.colour = verdict, feature, fine, grid, colour
        self.sigma, self.span, self.rate = sigma, span, rate
        model, self.judge = teacher(judge, first, f"the judge {judge}")
        self.mark = model.mark
        """What tells the judge's weights from others, for a run to go on with."""
        self.factor = model.task.factor if factor is None else factor
        self.parts = 0
        """Of a batch, how many the critics have seen since the last step."""
        self.seen: list[Tensor] = []
        blocks = [m for m in model.net.modules() if isinstance(m, Block)]
        if not blocks:
            raise ConfigError(f"the judge {judge} must be of the network `unet`, whose blocks its heads look at")
        model.net.strips = False  # pyright: ignore[reportArgumentType]
        for block in blocks[:: max(1, len(blocks) // 4)]:
            block.register_forward_hook(self._saw)
        widths = [block.first.in_channels for block in blocks[:: max(1, len(blocks) // 4)]]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(0x4EAD5))  # the same in all processes
            self.heads = nn.ModuleList(Head(width) for width in widths)
            self.pixels = Pixels()
            self.critics = nn.ModuleList(
                [*(self.heads if verdict or not fine else []), *([self.pixels] if fine else [])]
            )
        self._gather()

    def _gather(self) -> None:
        """The critics' weights in one vector, and their optimiser, where the critics are."""
        self.flat = Flat(self.critics, matrices_first=True)
        weights = self.flat.weights.detach()
        self.moments = {
            "step": torch.zeros((), device=weights.device),
            "exp_avg": torch.zeros_like(weights),
            "exp_avg_sq": torch.zeros_like(weights),
        }
        self.optimiser = Muon(self.flat, self.moments, rate=self.rate, betas=(0.5, 0.99), decay=0.0)

    def to(self, device: torch.device | str) -> "Adversarial":
        """Move the judge and the critics, which have learnt nothing yet."""
        self.judge.net.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.critics.to(device)
        self._gather()
        return self

    def __call__(self, denoiser: Denoiser, example: Example, *, rng: Stream) -> Loss:
        """The losses of the student; the critics' gradients are added up beside, until `step`."""
        clean = clean_of(example)
        level = Level(*(part.expand(len(clean)) for part in self.noisiest))
        x = start(rng.normal(clean), self.noisiest, example.base, _spread(denoiser))
        made = denoiser(x, level, example)
        sigma = self.sigma * torch.exp(self.span * _normal(rng))
        noise = rng.normal(clean)
        shown = made.detach().requires_grad_(True)
        false, true = list[Tensor](), list[Tensor]()
        if self.verdict or self.feature:  # else nobody asks the judge, which costs half of a step
            false = self._features(shown, example, sigma, noise)
            with torch.no_grad():
                true = self._features(clean, example, sigma, noise)
        near = [x + STEP * noise for x in (shown, clean)]
        error = (shown - clean).abs()
        slope = _slope(shown.detach() - clean, self.colour)
        losses = (
            (self.verdict, lambda: doubt(self._verdicts(false))),
            (self.feature, lambda: _apart(false, true)),
            (self.fine, lambda: doubt(self.pixels(near[0]))),
            (self.grid, lambda: _pattern(shown, clean, self.factor)),
        )
        for weight, loss in losses:
            if weight:
                (other,) = torch.autograd.grad(loss(), shown, retain_graph=True)
                slope = slope + weight * _length(slope) / _length(other) * other
        self._learn([f.detach() for f in false], true, near[0].detach(), near[1])
        unit = _spread(denoiser)
        value = error.detach().flatten(1).mean(1) / unit
        pull = (made * slope).flatten(1).mean(1) / unit
        return Loss(value + pull - pull.detach(), None)

    def vectors(self) -> list[Tensor]:
        """What it has learnt, in place: the critics' weights, and what their optimiser keeps."""
        return [self.flat.weights.detach(), *self.moments.values()]

    def forget(self) -> None:
        """Forget what was added up, as where a loss was taken only to be counted or timed."""
        self.flat.gradient.zero_()
        self.parts = 0

    def step(self, good: Tensor) -> None:
        """Let the critics learn the mean of what was added up where `good` is 1, and forget it."""
        self.flat.gradient /= max(1, self.parts)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.flat.gradient)
            self.flat.gradient /= dist.get_world_size()
        self.optimiser.step(self.rate, good)
        self.forget()

    def state(self) -> dict[str, Tensor]:
        """The critics' weights and moments, by names."""
        vectors = {"heads": self.flat.weights.detach()} | {k: v for k, v in self.moments.items() if v.ndim}
        found = {f"{kind}.{name}": view for kind, v in vectors.items() for name, view in self.flat.views(v).items()}
        return found | {"step": self.moments["step"]}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])

    def _saw(self, module: nn.Module, given: Any, out: Any) -> None:
        self.seen.append(out)

    def _features(self, x: Tensor, example: Example, sigma: Tensor, noise: Tensor) -> list[Tensor]:
        """The judge's maps of x + sigma noise, each position's channels of mean 0 and variance 1."""
        self.seen.clear()
        level = Level(torch.ones_like(sigma), sigma)
        self.judge.raw(x + sigma.to(x)[:, None, None, None] * noise, level, example)
        maps = [F.layer_norm(m.permute(0, 2, 3, 1), (m.shape[1],)).permute(0, 3, 1, 2) for m in self.seen]
        self.seen.clear()
        return maps

    def _verdicts(self, features: list[Tensor]) -> list[Tensor]:
        return [head(f) for head, f in zip(self.heads, features, strict=True)]

    def _learn(self, false: list[Tensor], true: list[Tensor], made: Tensor, clean: Tensor) -> None:
        """The hinge losses of the critics that are asked, their gradients added up."""
        self.parts += 1
        with torch.enable_grad():
            if self.verdict:
                hinge(self._verdicts(false), self._verdicts(true)).backward()
            if self.fine:
                hinge(self.pixels(made), self.pixels(clean)).backward()


def teacher(name: str, first: ModelConfig | str | None, called: str) -> tuple[Model, Denoiser]:
    """The model that a student of one step learns from, by name or file.

    first: what the student begins from.  ConfigError, of what is so `called`, for one that is no diffusion model or
    begins from another.
    """
    model = Model.from_pretrained(name)
    if not isinstance(found := model.denoiser(), Denoiser):
        raise ConfigError(f"{called} must be a diffusion model")
    if not same(model.first, Model.from_pretrained(first) if isinstance(first, str) else first):
        raise ConfigError(f"{called} must begin from what the student does, model.first")
    return model, found


def same(judges: Model | None, students: Model | ModelConfig | None) -> bool:
    """Whether both begin from one model; of one whose weights are not at hand, as far as its configuration says."""
    if judges is None or students is None:
        return judges is students
    if not isinstance(students, Model):
        return judges.config == students
    ours, theirs = judges.tensors(), students.tensors()
    return judges.config == students.config and all(torch.equal(ours[key], theirs[key]) for key in ours)


def _spread(denoiser: Any) -> float:
    return float(getattr(denoiser.prediction, "sigma_data", 1.0))


def _normal(rng: Stream) -> Tensor:
    """[B] standard normal, float64, from the streams' uniform numbers."""
    return math.sqrt(2) * torch.erfinv(2 * rng.uniform().clamp(1e-12, 1 - 1e-12) - 1)


def _slope(error: Tensor, colour: float) -> Tensor:
    """The gradient of the sum of absolute errors, [B, 3, H, W].

    Of red, green and blue their signs, which are alike wherever luminance is further from the photograph than the
    colours are, so that these are hardly pulled at: of a JPEG they stay as its coarse squares left them.  With
    `colour`, of Y, Cb and Cr apart, the colours' so many times.
    """
    if not colour:
        return error.sign()
    y = luminance(error)
    blue, red = (colour * (error[:, [at]] - y).sign() / both for at, both in ((2, 1.772), (0, 1.402)))
    own = torch.cat([red, torch.zeros_like(y), blue], dim=1)
    weights = error.new_tensor(WEIGHTS)[:, None, None]
    return own + weights * (y.sign() - red - blue)


def _apart(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """The mean absolute difference of the maps."""
    return torch.stack([(x - y).abs().mean() for x, y in zip(a, b, strict=True)]).mean()


def _pattern(made: Tensor, clean: Tensor, factor: int) -> Tensor:
    """How much more of a pattern of the factor's period there is than in the photograph, in dB, mean of the batch.

    0 where nothing is enlarged, and in pictures too small to tell.
    """
    if factor < 2 or min(made.shape[-2:]) < PERIODS * factor:
        return 0 * made.sum()
    more = excess((made + 1) / 2, factor) - excess((clean + 1) / 2, factor)
    return more.clamp(min=0).mean()


def _length(x: Tensor) -> Tensor:
    """[B, 1, 1, 1]: the norm of each picture; of the whole batch's for none at all."""
    return x.flatten(1).norm(dim=1)[:, None, None, None].clamp(min=1e-20)
