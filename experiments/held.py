"""How far results of JPEG files and of noisy pictures agree with their files, and what the right data term brings.

    python experiments/held.py photo-4x-regression photo-4x

The middles of scikit-image's photographs, reduced four times, written by Pillow as JPEG (qualities 30, 75 and 95;
chroma 4:2:0 and 4:4:4) and as PNG with and without noise, then enlarged: held to what the file deserves ("held"), to
the decoded pixels ("exact"), and to nothing ("free").  Needs the extras `demo` and `eye`.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from sr3.metric.lite import lite
from sr3.metric.psnr import psnr_y
from sr3.picture.exchange import to_pil
from sr3.picture.jpeg import JpegBins
from sr3.picture.picture import Picture
from sr3.picture.resize import round8, shrink
from sr3.restore.restorer import Restorer

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick")
SIDE = 384
"""Of a photograph its middle is taken, so large at most, and a multiple of 4."""

FILES: dict[str, dict[str, Any]] = {
    "PNG": {},
    **{
        f"JPEG {quality}, {chroma}": {"quality": quality, "subsampling": chroma}
        for quality in (30, 75, 95)
        for chroma in ("4:2:0", "4:4:4")
    },
    **{f"PNG, noise of {sigma}": {"sigma": sigma} for sigma in (5, 10, 25)},
}
"""What the small picture is written as; sigma in steps of 8 bits."""

WAYS = ("held", "exact", "free")


def photograph(name: str) -> Tensor:
    """One of scikit-image's photographs, [1, 3, H, W] in [-1, 1]."""
    samples = np.atleast_3d(np.asarray(getattr(data, name)()))
    whole = torch.from_numpy(samples.copy()).permute(2, 0, 1).float() / 127.5 - 1
    high, wide = (min(SIDE, side // 4 * 4) for side in whole.shape[-2:])
    top, left = (whole.shape[-2] - high) // 2, (whole.shape[-1] - wide) // 2
    return whole[:, top : top + high, left : left + wide].expand(3, -1, -1)[None]


def write(folder: Path, small: Tensor, *, sigma: float = 0.0, **options: Any) -> Path:
    """The small picture as a file: a JPEG with Pillow's options, or a PNG with noise."""
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    path = folder / ("small.jpg" if options else "small.png")
    to_pil(Picture(round8(small + sigma / 127.5 * noise)[0])).save(path, **options)
    return path


def enlarged(restorer: Restorer, path: Path, way: str) -> tuple[Tensor, str]:
    """The result as a file holds it, [1, 3, H, W] in [-1, 1], and what it is held to."""
    with Image.open(path) as opened:  # a picture without a file has no bins
        source, how = (opened, {"noise": 0.0}) if way == "exact" else (path, {"free": way == "free"})
        found = restorer.restore(source, **how)
    return round8(found.variants[0].pixels[None]), found.held


def measured(restorer: Restorer, path: Path, clean: Tensor) -> dict[str, dict[str, float]]:
    """Of each way: Y-PSNR in dB, the feature distance, and the share of coefficients in their bins in percent."""
    network, found = lite(), dict[str, dict[str, float]]()
    for way in WAYS:
        made, held = enlarged(restorer, path, way)
        pair = (made + 1) / 2, (clean + 1) / 2
        found[way] = {"PSNR": psnr_y(*pair, border=4).item(), "feature": network.distance(*pair).item()}
        if path.suffix == ".jpg":
            found[way]["inside"] = 100 * JpegBins.of(path).agree(shrink(made, 4))
        found[way]["soft"] = float("noise" in held)
    return found


def main() -> None:
    """Print a table for each model: its rows are kinds of file, and its figures means over photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["photo-4x-regression", "photo-4x"])
    models = parser.parse_args().models
    pictures = [photograph(name) for name in PHOTOGRAPHS]
    for name in models:
        restorer = Restorer.load(name, device="cpu", precision="fp32")
        print(f"\n{name}, {len(pictures)} photographs; {', '.join(WAYS)}")
        for kind, options in FILES.items():
            sums: dict[tuple[str, str], list[float]] = defaultdict(list)
            with tempfile.TemporaryDirectory() as folder:
                for clean in pictures:
                    path = write(Path(folder), shrink(clean, 4), **options)
                    for way, figures in measured(restorer, path, clean).items():
                        for what, value in figures.items():
                            sums[what, way].append(value)
            row = {what: [mean(sums[what, way]) for way in WAYS] for what in dict.fromkeys(w for w, _ in sums)}
            noisy = f"{row.pop('soft')[0]:.0%} soft"
            cells = [f"{what} " + " ".join(f"{v:.3f}" for v in values) for what, values in row.items()]
            least = f"; least inside {min(sums['inside', 'held']):.2f}" if "inside" in row else ""
            print(f"{kind:<18} {'  '.join(cells)}  {noisy}{least}", flush=True)


if __name__ == "__main__":
    main()
