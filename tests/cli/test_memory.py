"""`--memory`: large pictures by bands or smaller tiles, or refused, from the command line to the file."""

import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.cli import palette
from sr3.cli.common import a_third, parse_memory
from sr3.cli.jobs import Job, check_room
from sr3.cli.run import Run
from sr3.cli.steps import Choice
from sr3.model.model import Model
from sr3.picture import memory, room
from sr3.picture.image import PictureError, read, read_note
from sr3.restore import large
from sr3.restore.restorer import Restorer


@pytest.fixture
def up(sr3, tiny, tmp_path, monkeypatch):
    model = tiny.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 2, "--precision", "fp32", *arguments)


def by_bands(monkeypatch) -> list[int]:
    """The memory that each picture made by bands was allowed."""
    seen: list[int] = []
    real = large.stream

    def spied(*args, memory, **options):
        seen.append(memory)
        return real(*args, memory=memory, **options)

    monkeypatch.setattr(large, "stream", spied)
    return seen


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_bands_make_the_same_file(up, monkeypatch, suffix):
    """With its note and its profile; nothing is left beside it."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    noise_picture(40, 60).save(f"a.{suffix}", exif=exif)
    seen = by_bands(monkeypatch)
    for name, more in (("whole", ()), ("bands", ("--memory", "1MB"))):
        code, _, err = up(f"a.{suffix}", "-o", f"{name}.png", "--strip-location", *more)
        assert code == 0, err
    assert seen == [10**6]
    whole, bands = read(Path("whole.png")), read(Path("bands.png"))
    apart = (whole.pixels - bands.pixels).abs()
    assert (apart > 0).float().mean() < 0.02
    assert apart.max() < 2.01 / 127.5
    assert whole.keep["exif-data"] == bands.keep["exif-data"]
    assert read_note(Path("whole.png")) == read_note(Path("bands.png"))
    assert not list(Path().glob(".sr3-*"))
    # and is then what was made in this way
    assert up(f"a.{suffix}", "-o", "bands.png", "--strip-location", "--skip-existing")[0] == 0
    assert seen == [10**6]


def test_a_trace_and_several_samples_are_made_at_once(up, monkeypatch):
    noise_picture(20, 20).save("a.png")
    monkeypatch.setattr(large, "stream", lambda *_, **__: pytest.fail("by bands"))
    assert up("a.png", "-o", "b.png", "--memory", "1MB", "--trace", "t.gif")[0] == 0
    assert up("a.png", "-o", "c.png", "--memory", "1MB", "--samples", 2)[0] == 0


@pytest.mark.parametrize("more", [["--trace", "t.gif"], ["--samples", 2], []])
def test_what_is_made_at_once_is_made_in_tiles_that_fit(up, monkeypatch, more):
    """An animation's frames too, which are put together."""
    tried: list[int] = []
    real = Restorer.refine
    monkeypatch.setattr(Restorer, "refine", lambda self, *a, **b: (tried.append(self.tile), real(self, *a, **b))[1])
    monkeypatch.setattr(large, "stream", lambda *_, **__: pytest.fail("by bands"))
    frames = [noise_picture(80, 20, seed) for seed in range(2)]
    frames[0].save("a.gif", save_all=True, append_images=[] if more else frames[1:], duration=100)
    code, _, err = up("a.gif", "-o", "b.png" if more else "b.gif", "--memory", "1MB", *more)
    assert code == 0, err
    assert tried == [256] * (1 if more[:1] == ["--trace"] else 2)
    if not more:
        with Image.open("b.gif") as made:
            assert (made.n_frames, made.size) == (2, (320, 80))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_comes_after_an_animation_goes_by_bands_as_before_it(up, tiny, monkeypatch, jobs):
    frames = [noise_picture(8, 8, seed) for seed in range(2)]
    Path("in").mkdir()
    frames[0].save("in/a.gif", save_all=True, append_images=frames[1:], duration=100)
    noise_picture(40, 850).save("in/b.png")
    seen = by_bands(monkeypatch)
    once = tiny.config.sampling.model_copy(update={"steps": 1})
    least = Restorer(tiny, memory=1).least((40, 850), (160, 3400), once)
    assert least is not None
    assert least < 95 * 160 * 3400 / 2
    monkeypatch.setattr(memory, "available", lambda: 95 * 160 * 3400 // 2)
    code, _, err = up("in", "-o", "out", "--memory", "1MB", "--jobs", jobs, "--steps", 1)
    assert code == 0, err
    assert len(seen) == 1


def test_what_covers_a_box_exactly_is_not_cropped(up, monkeypatch):
    noise_picture(20, 20).save("a.png")
    seen = by_bands(monkeypatch)
    code, _, err = up("a.png", "-o", "b.png", "--memory", "1MB", "--size", "80x80", "--fit", "cover")
    assert code == 0, err
    assert len(seen) == 1
    assert np.asarray(Image.open("b.png")).shape == (80, 80, 3)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5G", 15 * 10**8), ("800 mb", 8 * 10**8), ("3GiB", 3 * 2**30)]
)
def test_an_amount_of_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "2", "-1GB", "0GB", "much", "1e9GB", "2 GB of it"])
def test_no_amount_of_memory(up, text):
    with pytest.raises(typer.BadParameter, match="no amount of memory"):
        parse_memory(text)
    code, _, err = up("a.png", "--memory", text)
    assert code == 2
    assert "no amount of memory" in err.replace("\n", " ")


