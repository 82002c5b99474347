"""What can be asked for: the package's tasks, done as the command line does them.

A task that is new in `sr3.task` is listed with what every task has; where it needs more, a line in `USES` says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sr3.model.config import ConfigError, ModelConfig, nearest
from sr3.picture.grey import as_grey
from sr3.picture.image import PictureError, read, read_size
from sr3.restore.agreement import taken
from sr3.restore.fill import inpainted, uncropped
from sr3.restore.places import Mask, bands, check_bands, hole
from sr3.restore.restored import Restored
from sr3.restore.restorer import Progress, Restorer, needs_picture
from sr3.restore.size import check_sides, fitted, made_size, passes, target_size
from sr3.restore.usual import FAST
from sr3.restore.whole import set_task, stream
from sr3.task import TASKS, Restoration
from sr3.web.shapes import COMMON, Options

Steps = Iterator[Progress | Restored]
ENLARGE = "super-resolution"


def sides_of(text: str | None) -> tuple[int, int] | None:
    """'800x600', which is known to be a size, as (800, 600)."""
    wide, high = box_of(text) or (None, None)
    return None if wide is None or high is None else (wide, high)


def box_of(text: str | None) -> tuple[int | None, int | None] | None:
    """The same, and '800x' as (800, None)."""
    if text is None:
        return None
    wide, high = text.split("x")
    return int(wide) if wide else None, int(high) if high else None


@dataclass(frozen=True)
class Asked:
    """One job, ready for work.  how: the options that every task has, by the names of `Restorer.stream`."""

    restorer: Restorer
    source: Path
    mask: Mask | None
    options: Options

    @property
    def how(self) -> dict[str, Any]:
        return {
            **{
                name: getattr(self.options, name) for name in ("seed", "samples", "steps", "sampler", "quality", "free")
            },
            "spacing": None,
        }

    @property
    def task(self) -> Restoration:
        return needs_picture(self.restorer.model)


@dataclass(frozen=True)
class Use:
    """A task as a person meets it.

    kind: in `sr3.task.TASKS`.  name: in the interface.  command: after `sr3`.  mark: what its results are called.
    options: beside `COMMON`.  needs, takes: "mask", where one must come or may.  usual: its usual model.
    begin: the steps of a job.  told: what else makes its result this one and no other, for its metadata.
    """

    kind: str
    says: str
    command: str = "restore"
    mark: str = "restored"
    options: tuple[str, ...] = ("free",)
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    usual: str = ""
    begin: Callable[[Asked], Steps] = lambda asked: _restored(asked)
    told: Callable[[Asked], dict[str, str]] = lambda asked: {}

    @property
    def name(self) -> str:
        return "enlarge" if self.kind == ENLARGE else self.kind

    def steps(self, asked: Asked) -> Steps:
        """Do the job, by a model that is for this."""
        set_task(asked.restorer.model, self.kind, self.command)
        return self.begin(asked)

    def result_size(self, size: tuple[int, int], factor: int, options: Options) -> tuple[int, int]:
        """(width, height) of the result.  ConfigError and PictureError where it cannot be had."""
        if self.kind == ENLARGE:
            return target_size(size, factor, options.scale, _wanted(size, options))
        if self.kind == "uncropping":
            left, right, top, bottom = _sides(Path("the picture"), size, options)
            return size[0] + left + right, size[1] + top + bottom
        return size

    def largest_size(self, size: tuple[int, int], factor: int, options: Options) -> tuple[int, int]:
        """(width, height) of the largest picture on the way to the result: a model enlarges by its own factor alone."""
        result = self.result_size(size, factor, options)
        return made_size(size, result, factor if self.kind == ENLARGE else 1)

    def check_size(self, config: ModelConfig, size: tuple[int, int], factor: int, options: Options) -> None:
        """PictureError where the model is for pictures of other sides; those of other tasks reduce what is larger."""
        if self.kind == ENLARGE:
            times = passes(size, self.result_size(size, factor, options), factor)
            check_sides(config, size, factor ** (times - 1))

    def marked(self, factor: int, options: Options) -> str:
        """What a result is called after its picture's name."""
        if self.kind != ENLARGE:
            return self.mark
        return options.size or f"{options.scale if options.scale is not None else factor:g}x"

    def check(self, options: Options) -> None:
        """ConfigError for an option of another task, and for some that do not go together."""
        for name in options.model_fields_set - {*COMMON, *self.options}:
            if getattr(options, name) != Options.model_fields[name].default:
                raise ConfigError(f"{self.name} has no {name!r}{nearest(name, [*self.options, *COMMON])}")
        if self.kind == "uncropping":
            check_bands((options.left, options.right, options.top, options.bottom), sides_of(options.to))


