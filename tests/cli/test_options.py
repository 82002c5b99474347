"""What the options of `sr3 upscale` promise: sizes, names, formats, what is said, and what is left out of the files."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from conftest import noise_picture, spent
from PIL import Image
from typer.main import get_command

from sr3.cli import app as sr3_app
from sr3.cli.clock import Clock, Extent, spoken
from sr3.cli.helps import HOW, ORDER, grouped
from sr3.cli.jobs import Job
from sr3.cli.names import Naming
from sr3.cli.parts import share
from sr3.model.config import ConfigError
from sr3.picture.image import read, read_note, read_size
from sr3.picture.metadata import without_location
from sr3.restore.size import fitted


@pytest.fixture
def up(sr3, tiny, tmp_path, monkeypatch):
    model = tiny.save_pretrained(tmp_path / "model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    noise_picture(12, 8).save("a.png")
    return lambda *arguments: sr3("upscale", "--model", model, "--steps", 1, *arguments)


def test_a_box_is_fitted_by_its_tighter_side():
    for box, inside, cover in (
        ((1920, 1080), (1620, 1080), (1920, 1280)),
        ((1200, 1080), (1200, 800), (1620, 1080)),
        ((1920, None), (1920, 1280), (1920, 1280)),
        ((None, 1080), (1620, 1080), (1620, 1080)),
    ):
        assert fitted((300, 200), box, "inside") == inside
        assert fitted((300, 200), box, "cover") == cover
        assert fitted((300, 200), box, "stretch") == (box if None not in box else inside)
    with pytest.raises(ConfigError, match="did you mean inside"):
        fitted((3, 2), (9, 9), "insid")


def test_sizes_on_the_command_line(up):
    for size, fit, expected, name in (
        ("30x30", "inside", (30, 20), "a-30x30.png"),
        ("30x", "inside", (30, 20), "a-30x.png"),
        ("x16", "inside", (24, 16), "a-x16.png"),
        ("30x30", "cover", (30, 30), "a-30x30.png"),
        ("30x30", "stretch", (30, 30), "a-30x30.png"),
    ):
        assert up("a.png", "--size", size, "--fit", fit)[0] == 0
        assert read_size(name) == expected
        assert up(name)[0] == 2  # its own result
        Path(name).unlink()
    # what covers is the middle of what is larger
    assert up("a.png", "--size", "45x", "-o", "whole.png")[0] == 0
    assert up("a.png", "--size", "30x30", "--fit", "cover", "-o", "middle.png")[0] == 0
    whole, middle = (np.asarray(Image.open(name)) for name in ("whole.png", "middle.png"))
    assert np.array_equal(middle, whole[:, 7:37])
    assert up("a.png", "--scale", 1, "-o", "one.png")[0] == 0
    assert read_size("one.png") == (12, 8)


def test_names_and_formats(up):
    noise_picture(12, 8).save("b.jpg")
    assert up("a.png", "b.jpg", "--name", "{stem}-{scale}x", "--scale", 2, "-o", "out", "--format", "webp")[0] == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["a-2x.webp", "b-2x.webp"]
    assert up("a.png", "--name", "{stem}_{seed}", "--seed", 3)[0] == 0
    assert Path("a_3.png").exists()
    assert Naming("4x", format="jpg").within(Path("p.JPEG")) == "p.JPEG"
    assert Naming("4x", format="tiff").within(Path("p.bmp")) == "p-bmp.tif"
    for line, says in (
        (["--name", "{colour}"], "no {colour}"),
        (["--name", "a/b"], "no file's name"),
        (["--name", "{stem"], "makes no sense"),
        (["--format", "bmp"], "no format 'bmp'"),
        (["--format", "jpg", "-o", "x.png"], "x.png is no jpg file"),
        (["--name", "{stem}", "-o", "x.png"], "both --name and x.png"),
    ):
        code, _, err = up("a.png", *line)
        assert code == 2, line
        assert says in err


def test_quality_of_the_file(up):
    for quality in (30, 95):
        assert up("a.png", "-o", f"{quality}.jpg", "--output-quality", quality, "--scale", 8)[0] == 0
    assert Path("30.jpg").stat().st_size < Path("95.jpg").stat().st_size
    assert read_note("30.jpg")["output_quality"] == "30"
    for more, held in ((["--free"], "0"), (["--fidelity", 0.5], "0.5"), ([], "1")):
        assert up("a.png", "-o", "held.png", "--force", *more)[0] == 0
        assert read_note("held.png")["fidelity"] == held
    # what is not asked for is not noted, and what is asked for and is the same is the same
    for quality, told in (("95", None), ("96", "96")):
        assert up("a.png", "-o", "note.jpg", "--output-quality", quality, "--force")[0] == 0
        assert read_note("note.jpg").get("output_quality") == told


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,31.2N" xmp:Rating="4">'
    b"<exif:GPSLongitude>13,24.1E</exif:GPSLongitude><photoshop:City>Berlin</photoshop:City>"
    b'<rdf:Description drone-dji:GpsLatitude="+52.77" drone-dji:GpsLongitude = "+13.77"/><x:latitude>52.77</x:latitude>'
    b"<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li Iptc4xmpExt:City='Berlin'/></rdf:Bag></Iptc4xmpExt:LocationShown>"
    b"<dc:title>52 trees</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def test_where_it_was_taken_is_left_out(up):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x927C] = b"52.52N inside"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 6.0)})
    noise_picture(12, 8).save("gps.jpg", exif=exif, xmp=XMP)
    for options, there in (([], True), (["--strip-location"], False)):
        assert up("gps.jpg", "-o", "out.jpg", "--force", *options)[0] == 0
        data = Path("out.jpg").read_bytes()
        with Image.open("out.jpg") as made:
            found = made.getexif()
            assert found[0x010F] == "Maker"
            assert found.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
            assert bool(found.get_ifd(0x8825)) == there
        for word in (b"52,31.2N", b"13,24.1E", b"52.77", b"13.77", b"Berlin", b"52.52N inside"):
            assert (word in data) == there, word
        assert b"52 trees" in data
        assert b'xmp:Rating="4"' in data
    iptc = b"\x1c\x02\x5a\0\6Berlin\x1c\x02\x69\0\5Title\x1c\x02\x65\0\7Germany"
    assert without_location({"iptc-data": iptc}) == {"iptc-data": b"\x1c\x02\x69\0\5Title"}


def test_what_was_done_is_one_line(up):
    code, out, err = up("a.png")
    assert (code, out) == (0, "")
    line = " ".join(err.split())
    assert line.startswith("a-4x.png: 48x32, ")
    assert line.endswith(" s, tiny (as asked for)")
    assert up("a.png", "-o", "b.png", "--quiet")[1:] == ("", "")


def test_json_and_the_manifest(up):
    Path("bad.png").write_bytes(b"no")
    line = ["a.png", "bad.png", "-o", "out", "--json", "--manifest", "m.jsonl", "--skip-existing", "--seed", 4]
    code, out, _ = up(*line)
    assert code == 1
    first, second = map(json.loads, out.splitlines())
    assert (first["input"], first["output"], first["size"]) == ("a.png", [os.path.join("out", "a.png")], [48, 32])
    assert (first["seed"], first["error"]) == (4, None)
    assert first["settings"]["model"] == "tiny"
    assert first["seconds"] > 0
    assert second["input"] == "bad.png"
    assert "not a picture" in second["error"]
    assert Path("m.jsonl").read_text().splitlines() == out.splitlines()
    out = up(*line)[1]
    assert "already" in json.loads(out.splitlines()[0])["left"]
    assert len(Path("m.jsonl").read_text().splitlines()) == 4
    code, _, err = up("a.png", "-o", "-", "--json")
    assert code == 2
    assert "one pipe" in err


@pytest.mark.parametrize("command", ["", "upscale", "dejpeg", "evaluate", "train"])
def test_help_survives_a_console_of_few_letters(command):
    environment = {**os.environ, "PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
    told = subprocess.run(
        [sys.executable, "-m", "sr3", *command.split(), "--help"], capture_output=True, env=environment
    )
    assert told.returncode == 0, told.stderr
    assert not told.stderr
    assert b"Usage" in told.stdout


def test_help_is_grouped_and_has_examples(sr3):
    out = sr3("upscale", "--help")[1]
    places = [
        out.index(f"{title}:")
        for title in ("How large", "The result", "How it is made", "The machine", "Many pictures")
    ]
    assert places == sorted(places)
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    examples = [line.strip() for line in out.partition("Examples:")[2].splitlines() if line.strip()]
    assert len(examples) >= 6
    for example in examples[:6]:
        assert example.split("  ")[0] in readme, example
    assert "Pictures:" in sr3("--help")[1]


MEASURING = ("evaluate", "train", "tune", "compare", "study", "generate", "demo")
RESTORING = ("dejpeg", "colorize", "inpaint", "uncrop", "restore", "upscale")


@pytest.mark.parametrize("command", [*MEASURING, *RESTORING])
def test_every_option_is_in_a_group_and_examples_can_be_typed(sr3, command):
    out, _, examples = sr3(command, "--help")[1].partition("Example")
    places = [out.index(f"\n{group}:\n") for group in ORDER if f"\n{group}:\n" in out]
    assert len(places) >= 2
    assert places == sorted(places)
    assert out.partition("\nOptions:\n")[2].split() == ["--help", "Show", "this", "message", "and", "exit."]
    lines = [line.strip().split("  ")[0] for line in examples.splitlines() if "sr3 " in line]
    assert lines
    app = get_command(sr3_app)
    for line in lines:
        words = shlex.split(line[line.index("sr3 ") :])
        assert words[1] == command
        with app.commands[command].make_context(command, words[2:]):  # what cannot be parsed is an error
            pass


def test_a_group_of_no_option_is_an_error():
    def command(a: Annotated[int, typer.Option()] = 1) -> None: ...

    with pytest.raises(KeyError, match="b"):
        grouped({HOW: "a b"})(command)


def test_help_takes_a_fifth_of_a_second():
    assert 0 < spent("--help") < 0.4  # twice that, as coverage and slow machines are about


def test_completion():
    def completed(words: str) -> list[str]:
        environment = {**os.environ, "_SR3_COMPLETE": "complete_bash", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
        code = "import sys; sys.argv[0] = 'sr3'; from sr3.cli import main; main()"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        return told.stdout.split()

    assert completed("sr3 upsc") == ["upscale"]
    assert "photo-4x" in completed("sr3 upscale --model photo-4")
    assert completed("sr3 upscale --device cu") == ["cuda"]


def test_a_device_that_is_not_there_is_not_proposed(up):
    code, _, err = up("a.png", "--device", "cuda:99")
    assert code == 2
    assert "try cpu" in err


def test_recipes_are_listed(sr3):
    code, out, _ = sr3("recipes")
    assert code == 0
    recipes, cascades = out.split("\nCascades, whose models are trained one after the other:\n")
    assert "photo-4x-regression " in recipes
    assert [line.split()[0] for line in cascades.splitlines()] == ["sr3-1024", "sr3-class-256"]
    assert all(len(line) < 125 for line in out.splitlines())


def test_the_time_left_is_told_from_the_first_tile_on(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[float] = []
    clock = Clock(Extent(first=100, whole=400), estimated=said.append)
    assert clock.left is None
    now[0] = 2.0
    clock.heard(25)  # a quarter of the first of four evaluations
    assert clock.share == 25 / 400
    assert clock.left == pytest.approx(30)
    assert said == [pytest.approx(32)]
    for _ in range(7):
        clock.heard(25)
    from sr3.restore.restorer import Progress

    clock.step(Progress(1, 4, None))  # it asked twice in the first step
    assert clock.share == 200 / 800
    clock = Clock(None, frames=2, estimated=lambda _: pytest.fail("it is short"))
    clock.step(Progress(1, 2, None))
    assert clock.share == 0.25
    clock.frame()
    assert clock.share == 0.5
    assert [spoken(s) for s in (0.04, 9.9, 42, 200, 7200)] == ["0.0 s", "9.9 s", "42 s", "3 min", "2.0 h"]


def test_the_time_left_counts_what_is_no_network(monkeypatch):
    """Two samples of three steps; a piece takes 2 s, what is between steps 3 s, the end 7 s, and reading took 20."""
    from sr3.restore.beside import Beside
    from sr3.restore.restorer import Progress

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[float] = []
    clock = Clock(Extent(first=100, whole=600, ends=200), estimated=said.append)
    now[0] = 20.0
    clock.heard(Beside(3.0, 7.0, 100))
    assert clock.left is None
    left = 2 * (3 * (4 * 2 + 3) + 7)
    for sample in range(2):
        if sample:
            now[0] += 7
            left -= 7
            clock.heard(Beside(3.0, 7.0, 100))
        for step in range(3):
            for _ in range(4):
                now[0] += 2
                left -= 2
                clock.heard(25)
                # what is between steps is counted down with the pieces, and so a little early
                assert clock.left == pytest.approx(left, abs=3.01)
            now[0] += 3
            left -= 3
            clock.step(Progress(3 * sample + step + 1, 6, None))
            assert clock.left == pytest.approx(left)
            assert clock.share == pytest.approx(now[0] / (now[0] + left))
    now[0] += 5
    assert clock.left == pytest.approx(2)
    assert len(said) == 1
    assert said[0] == pytest.approx(20 + 80, abs=3.01)


def test_what_is_made_ready_once_is_not_taken_for_a_piece(monkeypatch):
    """Noise takes 50 s before the first of ten pieces of 2 s."""
    from sr3.restore.beside import Beside

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[float] = []
    clock = Clock(Extent(first=1000, whole=1000, ends=1000), estimated=said.append)
    clock.heard(Beside(3.0, 7.0, 1000))
    now[0] = 50.0
    clock.heard(0)
    assert clock.left is None
    for piece in range(10):
        if piece:
            now[0] += 0.5  # what is cut out for a piece is part of it
            clock.heard(0)
            now[0] -= 0.5
        now[0] += 2
        clock.heard(100)
        assert clock.left == pytest.approx((9 - piece) * (2 + 0.3) + 7)
    assert said == [pytest.approx(50 + 2 + 9 * 2.3 + 7)]


def test_the_time_left_of_bands(monkeypatch):
    """Five bands in two steps: a piece of the network takes 4 s, holding it 1 s, the end of a band 2 s, reading 30."""
    from sr3.restore.beside import Aside, Beside
    from sr3.restore.restorer import Progress

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[float] = []
    clock = Clock(Extent(first=500, whole=1000), estimated=said.append)
    now[0] = 30.0
    clock.heard(Beside(5 * (1 + 2 / 2), 0.0, 500, asks=1))  # all bands are held, and half of an end
    assert clock.left is None
    over = 30 + 5 * (2 * (4 + 1) + 2)
    # the first band is done when others are on their way
    for network, held in ((6, 4), (2, 2), (2, 2), (0, 1), (0, 1)):
        for _ in range(network):
            now[0] += 4
            clock.heard(100)
            # holding and ends come after their pieces, and are counted with them
            assert clock.left == pytest.approx(over - now[0], abs=12.01)
        for _ in range(held):
            now[0] += 1
            clock.heard(Aside(100))
        now[0] += 2
        clock.heard(Aside(0))
        clock.step(Progress(2, 6, None))
    assert now[0] == over
    assert clock.left == pytest.approx(0, abs=1e-6)
    assert said == [pytest.approx(over, rel=0.1)]
    clock.frame()
    assert not clock.asides
    clock.heard(Beside(5.0, 0.0, 500, asks=2))
    clock.heard(1000)
    assert clock.pixels / clock.asked == 500


def test_every_picture_is_in_one_shard():
    jobs = [Job(Path(f"x/{k}.png"), Path(f"y/{k}.png"), f"{k}.png") for k in range(200)]
    parts = [share(jobs, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(job for part in parts for job in part) == sorted(jobs)
    assert all(40 < len(part) < 95 for part in parts)
    # the same on every machine, wherever the folder lies
    assert {job.key for job in parts[0]} == {
        j.key for j in share([j._replace(source=Path("z") / j.key) for j in jobs], "1/3")
    }
    assert "0.png" in {job.key for job in parts[zlib_crc(b"0.png") % 3]}
    for bad in ("0/3", "4/3", "1", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="K/N"):
            share(jobs, bad)


def zlib_crc(data: bytes) -> int:
    """CRC-32 by its definition, bit by bit."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0xEDB88320 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def test_bytes_and_open_files_go_in(tiny):
    from sr3.restore.restorer import Restorer

    brought = io.BytesIO()
    noise_picture(24, 16).save(brought, "JPEG")
    restorer = Restorer(tiny)
    found = restorer.restore(brought.getvalue(), steps=1)
    assert "bins" in found.held  # as of a file
    again = restorer.restore(io.BytesIO(brought.getvalue()), steps=1)
    assert (found.variants[0].pixels == again.variants[0].pixels).all()
    assert read(brought.getvalue()).size == (24, 16)
