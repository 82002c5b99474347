"""Pictures from and for other libraries: Pillow, NumPy, PyTorch."""

import warnings
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from sr3.picture.metadata import clean_exif, fits_icc
from sr3.picture.picture import Picture, PictureError, check_finite, cmyk_to_srgb, from_samples, load_vips, to_samples

_ARRAY = "give [height, width] or [height, width, 1 to 4], uint8, uint16, or floating point in [0, 1]"
_TENSOR = "give [channels, height, width] or [1, channels, height, width], 1 or 3 channels, floating point in [-1, 1]"


def from_pil(image: Image.Image, name: str = "the PIL image") -> Picture:
    """The picture of a PIL image of any mode but F, turned upright as its EXIF says; of several frames the current.

    I;16 (and I within 0 … 65535) has 16 bits, all else 8.  CMYK and LAB become sRGB.  Raises PictureError for F, for
    an empty image, and for one that cannot be decoded.
    """
    if 0 in image.size:
        raise PictureError(f"{name} is empty ({image.width}x{image.height}); give at least one pixel")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata; what matters is refused below
            exif = _exif_of(image)
            upright = ImageOps.exif_transpose(image)
            samples = _samples_of(upright, name)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name} cannot be decoded ({reason}); give a whole, undamaged picture") from error
    keep: dict[str, bytes] = {}
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and fits_icc(profile, 1 if samples.shape[-1] < 3 else 3):
        keep["icc-profile-data"] = profile
    if exif:
        keep["exif-data"] = exif
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if xmp:
        keep["xmp-data"] = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    dpi = image.info.get("dpi")
    turned = upright.size != image.size
    dots = None
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(d) < 1e6 for d in dpi):
        dots = (float(dpi[turned]), float(dpi[not turned]))
    return from_samples(samples, keep, dots)


def _exif_of(image: Image.Image) -> bytes | None:
    try:
        return clean_exif(image.info.get("exif") or image.getexif().tobytes())
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return None


def _samples_of(image: Image.Image, name: str) -> "np.ndarray[Any, Any]":
    mode = image.mode
    if mode == "F":
        raise PictureError(f"{name} has floating-point pixels (mode F) of unknown range; convert it to I;16, L or RGB")
    if mode == "I" or mode.startswith("I;"):
        samples = np.asarray(image)
        if samples.min() < 0 or samples.max() > 65535:
            raise PictureError(f"{name} has 32-bit pixels from {samples.min()} to {samples.max()}; give 0 to 65535")
        return samples.astype(np.uint16)[..., None]
    if mode == "CMYK":
        vips = load_vips()
        whole = np.ascontiguousarray(np.asarray(image))
        inks = vips.Image.new_from_memory(whole, *image.size, 4, "uchar").copy(interpretation="cmyk")
        if image.info.get("icc_profile"):
            inks.set_type(vips.GValue.blob_type, "icc-profile-data", image.info["icc_profile"])
        return cmyk_to_srgb(inks).numpy()
    if mode == "LAB":
        lab, srgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
        turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert turned is not None
        return np.asarray(turned)
    grey = mode in ("1", "L", "LA", "La")
    clear = image.has_transparency_data
    samples = np.asarray(image.convert(("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB")))
    return samples[..., None] if samples.ndim == 2 else samples


def from_array(array: "np.ndarray[Any, Any]") -> Picture:
    """The picture of an array [H, W] or [H, W, C]: grey, grey + alpha, RGB or RGB + alpha by C = 1 to 4.

    uint8 is 0 … 255; uint16 is 0 … 65535 and has 16 bits; floating point is [0, 1] and counts as 8 bits.
    """
    shape = "x".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise PictureError(f"the array's shape {shape or '()'} is no picture's; {_ARRAY}")
    if array.size == 0:
        raise PictureError(f"the array is empty ({shape}); {_ARRAY}")
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return from_samples(array.astype(np.uint8 if array.dtype.itemsize == 1 else np.uint16))
    if not np.issubdtype(array.dtype, np.floating):
        raise PictureError(f"the array's type is {array.dtype}, which has no agreed range; {_ARRAY}")
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).permute(2, 0, 1).contiguous()
    _in_range(values, 0, 1, "the array", _ARRAY)
    colours = 1 if len(values) < 3 else 3
    alpha = values[colours:].clamp(0, 1) if len(values) > colours else None
    return Picture((values[:colours] * 2 - 1).clamp(-1, 1), alpha)


def from_tensor(tensor: Tensor) -> Picture:
    """The picture of a tensor [C, H, W] or [1, C, H, W], C = 1 or 3, floating point in [-1, 1]; it counts as 8 bits."""
    shape = list(tensor.shape)
    if tensor.ndim == 4 and len(tensor) != 1:
        raise PictureError(f"the tensor {shape} is a batch; give its pictures one at a time")
    bare = tensor[0] if tensor.ndim == 4 else tensor
    if bare.ndim != 3 or bare.shape[0] not in (1, 3):
        raise PictureError(f"the tensor's shape {shape} is no picture's; {_TENSOR}")
    if bare.numel() == 0:
        raise PictureError(f"the tensor is empty ({shape}); {_TENSOR}")
    if not bare.is_floating_point():
        raise PictureError(f"the tensor's type is {tensor.dtype}; {_TENSOR}")
    values = bare.detach().float().cpu()
    _in_range(values, -1, 1, "the tensor", _TENSOR)
    return Picture(values.clamp(-1, 1).clone())


def _in_range(values: Tensor, low: float, high: float, name: str, right: str) -> None:
    if not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).sum())
        raise PictureError(f"{name} has {bad} values that are NaN or infinite; {right}")
    least, most = float(values.min()), float(values.max())
    if least < low - 1e-3 or most > high + 1e-3:  # what rounding and half precision may overshoot
        raise PictureError(f"{name}'s values reach from {least:g} to {most:g}; {right}")


def to_pil(picture: Picture) -> Image.Image:
    """A PIL image: L, LA, RGB or RGBA, or I;16 for opaque grey of 16 bits.

    Pillow has no 16-bit colour and no 16-bit grey with alpha: those become 8 bits.  The colour profile, EXIF, XMP
    and resolution are in `.info`, where Pillow looks for the first two when it saves.
    """
    deep = picture.bits == 16 and picture.alpha is None and len(picture.pixels) == 1
    samples = to_samples(check_finite(picture, "the picture"), 16 if deep else 8)
    image = Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples)
    for name, key in (("icc-profile-data", "icc_profile"), ("exif-data", "exif"), ("xmp-data", "xmp")):
        if name in picture.keep:
            image.info[key] = picture.keep[name]
    if picture.dpi is not None:
        image.info["dpi"] = picture.dpi
    return image
