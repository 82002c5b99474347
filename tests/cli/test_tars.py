"""Shards: tar files as webdataset reads them, in and out, each with a mark when it is done."""

import errno
import io
import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.cli import rays
from sr3.model.model import Model
from sr3.picture.image import read


def packed(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_500_000_000
            out.addfile(info, io.BytesIO(data))


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}


def png(seed: int, suffix: str = "PNG") -> bytes:
    brought = io.BytesIO()
    noise_picture(8, 6, seed=seed).save(brought, suffix)
    return brought.getvalue()


@pytest.fixture
def up(sr3, tiny, tmp_path, monkeypatch):
    model = tiny.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    members = {"a.png": png(0), "a.cls": b"7", "x/b.jpg": png(1, "JPEG"), "x/b.json": b"{}", "c.gif": png(2, "GIF")}
    packed(tmp_path / "s.tar", members | {"bad.png": b"no", "bad.cls": b"9", ".hidden.png": b"?"})
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 1, *arguments)


def test_a_shard_gives_a_shard(up, tmp_path):
    code, out, err = up("s.tar", "--json")
    assert code == 1
    assert "s.tar/bad.png is not a picture" in " ".join(err.split())
    made = unpacked(tmp_path / "s-4x.tar")
    assert list(made) == ["a.png", "a.cls", "x/b.jpg", "x/b.json", "c.png", ".hidden.png"]
    assert (made["a.cls"], made["x/b.json"]) == (b"7", b"{}")
    assert [Image.open(io.BytesIO(made[name])).size for name in ("a.png", "x/b.jpg")] == [(32, 24)] * 2
    assert up("s.tar", "-o", "again.tar", "--quiet")[0] == 1
    assert unpacked(tmp_path / "again.tar") == made
    # each as by itself
    Path("a.png").write_bytes(png(0))
    up("a.png", "-o", "alone.png")
    assert (read("alone.png").pixels == read(made["a.png"]).pixels).all()
    mark = json.loads((tmp_path / "s-4x.tar.done").read_text())
    assert mark["made"] == 3
    assert list(mark["failed"]) == ["bad.png"]
    told = [json.loads(line) for line in out.splitlines()]
    assert (told[0]["input"], told[0]["output"], told[0]["error"]) == ("s.tar", ["s-4x.tar"], None)
    assert told[1]["input"] == "s.tar/bad.png"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".sr3")]


def test_what_fails_in_a_shard_elsewhere_comes_back(up, tmp_path, monkeypatch):
    """As another machine has it: nothing but rows and pickles travels."""

    def over(address, build, jobs, actors):
        actor = rays.Actor(build)
        for number, job in enumerate(jobs):
            found = pickle.loads(actor(rays._row(number, job))["outcome"])
            yield replace(found, input=jobs[number].name)

    monkeypatch.setattr(rays, "over", over)
    code, out, err = up("s.tar", "-o", "out", "--json", "--ray", "local")
    told = [(one["input"], one["error"] is None) for one in map(json.loads, out.splitlines())]
    assert told == [("s.tar", True), ("s.tar/bad.png", False)]
    assert (code, "bad.png" in err) == (1, True)


def test_a_shard_that_is_done_is_left(up, tmp_path):
    line = ["s.tar", "-o", "out", "--skip-existing", "--json"]
    assert up(*line)[0] == 1
    before = (tmp_path / "out" / "s.tar").stat().st_mtime_ns
    code, out, _ = up(*line)
    assert code == 0
    assert "already" in json.loads(out)["left"]
    assert (tmp_path / "out" / "s.tar").stat().st_mtime_ns == before
    assert up(*line, "--seed", 3)[0] == 1
    (tmp_path / "out" / "s.tar.done").unlink()
    after = (tmp_path / "out" / "s.tar").stat().st_mtime_ns
    assert after != before
    assert up(*line, "--seed", 3)[0] == 1
    assert (tmp_path / "out" / "s.tar").stat().st_mtime_ns != after
    code, _, err = up("s.tar", "-o", "out")
    assert code == 2
    assert "is there already" in err


def test_bad_shards_are_one_sentence(up, tmp_path):
    (tmp_path / "junk.tar").write_bytes(b"no" * 999)
    whole = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: 512 * 4 + 77])
    (tmp_path / "no-end.tar").write_bytes(whole[: 512 * 2])
    packed(tmp_path / "none.tar", {"a.txt": b"x"})
    packed(tmp_path / "all-bad.tar", {"a.png": b"x"})
    for name, says in {
        "junk.tar": "is no tar file, or is damaged",
        "cut.tar": "damaged",
        "no-end.tar": "damaged",
        "none.tar": "there is no picture in it",
        "all-bad.tar": "a.png is not a picture",
    }.items():
        code, _, err = up(name, "-o", f"out-{name}")
        assert code == 3, (name, err)
        assert says in err
        assert not (tmp_path / f"out-{name}").exists()
    code, _, err = up("s.tar", "--samples", 2)
    assert code == 2
    assert "unpack it" in err


