"""Weights trained with the most used public code for Palette, Janspiry's, as models: renamed, put in order, checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.model import foreign_file as files
from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError, file_name
from sr3.model.foreign_sr3 import network_like as sr3_network
from sr3.model.foreign_sr3 import renamed as sr3_renamed
from sr3.model.model import Model

NAMES = {
    "in_layers.0": "norm_first",
    "in_layers.2": "first",
    "emb_layers.1": "told",
    "out_layers.0": "norm_second",
    "out_layers.3": "second",
    "skip_connection": "skip",
    "norm": "attention.norm",
    "qkv": "attention.qkv",
    "proj_out": "attention.out",
}
"""Theirs -> ours, of what a block and the attention after it have; where blocks are is in `_places`."""

ENDS = {
    "cond_embed.0": "embed.first",
    "cond_embed.2": "embed.second",
    "input_blocks.0.0": "enter",
    "out.0": "norm",
    "out.2": "leave",
}

LIMITS = {
    "colorization": "The script that comes with that code makes pictures grey by the lightness of CIE Lab; sr3 uses "
    "the luminance of BT.601, and holds results to it unless told otherwise.",
    "inpainting": "That code begins its walk from the noise that the hole of the condition holds; sr3 draws the two "
    "apart, as that code does in training.",
}
LIMITS["uncropping"] = LIMITS["inpainting"]

WALKED: dict[str, Any] = {"kind": "linear-beta", "start": 1e-4, "stop": 0.09, "steps": 1000}
"""The betas of that code's sampling, in all of its configurations."""


