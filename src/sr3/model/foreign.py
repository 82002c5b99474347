"""Weights trained with other code, as models: read without unpickling anything but tensors, renamed, and checked."""

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.model.checkpoint import CheckpointError, check_finite
from sr3.model.config import ConfigError, ModelConfig, file_name, nearest
from sr3.model.model import Model

NAMES = [
    (r"^noise_level_mlp\.1\.", "embed.first."),
    (r"^noise_level_mlp\.3\.", "embed.second."),
    (r"^downs\.0\.", "enter."),
    (r"^mid\.", "middle."),
    (r"^ups\.", "up."),
    (r"^final_conv\.block\.0\.", "norm."),
    (r"^final_conv\.block\.3\.", "leave."),
    (r"\.res_block\.noise_func\.noise_func\.0\.", ".told."),
    (r"\.res_block\.block1\.block\.0\.", ".norm_first."),
    (r"\.res_block\.block1\.block\.3\.", ".first."),
    (r"\.res_block\.block2\.block\.0\.", ".norm_second."),
    (r"\.res_block\.block2\.block\.3\.", ".second."),
    (r"\.res_block\.res_conv\.", ".skip."),
    (r"\.attn\.", ".attention."),
]
"""(theirs, ours) of the names of weights, each a pattern and what is put in its place; `downs` besides."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `torch.save`d state dict, by name; CheckpointError for anything else."""
    if not path.is_file():
        raise CheckpointError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a .pth file")
    # warnings are of pickles that are not as PyTorch writes them: what cannot be read is refused
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            state: Any = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # nearly anything, as its unpickler takes whatever the file says for what it needs
            raise CheckpointError(f"{path} is not a state dict that PyTorch can read without running code") from error
    if isinstance(state, dict) and "optimizer" in state:
        raise CheckpointError(f"{path} holds the state of an optimizer; the weights are in the file ending in _gen.pth")
    tensors = {str(k).removeprefix("module."): v for k, v in state.items()} if isinstance(state, dict) else {}
    if not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise CheckpointError(f"{path} holds no state dict, which is a table of tensors by name")
    return tensors


def janspiry_sr3(path: Path, *, factor: int = 8, groups: int | None = None) -> Model:
    """A model from `I…_gen.pth` of github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement.

    The shape of the network and the noise schedule are in the file.  What is not must be told where the default is
    wrong: factor, of the enlargement; groups, of the norms, by default 16 for the published network of 64 to 512
    pixels and else 32.

    Its "best" is that code's own sampling: 2000 steps, posterior variance, estimates clipped.
    CheckpointError for other files, and ConfigError where what is told does not fit.
    """
    state = read_state(path)
    network = {k.removeprefix("denoise_fn."): v for k, v in state.items() if k.startswith("denoise_fn.")}
    if "downs.0.weight" not in network:
        raise CheckpointError(f"{path} has no weights named denoise_fn.downs.0: that code's state dicts have")
    if "noise_level_mlp.1.weight" not in network:
        raise CheckpointError(f"{path} is of that code's DDPM network, which is told a step and not a noise level")
    for name, t in network.items():
        if t.layout != torch.strided or t.is_meta or not t.is_floating_point() or not t.ndim or not t.numel():
            raise CheckpointError(f"{path}: {name} is {tuple(t.shape)} of {t.dtype}, which are no weights")
    tensors = {_renamed(name): t.float() for name, t in network.items()}
    check_finite(path, tensors)
    shape = _shape(path, tensors)
    if groups is None:
        groups = 16 if (shape["multipliers"], shape["blocks"]) == ([1, 2, 4, 8, 16], 1) else 32
    steps, schedule = _schedule(path, state.get("betas"))
    quick = {"sampler": {"kind": "dpmpp"}, "spacing": "logsnr"}
    theirs = {"sampler": {"kind": "ancestral", "variance": "posterior"}, "spacing": "t", "steps": steps}
    raw: dict[str, Any] = {
        "name": file_name(path.stem),
        "network": {"kind": "janspiry-unet", "groups": groups, **shape},
        "tell": "plain-alpha",
        "task": {"kind": "super-resolution", "factor": factor},
        "schedule": schedule,
        "sampling": {**quick, "steps": 50},
        "quality": {"fast": {**quick, "steps": 8}, "balanced": {**quick, "steps": 50}, "best": theirs},
    }
    about = {
        "what": f"imported from {path.name}, trained with Janspiry's code for SR3",
        "terms": "Those of whoever trained it: ask before you hand it on.",
    }
    with torch.device("meta"):
        model = Model(ModelConfig.model_validate(raw), about=about)
    _load(path, model, tensors)
    return model


