"""How far trained models of Palette's tasks get: what is asked of each, measured by one command.

    python experiments/palette.py --jpeg runs/photo-jpeg/model.safetensors --photos kodak24.zip \
        --jpeg-regression runs/photo-jpeg-regression/model.safetensors \
        --faces runs/face-palette/model.safetensors --people faces.zip \
        --faces-regression runs/face-palette-regression/model.safetensors --limit 200 --json palette.json

JPEG files of quality 10: PSNR of regression over the file, the sliced Wasserstein distance of samples, and what
holding to the file's bins does to PSNR.  Holes over a quarter of a face: the kernel distance of samples beside those of
OpenCV's fillings (Telea; Navier and Stokes) and of regression.  Grey faces: colourfulness, and how much eight samples
differ.  Faces of which the right half is missing: how steep the join is.  The kernel distance is over
EfficientNet-Lite0, as `sr3 evaluate --measures kernel` has it; one model may be for several tasks or for one.

With --table NAME=MODEL, given once for each model, all are measured on every task that they know; models of one name
are seeds of one kind, of which mean and standard deviation are given (specialists beside one model for all, L1 beside
L2: the paper's tables 6 and 7).
"""

import argparse
import copy
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from sr3.evaluation.evaluate import evaluate
from sr3.evaluation.result import Result, Row, plain
from sr3.files import write_text
from sr3.model.config import ConfigError, build
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.restore.restorer import Restorer
from sr3.task import TASKS
from sr3.task.holes import Fill

PART: dict[str, dict[str, Any]] = {
    "colorization": {},
    "inpainting": {"measured": "strokes", "measured_area": 0.25},
    "jpeg-restoration": {"quality": 10, "chroma": "4:2:0"},
    "uncropping": {"measured": "right", "share": 0.5},
}
"""What is measured of each task."""

LOOKED = ("kernel",)
"""Measures that take a network to look."""

OTHER: Fill = "navier-stokes"
"""Beside Telea's filling."""

COLUMNS = ("psnr", "swd", "kernel", "pairwise", "colourfulness_share", "join")
"""Of the table of several models."""


class Bar(NamedTuple):
    """What is asked, what was found, in words, and whether that is enough."""

    asked: str
    found: str
    held: bool


def use(model: Model, kind: str, **settings: Any) -> Model:
    """The model with its task measured so; ConfigError where it was not trained for one of this kind."""
    spec = copy.deepcopy(dict(model.config.task))
    if spec["kind"] == "several":
        kinds = {"tasks": [{"kind": k} for k in model.task.kinds]} | spec  # pyright: ignore[reportAttributeAccessIssue]
        tasks = [{**options, **(settings if options["kind"] == kind else {})} for options in kinds["tasks"]]
        spec |= {"tasks": tasks, "measured": kind}
    elif spec["kind"] == kind:
        spec |= settings
    else:
        raise ConfigError(f"{model.config.name} is for {spec['kind']} and not for {kind}")
    model.task = build("task", TASKS, spec)
    return model


class Bench:
    """Pictures, and how many samples are drawn of each."""

    def __init__(self, data: list[Path], limit: int | None, samples: int, device: str, steps: int | None):
        self.pictures, self.samples, self.steps = load(data).first(limit), samples, steps
        self.data, self.device = ", ".join(p.name for p in data), device

    def __call__(
        self,
        model: str,
        kind: str,
        regression: str | None = None,
        *,
        free: bool = False,
        measures: tuple[str, ...] = (),
        **settings: Any,
    ) -> dict[str, Row]:
        """Each method's row: its measures, and their intervals."""
        both = [None if name is None else self.ready(name, kind, settings) for name in (model, regression)]
        assert both[0] is not None
        varies = both[0].model.config.kind == "diffusion"
        steps = evaluate(
            both[0],
            self.pictures,
            regression=both[1],
            samples=self.samples if varies and not free else 1,
            steps=self.steps if varies else None,
            free=free,
            data=self.data,
            measures=measures,
        )
        for step in steps:
            if isinstance(step, Result):
                return {row["method"]: row for row in step.rows}
        raise AssertionError("an evaluation ends with its result")

    def ready(self, name: str, kind: str, settings: dict[str, Any]) -> Restorer:
        return Restorer(use(Model.from_pretrained(name), kind, **PART[kind], **settings), device=self.device)


def low(row: Row, name: str) -> float:
    """The lower end of a measure's interval; itself where it has none."""
    return row["interval"].get(name, [row[name]] * 2)[0]


def high(row: Row, name: str) -> float:
    """The upper end."""
    return row["interval"].get(name, [row[name]] * 2)[1]


def jpeg(bench: Bench, model: str, regression: str) -> tuple[list[Bar], dict[str, Row]]:
    """JPEG files of quality 10."""
    rows, free = bench(model, "jpeg-restoration", regression), bench(model, "jpeg-restoration", regression, free=True)
    own, mean, file = rows["palette"], rows["regression"], rows["jpeg"]
    gain = mean["psnr"] - file["psnr"]
    bins = {name: rows[name]["psnr"] - free[name]["psnr"] for name in ("palette", "regression")}
    swd = {name: rows[name]["swd"] for name in ("palette", "regression", "jpeg")}
    found = [
        Bar("regression at least 1.0 dB RGB PSNR over the JPEG", f"{gain:+.2f} dB", gain >= 1),
        Bar(
            "sliced Wasserstein distance of samples below regression's and the JPEG's",
            ", ".join(f"{name} {value:.1f}" for name, value in swd.items()),
            own["swd"] < min(mean["swd"], file["swd"]),
        ),
        Bar(
            "holding to the file's bins does not lower PSNR",
            ", ".join(f"{name} {change:+.3f} dB" for name, change in bins.items()),
            min(bins.values()) >= 0,
        ),
    ]
    return found, rows


