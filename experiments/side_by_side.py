"""Side by side: results of another implementation and of a model of ours on the same faces, 16 -> 128.

    python experiments/side_by_side.py ours --model face-8x --data held-out.zip --limit 20 --out ours
    python experiments/side_by_side.py compare --data held-out.zip --ours ours --theirs theirs --seconds 0.5 80 \\
        --features examples/dlib_face.py:face --gallery gallery.png

`experiments/public_sr3.py` makes the other folder with the most-used public implementation.  Results are PNGs of the
originals' names; what is compared are the originals that both folders have a result of.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from public_sr3 import LARGE, SMALL, bare, picture, write
from torch import Tensor

from sr3.files import replacing, write_text
from sr3.metric import PSNR, SSIM, SWD, Consistency, Metric, Tint
from sr3.metric.features import DISTANCES, Features, named, rows
from sr3.metric.stats import GROUPS, jackknife, paired
from sr3.metric.swd import SOME, patches_for
from sr3.picture.collection import load
from sr3.picture.resize import enlarge, round8
from sr3.random import mix
from sr3.restore.restorer import Restorer
from sr3.task import Given, SuperResolution

TASK = SuperResolution(LARGE // SMALL)
MEASURES = {"psnr": True, "ssim": True, "consistency": False, "tint": False, "swd": False, "kernel": False}
"""Measure -> is higher better."""
FORMS = {"psnr": ".2f", "ssim": ".4f", "consistency": ".3f", "tint": ".2f", "swd": ".1f", "kernel": ".5f"}


def clean(sources: list[Path], limit: int | None = None) -> tuple[list[str], Tensor]:
    """Names without suffix and pictures, uint8 [N, 3, H, W], all of one size."""
    found = load(sources)
    pixels = torch.from_numpy(np.stack(found.pixels[:limit])).permute(0, 3, 1, 2)
    return [bare(name) for name in found.names[:limit]], pixels


def ours(model: str, data: list[Path], limit: int | None, out: Path, batch: int, device: str) -> None:
    """Restore with a model of ours, each picture with the seed that `sr3 evaluate` gives it."""
    restorer = Restorer.load(model, device=device)
    names, pictures = clean(data, limit)
    small = restorer.model.task.degrade(pictures.float() / 127.5 - 1).image
    write(lambda i: restorer.make(Given(small[i]), [mix(0, k, 0) for k in i]).cpu(), names, out, batch)


def measured(
    truth: Tensor, sets: dict[str, Tensor], features: Features | None = None, border: int = 0
) -> dict[str, Any]:
    """Every measure of every set, and how much larger it is for "ours" than for "theirs", each as [value, low, high].

    truth and each set: uint8 [N, 3, H, W].  Differences of measures with one number per picture are paired by
    picture; those of measures of a whole set come from the jackknife, with the same pictures left out of both sets,
    and for the sliced Wasserstein distance along fewer directions.  Tint is of the channel where it is largest.
    """
    truth = truth.float() / 255
    given, patches = again(truth), patches_for(len(truth))
    turn = torch.arange(len(truth)) % GROUPS
    parts = [turn >= 0, *(turn != group for group in range(min(GROUPS, len(truth))))]
    seen = rows(features, truth) if features else None
    found: dict[str, Any] = {"pictures": len(truth), "sets": {}}
    each: dict[str, dict[str, list[float]]] = {}
    whole: dict[str, dict[str, list[float]]] = {}  # the measure of the set, and without each group
    for name, pictures in sets.items():
        made = pictures.float() / 255
        metrics: list[Metric] = [PSNR(border), SSIM(border), Consistency(again), Tint()]
        for metric in metrics:
            metric.update(made, truth, given)
        each[name] = {k: v for metric in metrics for k, v in metric.each().items() if k in MEASURES}
        values = {k: v for metric in metrics for k, v in metric.compute().items()}
        ends = {k: v for metric in metrics for k, v in metric.intervals(0).items()}
        whole[name] = {"swd": [_swd(made[p], truth[p], SWD(patches, SOME if i else 128)) for i, p in enumerate(parts)]}
        if features and seen is not None:
            mine = rows(features, made)
            whole[name]["kernel"] = [DISTANCES["kernel"](mine[p], seen[p]) for p in parts]
        found["sets"][name] = {m: [values[m], *ends.get(m, (values[m],) * 2)] for m in each[name]}
        found["sets"][name] |= {m: [v[0], *jackknife(v[0], v[1:])] for m, v in whole[name].items()}
    apart = {m: list(paired(values, each["theirs"][m], 0)) for m, values in each["ours"].items()}
    for m, values in whole["ours"].items():
        first, *others = (a - b for a, b in zip(values, whole["theirs"][m], strict=True))
        apart[m] = [first, *jackknife(first, others)]
    return found | {"ours - theirs": apart}


def again(x: Tensor) -> Tensor:
    """What a picture on [0, 1] is given as: [N, 3, H, W] -> [N, 3, H / 8, W / 8]."""
    return (TASK.degrade(2 * x - 1).image + 1) / 2


def _swd(made: Tensor, truth: Tensor, metric: SWD) -> float:
    metric.update(made, truth, truth)
    return metric.compute()["swd"]


def verdict(measure: str, low: float, high: float) -> str:
    """Who is ahead, where the interval of the difference leaves out 0."""
    if low <= 0 <= high:
        return "undecided"
    return "ahead" if (low > 0) == MEASURES[measure] else "behind"


def table(found: dict[str, Any], seconds: list[float] | None = None) -> str:
    """In Markdown."""
    measures = [m for m in MEASURES if m in found["ours - theirs"]]

    def cells(row: dict[str, list[float]]) -> list[str]:
        return [f"{row[m][0]:{FORMS[m]}} [{row[m][1]:{FORMS[m]}}, {row[m][2]:{FORMS[m]}}]" for m in measures]

    took = {"ours": f"{seconds[0]:.3g}", "theirs": f"{seconds[1]:.3g}"} if seconds else {}
    lines = [["", *measures, "s a picture"], ["---"] * (len(measures) + 2)]
    lines += [[name, *cells(row), took.get(name, "-")] for name, row in found["sets"].items()]
    apart = found["ours - theirs"]
    ratio = f"1/{seconds[1] / seconds[0]:.3g}" if seconds else "-"
    lines.append(["ours - theirs", *cells(apart), ratio])
    lines.append(["ours is", *(verdict(m, *apart[m][1:]) for m in measures), ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def strip(sets: dict[str, Tensor], path: Path, across: int = 10) -> None:
    """A PNG with one row a set, uint8 [N, 3, H, W] each, in blocks of so many pictures."""
    count, _, high, wide = next(iter(sets.values())).shape
    margin, gap, blocks = 72, 12, -(-count // across)
    block = len(sets) * high + gap
    sheet = Image.new("RGB", (margin + min(across, count) * wide, blocks * block - gap), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for row, (name, pictures) in enumerate(sets.items()):
        for b in range(blocks):
            draw.text((4, b * block + row * high + high // 2 - 8), name, "black", font)
        for i, pixels in enumerate(pictures):
            sheet.paste(picture(pixels), (margin + i % across * wide, i // across * block + row * high))
    with replacing(path) as temporary:
        sheet.save(temporary)


def matched(data: list[Path], folders: dict[str, Path]) -> tuple[Tensor, dict[str, Tensor]]:
    """The originals that every folder has a result of, and the results, uint8 [N, 3, H, W] each."""
    names, truth = clean(data)
    results = {name: dict(zip(*clean([folder]), strict=True)) for name, folder in folders.items()}
    which = [i for i, name in enumerate(names) if all(name in found for found in results.values())]
    if len(which) < 4:
        raise SystemExit(f"{len(which)} of the originals have a result in {' and '.join(map(str, folders.values()))}")
    return truth[which], {k: torch.stack([found[names[i]] for i in which]) for k, found in results.items()}


def compare(
    data: list[Path],
    ours: Path,
    theirs: Path,
    features: str | None,
    seconds: list[float] | None,
    border: int,
    gallery: Path | None,
    json_file: Path | None,
) -> None:
    """Print the table; write the gallery and the numbers where asked."""
    truth, results = matched(data, {"theirs": theirs, "ours": ours})
    large = enlarge(TASK.degrade(truth.float() / 127.5 - 1).image, TASK.factor)
    sets = {"bicubic": ((round8(large) + 1) * 127.5).round().byte(), **results}
    found = measured(truth, sets, named(features) if features else None, border)
    print(f"{len(truth)} pictures, 95 % intervals\n\n{table(found, seconds)}")
    if gallery:
        strip({name: pictures[:20] for name, pictures in results.items()}, gallery)
    if json_file:
        write_text(json_file, json.dumps(found | {"seconds": seconds}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making, comparing = commands.add_parser("ours"), commands.add_parser("compare")
    for command in (making, comparing):
        command.add_argument("--data", type=Path, nargs="+", required=True, help="folders or zips of originals")
        command.add_argument("--threads", type=int)
    making.add_argument("--model", default="face-8x", help="a model's name, file or Hub id")
    making.add_argument("--limit", type=int, help="only the first so many pictures")
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--batch", type=int, default=4)
    making.add_argument("--device", default="cpu")
    comparing.add_argument("--ours", type=Path, required=True)
    comparing.add_argument("--theirs", type=Path, required=True)
    comparing.add_argument("--features", help="file.py:name or module:name, for the kernel distance; it is run")
    comparing.add_argument("--seconds", type=float, nargs=2, metavar=("OURS", "THEIRS"), help="a picture")
    comparing.add_argument("--border", type=int, default=0, help="pixels that PSNR and SSIM leave out at each edge")
    comparing.add_argument("--gallery", type=Path, help="PNG of the first 20: theirs, ours")
    comparing.add_argument("--json", type=Path, dest="json_file")
    options = vars(parser.parse_args())
    if threads := options.pop("threads"):
        torch.set_num_threads(threads)
    {"ours": ours, "compare": compare}[options.pop("command")](**options)


if __name__ == "__main__":
    main()
