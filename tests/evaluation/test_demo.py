"""The demonstration's photographs, rows and sheet, on small originals."""

import io

import numpy as np
import pytest
import torch
from conftest import tiny_config
from PIL import Image

from sr3.evaluation import demo
from sr3.metric.psnr import psnr, psnr_y
from sr3.model.model import Model
from sr3.picture.resize import resize, round8
from sr3.restore.restorer import Restorer
from sr3.restore.whole import make

data = pytest.importorskip("skimage.data", reason="needs the extra 'demo'")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(demo, "SIDE", 32)


def test_photographs_are_reduced_to_their_shorter_side_and_cut_in_the_middle():
    (name, found), (other, square) = demo.photographs(("chelsea", "astronaut"))
    assert (name, other) == ("chelsea", "astronaut")
    whole = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert whole.shape == (1, 3, 300, 451)
    assert torch.equal(found, round8(resize(whole, (32, 48)))[..., 8:40])
    assert square.shape == (1, 3, 32, 32)
    assert [n for n, _ in demo.photographs()] == ["astronaut", "chelsea", "coffee", "rocket"]


def test_a_row_goes_from_what_is_given_to_the_original(tiny, monkeypatch):
    original = round8(resize(torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1, (32, 32)))
    monkeypatch.setattr(demo, "photographs", lambda: [("a", original)])
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    row, *more = demo.rows(restorer, None, seed=3)
    assert not more
    task = tiny.task
    given = task.degrade(original)
    assert [title for title, _ in row.pictures] == ["given, 8x8", "bicubic", tiny.config.name, "original"]
    seen = [picture for _, picture in row.pictures]
    assert torch.equal(seen[0], given.image.repeat_interleave(4, -1).repeat_interleave(4, -2))
    assert torch.equal(seen[1], round8(task.baseline(given)))
    assert torch.equal(seen[2], round8(make(restorer, given, [3])))
    assert not torch.equal(seen[2], round8(make(restorer, given, [0])))
    assert seen[3] is original
    (with_other,) = demo.rows(restorer, restorer, seed=3)
    assert len(with_other.pictures) == 5
    assert torch.equal(with_other.pictures[2][1], round8(make(restorer, given, [0])))
    assert with_other.pictures[2][0] == tiny.config.name


def test_one_photograph_is_also_given_as_a_jpeg_file_and_held_to_it(tiny):
    restorer = Restorer(tiny, device="cpu", precision="fp32")
    *photographs, last = demo.rows(restorer, None, seed=3)
    assert [row.name for row in [*photographs, last]] == ["astronaut", "chelsea", "coffee", "rocket", "coffee.jpg"]
    assert [title for title, _ in last.pictures] == ["given, 8x8, JPEG 75", "bicubic", tiny.config.name, "original"]
    small = ((photographs[2].pictures[0][1][0, :, ::4, ::4] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=75)
    given = Image.open(file)
    assert not np.array_equal(np.asarray(given), small)
    seen = ((last.pictures[0][1][0, :, ::4, ::4] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(seen, np.asarray(given))
    made = restorer.restore(file.getvalue(), seed=3).variants[0].rgb
    assert torch.equal(last.pictures[2][1], round8(made))
    assert not torch.equal(last.pictures[2][1], photographs[2].pictures[2][1])
    assert torch.equal(last.pictures[3][1], photographs[2].pictures[3][1])


def test_a_sheet_has_pictures_in_rows_and_measures_under_those_that_have_them(monkeypatch):
    rng = torch.Generator().manual_seed(1)
    pictures = [round8(torch.rand(1, 3, 32, 32, generator=rng) * 2 - 1) for _ in range(3)]
    written = []
    draw = demo.ImageDraw.ImageDraw.multiline_text
    monkeypatch.setattr(
        demo.ImageDraw.ImageDraw,
        "multiline_text",
        lambda self, at, text, **more: written.append((at, text)) or draw(self, at, text, **more),
    )
    row = demo.Row("a", list(zip(("given", "made", "original"), pictures, strict=True)))
    page = np.asarray(demo.sheet([row, row], border=2))
    assert page.shape == (2 * (32 + 40 + 8) + 8, 3 * (32 + 8) + 8, 3)
    for r in range(2):
        for c, picture in enumerate(pictures):
            top, left = 8 + r * 80, 8 + c * 40
            samples = ((picture[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(page[top : top + 32, left : left + 32], samples)
    decibels = psnr_y((pictures[1] + 1) / 2, (pictures[2] + 1) / 2, border=2).item()
    assert [at for at, _ in written[:3]] == [(10, 42), (50, 42), (90, 42)]
    assert written[4][0] == (50, 122)
    assert written[0][1] == "given"
    assert written[1][1].startswith(f"made\n{decibels:.2f} dB  SSIM 0.")
    assert written[2][1] == "original"


def test_colours_are_measured_as_such(sr3, tmp_path, monkeypatch):
    """The luminance is given, and by it alone every method would be exact."""
    torch.manual_seed(0)
    model = Model(tiny_config(task={"kind": "colorization"})).save_pretrained(tmp_path / "m")
    draw, written = demo.ImageDraw.ImageDraw.multiline_text, []
    monkeypatch.setattr(
        demo.ImageDraw.ImageDraw,
        "multiline_text",
        lambda self, at, text, **more: written.append(text) or draw(self, at, text, **more),
    )
    made = []
    rows = demo.rows
    monkeypatch.setattr(demo, "rows", lambda *all_, **more: (made.append(row) or row for row in rows(*all_, **more)))
    code, _, err = sr3("demo", "--task", "colorize", "--model", model, "-o", tmp_path / "d.png")
    assert code == 0, err
    (_, original), (_, grey) = made[0].pictures[-1], made[0].pictures[1]
    decibels = psnr((grey + 1) / 2, (original + 1) / 2).item()
    assert decibels < 35 < psnr_y((grey + 1) / 2, (original + 1) / 2).item()
    assert written[1].startswith(f"grey\n{decibels:.2f} dB  SSIM 0.")
