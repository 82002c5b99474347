"""Animations and documents: files of several frames or pages, which stay one file."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, PngImagePlugin

from sr3.files import disk_full, replacing
from sr3.picture import metadata
from sr3.picture.exchange import from_pil
from sr3.picture.image import read
from sr3.picture.picture import Picture, PictureError, load_vips, shown, to_samples
from sr3.picture.write import blocks_of, dressed, image_of, in_colours

HOLD = (".gif", ".png", ".tif", ".tiff", ".webp")
"""The suffixes of what holds several frames."""

MOST = 2**14
"""Frames; more are refused."""

_ICC = "icc-profile-data"
_THUMBNAIL = 0x00FE
"""TIFF's NewSubfileType: bit 0 is a smaller copy of another page, bit 2 a mask."""


@dataclass(frozen=True)
class Timing:
    """milliseconds: how long each frame is shown; none for a document's pages.  loop: times; 0 for ever, None once."""

    milliseconds: Sequence[float] = ()
    loop: int | None = 0


def count(path: Path) -> int:
    """How many frames or pages a file holds; 1 where it holds one, or cannot be read.

    Smaller copies and masks of TIFF pages do not count.
    """
    try:
        kind = _kind(path)
        if kind is None:
            return 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return len(_pages_of(path, kind))
    except Exception:  # Pillow's parsers raise nearly everything on damaged files; reading says what is wrong
        return 1


def _kind(path: Path) -> str | None:
    """Pillow's name of what may hold several; by the first bytes, whatever the name."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(32)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return "GIF"
        if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
            return "TIFF"
        if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2:
            return "WEBP"
        if head[4:12] == b"ftypavis":
            return "AVIF"
        return "PNG" if head.startswith(b"\x89PNG") and _moves(file) else None


def _moves(file: IO[bytes]) -> bool:
    """Whether a PNG file has the chunk that counts an animation's frames, which comes before the first pixels."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return False
        if head[4:] == b"acTL":
            return True
        at += 12 + int.from_bytes(head[:4], "big")


def _pages_of(path: Path, kind: str | None) -> list[int]:
    try:
        with Image.open(path, formats=[kind] if kind else None) as image:
            return _pages(image)
    except Exception:
        if kind != "TIFF":
            raise
    # of kinds that Pillow does not read, as grey of 16 bits with alpha
    return list(range(int(load_vips().Image.tiffload(os.fsencode(path)).get("n-pages"))))


def _pages(image: Image.Image) -> list[int]:
    """The frames that count."""
    total = int(getattr(image, "n_frames", 1))
    if image.format == "PNG" and getattr(image, "default_image", False):
        return list(range(1, total))  # the first is for who cannot show the others
    if image.format != "TIFF" or total == 1:
        return list(range(total))
    found: list[int] = []
    for k in range(min(total, MOST + 1)):
        image.seek(k)
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        if not int(tags.get(_THUMBNAIL, 0)) & 5:
            found.append(k)
    return found or [0]


