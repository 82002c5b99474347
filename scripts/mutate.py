"""Would the tests notice?  Changes the code in small ways, one at a time, and counts the changes that no test fails at.

    python scripts/mutate.py --folder diffusion --count 50 --seed 1 --json mutants.json
    python scripts/mutate.py --folder task --list

The project is copied, and the copy is changed and tested; yours may go on changing.  Each mutant has a process and a
time limit of its own, and the folder's tests stop at the first that fails.  Survivors are printed as differences:
write a test, or, where no test could tell, name the change and the reason in `mutate_equivalent.toml`.
The exit code is 1 where the tests fail without any change.
"""

import argparse
import difflib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mutate_operators import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sr3"
KNOWN = Path(__file__).with_name("mutate_equivalent.toml")
PRELOAD = ["pytest", "torch", "numpy", "scipy.stats", "PIL.Image", "diffusers", "skimage.metrics", "pydantic"]
"""What tests import and mutants do not change: loaded once, where processes can be forked."""

ALSO = {
    "random": ["tests/test_random.py"],
    "interrupt": ["tests/test_interrupt.py"],
    "files": ["tests/model", "tests/evaluation"],
    "nn": ["tests/nn", "tests/model/test_weights.py"],
    "task": ["tests/task", "tests/restore/test_restore.py"],
    "restore": ["tests/restore", "tests/evaluation"],
}
"""The tests of folders, and of files beside them, that are not just in the folder of the same name."""

FIRST = {
    "diffusion/exact.py": ["tests/diffusion/test_exact.py"],
    "diffusion/likelihood.py": ["tests/diffusion/test_langevin.py"],
    "diffusion/objective.py": ["tests/diffusion/test_objective_parts.py"],
    "diffusion/sample.py": ["tests/diffusion/test_walks.py", "tests/diffusion/test_ancestral.py"],
    "diffusion/score_matching.py": [
        "tests/diffusion/test_objective_parts.py",
        "tests/diffusion/test_second_derivatives.py",
    ],
    "metric/features.py": ["tests/metric/test_few.py"],
    "metric/extra.py": ["tests/metric/test_few.py", "tests/metric/test_features.py"],
    "metric/base.py": ["tests/metric/test_parts.py", "tests/metric/test_metric.py"],
    "metric/consistency.py": ["tests/metric/test_parts.py", "tests/metric/test_metric.py"],
    "metric/psnr.py": ["tests/metric/test_few.py", "tests/metric/test_metric.py"],
    "metric/ssim.py": ["tests/metric/test_metric.py"],
    "metric/stats.py": ["tests/metric/test_stats.py", "tests/metric/test_parts.py"],
    "metric/swd.py": ["tests/metric/test_parts.py", "tests/metric/test_metric.py"],
    "metric/table.py": ["tests/metric/test_parts.py"],
    "metric/tint.py": ["tests/metric/test_metric.py"],
    "nn/embed.py": ["tests/nn/test_sr3_unet.py", "tests/nn/test_definitions.py"],
    "nn/energy.py": ["tests/diffusion/test_second_derivatives.py"],
    "nn/plain.py": ["tests/nn/test_plain.py", "tests/nn/test_definitions.py"],
    "nn/sr3_unet.py": ["tests/nn/test_definitions.py"],
    "nn/unet.py": ["tests/nn/test_definitions.py"],
    "picture/exchange.py": ["tests/picture/test_image.py"],
    "picture/resize.py": ["tests/picture/test_numbers.py"],
    "picture/jpeg_twin.py": ["tests/picture/test_numbers.py", "tests/picture/test_jpeg_twin.py"],
    "picture/metadata.py": ["tests/picture/test_numbers.py", "tests/picture/test_image.py"],
    "picture/picture.py": ["tests/picture/test_image.py"],
    "picture/windows.py": ["tests/diffusion/test_wrap.py"],
}
"""Which tests of a file come first, where their names do not tell."""


