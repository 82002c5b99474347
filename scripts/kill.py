"""Kill processes that share a folder, at random moments, and see that every picture is made once and none by halves.

    python scripts/kill.py --kills 50

Two processes of `sr3 upscale --skip-existing` work through one folder with a tiny model.  Now and then one of them is
killed (SIGKILL) and another begins.  When all is made, the results are compared with those of a run that nobody
disturbed, and the manifest is counted: nothing twice.  Then it begins anew, until so many kills are done.  Not for
Windows.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sr3.cli import main as sr3
from sr3.files import PREFIX
from sr3.model.config import ModelConfig
from sr3.model.model import Model

WORKERS, A_ROUND = 2, 5
"""Processes at a time, and kills in one folder at most."""


def worker(folder: Path) -> int:
    """Begin a process, which has all modules already; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        line = f"sr3 upscale {folder / 'in'} -o {folder / 'out'} --model {folder / 'model'} --skip-existing"
        sys.argv = [*line.split(), "--manifest", str(folder / "manifest.jsonl"), "--precision", "fp32"]
        sr3()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def ended(child: int) -> int | None:
    """The exit code of a process that has ended; None while it lives."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def results(folder: Path) -> dict[str, bytes]:
    """The files of a folder of results, but those that were being written."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(PREFIX)}


def a_round(folder: Path, kills: int, rng: random.Random) -> int:
    """One folder from beginning to end, with so many kills at most; how many there were."""
    done = 0
    living = [worker(folder) for _ in range(WORKERS)]
    while living:
        time.sleep(rng.uniform(0.0, 0.25))
        for child in list(living):
            code = ended(child)
            if code is not None:
                living.remove(child)
                if code:
                    raise SystemExit(f"a process ended with {code}")
        if living and done < kills:
            child = rng.choice(living)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            living.remove(child)
            living.append(worker(folder))
            done += 1
    return done


def check(folder: Path, expected: dict[str, bytes], kills: int) -> None:
    """SystemExit where a result is missing, unlike, or made twice."""
    found = results(folder / "out")
    if found != expected:
        odd = [name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name)]
        raise SystemExit(f"{len(odd)} results are missing or unlike: {odd[:5]}")
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("ascii").splitlines()]
    made = Counter(line["input"] for line in lines if not line["error"] and "left" not in line)
    twice = [name for name, times in made.items() if times > 1]
    failed = [line["input"] for line in lines if line["error"]]
    # a process may die between a result and its line; with pictures ahead, several results
    if twice or failed or len(made) < len(expected) - 4 * kills:
        raise SystemExit(f"made twice: {twice[:5]}; failed: {failed[:5]}; told of: {len(made)} of {len(expected)}")


def main() -> int:
    """Run the rounds; exit code 1 with a sentence where something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for k in range(asked.pictures):
            pixels = np.random.default_rng(k).integers(0, 256, (24 + k % 7, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "in" / f"{k:03d}.{'png' if k % 2 else 'jpg'}")
        network = {"kind": "unet", "patch": 4, "widths": [8], "blocks": [1], "embedding": 16}
        config = {"name": "tiny", "kind": "regression", "network": network}
        Model(ModelConfig.model_validate(config)).save_pretrained(folder / "model")
        if os.waitpid(worker(folder), 0)[1]:
            raise SystemExit("the run that nobody disturbs failed")
        expected, done, rounds = results(folder / "out"), 0, 0
        if len(expected) != asked.pictures:
            raise SystemExit(f"the run that nobody disturbs made {len(expected)} of {asked.pictures}")
        while done < asked.kills:
            shutil.rmtree(folder / "out")
            (folder / "manifest.jsonl").unlink()
            some = a_round(folder, min(A_ROUND, asked.kills - done), rng)
            check(folder, expected, some)
            done, rounds = done + some, rounds + 1
    print(f"{done} kills in {rounds} rounds of {asked.pictures} pictures: all there, none twice, none by halves")
    return 0


if __name__ == "__main__":
    sys.exit(main())
