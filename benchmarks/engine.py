"""How near the engine comes to the machine's own rate: FLOP, seconds, share and memory of each shipped model.

    python benchmarks/engine.py                             # 256 -> 1024 or 512, held to the picture as always
    python benchmarks/engine.py --large                     # 1024 -> 4096 or 2048 too
    python benchmarks/engine.py --against ../other/src      # in turns with another checkout, medians of pairs

FLOP are those of the network on the whole picture, at every step: what tiles see twice, the projection, the sampler and
the noise are time and no work.  The share is of the rate of one convolution of 64 channels, 3 x 3, over 256 x 256
pixels in channels-last memory and the same precision, which runs in turns with the restorations.  Seconds are those of
the processor with one thread, as other programs take less of them than of the clock's; with more threads, the clock's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SHIPPED = ("photo-4x", "photo-4x-regression", "photo-4x-fast", "photo-2x")
SIDE = 256


def seconds(threads: int) -> float:
    """The clock that is read."""
    return time.process_time() if threads == 1 else time.perf_counter()


def serve(name: str, side: int, precision: str, threads: int) -> None:
    """A process for one model: for each line on its input one restoration, and a line with the seconds and the like."""
    import resource

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sr3.restore.restorer import Restorer
    from sr3.task import Given

    torch.set_num_threads(threads)
    restorer = Restorer.load(name, device="cpu", precision=precision)
    net, factor = restorer.model.net, restorer.model.task.factor
    small, steps = torch.zeros(1, 3, SIDE * factor, SIDE * factor), restorer.settings().steps
    with torch.enable_grad(), FlopCounterMode(display=False) as counted:
        net(small, torch.zeros(1), small)
    flop = counted.get_total_flops() * steps * (side / SIDE) ** 2
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, side // 8, side // 8, generator=rng)
    given = Given(torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1) * 1.6 - 0.8)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(restorer.dtype).to(memory_format=torch.channels_last)
    x = torch.rand(1, 64, 256, 256, generator=rng).to(restorer.dtype).contiguous(memory_format=torch.channels_last)
    work = 2 * 64 * 64 * 9 * 256 * 256

    def timed(call: object) -> float:
        began = seconds(threads)
        call()  # type: ignore[operator]
        return seconds(threads) - began

    with torch.inference_mode():
        layer(x)
        about = {"flop": flop, "steps": steps, "factor": factor, "precision": str(restorer.dtype).split(".")[1]}
        print(json.dumps(about), flush=True)
        for _ in sys.stdin:
            rates = [work / timed(lambda: layer(x)) for _ in range(3)]
            took = timed(lambda: restorer.make(given, [1]))
            rates += [work / timed(lambda: layer(x)) for _ in range(3)]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            print(json.dumps({"seconds": took, "rate": statistics.median(rates), "peak": peak}), flush=True)


class Server:
    """One model of one checkout."""

    def __init__(self, source: Path, name: str, side: int, precision: str, threads: int):
        env = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--serve", name, "--side", str(side), "--precision", precision]
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._line()

    def _line(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a process that measures has ended; what it said is above")
        return json.loads(line)

    def once(self) -> dict[str, float]:
        """One restoration."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(name: str, side: int, sources: list[Path], precision: str, threads: int, repeats: int) -> None:
    """Print a line for each checkout, and how many times as fast the first is."""
    servers = [Server(source, name, side, precision, threads) for source in sources]
    for server in servers:
        server.once()  # the first makes tables and gets memory
    runs = [[server.once() for server in servers] for _ in range(repeats)]
    for k, (source, server) in enumerate(zip(sources, servers, strict=True)):
        took = statistics.median(run[k]["seconds"] for run in runs)
        share = statistics.median(server.about["flop"] / run[k]["seconds"] / run[k]["rate"] for run in runs)
        rate, peak = statistics.median(run[k]["rate"] for run in runs), max(run[k]["peak"] for run in runs)
        sizes = f"{side:5d} -> {server.about['factor'] * side:<5d} {server.about['precision']:8s}"
        print(
            f"{name:20s} {sizes} {server.about['flop'] / 1e9:8.0f} GFLOP {took:8.2f} s  share {share:.2f} of "
            f"{rate / 1e9:.0f} GFLOP/s  {peak / 1e9:.2f} GB  {source}",
            flush=True,
        )
        server.close()
    if len(sources) == 2:
        times = sorted(run[1]["seconds"] / run[0]["seconds"] for run in runs)
        print(f"{'':20s} {statistics.median(times):.2f} times as fast ({times[0]:.2f} to {times[-1]:.2f})", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[], help="names; default: those of the core package")
    parser.add_argument("--against", type=Path, metavar="SRC", help="the src folder of another checkout")
    parser.add_argument("--large", action="store_true", help="1024 -> 4096 too")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", type=int, default=SIDE, help="of the picture given")
    parser.add_argument("--serve", metavar="MODEL", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        serve(told.serve, told.side, told.precision, told.threads)
        return
    sources = [Path(__file__).resolve().parents[1] / "src", *([told.against.resolve()] if told.against else [])]
    for side in (told.side, 1024) if told.large else (told.side,):
        for name in told.models or SHIPPED:
            measure(name, side, sources, told.precision, told.threads, told.repeats)


if __name__ == "__main__":
    main()
