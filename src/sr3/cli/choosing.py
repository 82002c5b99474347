"""Which model, and which of its tasks, a picture is for: `sr3 restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr3.cli.common import load_restorer

if TYPE_CHECKING:
    from sr3.restore.restorer import Restorer

AUTO = "auto"
"""The usual model of what the picture needs."""

USUAL = {
    "colorization": "face-palette",
    "denoising": "photo-denoise",
    "inpainting": "face-palette",
    "jpeg-restoration": "photo-jpeg",
}


def chooser(
    model: str, *, hole: bool, ready: "Callable[[Restorer], object]", **options: Any
) -> "Callable[[Path], Restorer]":
    """The restorer of each picture, whose model's task is the one that the picture is for.

    model: a name, or `AUTO`.  hole: whether a mask or boxes say where pixels are to be made, which settles the task.
    ready: called with each restorer once, when it has been loaded.  options: of `load_restorer`.
    """
    from sr3.picture.image import read
    from sr3.picture.kinds import is_jpeg
    from sr3.picture.picture import PictureError
    from sr3.restore.choose import needs
    from sr3.restore.restorer import needs_picture
    from sr3.restore.whole import set_task

    loaded: dict[str, Restorer] = {}

    def restorer(name: str) -> "Restorer":
        if name not in loaded:
            loaded[name] = load_restorer(name, **options)
            needs_picture(loaded[name].model)
            ready(loaded[name])
        return loaded[name]

    def kind_of(source: Path, kinds: "list[str] | None") -> str:
        """The first of these that the picture needs; None: of all."""
        file = source.read_bytes() if is_jpeg(source) else None
        for need in needs(read(source), file):
            if kinds is None or need.kind in kinds:
                return need.kind
        if kinds is not None and "super-resolution" in kinds:
            return "super-resolution"
        known = "it is opaque, has colours and is neither noisy nor a JPEG file of low quality"
        among = f" that is among {', '.join(kinds)}" if kinds else ""
        raise PictureError(
            f"{source} shows no damage{among}: {known}; name the task by sr3 colorize, inpaint, uncrop or dejpeg"
        )

    def chosen(source: Path) -> "Restorer":
        if model != AUTO:
            found = restorer(model)
            kinds = getattr(found.model.task, "kinds", None)
            if hole:
                set_task(found.model, "inpainting", "restore")
            elif kinds is not None:
                set_task(found.model, kind_of(source, kinds), "restore")
            return found
        kind = "inpainting" if hole else kind_of(source, None)
        found = restorer(USUAL[kind])
        set_task(found.model, kind, "restore")
        return found

    return chosen