def test_by_default_it_is_a_third_of_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 3 * 10**9)
    assert a_third() == 10**9
    monkeypatch.setattr(memory, "available", lambda: None)
    assert a_third() is None
    assert Run([], None).allowed is None
    assert Run([], None, memory="2GB").allowed == 2 * 10**9


def test_room_is_asked_for_what_bands_need(tiny, monkeypatch):
    """Of a large picture far less than for all of it, and of a small one no more."""
    restorer, have, want = Restorer(tiny, memory=1), (4000, 4000), (16000, 16000)
    settings = tiny.config.sampling
    least = restorer.least(have, want, settings)
    assert least is not None
    assert least < 0.05 * room.memory_for(want[0] * want[1], 1)
    # what is reduced is made as large first; what takes two passes is made at once
    assert restorer.least(have, (12000, 12000), settings) == restorer.least(have, (16000, 4000), settings) == least
    assert restorer.least(have, (16001, 16000), settings) is None
    job = Job(Path("a.png"), Path("b.png"))
    monkeypatch.setattr(memory, "available", lambda: least)
    check_room(job, want, 1, 1, least)
    with pytest.raises(PictureError, match="would become 16000x16000"):
        check_room(job, want, 1)
    monkeypatch.setattr(memory, "available", lambda: least - 1)
    with pytest.raises(PictureError, match="would become 16000x16000"):
        check_room(job, want, 1, 1, least)
    monkeypatch.setattr(memory, "available", lambda: 95 * 80 * 80)
    check_room(job, (80, 80), 1, 1, restorer.least((20, 20), (80, 80), settings))


def test_what_is_announced_is_what_is_made(tiny):
    """A scale below the model's factor has the whole made first, and another has two passes."""
    choice, run = Choice(Restorer(tiny, memory=10**9), ""), Run([], None)
    assert [choice.takes(run, (60, 50), (n * 60, n * 50), 10**9)[1] for n in (1, 2, 4)] == [95 * 240 * 200] * 3
    assert choice.takes(run, (60, 50), (300, 250), None) == (95 * 960 * 800,) * 2
    assert choice.takes(run._replace(samples=3), (60, 50), (120, 100), None)[1] == 95 * 240 * 200 + 2 * 12 * 120 * 100
    # by bands, what is allowed, and what these take at least where that is more
    have, want = (60, 2000), (240, 8000)
    few = Choice(Restorer(tiny, memory=10**6), "")
    least = few.least(run, have, want)
    assert 10**6 < least < 10**8
    assert few.takes(run, have, want, least) == (least, least)
    assert Choice(Restorer(tiny, memory=10**8), "").takes(run, have, want, least) == (least, 10**8)
    assert choice.takes(run, have, want, least) == (least, 95 * 240 * 8000)
    assert few.takes(run, (60, 50), (120, 100), None) == (95 * 240 * 200,) * 2


