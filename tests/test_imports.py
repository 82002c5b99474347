"""The folders stand on one another in one direction, and inside a folder no file needs itself."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter

import house
import pytest
from house import FILES, FLOORS, HEIGHT, House, imports_of, module, modules_used, room
from house import PACKAGE as ROOT

STRANGERS = {
    "diffusion.sample": {"diffusion.schedule", "diffusion.predict", "nn"},
    "diffusion.path": {"diffusion.predict", "nn"},
    "diffusion.langevin": {"diffusion.schedule", "diffusion.predict", "diffusion.objective", "nn"},
    "diffusion.likelihood": {"diffusion.schedule", "diffusion.predict", "diffusion.objective", "nn"},
    "diffusion.score_matching": {"diffusion.path", "diffusion.sample", "nn"},
    "diffusion.objective": {"diffusion.path", "nn"},
    "diffusion.wrap": {"diffusion.schedule", "diffusion.predict", "nn"},
    "task": {"diffusion.level", "diffusion.schedule", "diffusion.predict", "diffusion.path", "nn"},
    "metric": {"diffusion", "picture.picture", "nn"},
    "picture": {"random"},
}
"""Beside the floors: what a part has no business with, though it lies below."""


def within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_downhill(file):
    name = module(file)
    assert room(name) in HEIGHT, f"{room(name)} has no floor yet: give it one in FLOORS"
    strangers = {s for part, these in STRANGERS.items() if within(name, {part}) for s in these}
    for used in modules_used(file):
        assert room(used) == room(name) or HEIGHT[room(used)] < HEIGHT[room(name)], f"{name}: {used} is above"
        assert not within(used, strangers), f"{name} has no business with {used}"


def test_no_circles():
    try:
        TopologicalSorter({module(f): modules_used(f) for f in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_floors_are_looked_at():
    """This test reads imports; it must see those that are surely there."""
    sample = modules_used(ROOT / "diffusion" / "sample.py")
    assert {"diffusion.level", "diffusion.denoiser", "diffusion.path"} <= sample
    assert len({name for floor in FLOORS for name in floor}) == sum(map(len, FLOORS))


@pytest.mark.parametrize("file", [f for f in FILES if room(module(f)) == "nn"], ids=lambda f: f.name)
def test_networks_import_torch_alone(file):
    for name in imports_of(file):
        first = name.split(".")[0]
        assert first == "torch" or first in sys.stdlib_module_names or name.startswith("sr3.nn"), name


QUIET = [f for f in FILES if room(module(f)) not in ("cli", "web", "__main__")]


@pytest.mark.parametrize("file", QUIET, ids=lambda f: str(f.relative_to(ROOT)))
def test_the_library_prints_nothing_and_never_exits(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"print", "exit", "sys.exit", "os._exit", "quit"} & set(called)


def test_the_house_is_drawn_as_it_stands():
    assert house.PICTURE.read_text("utf-8") == house.svg(house.house()), "run python scripts/house.py"


def test_the_drawing_has_every_room_and_arrow():
    found = house.house()
    assert sum(found.rooms.values()) == len(FILES)
    drawn = house.svg(found)
    titles = re.findall(r"<title>(.+?)</title>", drawn)
    assert [t for t in titles if " needs " not in t] == [
        f"{name}: {n} file{'s' * (n > 1)}" for name, n in found.rooms.items()
    ]
    assert {
        tuple(re.fullmatch(r"(\w+) needs (\w+): (\d+) imports?", t).groups()) for t in titles if " needs " in t
    } == {(user, used, str(count)) for (user, used), count in found.arrows.items()}
    # by another way of counting: the lines of one folder's files that name another
    lines = "\n".join(file.read_text("utf-8") for file in (ROOT / "web").glob("*.py"))
    assert found.arrows["web", "evaluation"] == len(set(re.findall(r"from (sr3\.evaluation[.\w]*) import", lines)))
    assert "prefers-color-scheme: dark" in drawn


def test_an_arrow_that_runs_upward_is_refused(monkeypatch, capsys):
    bad = House({"cli": 1, "metric": 1, "task": 1}, {("cli", "task"): 2, ("task", "cli"): 1, ("task", "metric"): 3})
    assert bad.upward == [("task", "cli"), ("task", "metric")]
    assert house.svg(bad).count('class="line upward"') == 2
    monkeypatch.setattr(house, "house", lambda: bad)
    assert house.main(["--check"]) == 1
    told = capsys.readouterr()
    assert "task must not need cli" in told.err
    assert "3 rooms (at most 24), 3 arrows (at most 100)" in told.out
    many = House({}, {("cli", str(n)): 1 for n in range(101)})
    monkeypatch.setattr(house, "HEIGHT", {"cli": 1, **{str(n): 0 for n in range(101)}})
    monkeypatch.setattr(house, "house", lambda: many)
    assert house.main(["--check"]) == 1


def test_the_house_as_it_stands_is_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(house, "PICTURE", tmp_path / "house.svg")
    assert house.main([]) == 0
    assert house.PICTURE.read_text("utf-8") == house.svg(house.house())


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_files_and_functions_can_be_held_in_mind(file):
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 80, node.name
