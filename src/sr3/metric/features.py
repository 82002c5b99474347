"""Distances between two sets of pictures as any feature network sees them."""

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from sr3.metric.stats import GROUPS, jackknife

Features = Callable[[Tensor], Any]
"""Pictures [B, 3, H, W] in [0, 1] -> numbers [B, D], as a tensor or a numpy array; [B, T, D] of T tiles of each."""

Seen = TypeVar("Seen")


class MissingError(RuntimeError):
    """A measure cannot be had here, in one sentence: a package, weights, or what the user named is not there."""


def named(spec: str) -> Features:
    """What the user names as "my.module:name" or "path/to/file.py:name", ready to be called without gradients.

    A class is made first.  The file's code is run: name only files you trust.  MissingError where it is not to be had.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name:
        raise MissingError(f"{spec!r} names no function; write my.module:name or path/to/file.py:name")
    try:
        if where.endswith(".py"):
            if not Path(where).is_file():
                raise MissingError(f"there is no file {where}")
            source = importlib.util.spec_from_file_location(Path(where).stem, where)
            assert source is not None
            assert source.loader is not None
            module = importlib.util.module_from_spec(source)
            source.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        found: Any = getattr(module, name, None)
        if isinstance(found, type):
            found = found()
        if isinstance(found, nn.Module):
            found.eval().requires_grad_(False)
    except MissingError:
        raise
    except Exception as error:
        raise MissingError(
            f"{where} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not callable(found):
        raise MissingError(f"{where} has no function called {name}")
    return found


def rows(features: Features, pictures: Tensor) -> Tensor:
    """What `features` says of a batch, float64 [B, D] or [B, T, D] on the CPU; MissingError for anything else."""
    try:
        with torch.inference_mode():
            found = torch.as_tensor(features(pictures)).detach().double().cpu()
    except MissingError:
        raise
    except Exception as error:
        raise MissingError(f"the features failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if found.ndim not in (2, 3) or len(found) != len(pictures):
        raise MissingError(
            f"the features of {len(pictures)} pictures have the shape {list(found.shape)}, not [{len(pictures)}, D]"
        )
    if not found.isfinite().all():
        raise MissingError("the features are not finite")
    return found


class Remembered(Generic[Seen]):
    """A network that remembers the last few batches asked for, by identity: every method meets the same originals."""

    def __init__(self, features: Callable[[Tensor], Seen], size: int = 2):
        self.features, self.size = features, size
        self.known: list[tuple[Tensor, Seen]] = []

    def __call__(self, pictures: Tensor) -> Seen:
        known = next((pair for pair in self.known if pair[0] is pictures), None)
        pair = known or (pictures, self.features(pictures))
        others = [other for other in self.known if other[0] is not pictures]
        self.known = [*others, pair][-self.size :]
        return pair[1]


def frechet(a: Tensor, b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of two feature sets [N, D], with covariances A and B.

    The squared Wasserstein-2 distance between the Gaussians of those moments; Heusel et al. (2017), eq. 6, with N - 1
    in the covariances.  The trace of the root is the nuclear norm of Xa Xb^T, where Xa^T Xa = A: no root of a matrix
    is taken, and with fewer pictures than features the matrix is only as large as the number of pictures.
    """
    if min(len(a), len(b)) < 2:
        return math.nan
    root_a, root_b = _root(a), _root(b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    means = (a.double().mean(0) - b.double().mean(0)).square().sum()
    # rounding may leave a little below 0 where the sets are the same
    return max(0.0, (means + root_a.square().sum() + root_b.square().sum() - 2 * cross).item())


def _root(x: Tensor) -> Tensor:
    """X with X^T X the covariance of the rows: [N, D] or, where it is smaller, [D, D]."""
    centred = (x.double() - x.double().mean(0)) / math.sqrt(len(x) - 1)
    return torch.linalg.qr(centred, mode="r").R if len(x) > x.shape[1] else centred


def kernel_matrix(x: Tensor, y: Tensor) -> Tensor:
    """(x . y / D + 1)^3; Binkowski et al. (2018), section 4: [N, D], [M, D] -> [N, M]."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def kernel(a: Tensor, b: Tensor) -> float:
    """The squared maximum mean discrepancy under `kernel_matrix`, unbiased, of two feature sets [N, D], [M, D].

    Gretton et al. (2012), eq. 3; Binkowski et al. (2018), section 4: what KID is.  About 0, of either sign, when both
    are independent draws from one distribution, however few.  NaN below two of each.
    """
    if min(len(a), len(b)) < 2:
        return math.nan
    return _apart(kernel_matrix(a, a)) + _apart(kernel_matrix(b, b)) - 2 * kernel_matrix(a, b).mean().item()


def _apart(k: Tensor) -> float:
    """The mean of a square matrix without its diagonal."""
    return ((k.sum() - k.trace()) / (len(k) * (len(k) - 1))).item()


def kernel_of_pairs(a: Tensor, b: Tensor, of: Tensor | None = None) -> float:
    """`kernel` without the terms of a picture and its own original: row i of a [N, D] belongs to row i of b [N, D].

    Gretton et al. (2012), eq. 4.  Unbiased for pairs too, where eq. 3 comes out too low, by the more the better each
    result resembles its own original, since it counts those N likenesses beside N (N - 1) of strangers.  Exactly 0
    for equal sets.
    of: [N], which picture a row is of, where several rows are of one: parts of one picture are alike too, and no two of
    them are compared.  NaN below two pictures.
    """
    sums, counts = _of_strangers(a, b, of, torch.zeros(len(a), dtype=torch.long), 1)
    return (sums / counts).item()


def kernels_left_out(a: Tensor, b: Tensor, of: Tensor, turn: Tensor, groups: int) -> list[float]:
    """`kernel_of_pairs` without group 0, 1 … of the pictures, in one pass over the pairs; turn: [N], a row's group."""
    sums, counts = _of_strangers(a, b, of, turn, groups)

    def without(sums: Tensor) -> Tensor:
        return sums.sum() - sums.sum(0) - sums.sum(1) + sums.diagonal()

    return (without(sums) / without(counts)).tolist()


_AT_ONCE = 2**23
"""Pairs of rows whose kernels are held at once."""


def _of_strangers(a: Tensor, b: Tensor, of: Tensor | None, turn: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The sums [G, G] of k(a, a) + k(b, b) - 2 k(a, b) over the pairs of rows of different pictures, by the groups of
    the two rows, and how many pairs these are."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} rows are not pairs")
    of = torch.arange(len(a)) if of is None else of
    sums, counts = (torch.zeros(groups, groups, dtype=torch.float64) for _ in range(2))
    for some in torch.arange(len(a)).split(max(1, _AT_ONCE // max(1, len(a)))):
        k = kernel_matrix(a[some], a) + kernel_matrix(b[some], b) - 2 * kernel_matrix(a[some], b)
        apart = of[some, None] != of[None]
        for to, each in ((sums, k * apart), (counts, apart.double())):
            by_column = torch.zeros(len(some), groups, dtype=torch.float64).index_add_(1, turn, each)
            to.index_add_(0, turn[some], by_column)
    return sums, counts


def alike(found: Tensor, before: Sequence[Tensor]) -> Tensor:
    """Features as they are; MissingError where those of other pictures have another length."""
    if before and before[0].shape[-1] != found.shape[-1]:
        raise MissingError(
            f"the features of one picture are {before[0].shape[-1]} numbers and of another {found.shape[-1]}; average "
            "them over the picture"
        )
    return found


Distance = Callable[[Tensor, Tensor, Tensor], float]
"""(features made [N, D], features target [N, D], which picture each row is of [N]) -> how far the sets are apart."""


@dataclass(frozen=True)
class BySize:
    """A distance that is another for larger sets.  of: the one for so many rows, which a set without some of them, for
    the jackknife, keeps."""

    of: Callable[[int], Distance]

    def __call__(self, made: Tensor, target: Tensor, of: Tensor) -> float:
        return self.of(len(made))(made, target, of)


class FeatureDistance:
    """A distance between the features of all made and of all target pictures, by the names of `distances`.

    distances: by their names; where the features are of tiles, each tile is a row.  intervals: by the jackknife over
    groups of pictures, which are taken out of both sets; the bootstrap would draw pictures twice, and a set with
    twins is another distribution to these distances.
    """

    higher_is_better = False

    def __init__(self, features: Features, distances: dict[str, Distance]):
        self.features, self.distances = features, distances
        self.made: list[Tensor] = []
        self.target: list[Tensor] = []
        self.tiles: list[int] = []

    def update(self, made: Tensor, target: Tensor, given: Tensor) -> None:
        for kept, pictures in ((self.made, made), (self.target, target)):
            found = rows(self.features, pictures)
            kept.append(alike(found.flatten(0, -2), kept))
        self.tiles += [len(self.made[-1]) // len(made)] * len(made)

    def merge(self, other: Self) -> None:
        self.made += other.made
        self.target += other.target
        self.tiles += other.tiles

    def compute(self) -> dict[str, float]:
        if not self.made:
            return dict.fromkeys(self.distances, math.nan)
        made, target = torch.cat(self.made), torch.cat(self.target)
        of = self._each_tile(torch.arange(len(self.tiles)))
        return {name: distance(made, target, of) for name, distance in self.distances.items()}

    def _each_tile(self, pictures: Tensor) -> Tensor:
        """What holds of each picture, said of each of its tiles."""
        return pictures.repeat_interleave(torch.tensor(self.tiles))

    def each(self) -> dict[str, list[float]]:
        return {}

    def intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        if not self.made:
            return {}
        made, target = torch.cat(self.made), torch.cat(self.target)
        groups = min(GROUPS, len(self.tiles))
        if groups < 4:
            return {}
        of = self._each_tile(torch.arange(len(self.tiles)))
        turn = self._each_tile(torch.arange(len(self.tiles)) % groups)
        found: dict[str, tuple[float, float]] = {}
        for name, distance in self.distances.items():
            distance = distance.of(len(made)) if isinstance(distance, BySize) else distance
            if distance is kernel_of_pairs:
                without = kernels_left_out(made, target, of, turn, groups)
            else:
                without = [distance(made[turn != g], target[turn != g], of[turn != g]) for g in range(groups)]
            found[name] = jackknife(distance(made, target, of), without)
        return found


DISTANCES: dict[str, Distance] = {"frechet": lambda made, target, of: frechet(made, target), "kernel": kernel_of_pairs}
