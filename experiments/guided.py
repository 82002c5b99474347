"""How the colours of a reduced picture are best enlarged: bicubic, or led by the large luminance.

    python experiments/guided.py --data kodak24.zip --limit 6 --side 64

The true colours are reduced to so many pixels at the larger side, enlarged, and put at the exact luminance; the table
has the RGB PSNR of each radius and softness of `sr3.picture.grey.guided`, and of bicubic enlargement.
"""

import argparse
from pathlib import Path

import torch

from sr3.metric.psnr import psnr
from sr3.picture import grey
from sr3.picture.collection import load
from sr3.picture.resize import resize, round8

RADII, SOFTNESS = (1, 2, 3), (0.01, 0.03, 0.1)


def measured(clean: torch.Tensor, side: int) -> dict[str, float]:
    """PSNR by way, of one picture [1, 3, H, W] in [-1, 1]."""
    size = clean.shape[-2], clean.shape[-1]
    small_size = [max(1, round(s * side / max(size))) for s in size]
    large = round8(grey.luminance(clean))
    lead, small = (round8(resize(x, (small_size[0], small_size[1]))) for x in (large, clean))
    small = grey.coloured(small, lead)

    def worth(x: torch.Tensor) -> float:
        return float(psnr((grey.coloured(x.clamp(-1, 1), large) + 1) / 2, (clean + 1) / 2))

    found = {"bicubic": worth(resize(small, size))}
    own = grey.RADIUS, grey.SOFT
    try:
        for grey.RADIUS in RADII:
            for grey.SOFT in SOFTNESS:
                found[f"radius {grey.RADIUS}, softness {grey.SOFT:g}"] = worth(grey.guided(small, lead, large))
    finally:
        grey.RADIUS, grey.SOFT = own
    return found


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=Path, nargs="+", required=True)
    args.add_argument("--limit", type=int)
    args.add_argument("--side", type=int, default=64)
    options = args.parse_args()
    pictures = load(options.data).first(options.limit).pixels
    each = [
        measured(torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1, options.side) for p in pictures
    ]
    print("| way | PSNR |\n|---|---|")
    for way in each[0]:
        print(f"| {way} | {sum(one[way] for one in each) / len(each):.2f} |")


if __name__ == "__main__":
    main()
