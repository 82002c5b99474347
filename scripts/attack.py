"""Give the commands thousands of damaged files, and see that each has a result or one sentence, soon and in bounds.

    python scripts/attack.py --pictures 10000 --others 2000

Pictures of every format that is read are mutated (`fuzz.py`) and enlarged by the folder with a tiny model; of every
picture there must be a result or a line with its error.  Then model files, recipes, zips and evaluations, each by the
command that reads it.  Counted are tracebacks, exit codes that are none of ours, files that were passed over,
and silences of more than 20 seconds; the largest peak of memory is told.  Not for Windows.
"""

import argparse
import importlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fuzz import changed, mutated
from PIL import Image
from safetensors.torch import save_file

from sr3.cli import main as sr3
from sr3.model.checkpoint import read_tensors
from sr3.model.config import ModelConfig
from sr3.model.model import Model

SILENCE, LARGEST, FOLDER = 20.0, 1.5e9, 250
"""Seconds and bytes that are too many; pictures in a folder."""


class Ended(NamedTuple):
    """How a command ended; code None: it was silent too long and was killed."""

    code: int | None
    said: str
    peak: int


class Tally:
    """What was seen."""

    def __init__(self):
        self.codes: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        """First words of what was said, to see that it is of many kinds."""
        self.faults: list[str] = []
        self.peak = 0

    def add(self, what: str, ended: Ended, allowed: tuple[int, ...]) -> None:
        """Count an end, and note what is wrong with it."""
        self.codes[f"exit {ended.code}"] += 1
        self.said[" ".join(word for word in ended.said.split()[:24] if "/" not in word)[:110]] += 1
        self.peak = max(self.peak, ended.peak)
        if ended.code is None:
            self.faults.append(f"{what}: nothing was heard for {SILENCE:.0f} s")
        elif ended.code not in allowed or "Traceback" in ended.said:
            self.faults.append(f"{what}: exit code {ended.code}: {ended.said[-300:]}")
        if ended.peak > LARGEST:
            self.faults.append(f"{what}: {ended.peak / 1e9:.2f} GB")

    def text(self, what: str) -> str:
        """One line of counts, and the faults."""
        counts = ", ".join(f"{times} {name}" for name, times in sorted(self.codes.items()))
        return "\n  ".join(
            [f"{what}: {counts}; peak {self.peak / 1e9:.2f} GB; {len(self.faults)} faults", *self.faults]
        )


def command(line: list[str], log: Path) -> Ended:
    """Run `sr3` in a process of its own, which has all modules already; what it says goes to a file."""
    child = os.fork()
    if not child:
        code = 1
        try:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.argv = ["sr3", *line]
            sr3()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    heard, size = time.monotonic(), -1
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            unit = 1 if sys.platform == "darwin" else 1024
            return Ended(os.waitstatus_to_exitcode(status), log.read_text("utf-8", "replace"), usage.ru_maxrss * unit)
        now = log.stat().st_size if log.exists() else 0
        if now != size:
            heard, size = time.monotonic(), now
        elif time.monotonic() - heard > SILENCE:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return Ended(None, log.read_text("utf-8", "replace"), 0)
        time.sleep(0.005)


def originals() -> list[tuple[str, bytes]]:
    """Whole pictures of every kind that is read, as (suffix, contents)."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (18, 26, 3), dtype=np.uint8))
    alpha = Image.fromarray(rng.integers(0, 256, (18, 26, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (18, 26), dtype=np.uint16))
    grey, palette = colour.convert("L"), colour.convert("P")
    frames: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(180)], "duration": 40}
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg: dict[str, Any] = {"exif": exif, "quality": 80}
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        (".png", colour, {}), (".png", alpha, {}), (".png", deep, {}), (".png", palette, {}), (".png", grey, {}),
        (".png", colour, frames),
        (".jpg", colour, jpeg), (".jpg", colour, {"quality": 95, "subsampling": 0}), (".jpg", grey, {}),
        (".jpg", colour, {"progressive": True}), (".jpg", colour.convert("CMYK"), {}),
        (".webp", colour, {}), (".webp", alpha, {"lossless": True}), (".webp", colour, frames),
        (".gif", palette, {}), (".gif", colour, frames),
        (".tif", colour, {}), (".tif", colour, {"compression": "tiff_lzw"}), (".tif", deep, {}),
        (".tif", colour, {"save_all": True, "append_images": [colour]}), (".tif", colour, {"compression": "jpeg"}),
        (".bmp", colour, {}), (".bmp", palette, {}), (".ppm", colour, {}), (".pgm", grey, {}), (".avif", colour, {}),
    ]  # fmt: skip
    made: list[tuple[str, bytes]] = []
    for suffix, picture, options in kinds:
        file = io.BytesIO()
        picture.save(file, Image.registered_extensions()[suffix], **options)
        made.append((suffix, file.getvalue()))
    return made


def pictures(count: int, seed: int, folder: Path, model: Path) -> Tally:
    """Folders of mutated pictures, each enlarged by one command."""
    tally, whole, rng = Tally(), originals(), random.Random(seed)
    for first in range(0, count, FOLDER):
        given = folder / f"in-{first}"
        given.mkdir()
        names: list[str] = []
        for k in range(first, min(first + FOLDER, count)):
            suffix, data = rng.choice(whole)
            other = rng.choice(whole)[0] if rng.random() < 0.1 else suffix  # named as what it is not
            names.append(f"{k:05d}{other}")
            (given / names[-1]).write_bytes(mutated(data, seed + k))
        line = ["upscale", str(given), "-o", str(folder / f"out-{first}"), "--model", str(model), "--json"]
        ended = command([*line, "--precision", "fp32"], folder / "log")
        tally.add(f"folder {first}", ended, (0, 1, 3))
        told: dict[str, bool] = {}
        for text in ended.said.splitlines():
            if text.startswith("{"):
                row = json.loads(text)
                told[Path(row["input"]).name] = not row.get("error")
        tally.codes["enlarged"] += sum(told.values())
        tally.codes["refused"] += sum(not fine for fine in told.values())
        if missing := [name for name in names if name not in told]:
            tally.faults.append(f"folder {first}: nothing said of {len(missing)}: {missing[:5]}")
    return tally


def toml(value: Any) -> str:
    """A JSON value as TOML writes it within a line; null, which it has not, as an empty text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, float):
        return str(value)
    return '""' if value is None else json.dumps(value)


