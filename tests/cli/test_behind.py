"""What is written behind: told in order, as soon as it is there, while the network is at the next picture."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from sr3.cli.jobs import Job
from sr3.cli.outcome import Outcome
from sr3.cli.parts import Behind

A, B, C = (Job(Path(f"{name}.png"), Path(f"{name}-4x.png")) for name in "abc")


def ended(job: Job, outcome: "Future[Outcome] | Outcome") -> Outcome:
    return outcome.result() if isinstance(outcome, Future) else outcome


def test_what_is_written_is_told_though_nobody_asks():
    told: list[str] = []
    last, go = Event(), Event()

    def tell(outcome: Outcome) -> None:
        told.append(outcome.input)
        if outcome.input == "c":
            last.set()

    behind = Behind(ended, tell)
    with ThreadPoolExecutor(2) as pool:

        def slowly() -> Outcome:
            assert go.wait(10)
            return Outcome("a")

        behind.add(A, pool.submit(slowly))
        behind.add(B, pool.submit(Outcome, "b"))
        behind.add(C, Outcome("c"))
        behind.drain(3)  # as many as there are: nothing to wait for
        assert told == []  # b and c are ready, and their turn is after a
        go.set()
        assert last.wait(10)
        assert told == ["a", "b", "c"]
    behind.drain()
    assert told == ["a", "b", "c"]


def test_one_waits_for_no_more_than_is_asked():
    told: list[str] = []
    first, second = Future[Outcome](), Future[Outcome]()
    behind = Behind(ended, lambda outcome: told.append(outcome.input))
    behind.add(A, first)
    behind.add(B, second)
    first.set_result(Outcome("a"))
    behind.drain(1)
    assert told == ["a"]
    second.set_result(Outcome("b"))
    assert told == ["a", "b"]


def test_what_is_no_pictures_fault_is_raised_where_it_can_end_the_work(caplog):
    failing = Future[Outcome]()
    behind = Behind(ended, lambda outcome: None)
    behind.add(A, failing)
    failing.set_exception(BrokenPipeError("gone"))
    assert not caplog.records  # nothing is lost in a thread, as a callback's errors are
    with pytest.raises(BrokenPipeError, match="gone"):
        behind.drain()


def test_nothing_is_told_twice_though_it_could_not_be_told():
    told: list[str] = []

    def tell(outcome: Outcome) -> None:
        told.append(outcome.input)
        if len(told) == 1:
            raise BrokenPipeError("gone")

    writing = Future[Outcome]()
    behind = Behind(ended, tell)
    behind.add(A, writing)
    behind.add(B, Outcome("b"))
    writing.set_result(Outcome("a"))
    for _ in range(2):
        with pytest.raises(BrokenPipeError, match="gone"):
            behind.drain()
    assert told == ["a"]
