"""What a user installs: names, types, data files, both licences."""

import ast
import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sr3

ROOT = Path(__file__).resolve().parents[1]


def test_dir_lists_the_public_names_and_loads_nothing():
    script = "import sr3, sys; print(dir(sr3)); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    names, loaded = told.splitlines()
    assert ast.literal_eval(names) == sorted(sr3.__all__)
    assert loaded == "False"
    assert all(getattr(sr3, name) is not None for name in dir(sr3))
    with pytest.raises(AttributeError, match=r"sr3 has no restorer; it has Denoiser, Level, .*Restorer"):
        sr3.restorer  # noqa: B018


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    build = pytest.importorskip("hatchling.build")
    out = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        with zipfile.ZipFile(out / build.build_wheel(str(out))) as archive:
            yield archive


def test_the_wheel_says_its_licences_and_needs(wheel):
    told = email.message_from_bytes(wheel.read(f"sr3-{sr3.__version__}.dist-info/METADATA"))
    assert told["License-Expression"] == "Apache-2.0 AND LicenseRef-CelebA-Non-Commercial"
    assert told.get_all("License-File") == ["LICENSE", "LICENSE-FACES"]
    for name in ("LICENSE", "LICENSE-FACES"):
        held = wheel.read(f"sr3-{sr3.__version__}.dist-info/licenses/{name}")
        assert held == (ROOT / name).read_bytes()
    assert "Typing :: Typed" in told.get_all("Classifier")
    assert {"torch<2.14,>=2.8", "jinja2>=3.1"} <= set(told.get_all("Requires-Dist"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = {name for name in wheel.namelist() if not name.startswith(f"sr3-{sr3.__version__}.dist-info/")}
    package = ROOT / "src" / "sr3"
    assert held == {
        f"sr3/{file.relative_to(package).as_posix()}"
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "sr3/py.typed" in held


def test_what_the_face_terms_are_about_is_there(wheel):
    terms = (ROOT / "LICENSE-FACES").read_text("utf-8")
    assert "src/sr3/model/weights/face-*.safetensors" in terms
    assert list((ROOT / "src/sr3/model/weights").glob("face-*.safetensors"))
    assert any(name.startswith("sr3/model/weights/face-") for name in wheel.namelist())


def test_the_source_archive_can_be_built_and_tested_from():
    """What it would hold: to press it takes longer than all else here."""
    builder = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(ROOT))
    held = {file.distribution_path for file in builder.recurse_included_files()}
    needed = ["pyproject.toml", "LICENSE", "LICENSE-FACES", "README.md", "src/sr3/py.typed", "tests/conftest.py"]
    assert set(needed) <= held
    tops = {name.split("/")[0] for name in held if "/" in name}
    assert {"docs", "examples", "experiments", "scripts", "src", "tests"} <= tops
    assert ".ci" not in tops
