"""What results are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from sr3.cli.pipes import PIPE

EXACT = (".png", ".tif", ".tiff")
"""Of what can be written, what loses nothing."""

FORMATS = {"png": ".png", "jpg": ".jpg", "jpeg": ".jpg", "webp": ".webp", "tif": ".tif", "tiff": ".tif",
           "avif": ".avif", "gif": ".gif"}  # fmt: skip
"""What --format takes, and the suffix of each; gif is for animations."""


@dataclass(frozen=True)
class Naming:
    """How results are named after their pictures.

    mark: what is put after the name where a result lies beside its picture.  pattern: as "{stem}-{scale}x", the whole
    name but for its suffix, wherever the result lies; None: the picture's own name, marked where they lie together.
    suffix: of all results; None: the picture's, where `suffixes` has it (None: all that can be written), else .png.
    values: what a pattern may hold beside {stem} and {mark}.  ConfigError for a pattern or a format that cannot be.
    """

    mark: str
    pattern: str | None = None
    format: str | None = None
    suffixes: Sequence[str] | None = None
    values: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        from sr3.model.config import ConfigError, nearest

        if self.format is not None and self.format.lower().removeprefix(".") not in FORMATS:
            raise ConfigError(f"there is no format {self.format!r}{nearest(self.format, list(FORMATS))}")
        if self.pattern is None:
            return
        if not self.pattern or {"/", "\\", "\0"} & set(self.pattern):
            raise ConfigError(f"--name {self.pattern!r} is no file's name; write one as {{stem}}-{{mark}}")
        known = ["stem", "mark", *self.values]
        try:
            parts = list(Formatter().parse(self.pattern))
        except ValueError as error:
            raise ConfigError(
                f"--name {self.pattern!r} makes no sense ({error}); write one as {{stem}}-{{mark}}"
            ) from error
        for _, name, form, conversion in parts:
            if name is not None and (name not in known or form or conversion):
                there = ", ".join(f"{{{n}}}" for n in known)
                raise ConfigError(f"--name knows {there} here, and no {{{name}}}")

    @property
    def suffix(self) -> str | None:
        """The one of all results, where a format was asked for."""
        return None if self.format is None else FORMATS[self.format.lower().removeprefix(".")]

    def within(self, source: Path) -> str:
        """A result's name in a folder of results: the picture's own, or p-gif.png for p.gif, so that p.gif and p.bmp
        do not become one."""
        from sr3.picture.image import WRITABLE

        own = source.suffix.lower()
        stem, suffix = source.stem, source.suffix
        if self.suffix is not None:
            suffix = source.suffix if own in (self.suffix, *_SAME.get(self.suffix, ())) else self.suffix
            stem = stem if own in WRITABLE or own == suffix.lower() else _joined(source)
        elif own == ".avif" and _moves(source):  # of which no animation is written
            suffix = ".webp"
        elif own not in (self.suffixes or WRITABLE):
            stem = stem if own in WRITABLE else _joined(source)
            suffix = ".webp" if own == ".gif" and _moves(source) else ".png"
        if self.pattern is not None:
            stem = self.pattern.format_map({**self.values, "stem": source.stem, "mark": self.mark})
        return f"{stem}{suffix}"

    def beside(self, source: Path) -> Path:
        """Where a result goes that lies with its picture."""
        name = Path(self.within(source))
        return source.with_name(name.name if self.pattern is not None else f"{name.stem}-{self.mark}{name.suffix}")

    def piped(self) -> str:
        """A result's name in a folder, where the picture came by standard input."""
        return self.within(Path(f"picture{self.suffix or '.png'}"))

    def given(self, output: Path) -> Path:
        """The file that was named for a result.  ConfigError where it can be none."""
        from sr3.model.config import ConfigError
        from sr3.picture.image import WRITABLE

        kinds = sorted({*WRITABLE, ".gif"})
        if output != PIPE and output.suffix.lower() not in kinds:
            ends = ", ".join(kinds)
            raise ConfigError(
                f"cannot write {output}: its name must end in one of {ends}; or write {output}/ for a folder"
            )
        if output != PIPE and self.suffix not in (None, output.suffix.lower(), *_TWINS.get(output.suffix.lower(), ())):
            raise ConfigError(f"{output} is no {self.format} file; leave out --format, or name it {self.suffix}")
        if self.pattern is not None:
            raise ConfigError(f"both --name and {output} say what the result is called; give one of them")
        return output


def is_shard(path: Path) -> bool:
    """Whether a file is taken for many pictures: by its name."""
    return path.suffix.lower() == ".tar"


def mark_of(target: Path) -> Path:
    """The file that says that a shard is done."""
    return target.with_name(f"{target.name}.done")


_SAME = {".jpg": (".jpeg",), ".tif": (".tiff",)}
_TWINS = {".jpeg": (".jpg",), ".tiff": (".tif",)}


def _joined(source: Path) -> str:
    return "-".join(part for part in (source.stem, source.suffix[1:].lower()) if part)


def _moves(source: Path) -> bool:
    from sr3.picture.frames import count

    return count(source) > 1


def with_ending(stem: str, source: Path) -> str:
    """A result's name with its picture's ending behind the picture's name, or else behind all."""
    ending = source.suffix[1:].lower() or "none"
    rest = stem.removeprefix(source.stem)
    return f"{stem}-{ending}" if rest == stem else f"{source.stem}-{ending}{rest}"
