"""Would the tests notice?  Changes the code in small ways, one at a time, and counts the changes that no test fails at.

    python scripts/mutate.py --folder diffusion --count 50 --seed 1 --json mutants.json
    python scripts/mutate.py --folder task --list

The project is copied, and the copy is changed and tested; yours may go on changing.  Each mutant has a process and a
time limit of its own, and the folder's tests stop at the first that fails: those that enter the changed function come
first, and where they notice nothing, the rest of their files.  Survivors are printed as differences: write a test, or,
where no test could tell, name the change and the reason in `mutate_equivalent.toml`.  Needs a system that forks.
The exit code is 1 where the tests fail without any change.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mutate_bench import PRELOAD, Bench
from mutate_operators import Mutant, mutants
from mutate_watch import Seen

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sr3"
KNOWN = Path(__file__).with_name("mutate_equivalent.toml")
ALSO = {
    "random": ["tests/test_random.py"],
    "interrupt": ["tests/test_interrupt.py"],
    "files": ["tests/test_files.py"],
    "client": ["tests/web/test_api.py"],
    "cli": [
        "tests/cli",
        "tests/model/test_foreign_palette.py",
        "tests/evaluation/test_protocols.py",
        "tests/evaluation/test_study.py",
    ],
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
    named = (*parts, f"{folder}_unless_told")  # the latter: where defaults and constants are
    first = FIRST.get(file, []) + [f for p in named for f in every if Path(f).stem.startswith(f"test_{p}")]
    return [f for f in dict.fromkeys(first if near and first else first + every) if (ROOT / f).exists()]


def found_in(folder: str) -> list[Outcome]:
    """Every mutant of a folder, or of one file, of the package."""
    place = PACKAGE / folder
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    outcomes: list[Outcome] = []
    for path in files:
        name, source = path.relative_to(PACKAGE).as_posix(), path.read_bytes()
        outcomes += [Outcome(mutant, *lines_of(mutant, source)) for mutant in mutants(name, source)]
    return outcomes


def lines_of(mutant: Mutant, source: bytes) -> tuple[str, str]:
    """The lines that a mutant changes, before and after."""
    first = source.rfind(b"\n", 0, mutant.start) + 1
    last = source.find(b"\n", mutant.end)
    last = len(source) if last < 0 else last
    around = source[first : mutant.start], source[mutant.end : last]
    before, after = (around[0] + text + around[1] for text in (source[mutant.start : mutant.end], mutant.text.encode()))
    old, new = before.decode().split("\n"), after.decode().split("\n")
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    while len(old) > 1 and len(new) > 1 and old[0] == new[0]:
        old, new = old[1:], new[1:]
    return "\n".join(old), "\n".join(new)


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


def judge(bench: Bench, outcome: Outcome, seen: Seen, near: list[str], timeout: float | None) -> None:
    """Tests a mutant."""
    began, mutant = time.perf_counter(), outcome.mutant
    changed = mutant.applied((bench.package / mutant.file).read_bytes())
    code = bench.test(mutant.file, mutant.line, changed, seen, near, timeout)
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
        bench = Bench(ROOT, Path(folder), PRELOAD)
        gathered: tuple[list[str], Seen] | None = None
        for number, outcome in enumerate(outcomes, 1):
            if (outcome.mutant.file, outcome.before.strip(), outcome.after.strip()) in known:
                outcome.result = "equivalent"
                continue
            suite = suites[outcome.mutant.file]
            if gathered is None or gathered[0] != sorted(suite):
                seen = bench.watch(sorted(suite))
                if seen is None:
                    print(bench.output.read_text("utf-8"), f"the tests fail without a mutant: {' '.join(suite)}")
                    return 1
                gathered = sorted(suite), seen
            judge(bench, outcome, gathered[1], suite_of(outcome.mutant.file, True), timeout)
            if outcome.result == "survived":
                print(f"{number}/{len(outcomes)} survived: {shown(outcome)}\n", flush=True)
            if out is not None:
                done = [asdict(o) for o in outcomes[:number]]
                out.write_text(json.dumps(done, indent=1, ensure_ascii=False), encoding="utf-8")
        bench.close()
    print(table(outcomes))
    return 0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", action="append", help="of src/sr3, or a file in it: diffusion, random, nn/unet")
    parser.add_argument("--count", type=int, help="so many of each folder, drawn at random; all unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument(
        "--timeout", type=float, help="seconds for each test; ten times its own and 20 more unless given"
    )
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
