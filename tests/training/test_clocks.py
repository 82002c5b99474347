"""What is timed while a run goes on, by clocks that the tests hold."""

import hashlib
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import noise_picture
from test_state import recipe

from sr3.picture.collection import Pictures
from sr3.training import curve, machine, run
from sr3.training.data import Crops
from sr3.training.machine import AHEAD, Agreed, Waiting
from sr3.training.run import Run
from sr3.training.train import learn, make_accelerator


class Event:
    """A GPU's event: at which of its milliseconds it was recorded."""

    now = 0.0

    def __init__(self, enable_timing: bool = False):
        assert enable_timing

    def record(self) -> None:
        self.at = Event.now

    def elapsed_time(self, other: "Event") -> float:
        return other.at - self.at


def test_a_gpu_is_waited_for_by_its_own_milliseconds(monkeypatch):
    monkeypatch.setattr(machine.torch.cuda, "Event", Event)
    waiting = Waiting(torch.device("cuda"))

    def make(milliseconds: float) -> str:
        Event.now += milliseconds
        return "a batch"

    for milliseconds in (500.0, 250.0):
        assert waiting(lambda ms=milliseconds: make(ms)) == "a batch"
    assert waiting.seconds() == pytest.approx(0.75, rel=1e-6)
    assert waiting.seconds() == 0


def test_on_a_cpu_by_the_clock(monkeypatch):
    ticks = iter([1.0, 1.5, 7.0, 9.0])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    waiting = Waiting(torch.device("cpu"))
    assert [waiting(lambda: 3), waiting(lambda: 4)] == [3, 4]
    assert waiting.seconds() == pytest.approx(2.5)
    assert waiting.seconds() == 0


def test_what_was_spent_before_the_first_step_is_not_counted_to_it(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(run.time, "monotonic", lambda: clock.now)
    crops = Crops(Pictures(["a"], [np.asarray(noise_picture(40, 48))]), 32)
    going = Run(recipe(pictures=8, report_every=4), crops, tmp_path, make_accelerator())
    clock.now += 1000.0  # the first curve is measured, say
    monkeypatch.setattr(going, "step", lambda own=going.step: (own(), setattr(clock, "now", clock.now + 2.0)))
    reports = list(learn(going))
    steps = 4 // going.recipe.training.batch
    assert [report.speed for report in reports][:1] == pytest.approx([4 / (2.0 * steps)])


def test_pictures_are_known_by_name_height_and_width():
    """The same from run to run: another mark would begin every curve anew."""
    pictures = Pictures(["a", "b"], [np.zeros((4, 6, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)])
    told = json.dumps([["a", 4, 6], ["b", 5, 4]])
    assert curve.fingerprint(pictures) == hashlib.sha256(told.encode()).hexdigest()[:12]


def test_on_a_gpu_all_end_when_the_step_that_was_told_of_it_is_done():
    """Its count is read as many steps late as the host may be ahead, so that nobody waits for it."""
    for name, late in (("cpu", 0), ("cuda", AHEAD)):
        agreed, found = Agreed(torch.device(name)), []
        for count in (0.0, 0.0, 0.5, *[0.0] * 8):
            agreed.add(torch.tensor(count))
            found.append(agreed.over())
        assert found.index(True) == 2 + late
        assert sum(found) == 1


def test_a_second_signal_is_raised_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        agreed = Agreed(torch.device("cpu"))
        with agreed.listening():
            signal.raise_signal(signal.SIGINT)
            assert agreed.told
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
