"""Files of other code's weights: read without unpickling anything but tensors, checked, and put into a model.

Of whom they come from the modules `foreign_…` know; what these share is here.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.model.checkpoint import CheckpointError, check_finite
from sr3.model.config import ModelConfig, parse
from sr3.model.model import Model

TERMS = "Those of whoever trained it: ask before you hand it on."


def ways(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """How a model is sampled: in 20 or 50 steps of ours, or as the code does that it comes from, `theirs`.

    With fresh noise in every step, as theirs is: without it few steps of noise that was learnt to be predicted are 1.5
    to 2.5 dB further off (docs/importing.md).
    """
    quick: dict[str, Any] = {"sampler": {"kind": "dpmpp", "eta": 1.0}, "spacing": "logsnr"}
    fast, balanced = ({**quick, "steps": steps} for steps in (20, 50))
    return {"sampling": balanced, "quality": {"fast": fast, "balanced": balanced, "best": dict(theirs)}}


def read_state(path: Path, ending: str) -> dict[str, Tensor]:
    """The tensors of a `torch.save`d state dict, by name; CheckpointError for anything else.

    ending: what the names of files end in that hold weights, for those who give the optimizer's.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a .pth file")
    # warnings are of pickles that are not as PyTorch writes them: what cannot be read is refused
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            state: Any = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # nearly anything, as its unpickler takes whatever the file says for what it needs
            raise CheckpointError(f"{path} is not a state dict that PyTorch can read without running code") from error
    if isinstance(state, dict) and ("optimizer" in state or "optimizers" in state):
        raise CheckpointError(f"{path} holds the state of an optimizer; the weights are in the file ending in {ending}")
    tensors = {str(k).removeprefix("module."): v for k, v in state.items()} if isinstance(state, dict) else {}
    if not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise CheckpointError(f"{path} holds no state dict, which is a table of tensors by name")
    return tensors


def network_of(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the network, `denoise_fn.…`, in float32 and by the rest of their names.

    CheckpointError for what are none.
    """
    network = {k.removeprefix("denoise_fn."): v for k, v in state.items() if k.startswith("denoise_fn.")}
    for name, t in network.items():
        if t.layout != torch.strided or t.is_meta or not t.is_floating_point() or not t.ndim or not t.numel():
            raise CheckpointError(f"{path}: {name} is {tuple(t.shape)} of {t.dtype}, which are no weights")
    tensors = {name: t.float() for name, t in network.items()}
    check_finite(path, tensors)
    return tensors


def check_ends(path: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    """CheckpointError unless the first layer takes a picture beside the noisy one.

    name: that layer's in the file.  tensors: by our names.
    """
    weight = tensors["enter.weight"]
    if weight.ndim != 4:
        raise CheckpointError(f"{path}: denoise_fn.{name}.weight has {weight.ndim} sides, and not 4")
    if weight.shape[1] != 2 * len(tensors.get("leave.weight", ())):
        raise CheckpointError(f"{path} is of a network that makes pictures from nothing: it sees only the noisy one")


def list_of(path: Path, name: str, t: Tensor) -> Tensor:
    """A list of numbers in float64; CheckpointError for what is none."""
    if t.ndim != 1 or not t.numel() or t.is_complex() or t.layout != torch.strided or t.is_meta:
        raise CheckpointError(f"{path}: its {name} are {tuple(t.shape)} of {t.dtype}, and no list of numbers")
    return t.double()


def linear(path: Path, betas: Tensor, *, digits: int, within: float) -> dict[str, Any]:
    """The schedule whose betas these are; CheckpointError where they are not evenly spaced.

    digits: to which the first and last are rounded, as they were typed in decimals.  within: the largest relative
    error of what was stored.
    """
    start, stop, steps = *(float(f"{betas[k].item():.{digits}g}") for k in (0, -1)), len(betas)
    even = torch.linspace(start, stop, steps, dtype=torch.float64)
    if not (min(start, stop) > 0 and max(start, stop) < 1 and torch.allclose(betas, even, rtol=within)):
        raise CheckpointError(
            f"{path} was trained with betas that are not evenly spaced between 0 and 1; sr3 imports linear ones"
        )
    return {"kind": "linear-beta", "start": start, "stop": stop, "steps": steps}


PUBLISHED: dict[str, Any] = {"kind": "linear-beta", "start": 1e-6, "stop": 1e-2, "steps": 2000}
"""The schedule of training in the configurations that both codes come with."""


def model_of(raw: dict[str, Any], about: dict[str, Any]) -> Model:
    """A model without weights.  ConfigError where its network cannot be."""
    with torch.device("meta"):
        return Model(parse("the imported model", ModelConfig, raw), about=about | {"terms": TERMS})


def put_in(path: Path, model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Put the weights in; CheckpointError names the first that does not fit."""
    wanted = {name: t.shape for name, t in model.net.state_dict().items()}
    for name in sorted({*wanted, *tensors}):
        if name not in tensors or name not in wanted or tensors[name].shape != wanted[name]:
            needs, has = (tuple(of[name].shape) if name in of else "none" for of in (model.net.state_dict(), tensors))
            raise CheckpointError(f"{path} does not fit: as {name} the network needs {needs}, and the file has {has}")
    model.net.load_state_dict(dict(tensors), assign=True)
    model.net.eval().requires_grad_(False)
