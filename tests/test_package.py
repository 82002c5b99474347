"""What a user installs: names, types, data files, licences."""

import ast
import email
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

import sr3
from sr3.model import shipped

ROOT = Path(__file__).resolve().parents[1]
FACES = ROOT / "packages" / "sr3-faces"


def test_dir_lists_the_public_names_and_loads_nothing():
    script = "import sr3, sys; print(dir(sr3)); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    names, loaded = told.splitlines()
    assert ast.literal_eval(names) == sorted(sr3.__all__)
    assert loaded == "False"
    assert all(getattr(sr3, name) is not None for name in dir(sr3))
    with pytest.raises(AttributeError, match=r"sr3 has no restorer; it has Denoiser, Level, .*Restorer"):
        sr3.restorer  # noqa: B018


def built(folder, tmp_path_factory):
    build = pytest.importorskip("hatchling.build")
    out = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return out / build.build_wheel(str(out))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(built(ROOT, tmp_path_factory)) as archive:
        yield archive


def described(wheel, name):
    return email.message_from_bytes(wheel.read(f"{name}.dist-info/METADATA"))


def test_the_wheel_is_small_free_and_says_its_needs(wheel):
    told = described(wheel, f"sr3-{sr3.__version__}")
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_all("License-File") == ["LICENSE"]
    assert wheel.read(f"sr3-{sr3.__version__}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "Typing :: Typed" in told.get_all("Classifier")
    assert {"torch<2.14,>=2.8", "jinja2>=3.1"} <= set(told.get_all("Requires-Dist"))
    assert not [name for name in wheel.namelist() if "face-" in name and name.endswith(".safetensors")]
    assert Path(wheel.filename).stat().st_size <= 4e6


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = {name for name in wheel.namelist() if not name.startswith(f"sr3-{sr3.__version__}.dist-info/")}
    package = ROOT / "src" / "sr3"
    assert held == {
        f"sr3/{file.relative_to(package).as_posix()}"
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "sr3/py.typed" in held


@pytest.mark.skipif(not FACES.exists(), reason="not in the source archive")
def test_face_models_are_a_package_of_their_own_with_their_terms(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "Z_DEFAULT_COMPRESSION", 0)  # what is random does not become smaller, and takes its time
        path = built(FACES, tmp_path_factory)
    with zipfile.ZipFile(path) as archive:
        told = described(archive, "sr3_faces-0.1.0")
        assert told["License-Expression"] == "LicenseRef-CelebA-Non-Commercial"
        assert b"non-commercial research" in archive.read("sr3_faces-0.1.0.dist-info/licenses/LICENSE")
        held = {name for name in archive.namelist() if name.endswith(".safetensors")}
    assert held == {f"sr3_faces/{name}.safetensors" for name, package in shipped.ELSEWHERE.items() if "face" in package}
    # here they are installed: else the tests of all shipped models would pass over these
    assert set(shipped.ELSEWHERE) <= set(shipped.names())


def test_the_source_archive_can_be_built_and_tested_from():
    """What it would hold: to press it takes longer than all else here."""
    builder = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(ROOT))
    held = {file.distribution_path for file in builder.recurse_included_files()}
    needed = ["pyproject.toml", "LICENSE", "README.md", "src/sr3/py.typed", "tests/conftest.py"]
    assert set(needed) <= held
    tops = {name.split("/")[0] for name in held if "/" in name}
    assert {"docs", "examples", "experiments", "scripts", "src", "tests"} <= tops
    assert not {".ci", "packages"} & tops
