"""Which method to prefer on the pictures that people have: clean ones, JPEGs, and blurred, noisy JPEGs?

    python experiments/ordinary.py set5.zip set14.zip --out made --methods bicubic,photo-4x-regression,photo-4x

Middles of originals are made four times smaller in three ways, written as files, restored from these files, and
compared: CPU seconds a megapixel of result, Y-PSNR, consistency with the file's pixels, and the eye's two distances.
With --factor 2 they are made two times smaller, and models of another factor are asked for that scale.
A method is a model's name or file; what other programs made of OUT/CONDITION/given joins the table from
OUT/CONDITION/NAME, by NAME.  Each call adds its pictures to OUT, and the table is of all that are there.
Needs the extra `eye`, and SciPy.
"""

import argparse
import io
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from sr3 import Restorer
from sr3.metric import PSNR, Consistency
from sr3.metric.features import DISTANCES, FeatureDistance
from sr3.metric.lite import Lite, lite
from sr3.metric.lpips import LPIPS
from sr3.model.shipped import names
from sr3.picture.collection import load
from sr3.picture.resize import enlarge, round8, shrink

SIDE = 384
"""Of a picture its middle is taken, so large at most, and a multiple of the factor."""

CONDITIONS = ("clean", "jpeg", "worn")
QUALITY = 75
"""Of the JPEGs that are nothing but JPEGs."""


def tensor(pixels: np.ndarray) -> Tensor:
    """8-bit [H, W, 3] -> [1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1


def pixels_of(picture: Tensor) -> np.ndarray:
    """[1, 3, H, W] in [-1, 1] -> 8-bit [H, W, 3]."""
    return ((round8(picture)[0] + 1) * 127.5).round().permute(1, 2, 0).byte().numpy()


def middle(pixels: np.ndarray, factor: int = 4) -> np.ndarray:
    """The part that is measured."""
    sides = [min(SIDE, n) // factor * factor for n in pixels.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(pixels.shape[:2], sides, strict=True))
    return pixels[top : top + sides[0], left : left + sides[1]]


def coded(pixels: np.ndarray, quality: int) -> bytes:
    """As a JPEG with 4:2:0 chroma."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def given(pixels: np.ndarray, condition: str, name: str, factor: int = 4) -> tuple[bytes, str]:
    """The small file and its ending; what is drawn depends on the name alone.

    worn: Gaussian blur of 0.4 to 1.2 pixels of the original, Gaussian noise of 2 to 8 steps on the small picture, and
    a JPEG of quality 40 to 80.
    """
    if condition == "clean":
        file = io.BytesIO()
        Image.fromarray(pixels_of(shrink(tensor(pixels), factor))).save(file, "PNG")
        return file.getvalue(), ".png"
    if condition == "jpeg":
        return coded(pixels_of(shrink(tensor(pixels), factor)), QUALITY), ".jpg"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    blur, noise, quality = rng.uniform(0.4, 1.2), rng.uniform(2, 8), int(rng.integers(40, 81))
    soft = gaussian_filter(pixels.astype(np.float32), (blur, blur, 0), mode="nearest").round().clip(0, 255)
    small = pixels_of(shrink(tensor(soft.astype(np.uint8)), factor)).astype(np.float32)
    return coded((small + rng.normal(0, noise, small.shape)).round().clip(0, 255).astype(np.uint8), quality), ".jpg"


def made(method: str, given: Path, where: Path, factor: int) -> tuple[float, float]:
    """Restore the files of a folder that are not restored yet; CPU seconds, and megapixels of results."""
    restorer = None
    spent = pixels = 0.0
    where.mkdir(parents=True, exist_ok=True)
    for file in sorted(given.iterdir()):
        result = where / f"{file.stem}.png"
        if result.exists():
            continue
        if method == "bicubic":
            Image.fromarray(pixels_of(enlarge(tensor(np.asarray(Image.open(file))), factor))).save(result)
            continue
        restorer = restorer or Restorer.load(method)
        began = time.process_time()
        restored = restorer(file, scale=factor)
        spent += time.process_time() - began
        pixels += restored.width * restored.height / 1e6
        restored.save(result)
    return spent, pixels


def compared(where: Path, given: Path, originals: Path, network: Lite, factor: int = 4) -> dict[str, float]:
    """The measures of a folder of results; ValueError where one is missing."""
    files = [where / f"{file.stem}.png" for file in sorted(originals.iterdir())]
    if missing := [file for file in files if not file.exists()]:
        raise ValueError(f"{missing[0]} is missing ({len(missing)} in all); it is to be made of {given}")
    kernel = FeatureDistance(network, {"kernel": DISTANCES["kernel"]})
    metrics = [PSNR(factor), Consistency(lambda x: shrink(x, factor)), LPIPS(network.distance, "feature"), kernel]
    for file in files:
        small = next(given.glob(f"{file.stem}.*"))
        result, original, start = (
            (tensor(np.asarray(Image.open(f).convert("RGB"))) + 1) / 2
            for f in (file, originals / f"{file.stem}.png", small)
        )
        for metric in metrics:
            metric.update(result, original, start)
    return {name: value for metric in metrics for name, value in metric.compute().items()}


def table(out: Path, methods: list[str], factor: int) -> Iterator[str]:
    """Line by line."""
    network = lite()
    for condition in CONDITIONS:
        small = out / condition / "given"
        yield f"{condition:22}  Y-PSNR    cons.  feature  kernel    s/MP"
        for method in methods:
            where, spent, pixels = out / condition / Path(method).stem, 0.0, 0.0
            if method == "bicubic" or method in names() or Path(method).is_file():
                spent, pixels = made(method, small, where, factor)
            row = compared(where, small, out / "original", network, factor)
            speed = f"{spent / pixels:7.2f}" if spent else "      -"
            yield (
                f"{where.name:22}  {row['psnr_y']:6.2f}  {row['consistency']:7.3f}  {row['feature']:7.4f}  "
                f"{1e3 * row['kernel']:6.2f} {speed}"
            )


def main() -> None:
    """Write the files, restore them, print a table for each condition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="bicubic,photo-4x-regression,photo-4x")
    parser.add_argument("--every", type=int, default=1, help="only every n-th picture")
    parser.add_argument("--others", action="store_true", help="all but these, to choose by what is not reported")
    parser.add_argument("--factor", type=int, default=4, help="how many times smaller; a folder OUT for each")
    chosen = parser.parse_args()
    (chosen.out / "original").mkdir(parents=True, exist_ok=True)
    pictures = load(chosen.data)
    for number, (name, whole) in enumerate(zip(pictures.names, pictures.pixels, strict=True)):
        if (number % chosen.every == 0) == chosen.others:
            continue
        stem, pixels = Path(name).stem, middle(np.asarray(whole), chosen.factor)
        Image.fromarray(pixels).save(chosen.out / "original" / f"{stem}.png")
        for condition in CONDITIONS:
            data, ending = given(pixels, condition, stem, chosen.factor)
            folder = chosen.out / condition / "given"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{stem}{ending}").write_bytes(data)
    for line in table(chosen.out, chosen.methods.split(","), chosen.factor):
        print(line, flush=True)


if __name__ == "__main__":
    main()
