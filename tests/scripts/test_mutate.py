"""The script that changes the code: what it changes, what it leaves, and that it tells the noticed from the rest."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
mutate, operators, watch = (import_module(f"mutate{part}") for part in ("", "_operators", "_watch"))

SOURCE = '''"""3 + 3 is text."""


@cached(size=16)
def smooth(x: Tensor, width: int = 2) -> list[int | None]:
    """1 - 1."""
    if not width > 0:
        raise ValueError(f"{width + 1} is below {0}")
    with torch.no_grad():
        x = F.silu(-x.clamp(min=1) @ y)
    check(x)
    return torch.where(x, y, out=z)
'''


def changes():
    """(operator, the changed line)."""
    found = []
    for mutant in operators.mutants("a.py", SOURCE.encode()):
        changed = mutant.applied(SOURCE.encode()).decode().splitlines()
        lines = [b for a, b in zip(SOURCE.splitlines(), changed, strict=True) if a != b]
        assert len(lines) == 1
        assert mutant.line == changed.index(lines[0]) + 1
        found.append((mutant.operator, lines[0].strip()))
    return found


@pytest.mark.parametrize(
    "change",
    [
        ("comparison", "if not (width >= 0):"),
        ("sign", "if (width > 0):"),
        ("condition", "if (not (not width > 0)):"),
        ("constant", "if not width > 1:"),
        ("call", "with torch.enable_grad():"),
        ("call", "x = (-x.clamp(min=1) @ y)"),
        ("call", "x = F.silu(-x @ y)"),
        ("sign", "x = F.silu((x.clamp(min=1)) @ y)"),
        ("keyword", "x = F.silu(-x.clamp() @ y)"),
        ("statement", "pass"),
        ("arguments", "return torch.where(y, x, out=z)"),
        ("keyword", "return torch.where(x, y)"),
        ("return", "return x"),
        ("constant", "def smooth(x: Tensor, width: int = 4) -> list[int | None]:"),
    ],
)
def test_what_is_changed(change):
    assert change in changes()


def test_text_types_decorators_and_messages_are_left_alone():
    lines = SOURCE.splitlines()
    kept = [line.strip() for line in lines if "text" in line or "cached" in line or "raise" in line or "1 - 1" in line]
    assert len(kept) == 4
    for _, line in changes():
        assert line not in kept
        assert "&" not in line
    assert not [line for _, line in changes() if "raise" in line]


def test_every_mutant_of_the_package_is_python():
    for path in (mutate.PACKAGE / "diffusion").glob("*.py"):
        source = path.read_bytes()
        for mutant in operators.mutants(path.name, source)[::29]:
            compile(mutant.applied(source), path.name, "exec")


def test_a_sample_has_each_place_once_and_is_a_function_of_the_seed():
    every = mutate.found_in("task")
    some = mutate.sample(every, 20, 1)
    assert some == mutate.sample(every, 20, 1) != mutate.sample(every, 20, 2)
    assert len({(o.mutant.file, o.mutant.start, o.mutant.end) for o in some}) == 20
    assert mutate.sample(every, None, 0) == every


def test_the_suite_of_a_file_come_first():
    assert mutate.suite_of("diffusion/path.py")[0] == "tests/diffusion/test_path.py"
    assert "tests/diffusion/test_wrap.py" in mutate.suite_of("diffusion/path.py")
    assert mutate.suite_of("random.py") == ["tests/test_random.py"]


def test_changes_that_no_test_can_tell_are_changes_that_there_are():
    """The list goes stale when the code moves."""
    known = mutate.equivalents()
    files = {file for file, _, _ in known}
    there = {(o.mutant.file, o.before.strip(), o.after.strip()) for f in files for o in mutate.found_in(f[:-3])}
    assert known <= there


def test_survivors_are_told_from_the_killed(tmp_path, monkeypatch, capsys):
    """Of random.py's last line a multiplication by a power of two is noticed, and comments are not: one that a fresh
    process reads, and one in a function whose code is exchanged."""
    out = tmp_path / "outcomes.json"
    every = [o for o in mutate.found_in("random") if "2**53" in o.before and o.mutant.operator == "arithmetic"]
    nothing = "    # nothing\n"
    source = (mutate.PACKAGE / "random.py").read_bytes()
    inside = source.index(b"    return (state >>")
    line = source[:inside].count(b"\n") + 1
    quiet = [
        mutate.Outcome(operators.Mutant("random.py", *place, nothing.lstrip() if at == 0 else nothing), "", nothing)
        for at, place in ((0, (1, "none", 0, 0)), (inside, (line, "none", inside, inside)))
    ]
    monkeypatch.setattr(mutate, "PRELOAD", ["pytest", "torch"])  # for two the others do not pay
    monkeypatch.setattr(mutate, "found_in", lambda folder: [every[0], *quiet])
    monkeypatch.setattr(sys, "argv", ["mutate.py", "--folder", "random", "--json", str(out)])
    assert mutate.main() == 0
    assert [o["result"] for o in json.loads(out.read_text("utf-8"))] == ["killed", "survived", "survived"]
    assert "| random.py | 3 | 1 | 2 | 0 | 33% |" in capsys.readouterr().out


WATCHED = """
LIMIT = 3

@cached
def outer(x=LIMIT):
    def inner():
        return x
    return inner()

class Kind:
    size = 2

    def method(self):
        return self.size
"""


def test_the_function_of_a_line_is_the_innermost_and_headers_run_as_they_are_loaded():
    found = [watch.function_at(WATCHED, line) for line in range(1, 15)]
    outside = (0, True)
    assert found == [
        *(outside,) * 3,
        *((4, True),) * 2,
        *((6, True), (6, False), (4, False)),
        *(outside,) * 4,
        *((13, True), (13, False)),
    ]


def test_those_who_enter_a_function_are_asked_first_and_the_quick_ones_before_the_slow():
    outer, inner, method = ("f.py", 4), ("f.py", 6), ("f.py", 13)
    seen = watch.Seen(
        early={method},
        shared={"b.py": {inner}},
        tests={
            "a.py::slow": {outer},
            "a.py::quick": {outer},
            "a.py::other": set(),
            "b.py::one": set(),
            "c.py::run": set(),
        },
        seconds={"a.py::slow": 3.0, "a.py::quick": 0.3, "b.py::one": 0.001, "c.py::run": 1.0},
        outside=["c.py::run"],
    )
    ask = lambda line, *near: seen.who_can_tell("f.py", WATCHED, line, list(near))  # noqa: E731
    assert ask(8) == (["a.py::quick", "a.py::slow"], ["a.py::other", "c.py::run"], False)
    assert ask(7) == (["b.py::one"], ["c.py::run"], False)  # what the tests of a file share, each of them has
    others = ["a.py::other", "b.py::one", "a.py::quick", "c.py::run", "a.py::slow"]
    assert ask(14) == ([], others, True)  # entered as the tests were gathered
    assert ask(2, "b.py") == (["b.py::one"], [t for t in others if t != "b.py::one"], True)
    assert seen.allowed(["a.py::slow", "a.py::other"]) == [50, 20]