def test_memory_that_cannot_be_kept_to_is_said(up, monkeypatch):
    noise_picture(20, 20).save("a.png")
    monkeypatch.setattr(memory, "in_use", lambda: 400_000_000)
    need = 400_000_000 + 95 * 80 * 80
    for amount, more, said in (
        ("1MB", (), True),
        ("402MB", (), False),
        ("1MB", ("--quiet",), False),
        (None, (), False),
    ):
        how = ("--memory", amount) if amount else ()
        code, _, err = up("a.png", "-o", "b.png", "--force", *how, *more)
        assert code == 0, err
        sentence = f"a.png: takes at least {need / 1e6:.0f} MB with all else, more than --memory {amount}"
        assert (sentence in err.replace("\n", " ")) is said, err


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_blocks_are_given_back_where_the_library_can():
    memory.give_back(2**20)
    before = memory.in_use()
    block = torch.ones(2**24)
    assert memory.in_use() > before + 2**25
    del block
    assert memory.in_use() < before + 2**25


@pytest.fixture
def mend(sr3, tmp_path, monkeypatch):
    """A command of Palette's tasks, by a small model, where the process is said to have 400 MB."""
    monkeypatch.setattr(memory, "in_use", lambda: 400_000_000)
    monkeypatch.chdir(tmp_path)

    def run(command, *arguments):
        kind = {"uncrop": "uncropping", **KINDS}[command]
        torch.manual_seed(0)
        model = Model(tiny_config(task={"kind": kind}, kind="regression"))
        for p in model.net.parameters():
            torch.nn.init.normal_(p, std=0.05)
        file = model.save_pretrained(tmp_path / kind)
        return sr3(command, "--model", file, "--precision", "fp32", *arguments)

    return run


KINDS = {"dejpeg": "jpeg-restoration", "colorize": "colorization", "inpaint": "inpainting", "restore": "denoising"}