def _renamed(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    # their first of `downs` is our `enter`
    return re.sub(r"^downs\.(\d+)\.", lambda m: f"down.{int(m[1]) - 1}.", name)


def _shape(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of the network, read from the names and sizes of its weights."""
    if tensors["enter.weight"].ndim != 4:
        raise CheckpointError(f"{path}: denoise_fn.downs.0.weight has {tensors['enter.weight'].ndim} sides, and not 4")
    channels, taken = tensors["enter.weight"].shape[:2]
    out = len(tensors.get("leave.weight", ()))
    if taken != 2 * out:
        raise CheckpointError(f"{path} is of a network that makes pictures from nothing, and not of one that enlarges")
    widths: list[list[int]] = [[]]
    attention: set[int] = set()
    for index in range(sum(name.startswith("down.") for name in tensors)):
        if f"down.{index}.conv.weight" in tensors:
            widths.append([])
        elif (weight := tensors.get(f"down.{index}.first.weight")) is not None:
            widths[-1].append(len(weight))
            if f"down.{index}.attention.qkv.weight" in tensors:
                attention.add(len(widths) - 1)
    blocks = len(widths[0])
    if not blocks or any(len(level) != blocks or level[0] % channels for level in widths):
        raise CheckpointError(f"{path} has levels of unlike numbers of blocks: that code's networks do not")
    return {
        "channels": channels,
        "multipliers": [level[0] // channels for level in widths],
        "blocks": blocks,
        "attention": sorted(attention),
    }


def _schedule(path: Path, betas: Tensor | None) -> tuple[int, dict[str, Any]]:
    """(steps, the schedule) of a file's betas; those of the published configurations where it has none."""
    start, stop, steps = 1e-6, 1e-2, 2000
    if betas is not None:
        if betas.ndim != 1 or not betas.numel() or betas.is_complex() or betas.layout != torch.strided or betas.is_meta:
            raise CheckpointError(
                f"{path}: its betas are {tuple(betas.shape)} of {betas.dtype}, and no list of numbers"
            )
        steps = len(betas)
        # they are stored in float32, and were typed in decimals
        start, stop = (float(f"{betas[k].item():.6g}") for k in (0, -1))
        if not torch.allclose(betas.double(), torch.linspace(start, stop, steps).double(), rtol=1e-4):
            raise CheckpointError(f"{path} was trained with betas that are not evenly spaced; sr3 imports linear ones")
    return steps, {"kind": "linear-beta", "start": start, "stop": stop, "steps": steps}


def _load(path: Path, model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Put the weights in; CheckpointError names the first that does not fit."""
    wanted = {name: t.shape for name, t in model.net.state_dict().items()}
    for name in sorted({*wanted, *tensors}):
        if name not in tensors or name not in wanted or tensors[name].shape != wanted[name]:
            needs, has = (tuple(of[name].shape) if name in of else "none" for of in (model.net.state_dict(), tensors))
            raise CheckpointError(f"{path} does not fit: as {name} the network needs {needs}, and the file has {has}")
    model.net.load_state_dict(dict(tensors), assign=True)
    model.net.eval().requires_grad_(False)


FOREIGN: dict[str, Callable[..., Model]] = {"janspiry-sr3": janspiry_sr3}
"""What weights can be imported, by the name of the code that made them."""


def bring(path: Path, origin: str, **told: Any) -> Model:
    """A model from a file of other code's weights; origin: a name of `FOREIGN`; told: that function's options."""
    if origin not in FOREIGN:
        raise ConfigError(f"there is no code {origin!r} to import from{nearest(origin, list(FOREIGN))}")
    return FOREIGN[origin](path, **told)
