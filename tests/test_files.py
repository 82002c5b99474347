"""Files are written whole or not at all, on systems that differ in what they allow."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from sr3 import files
from sr3.files import disk_full, drop_temporary, replacing, sweep, temporary_folder, write_text
from sr3.picture.picture import Picture
from sr3.picture.write import write

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX systems")


@pytest.fixture(autouse=True)
def fresh():
    sweep.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
    write_text(path, "one\r\ntwo\nü")
    assert path.read_bytes() == "one\r\ntwo\nü".encode()
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(temporary.suffix * (1 // 0))
    assert path.read_bytes().startswith(b"one")
    assert names(path.parent) == ["a.txt"]


@posix
def test_a_link_stays_a_link_even_to_nothing_yet(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "a.json"
    link.symlink_to(Path("there", "b.json"))
    for text in ("new", "again"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "b.json").read_text() == text
    assert names(tmp_path) == ["a.json", "there"]
    assert names(tmp_path / "there") == ["b.json"]


@posix
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "x" * 200_000)
    reader.join(10)
    assert found == [b"x" * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe.json"]


@posix
def test_a_pipe_without_a_name_is_written_to(tmp_path):
    """As the shell's >(…) and /dev/stdout before a | are."""
    picture = Picture(torch.zeros(3, 2, 2))
    for name, write_to in (("a.json", lambda p: write_text(p, "{}")), ("a.png", lambda p: write(p, picture))):
        there, here = os.pipe()
        (tmp_path / name).symlink_to(f"/dev/fd/{here}")
        write_to(tmp_path / name)
        os.close(here)
        with open(there, "rb") as read:
            assert read.read(4) in (b"{}", b"\x89PNG")
        assert (tmp_path / name).is_symlink()


@posix
def test_a_device_stays_one():
    before = os.stat("/dev/null").st_rdev
    write_text(Path("/dev/null"), "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.stat("/dev/null").st_rdev == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_is_told_by_its_error():
    with pytest.raises(OSError, match="No space left") as found:
        write_text(Path("/dev/full"), "text")
    assert disk_full(found.value)
    assert disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not disk_full(PermissionError(13, "Permission denied"))


@pytest.mark.parametrize("wrap", [OSError, RuntimeError, ValueError])
def test_a_full_disk_is_said_as_such_whatever_a_library_makes_of_it(wrap):
    from sr3.restore.fault import code_and_sentence

    error = OSError(28, "No space left on device") if wrap is OSError else wrap("write: No space left on device")
    code, said = code_and_sentence(error) or (0, "")
    assert (code, said) == (1, "the disk is full; nothing written before is lost")


@posix
def test_permissions_are_those_of_the_file_or_of_any_new_one(tmp_path, monkeypatch):
    def refuse(_):
        raise AssertionError("the mask is the whole process's, other threads' files too")

    monkeypatch.setattr(os, "umask", refuse)
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "a").chmod(0o640)
    write_text(tmp_path / "a", "again")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_the_file_and_then_its_folder_reach_the_disk(tmp_path, monkeypatch):
    synced: list[str] = []
    real = os.fsync

    def fsync(handle):
        synced.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "x")
    assert synced == (["file"] if os.name == "nt" else ["file", "folder"])


class Windows:
    """A stand-in that refuses what Windows refuses: syncing what is open for reading, opening folders, renaming over
    a file that is open, and removing one that is."""

    def __init__(self, monkeypatch):
        self.open: dict[int, str] = {}
        self.held: dict[str, int] = {}
        self.real_open, self.real_close, self.real_fsync = os.open, os.close, os.fsync
        monkeypatch.setattr(files, "WINDOWS", True)
        monkeypatch.setattr(files, "fcntl", None)
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "open", self.opened)
        monkeypatch.setattr(os, "close", self.closed)
        monkeypatch.setattr(files.time, "sleep", lambda _: None)
        replace = Path.replace

        def guarded(path: Path, target: Path) -> Path:
            left = self.held.get(target.name, 0)
            if str(path) in self.open.values() or left:
                self.held[target.name] = left - 1
                raise PermissionError(13, "Access is denied", str(target))
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", guarded)

    def fsync(self, handle):
        import fcntl

        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        self.real_fsync(handle)

    def opened(self, path, flags, mode=0o777):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        handle = self.real_open(path, flags, mode)
        self.open[handle] = str(path)
        return handle

    def closed(self, handle):
        self.open.pop(handle, None)
        self.real_close(handle)


