"""All checks, in the order of their speed: format, lint, types, tests.  CI runs this and nothing else.

Tests run on all cores at once; those marked `alone`, which time something, run afterwards, one by one.

python scripts/check.py            everything
python scripts/check.py --no-tests format, lint and types only
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [
    "src",
    "tests",
    "scripts",
    "experiments",
    "benchmarks",
    "examples",
    *(["packages"] if (ROOT / "packages").exists() else []),
]
"""The source archive holds no other packages."""
ALONE = [
    str(file.relative_to(ROOT))
    for file in sorted((ROOT / "tests").rglob("test_*.py"))
    if "mark.alone" in file.read_text("utf-8")
]
"""To gather the tests of all files takes longer than these do."""
CHECKS = [
    ["ruff", "format", "--check", *FOLDERS],
    ["ruff", "check", *FOLDERS],
    ["basedpyright", "--level", "error", "--pythonpath", sys.executable],
    ["pytest", "-n", "auto", "--dist", "worksteal", "-m", "not alone"],
    ["pytest", "-m", "alone", *ALONE],
]
TESTS = 2


def main() -> int:
    """Run each check; the exit code is the first failure's."""
    checks = CHECKS[:-TESTS] if "--no-tests" in sys.argv[1:] else CHECKS
    for tool, *arguments in checks:
        print(f"== {tool} {' '.join(arguments)}", flush=True)
        code = subprocess.run([sys.executable, "-m", tool, *arguments], cwd=ROOT).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
