"""The parts stand on one another in one direction, and the lowest stand alone."""

import ast
import sys
from pathlib import Path

import pytest

import sr3

ROOT = Path(sr3.__file__).parent

FLOORS = [
    {"metadata", "picture", "level", "random", "resize", "windows", "files", "nn", "result", "interrupt"},
    {"schedule", "predict"},
    {"path", "denoiser", "testing"},
    {"sample", "objective", "wrap", "task", "data", "metric"},
    {"config", "langevin", "likelihood", "score_matching"},
    {"tables", "device"},
    {"recipe", "checkpoint"},
    {"exchange"},
    {"image"},
    {"model"},
    {"restore", "train"},
    {"evaluate", "estimate", "board", "tune", "study", "generate", "zero_shot", "likeness"},
    {"demo", "web", "report", "compare"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}

STRANGERS = {
    "sample": {"schedule", "predict", "nn"},
    "path": {"predict", "nn"},
    "langevin": {"schedule", "predict", "nn", "objective"},
    "likelihood": {"schedule", "predict", "nn", "objective"},
    "score_matching": {"path", "nn", "sample"},
    "objective": {"path", "nn"},
    "wrap": {"schedule", "predict", "nn"},
    "task": {"level", "schedule", "predict", "path", "nn"},
    "metric": {"level", "schedule", "predict", "path", "denoiser", "nn"},
    "train": {"level", "predict", "path", "sample", "langevin", "wrap"},
}
"""Beside the floors: what a part has no business with, though it lies below."""


def part(file: Path) -> str:
    """The part of the package that a file belongs to: its module, or its folder."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(f for f in ROOT.rglob("*.py") if f != ROOT / "__init__.py")
PARTS = {part(f) for f in FILES}


def imports_of(file: Path) -> set[str]:
    """All that a file imports, with dots, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively; write sr3.… so that one search finds it"
            assert node.module is not None
            if node.module == "sr3":
                found |= {f"sr3.{name.name}" for name in node.names}
            else:
                found.add(node.module)
    return found


def parts_used(file: Path) -> set[str]:
    names = {name.split(".")[1] for name in imports_of(file) if name.startswith("sr3.")}
    return (names & PARTS) - {part(file)}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_downhill(file):
    name = part(file)
    assert name in HEIGHT, f"{name} has no floor yet: give it one in FLOORS"
    for used in parts_used(file):
        assert HEIGHT[used] < HEIGHT[name], f"{name} must not import {used}"
        assert used not in STRANGERS.get(name, set()), f"{name} has no business with {used}"


def test_the_floors_are_looked_at():
    """This test reads imports; it must see those that are surely there."""
    assert {"level", "denoiser", "path"} <= parts_used(ROOT / "sample.py")
    assert len({name for floor in FLOORS for name in floor}) == sum(map(len, FLOORS))


@pytest.mark.parametrize("file", [f for f in FILES if part(f) == "nn"], ids=lambda f: f.name)
def test_networks_import_torch_alone(file):
    for name in imports_of(file):
        first = name.split(".")[0]
        assert first == "torch" or first in sys.stdlib_module_names or name.startswith("sr3.nn"), name


@pytest.mark.parametrize(
    "file", [f for f in FILES if part(f) not in ("cli", "web", "__main__")], ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_library_prints_nothing_and_never_exits(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"print", "exit", "sys.exit", "os._exit", "quit"} & set(called)
