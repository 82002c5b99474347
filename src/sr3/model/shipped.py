"""Models that come in packages: this one's own, and those of any with an entry point in the group sr3.models."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from sr3.model.checkpoint import CheckpointError

GROUP = "sr3.models"
"""Of entry points; each names a package with files NAME.safetensors, such as `faces = "sr3_faces"`."""
SUFFIX = ".safetensors"
ELSEWHERE = {
    **dict.fromkeys(("face-16", "face-8x", "face-8x-regression", "face-color", "face-fill"), "sr3-faces"),
    **dict.fromkeys(("photo-4x-worn", "photo-jpeg-fast", "photo-jpeg-regression"), "sr3-restore"),
}
"""Models of packages that need not be installed, for a message that helps."""
TERMS = {"sr3-faces": "non-commercial research only", "sr3-restore": "Apache-2.0"}


class Shipped(NamedTuple):
    """A model's file, and the package that it comes with."""

    file: Traversable
    package: str


class Found(NamedTuple):
    """The models of all packages by their names, those of one name together; and packages that cannot be used."""

    models: dict[str, list[Shipped]]
    broken: list[str]


@cache
def found() -> Found:
    """What is installed; looked up once."""
    models: dict[str, list[Shipped]] = {}
    broken: list[str] = []
    _add(models, files("sr3.model") / "weights", "sr3")
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        package = _package(entry)
        try:
            if entry.pattern.match(entry.value) is None:
                raise ValueError(f"its entry point {entry.name} names no package: {entry.value!r}")
            _add(models, files(entry.module), package)
        except (Exception, SystemExit) as error:  # its own code runs: what is wrong there is not our failure
            broken.append(f"the models of {package} cannot be found: {_reason(error)}")
    return Found(dict(sorted(models.items())), broken)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it ends the program"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _add(models: dict[str, list[Shipped]], folder: Traversable, package: str) -> None:
    for file in folder.iterdir():
        if file.name.endswith(SUFFIX):
            here = models.setdefault(file.name.removesuffix(SUFFIX), [])
            if all(other.package != package for other in here):  # one package may be found twice on the path
                here.append(Shipped(file, package))


def names() -> list[str]:
    """The models that come with this package and with others that are installed."""
    return list(found().models)


def shipped(name: str) -> Shipped:
    """The model of this name, one of `names()`; CheckpointError where several packages have one."""
    here = found().models[name]
    if len(here) > 1:
        raise CheckpointError(
            f"the packages {' and '.join(one.package for one in here)} both have a model {name}; remove one of them, "
            "or give the path of the file"
        )
    return here[0]


def elsewhere(name: str) -> str | None:
    """Where a model is that is not installed, in one sentence; None for what nobody knows."""
    if name not in ELSEWHERE or name in names():
        return None
    return (
        f"the model {name} is in the package {ELSEWHERE[name]}, which is not installed: pip install "
        f"./packages/{ELSEWHERE[name]} in sr3's folder (its terms: {TERMS[ELSEWHERE[name]]})"
    )
