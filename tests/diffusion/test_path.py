"""Paths against the levels that the papers visit."""

import numpy as np
import pytest
import torch

from sr3.diffusion.level import Level, from_logsnr
from sr3.diffusion.path import LOWEST, SPACINGS, Path, even_t, given, karras, walk
from sr3.diffusion.schedule import SCHEDULES, Geometric, Karras, LinearBeta

EVERY = {**{name: make() for name, make in SCHEDULES.items()}, "palette": LinearBeta(1e-4, 0.09, 1000)}


@pytest.mark.parametrize("schedule", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_walk_goes_from_the_schedules_noise_to_the_picture(schedule, spacing, steps):
    path = walk(schedule, steps, spacing)
    assert len(path) == len(list(path)) == steps
    torch.testing.assert_close(path.first.logsnr, schedule(torch.tensor(1.0)).logsnr, rtol=1e-6, atol=1e-6)
    assert path.ends_clean
    assert [c.item() for c in path[-1][1]] == [1, 0]
    for (_, arrived), (left, _) in zip(list(path)[:-1], list(path)[1:], strict=True):
        assert arrived == left
        # each level is one of the schedule's, so that a network has seen it
        on_road = schedule(schedule.when(left.logsnr))
        torch.testing.assert_close(torch.stack(left), torch.stack(on_road), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_ends_can_be_chosen(spacing):
    for end_clean, steps in ((True, 6), (False, 5)):
        path = walk(Karras(), steps, spacing, high=9.0, low=0.03, end_clean=end_clean)
        assert len(path) == steps
        assert path.ends_clean is end_clean
        assert path.levels.ratio[:6][[0, -1]].tolist() == pytest.approx([9.0, 0.03], rel=1e-6)


def test_even_logsnr_is_even():
    logsnr = walk(LinearBeta(), 12, "logsnr", low=0.01).levels.logsnr[:-1]
    assert logsnr[-1].item() == pytest.approx(-2 * np.log(0.01))
    torch.testing.assert_close(logsnr.diff(), torch.full((11,), logsnr.diff().mean().item(), dtype=torch.float64))


def test_logsnr_stops_where_an_8_bit_picture_would_not_show_it():
    assert walk(LinearBeta(), 5, "logsnr").levels.ratio[-2].item() == pytest.approx(LOWEST)
    assert walk(Geometric(0.03, 50), 5, "logsnr").levels.ratio[-2].item() == pytest.approx(0.03)


def test_karras_is_equation_5_of_edm():
    steps = np.arange(18)
    theirs = (80 ** (1 / 7) + steps / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    for schedule in (Geometric(0.002, 80), Karras()):
        ours = karras(schedule, 18, high=80, low=0.002).levels.sigma
        np.testing.assert_allclose(ours, [*theirs, 0], rtol=1e-6)


def test_as_many_even_times_as_betas_are_the_knots():
    """So `ancestral` on this path is Algorithm 2 of the paper."""
    gamma = np.append(1, np.cumprod(1 - np.linspace(1e-6, 1e-2, 2000)))
    ours = even_t(LinearBeta(), 2000).levels.alpha ** 2
    np.testing.assert_allclose(ours, gamma[::-1], rtol=1e-9)


def test_given_levels_are_visited_as_given():
    levels = [from_logsnr(torch.tensor(v)) for v in (-5.0, 1.0, 1.5, torch.inf)]
    path = given(levels)
    assert [(here, there) for here, there in path] == list(zip(levels[:-1], levels[1:], strict=True))
    assert path.ends_clean


def level(alphas: list[float], sigmas: list[float]) -> Level:
    return Level(torch.tensor(alphas).double(), torch.tensor(sigmas).double())


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        (level([1, 1, 1], [2, 1, 1]), "repeats a level"),
        (level([1, 1, 1], [1, 2, 0]), "grows noisier"),
        (level([1, 1, 1], [1, 0, 0]), "repeats a level"),
        (level([1], [1]), "two levels or more"),
        (level([0, 1], [1, 0]), "alpha > 0"),
        (level([1, 1], [1, float("nan")]), "finite"),
        (level([1, 1], [1, -1]), "sigma >= 0"),
    ],
)
def test_paths_that_cannot_be_walked_are_refused(levels, why):
    with pytest.raises(ValueError, match=why):
        Path(levels)


def test_wrong_wishes_are_refused():
    with pytest.raises(ValueError, match="no spacing 'log-snr'; there are karras, logsnr, t"):
        walk(LinearBeta(), 5, "log-snr")
    for spacing in SPACINGS:
        with pytest.raises(ValueError, match="one step or more"):
            walk(LinearBeta(), 0, spacing)
        with pytest.raises(ValueError, match="has no 300"):
            walk(LinearBeta(), 5, spacing, high=300)
        with pytest.raises(ValueError, match=r"repeats a level|grows noisier"):
            walk(LinearBeta(), 5, spacing, high=1.0, low=2.0)
