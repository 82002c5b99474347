"""Real processes: killed, interrupted, on a full disk, and two at once."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest
import torch

from sr3.model.checkpoint import read_tensors

NETWORK = "--set=model.network={kind='unet',patch=4,widths=[8],blocks=[1],embedding=16}"
SETTINGS = [
    "batch=4",
    "crop=32",
    "save_every=40",
    "report_every=4",
    "sample_every=100000",
    "warmup=0",
    "precision='fp32'",
]


UNTHREADED = """
import os, sys
from sr3.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
if sys.platform.startswith("linux"):
    names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
    assert not [name for name in names if "gloo" in name], names
"""
"""Train, and see that nothing of the group of processes is left: its threads abort a Python that ends, now and then."""


def command(folder, out, pictures, program=("-m", "sr3")):
    settings = [f"--set=training.{s}" for s in [*SETTINGS, f"pictures={pictures}", "decay='constant'"]]
    return [
        sys.executable, *program, "train", "photo-4x-regression", "--data", str(folder), "--out", str(out),
        "--device", "cpu", NETWORK, *settings,
    ]  # fmt: skip


def environment(**more):
    # a process that aborts says where its threads were
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONFAULTHANDLER": "1", **more}


def heeding():
    """Before a child begins: Ctrl-C ends it, also where the tests' shell, in the background, has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(arguments, **more):
    """A child that does not outlive its test, whatever becomes of that."""
    begin = None if os.name == "nt" else heeding
    process = subprocess.Popen(
        arguments, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=begin
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(file, process):
    """Until a process has written a file."""
    waited = time.monotonic()
    while not file.exists():
        assert time.monotonic() - waited < 240
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_goes_on_as_if_it_had_not_been(folder, tmp_path, sr3, how):
    endless = command(folder, tmp_path / "parts", 1_000_000)
    state = tmp_path / "parts" / "state.safetensors"
    with started(endless) as process:
        wait_for(state, process)
        process.send_signal(how)
        _, err = process.communicate(timeout=240)
    assert b"Traceback" not in err
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert b"stopped" in err
        assert b"of 1,000,000 pictures seen; the same command goes on" in err
    seen = int(read_tensors(state)[1]["seen"])
    assert seen >= 40
    assert not list((tmp_path / "parts").glob("*.tmp"))
    length = seen + 40
    for out in ("parts", "whole"):
        code, _, err = sr3(*command(folder, tmp_path / out, length)[3:])
        assert code == 0, err
        assert (f"going on after {seen:,} pictures" in err) == (out == "parts")
    whole, parts = (read_tensors(tmp_path / out / "state.safetensors")[0] for out in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for key in whole:
        assert torch.equal(whole[key], parts[key]), key


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files with setrlimit")
def test_a_full_disk_loses_nothing_that_was_written(folder, tmp_path, sr3):
    out = tmp_path / "run"
    assert sr3(*command(folder, out, 40)[3:])[0] == 0
    before = (out / "state.safetensors").read_bytes()

    import resource

    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write over the limit fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        code, _, err = sr3(*command(folder, out, 80)[3:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 1
    assert "File too large" in err
    assert (out / "state.safetensors").read_bytes() == before
    assert not list(out.glob(".*"))


@contextmanager
def two(arguments):
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                started(arguments, RANK=str(rank), LOCAL_RANK=str(rank), ACCELERATE_USE_CPU="true", **group)
            )
            for rank in range(2)
        ]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_two_processes_end_after_the_same_step(folder, tmp_path):
    """Whichever of them is told; the state is that of the step."""
    out = tmp_path / "out"
    with two(command(folder, out, 10**7)) as running:
        wait_for(out / "state.safetensors", running[0])
        running[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=120)[1].decode() for process in running]
        assert [process.returncode for process in running] == [130, 130], said
    assert "pictures seen; the same command goes on" in " ".join(said[0].split())
    seen = int(read_tensors(out / "state.safetensors")[1]["seen"])
    assert f"{seen:,} of" in " ".join(said[0].split())
    assert "Traceback" not in said[0] + said[1]


def test_two_processes_are_one(folder, tmp_path, sr3):
    assert sr3(*command(folder, tmp_path / "one", 40)[3:])[0] == 0
    with two(command(folder, tmp_path / "two", 40, ("-c", UNTHREADED))) as running:
        for process in running:
            _, err = process.communicate(timeout=240)
            assert process.returncode == 0, err.decode()
    one, both = (read_tensors(tmp_path / out / "state.safetensors")[0] for out in ("one", "two"))
    for key in one:
        torch.testing.assert_close(one[key], both[key], rtol=1e-3, atol=2e-4)
