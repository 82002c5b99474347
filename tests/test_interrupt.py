"""Ctrl-C: between steps, never inside one, and at once the second time."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import torch
from typer.testing import CliRunner

from sr3 import cli
from sr3.interrupt import held, swift, terminate_as_interrupt
from sr3.model import recipe as recipes
from sr3.model.checkpoint import read_tensors
from sr3.picture.collection import load
from sr3.training import train as library
from sr3.training.data import Crops

SMALL = [
    "training.batch=4",
    "training.crop=32",
    "training.warmup=0",
    "training.precision=fp32",
    "training.decay=constant",
    "training.report_every=4",
    "model.network={kind='unet',patch=4,widths=[8],blocks=[1],embedding=16}",
]


@pytest.fixture(autouse=True)
def pressed_is_raised():
    """Ctrl-C as a terminal gives it, also where these tests run in the background, whose shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    signal.raise_signal(signal.SIGINT)


def run(*actions):
    """Do these in a held block; how many were done before an exception ended it."""
    done = []
    try:
        with held():
            for action in actions:
                action()
                done.append(action)
    finally:
        run.done = len(done)


def test_it_is_raised_after_the_block():
    with pytest.raises(KeyboardInterrupt):
        run(press, int)
    assert run.done == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_is_raised_at_once():
    with pytest.raises(KeyboardInterrupt):
        run(press, press, int)
    assert run.done == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_termination_is_held_where_it_is_made_an_interrupt():
    before = signal.getsignal(signal.SIGTERM)
    try:
        terminate_as_interrupt()
        with pytest.raises(KeyboardInterrupt):
            run(lambda: signal.raise_signal(signal.SIGTERM), int)
        assert run.done == 2
        own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert own is signal.default_int_handler
        terminate_as_interrupt()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_inner_block_leaves_it_to_the_outer():
    def inner():
        with held():
            press()

    with pytest.raises(KeyboardInterrupt):
        run(inner, int)
    assert run.done == 2


def test_an_error_of_the_block_is_what_one_sees():
    with pytest.raises(ZeroDivisionError):
        run(press, lambda: 1 / 0)


def test_threads_and_programs_with_their_own_handling_are_left_alone():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with held():
            press()
            assert came == [1]
    finally:
        signal.signal(signal.SIGINT, before)

    def other():
        with held():
            came.append(2)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert came == [1, 2]


@pytest.fixture
def training(folder, tmp_path):
    """Runs so many pictures in a folder of its own; returns the state it wrote."""

    def go(name, pictures):
        recipe = recipes.load("photo-4x-regression", [*SMALL, f"training.pictures={pictures}"])
        for _ in library.train(recipe, Crops(load(folder), 32), tmp_path / name):
            pass
        return read_tensors(tmp_path / name / "state.safetensors")

    return go


@pytest.mark.parametrize("inside", ["crops", "optimiser", "average"])
def test_a_step_is_finished_first(training, monkeypatch, tmp_path, inside):
    """Pressed anywhere inside a step, the run goes on as if it had not been."""
    whole, _ = training("whole", 24)
    owner, name = {
        "crops": (Crops, "cut"),
        "optimiser": (torch.optim.AdamW, "step"),
        "average": (library.Run, "update_average"),
    }[inside]
    plain, calls = getattr(owner, name), []

    def pressed(*arguments, **named):
        result = plain(*arguments, **named)
        calls.append(1)
        if len(calls) == 3:
            press()
        return result

    monkeypatch.setattr(owner, name, pressed)
    with pytest.raises(KeyboardInterrupt):
        training("parts", 24)
    monkeypatch.undo()
    state = tmp_path / "parts" / "state.safetensors"
    assert read_tensors(state)[1]["seen"] == "12"
    parts, facts = training("parts", 24)
    assert facts["seen"] == "24"
    for key in whole:
        assert torch.equal(whole[key], parts[key]), key


def test_what_is_half_done_is_not_written(training, monkeypatch, tmp_path):
    """Pressed twice where the weights have moved and their average has not: the state before stays."""
    training("run", 8)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()

    plain, calls = library.Run.update_average, []

    def pressed(run, good):
        calls.append(1)
        if len(calls) < 3:
            return plain(run, good)
        press()
        press()

    monkeypatch.setattr(library.Run, "update_average", pressed)
    with pytest.raises(KeyboardInterrupt):
        training("run", 24)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_pictures_that_go_are_no_reason_to_lose_steps(training, monkeypatch, tmp_path):
    """An error before anything has changed, as a full memory is, saves what was learnt."""
    plain, calls = Crops.cut, []

    def fails(self, places):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        return plain(self, places)

    monkeypatch.setattr(Crops, "cut", fails)
    with pytest.raises(MemoryError):
        training("run", 24)
    assert read_tensors(tmp_path / "run" / "state.safetensors")[1]["seen"] == "12"


INSIDE = """
import hashlib, os, sys
from pathlib import Path
from sr3 import cli, interrupt
from sr3.files import replacing, temporary_folder

interrupt.terminate_as_interrupt()
place = Path(sys.argv[1])
with interrupt.swift(cli._leave, 0.2), replacing(place / "a.png"), temporary_folder(place) as folder:
    (folder / "b.png").touch()
    print("here", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # one call, which takes a quarter of an hour
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_even_one_long_call_of_a_library_is_left(tmp_path, number):
    command = [sys.executable, "-c", INSIDE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(0.5)  # until it is inside the call
        process.send_signal(number)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert err == "sr3: stopped; nothing half-written is left\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
def test_it_is_left_even_where_nobody_reads_what_it_says(tmp_path):
    with subprocess.Popen([sys.executable, "-c", INSIDE, str(tmp_path)], stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stderr.close()
        time.sleep(0.5)  # until it is inside the call
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 130
    assert not list(tmp_path.iterdir())


def test_what_ends_by_itself_is_not_left_by_force(monkeypatch):
    monkeypatch.setattr("os._exit", lambda _: pytest.fail("it ended in time"))
    with pytest.raises(KeyboardInterrupt), swift(lambda: None, 5):
        press()
    with swift(lambda: None, 0.01):
        pass
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("command", "wanted"), [("upscale", True), ("evaluate", True), ("train", False), ("study", False)]
)
def test_commands_that_save_at_their_end_are_let(monkeypatch, command, wanted):
    asked: list[bool] = []

    @contextmanager
    def noted(_):
        asked.append(True)
        yield

    monkeypatch.setattr(cli, "swift", noted)
    CliRunner().invoke(cli.app, [command])
    assert bool(asked) == wanted
