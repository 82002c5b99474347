"""Weights trained with the most used public code for SR3, Janspiry's, as models: renamed, and checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sr3.model import foreign_file as files
from sr3.model.checkpoint import CheckpointError
from sr3.model.config import file_name
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


def janspiry_sr3(path: Path, *, factor: int = 8, groups: int | None = None) -> Model:
    """A model from `I…_gen.pth` of github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement.

    The shape of the network and the noise schedule are in the file.  What is not must be told where the default is
    wrong: factor, of the enlargement; groups, of the norms, by default 16 for the published network of 64 to 512
    pixels and else 32.

    Its "best" is that code's own sampling: 2000 steps, posterior variance, estimates clipped.
    CheckpointError for other files, and ConfigError where what is told does not fit.
    """
    state = files.read_state(path, "_gen.pth")
    if "denoise_fn.downs.0.weight" not in state:
        raise CheckpointError(f"{path} has no weights named denoise_fn.downs.0: that code's state dicts have")
    if "denoise_fn.noise_level_mlp.1.weight" not in state:
        raise CheckpointError(f"{path} is of that code's DDPM network, which is told a step and not a noise level")
    tensors = renamed(files.network_of(path, state))
    network = network_like(path, tensors)
    if groups is None:
        groups = 16 if (network["multipliers"], network["blocks"]) == ([1, 2, 4, 8, 16], 1) else 32
    schedule, betas = files.PUBLISHED, state.get("betas")
    if betas is not None:  # they are stored in float32
        schedule = files.linear(path, files.list_of(path, "betas", betas), digits=6, within=1e-4)
    theirs = {"sampler": {"kind": "ancestral", "variance": "posterior"}, "spacing": "t", "steps": schedule["steps"]}
    raw: dict[str, Any] = {
        "name": file_name(path.stem),
        "network": {**network, "groups": groups},
        "tell": "plain-alpha",
        "task": {"kind": "super-resolution", "factor": factor},
        "schedule": schedule,
        **files.ways(theirs),
    }
    model = files.model_of(raw, {"what": f"imported from {path.name}, trained with Janspiry's code for SR3"})
    files.put_in(path, model, tensors)
    return model


def renamed(network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by our names."""
    return {_ours(name): t for name, t in network.items()}


def _ours(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    # their first of `downs` is our `enter`
    return re.sub(r"^downs\.(\d+)\.", lambda m: f"down.{int(m[1]) - 1}.", name)


def network_like(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The network but for its groups, read from the names and sizes of its weights; CheckpointError for none."""
    files.check_ends(path, "downs.0", tensors)
    channels = len(tensors["enter.weight"])
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
        "kind": "janspiry-unet",
        "channels": channels,
        "multipliers": [level[0] // channels for level in widths],
        "blocks": blocks,
        "attention": sorted(attention),
    }
