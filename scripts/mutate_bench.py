"""Where `mutate.py` tests its mutants: a copy of the project, whose tests are gathered once and run after each change.

The process that has gathered the tests forks for each mutant, and the child exchanges the code of the one function that
was changed.  What runs while modules are loaded cannot be exchanged: there, and where nothing forks, a fresh process
gathers the tests again.
"""

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import psutil
import pytest
from mutate_watch import Seen, Watch

PRELOAD = ["pytest", "torch", "numpy", "scipy.stats", "PIL.Image", "diffusers", "skimage.metrics", "pydantic"]
"""What tests import and mutants do not change: loaded once, where processes can be forked."""
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider"]
LATE = 77
"""The exit code where a test took too long."""
Exchange = tuple[FunctionType, CodeType]


@dataclass(frozen=True)
class Order:
    """What the process that has gathered the tests is asked to do."""

    tests: list[str]
    allowed: list[float]
    """Seconds for each."""
    watched: bool = False
    """The tests are files, and what they enter is written."""
    file: str = ""
    source: str = ""
    line: int = 0


class Gathered:
    """A plugin of pytest: in place of running the tests, it runs some in a fork whenever it is told to."""

    def __init__(self, pipe: Any, watch: Watch, told: Path):
        self.pipe, self.watch, self.told = pipe, watch, told
        self.functions: dict[str, list[FunctionType]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Until there is nothing more to do."""
        self.watch.end()
        for found in gc.get_objects():
            if type(found) is FunctionType and found.__code__.co_filename.startswith(self.watch.package):
                self.functions.setdefault(found.__code__.co_filename, []).append(found)
        gc.freeze()
        # a fork has none of the threads that libvips keeps idle for some seconds, and would wait for them
        until = time.monotonic() + 60
        while psutil.Process().num_threads() > 1 and time.monotonic() < until:
            time.sleep(0.2)
        self.pipe.send("ready")
        while (order := self.pipe.recv()) is not None:
            self.pipe.send(self._done(session, order))
        return True

    def _done(self, session: pytest.Session, order: Order) -> int | str | None:
        """pytest's exit code; None where a test took too long; "fresh" where another process must do it."""
        exchanges = [] if order.watched else self._exchanges(order)
        if exchanges is None:
            return "fresh"
        child = os.fork()
        if not child:
            code = 3
            try:
                code = self._run(session, order, exchanges)
            finally:
                os._exit(code)
        status = _waited(child, time.monotonic() + 120 + 2 * sum(order.allowed))
        if status is None:
            return None
        return None if os.waitstatus_to_exitcode(status) == LATE else 1 if status else 0

    def _exchanges(self, order: Order) -> list[Exchange] | None:
        """The functions around the line with their new code; None where that cannot be told."""
        path = self.watch.package + order.file
        if path not in self.functions:  # not loaded yet: the child reads the changed file
            return [] if all(getattr(m, "__file__", None) != path for m in list(sys.modules.values())) else None
        new: dict[tuple[int, str], list[CodeType]] = {}
        for code in _codes(compile(order.source, path, "exec", dont_inherit=True)):
            new.setdefault((code.co_firstlineno, code.co_qualname), []).append(code)
        found: list[Exchange] = []
        for function in self.functions[path]:
            old = function.__code__
            ends = max((line for *_, line in old.co_lines() if line), default=0)
            inner = max((line for code in _codes(old) for *_, line in code.co_lines() if line), default=0)
            if old.co_firstlineno <= order.line <= max(ends, inner):
                fitting = new.get((old.co_firstlineno, old.co_qualname), [])
                if len(fitting) != 1 or fitting[0].co_freevars != old.co_freevars:
                    return None
                found.append((function, fitting[0]))
        return found or None

    def _run(self, session: pytest.Session, order: Order, exchanges: list[Exchange]) -> int:
        for function, code in exchanges:
            function.__code__ = code
        items, allowed = (
            {item.nodeid: item for item in session.items},
            dict(zip(order.tests, order.allowed, strict=True)),
        )
        if order.watched:
            session.items = [item for item in session.items if item.nodeid.split("::")[0] in order.tests]
            self.watch.note_processes()
            self.watch.begin()
        else:
            session.items = [items[test] for test in order.tests]
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            watchdog = threading.Timer(allowed.get(item.nodeid, 3600), os._exit, [LATE])
            watchdog.daemon = True
            watchdog.start()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            watchdog.cancel()
            if session.shouldfail or session.shouldstop:
                break
        code = 1 if session.testsfailed else 0
        session.config.hook.pytest_sessionfinish(session=session, exitstatus=code)
        if order.watched:
            self.watch.end()
            self.told.write_text(self.watch.told(), encoding="utf-8")
        sys.stdout.flush()
        return code


def _waited(child: int, until: float) -> int | None:
    """A child's status; None where it had to be ended: a thread that held a lock is not in a fork, say."""
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _begin(project: str, output: str) -> str:
    """In a process of its own: at work in the copy, whose package is loaded from here on; where that is."""
    os.chdir(project)
    source = str(Path(project) / "src")
    os.environ["PYTHONPATH"] = source  # for what tests start
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a plugin that is loaded already is a warning, and so an error
    sys.path.insert(0, source)
    sys.dont_write_bytecode = True  # a file that is changed twice in a second would be taken for the first
    with open(output, "w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    return source


def run_tests(project: str, tests: list[str], output: str) -> None:
    """The tests of the project there; the exit code is pytest's."""
    source = _begin(project, output)
    import sr3

    if Path(sr3.__file__).parent.parent != Path(source):
        print(f"{sr3.__file__} is not the copy of the package")
        os._exit(99)
    code = pytest.main([*OPTIONS, *tests])
    sys.stdout.flush()
    os._exit(int(code))


def gather(project: str, files: list[str], output: str, pipe: Any, told: Path) -> None:
    """Gathers the tests of these files, and then does what it is told to."""
    source = _begin(project, output)
    watch = Watch(Path(source) / "sr3")
    watch.begin()
    pytest.main([*OPTIONS, *files], plugins=[watch, Gathered(pipe, watch, told)])
    sys.stdout.flush()
    os._exit(1)


class Bench:
    """A copy of the project in which one mutant after another is tested."""

    def __init__(self, root: Path, folder: Path, preload: list[str]):
        self.project, self.output, self.told = folder / "project", folder / "output.txt", folder / "watched.json"
        self.package = self.project / "src" / "sr3"
        shutil.copytree(root, self.project, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs"))
        kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self.context: Any = multiprocessing.get_context(kind)
        if kind == "forkserver":
            self.context.set_forkserver_preload(preload)
        self.pipe: Any = None

    def run(self, tests: list[str], limit: float) -> int | None:
        """The exit code of these tests in a fresh process; None where the time was up."""
        process = self.context.Process(target=run_tests, args=(str(self.project), tests, str(self.output)))
        process.start()
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            return None
        return process.exitcode

    def watch(self, files: list[str]) -> Seen | None:
        """Gathers these tests, and says what they enter where nothing is changed; None where one fails."""
        self.close()
        self.pipe, end = self.context.Pipe()
        arguments = (str(self.project), files, str(self.output), end, self.told)
        self.context.Process(target=gather, args=arguments, daemon=False).start()
        end.close()
        if not hasattr(os, "fork"):
            raise OSError("this system has no fork")
        try:
            self.pipe.recv()
            self.pipe.send(Order(files, [3600.0] * len(files), watched=True))
            return Seen.of(self.told.read_text("utf-8")) if self.pipe.recv() == 0 else None
        except EOFError:  # they could not be gathered
            return None

    def close(self) -> None:
        """Let go of the tests that are gathered."""
        if self.pipe is not None:
            self.pipe.send(None)
            self.pipe.close()
            self.pipe = None

    def test(
        self, file: str, line: int, changed: bytes, seen: Seen, near: list[str], limit: float | None
    ) -> int | None:
        """pytest's exit code after a change of a file at a line; None where the time was up.

        limit: seconds for each test; None: by what it took without the change.
        """
        path = self.package / file
        kept, code = path.read_bytes(), 0
        *rounds, early = seen.who_can_tell(file, kept.decode(), line, near)
        path.write_bytes(changed)
        try:
            for tests in filter(None, rounds):
                answer: Any = "fresh"
                allowed = [limit] * len(tests) if limit else seen.allowed(tests)
                if not early:
                    self.pipe.send(Order(tests, allowed, file=file, source=changed.decode(), line=line))
                    answer = self.pipe.recv()
                code = self.run(tests, 60 + sum(allowed) / 5 - 4 * len(tests)) if answer == "fresh" else answer
                if code != 0:
                    break
        finally:
            path.write_bytes(kept)
        return code
