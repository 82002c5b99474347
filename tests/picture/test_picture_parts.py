"""Memory, room, kinds of files, colour under transparency, windows and guided colours, by hand."""

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sr3.picture import memory, room
from sr3.picture.bleed import REACH, bled
from sr3.picture.grey import as_grey, coloured, guided, luminance
from sr3.picture.kinds import HEIC, is_jpeg, kind
from sr3.picture.picture import Picture, PictureError
from sr3.picture.resize import resize
from sr3.picture.windows import Window, taper, windows


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A root of files in place of the system's own."""
    monkeypatch.setattr(memory, "Path", lambda first, *more: Path(tmp_path, str(first).lstrip("/"), *more))

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    return write


def test_memory_is_what_the_machine_or_the_container_has_left(system, monkeypatch):
    machine = SimpleNamespace(total=9000 * 1024, available=7000 * 1024, free=1)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    assert memory._container() is None
    assert memory.available() == 7000 * 1024
    system("sys/fs/cgroup/memory.max", "5000000\n")
    system("sys/fs/cgroup/memory.current", "3000000\n")
    system("sys/fs/cgroup/memory.stat", "anon 77\ninactive_file 400000\nactive_file 9\n")
    assert memory.available() == 2_400_000
    system("sys/fs/cgroup/memory.current", "9000000\n")
    assert memory.available() == 0
    system("sys/fs/cgroup/memory.max", "max\n")
    system("sys/fs/cgroup/memory/memory.limit_in_bytes", "600\n")
    system("sys/fs/cgroup/memory/memory.usage_in_bytes", "500\n")
    system("sys/fs/cgroup/memory/memory.stat", "inactive_file 900\ntotal_inactive_file 30\n")
    assert memory.available() == 130


@pytest.mark.parametrize("error", [PermissionError("/proc"), memory.psutil.AccessDenied(1), NotImplementedError()])
def test_where_the_system_is_silent_nothing_is_known(system, monkeypatch, error):
    def silent(*_):
        raise error

    monkeypatch.setattr(memory.psutil, "virtual_memory", silent)
    monkeypatch.setattr(memory.psutil, "Process", silent)
    assert memory.available() is None
    assert memory.in_use() == 2**29


def test_what_does_not_fit_is_said_with_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2_000_000_000)
    assert memory.lacking(100_000_000, 20) is None
    assert memory.lacking(100_000_001, 20) == "2.0 GB of memory, and 2.0 GB are free"
    assert memory.lacking(455_000_000, 20) == "9.1 GB of memory, and 2.0 GB are free"
    monkeypatch.setattr(memory, "available", lambda: None)
    assert memory.lacking(10**12, 20) is None


def test_a_result_needs_room_in_memory_and_on_the_disk(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(room, "lacking", lambda pixels, each: asked.append((pixels, each)))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda where: usage(0, 0, {str(tmp_path): 500}[where.as_posix()]))
    assert room.memory_for(100, 1) == 9500
    assert room.memory_for(100, 3) == 9500 + 2400
    assert room.memory_for(100, 3, 400) == 38_000 + 2400
    assert room.memory_for(100, 1, 90) == 9500
    room.check_room("a.png", tmp_path / "no" / "o.png", (100, 100))
    room.check_room("a.png", tmp_path / "o.gif", (10, 10), samples=2, files=4, frames=3)
    assert asked == [(1, 950_000), (1, 10_700 + 4 * 2 * 100 * 2)]
    room.check_room("a.png", tmp_path / "o.png", (100, 100), files=1)
    for more in ({"files": 2}, {"frames": 2}):
        with pytest.raises(PictureError, match=r"a.png would become 100x100, and the disk of .* is full \(0 MB free\)"):
            room.check_room("a.png", tmp_path / "o.png", (100, 100), **more)
    room.check_room("a.png", None, (10**4, 10**4))
    monkeypatch.setattr(room, "lacking", lambda pixels, each: "9 GB")
    with pytest.raises(PictureError, match="a.png would become 3x2, which takes 9 GB; ask for less"):
        room.check_room("a.png", None, (3, 2))
    with pytest.raises(PictureError, match="a.png would first become 6x4, which takes 9 GB; ask for less"):
        room.check_room("a.png", None, (3, 2), made=(6, 4))
    with pytest.raises(PictureError, match="70000"):
        room.check_room("a.png", tmp_path / "o.jpg", (70_000, 2))


HEADS = {
    b"8BPS": "a Photoshop file (PSD)",
    b"\xff\x0a": "a JPEG XL picture",
    b"%PDF-1.4": "a PDF document",
    b"%!PS": "PostScript (EPS)",
    b"\xc5\xd0\xd3\xc6": "PostScript (EPS)",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture",
    b"DDS ": "a DirectDraw surface (DDS)",
    b"gimp xcf": "a GIMP file (XCF)",
    b"\x1aE\xdf\xa3": "a film",
    b"\0\0\0\x20ftypheic": HEIC,
    b"\0\0\0\x20ftypmif1heic": HEIC,
    b"\0\0\0\x20ftypmif1....avif": None,
    b"\0\0\0\x20ftypmif1" + b"." * 52 + b"avif": HEIC,
    b"\0\0\0\x20ftypavif": None,
    b"\0\0\0\x20ftypavis": None,
    b"\0\0\0\x20ftypisom": "a film",
    b"<?xml?><SVG ": "a drawing (SVG), which has no pixels",
    b"\x89PNG\r\n": None,
    b" 8BPS": None,
    b"": None,
}


