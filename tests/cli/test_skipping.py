"""`--skip-existing`, the same line asked twice, and what goes together: nothing is left that is another's."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise_picture
from PIL import Image

from sr3.cli import main, restoring
from sr3.cli.made import made_so
from sr3.picture.image import read, read_note, write
from sr3.restore.note import given_mark
from sr3.restore.restorer import Restorer


@pytest.fixture
def up(sr3, tiny, tmp_path, monkeypatch):
    model = tiny.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    for folder, seed in (("jan", 1), ("feb", 2)):
        os.makedirs(folder)
        noise_picture(8, 6, seed=seed).save(f"{folder}/x.png")
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 1, "--device", "cpu", *arguments)


def test_another_pictures_result_is_not_left_as_this_ones(up):
    assert up("jan", "-o", "out", "--skip-existing")[0] == 0
    before = Path("out/x.png").read_bytes()
    code, _, err = up("feb", "-o", "out", "--skip-existing")
    assert code == 3
    assert "out/x.png is the result of another file" in " ".join(err.split())
    assert Path("out/x.png").read_bytes() == before
    # nor where a name has become another's, as one more of the name came before it
    assert up("jan/x.png", "feb/x.png", "-o", "two", "--skip-existing")[0] == 0
    assert up("jan/x.png", "feb/x.png", "-o", "two", "--skip-existing")[0] == 0
    assert read_note(Path("two/jan-x.png"))["given"] != read_note(Path("two/feb-x.png"))["given"]
    # and a picture that was changed since
    noise_picture(8, 6, seed=9).save("jan/x.png")
    assert up("jan", "-o", "out", "--skip-existing")[0] == 3
    assert up("jan", "-o", "out", "--force")[0] == 0


def test_other_weights_of_one_name_make_another_result(up, tiny, tmp_path):
    line = ["jan/x.png", "-o", "o.png", "--skip-existing", "--json"]
    up(*line)
    assert "left" in json.loads(up(*line)[1])
    first = next(iter(tiny.net.parameters()))
    with torch.no_grad():
        first.view(-1)[0] += 1
    tiny.__dict__.pop("mark", None)
    tiny.save_pretrained(tmp_path / "model")
    assert "left" not in json.loads(up(*line)[1])


def test_what_was_asked_for_then_and_is_not_now_makes_another_result(up):
    for more in (["--noise", 40], ["--output-quality", 50], ["--strip-location"]):
        assert up("jan/x.png", "-o", "o.png", "--force", *more)[0] == 0
        code, out, _ = up("jan/x.png", "-o", "o.png", "--skip-existing", "--json")
        assert (code, "left" in json.loads(out)) == (0, False), more
    note = read_note(Path("o.png"))
    for more in ("noise", "fit", "keep", "location", "output_quality", "hints", "detail"):
        write(Path("noted.png"), read(Path("jan/x.png")), note=note | {more: "1"})
        assert not made_so(Path("noted.png"), note)
    write(
        Path("older.png"),
        read(Path("jan/x.png")),
        note={k: v for k, v in note.items() if k not in ("given", "weights")},
    )
    assert made_so(Path("older.png"), note)


def test_the_same_pattern_twice(up):
    """The second time it names results too, which are left."""
    os.rename("jan/x.png", "a.png")
    assert up(*sorted(map(str, Path().glob("*.png"))))[0] == 0
    again = sorted(map(str, Path().glob("*.png")))
    assert again == ["a-4x.png", "a.png"]
    code, out, _ = up(*again, "--skip-existing", "--json")
    assert code == 0
    assert {one["input"]: one["left"] for one in map(json.loads, out.splitlines())} == {
        "a-4x.png": "a result of sr3 itself",
        "a.png": "made in this way already",
    }
    code, _, err = up(*again)
    assert (code, "a-4x.png is there already" in " ".join(err.split())) == (2, True)
    assert sorted(map(str, Path().glob("*.png"))) == again


def test_of_what_takes_long_a_process_holds_only_what_it_is_at(up, monkeypatch):
    """So that others find work: large pictures and tar files are claimed in their turn."""
    monkeypatch.setattr(restoring, "LIGHT", 0)
    monkeypatch.setattr("sr3.restore.many.SMALL", 0)
    for k in range(4):
        noise_picture(8, 6, seed=k).save(f"jan/{k}.png")
    held, walked = [], restoring.walked

    def claims() -> int:
        return len([p for p in Path("out").iterdir() if p.name.startswith(".sr3-claim")])

    def counted(*given, **options):
        end = time.monotonic() + 10  # while others are looked at, theirs are held for a moment
        while (now := claims()) > 1 and time.monotonic() < end:
            time.sleep(0.01)
        held.append(now)
        return walked(*given, **options)

    monkeypatch.setattr(restoring, "walked", counted)
    assert up("jan", "-o", "out", "--skip-existing", "--jobs", 4)[0] == 0
    assert held == [1] * 5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["jan", "--quality", "bogus"], "bogus"),
        (["jan", "--scale", 100], "the scale 100 is out of range"),
        (["jan", "--scale", 2, "--size", "9x9"], "give a scale or a size, not both"),
        (["jan", "--fit", "cover"], "--fit says how pictures fit into --size"),
        (["jan", "--size", "90x90", "--fit", "bogus"], "there is no fit 'bogus'"),
        (["jan", "--actors", 2], "--actors are those of --ray"),
        (["jan", "--manifest", "-"], "a manifest is a file"),
    ],
)
def test_what_no_picture_can_have_is_said_once_and_before_any_work(up, line, says):
    code, _, err = up(*line)
    assert code == 2
    assert says in " ".join(err.split())
    assert " ".join(err.split()).count(says) == 1
    assert not [p for p in Path().iterdir() if p.name not in ("jan", "feb", "model")]


def test_lenient_changes_nothing_of_what_is_whole(up):
    noise_picture(24, 24).save("a.jpg", quality=40)
    for name, more in (("plain.png", []), ("lenient.png", ["--lenient"])):
        assert up("a.jpg", "-o", name, *more)[0] == 0
    assert Path("plain.png").read_bytes() == Path("lenient.png").read_bytes()
    assert "bins" in read_note(Path("lenient.png"))["held_to"]
    whole = Path("a.jpg").read_bytes()
    Path("cut.jpg").write_bytes(whole[:-60])
    assert up("cut.jpg", "-o", "no.png")[0] == 3
    assert up("cut.jpg", "-o", "yes.png", "--lenient")[0] == 0


def test_the_walk_of_a_cut_result_shows_what_is_left_of_it(up):
    with Image.new("RGB", (16, 8)) as image:  # a square of white in the middle
        image.paste((255, 255, 255), (5, 1, 11, 7))
        image.save("a.png")
    code, _, err = up("a.png", "-o", "o.png", "--size", "32x32", "--fit", "cover", "--trace", "t.gif", "--free")
    assert code == 0, err
    with Image.open("t.gif") as moving, Image.open("o.png") as still:
        assert (moving.size, still.size) == ((32, 32), (32, 32))
        moving.seek(moving.n_frames - 1)
        last = np.asarray(moving.convert("L")).astype(int)
        assert np.abs(last - np.asarray(still.convert("L"))).mean() < 12


def test_what_is_not_there_has_its_line_too(up):
    code, out, _ = up("none.png", "nor.png", "--json")
    assert code == 3
    assert [(one["input"], one["error"][:14]) for one in map(json.loads, out.splitlines())] == [
        ("none.png", "does not exist"),
        ("nor.png", "does not exist"),
    ]
    told = up("none.png", "jan/x.png", "-o", "out", "--json")[1].splitlines()
    assert [json.loads(line)["input"] for line in told] == ["none.png", "jan/x.png"]


def test_actors_in_another_folder_find_model_and_mask(up, tmp_path, monkeypatch):
    from sr3.cli import rays

    os.rename(tmp_path / "model", tmp_path / "jan" / "model")
    Image.new("L", (8, 6), 255).save("mask.png")

    def over(address, build, jobs, actors):
        os.chdir("/")
        for job in jobs:
            yield rays.Actor(build).work.one(job._replace(source=tmp_path / job.source, target=tmp_path / "o.png"))

    monkeypatch.setattr(rays, "over", over)
    code, _, err = up("jan/x.png", "--model", "jan/model/model.safetensors", "--keep", "mask.png", "--ray", "local")
    assert code == 0, err
    assert (tmp_path / "o.png").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_has_no_end_is_not_waited_for(up):
    """A pipe that nobody writes into, and a device: one sentence, at once."""
    os.mkfifo("pipe.png")
    os.symlink("/dev/zero", "zero.png")
    assert given_mark(Path("pipe.png")) == given_mark(Path("zero.png")) == {}
    for name in ("pipe.png", "zero.png"):
        code, _, err = up(name, "-o", "o.png")
        assert code in (1, 2, 3)
        assert name in err
        assert "Traceback" not in err


def test_the_steps_are_shown_again_where_they_are_gone(up):
    line = ["jan/x.png", "-o", "o.png", "--steps", 2, "--trace", "t.gif", "--skip-existing"]
    assert up(*line[:-1])[0] == 0
    os.remove("t.gif")
    assert up(*line)[0] == 0
    assert os.path.exists("t.gif")
    os.remove("t.gif")
    code, _, err = up(*line[:-3], "--skip-existing")
    assert (code, err.strip()) == (0, "left as it is: made in this way already")


def test_one_that_is_stopped_leaves_no_claim(up, tiny, monkeypatch):
    """Of pictures that were made ready before their turn either."""
    for seed in range(5):
        noise_picture(8, 6, seed=seed).save(f"jan/{seed}.png")

    def stopped(*_, **__):
        while len(list(Path("out").glob(".sr3-claim-*"))) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Restorer, "stream", stopped)
    monkeypatch.setattr("sys.argv", ["sr3", "upscale", "jan", "-o", "out", "--skip-existing", "--model", "model"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert list(Path("out").iterdir()) == []


def test_a_folder_is_written_with_a_slash_and_a_picture_is_none(up):
    assert up("jan/x.png", "-o", "new/deep/")[0] == 0
    assert os.path.exists("new/deep/x.png")
    assert up("jan/x.png", "feb/x.png", "-o", "a.png/")[0] == 0
    assert len(os.listdir("a.png")) == 2
    for inputs in (["jan/x.png", "feb/x.png"], ["jan"]):
        code, _, err = up(*inputs, "-o", "both.png")
        assert (code, os.path.exists("both.png")) == (2, False)
        assert "both.png is no folder" in err
    code, _, err = up("jan/x.png", "-o", "plain")
    assert code == 2
    assert "or write plain/ for a folder" in " ".join(err.split())


@pytest.mark.parametrize("kept", [b"\xff\xd8\xff\xe0 a photograph", b"my notes\n", b"[1]\n", b"\n"])
def test_a_manifest_is_added_to_and_nothing_else_is(up, kept):
    Path("kept").write_bytes(kept)
    code, _, err = up("jan/x.png", "-o", "o.png", "--manifest", "kept")
    assert (code, Path("kept").read_bytes()) == (2, kept)
    assert "kept is there already and no manifest" in " ".join(err.split())
    Path("empty").touch()
    for number in (1, 2):
        assert up("jan/x.png", "-o", f"o{number}.png", "--manifest", "empty")[0] == 0
    assert [json.loads(line)["output"] for line in Path("empty").read_text().splitlines()] == [["o1.png"], ["o2.png"]]
