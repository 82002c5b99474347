"""Which model, and which of its tasks, a picture is for: `sr3 restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr3.cli.common import load_restorer
from sr3.cli.steps import Choice

if TYPE_CHECKING:
    from sr3.restore.restorer import Restorer

AUTO = "auto"
"""The usual model of what the picture needs."""

USUAL = {
    "colorization": "face-color",
    "denoising": "photo-denoise",
    "inpainting": "face-fill",
    "jpeg-restoration": "photo-jpeg-regression",
    "uncropping": "face-fill",
}
"""The usual model of each task."""


def chooser(
    model: str, *, hole: bool, lenient: bool, ready: "Callable[[Restorer], object]", **options: Any
) -> Callable[[Path], Choice]:
    """The restorer of each picture, whose model's task is the one that the picture is for, and why.

    model: a name, or `AUTO`.  hole: whether a mask or boxes say where pixels are to be made, which settles the task.
    lenient: whether damaged files are taken too.
    ready: called with each restorer once, when it has been loaded.  options: of `load_restorer`.
    """
    from sr3.model.config import ConfigError
    from sr3.picture.image import read
    from sr3.picture.kinds import is_jpeg
    from sr3.picture.picture import PictureError
    from sr3.restore.choose import Need, UndamagedError, needs
    from sr3.restore.restorer import needs_picture
    from sr3.restore.usual import of_faces
    from sr3.restore.whole import set_task

    loaded: dict[tuple[str, str | None], Restorer] = {}

    def restorer(name: str, kind: str | None = None) -> "Restorer":
        """One for each task, as the next picture's is chosen while one is at work."""
        if (name, kind) not in loaded:
            found = load_restorer(name, **options)
            needs_picture(found.model)
            if kind is not None:
                set_task(found.model, kind, "restore")
            ready(found)
            loaded[name, kind] = found
        return loaded[name, kind]

    def need_of(source: Path, kinds: "list[str] | None") -> "Need":
        """The first of these that the picture needs; None: of all."""
        if hole:
            return Need("inpainting", "it has a hole")
        file = source.read_bytes() if is_jpeg(source) else None
        for need in needs(read(source, lenient=lenient), file):
            if kinds is None or need.kind in kinds:
                return need
        if kinds is not None and "super-resolution" in kinds:
            return Need("super-resolution", "it shows no damage")
        known = "it is opaque, has colours and is neither noisy nor a JPEG file of low quality"
        among = f" that is among {', '.join(kinds)}" if kinds else ""
        raise UndamagedError(
            f"{source} shows no damage{among}: {known}; name the task by sr3 colorize, inpaint, uncrop or dejpeg"
        )

    def chosen(source: Path) -> Choice:
        kinds = None if model == AUTO else getattr(restorer(model).model.task, "kinds", None)
        if model != AUTO and kinds is None:
            return Choice(restorer(model, "inpainting" if hole else None), "as asked for")
        need = need_of(source, kinds)
        if model == AUTO:
            try:
                name = USUAL[need.kind]
                return Choice(restorer(name, need.kind), need.why + of_faces(name))
            except ConfigError as error:  # for this picture, and no reason to leave the others
                raise PictureError(f"{source} cannot be restored, as {need.why}: {error}") from error
        return Choice(restorer(model, need.kind), f"as asked for; {need.why}")

    return chosen
