"""The folders stand on one another in one direction, and inside a folder no file needs itself."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sr3

ROOT = Path(sr3.__file__).parent

FLOORS = [
    {"random", "files", "interrupt", "nn"},
    {"picture"},
    {"diffusion"},
    {"task", "metric", "testing"},
    {"model"},
    {"restore"},
    {"training"},
    {"evaluation"},
    {"web"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}

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


def module(file: Path) -> str:
    """A file's name with dots, below sr3: "diffusion.level"; a folder's own file is the folder."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(f for f in ROOT.rglob("*.py") if f != ROOT / "__init__.py")
MODULES = {module(f) for f in FILES}


def imports_of(file: Path) -> set[str]:
    """All that a file imports, with dots, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively; write sr3.… so that one search finds it"
            assert node.module is not None
            whole = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name.removeprefix("sr3.") in MODULES else node.module for name in whole}
    return found


def modules_used(file: Path) -> set[str]:
    """The package's modules that a file imports."""
    names = {name.removeprefix("sr3.") for name in imports_of(file) if name.startswith("sr3.")}
    return (names & MODULES) - {module(file)}


def folder(name: str) -> str:
    """The folder, or the file of the lowest floor, that a module belongs to."""
    return name.split(".")[0]


def within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_downhill(file):
    name = module(file)
    assert folder(name) in HEIGHT, f"{folder(name)} has no floor yet: give it one in FLOORS"
    strangers = {s for part, these in STRANGERS.items() if within(name, {part}) for s in these}
    for used in modules_used(file):
        assert folder(used) == folder(name) or HEIGHT[folder(used)] < HEIGHT[folder(name)], f"{name}: {used} is above"
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


@pytest.mark.parametrize("file", [f for f in FILES if folder(module(f)) == "nn"], ids=lambda f: f.name)
def test_networks_import_torch_alone(file):
    for name in imports_of(file):
        first = name.split(".")[0]
        assert first == "torch" or first in sys.stdlib_module_names or name.startswith("sr3.nn"), name


QUIET = [f for f in FILES if folder(module(f)) not in ("cli", "web", "__main__")]


@pytest.mark.parametrize("file", QUIET, ids=lambda f: str(f.relative_to(ROOT)))
def test_the_library_prints_nothing_and_never_exits(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"print", "exit", "sys.exit", "os._exit", "quit"} & set(called)