def test_a_jpeg_is_restored_by_bands_to_the_same_file(mend, monkeypatch):
    noise_picture(70, 150).save("p.jpg", quality=40)
    seen = by_bands(monkeypatch)
    for name, more in (("whole", ()), ("bands", ("--memory", "1MB"))):
        code, _, err = mend("dejpeg", "p.jpg", "-o", f"{name}.png", *more)
        assert code == 0, err
    assert seen == [10**6]
    whole, bands = read(Path("whole.png")), read(Path("bands.png"))
    apart = (whole.pixels - bands.pixels).abs()
    assert (apart > 0).float().mean() < 5e-3
    assert apart.max() < 1.01 / 127.5
    assert read_note(Path("whole.png")) == read_note(Path("bands.png"))
    # what is local goes so, whatever it is called by
    assert mend("restore", "whole.png", "-o", "r.png", "--memory", "1MB")[0] == 0
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("command", "more", "pixels", "each", "help"),
    [
        ("colorize", ["--grey"], 70 * 100, 95, "or give a smaller picture"),
        ("inpaint", ["--box", "4,4,8x8"], 70 * 100, 95, "or give a smaller picture"),
        ("uncrop", ["--right", 30], 100 * 100, 140, "or add less"),
        ("dejpeg", ["--trace", "t.gif"], 70 * 100, 150, "or leave out --trace, so that it is made by bands"),
        ("dejpeg", ["--samples", 1, "--trace", "t.gif"], 70 * 100, 150, "or leave out --trace"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(mend, monkeypatch, command, more, pixels, each, help):
    """In one sentence, with the memory that will do: a hundredth more, as the next process may take more than this one.

    A tile is at work beside the picture.
    """
    noise_picture(70, 100).save("p.jpg", quality=40)
    asked = [command, "p.jpg", "-o", "r.png", *more]
    with monkeypatch.context() as before:
        before.setattr(Restorer, "refine", lambda *_, **__: pytest.fail("it was begun"))
        code, _, err = mend(*asked, "--memory", "1MB")
    assert (code, err.count("\n")) == (3, 1), err
    assert "p.jpg would become" in err
    assert "takes 0.4 GB of memory with all else, and 0.0 GB are allowed" in err
    assert help in err
    takes = 400_000_000 + pixels * (each + 160)
    enough = -(-takes // 10**6)
    found = re.search("give --memory ([0-9]+)MB", err)
    assert found is not None
    assert int(found[1]) == -(-takes * 101 // 10**8)
    assert mend(*asked, "--memory", f"{enough - 1}MB")[0] == 3
    code, _, err = mend(*asked, "--memory", f"{enough}MB")
    assert code == 0, err


def test_what_helps_is_said_where_all_that_is_free_does_not_suffice(mend, monkeypatch):
    noise_picture(70, 100).save("p.png")
    monkeypatch.setattr(memory, "available", lambda: 95 * 70 * 100 - 1)
    code, _, err = mend("colorize", "p.png", "--grey")
    assert code == 3
    assert "GB are free; give a smaller picture" in err
    monkeypatch.setattr(memory, "available", lambda: 140 * 100 * 100 - 1)
    assert "GB are free; add less" in mend("uncrop", "p.png", "--right", 30)[2]
    monkeypatch.setattr(memory, "available", lambda: 140 * 100 * 100)
    assert mend("uncrop", "p.png", "--right", 30)[0] == 0


def test_by_default_palettes_commands_take_a_third_as_well(mend, monkeypatch):
    noise_picture(70, 100).save("p.png")
    loaded: list[Restorer] = []
    real = palette.load_restorer
    monkeypatch.setattr(palette, "load_restorer", lambda *a, **b: loaded.append(real(*a, **b)) or loaded[-1])
    monkeypatch.setattr(memory, "available", lambda: 3 * 10**9)
    assert mend("colorize", "p.png", "--grey")[0] == 0
    assert mend("colorize", "p.png", "--grey", "--memory", "2GB", "-o", "q.png")[0] == 0
    assert mend("colorize", "p.png", "--grey", "--trace", "t.gif", "-o", "r.png")[0] == 0
    assert [one.memory for one in loaded] == [10**9, 2 * 10**9, 10**9]
    code, _, err = mend("colorize", "p.png", "--memory", "much")
    assert code == 2
    assert "no amount of memory" in err.replace("\n", " ")


def test_out_of_memory_the_tiles_are_halved_and_it_goes_on(mend, monkeypatch):
    noise_picture(150, 100).save("p.png")
    tried: list[int] = []
    real = Restorer.refine

    def refine(self, *arguments, **options):
        tried.append(self.tile)
        if self.tile > 80:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Restorer, "refine", refine)
    code, _, err = mend("inpaint", "p.png", "--box", "4,4,8x8")
    assert code == 0, err
    assert tried == [1024, 75]


def test_what_covers_a_box_goes_by_bands_and_is_cropped(up, monkeypatch):
    noise_picture(70, 50).convert("RGBA").save("a.png")
    box = ("--size", "200x200", "--fit", "cover", "--strip-location")
    assert up("a.png", "-o", "whole.png", *box)[0] == 0
    seen = by_bands(monkeypatch)
    code, _, err = up("a.png", "-o", "bands.png", "--memory", "1MB", *box)
    assert code == 0, err
    assert len(seen) == 1
    whole, bands = read(Path("whole.png")), read(Path("bands.png"))
    assert whole.size == bands.size == (200, 200)
    assert (whole.pixels - bands.pixels).abs().max() < 1.01 / 127.5
    assert (whole.alpha - bands.alpha).abs().max() < 1.01 / 255
