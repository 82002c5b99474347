"""The page's files: nothing inline, nothing heavy, every word in both languages, types where their checker is there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "src" / "sr3" / "web" / "page"
MODULES = {path.name for path in PAGE.glob("*.js")} - {"theme.js"}
INDEX = (PAGE / "index.html").read_text("utf-8")


def words(name):
    """The strings of a language, by their keys."""
    lines = (PAGE / name).read_text("utf-8").splitlines()
    found = [re.fullmatch(r'  "?([\w.-]+)"?: "(.*)",', line) for line in lines]
    pairs = [match.groups() for match in found if match]
    assert len(pairs) > 100
    assert len(pairs) == len(dict(pairs)) == len(lines) - 3  # none twice, and none that is written otherwise
    return dict(pairs)


def test_both_languages_have_the_same_words_with_the_same_holes():
    english, chinese = words("en.js"), words("zh.js")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[key])), key
        assert chinese[key].strip(), key


def test_every_word_that_the_page_asks_for_is_there_and_none_is_left_over():
    english = set(words("en.js"))
    code = INDEX + "".join((PAGE / name).read_text("utf-8") for name in MODULES - {"en.js", "zh.js"})
    asked = set(re.findall(r'data-(?:t|label)="([\w.]+)"', code))
    asked |= set(re.findall(r'\bt\(\s*"([\w.]+)"', code))
    for either in re.findall(r'\bt\([\w.= ]+ \? "([\w.]+)" : "([\w.]+)"', code):
        asked |= set(either)
    assert asked <= english
    built = ("state.", "task.", "option.", "says.", "choice.", "theme.", "mask.", "task", "model")
    assert {key for key in english - asked if not key.startswith(built)} == set()


def test_nothing_is_inline_and_nothing_comes_from_elsewhere():
    assert re.findall(r"<style|style=|\son\w+=|javascript:", INDEX) == []
    assert re.findall(r"<script(?![^>]* src=\"/page/)[^>]*>", INDEX) == []
    for path in PAGE.iterdir():
        text = path.read_text("utf-8")
        assert "innerHTML" not in text
        assert "eval(" not in text
        known = ("http://www.w3.org/2000/svg",)
        assert [url for url in re.findall(r"https?://[\w./]+", text) if url not in known] == [], path.name
        assert "@import" not in text


def test_the_page_is_light():
    sizes = {path.name: path.stat().st_size for path in PAGE.iterdir()}
    assert sum(sizes.values()) <= 150_000
    for path in PAGE.iterdir():
        assert len(path.read_text("utf-8").splitlines()) < 300, path.name


def test_all_modules_are_fetched_at_once():
    named = set(re.findall(r'"/page/([\w.]+)"', INDEX))
    assert named == {path.name for path in PAGE.iterdir()} - {"index.html"}


@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs TypeScript's tsc on the PATH")
def test_types():
    how = "--noEmit --allowJs --checkJs --strict --noUncheckedIndexedAccess --noUnusedLocals --target es2022"
    where = "--module es2022 --moduleResolution bundler --lib es2022,dom,dom.iterable --types"
    command = ["tsc", *how.split(), *where.split(), "", str(PAGE / "main.js"), str(PAGE / "theme.js")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == ""
    assert done.returncode == 0
