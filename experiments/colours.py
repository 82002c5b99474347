"""Whose luminance with whose colours: what do a JPEG's colours cost, and what do better ones bring?

    python experiments/ordinary.py kodak24.zip --every 3 --others --out made --methods bicubic,photo-4x-fast
    python experiments/colours.py made --condition jpeg --methods photo-4x-fast bicubic original

Takes the results of OUT/CONDITION that `ordinary.py` has made, and the originals by the name `original`.  Prints the
root mean square error of each one's Cb and Cr, in levels of 255, and of the first one's luminance with the colours of
each, put together in 8 bits, PSNR and the eye's two distances.  Needs the extra `eye`, and SciPy.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ordinary import CONDITIONS, compared
from PIL import Image

from sr3.metric.lite import lite


def planes(file: Path) -> np.ndarray:
    """Y, Cb and Cr as Pillow has them, [H, W, 3], 8 bits."""
    return np.asarray(Image.open(file).convert("RGB").convert("YCbCr"))


def error(results: Path, originals: Path) -> tuple[float, float]:
    """Of Cb and of Cr: the root of the mean over pictures of the mean square error."""
    apart = [
        (planes(results / file.name).astype(float) - planes(file).astype(float))[..., 1:] for file in files(originals)
    ]
    cb, cr = np.sqrt(np.mean([(one**2).mean((0, 1)) for one in apart], axis=0))
    return float(cb), float(cr)


def together(light: Path, colours: Path, out: Path) -> None:
    """Pictures with the luminance of those of one folder and the colours of another's."""
    for file in files(light):
        mixed = planes(file).copy()
        mixed[..., 1:] = planes(colours / file.name)[..., 1:]
        Image.merge("YCbCr", [Image.fromarray(plane) for plane in np.moveaxis(mixed, 2, 0)]).convert("RGB").save(
            out / file.name
        )


def files(folder: Path) -> list[Path]:
    """Its pictures."""
    return sorted(folder.glob("*.png"))


def table(out: Path, condition: str, methods: list[str]) -> Iterator[str]:
    """Line by line."""
    network, originals = lite(), out / "original"
    where = {name: originals if name == "original" else out / condition / Path(name).stem for name in methods}
    yield f"{'colours of':22}     Cb     Cr    PSNR  feature  kernel"
    for name, folder in where.items():
        with tempfile.TemporaryDirectory() as mixed:
            together(where[methods[0]], folder, Path(mixed))
            row = compared(Path(mixed), out / condition / "given", originals, network)
        cb, cr = error(folder, originals)
        distances = f"{row['feature']:8.3f} {1e3 * row['kernel']:7.1f}"
        yield f"{Path(name).stem:22} {cb:6.2f} {cr:6.2f} {row['psnr']:7.2f} {distances}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--condition", choices=CONDITIONS, default="jpeg")
    parser.add_argument("--methods", nargs="+", default=["photo-4x-fast", "bicubic", "original"])
    chosen = parser.parse_args()
    for line in table(chosen.out, chosen.condition, chosen.methods):
        print(line, flush=True)


if __name__ == "__main__":
    main()