def janspiry_palette(
    path: Path, *, task: str | None = None, side: int = 256, groups: int = 32, head_width: int | None = None
) -> Model:
    """A model from `…_Network.pth` or `…_ema.pth` of github.com/Janspiry/Palette-Image-to-Image-Diffusion-Models.

    The shape of the network is in the file, and of raw weights the noise schedule.  What is not must be told:
    task, what it was trained for, a name of `LIMITS`.  And where the default is wrong: side, of the pictures it was
    trained on; groups, of the norms; head_width, the channels of each head of attention, 0 for one head and by default
    32.  Networks that the code calls `sr3` have one head always.

    Its "best" is that code's own sampling: 1000 steps, posterior variance, estimates clipped, and the known pixels put
    back at every step.
    CheckpointError for other files, and ConfigError where what is told does not fit.
    """
    if task not in LIMITS:
        raise ConfigError(
            f"what {path} was trained for is not in it, and "
            + (f"{task!r} is no task of that code" if task else "is not told")
            + f"; give --task, one of {', '.join(LIMITS)}"
        )
    state = files.read_state(path, "_Network.pth or _Network_ema.pth")
    sr3 = "denoise_fn.downs.0.weight" in state
    if not sr3 and not {"denoise_fn.input_blocks.0.0.weight", "denoise_fn.cond_embed.0.weight"} <= set(state):
        raise CheckpointError(f"{path} has no weights named denoise_fn.input_blocks.0.0: that code's state dicts have")
    if sr3 and head_width is not None:
        raise ConfigError(f"{path} is of a network whose attention has one head; leave out --head-width")
    head = 32 if head_width is None else head_width
    tensors = files.network_of(path, state)
    tensors = sr3_renamed(tensors) if sr3 else _renamed(path, tensors)
    network = sr3_network(path, tensors) if sr3 else {**_network(path, tensors), "head": head}
    ratio = state.get("sqrt_recipm1_gammas")
    theirs = {"sampler": {"kind": "ancestral", "variance": "posterior"}, "spacing": "t"}
    theirs |= {"steps": WALKED["steps"], "schedule": WALKED}
    raw: dict[str, Any] = {
        "name": file_name(path.stem),
        "network": {**network, "groups": groups},
        "tell": "plain-alpha-bar",
        "pasted": task != "colorization",
        "task": {"kind": task},
        "schedule": files.PUBLISHED if ratio is None else _schedule(path, ratio),
        **files.ways(theirs),
        "sides": (max(1, side // 8), side),
    }
    about = {"what": f"imported from {path.name}, trained with Janspiry's code for Palette", "limits": LIMITS[task]}
    model = files.model_of(raw, about)
    files.put_in(path, model, tensors if sr3 else _ordered(tensors, head))
    return model


def _places(names: Mapping[str, Any]) -> dict[str, str]:
    """Where each of their modules is in ours: "output_blocks.2.1" -> "up.3", or "up.2" for attention after that."""
    found = {m[0] for name in names if (m := re.match(r"(in|out)put_blocks\.[0-9]{1,4}\.[0-9]{1,4}(?=\.)", name))}
    places = {"middle_block.0": "middle.0", "middle_block.1": "middle.0", "middle_block.2": "middle.1"}
    count = 0
    for name in sorted(found, key=lambda name: [int(part) for part in name.split(".")[1:]]):
        kind, number, _ = name.split(".")
        if kind == "input_blocks":
            places[name] = f"down.{int(number) - 1}"
        else:
            count += f"{name}.qkv.weight" not in names
            places[name] = f"up.{count - 1}"
    return places | ENDS


def _renamed(path: Path, network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by our names; CheckpointError where two would have the same."""
    if any(name.endswith(".op.weight") for name in network):
        raise CheckpointError(
            f"{path} is of a network whose levels are joined by convolutions; sr3 imports those with resblock_updown, "
            "that code's default"
        )
    places = _places(network)
    tensors: dict[str, Tensor] = {}
    for name, t in network.items():
        whole, _, leaf = name.rpartition(".")
        parts = whole.split(".")
        split = 2 if parts[0] == "middle_block" else 3
        place, inner = ".".join(parts[:split]), ".".join(parts[split:])
        if place in places and (not inner or place not in ENDS):
            whole = f"{places[place]}.{NAMES.get(inner, inner)}".removesuffix(".")
        own = f"{whole}.{leaf}".removeprefix(".")
        if own in tensors:
            raise CheckpointError(f"{path} has {name} besides another that is the same in that code's networks")
        tensors[own] = t
    return tensors


def _network(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The network but for its groups and heads, read from the names and sizes of its weights."""
    files.check_ends(path, "input_blocks.0.0", tensors)
    first = tensors["embed.first.weight"]
    if first.ndim != 2 or first.shape[1] % 2:
        raise CheckpointError(f"{path}: its sinusoid has an odd number of features, or none: {tuple(first.shape)}")
    # a block that halves the picture has the weights of one that does not: how many there are tells which they are
    downs, ups = (len({n.split(".")[1] for n in tensors if n.startswith(f"{way}.")}) for way in ("down", "up"))
    levels = ups - downs
    blocks = (downs + 1) // levels - 1 if levels > 0 else 0
    begins = [tensors.get(f"down.{level * (blocks + 1)}.first.weight") for level in range(levels)] if blocks else []
    if not begins or downs != levels * (blocks + 1) - 1 or any(weight is None for weight in begins):
        raise CheckpointError(f"{path} has levels of unlike numbers of blocks: that code's networks do not")
    attends = [f"down.{level * (blocks + 1)}.attention.qkv.weight" in tensors for level in range(levels)]
    return {
        "kind": "janspiry-palette-unet",
        "channels": first.shape[1],
        "widths": [len(weight) for weight in begins if weight is not None],
        "blocks": blocks,
        "attention": [level for level, attend in enumerate(attends) if attend],
    }


def _ordered(tensors: Mapping[str, Tensor], head: int) -> dict[str, Tensor]:
    """The weights in the order of our networks; what cannot be put so does not fit, and stays as it is."""
    found = dict(tensors)
    for name, t in tensors.items():
        if name == "embed.first.weight":  # theirs has cosines first
            found[name] = t.roll(t.shape[1] // 2, 1)
        if name.endswith((".qkv.weight", ".out.weight")) and t.ndim == 3:  # a convolution over all positions in a row
            found[name] = t = t[..., None]
        heads = max(1, len(t) // 3 // head) if head else 1
        if ".qkv." in name and len(t) % (3 * heads) == 0:  # theirs has each head's query, key and value together
            found[name] = t.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)
    return found


def _schedule(path: Path, ratio: Tensor) -> dict[str, Any]:
    """The schedule of training, from sigma / alpha at its knots: of what is stored the most exact at both ends."""
    log = -torch.log1p(files.list_of(path, "sqrt_recipm1_gammas", ratio) ** 2)  # of alpha-bar
    betas = -torch.expm1(log.diff(prepend=log.new_zeros(1)))
    return files.linear(path, betas, digits=4, within=1e-3)
