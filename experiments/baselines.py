"""What one gets of Palette's tasks without a model: what `experiments/palette.py` measures, of every baseline.

python experiments/baselines.py --people faces.zip --photos kodak24.zip --limit 200
"""

import argparse
import json
from pathlib import Path
from typing import Any

import palette
import torch

from sr3.evaluation.result import plain
from sr3.files import write_text
from sr3.metric import PSNR, SWD
from sr3.metric.colourfulness import Colourfulness
from sr3.metric.extra import extra
from sr3.metric.join import Join
from sr3.metric.swd import patches_for
from sr3.picture.collection import Pictures, load
from sr3.picture.resize import round8
from sr3.task import TASKS, Restoration
from sr3.task.holes import FILLINGS

BASELINES: dict[str, list[dict[str, Any]]] = {
    "colorization": [{}],
    "inpainting": [{"fill": fill} for fill in FILLINGS],
    "jpeg-restoration": [{}],
    "uncropping": [{"fill": fill} for fill in FILLINGS],
}


def baselines(data: dict[str, Pictures]) -> list[dict[str, Any]]:
    """A line for each, as `palette.compared` makes them."""
    rows: list[dict[str, Any]] = []
    for kind, some in data.items():
        pictures = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in some.pixels]
        for settings in BASELINES[kind]:
            task: Restoration = TASKS[kind](**palette.PART[kind], **settings)  # pyright: ignore[reportAssignmentType]
            metrics = [PSNR(), SWD(patches_for(len(pictures))), Colourfulness(), *extra(palette.LOOKED).make()]
            joins = Join()
            for clean in pictures:
                given = task.degrade(clean)
                made, original = (round8(task.baseline(given)) + 1) / 2, (clean + 1) / 2
                for metric in metrics:
                    metric.update(made, original, original)
                if given.mask is not None:
                    joins.update(made, given.mask)
            line: dict[str, Any] = {"task": kind, "model": task.baseline_name, "seeds": 1}
            for metric in (*metrics, *([joins] if joins.compute()["join"] > 0 else [])):
                line |= metric.compute()
            rows.append(line)
    return rows


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--photos", type=Path, nargs="+", required=True, help="for JPEG restoration")
    args.add_argument("--people", type=Path, nargs="+", required=True, help="for the other tasks")
    args.add_argument("--limit", type=int)
    args.add_argument("--json", type=Path)
    options = args.parse_args()
    both = [load(data).first(options.limit) for data in (options.photos, options.people)]
    rows = baselines({kind: both[kind != "jpeg-restoration"] for kind in palette.PART})
    print(palette.table(rows))
    if options.json:
        write_text(options.json, json.dumps(plain(rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
