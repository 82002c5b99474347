"""The workflow of GitHub's machines, of which here only the versions and the names can be checked."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")


def test_the_oldest_and_the_newest_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest, below = re.search(r"torch>=([\d.]+),<([\d.]+)", " ".join(project["dependencies"])).groups()
    assert f'"torch=={oldest}.*"' in TEXT
    assert f'"torch<{below}"' in TEXT
    assert f'python: ["{project["requires-python"].removeprefix(">=")}"' in TEXT
    named = re.search(r"python: \[(.*)\]", TEXT).group(1)
    newest = max(tuple(map(int, version.split("."))) for version in re.findall(r'"([\d.]+)"', named))
    assert newest >= (3, 14)
    for system in ("ubuntu", "windows", "macos"):
        assert f"{system}-latest" in TEXT


def test_what_it_runs_is_there():
    for script in re.findall(r"python (scripts/\S+)", TEXT):
        assert (ROOT / script).is_file()
    assert re.findall(r"\.\[(\w+)\]", TEXT)
    assert "\t" not in TEXT
