"""`--batch`: small pictures of one size by one walk, in their order, and whatever does not fit in alone."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from conftest import noise_picture

from sr3.cli.jobs import Job
from sr3.cli.steps import Choice, Ready
from sr3.cli.together import at_once, gathered
from sr3.picture.image import decoded, read, read_note
from sr3.restore import large, many
from sr3.restore.restorer import Restorer


@pytest.fixture
def up(sr3, tiny, tmp_path, monkeypatch):
    model = tiny.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 2, "--precision", "fp32", *arguments)


@pytest.fixture
def walks(monkeypatch):
    """How many pictures each walk was of."""
    seen: list[int] = []
    real = Restorer.refine

    def spied(self, given, seeds, **options):
        seen.append(len(seeds))
        return real(self, given, seeds, **options)

    monkeypatch.setattr(Restorer, "refine", spied)
    return seen


def folder() -> None:
    """a to e, g and h of one size; f larger, i none, j and k JPEG files, whose bins are their own."""
    Path("in").mkdir()
    for seed, name in enumerate("abcdefghjk"):
        side = (30, 20) if name == "f" else (20, 16)
        noise_picture(*side, seed).save(f"in/{name}.{'jpg' if name in 'jk' else 'png'}")
    Path("in/i.png").write_bytes(b"no picture")


@pytest.mark.parametrize("jobs", [1, 3])
def test_several_are_computed_at_once_and_are_what_they_are_alone(up, walks, jobs):
    folder()
    for name, more in (("alone", ()), ("together", ("--batch", 4))):
        code, _, err = up("in", "-o", name, "--jobs", jobs, *more)
        assert code == 1
        assert err.count("i.png") == 1
    #          a  …  k alone;  a to d, e, f,  g and h,  j, k
    assert walks == [1] * 10 + [4, 1, 1, 2, 1, 1]
    names = sorted(path.name for path in Path("alone").iterdir())
    assert names == sorted(path.name for path in Path("together").iterdir())
    assert len(names) == 10
    for name in names:
        one, other = (read(Path(where, name)) for where in ("alone", "together"))
        assert (one.pixels - other.pixels).abs().max() < 1.01 / 127.5
        assert read_note(Path("alone", name)) == read_note(Path("together", name))
    # and is made so already
    assert up("in", "-o", "together", "--jobs", jobs, "--batch", 4, "--skip-existing")[0] == 1
    assert len(walks) == 10 + 6


@pytest.mark.parametrize(
    "more", [("--samples", 2), ("--size", "70x70", "--fit", "cover"), ("--keep", "mask.png")], ids=lambda m: m[0]
)
def test_what_is_asked_of_each_is_made_of_each(up, walks, more):
    folder()
    noise_picture(20, 16).convert("L").save("mask.png")
    up("in/a.png", "in/b.png", "-o", "out", "--batch", 4, *more)
    assert set(walks) == {1}


def test_a_size_is_made_at_once_too(up, walks):
    folder()
    assert up("in/a.png", "in/b.png", "-o", "out", "--batch", 4, "--size", "70x70")[0] == 0
    assert walks == [2]
    assert [read(path).size for path in sorted(Path("out").iterdir())] == [(70, 56)] * 2


def test_what_does_not_fit_together_is_made_alone(up, walks, monkeypatch):
    folder()
    real = Restorer.make

    def tight(self, given, seeds, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Restorer, "make", tight)
    assert up("in/a.png", "in/b.png", "in/c.png", "-o", "out", "--batch", 3)[0] == 0
    assert walks == [1] * 3
    monkeypatch.setattr(Restorer, "make", real)
    assert up("in/a.png", "in/b.png", "in/c.png", "-o", "more", "--batch", 3)[0] == 0
    assert walks == [1] * 3 + [3]


def test_singles_of_a_batch_are_made_whole_and_owe_nothing_to_the_picture_before(up, walks, monkeypatch):
    """Bands, and the folder that they are written into, are set for one picture."""
    folder()
    monkeypatch.setattr(many, "_kind", lambda *_: None)
    monkeypatch.setattr(large, "stream", lambda *_, **__: pytest.fail("by bands"))
    assert up("in/a.png", "in/b.png", "-o", "out", "--batch", 4, "--memory", "1MB")[0] == 0
    assert walks == [1, 1]


def test_what_is_no_fault_of_a_picture_is_not_hidden(up, monkeypatch):
    folder()
    monkeypatch.setattr(Restorer, "make", lambda *_, **__: {}["a mistake"])
    with pytest.raises(KeyError, match="a mistake"):
        up("in/a.png", "in/b.png", "-o", "out", "--batch", 4)


def test_an_accelerator_has_many_and_a_cpu_one():
    assert at_once(None, "cpu") == 1
    assert at_once(5, "cpu") == 5


def test_what_accelerators_have(monkeypatch):
    monkeypatch.setattr("sr3.model.device.pick_device", lambda _: torch.device("cuda"))
    assert at_once(None, "auto") == 16


@pytest.mark.parametrize(("suffix", "groups"), [("png", [2]), ("jpg", [1, 1])])
def test_jpeg_files_take_the_way_of_one(tiny, tmp_path, suffix, groups):
    """Which has a bar and an estimate: each is held to bins of its own."""
    choice, waiting = Choice(Restorer(tiny), ""), []
    for name in "ab":
        noise_picture(20, 16).save(source := tmp_path / f"{name}.{suffix}")
        ready = Ready(source, decoded(source), choice, [], (20, 16), (80, 64), 1)
        (future := Future()).set_result((ready, ExitStack()))
        waiting.append((Job(source, Path("x")), future))
    assert [len(some) for some in gathered(waiting, 4)] == groups


def test_one_by_one_nothing_is_waited_for():
    job, never = Job(Path("a"), Path("b")), Future()
    assert next(gathered([(job, never)], 1)) == [(job, never)]