def holes(bench: Bench, model: str, regression: str) -> tuple[list[Bar], dict[str, Row]]:
    """Free-form holes over a quarter of the picture."""
    rows = bench(model, "inpainting", regression, measures=LOOKED, fill="telea")
    rows |= {
        name: row for name, row in bench(regression, "inpainting", measures=LOOKED, fill=OTHER).items() if name == OTHER
    }
    own = rows["palette"]
    better = min((rows["telea"], rows["navier-stokes"]), key=lambda row: row["kernel"])
    said = ", ".join(
        f"{name} {1e3 * rows[name]['kernel']:.3g} ({1e3 * low(rows[name], 'kernel'):.3g} to "
        f"{1e3 * high(rows[name], 'kernel'):.3g})"
        for name in ("palette", "regression", "telea", "navier-stokes")
    )
    return [
        Bar(
            "kernel distance x1e3 at most half of the better of OpenCV's fillings, the intervals apart",
            said,
            own["kernel"] <= better["kernel"] / 2 and high(own, "kernel") < low(better, "kernel"),
        ),
        Bar(
            "and below regression's, the intervals apart",
            said,
            high(own, "kernel") < low(rows["regression"], "kernel"),
        ),
    ], rows


def colours(bench: Bench, model: str, regression: str) -> tuple[list[Bar], dict[str, Row]]:
    """Grey pictures."""
    rows = bench(model, "colorization", regression)
    own, mean = (rows[name]["colourfulness_share"] for name in ("palette", "regression"))
    apart = f"{bench.samples} samples differ by {rows['palette'].get('pairwise', 0.0):.2f} of 255"
    asked = "colourfulness within 20 % of the originals', and regression's lower"
    return [Bar(asked, f"{own:.2f}, regression {mean:.2f}; {apart}", abs(own - 1) <= 0.2 and mean < own)], rows


def margins(bench: Bench, model: str, regression: str) -> tuple[list[Bar], dict[str, Row]]:
    """Pictures of which the right half is missing."""
    rows = bench(model, "uncropping", regression)
    own, mean = (rows[name]["join"] for name in ("palette", "regression"))
    asked = "steepness across the join at most 1.5 times that of the picture"
    return [Bar(asked, f"{own:.2f}, regression {mean:.2f}", own <= 1.5)], rows


def compared(benches: dict[str, Bench], named: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """For each task and each name its models' measures: the mean, and the standard deviation over them ("± …")."""
    rows: list[dict[str, Any]] = []
    for kind, bench in benches.items():
        found: dict[str, list[Row]] = {}
        for name, model in named:
            try:
                each = bench(model, kind, measures=LOOKED)
            except ConfigError:  # which it was not trained for
                continue
            own = next(row for method, row in each.items() if method in ("palette", "regression"))
            found.setdefault(name, []).append(own)
        for name, seeds in found.items():
            line: dict[str, Any] = {"task": kind, "model": name, "seeds": len(seeds)}
            for column in COLUMNS:
                values = [row[column] for row in seeds if row.get(column) is not None]
                if values:
                    line[column] = statistics.fmean(values)
                    line[f"± {column}"] = statistics.stdev(values) if len(values) > 1 else None
            rows.append(line)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [f"| task | model | seeds | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    for row in rows:
        cells = []
        for column in COLUMNS:
            spread = row.get(f"± {column}")
            cells.append(
                f"{row[column]:.4g}" + (f" ± {spread:.2g}" if spread is not None else "") if column in row else ""
            )
        lines.append(f"| {row['task']} | {row['model']} | {row['seeds']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--jpeg", help="a model that restores JPEG files")
    args.add_argument("--jpeg-regression")
    args.add_argument("--photos", type=Path, nargs="+", help="for JPEG restoration")
    args.add_argument("--faces", help="a model for colorization, inpainting and uncropping")
    args.add_argument("--faces-regression")
    args.add_argument("--people", type=Path, nargs="+", help="for these")
    args.add_argument("--table", nargs="+", default=[], metavar="NAME=MODEL", help="models to compare on --people")
    args.add_argument("--limit", type=int)
    args.add_argument("--samples", type=int, default=8)
    args.add_argument("--steps", type=int)
    args.add_argument("--device", default="auto")
    args.add_argument("--json", type=Path)
    options = args.parse_args()
    if not all("=" in text for text in options.table):
        raise SystemExit("--table takes NAME=MODEL")
    bars: list[Bar] = []
    rows: dict[str, Any] = {}

    def bench(data: list[Path]) -> Bench:
        return Bench(data, options.limit, options.samples, options.device, options.steps)

    asked = [(options.jpeg, options.jpeg_regression, options.photos, {"jpeg-restoration": jpeg})]
    three = {"inpainting": holes, "colorization": colours, "uncropping": margins}
    asked.append((options.faces, options.faces_regression, options.people, three))
    for model, regression, data, kinds in asked:
        if model is None:
            continue
        if regression is None or data is None:
            raise SystemExit(f"{model} needs its regression and pictures to be measured on")
        there = bench(data)
        for kind, measure in kinds.items():
            some, rows[kind] = measure(there, model, regression)
            bars += some
            for bar in some:
                print(f"{'yes' if bar.held else 'NO '}  {kind}: {bar.asked}: {bar.found}", flush=True)
    compare: list[dict[str, Any]] = []
    if options.table:
        if options.people is None:
            raise SystemExit("--table needs --people")
        compare = compared(dict.fromkeys(PART, bench(options.people)), [tuple(t.split("=", 1)) for t in options.table])
        print(table(compare))
    if options.json:
        found = {"bars": [bar._asdict() for bar in bars], "rows": rows, "table": compare}
        write_text(options.json, json.dumps(plain(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
