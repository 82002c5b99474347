"""Models of other packages: found, of two packages refused, of broken ones said."""

import sys

import pytest

from sr3.cli import complete
from sr3.model import shipped
from sr3.model.checkpoint import CheckpointError
from sr3.model.model import Model


@pytest.fixture
def install(tmp_path, monkeypatch, tiny):
    """Write a package with models of these names, as an installer would leave it."""

    def write(package, *names, code="", entries=None):
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").write_text(code, "utf-8")
        for name in names:
            tiny.save_pretrained(folder / "made")
            (folder / "made" / "model.safetensors").rename(folder / f"{name}.safetensors")
        info = tmp_path / f"{package}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n", "utf-8")
        (info / "entry_points.txt").write_bytes(entries or f"[{shipped.GROUP}]\nmodels = {package}\n".encode())
        shipped.found.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    shipped.found.cache_clear()
    for name in [name for name in sys.modules if name.startswith("maps")]:
        del sys.modules[name]


def test_a_package_brings_models(install, tiny, sr3):
    install("maps_one", "maps-4x", "maps-8x")
    assert {"maps-4x", "maps-8x", "photo-4x"} <= set(shipped.names())
    assert shipped.shipped("maps-4x").package == "maps_one"
    assert Model.from_pretrained("maps-4x").config == tiny.config
    code, out, err = sr3("models")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == shipped.names()
    assert not err
    # a shell completes them, and a package that is broken hides none
    install("maps_two", "maps-2x", code="raise OSError")
    install("maps_three", entries=f"[{shipped.GROUP}]\nmodels = nowhere.at.all\n".encode())
    assert complete.models("maps-") == ["maps-2x", "maps-4x", "maps-8x"]
    assert complete.models("") == sorted({"maps-2x", *shipped.names()})


def test_of_two_packages_neither_is_taken(install, sr3):
    install("maps_one", "maps-4x", "maps-8x")
    install("maps_two", "maps-4x", "photo-4x")
    with pytest.raises(CheckpointError, match="^the packages maps_one and maps_two both have a model maps-4x; remove"):
        Model.from_pretrained("maps-4x")
    with pytest.raises(CheckpointError, match="^the packages sr3 and maps_two both have a model photo-4x"):
        Model.from_pretrained("photo-4x")
    Model.from_pretrained("maps-8x")
    code, out, err = sr3("models")
    assert code == 0
    assert "maps-8x" in out
    assert "maps-4x" not in out
    assert err.count("both have a model") == 2


def test_a_broken_package_breaks_nothing(install, sr3):
    install("maps_broken", code="raise RuntimeError('no licence found\\nat all')")
    install("maps_one", "maps-4x")
    assert "maps-4x" in shipped.names()
    code, out, err = sr3("models")
    assert code == 0
    assert "maps-4x" in out
    assert err == "sr3: the models of maps_broken cannot be found: no licence found\n"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"code": "import sys; sys.exit(3)"}, "the models of maps_bad cannot be found: it ends the program"),
        ({"code": "assert 0"}, "the models of maps_bad cannot be found: AssertionError"),
        ({"code": "def ("}, "the models of maps_bad cannot be found: invalid syntax (__init__.py, line 1)"),
        ({"entries": b"[sr3.models]\nm = maps_no\n"}, "maps_bad cannot be found: No module named 'maps_no'"),
        ({"entries": b"[sr3.models]\nm = !!\n"}, "cannot be found: its entry point m names no package: '!!'"),
    ],
)
def test_whatever_is_wrong_in_a_package_is_said_and_skipped(install, what, says):
    install("maps_bad", "maps-2x", **what)
    install("maps_one", "maps-4x")
    (said,) = shipped.found().broken
    assert says in said
    assert len(said.splitlines()) == 1
    assert {"maps-4x", "photo-4x"} <= set(shipped.names())
    assert "maps-2x" not in shipped.names()


def test_a_model_of_a_package_that_is_not_installed_says_which(monkeypatch, sr3, tmp_path):
    monkeypatch.setattr(shipped, "entry_points", lambda group: [])
    shipped.found.cache_clear()
    try:
        with pytest.raises(CheckpointError, match=r"the model face-8x is in the package sr3-faces, .*pip install"):
            Model.from_pretrained("face-8x")
        for arguments in (["show", "face-16"], ["generate", "--model", "face-16"], ["generate"]):
            code, _, err = sr3(*arguments)
            assert code != 0
            assert err.startswith("sr3: the model face-16 is in the package sr3-faces, which is not installed")
            assert len(err.splitlines()) == 1
        for task, name in (("colorize", "face-color"), ("inpaint", "face-fill"), ("uncrop", "face-fill")):
            assert f"the model {name} is in the package sr3-faces" in sr3("demo", "--task", task)[2]
    finally:
        shipped.found.cache_clear()
