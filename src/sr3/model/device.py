"""Where and in what precision networks run."""

import torch

from sr3.model.config import ConfigError, nearest


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or the best there is: CUDA, Apple's MPS, else the CPU.  ConfigError where it is not there."""
    if name in (None, "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(str(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"the device {name!r} cannot be used on this machine; try cpu, cuda or mps") from error
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
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32
