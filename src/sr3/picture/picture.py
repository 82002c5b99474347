"""What a picture is between two files: pixels, alpha, depth, and the metadata that travels along."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

SHOWN = 1600
"""Pixels a side that a notebook is shown of a picture."""

TOP = {8: 255, 16: 65535}
"""The largest sample of each depth."""


BLOCKS = ("icc-profile-data", "exif-data", "xmp-data", "iptc-data")
"""The metadata that travel along, by libvips' names."""


class PictureError(ValueError):
    """A picture that cannot be read, written or understood: one sentence that names it, the fault and the cure."""


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    pixels: [C, H, W] float32 in [-1, 1], C = 1 (grey) or 3 (RGB), as the profile in `keep` describes them.
    alpha: [1, H, W] in [0, 1], not multiplied into the pixels; None where all is opaque.
    bits: 8 or 16, the depth of the file it came from and of the one it goes to, where that can hold it.
    keep: metadata by libvips' names: "icc-profile-data", "exif-data", "xmp-data", "iptc-data" (bare IIM records).
    dpi: (across, down); None where the file does not say.

    Raises PictureError for wrong shapes and depths.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    bits: int = 8
    keep: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    dpi: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        if len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
            raise PictureError(f"a picture's pixels are [1 or 3, height, width], not {list(shape)}")
        if self.alpha is not None and tuple(self.alpha.shape) != (1, *shape[1:]):
            raise PictureError(f"this picture's alpha must be {[1, *shape[1:]]}, not {list(self.alpha.shape)}")
        if self.bits not in TOP:
            raise PictureError(f"a picture has 8 or 16 bits, not {self.bits}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[-1], self.pixels.shape[-2]

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return len(self.pixels)

    @property
    def rgb(self) -> Tensor:
        """[1, 3, H, W] in [-1, 1]; grey is repeated, alpha left out."""
        return self.pixels.expand(3, -1, -1)[None]

    def save(self, path: str | Path, *, quality: int = 95, note: Mapping[str, str] | None = None) -> None:
        """Write it to a file by the format that its name ends in; as `sr3.picture.write.write`."""
        import_module("sr3.picture.write").write(path, self, quality=quality, note=note)

    def png(self) -> bytes:
        """A PNG to look at, reduced where it is larger than a screen."""
        with BytesIO() as brought:
            image = import_module("sr3.picture.exchange").to_pil(self)
            image.thumbnail((SHOWN, SHOWN))
            image.save(brought, "PNG")
            return brought.getvalue()

    def _repr_png_(self) -> bytes:
        """For a notebook."""
        return self.png()


def from_samples(
    samples: "np.ndarray[Any, Any]",
    keep: Mapping[str, bytes] | None = None,
    dpi: tuple[float, float] | None = None,
) -> Picture:
    """The picture of uint8 or uint16 samples [H, W, 1 to 4]: grey, grey + alpha, RGB, RGB + alpha."""
    bits = 8 * samples.dtype.itemsize
    # in place, as large pictures fill the memory
    bands = torch.from_numpy(samples.transpose(2, 0, 1).astype(np.float32, order="C")).div_(TOP[bits])
    colours = 1 if len(bands) < 3 else 3
    alpha = bands[colours:].clone() if len(bands) > colours else None
    return Picture(bands[:colours].mul_(2).sub_(1), alpha, bits, keep or {}, dpi)


def to_samples(picture: Picture, bits: int, *, opaque: bool = False, name: str = "the picture") -> Any:
    """A picture's samples [H, W, 1 to 4], uint8 or uint16: clamp((x + 1) / 2) * top, halves to even.

    opaque: lay the picture on white and leave the alpha out.  Raises PictureError where a pixel is NaN or infinite.
    """
    pixels = check_finite(picture, name).pixels.detach().float().cpu()
    bands = (pixels + 1).div_(2).clamp_(0, 1)
    if picture.alpha is not None:
        alpha = picture.alpha.detach().float().cpu().clamp(0, 1)
        bands = bands.mul_(alpha).add_(1 - alpha) if opaque else torch.cat([bands, alpha])
    rounded = bands.mul_(TOP[bits]).round_().numpy()
    return np.ascontiguousarray(rounded.astype(np.uint8 if bits == 8 else np.uint16).transpose(1, 2, 0))


def check_finite(picture: Picture, name: str) -> Picture:
    """The picture itself; PictureError where a pixel or its alpha is NaN or infinite."""
    for what, values in (("pixels", picture.pixels), ("alpha values", picture.alpha)):
        if values is not None and not all_finite(values):
            bad = int((~torch.isfinite(values)).sum())
            raise PictureError(f"{name} has {bad} {what} that are NaN or infinite; all must be finite numbers")
    return picture


def all_finite(x: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite: quick where that is so, as the sum would not be finite either."""
    return bool(x.sum().isfinite()) or bool(torch.isfinite(x).all())


def shown(path: str | Path) -> str:
    """A file's name as it can stand in a one-line message."""
    return "".join(c if c.isprintable() else "?" for c in str(path))


def reason(error: Exception) -> str:
    """The last thing a library said, short, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(lines[-1] if len(lines) > 1 else "its header makes no sense")[:200]


def load_vips() -> Any:
    """The module pyvips, loaded when first needed, with all loaders blocked that libvips does not trust.

    PictureError where it or libvips is missing or older than 8.13.
    """
    try:
        with _ONE_AT_A_TIME:
            vips = import_module("pyvips") if "pyvips" in sys.modules else _without_warnings()
        vips.block_untrusted_set(True)
        return vips
    except (ImportError, OSError, AttributeError) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise PictureError(
            f"pictures cannot be read or written because libvips cannot be loaded ({reason}); "
            "install it with: pip install 'pyvips[binary]'"
        ) from error


def _without_warnings() -> Any:
    """The module, imported so that libvips drops its warnings itself.

    pyvips hands them to Python, where the collection of garbage may free another picture; that warns in its turn, and
    GLib ends a program whose warning came within a warning.
    """
    told = os.environ.get(_DROPS)
    os.environ[_DROPS] = "1"
    try:
        vips = import_module("pyvips")
    finally:
        if told is None:
            del os.environ[_DROPS]
        else:
            os.environ[_DROPS] = told
    vips._remove_log_handler()
    return vips


_ONE_AT_A_TIME = Lock()
_DROPS = "VIPS_WARNING"
"""What libvips looks for in the environment when it begins."""


def cmyk_to_srgb(image: Any) -> Any:
    """A CMYK libvips image in sRGB, by its own profile or, where it has none, libvips' generic one; depth is kept."""
    depth = 16 if image.format == "ushort" else 8
    return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
