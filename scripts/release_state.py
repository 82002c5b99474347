"""Weights in one flat vector, and the files that a run of `train_release.py` goes on from."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr3.files import write_text
from sr3.model.checkpoint import read_tensors, write_tensors

LIMIT = 16_000_000
"""No file is larger, in bytes, so that every one can be sent anywhere."""
HEADER = 200_000
"""Of them, kept for a file's header."""


class Flat:
    """A network's parameters and gradients as views of two vectors.

    The optimiser, the average, the norm and a saved state are then one tensor each: one kernel instead of hundreds,
    and none of the refusals of fused optimisers where a gradient's memory lies otherwise than its weight's.
    """

    def __init__(self, net: nn.Module):
        if list(net.buffers()):
            raise ValueError("the network has buffers, which are neither trained nor averaged; train it with sr3 train")
        self.names = [name for name, _ in net.named_parameters()]
        self.shapes = [p.shape for p in net.parameters()]
        sizes = [-(-shape.numel() // 64) * 64 for shape in self.shapes]  # aligned, as compiled kernels like it
        self.places = torch.tensor([0, *sizes]).cumsum(0).tolist()
        device = next(net.parameters()).device
        self.weights = nn.Parameter(torch.zeros(self.places[-1], device=device))
        self.weights.grad = torch.zeros_like(self.weights)
        mine, slopes = self.named(self.weights.detach()), self.named(self.weights.grad)
        for name, parameter in net.named_parameters():
            mine[name].copy_(parameter.detach())
            parameter.data = mine[name]
            parameter.grad = slopes[name]

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector by the parameters' names; convolutions' weights are channels-last."""
        found: dict[str, Tensor] = {}
        for name, shape, place in zip(self.names, self.shapes, self.places[:-1], strict=True):
            part = vector[place : place + shape.numel()]
            if len(shape) == 4:
                out, into, height, width = shape
                found[name] = part.view(out, height, width, into).permute(0, 3, 1, 2)
            else:
                found[name] = part.view(shape)
        return found


def save(folder: Path, vectors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write vectors of one length in pieces, then the list of the pieces, which is what counts; drop older ones."""
    whole = torch.cat([v.detach().float().cpu() for v in vectors.values()])
    files: list[str] = []
    for number, piece in enumerate(whole.split((LIMIT - HEADER) // 4)):
        # two names in turn: the state before stays whole until the list names this one
        name = f"state-{facts['saves'] % 2}-{number}.safetensors"
        write_tensors(folder / name, {"piece": piece.clone()}, {"saves": str(facts["saves"])})
        files.append(name)
    write_text(folder / "state.json", json.dumps({**facts, "vectors": list(vectors), "files": files}, indent=1) + "\n")
    for old in folder.glob("state-*.safetensors"):
        if old.name not in files:
            old.unlink()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save` wrote, or None where there is nothing; ValueError where the pieces are not of one save."""
    path = folder / "state.json"
    if not path.exists():
        return None
    facts = json.loads(path.read_text("utf-8"))
    pieces: list[Tensor] = []
    for name in facts["files"]:
        tensors, marked = read_tensors(folder / name)
        if marked.get("saves") != str(facts["saves"]):
            raise ValueError(
                f"{folder / name} is not of the state that {path} describes; bring all files back together"
            )
        pieces.append(tensors["piece"])
    names = facts["vectors"]
    return dict(zip(names, torch.cat(pieces).chunk(len(names)), strict=True)), facts
