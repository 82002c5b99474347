"""A regression model's file as one torch module, for programs that load networks of many kinds and do not have sr3.

    network = Regression("photo-4x-regression.safetensors")
    large = network(image)  # [B, 3, h, w] RGB in [0, 1] -> [B, 3, h * network.scale, w * network.scale]

Needs torch and safetensors alone.  Where sr3 may be installed, `sr3.model.export_graph.Graph(Model.from_pretrained(…))`
is the same and takes diffusion models of one step too.  The file's header says `format`: "sr3", and `config`.
"""

import json

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn


class Regression(nn.Module):
    def __init__(self, path: str):
        super().__init__()
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config = json.loads(said.get("config", "{}")) if said.get("format") == "sr3" else {}
        network = config.get("network", {})
        known = network.get("kind") in ("plain", "unet") and not network.get("attention")
        if config.get("kind") != "regression" or config.get("first") or not known:
            raise ValueError(f"{path} holds no sr3 regression model with a network of kind plain or unet")
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(t, False) for name, t in tensors.items()})
        self.network = self.plain if network["kind"] == "plain" else self.unet
        self.scale, self.patch = config["task"]["factor"], network.get("patch", 4)
        self.blocks = network.get("blocks", 5 if network["kind"] == "plain" else [3, 3])
        self.residual, prediction = config["residual"], config["prediction"]
        self.unit = prediction.get("sigma_data", 0.5) if prediction["kind"] == "edm" else 1.0

    def forward(self, image: Tensor) -> Tensor:
        large = F.interpolate(image * 2 - 1, scale_factor=self.scale, mode="bicubic", antialias=True)
        height, width = large.shape[-2:]
        stride = self.patch * (1 if isinstance(self.blocks, int) else 2 ** (len(self.blocks) - 1))
        seen = F.pad(large, (0, -width % stride, 0, -height % stride), mode="replicate")
        made = self.unit * self.network(seen)[..., :height, :width]
        return ((made + large if self.residual else made).clamp(-1, 1) + 1) / 2

    def plain(self, seen: Tensor) -> Tensor:
        begin = h = self.conv("enter", F.pixel_unshuffle(seen, self.patch))
        for k in range(self.blocks):
            h = h + self.conv(f"body/{k}/second", self.conv(f"body/{k}/first", h).relu())
        return F.pixel_shuffle(self.conv("leave", begin + self.conv("last", h)), self.patch)

    def unet(self, seen: Tensor) -> Tensor:
        half = self.weights["embed/first/weight"].shape[1] // 2
        told = torch.cat([seen.new_zeros(1, half), seen.new_ones(1, half)], 1)  # the sines and cosines of no noise
        told = F.silu(self.linear("embed/second", F.silu(self.linear("embed/first", told))))
        h = self.conv("enter", F.pixel_unshuffle(torch.cat([seen, torch.zeros_like(seen)], 1), self.patch))
        kept: list[Tensor] = []
        for level, count in enumerate(self.blocks):
            if level:
                kept.append(h)
                h = self.conv(f"shrink/{level - 1}", F.pixel_unshuffle(h, 2))
            for k in range(count):
                h = self.block(f"down/{level}/{k}", h, told)
        for level in reversed(range(len(kept))):
            h = F.pixel_shuffle(self.conv(f"grow/{level}", h), 2)
            h = self.conv(f"merge/{level}", torch.cat([h, kept[level]], 1))
            for k in range(self.blocks[level]):
                h = self.block(f"up/{level}/{k}", h, told)
        return F.pixel_shuffle(self.conv("leave", F.silu(h)), self.patch)

    def block(self, name: str, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.linear(f"{name}/modulate", told)[:, :, None, None].chunk(2, 1)
        h = F.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1) * (1 + scale) + shift
        return x + self.conv(f"{name}/second", F.silu(self.conv(f"{name}/first", h)))

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weights[f"{name}/weight"]
        return F.conv2d(x, weight, self.weights[f"{name}/bias"], padding=weight.shape[-1] // 2)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])
