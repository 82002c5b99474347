"""What the documents promise exists."""

import re
from pathlib import Path

import pytest
import torch
import typer.main

from sr3.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_and_options_exist(document):
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"^\s*(?:\S.*&& )?sr3 (.+)$", document.read_text("utf-8"), re.MULTILINE):
        words = line.split("#")[0].split()
        assert words[0] in commands, line
        known = {option for parameter in commands[words[0]].params for option in parameter.opts}
        for word in words[1:]:
            if word.startswith("-"):
                assert word in known, line


def test_the_readme_has_the_two_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, begins in (("main job", "pip install"), ("tests", "pip install")):
        block = re.search(rf"<!-- command: {name} -->\n```sh\n(.+?)\n```", readme, re.DOTALL)
        assert block
        assert block[1].startswith(begins)
        assert "\n" not in block[1]


def test_the_design_names_every_folder_and_only_files_that_are_there():
    source = ROOT / "src" / "sr3"
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    whole, inside = (re.findall(r"^\| .+ \| (`[^|]+`) \|$", part, re.MULTILINE) for part in design.split("Inside `", 1))
    named = [name for cell in whole for name in re.findall(r"`(.+?)`", cell)]
    assert {f"{p.name}/" for p in source.iterdir() if p.is_dir() and p.name != "__pycache__"} <= set(named)
    assert all((source / name).exists() for name in named)
    assert all((source / "diffusion" / name).exists() for cell in inside for name in re.findall(r"`(.+?\.py)`", cell))
    assert inside


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_paths_in_the_words_exist(document):
    for path in re.findall(
        r"`((?:src|scripts|tests|experiments|examples|docs)/[\w./-]+)`", document.read_text("utf-8")
    ):
        assert (ROOT / path).exists(), path


def test_the_sampler_of_contributing_works():
    """Euler's method in units of sigma / alpha is DDIM (Song et al. 2021, eq. 13)."""
    from sr3.diffusion import sample
    from sr3.diffusion.path import even_logsnr
    from sr3.diffusion.schedule import LinearBeta

    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found = dict(vars(sample))
    exec(re.findall(r"```python\n(.+?)```", text, re.DOTALL)[0], found)
    path = even_logsnr(LinearBeta(), 6)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = [sample.last(walk(lambda x, level: 0.3 * x.tanh(), x, path)) for walk in (found["euler"], sample.ddim)]
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-6)


def test_the_readmes_table_is_from_the_results():
    """Row by row, but for what the names are marked with; `photo-4x-worn` is in another package and left out."""

    def rows(path):
        return [line for line in path.read_text("utf-8").splitlines() if line.count("|") == 12]

    def cells(line):
        name, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        return [name.split(",")[0].strip("`"), *figures]

    results, readme = (list(map(cells, rows(ROOT / name))) for name in ("docs/results.md", "README.md"))
    assert readme == [row for row in results if row[0] != "photo-4x-worn"]
    assert len(readme) == 10


def test_both_readmes_say_the_same():
    """Commands and code without their comments, figures of tables, levels of headings, and where links lead."""
    one, other = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))

    def code(text):
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        return [(language, re.sub(r"\s*#.*", "", block)) for language, block in blocks]

    def figures(text):
        return [re.findall(r"[\d.]+", line) for line in text.splitlines() if line.startswith("| ")]

    def headings(text):
        return re.findall(r"^#+(?= )", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)

    def links(text):
        return sorted(set(re.findall(r"\]\(([^)]+)\)", text.replace("tutorial.zh-CN", "tutorial"))) - {"README.md"})

    assert code(one) == code(other)
    assert figures(one) == figures(other)
    assert headings(one) == headings(other)
    assert [link for link in links(one) if link != "README.zh-CN.md"] == links(other)