@dataclass
class Outcome:
    """What became of a mutant: "killed", "timeout", "survived" or "equivalent"."""

    mutant: Mutant
    before: str
    after: str
    result: str = ""
    seconds: float = 0.0


def suite_of(file: str, near: bool = False) -> list[str]:
    """The test files for a file of the package, the most likely to fail first; near: those alone, if there are any."""
    folder, *parts = Path(file).with_suffix("").parts
    places = [ROOT / place for place in ALSO.get(folder, [f"tests/{folder}"])]
    every = [f for p in places for f in ([p] if p.is_file() else sorted(p.glob("test_*.py")))]
    every = [str(f.relative_to(ROOT)) for f in every]
    first = FIRST.get(file, []) + [f for p in parts for f in every if Path(f).stem.startswith(f"test_{p}")]
    return [f for f in dict.fromkeys(first if near and first else first + every) if (ROOT / f).exists()]


def found_in(folder: str) -> list[Outcome]:
    """Every mutant of a folder, or of one file, of the package."""
    place = PACKAGE / folder
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    outcomes: list[Outcome] = []
    for path in files:
        name, source = path.relative_to(PACKAGE).as_posix(), path.read_bytes()
        lines = source.decode().splitlines()
        for mutant in mutants(name, source):
            changed = mutant.applied(source).decode().splitlines()
            marks = difflib.SequenceMatcher(None, lines, changed, autojunk=False).get_opcodes()
            (_, a, b, c, d) = next(m for m in marks if m[0] != "equal")
            outcomes.append(Outcome(mutant, "\n".join(lines[a:b]), "\n".join(changed[c:d])))
    return outcomes


def sample(outcomes: list[Outcome], count: int | None, seed: int) -> list[Outcome]:
    """`count` of them, at most one of each place in the text, so that constants do not outnumber the rest."""
    if count is None:
        return outcomes
    rng = random.Random(seed)
    shuffled = rng.sample(outcomes, len(outcomes))
    one_each = list({(o.mutant.file, o.mutant.start, o.mutant.end): o for o in shuffled}.values())
    chosen = one_each[:count]
    return sorted(chosen, key=lambda o: (o.mutant.file, o.mutant.start))


def equivalents() -> set[tuple[str, str, str]]:
    """(file, line before, line after) of the changes that no test can tell; see the file of them."""
    if not KNOWN.exists():
        return set()
    table = tomllib.loads(KNOWN.read_text("utf-8"))
    return {(e["file"], e["before"].strip(), e["after"].strip()) for e in table.get("equivalent", [])}