def test_labels_keep_their_pictures_and_no_name_is_there_twice(up, tmp_path):
    """What belongs together has one name up to the first dot, before as after."""
    moving = io.BytesIO()
    noise_picture(8, 6).save(moving, "GIF", save_all=True, append_images=[noise_picture(8, 6, seed=5)])
    members = {"1.gif": moving.getvalue(), "1.txt": b"a", "2.JPG": png(1, "JPEG"), "2.png": png(2), "2.cls": b"2"}
    packed(tmp_path / "t.tar", members | {"3.bmp": png(3, "BMP"), "3.seg.png": png(4)})
    assert up("t.tar", "-o", "kept.tar")[0] == 0
    assert list(unpacked(tmp_path / "kept.tar")) == ["1.webp", "1.txt", "2.JPG", "2.png", "2.cls", "3.png", "3.seg.png"]
    assert up("t.tar", "-o", "png.tar", "--format", "png")[0] == 0
    made = unpacked(tmp_path / "png.tar")
    assert list(made) == ["1.png", "1.txt", "2.JPG.png", "2.png", "2.cls", "3.png", "3.seg.png"]
    assert {Image.open(io.BytesIO(made[name])).format for name in made if name.endswith("png")} == {"PNG"}
    code, _, err = up("t.tar", "-o", "x.tar", "--name", "{stem}-{scale}x")
    assert code == 2
    assert "leave out --name" in " ".join(err.split())
    assert up("t.tar", "-o", "-")[0] == 2


def test_hard_links_are_files(up, tmp_path):
    with tarfile.open(tmp_path / "h.tar", "w") as out:
        for name, data in (("1.png", png(1)), ("1.txt", b"one")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo(name.replace("1", "2"))
            link.type, link.linkname = tarfile.LNKTYPE, name
            out.addfile(link)
    assert up("h.tar", "-o", "out.tar")[0] == 0
    made = unpacked(tmp_path / "out.tar")
    assert sorted(made) == ["1.png", "1.txt", "2.png", "2.txt"]
    assert made["2.txt"] == b"one"
    assert (read(made["1.png"]).pixels == read(made["2.png"]).pixels).all()


def test_another_shard_of_the_name_is_not_left_as_done(up, tmp_path):
    assert up("s.tar", "-o", "out", "--skip-existing")[0] == 1
    packed(tmp_path / "s.tar", {"only.png": png(7), "only.cls": b"7"})
    code, _, err = up("s.tar", "-o", "out", "--skip-existing")
    assert code == 3
    assert "out/s.tar is the result of another file" in " ".join(err.split())
    assert up("s.tar", "-o", "out", "--force")[0] == 0
    assert list(unpacked(tmp_path / "out" / "s.tar")) == ["only.png", "only.cls"]


@pytest.mark.parametrize("bytes_", [None, b"a list of mine", b""])
def test_what_another_program_made_is_not_taken_for_a_shard_half_done(up, tmp_path, bytes_):
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "s.tar"
    packed(target, {"precious.txt": b"mine"}) if bytes_ is None else target.write_bytes(bytes_)
    before = target.read_bytes()
    code, _, err = up("s.tar", "-o", "out", "--skip-existing")
    assert (code, target.read_bytes()) == (3, before)
    assert "out/s.tar is there already and no result of sr3" in " ".join(err.split())
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["s.tar"]


def test_no_older_mark_stands_beside_a_newer_shard(up, tmp_path, monkeypatch):
    """As where a run is killed between the two: its results would be taken for those of the mark."""
    assert up("s.tar", "-o", "out")[0] == 1

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("sr3.cli.tars.write_text", full)
    assert up("s.tar", "-o", "out", "--force", "--seed", 3)[0] == 3
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["s.tar"]


def test_a_full_disk_is_no_pictures_fault(up, tmp_path, monkeypatch):
    """Another time all may be well: nothing is marked as done."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("sr3.cli.restoring.walked", full)
    code, _, err = up("s.tar", "-o", "out")
    assert code == 3
    assert "the disk is full" in err
    assert not list((tmp_path / "out").iterdir())


def test_each_picture_of_a_shard_is_restored_as_it_needs(sr3, tmp_path, monkeypatch):
    """And what is in need of nothing is taken over as it is."""
    model = Model(tiny_config(task={"kind": "several"}, residual=False)).save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    grey, fine = io.BytesIO(), io.BytesIO()
    noise_picture(16, 16).convert("L").save(grey, "PNG")
    Image.new("RGB", (16, 16), (200, 40, 90)).save(fine, "PNG")
    packed(tmp_path / "s.tar", {"a.png": grey.getvalue(), "a.cls": b"1", "b.png": fine.getvalue()})
    line = ["restore", "s.tar", "-o", "out.tar", "--model", model, "--steps", 1, "--device", "cpu"]
    code, _, err = sr3(*line)
    assert code == 0, err
    made = unpacked(tmp_path / "out.tar")
    assert list(made) == ["a.png", "a.cls", "b.png"]
    assert made["b.png"] == fine.getvalue()
    assert read(made["a.png"]).pixels.shape[0] == 3
    assert "already" in sr3(*line, "--skip-existing", "--json")[1]
    assert "already" not in sr3(*line, "--skip-existing", "--json", "--seed", 4)[1]