def _go(asked: Asked) -> Any:
    return partial(stream, asked.restorer, **asked.how)


def _enlarged(asked: Asked) -> Steps:
    options = asked.options
    more: dict[str, Any] = {"scale": options.scale, "size": _wanted(read_size(asked.source), options)}
    more["noise"] = options.noise
    more["keep"] = None if asked.mask is None else asked.mask.hole
    return asked.restorer.stream(asked.source, fidelity=options.fidelity, **more, **asked.how)


def _wanted(size: tuple[int, int], options: Options) -> tuple[int, int] | None:
    """(width, height) of the result of a picture of this size: as large as fits into what is asked for, if anything."""
    box = box_of(options.size)
    return fitted(size, box, "inside") if box else None


def _restored(asked: Asked) -> Steps:
    given, opaque = taken(asked.task, read(asked.source), None if asked.options.free else asked.source)
    return _go(asked)(opaque, given)


def _dejpegged(asked: Asked) -> Steps:
    picture = read(asked.source)
    return _go(asked)(picture, asked.task.take(picture, None if asked.options.free else asked.source))


def _colorized(asked: Asked) -> Steps:
    picture = as_grey(read(asked.source)) if asked.options.grey else read(asked.source)
    try:
        return _go(asked)(picture, asked.task.take(picture))
    except PictureError as error:
        raise PictureError(f"{asked.source} has colours already; ask for grey to make it grey first") from error


def _inpainted(asked: Asked) -> Steps:
    found, opaque = hole(read(asked.source), asked.source, asked.mask, [])
    options = asked.options
    return inpainted(opaque, found, _go(asked), grow=options.grow, feather=options.feather, seed=options.seed)


def _uncropped(asked: Asked) -> Steps:
    picture = read(asked.source)
    sides = _sides(asked.source, picture.size, asked.options)
    return uncropped(picture, sides, _go(asked), seed=asked.options.seed)


def _sides(source: Path, size: tuple[int, int], options: Options) -> tuple[int, int, int, int]:
    given = options.left, options.right, options.top, options.bottom
    return bands(source, size, given, sides_of(options.to))


def _told_of_hole(asked: Asked) -> dict[str, str]:
    options = asked.options
    drawn = {"mask": asked.mask.mark if asked.mask else "none", "boxes": ""}
    return drawn | {"grow": str(options.grow), "feather": str(options.feather)}


def _told_of_sides(asked: Asked) -> dict[str, str]:
    options = asked.options
    sides = options.left, options.right, options.top, options.bottom
    return {"sides": " ".join(map(str, sides)), "to": options.to or "none"}


USES = (
    Use(
        ENLARGE,
        "Make pictures larger.",
        "upscale",
        options=("scale", "size", "fidelity", "noise"),
        takes=("mask",),
        usual=FAST,
        begin=_enlarged,
        told=lambda asked: {"keep": asked.mask.mark} if asked.mask else {},
    ),
    Use("jpeg-restoration", "Remove what JPEG left.", "dejpeg", usual="photo-jpeg-regression", begin=_dejpegged),
    Use(
        "colorization",
        "Give grey pictures colours.",
        "colorize",
        "colorized",
        ("free", "grey"),
        usual="face-color",
        begin=_colorized,
        told=lambda asked: {"grey": str(asked.options.grey).lower()},
    ),
    Use(
        "inpainting",
        "Make what a mask marks anew.",
        "inpaint",
        "inpainted",
        ("grow", "feather"),
        needs=("mask",),
        takes=("mask",),
        usual="face-fill",
        begin=_inpainted,
        told=_told_of_hole,
    ),
    Use(
        "uncropping",
        "Make pictures wider or higher.",
        "uncrop",
        "uncropped",
        ("left", "right", "top", "bottom", "to"),
        usual="face-fill",
        begin=_uncropped,
        told=_told_of_sides,
    ),
)
"""In the order in which they are offered; tasks that need nothing but a picture have no line here."""


def uses() -> list[Use]:
    """All tasks of the package that are given a picture."""
    known = {use.kind for use in USES}
    others = [
        Use(kind, (task.__doc__ or kind).strip().split(".")[0] + ".")
        for kind, task in TASKS.items()
        if kind not in known and hasattr(task, "take") and kind != "several"
    ]
    return [*USES, *others]
