"""The classes of training pictures: the names of their folders, or a table."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePath

from sr3.files import read_text
from sr3.model.config import ConfigError, Recipe, build
from sr3.picture.collection import DataError
from sr3.task import TASKS, Generation


def settled(recipe: Recipe, names: Sequence[str], file: Path | None = None) -> tuple[Recipe, list[int] | None]:
    """The recipe with its classes' names in it, and each picture's class; as it is, and None, where it has no classes.

    names: of the pictures, with their folders; the class is the last folder's name.  file: a CSV file instead.
    ConfigError for a file where there are no classes.  DataError where the pictures' classes are not the recipe's.
    """
    task = build("task", TASKS, recipe.model.task)
    if not isinstance(task, Generation) or not task.count:
        if file is not None:
            raise ConfigError(f"{recipe.model.name} knows no classes; set model.task.classes, or leave --labels out")
        return recipe, None
    each = from_file(file, names) if file is not None else [PurePath(name).parent.name for name in names]
    if "" in each:
        raise DataError(f"{names[each.index('')]} is in no folder that names its class; make folders, or give --labels")
    found = sorted(set(each), key=lambda name: (int(name) if _number(name) else -1, name))
    if isinstance(task.classes, int):
        if all(_number(name) and int(name) < task.count for name in found):
            return recipe, [int(name) for name in each]
        if len(found) != task.count:
            raise DataError(f"the pictures are of {len(found)} classes, and the recipe is for {task.count}")
        spec = {**recipe.model.task, "classes": found}
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"task": spec})})
    elif unknown := [name for name in found if name not in task.names]:
        raise DataError(f"there are pictures of the class {unknown[0]!r}, which the recipe does not name")
    else:
        found = task.names
    return recipe, [found.index(name) for name in each]


def from_file(path: Path, names: Sequence[str]) -> list[str]:
    """The class of each picture, from a CSV file with a line "name,class" for each; DataError for one without."""
    try:
        lines = list(csv.reader(read_text(path).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read; it must be a CSV file in UTF-8 of name,class") from error
    table = {line[0].strip(): line[1].strip() for line in lines if len(line) > 1}
    if without := [name for name in names if not table.get(name)]:
        raise DataError(f"{path} has no class for {without[0]}")
    return [table[name] for name in names]


def _number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 8
