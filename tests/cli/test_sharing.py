"""Several processes in one folder: no picture twice, none by halves, whoever is killed."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import noise_picture

from sr3.cli import claims
from sr3.cli.claims import claim
from sr3.cli.jobs import Job
from sr3.cli.parts import ahead
from sr3.files import sweep

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from sr3.cli.claims import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a claim until it is told, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.png")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_claim_dies_with_its_process(holder, tmp_path):
    target = tmp_path / "a.png"
    assert claim(target) is None
    (lock,) = tmp_path.iterdir()
    os.utime(lock, (0, 0))
    sweep.cache_clear()
    sweep(tmp_path)  # as old as it is, a living process has it
    assert lock.exists()
    assert claim(tmp_path / "b.png") is not None
    holder.kill()
    holder.wait()
    assert lock.exists()
    found = claim(target)
    assert found is not None
    with found:
        assert claim(target) is None
    assert not lock.exists()
    os.close(claim(target).handle)


def test_waiting_for_who_has_it(holder, tmp_path, monkeypatch):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            holder.communicate()  # it ends

    monkeypatch.setattr(claims.time, "sleep", sleep)
    with claim(tmp_path / "a.png", wait=True):
        assert len(waits) >= 3


def test_a_lock_of_a_file_that_is_gone_is_none(tmp_path, monkeypatch):
    """Between opening and locking another process may have ended and removed the file."""
    real, removed = claims._lock, []

    def lock(handle):
        if not removed:
            removed.append(True)
            (tmp_path / os.listdir(tmp_path)[0]).unlink()
        return real(handle)

    monkeypatch.setattr(claims, "_lock", lock)
    found = claim(tmp_path / "a.png")
    assert found is not None
    assert found.path.exists()
    found.__exit__()


@pytest.mark.skipif(claims.fcntl is None, reason="Windows has locks everywhere")
@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_without_locks_everybody_goes_on(tmp_path, monkeypatch, code):
    """Some file systems of a network have none: to wait for one would be for ever."""

    def flock(handle, how):
        raise OSError(getattr(errno, code), "no locks here")

    monkeypatch.setattr(claims.fcntl, "flock", flock)
    found = [claim(tmp_path / "a.png") for _ in range(2)]
    assert None not in found
    for one in found:
        one.__exit__()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="it forks")
def test_killed_processes_lose_nothing_and_make_nothing_twice():
    command = [sys.executable, ROOT / "scripts" / "kill.py", "--kills", "3", "--pictures", "12"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.startswith("3 kills in ")


def test_what_others_are_at_is_waited_for(sr3, tiny, tmp_path, monkeypatch):
    """One picture is claimed at first: the others are made meanwhile, and it is found made at the end."""
    from sr3.cli import restoring

    model = tiny.save_pretrained(tmp_path / "model")
    for name in ("a.png", "b.png", "c.png"):
        noise_picture(8, 8).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert sr3("upscale", "a.png", "-o", "made.png", "--model", model)[0] == 0
    order = []

    def claimed(target, *, wait=False):
        order.append((target.name, wait))
        if target.name != "a.png":
            return claim(target)
        if wait:  # the other has made it
            os.makedirs("out", exist_ok=True)
            Path("made.png").rename(target)
            return claim(target)
        return None

    monkeypatch.setattr(restoring, "claim", claimed)
    line = ["a.png", "b.png", "c.png", "-o", "out", "--model", model, "--skip-existing", "--json"]
    code, out, _ = sr3("upscale", *line)
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert [(t["input"], "left" in t) for t in told] == [("b.png", False), ("c.png", False), ("a.png", True)]
    assert order[-1] == ("a.png", True)
    assert sorted(os.listdir("out")) == ["a.png", "b.png", "c.png"]


def test_so_many_are_begun_before_their_turn():
    begun: list[str] = []

    class Pool:
        def submit(self, work, job):
            begun.append(job.source.name)
            return job

    jobs = [Job(Path(f"{k}"), Path("x")) for k in range(5)]
    for count in (0, 2):
        begun.clear()
        turns = [(job.source.name, len(begun)) for job, _ in ahead(Pool(), None, jobs, count)]
        assert turns == [(str(k), min(5, k + 1 + count)) for k in range(5)]


def test_every_number_of_jobs_gives_the_same_files(sr3, tiny, folder, tmp_path):
    model = tiny.save_pretrained(tmp_path / "model")
    (folder / "bad.png").write_bytes(b"no")
    found = []
    for jobs in (1, 4):
        out = tmp_path / f"out{jobs}"
        code, said, _ = sr3("upscale", folder, "-o", out, "--model", model, "--jobs", jobs, "--json")
        assert code == 1
        files = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.*"))}
        found.append(([json.loads(line)["input"] for line in said.splitlines()], files))
    assert found[0] == found[1]
    assert len(found[0][1]) == 3
    assert found[0][0] == sorted(found[0][0])


def test_unread_input_is_no_claim(sr3, tiny, tmp_path, monkeypatch):
    """A pipe out has no folder to lock anything in."""
    model = tiny.save_pretrained(tmp_path / "model")
    noise_picture(8, 8).save(tmp_path / "a.png")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    sr3("upscale", "a.png", "-o", "-", "--model", model, "--skip-existing")
    assert sorted(os.listdir()) == before
