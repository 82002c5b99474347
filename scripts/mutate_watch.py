"""Which functions of the package each test enters, so that `mutate.py` runs first, and mostly only, the tests that can
tell: those that enter the function that was changed, the quickest first."""

import ast
import json
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

Function = tuple[str, int]
"""A file of the package and the line at which a function in it begins, its decorators included."""


class Watch:
    """A plugin of pytest that notes who enters what, from `begin` to `end`; `told` is what `Seen.of` reads."""

    def __init__(self, package: Path):
        self.package = f"{package}/"
        self.functions: dict[int, tuple[CodeType, Function | None]] = {}  # with the code, or its id would be another's
        self.early: set[int] = set()
        self.shared: dict[str, set[int]] = {}
        self.tests: dict[str, set[int]] = {}
        self.seconds: dict[str, float] = {}
        self.outside: set[str] = set()
        self.now, self.test = self.early, ""

    def begin(self) -> None:
        """From here on."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def end(self) -> None:
        """Until here."""
        threading.settrace(None)  # pyright: ignore[reportArgumentType]
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        known = self.functions.get(id(code))
        if known is None:
            inside = code.co_filename.startswith(self.package)
            function = (code.co_filename[len(self.package) :], code.co_firstlineno) if inside else None
            known = self.functions[id(code)] = code, function
        if known[1] is not None:
            self.now.add(id(code))

    def note_processes(self) -> None:
        """Also note who starts other processes, until this one ends."""

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
                self.outside.add(self.test)

        sys.addaudithook(audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.test, self.now = item.nodeid, self.tests.setdefault(item.nodeid, set())
        done = yield
        self.test, self.now = "", self.early
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        kept = self.now
        if fixturedef.scope != "function":
            self.now = self.shared.setdefault(self.test.split("::")[0], set())
        try:
            return (yield)
        finally:
            self.now = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def told(self) -> str:
        """As JSON."""

        def named(entered: set[int]) -> list[Function]:
            return sorted({function for key in entered if (function := self.functions[key][1]) is not None})

        return json.dumps(
            {
                "early": named(self.early),
                "shared": {file: named(entered) for file, entered in self.shared.items()},
                "tests": {test: named(entered) for test, entered in self.tests.items()},
                "seconds": self.seconds,
                "outside": sorted(self.outside - {""}),
            }
        )


@dataclass
class Seen:
    """What the tests of a suite entered."""

    early: set[Function] = field(default_factory=set[Function])
    """While they were gathered, which is when modules run too."""
    shared: dict[str, set[Function]] = field(default_factory=dict[str, set[Function]])
    """In what the tests of a file share."""
    tests: dict[str, set[Function]] = field(default_factory=dict[str, set[Function]])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    outside: list[str] = field(default_factory=list[str])
    """Tests that start other processes: what those enter is not seen."""

    @classmethod
    def of(cls, text: str) -> "Seen":
        """What a `Watch` told."""
        told = json.loads(text)

        def functions(listed: list[list[Any]]) -> set[Function]:
            return {(file, line) for file, line in listed}

        return cls(
            functions(told["early"]),
            {file: functions(listed) for file, listed in told["shared"].items()},
            {test: functions(listed) for test, listed in told["tests"].items()},
            told["seconds"],
            told["outside"],
        )

    def who_can_tell(self, file: str, source: str, line: int, near: list[str]) -> tuple[list[str], list[str], bool]:
        """The tests that enter the function of a line, those to try where they notice nothing, and whether a fresh
        process must: whether the line runs, or its function is entered, while tests are gathered.

        The second are the others of the same files, for what tests share or remember, and those that start processes.
        Of what runs early all can tell: first those of the files that are `near`, then the others.
        """
        begins, loaded = function_at(source, line)
        if loaded or (file, begins) in self.early:
            every = sorted(self.tests, key=lambda test: (self._slowness(test), _file(test)))
            return [t for t in every if _file(t) in near], [t for t in every if _file(t) not in near], True
        own = {test for test, entered in self.tests.items() if (file, begins) in entered}
        shared = {name for name, entered in self.shared.items() if (file, begins) in entered}
        own |= {test for test in self.tests if _file(test) in shared}
        first = sorted(own, key=lambda test: (_file(test) not in near, self._slowness(test), _file(test)))
        whole = set(map(_file, own))
        rest = [test for test in self.tests if test not in own and (_file(test) in whole or test in self.outside)]
        return first, rest, False

    def _slowness(self, test: str) -> int:
        """0, 1, 2 …: the tests of a file stay together where they are about as quick, as they share what they need."""
        return sum(self.seconds.get(test, 0.0) > limit for limit in (0.02, 0.1, 0.5, 2, 10))

    def allowed(self, tests: list[str]) -> list[float]:
        """Seconds after which a test is not awaited any longer."""
        return [20 + 10 * self.seconds.get(test, 0.0) for test in tests]


def _file(test: str) -> str:
    return test.split("::")[0]


def function_at(source: str, line: int) -> tuple[int, bool]:
    """Where the innermost function around a line begins, 0: none; and whether the line runs when that is defined."""
    begins, loaded = 0, True
    for node in ast.walk(ast.parse(source)):  # the outer before the inner
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                begins, loaded = first, line < node.body[0].lineno
    return begins, loaded
