"""The most-used public Palette: its own code, from your clone of it, beside ours with the same weights and noise.

    git clone https://github.com/Janspiry/Palette-Image-to-Image-Diffusion-Models clone
    python experiments/public_palette.py --clone clone --width 32 --side 32

Its networks are built as config/inpainting_celebahq.json says, but for the width (64 as published), with attention at
the levels that the configuration names, which are none, and at two more; and its `sr3` network.  Weights are drawn at
random, as none come with the code.  Each is saved as that code saves it, brought in as `sr3 import` does, and compared:
the network's answer, and the whole sampling of 1000 steps for holes and for colours, for the same noise.

It needs torch, numpy and tqdm.  --steps has fewer steps, with betas as much larger.
"""

import argparse
import importlib
import json
import re
import sys
import time
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from sr3 import Restorer
from sr3.model.foreign import bring
from sr3.task import Given

HEAD = 32


def configuration(clone: Path, width: int, steps: int) -> dict[str, Any]:
    """The arguments of its `Network` as published, but for the width and the steps of sampling."""
    text = (clone / "config" / "inpainting_celebahq.json").read_text("utf-8")
    found = json.loads(re.sub(r"(?m)//.*$", "", text))["model"]["which_networks"][0]["args"]
    found["unet"]["inner_channel"] = width
    test = found["beta_schedule"]["test"]
    larger = test["n_timestep"] / steps
    stop = min(0.99, test["linear_end"] * larger)
    test |= {"n_timestep": steps, "linear_start": test["linear_start"] * larger, "linear_end": stop}
    return found


def kinds(published: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The networks that are compared, by name."""
    more, sr3 = deepcopy(published), deepcopy(published)
    more["unet"]["attn_res"] = [2, 4]
    sr3["module_name"] = "sr3"
    del sr3["unet"]["num_head_channels"]
    return {"as published": published, "with more attention": more, "sr3": sr3}


def made(clone: Path, arguments: dict[str, Any]) -> Any:
    """Its network with random weights, as it is in training."""
    sys.path.insert(0, str(clone))
    net = importlib.import_module("models.network").Network(**deepcopy(arguments))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            fan = weight[0].numel() if weight.ndim > 1 else 1
            weight.copy_(torch.randn(weight.shape) * (fan**-0.5 if weight.ndim > 1 else 0.1) + (weight.ndim == 1))
    net.set_new_noise_schedule(device=torch.device("cpu"), phase="train")
    return net.eval()


def sampled(net: Any, given: Given, whole: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What its sampling makes, and the noise that it draws, the first included."""
    drawn: list[Tensor] = []
    like = torch.randn_like

    def keep(x: Tensor) -> Tensor:
        drawn.append(like(x))
        return drawn[-1]

    hole: dict[str, Tensor] = {}
    if given.mask is not None:
        hole = {"y_t": given.image, "y_0": whole, "mask": given.mask.float()}
        drawn.append(given.image)
    with mock.patch.object(torch, "randn_like", keep):
        found, _ = net.restoration(given.image, sample_num=1, **hole)
    return found, drawn


def compare(clone: Path, arguments: dict[str, Any], side: int, name: str) -> None:
    """Print how far apart the two are."""
    net = made(clone, arguments)
    whole = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[..., side // 4 : 3 * side // 4, side // 8 : side // 2] = True
    tasks = {
        "inpainting": Given(torch.where(mask, torch.randn(whole.shape), whole), mask),
        "colorization": Given(whole.mean(1, keepdim=True).expand_as(whole).contiguous()),
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "1_Network.pth"
        torch.save(net.state_dict(), file)
        models = {task: bring(file, "janspiry-palette", task=task, side=side) for task in tasks}
    count = sum(weight.numel() for weight in net.parameters())
    assert count == sum(weight.numel() for weight in models["inpainting"].net.parameters())
    x, cond = torch.randn(2, 2, 3, side, side)
    worst = 0.0
    for gamma in (1e-6, 0.02, 0.5, 0.9999):
        with torch.no_grad():
            theirs = net.denoise_fn(torch.cat([cond, x], 1), torch.full((2, 1), gamma))
            ours = models["inpainting"].net(x, torch.full((2,), gamma), cond)
        worst = max(worst, float((theirs - ours).abs().max()))
    print(f"{name}: {count / 1e6:.2f} million parameters, {models['inpainting'].config.network}", flush=True)
    print(f"  the network's answers are apart by at most {worst:.1e}", flush=True)
    net.set_new_noise_schedule(device=torch.device("cpu"), phase="test")
    test = arguments["beta_schedule"]["test"]
    for task, given in tasks.items():
        began = time.process_time()
        wanted, drawn = sampled(net, given, whole)
        spent, left = time.process_time() - began, iter(drawn)
        restorer = Restorer(models[task], device="cpu", precision="fp32")
        settings = restorer.settings(quality="best", steps=test["n_timestep"])
        spec = {"kind": "linear-beta", "start": test["linear_start"], "stop": test["linear_end"]}
        settings = settings.model_copy(update={"schedule": spec | {"steps": test["n_timestep"]}})
        began = time.process_time()
        with mock.patch("sr3.restore.restorer.Seeds", lambda _, left=left: lambda _x: next(left)):
            walk = list(restorer.refine(given, [0], free=task == "colorization", settings=settings))
        assert next(left, None) is None
        apart = float((walk[-1].x - wanted).abs().max())
        print(
            f"  {task}: {settings.steps} steps, apart by at most {apart:.1e}; theirs took {spent:.1f} s and ours "
            f"{time.process_time() - began:.1f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clone", type=Path, required=True)
    parser.add_argument("--width", type=int, default=32, help="a multiple of 32; 64 as published")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, arguments in kinds(configuration(options.clone, options.width, options.steps)).items():
        compare(options.clone, arguments, options.side, name)


if __name__ == "__main__":
    main()