def model_files(folder: Path, model: Path) -> Callable[[int], list[str]]:
    """The `seed`-th damaged model, and the command that reads it."""
    whole, good = model.read_bytes(), folder / "good.png"
    tensors, metadata = read_tensors(model)
    Image.new("RGB", (9, 8), "teal").save(good)

    def line(seed: int) -> list[str]:
        file = folder / "damaged.safetensors"
        if seed % 2:
            file.write_bytes(mutated(whole, seed))
        else:
            part = "config" if seed % 4 else "about"
            said = json.dumps(changed(json.loads(metadata.get(part, "{}")), seed))
            save_file(tensors, file, metadata=metadata | {part: said})
        return ["upscale", str(good), "-o", str(folder / "made.png"), "--force", "--model", str(file)]

    return line


def recipes(folder: Path, _model: Path) -> Callable[[int], list[str]]:
    """The same of recipes."""
    text = files("sr3.model").joinpath("recipes", "tiny-4x.toml").read_text("utf-8")
    (folder / "photos").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(
        folder / "photos" / "a.png"
    )

    def line(seed: int) -> list[str]:
        file = folder / "damaged.toml"
        if seed % 2:
            file.write_bytes(mutated(text.encode(), seed))
        else:
            value = changed(tomllib.loads(text), seed)
            rows = value.items() if isinstance(value, dict) else [("value", value)]
            file.write_text("\n".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in rows), "utf-8")
        shutil.rmtree(folder / "run", ignore_errors=True)
        asked = ["train", str(file), "--data", str(folder / "photos"), "--out", str(folder / "run")]
        return [*asked, "--device", "cpu", "--set", "training.pictures=1"]

    return line


def zips(folder: Path, model: Path) -> Callable[[int], list[str]]:
    """The same of zips of pictures."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for k, (suffix, data) in enumerate(originals()[::4]):
            made.writestr(f"{k}{suffix}", data)
    whole = file.getvalue()

    def line(seed: int) -> list[str]:
        (folder / "damaged.zip").write_bytes(mutated(whole, seed))
        asked = ["evaluate", "--data", str(folder / "damaged.zip"), "--model", str(model), "--limit", "1"]
        return [*asked, "--samples", "1", "--border", "0", "--precision", "fp32"]

    return line


def evaluations(folder: Path, _model: Path) -> Callable[[int], list[str]]:
    """The same of evaluations' files."""
    rows = [
        {"method": m, "psnr": 20.0 + k, "swd": 3.0 + k, "interval": {"psnr": [19.0, 21.0], "swd": [2.0, 4.0]}}
        for k, m in enumerate(("bicubic", "sr3"))
    ]
    protocol = {"data": "x", "factor": 4, "method": "sr3", "baseline": "bicubic", "pictures": 3}
    each = {str(row["method"]): {"psnr": [19.0, 20.0, 21.0]} for row in rows}
    run = {"protocol": protocol, "rows": rows, "names": ["a", "b", "c"], "each": each}
    (folder / "good.json").write_text(json.dumps(run))

    def line(seed: int) -> list[str]:
        file = folder / "damaged.json"
        if seed % 2:
            file.write_bytes(mutated(json.dumps(run).encode(), seed))
        else:
            file.write_text(json.dumps(changed(run, seed)))
        return ["compare", str(folder / "good.json"), str(file)]

    return line


def main() -> int:
    """Attack; exit code 1 where there was a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--others", type=int, default=200, help="model files, recipes, zips and evaluations, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--said", type=int, default=0, help="also print so many of the commonest answers")
    asked = parser.parse_args()
    for module in ("restore.restorer", "cli.upscale", "evaluation.evaluate", "cli.compare", "training.train"):
        importlib.import_module(f"sr3.{module}")  # once, and not in every process
    torch.set_num_threads(1)
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = {"kind": "unet", "patch": 4, "widths": [8], "blocks": [1], "embedding": 16}
        config = {"name": "tiny", "kind": "regression", "network": network}
        model = Model(ModelConfig.model_validate(config)).save_pretrained(folder)
        tally = pictures(asked.pictures, asked.seed, folder, model)
        print(tally.text(f"{asked.pictures} pictures"), flush=True)
        faults += len(tally.faults)
        for kind in (model_files, recipes, zips, evaluations):
            line, tally = kind(folder, model), Tally()
            for seed in range(asked.seed, asked.seed + asked.others // 4):
                tally.add(f"{kind.__name__} {seed}", command(line(seed), folder / "log"), (0, 1, 2))
            print(tally.text(f"{asked.others // 4} {kind.__name__.replace('_', ' ')}"), flush=True)
            for said, times in tally.said.most_common(asked.said):
                print(f"  {times:4d} {said}")
            faults += len(tally.faults)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