def run_tests(project: str, tests: list[str], output: str) -> None:
    """In a process of its own: the tests of the project there; the exit code is pytest's."""
    os.chdir(project)
    source = str(Path(project) / "src")
    os.environ["PYTHONPATH"] = source  # for what tests start
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a plugin that is loaded already is a warning, and so an error
    sys.path.insert(0, source)
    sys.dont_write_bytecode = True  # a file that is changed twice in a second would be taken for the first
    with open(output, "w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        import pytest

        import sr3

        if Path(sr3.__file__).parent.parent != Path(source):
            print(f"{sr3.__file__} is not the copy of the package")
            os._exit(99)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        stream.flush()
    os._exit(int(code))


class Bench:
    """A copy of the project in which one mutant after another is tested."""

    def __init__(self, folder: Path):
        self.project, self.output = folder / "project", folder / "output.txt"
        shutil.copytree(ROOT, self.project, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs"))
        kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self.context: Any = multiprocessing.get_context(kind)
        if kind == "forkserver":
            self.context.set_forkserver_preload(PRELOAD)

    def run(self, tests: list[str], limit: float) -> int | None:
        """pytest's exit code; None where the time was up."""
        process = self.context.Process(target=run_tests, args=(str(self.project), tests, str(self.output)))
        process.start()
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            return None
        return process.exitcode

    def judge(self, outcome: Outcome, tests: list[str], limit: float) -> None:
        """Tests a mutant."""
        path, began = self.project / "src" / "sr3" / outcome.mutant.file, time.perf_counter()
        kept = path.read_bytes()
        path.write_bytes(outcome.mutant.applied(kept))
        try:
            code = self.run(tests, limit)
        finally:
            path.write_bytes(kept)
        outcome.result = "timeout" if code is None else "survived" if code == 0 else "killed"
        outcome.seconds = round(time.perf_counter() - began, 1)


def shown(outcome: Outcome) -> str:
    """A mutant as a difference."""
    lines = [f"- {line}" for line in outcome.before.splitlines()] + [f"+ {line}" for line in outcome.after.splitlines()]
    return "\n".join([f"{outcome.mutant.file}:{outcome.mutant.line} ({outcome.mutant.operator})", *lines])


def table(outcomes: Iterable[Outcome]) -> str:
    """The kill rate of each folder, in Markdown; what runs for ever is killed too, equivalents do not count."""
    by_folder: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        by_folder.setdefault(outcome.mutant.file.split("/")[0], Counter())[outcome.result] += 1
    lines = ["| folder | mutants | killed | survived | equivalent | rate |", "|---|---|---|---|---|---|"]
    for folder, n in sorted(by_folder.items()):
        dead, real = n["killed"] + n["timeout"], n.total() - n["equivalent"]
        rate = f"{dead / real:.0%}" if real else ""
        lines.append(f"| {folder} | {n.total()} | {dead} | {n['survived']} | {n['equivalent']} | {rate} |")
    return "\n".join(lines)


def judge_all(outcomes: list[Outcome], timeout: float | None, near: bool, out: Path | None) -> int:
    """Tests them all, says what survives as it goes, and writes what is known after each."""
    known = equivalents()
    suites = {o.mutant.file: suite_of(o.mutant.file, near) for o in outcomes}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        limits: dict[tuple[str, ...], float] = {}
        for number, outcome in enumerate(outcomes, 1):
            if (outcome.mutant.file, outcome.before.strip(), outcome.after.strip()) in known:
                outcome.result = "equivalent"
                continue
            suite = suites[outcome.mutant.file]
            key = tuple(sorted(suite))
            if key not in limits:
                began = time.perf_counter()
                if bench.run(suite, 3600) != 0:
                    print(bench.output.read_text("utf-8"), f"the tests fail without a mutant: {' '.join(suite)}")
                    return 1
                limits[key] = timeout or 30 + 3 * (time.perf_counter() - began)
            bench.judge(outcome, suite, limits[key])
            if outcome.result == "survived":
                print(f"{number}/{len(outcomes)} survived: {shown(outcome)}\n", flush=True)
            if out is not None:
                done = [asdict(o) for o in outcomes[:number]]
                out.write_text(json.dumps(done, indent=1, ensure_ascii=False), encoding="utf-8")
    print(table(outcomes))
    return 0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", action="append", help="of src/sr3, or a file in it: diffusion, random, nn/unet")
    parser.add_argument("--count", type=int, help="so many of each folder, drawn at random; all unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--timeout", type=float, help="seconds for a mutant; three times the tests' own unless given")
    parser.add_argument("--near", action="store_true", help="only the tests of the same file: quicker, kills fewer")
    parser.add_argument("--json", type=Path, help="where to write the outcomes")
    parser.add_argument("--list", action="store_true", help="show the mutants and test nothing")
    options = parser.parse_args()
    folders = options.folder or sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.glob("*.py")))
    outcomes = [o for folder in folders for o in sample(found_in(folder), options.count, options.seed)]
    if options.list:
        print("\n".join(map(shown, outcomes)))
        return 0
    return judge_all(outcomes, options.timeout, options.near, options.json)


if __name__ == "__main__":
    sys.exit(main())
