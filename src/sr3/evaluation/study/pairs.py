"""The pictures of a study: a folder of photographs and of what methods made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sr3.files import temporary_folder
from sr3.model.config import ConfigError
from sr3.picture.collection import PICTURE_SUFFIXES, Pictures
from sr3.picture.image import PictureError, read_rgb8, read_size
from sr3.picture.resize import round8
from sr3.random import mix
from sr3.restore.restorer import Restorer, needs_picture
from sr3.restore.whole import make

ORIGINAL, GIVEN = "original", "given"


@dataclass(frozen=True)
class Pairs:
    """A folder of photographs and what methods made of them.

    files: for "original", "given" (where there is one) and each method: a picture's name -> its file.
    """

    folder: Path
    methods: tuple[str, ...]
    names: tuple[str, ...]
    files: dict[str, dict[str, Path]]

    @property
    def has_given(self) -> bool:
        return GIVEN in self.files


def read_pairs(folder: Path) -> Pairs:
    """Find and check the pictures of a folder: original/NAME.png, given/NAME.png (optional), METHOD/NAME.png.

    ConfigError where a folder or every method is missing, a picture has no counterpart or cannot be read, the size of
    a made picture is not its original's, or the picture given is larger or of another shape.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    if not (folder / ORIGINAL).is_dir():
        raise ConfigError(f"{folder} has no folder {ORIGINAL!r} with the photographs")
    inside = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    methods = tuple(name for name in inside if name not in (ORIGINAL, GIVEN))
    if not methods:
        raise ConfigError(f"{folder} has no method: put what one made of each photograph into a folder of its name")
    files = {kind: _files(folder / kind) for kind in inside}
    originals = files[ORIGINAL]
    for kind in inside:
        for one, other in ((kind, ORIGINAL), (ORIGINAL, kind)):
            if lone := sorted(files[one].keys() - files[other].keys()):
                more = f" (nor do {len(lone) - 1} more)" if len(lone) > 1 else ""
                raise ConfigError(f"{files[one][lone[0]]} has no picture of its name in {folder / other}{more}")
    for name in sorted(originals):
        width, height = _size(originals[name])
        for kind in inside:
            wide, high = _size(files[kind][name])
            if kind == GIVEN:
                # a size that does not divide evenly is rounded, by less than one low-resolution pixel
                fits = wide <= width and high <= height and abs(wide * height - high * width) < max(width, height)
            else:
                fits = (wide, high) == (width, height)
            if not fits:
                raise ConfigError(
                    f"{files[kind][name]} has {wide}x{high} pixels, which does not fit its original's {width}x{height}"
                )
    return Pairs(folder, methods, tuple(sorted(originals)), files)


def _files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not path.name.startswith("."):
            if path.stem in found:
                raise ConfigError(f"{found[path.stem]} and {path.name} have the same name; keep one of them")
            found[path.stem] = path
    if not found:
        raise ConfigError(f"{folder} holds no pictures")
    return found


def _size(path: Path) -> tuple[int, int]:
    try:
        return read_size(path)
    except PictureError as error:
        raise ConfigError(f"{path} cannot be read as a picture") from error


def pixels_of(path: Path) -> Image.Image:
    """A picture as it is shown: upright, RGB of 8 bits; alpha, profile and all else that could tell files apart gone.

    ConfigError where it cannot be read.
    """
    try:
        return Image.fromarray(read_rgb8(path))
    except PictureError as error:
        raise ConfigError(f"{path} cannot be read as a picture") from error


def make_pairs(
    restorer: Restorer, regression: Restorer | None, pictures: Pictures, folder: Path, seed: int = 0
) -> Iterator[str]:
    """Write the pairs of a study: original, given, and each method's; yields each picture's name when done.

    Pictures are cut, degraded, restored and rounded as `sr3.evaluation.evaluate` does, and its sample 0 of the same
    seed is the picture written here.  The folder appears when all are written, or not at all.  ConfigError where the
    folder has something in it, and for pictures that are too small.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; give the name of a new folder")
    task, own = needs_picture(restorer.model), restorer.model.methods()[0]
    own = "model" if regression is not None and own == "regression" else own
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent) as work:
        place = work / "pairs"
        place.mkdir()
        for index, (name, original) in enumerate(zip(_flat(pictures.names), pictures.pixels, strict=True)):
            height, width = (side - side % task.factor for side in original.shape[:2])
            if not height or not width:
                raise ConfigError(f"{pictures.names[index]} is smaller than {task.factor} pixels and cannot be shrunk")
            clean = torch.from_numpy(original[:height, :width].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            given = task.degrade(clean)
            made = {ORIGINAL: clean, GIVEN: given.image, task.baseline_name: task.baseline(given)}
            if regression is not None:
                made["regression"] = make(regression, given, [0])
            made[own] = make(restorer, given, [mix(seed, index, 0)])
            for kind, picture in made.items():
                (place / kind).mkdir(exist_ok=True)
                _write(place / kind / f"{name}.png", picture)
            yield name
        place.chmod(0o755)
        place.replace(folder)


def _flat(names: Sequence[str]) -> list[str]:
    """Names of files in one folder, each once, for names that may have folders in them."""
    found: list[str] = []
    for index, name in enumerate(names):
        own = plain = "-".join(Path(name).with_suffix("").parts)
        while own in found:
            own, index = f"{plain}-{index}", index + 1
        found.append(own)
    return found


def _write(path: Path, picture: Tensor) -> None:
    samples = ((round8(picture[0]) + 1) * 127.5).round().to(torch.uint8)
    Image.fromarray(samples.permute(1, 2, 0).contiguous().numpy()).save(path)
