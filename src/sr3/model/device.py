"""Where and in what precision networks run."""

from functools import cache

import torch

from sr3.model.config import ConfigError, nearest


def pick_device(name: str | None = None) -> torch.device:
    """The named device ("cpu", "cuda", "mps", "cuda:1"), or for None and "auto" the accelerator, else the CPU.

    ConfigError where it is not there; what is said then names only what is.
    """
    best = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if name in (None, "auto"):
        return best
    try:
        device = torch.device(str(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = " or ".join(dict.fromkeys(("cpu", best.type)))
        raise ConfigError(f"the device {name!r} cannot be used on this machine; try {there}") from error
    return device


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_precision(name: str | None, device: torch.device) -> torch.dtype:
    """The named precision, or bf16 where the hardware computes in it, else fp32."""
    if name not in (None, "auto"):
        if name not in PRECISIONS:
            raise ConfigError(f"there is no precision {name!r}{nearest(str(name), list(PRECISIONS))}")
        return PRECISIONS[str(name)]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and cpu_computes_bf16():
        return torch.bfloat16
    return torch.float32


@cache
def cpu_computes_bf16() -> bool:
    """Whether oneDNN, which runs the convolutions, has kernels of bf16 for this CPU; without them it is far slower.

    Told by what the CPU says of itself, not by a stop-watch: the precision changes the picture, so one machine must
    answer alike every time.  AVX-512 (with its BW, DQ and VL parts), AVX-NE-CONVERT, or Arm's bf16.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    # older PyTorch names only the kind of kernels it picked, which stand for the same instructions
    if not hasattr(torch.cpu, "get_capabilities"):
        return torch.backends.cpu.get_cpu_capability() in ("AVX512", "SVE256")
    has = torch.cpu.get_capabilities()
    avx512 = all(has.get(f"avx512_{part}") for part in ("f", "bw", "dq", "vl"))
    return bool(avx512 or has.get("avx_ne_convert") or has.get("bf16"))
