"""The most-used public SR3 on 16 -> 128 faces: its own code, from your clone of it, trained and sampled.

    git clone https://github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement clone
    python experiments/public_sr3.py train --clone clone --data train.zip --minutes 25 --width 8
    python experiments/public_sr3.py sample --clone clone --data held-out.zip --limit 20 --width 8 --out theirs
    python experiments/public_sr3.py imported --clone clone --data held-out.zip --limit 4 --width 8

`imported` brings its weights in, as `sr3 import` does, and compares: our 2000 steps with its own for the same noise,
and 8 and 50 steps of ours, free and held to the picture given, by PSNR and by the processor's seconds.

The clone gives its network, diffusion, loss, optimiser and 2000-step sampling as its config/sr_sr3_16_128.json says.
Its preparation of pictures (Pillow's bicubic to 16 and back to 128, 8 bits each time) is done again here, so that it
needs only torch, numpy and tqdm.  --width 64 is as published; below it the channels shrink, and the groups of its
normalisation with them, so that a group keeps its number of channels.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sr3 import Restorer
from sr3.files import replacing
from sr3.model.foreign import bring
from sr3.picture.collection import load
from sr3.picture.resize import enlarge, round8, shrink
from sr3.task import Given

SMALL, LARGE, PUBLISHED = 16, 128, 64


def bare(name: str) -> str:
    """A picture's name without its suffix."""
    return str(Path(name).with_suffix(""))


def picture(pixels: Tensor) -> Image.Image:
    """uint8 [3, H, W] for Pillow."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def prepared(pixels: np.ndarray) -> Tensor:
    """A square picture uint8 [H, H, 3] at 128 x 128, and reduced to 16 x 16 and enlarged again: uint8 [2, 3, 128, 128].

    Reduced from the picture itself, not from the one at 128 x 128; rounded to 8 bits each time.
    """
    high, wide = pixels.shape[:2]
    if high != wide:
        raise SystemExit(f"the pictures must be square, not {wide} x {high}")
    full, bicubic = Image.fromarray(pixels), Image.Resampling.BICUBIC
    small = full.resize((SMALL, SMALL), bicubic)
    both = [full.resize((LARGE, LARGE), bicubic), small.resize((LARGE, LARGE), bicubic)]
    return torch.from_numpy(np.stack([np.asarray(one) for one in both])).permute(0, 3, 1, 2)


def write(make: Callable[[list[int]], Tensor], names: list[str], out: Path, batch: int) -> None:
    """Make PNGs, so many at once, those that are there already left out; prints the seconds a picture."""
    made, spent = 0, 0.0
    for first in range(0, len(names), batch):
        indices = list(range(first, min(first + batch, len(names))))
        paths = [out / f"{names[i]}.png" for i in indices]
        if all(path.exists() for path in paths):
            continue
        began = time.monotonic()
        results = make(indices)
        spent, made = spent + time.monotonic() - began, made + len(indices)
        for path, result in zip(paths, results, strict=True):
            with replacing(path) as temporary:
                picture(((round8(result) + 1) * 127.5).round().byte()).save(temporary)
        print(f"{indices[-1] + 1} of {len(names)}, {spent / made:.2f} s a picture", flush=True)


class Pairs(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The pairs that the clone's own data set would give, on [-1, 1]; both mirrored at random where `mirror`."""

    def __init__(self, pictures: Sequence[np.ndarray], mirror: bool):
        self.both, self.mirror = [prepared(pixels) for pixels in pictures], mirror

    def __len__(self) -> int:
        return len(self.both)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.both[index].float().div(255) * 2 - 1
        hr, sr = pair.flip(-1) if self.mirror and torch.rand(()) < 0.5 else pair
        return {"HR": hr, "SR": sr}


