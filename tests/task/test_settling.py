"""The end of a walk: visited only where it must be, as if it were visited everywhere."""

import io

import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.picture.image import from_any
from sr3.picture.jpeg import JpegBins
from sr3.picture.resize import enlarge, round8, shrink
from sr3.restore.agreement import Agreement
from sr3.task import Given, SuperResolution
from sr3.task.data_term import InBins, Soft
from sr3.task.settling import settled


def test_visits_go_where_they_are_wanted_and_no_further():
    """A place that wants three visits has them, its neighbours are seen again, and what is far off is left alone."""
    seen: list[tuple[slice, slice]] = []

    def visit(x, part, number):
        seen.append(part)
        rows, columns = (torch.arange(p.start, p.stop) for p in part)
        far = (rows[:, None] == 100) & (columns == 41) & (number < 2)
        return x + 1, far

    made = settled(torch.zeros(1, 1, 2 * 320, 2 * 330), (320, 330), ((8, 0), (16, 10)), 9, visit)
    assert len(seen) == 3
    counts = made[0, 0, ::2, ::2]
    # cells of 16 rows from 0, and of 16 columns from 10: 100 is in the seventh, 41 in that from 26 to 42
    wanted = torch.ones(320, 330)
    wanted[80:128, 10:58] = 3
    assert torch.equal(counts, wanted)
    assert seen[0] == (slice(0, 320), slice(0, 330))
    assert seen[1] == (slice(64, 144), slice(0, 74))


def everywhere(term, made, given, visits=24):
    """The same without any of it."""
    task = SuperResolution(4)
    for number in range(visits):
        small = shrink(made, 4)
        aim = term.nearest(small, given, rounds=3)
        held = task.project(made, Given(aim))
        made = (held if number == 0 else made.lerp(held, 1.7)).clamp(-1, 1)
        if 127.5 * (aim - small).abs().max() < 0.5:
            break
    return made


@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "turned", "soft"])
def test_as_near_as_visits_everywhere(kind):
    """Over half of the picture there is nothing to do after the first visit."""
    picture = noise_picture(201, 139, seed=3).point(lambda v: min(255, max(0, 3 * v - 256)))
    picture.paste((90, 100, 120), (0, 0, 120, 139))
    exif, file = Image.Exif(), io.BytesIO()
    if kind == "turned":
        exif[0x0112] = 6
    picture.save(file, "JPEG", quality=60, exif=exif, subsampling=0 if kind == "4:4:4" else 2)
    given = from_any(file.getvalue()).rgb
    bins = JpegBins.of(file.getvalue())
    term = Soft(4.0) if kind == "soft" else InBins(bins)
    made = (enlarge(given, 4) + 0.1 * torch.randn(1, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    with torch.inference_mode():
        found = Agreement(term).finish(SuperResolution(4), made.clone(), Given(given))
        wanted = everywhere(term, made, given)
    assert found.min() >= -1
    assert found.max() <= 1
    apart = 127.5 * (found - wanted).abs()
    assert apart.mean() < 0.1
    if kind != "soft":
        assert bins.agree(shrink(round8(found), 4)) >= bins.agree(shrink(round8(wanted), 4)) - 1e-3