def read_frames(path: Path, name: str = "") -> Iterator[tuple[Picture, float]]:
    """Each frame of a file, whole, and how many milliseconds it is shown (0: nothing says so).

    PictureError where one cannot be read, or where pages have different sizes.
    """
    name = name or shown(path)
    kind = _kind(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pages = _pages_of(path, kind)
            image = None if kind == "TIFF" else Image.open(path, formats=[kind] if kind else None)
        except Exception as error:
            raise PictureError(f"{name} is damaged or incomplete; give a whole copy of it") from error
        with closing(image) if image is not None else nullcontext():
            if len(pages) > MOST:
                raise PictureError(f"{name} has {len(pages)} frames, and at most {MOST} are read; cut it")
            first: Picture | None = None
            # pages by libvips, for their depth
            found = (_seen(image, k, name) if image is not None else (read(path, page=k), 0.0) for k in pages)
            for frame, shown_for in found:
                first = first or frame
                if frame.size != first.size or frame.bits != first.bits:
                    raise PictureError(
                        f"the pages of {name} differ ({first.size[0]}x{first.size[1]} of {first.bits} bits, and "
                        f"{frame.size[0]}x{frame.size[1]} of {frame.bits}); give them one by one"
                    )
                if kind == "TIFF" and frame.keep.get(_ICC) != first.keep.get(_ICC):
                    raise PictureError(f"the pages of {name} have different colour profiles; give them one by one")
                yield replace(frame, keep=first.keep), shown_for


def _seen(image: Image.Image, k: int, name: str) -> tuple[Picture, float]:
    try:
        image.seek(k)
        image.load()
    except Exception as error:
        raise PictureError(f"frame {k + 1} of {name} cannot be decoded; give a whole, undamaged file") from error
    plain = image.mode in ("RGB", "RGBA", "L", "LA") or image.mode.startswith("I")  # I: grey of 16 bits
    whole = image if plain else image.convert("RGBA")
    duration = image.info.get("duration", 0)
    return from_pil(whole, name), float(duration) if isinstance(duration, int | float) else 0.0


def loops(path: Path) -> int | None:
    """How often an animation is shown: 0 without end, None once, as its file says."""
    with suppress(Exception), Image.open(path) as image:
        loop = image.info.get("loop")
        return None if loop is None else int(loop)
    return None


def check_holds(path: Path, frames: int, name: str) -> None:
    """PictureError where a file of this suffix cannot hold so many frames, or only such as have several."""
    suffix = path.suffix.lower()
    if frames > 1 and suffix not in HOLD:
        raise PictureError(
            f"{name} has {frames} frames and a {suffix} file holds one; name the result .webp, .png, .gif or .tif"
        )
    if frames == 1 and suffix == ".gif":
        raise PictureError(f"{name} is one picture, of which a .gif would keep 256 colours; name the result .png")


def write_frames(
    path: Path, frames: Sequence["np.ndarray[Any, Any]"], like: Picture, timing: Timing, *, note: Mapping[str, str],
    quality: int = 95,
) -> None:  # fmt: skip
    """Write frames [H, W, 1 to 4], uint8 or uint16, as one file, whole or not at all.

    like: whose metadata and resolution it has.  16 bits go into TIFF alone; a GIF keeps 256 colours a frame, and
    of metadata the note alone, as a comment.  PictureError where it cannot be written.
    """
    name, suffix = shown(path), path.suffix.lower()
    check_holds(path, len(frames), name)
    try:
        with replacing(path) as temporary:
            if suffix in (".tif", ".tiff"):
                _write_pages(temporary, frames, like, note)
            else:
                _write_moving(temporary, frames, like, timing, note, quality)
    except Exception as error:  # Pillow and libvips raise many kinds
        why = "the disk is full" if disk_full(error) else " ".join(str(error).split())[:200] or type(error).__name__
        raise PictureError(f"cannot write {name}: {why}") from error


def _write_moving(
    path: Path, frames: Sequence["np.ndarray[Any, Any]"], like: Picture, timing: Timing, note: Mapping[str, str],
    quality: int,
) -> None:  # fmt: skip
    suffix, blocks = path.suffix.lower(), blocks_of(like, note, "webpsave", _size(frames))
    if suffix == ".webp" and all(f.shape[-1] < 3 for f in frames):
        vips = load_vips()
        made = [in_colours(vips, image_of(vips, np.ascontiguousarray(f)), blocks) for f in frames]
        frames, blocks = [image.numpy() for image, _ in made], made[0][1]
    images = [Image.fromarray(f[..., 0] if f.shape[-1] == 1 else f) for f in frames]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": images[1:],
        "icc_profile": blocks.get("icc-profile-data"),
    }
    if timing.milliseconds:
        options["duration"] = [max(1, round(ms)) for ms in timing.milliseconds]
    if suffix == ".gif":
        options |= {} if timing.loop is None else {"loop": timing.loop}
        images[0].save(path, "GIF", **options, disposal=2, comment=metadata.add_note(None, note))
        return
    options |= {"loop": 1 if timing.loop is None else timing.loop, "exif": blocks.get("exif-data", b"")}
    if suffix == ".webp":
        images[0].save(path, "WEBP", quality=quality, xmp=blocks.get("xmp-data", b""), **options)
        return
    text = PngImagePlugin.PngInfo()
    if "xmp-data" in blocks:
        text.add_itxt("XML:com.adobe.xmp", blocks["xmp-data"].decode("utf-8", "replace"))
    images[0].save(path, "PNG", pnginfo=text, **options)


def _write_pages(path: Path, frames: Sequence["np.ndarray[Any, Any]"], like: Picture, note: Mapping[str, str]) -> None:
    vips, blocks = load_vips(), blocks_of(like, note, "tiffsave", _size(frames))
    pages = [
        dressed(vips, image_of(vips, np.ascontiguousarray(frame)), like.dpi or (72, 72), blocks, "tiffsave")
        for frame in _alike(frames)
    ]
    whole = vips.Image.arrayjoin(pages, across=1).copy()
    whole.set_type(vips.GValue.gint_type, "page-height", frames[0].shape[0])
    whole.tiffsave(os.fsencode(path), compression="deflate", predictor="horizontal", page_height=frames[0].shape[0],
                   bigtiff=sum(f.nbytes for f in frames) > 3 * 2**30)  # fmt: skip
    metadata.amend_tiff(path, blocks.get("exif-data"), blocks.get("iptc-data"))


def _size(frames: Sequence["np.ndarray[Any, Any]"]) -> tuple[int, int]:
    return frames[0].shape[1], frames[0].shape[0]


def _alike(frames: Sequence["np.ndarray[Any, Any]"]) -> list["np.ndarray[Any, Any]"]:
    """Frames [H, W, C] of one number of channels, as pages must have: grey becomes RGB, what has no alpha opaque."""
    colour, clear = any(f.shape[2] > 2 for f in frames), any(f.shape[2] in (2, 4) for f in frames)

    def like(frame: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        inks, alpha = (frame[..., :-1], frame[..., -1:]) if frame.shape[2] in (2, 4) else (frame, None)
        inks = np.repeat(inks, 3, axis=2) if colour and inks.shape[2] == 1 else inks
        if not clear:
            return inks
        opaque = np.full_like(inks[..., :1], np.iinfo(frame.dtype).max)
        return np.concatenate([inks, opaque if alpha is None else alpha], axis=2)

    return [like(frame) for frame in frames]


def samples_of(picture: Picture, path: Path) -> "np.ndarray[Any, Any]":
    """A frame as `write_frames` takes it for this file."""
    deep = picture.bits == 16 and path.suffix.lower() in (".tif", ".tiff")
    return to_samples(picture, 16 if deep else 8)