def configuration(clone: Path, width: int, phase: str, device: str) -> dict[str, Any]:
    """The published configuration at this width."""
    lines = (clone / "config" / "sr_sr3_16_128.json").read_text("utf-8").splitlines()
    found: dict[str, Any] = json.loads("\n".join(line.split("//")[0] for line in lines))
    found |= {"phase": phase, "gpu_ids": None if device == "cpu" else [0], "distributed": False}
    found["model"]["unet"] |= {"inner_channel": width, "norm_groups": 32 * width // PUBLISHED}
    return found


def created(clone: Path, config: dict[str, Any]) -> Any:
    """The clone's model, with the noise schedule of its phase."""
    sys.path.insert(0, str(clone.resolve()))
    made = importlib.import_module("model").create_model(config)
    phase = config["phase"]
    made.set_new_noise_schedule(config["model"]["beta_schedule"][phase], schedule_phase=phase)
    return made


def train(
    clone: Path, data: list[Path], minutes: float, width: int, state: Path, batch: int | None, device: str
) -> None:
    """Train until so many minutes are spent in all; what an earlier run left in `state` is gone on with.

    On one thread of a CPU the minutes are the processor's, so that other work on the machine costs no training.
    """
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.monotonic
    config = configuration(clone, width, "train", device)
    batch = batch or int(config["datasets"]["train"]["batch_size"])
    kept = _kept(state, width) if state.exists() else None
    seen, spent = (kept["seen"], kept["seconds"]) if kept else (0, 0.0)
    # another order and other noise than before the stop
    torch.manual_seed(seen)
    np.random.seed(seen)  # its loss draws the noise level from numpy's global generator
    model = created(clone, config)
    if kept:
        model.netG.load_state_dict(kept["net"])
        model.optG.load_state_dict(kept["optimiser"])
    loader = torch.utils.data.DataLoader(Pairs(load(data).pixels, mirror=True), batch, shuffle=True)
    before, began, saved, shown, recent = spent, clock(), spent, spent, []
    while spent < 60 * minutes:
        for example in loader:
            model.feed_data(example)
            model.optimize_parameters()
            seen, spent = seen + len(example["HR"]), before + clock() - began
            recent.append(model.log_dict["l_pix"])
            over = spent >= 60 * minutes
            if over or spent - shown > 30:
                loss, recent, shown = sum(recent) / len(recent), [], spent
                print(f"{spent / 60:.1f} minutes, {seen} pictures seen, loss {loss:.4f}", flush=True)
            if over or spent - saved > 180:
                tensors = {"net": model.netG.state_dict(), "optimiser": model.optG.state_dict()}
                with replacing(state) as temporary:
                    torch.save({**tensors, "seen": seen, "seconds": spent, "width": width}, temporary)
                saved = spent
            if over:
                break


def _kept(state: Path, width: int) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(state)
    if found["width"] != width:
        raise SystemExit(f"{state} is of width {found['width']}, not {width}")
    return found


def sample(
    clone: Path,
    data: list[Path],
    limit: int | None,
    width: int,
    state: Path,
    out: Path,
    batch: int,
    device: str,
) -> None:
    """Restore with the clone's own sampling; pictures that are there already are left as they are."""
    model = created(clone, configuration(clone, width, "val", device))
    model.netG.load_state_dict(_kept(state, width)["net"])
    found = load(data)
    pairs = Pairs(found.pixels[:limit], mirror=False)

    def make(indices: list[int]) -> Tensor:
        torch.manual_seed(indices[0])
        model.feed_data(torch.utils.data.default_collate([pairs[i] for i in indices]))
        # only with all its stages does it return more than one picture; the last of them are the results
        model.test(continous=True)
        return model.get_current_visuals()["SR"][-len(indices) :]

    write(make, [bare(name) for name in found.names[:limit]], out, batch)


def imported(clone: Path, data: list[Path], limit: int | None, width: int, state: Path, device: str) -> None:
    """The clone's sampling beside ours, with its weights, on the same enlarged pictures."""
    config = configuration(clone, width, "val", device)
    theirs = created(clone, config)
    theirs.netG.load_state_dict(_kept(state, width)["net"])
    file = state.with_name("imported_gen.pth")
    torch.save(theirs.netG.state_dict(), file)
    model = bring(file, "janspiry-sr3", groups=config["model"]["unet"]["norm_groups"])
    restorer = Restorer(model, device=device, precision="fp32")
    rows: dict[str, list[tuple[float, float]]] = {}
    worst, pictures = 0.0, load(data).pixels[:limit]
    for index, pixels in enumerate(pictures):
        original = prepared(pixels)[:1].float().div(255) * 2 - 1
        given = shrink(original, LARGE // SMALL)
        drawn: list[Tensor] = []
        theirs.feed_data({"HR": original, "SR": enlarge(given, LARGE // SMALL)})
        torch.manual_seed(index)
        with recording(drawn):
            began = time.process_time()
            theirs.test(continous=False)
            spent = time.process_time() - began
        wanted = theirs.get_current_visuals()["SR"].reshape(original.shape)
        rows.setdefault("theirs, 2000 steps", []).append((psnr(wanted, original), spent))
        for quality in ("best", "balanced", "fast"):
            for free in (True, False):
                settings = restorer.settings(quality=quality)
                name = f"ours, {settings.steps} steps, {'free' if free else 'held'}"
                if quality == "best" and not free:
                    continue
                began = time.process_time()
                if quality == "best":
                    left = iter(drawn)
                    with mock.patch("sr3.restore.restorer.Seeds", lambda _, left=left: lambda _x: next(left)):
                        found = restorer.make(Given(given), [index], free=True, settings=settings)
                    worst = max(worst, float((found - wanted.clamp(-1, 1)).abs().max()))
                else:
                    found = restorer.make(Given(given), [index], free=free, settings=settings)
                rows.setdefault(name, []).append((psnr(found, original), time.process_time() - began))
        print(f"{index + 1} of {len(pictures)}: for the same noise apart by at most {worst:.1e}", flush=True)
        for name, found_ in rows.items():
            decibels, seconds = (sum(column) / len(column) for column in zip(*found_, strict=True))
            print(f"  {name:24} {decibels:6.2f} dB {seconds:8.2f} s", flush=True)


@contextmanager
def recording(drawn: list[Tensor]) -> Iterator[None]:
    """Keep every normal tensor that is drawn."""
    plain, like = torch.randn, torch.randn_like

    def keep(tensor: Tensor) -> Tensor:
        drawn.append(tensor.clone())
        return tensor

    with (
        mock.patch.object(torch, "randn", lambda *a, **k: keep(plain(*a, **k))),
        mock.patch.object(torch, "randn_like", lambda *a, **k: keep(like(*a, **k))),
    ):
        yield


def psnr(found: Tensor, original: Tensor) -> float:
    """In dB, of [-1, 1] clamped."""
    return float(-10 * torch.log10(((found.clamp(-1, 1) - original) / 2).square().mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training, sampling, importing = (commands.add_parser(name) for name in ("train", "sample", "imported"))
    for command in (training, sampling, importing):
        command.add_argument("--clone", type=Path, required=True)
        command.add_argument("--data", type=Path, nargs="+", required=True, help="folders or zips of square originals")
        command.add_argument("--width", type=int, default=PUBLISHED, help="a multiple of 2; 64 as published")
        command.add_argument("--state", type=Path, default=Path("public_sr3.pt"))
        command.add_argument("--threads", type=int)
        command.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    training.add_argument(
        "--minutes",
        type=float,
        required=True,
        help="in all, earlier runs included; on one thread of a CPU, the processor's own",
    )
    training.add_argument("--batch", type=int, help="by default as published")
    for command in (sampling, importing):
        command.add_argument("--limit", type=int, help="only the first so many pictures")
    sampling.add_argument("--out", type=Path, required=True)
    sampling.add_argument("--batch", type=int, default=4)
    options = vars(parser.parse_args())
    if threads := options.pop("threads"):
        torch.set_num_threads(threads)
    {"train": train, "sample": sample, "imported": imported}[options.pop("command")](**options)


if __name__ == "__main__":
    main()
