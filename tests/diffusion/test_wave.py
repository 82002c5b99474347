"""A walk by bands is the whole walk, and only a few of its bands are under way."""

import threading

import pytest
import torch
import torch.nn.functional as F

from sr3.diffusion.level import Level
from sr3.diffusion.path import walk
from sr3.diffusion.sample import WALKS, last
from sr3.diffusion.schedule import SCHEDULES
from sr3.diffusion.wave import Halted, Look, Wave
from sr3.picture.windows import around
from sr3.random import Rows, Seeds

HEIGHT, WIDTH = 60, 20
WAYS = [
    ("ancestral", {}),
    ("ddim", {"eta": 0.5}),
    ("heun", {"churn": 1.0}),
    ("dpmpp", {"order": 2, "eta": 1.0}),
    ("once", {}),
]


def blur(x: torch.Tensor, rows: int) -> torch.Tensor:
    """Over 2 * rows + 1 rows, of what is inside."""
    return F.avg_pool2d(x, (2 * rows + 1, 1), 1, (rows, 0), count_include_pad=False)


def bands_of(height: int, rows: int) -> list[slice]:
    return [slice(a, min(height, a + rows)) for a in range(0, height, rows)]


def look(halo: int, level_too: bool = False) -> Look:
    def work(see, seen: slice, wanted: slice, level: Level) -> torch.Tensor:
        made = blur(see(slice(None)), halo) * (level.alpha.float() if level_too else 1)
        return made[..., wanted.start - seen.start : wanted.stop - seen.start, :]

    return Look(lambda rows: around(rows, HEIGHT, halo), work)


def path(steps: int):
    return walk(SCHEDULES["cosine"](), steps)


def wave(rows: int, name: str, options: dict, steps: int = 5) -> Wave:
    fields: dict[int, Rows] = {}

    def begin(band: slice, ask):
        draws = iter(range(100))

        def noise(x: torch.Tensor) -> torch.Tensor:
            field = fields.setdefault(draw := next(draws), Rows(3, draw, (3, HEIGHT, WIDTH)))
            return field(band)[None]

        x = noise(torch.zeros(1, 3, band.stop - band.start, WIDTH))
        return WALKS[name](ask, x, path(steps), noise=noise, **options)

    return Wave(bands_of(HEIGHT, rows), begin, [look(3, level_too=True), look(5)], [look(2)])


@pytest.mark.parametrize("rows", [5, 8, 60])
@pytest.mark.parametrize(("name", "options"), WAYS, ids=lambda way: str(way))
def test_bands_are_the_whole_walk(name, options, rows):
    noise = Seeds([3])

    def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
        return blur(blur(x, 3) * level.alpha.float(), 5)

    x = noise(torch.zeros(1, 3, HEIGHT, WIDTH))
    whole = blur(last(WALKS[name](denoise, x, path(5), noise=noise, **options)), 2)
    made = torch.cat(list(wave(rows, name, options)), dim=-2)
    torch.testing.assert_close(made, whole, rtol=0, atol=2e-6)


def test_few_bands_are_under_way():
    """With two looks at each of 3 questions: two bands further at each, and what the end looks at."""
    under_way = []
    one = wave(6, "ddim", {}, steps=3)
    for _ in one:
        begun = [walk for walk in one.walks.values() if not walk.over]
        under_way.append(len(begun))
        assert sum(x.shape[-2] for _, x in one.kept.values()) <= 3 * (6 + 2 * 3 + 6 + 2 * 5) + 6
    assert max(under_way) <= 2 * 3 + 1
    assert under_way[-1] == 0
    assert not one.kept


def test_nothing_goes_on_when_nobody_waits():
    before = set(threading.enumerate())  # and not their number: those of other tests may end meanwhile
    one = wave(6, "ddim", {})
    bands = iter(one)
    next(bands)
    assert set(threading.enumerate()) - before
    bands.close()
    assert not set(threading.enumerate()) - before


def test_an_error_inside_a_walk_is_raised():
    def begin(ask):
        raise ValueError("no such level")
        yield

    with pytest.raises(ValueError, match="no such level"):
        Halted(begin).go()