@pytest.mark.parametrize(("head", "name"), HEADS.items())
def test_a_file_is_known_by_its_first_bytes(head, name):
    assert kind(head, b"", ".png") == name


def test_old_files_are_known_by_their_name_and_their_header():
    assert kind(b"zip", b"", ".SVGZ") == "a drawing (SVG), which has no pixels"
    assert kind(b"any", b"TRUEVISION-XFILE.\0", ".png") == "a Targa picture (TGA)"
    for suffix in (".tga", ".TARGA"):
        assert kind(b"\x05\0\2", b"", suffix) == "a Targa picture (TGA)"
    assert kind(b"\x05\0\2", b"", ".png") is None
    assert kind(b"\x05\0\4", b"", ".tga") is None


def test_jpegs_begin_as_jpegs_and_pipes_are_not_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8")
    found = [is_jpeg(tmp_path / name) for name in ("a.png", "b.jpg", "no", ".", "x\0y")]
    assert found == [True, False, False, False, False]


def test_colour_runs_outward_ring_by_ring():
    pixels = torch.full((3, 1, 40), 0.9)
    pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 0, 2] = -0.5, 0.25, 0.1
    alpha = torch.zeros(1, 1, 40)
    alpha[..., :2] = torch.tensor([1.0, 0.01])
    made = bled(Picture(pixels, alpha)).pixels
    assert torch.equal(made[:, 0, :2], pixels[:, 0, :2])
    torch.testing.assert_close(made[0, 0, 2 : 2 + REACH], torch.full((REACH,), 0.25))
    assert torch.equal(made[0, 0, 2 + REACH :], torch.zeros(40 - 2 - REACH))
    square = torch.rand(3, 3, 3) * 2 - 1
    known = torch.ones(1, 3, 3)
    known[..., 1, 1] = 0
    inside = bled(Picture(square, known)).pixels
    torch.testing.assert_close(inside[:, 1, 1], (square.sum((1, 2)) - square[:, 1, 1]) / 8)
    opaque = Picture(square, torch.full((1, 3, 3), 1e-3))
    assert bled(opaque) is opaque


def test_windows_that_cannot_be_cut_are_refused():
    for wrong in (
        {"size": (0, 5)},
        {"tile": 0},
        {"stride": 0},
        {"halo": -1},
        {"blend": -1},
        {"blend": 4},
    ):
        options = {"size": (5, 6), "tile": 4, "stride": 1, "halo": 0, "blend": 0} | wrong
        with pytest.raises(ValueError, match="cannot cut"):
            windows(options.pop("size"), options.pop("tile"), **options)
    assert windows((1, 1), 1) == [Window((slice(0, 1),) * 2, (slice(0, 1),) * 2)]
    assert len(windows((5, 6), 4, blend=3)) == 2 * 3


def test_a_taper_rises_as_a_sines_square_beside_neighbours_alone():
    middle = Window(((slice(0, 9)),) * 2, (slice(2, 8), slice(0, 9)))
    found = taper(middle, (9, 9), 2)
    rise = torch.sin(torch.pi / 2 * torch.tensor([0.25, 0.75])) ** 2
    want = torch.cat([rise, torch.ones(2), rise.flip(0)])
    torch.testing.assert_close(found, want[:, None].expand(6, 9))
    at_the_end = taper(Window(middle.outer, (slice(4, 9), slice(0, 5))), (9, 9), 2)
    torch.testing.assert_close(at_the_end[:, 0], torch.cat([rise, torch.ones(3)]))
    torch.testing.assert_close(at_the_end[-1], torch.cat([torch.ones(3), rise.flip(0)]))


def test_colours_lean_on_the_luminance_as_a_line():
    """He et al. (2013), eq. 5 and 8, written with loops over the windows."""
    rng = torch.Generator().manual_seed(0)
    small, large = (torch.rand(1, c, s, s, generator=rng) - 0.5 for c, s in ((3, 5), (1, 10)))
    grey = torch.rand(1, 1, 5, 5, generator=rng) - 0.5

    def mean(x):
        out = torch.empty_like(x)
        for y in range(5):
            for z in range(5):
                out[..., y, z] = x[..., max(0, y - 1) : y + 2, max(0, z - 1) : z + 2].mean((-1, -2))
        return out

    chroma = small - luminance(small)
    slope = (mean(grey * chroma) - mean(grey) * mean(chroma)) / (mean(grey**2) - mean(grey) ** 2 + 0.1)
    slope = mean(slope)
    want = resize(small, (10, 10)) + resize(slope, (10, 10)) * large - resize(slope * grey, (10, 10))
    torch.testing.assert_close(guided(small, grey, large), want.clamp(-1, 1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tall_picture_is_coloured_band_by_band(bits):
    rng = torch.Generator().manual_seed(0)
    top = 2**bits - 1
    x = torch.rand(1, 3, 300, 2, generator=rng) * 2 - 1
    grey = (torch.rand(1, 1, 300, 2, generator=rng) * top).round() / top * 2 - 1
    made = coloured(x, grey, bits)
    again = as_grey(Picture(made[0], bits=bits)).pixels
    assert (again - grey[0]).abs().max() < 0.01 / top
    assert torch.equal(coloured(x[..., 256:, :], grey[..., 256:, :], bits), made[..., 256:, :])
    plain = coloured(grey.expand(-1, 3, -1, -1), grey, bits)
    assert (plain - grey).abs().max() < 0.01 / top
