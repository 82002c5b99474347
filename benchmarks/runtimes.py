"""Which runtime is the quickest at a model of one pass: our own, OpenVINO or ONNX Runtime?

    python benchmarks/runtimes.py                                # 128 -> 512 and 256 -> 1024, one thread, fp32
    python benchmarks/runtimes.py photo-4x-fast --precision bf16   # where the processor has bfloat16 convolutions

What `sr3 export` writes runs in turns with `sr3.Restorer`, not held to the picture, as the exported graph is not.
Printed are the medians of the processor's seconds a megapixel of result, and how many times as long ours takes.
Needs the extra `export`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.model.export import export
from sr3.model.model import Model
from sr3.restore.restorer import Restorer
from sr3.task import Given


def openvino(folder: Path, model: Model, precision: str) -> Callable[..., Any]:
    """A function of (picture, noise where there is any), as the graph's conventions say."""
    import openvino

    (path, *_) = export(model, "openvino", folder / "model.xml")
    hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precision.replace("fp", "f")}
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    return lambda *given: compiled([x.numpy() for x in given])


def onnxruntime(folder: Path, model: Model, precision: str) -> Callable[..., Any]:
    """The same; always in fp32."""
    import onnxruntime

    (path, *_) = export(model, "onnx", folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [end.name for end in session.get_inputs()]
    return lambda *given: session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})


def measure(name: str, sides: list[int], precision: str, repeats: int) -> None:
    """Print a line for each side of the picture given."""
    restorer = Restorer.load(name, device="cpu", precision=precision)
    model, factor = restorer.model, restorer.model.task.factor
    with tempfile.TemporaryDirectory() as folder:
        theirs = {form.__name__: form(Path(folder), model, precision) for form in (openvino, onnxruntime)}
        for side in sides:
            picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            noise = [torch.randn(1, 3, side * factor, side * factor)] if model.walk.varies else []
            given = Given(picture * 2 - 1)

            def ours(*_: Tensor, given: Given = given) -> Tensor:
                return restorer.make(given, [0], free=True)

            ways = {"ours": ours, **theirs}
            spent: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(1 + repeats):
                for way, run in ways.items():
                    began = time.process_time()
                    run(picture, *noise)
                    spent[way].append((time.process_time() - began) / (side * factor) ** 2 * 1e6)
            found = {way: statistics.median(times[1:]) for way, times in spent.items()}
            said = "  ".join(f"{way} {took:.2f} s/MP ({took / found['ours']:.2f})" for way, took in found.items())
            print(f"{name:20s} {side:4d} -> {side * factor:<5d} {precision}  {said}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["photo-4x-fast", "photo-4x-regression"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--sides", nargs="+", type=int, default=[128, 256], help="of the pictures given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    for name in told.models:
        measure(name, told.sides, told.precision, told.repeats)


if __name__ == "__main__":
    main()
