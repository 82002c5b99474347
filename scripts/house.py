"""Draw docs/pictures/house.svg: the rooms of src/sr3 on their floors, and who needs whom, read from the imports.

python scripts/house.py            draw it, and print the rooms and the arrows
python scripts/house.py --check    print only

Exit code 1 where an import runs upward or along a floor, or where there is more than a reader can hold.
"""

import ast
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "sr3"
PICTURE = ROOT / "docs" / "pictures" / "house.svg"

FLOORS = [
    {"random", "files", "interrupt", "nn", "client"},
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
"""From the ground up.  What stands on a floor may need what stands on lower ones, and nothing else."""

HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}

MOST_ROOMS, MOST_ARROWS = 24, 100

FILES = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


def module(file: Path) -> str:
    """A file's name with dots, below sr3: "diffusion.level"; a folder's own file is the folder."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file) for file in FILES}


def room(name: str) -> str:
    """The folder, or the file beside the folders, that a module belongs to."""
    return name.split(".")[0]


@cache
def imports_of(file: Path) -> frozenset[str]:
    """All that a file imports, with dots, wherever in the file it does.  ValueError for a relative import."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{file.name} imports relatively; write sr3.… so that one search finds it")
            whole = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name.removeprefix("sr3.") in MODULES else node.module for name in whole}
    return frozenset(found)


def modules_used(file: Path) -> frozenset[str]:
    """The package's modules that a file imports."""
    names = frozenset(name.removeprefix("sr3.") for name in imports_of(file) if name.startswith("sr3."))
    return (names & MODULES) - {module(file)}


class House(NamedTuple):
    """rooms: from the top floor down, with the number of their files; arrows: imports from one into another."""

    rooms: dict[str, int]
    arrows: dict[tuple[str, str], int]

    @property
    def upward(self) -> list[tuple[str, str]]:
        """The arrows that do not lead to a lower floor."""
        return [(user, used) for user, used in self.arrows if HEIGHT[user] <= HEIGHT[used]]


def house() -> House:
    """What the files say now.  KeyError names a room that has no floor."""
    files, arrows = Counter(room(module(file)) for file in FILES), Counter[tuple[str, str]]()
    for file in FILES:
        user = room(module(file))
        arrows.update((user, room(used)) for used in modules_used(file) if room(used) != user)
    order = sorted(files, key=lambda name: (-HEIGHT[name], name))
    return House({name: files[name] for name in order}, dict(sorted(arrows.items())))


WIDE, HIGH, STEP, EDGE = 84, 24, 34, 8
"""Of the drawing: a room, the way from one row to the next, and the margin."""

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1b1b1b; text-anchor: middle; }
  .floor { fill: #f2f2f2; } .floor.odd { fill: #e4e4e4; }
  .room { fill: #fff; stroke: #555; } .line { stroke: #0072b2; fill: none; } .tip { fill: #0072b2; }
  .count { fill: #fff; stroke: #0072b2; } .upward { stroke: #c00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #efefef; } .floor { fill: #262626; } .floor.odd { fill: #303030; }
    .room { fill: #1a1a1a; stroke: #aaa; } .line { stroke: #5ab4ec; } .tip { fill: #5ab4ec; }
    .count { fill: #1a1a1a; stroke: #5ab4ec; } .upward { stroke: #ff6b6b; }
  }
"""


def svg(found: House) -> str:
    """A staircase: every room has a row and a column; a user's line runs down its column and turns into the rows of
    what it needs, with the number of imports at the turn.  A number stands where an arrow turns, and nowhere else.
    """
    at = {name: place for place, name in enumerate(found.rooms)}
    step = (WIDE + 4) * 2 // 3
    width = 2 * EDGE + step * (len(at) - 1) + WIDE
    x = {name: EDGE + step * place + WIDE // 2 for name, place in at.items()}
    y = {name: EDGE + STEP * place + STEP // 2 for name, place in at.items()}
    lines: list[str] = []
    for name in at:
        kind = "floor odd" if HEIGHT[name] % 2 else "floor"
        top = y[name] - STEP // 2
        lines.append(f'<rect class="{kind}" x="0" y="{top}" width="{width}" height="{STEP}"/>')
    turns: list[str] = []
    down = [(user, used) for user, used in found.arrows if (user, used) not in found.upward]
    for user in dict.fromkeys(user for user, _ in down):
        lowest = max(y[used] for name, used in down if name == user)
        lines.append(f'<path class="line" d="M{x[user]} {y[user]}V{lowest}"/>')
    for used in dict.fromkeys(used for _, used in down):
        first, end = min(x[user] for user, name in down if name == used), x[used] - WIDE // 2
        lines.append(f'<path class="line" d="M{first} {y[used]}H{end}"/>')
        lines.append(f'<path class="tip" d="M{end} {y[used]}l-7 -4v8z"/>')
    for user, used in found.upward:
        lines.append(f'<path class="line upward" d="M{x[user]} {y[user]}V{y[used]}H{x[used]}"/>')
    for (user, used), count in found.arrows.items():
        imports = f"{count} import{'' if count == 1 else 's'}"
        turns.append(f'<g><title>{user} needs {used}: {imports}</title><circle class="count" cx="{x[user]}" ')
        turns[-1] += f'cy="{y[used]}" r="10"/><text x="{x[user]}" y="{y[used] + 4}">{count}</text></g>'
    for name, files in found.rooms.items():
        left, top = x[name] - WIDE // 2, y[name] - HIGH // 2
        about = f"{name}: {files} file{'' if files == 1 else 's'}"
        turns.append(f'<g><title>{about}</title><rect class="room" x="{left}" y="{top}" width="{WIDE}" ')
        turns[-1] += f'height="{HIGH}" rx="4"/><text x="{x[name]}" y="{y[name] + 4}">{escape(name)}</text></g>'
    height = 2 * EDGE + STEP * len(at)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, *turns, "</svg>"]) + "\n"


def main(arguments: list[str]) -> int:
    """Draw, print, and say what is wrong."""
    found = house()
    for (user, used), count in found.arrows.items():
        print(f"{user} -> {used}: {count}")
    rooms, arrows = len(found.rooms), len(found.arrows)
    print(f"{rooms} rooms (at most {MOST_ROOMS}), {arrows} arrows (at most {MOST_ARROWS})")
    for user, used in found.upward:
        print(f"{user} must not need {used}, which does not stand on a lower floor", file=sys.stderr)
    if "--check" not in arguments:
        PICTURE.write_text(svg(found), encoding="utf-8")
    return int(bool(found.upward) or rooms > MOST_ROOMS or arrows > MOST_ARROWS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