@posix
def test_on_windows_files_can_be_written(tmp_path, monkeypatch):
    windows = Windows(monkeypatch)
    write_text(tmp_path / "a.txt", "one")
    windows.held["a.txt"] = 3  # a scanner looks at it for a moment
    write_text(tmp_path / "a.txt", "two")
    assert (tmp_path / "a.txt").read_text() == "two"
    windows.held["a.txt"] = 10**6  # and somebody for good
    with pytest.raises(PermissionError, match="denied"):
        write_text(tmp_path / "a.txt", "three")
    assert (tmp_path / "a.txt").read_text() == "two"
    assert names(tmp_path) == ["a.txt"]
    assert not windows.open


KILLED = """
import os, sys
from pathlib import Path
from sr3.files import replacing, temporary_folder
place = Path(sys.argv[1])
with temporary_folder(place) as folder, replacing(place / "b.png"), replacing(folder / "c.png"):
    print("here", flush=True)
    sys.stdin.read() if len(sys.argv) > 2 else os._exit(9)
"""


@posix
def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.DEVNULL, timeout=60)
    dead = set(tmp_path.iterdir())
    command = [sys.executable, "-c", KILLED, tmp_path, "live"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writing:
        assert writing.stdout is not None
        assert writing.stdin is not None
        writing.stdout.readline()
        living = set(tmp_path.iterdir()) - dead
        assert (len(dead), len(living)) == (2, 2)
        for path in (*dead, *living):
            os.utime(path, (time.time() - 3600,) * 2)
        (tmp_path / "mine.png").touch()
        write_text(tmp_path / "c.txt", "x")
        assert set(tmp_path.iterdir()) == {*living, tmp_path / "mine.png", tmp_path / "c.txt"}
        writing.stdin.close()
    assert names(tmp_path) == ["b.png", "c.txt", "mine.png"]


def test_a_day_old_one_goes_where_locks_tell_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    for name, hours in ((".sr3-old.png", 25), (".sr3-new.png", 23)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    (tmp_path / ".sr3-folder").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == [".sr3-folder", ".sr3-new.png"]


def test_a_process_that_must_end_leaves_nothing(tmp_path):
    with temporary_folder(tmp_path) as folder, replacing(tmp_path / "a") as temporary:
        (folder / "b").mkdir()
        drop_temporary()
        assert not names(tmp_path)
        temporary.touch()


def test_a_temporary_folder_is_gone_afterwards_with_all_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "a").mkdir()
        assert folder.parent == tmp_path
        assert os.name == "nt" or stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not names(tmp_path)


@posix
def test_an_interrupt_before_anything_is_written_leaves_nothing(tmp_path, monkeypatch):
    import fcntl

    living = set(files._living)  # what a test before let its process, this one, hold until it ends
    closed: list[int] = []
    close = os.close
    monkeypatch.setattr(os, "close", lambda handle: (closed.append(handle), close(handle)))

    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", pressed)
    for begin in (replacing, temporary_folder):
        with pytest.raises(KeyboardInterrupt), begin(tmp_path / "a" if begin is replacing else tmp_path):
            pass
        assert not names(tmp_path)
        assert files._living == living
    assert len(closed) >= 2


def test_an_old_file_in_a_temporary_ones_place_is_not_taken_for_a_leftover(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(handle):
        sweep.cache_clear()
        sweep(tmp_path)  # as another process does
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "old").write_text("x")
    os.utime(tmp_path / "old", (0, 0))
    with replacing(tmp_path / "a") as temporary:
        (tmp_path / "old").replace(temporary)
    assert (tmp_path / "a").read_text() == "x"


@posix
def test_an_encoder_that_writes_a_private_file_leaves_none(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    with replacing(tmp_path / "made") as temporary:
        other = temporary.with_name("other")
        other.touch(mode=0o600)
        other.replace(temporary)
    assert (tmp_path / "made").stat().st_mode == plain.stat().st_mode


def test_the_mark_that_some_programs_put_before_text_is_no_text(tmp_path):
    (tmp_path / "excel.csv").write_text("a.png,0\n", "utf-8-sig")
    (tmp_path / "plain.csv").write_text("a.png,0\n", "utf-8")
    assert files.read_text(tmp_path / "excel.csv") == files.read_text(tmp_path / "plain.csv") == "a.png,0\n"
