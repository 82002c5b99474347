"""An equal-time race between shapes of the efficient U-Net, on the regression task.

    python experiments/race.py --data photos.zip [more.zip …] --minutes 2.5

Each shape trains for the same wall time on the same crops; every 40th picture is held out, and the PSNR of its centre
against the original decides.  Prints a Markdown table.
"""

import argparse
import math
import time

import torch

from sr3.diffusion.denoiser import Regressor
from sr3.diffusion.level import Level
from sr3.nn.unet import UNet
from sr3.picture.collection import Pictures, load
from sr3.task import SuperResolution
from sr3.training.data import Crops

SHAPES = {
    "64 x8, flat": dict(patch=4, widths=(64,), blocks=(8,)),
    "64 x16, flat": dict(patch=4, widths=(64,), blocks=(16,)),
    "96 x4, flat": dict(patch=4, widths=(96,), blocks=(4,)),
    "64+96, 3+3": dict(patch=4, widths=(64, 96), blocks=(3, 3)),
    "64+96+128, 2+2+2": dict(patch=4, widths=(64, 96, 128), blocks=(2, 2, 2)),
    "half resolution 32+64, 1+4": dict(patch=2, widths=(32, 64), blocks=(1, 4)),
    "96+128, 2+2": dict(patch=4, widths=(96, 128), blocks=(2, 2)),
    "half resolution 32+64+96, 1+4+2": dict(patch=2, widths=(32, 64, 96), blocks=(1, 4, 2)),
}


def split(pictures: Pictures, every: int = 40) -> tuple[Pictures, Pictures]:
    """Training and held-out pictures."""
    names, pixels = pictures.names, pictures.pixels
    kept = [i for i in range(len(names)) if i % every]
    out = [i for i in range(len(names)) if i % every == 0]
    return tuple(Pictures([names[i] for i in part], [pixels[i] for i in part]) for part in (kept, out))  # type: ignore[return-value]


def centres(pictures: Pictures, side: int) -> torch.Tensor:
    """The centre of each picture, [N, 3, side, side] in [-1, 1]."""
    cut = [p[(p.shape[0] - side) // 2 :, (p.shape[1] - side) // 2 :][:side, :side] for p in pictures.pixels]
    return torch.stack([torch.from_numpy(c.copy()) for c in cut]).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--data", nargs="+", required=True)
    args.add_argument("--minutes", type=float, default=2.5)
    args.add_argument("--crop", type=int, default=192)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--rate", type=float, default=1e-3)
    args.add_argument("--only", nargs="*")
    options = args.parse_args()
    task, scale = SuperResolution(4), 0.1
    training, held_out = split(load(options.data, smallest=options.crop))
    crops = Crops(training, options.crop, seed=1)
    truth = centres(held_out, options.crop)
    example = task.prepare(task.degrade(truth))
    mse = lambda x: (x.clamp(-1, 1) - truth).square().mean((1, 2, 3)) / 4  # noqa: E731
    print("| shape | parameters | MACs per low-resolution pixel | pictures seen | PSNR gain over bicubic, dB |")
    print("|---|---|---|---|---|")
    nowhere = Level(torch.tensor(0.0), torch.tensor(1.0))
    for name, shape in SHAPES.items():
        if options.only and name not in options.only:
            continue
        torch.manual_seed(0)
        net = UNet(**shape).to(memory_format=torch.channels_last)  # type: ignore[arg-type]
        regressor = Regressor(net, scale=scale)
        optimiser = torch.optim.Adam(net.parameters(), lr=options.rate, betas=(0.9, 0.99))
        begin, seen, share = time.monotonic(), 0, 0.0
        while share < 1:
            clean = crops(range(seen, seen + options.batch))
            given = task.degrade(clean)
            example_now = task.prepare(given)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = regressor.raw(clean, example_now)
            loss = (out.float() - (clean - example_now.base) / scale).square().mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            share = (time.monotonic() - begin) / (60 * options.minutes)
            for group in optimiser.param_groups:
                group["lr"] = options.rate * min(1, seen / 400) * 0.5 * (1 + math.cos(math.pi * min(share, 1)))
            optimiser.step()
            seen += options.batch
        net.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            made = torch.cat(
                [
                    regressor(t[None], nowhere, type(example)(cond=c[None], base=c[None]))
                    for t, c in zip(truth, example.cond, strict=True)
                ]
            )
        gain = 10 * (mse(example.base).log10() - mse(made.float()).log10()).mean().item()
        count = sum(p.numel() for p in net.parameters())
        per_pixel = macs_per_pixel(net)
        print(f"| {name} | {count / 1e3:.0f}k | {per_pixel / 1e3:.0f}k | {seen} | {gain:.3f} |", flush=True)


def macs_per_pixel(net: UNet) -> float:
    """Multiply-adds of the convolutions per low-resolution pixel (1/16 of the output's pixels)."""
    hooks = [
        m.register_forward_hook(lambda m, _, out: totals.append(m.weight.numel() * out.shape[-1] * out.shape[-2]))
        for m in net.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]
    totals: list[float] = []
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 64), torch.zeros(1), torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return sum(totals) / 256


if __name__ == "__main__":
    main()
