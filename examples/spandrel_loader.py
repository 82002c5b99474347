"""A model of one pass as one torch module, for programs that load networks of many kinds and do not have sr3.

    network = OnePass("photo-4x-fast.safetensors")
    large = network(image, seed=0)  # [B, 3, h, w] RGB in [0, 1] -> [B, 3, h * network.scale, w * network.scale]

Regressions, and diffusion models of one step, which begin from the noise of a seed.  Needs torch and safetensors alone.
Where sr3 may be installed, `sr3.model.export_graph.Graph(Model.from_pretrained(…))` is the same, of more models.  The
file's header says `format`: "sr3", and `config`.
"""

import json
import math
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn


class OnePass(nn.Module):
    def __init__(self, path: str):
        super().__init__()
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config = json.loads(said.get("config", "{}")) if said.get("format") == "sr3" else {}
        network = config.get("network", {})
        known = network.get("kind") in ("plain", "unet") and not network.get("attention")
        kind, self.noise = config.get("kind"), 0.0
        if kind == "diffusion" and _one_step(config):
            self.noise = config["sampling"].get("noisiest") or config["schedule"].get("sigma_max", 80.0)
        if not (kind == "regression" or self.noise) or config.get("first") or not known:
            raise ValueError(f"{path} holds no sr3 model of one pass with a network of kind plain or unet")
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(t, False) for name, t in tensors.items()})
        self.network = self.plain if network["kind"] == "plain" else self.unet
        self.scale, self.patch = config["task"]["factor"], network.get("patch", 4)
        self.blocks = network.get("blocks", 5 if network["kind"] == "plain" else [3, 3])
        self.residual, prediction = config["residual"], config["prediction"]
        self.unit = prediction.get("sigma_data", 0.5) if prediction["kind"] == "edm" else 1.0
        # Karras et al. (2022), table 1: c_in, c_out and c_skip, which of no noise are a regression's too
        total = math.hypot(self.noise, self.unit)
        self.enter = self.noise / total
        self.gain = self.noise * self.unit / total if self.noise else self.unit
        self.keep = self.noise * self.unit**2 / total**2

    def forward(self, image: Tensor, seed: int = 0) -> Tensor:
        large = F.interpolate(image * 2 - 1, scale_factor=self.scale, mode="bicubic", antialias=True)
        height, width = large.shape[-2:]
        stride = self.patch * (1 if isinstance(self.blocks, int) else 2 ** (len(self.blocks) - 1))
        seen = F.pad(large, (0, -width % stride, 0, -height % stride), mode="replicate")
        field = torch.zeros_like(large)
        if self.noise:  # drawn on the processor, so that a seed means the same everywhere
            field = torch.randn(large.shape, generator=torch.Generator().manual_seed(seed)).to(large)
        x = F.pad(self.enter * field, (0, -width % stride, 0, -height % stride), mode="replicate")
        made = self.gain * self.network(seen, x)[..., :height, :width] + self.keep * field
        return ((made + large if self.residual else made).clamp(-1, 1) + 1) / 2

    def plain(self, seen: Tensor, x: Tensor) -> Tensor:
        begin = self.conv("enter", F.pixel_unshuffle(seen, self.patch))
        if "stir/weight" in self.weights:
            begin = begin + F.conv2d(F.pixel_unshuffle(x, self.patch), self.weights["stir/weight"], padding=1)
        h = begin
        for k in range(self.blocks):
            h = h + self.conv(f"body/{k}/second", self.conv(f"body/{k}/first", h).relu())
        return F.pixel_shuffle(self.conv("leave", begin + self.conv("last", h)), self.patch)

    def unet(self, seen: Tensor, x: Tensor) -> Tensor:
        half = self.weights["embed/first/weight"].shape[1] // 2
        rates = torch.exp(-math.log(1e4) / half * torch.arange(half, device=seen.device))
        angle = rates[None] * (250 * math.log(self.noise) if self.noise else 0.0)
        told = torch.cat([angle.sin(), angle.cos()], 1)
        told = F.silu(self.linear("embed/second", F.silu(self.linear("embed/first", told))))
        h = self.conv("enter", F.pixel_unshuffle(torch.cat([seen, x], 1), self.patch))
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


def _one_step(config: dict[str, Any]) -> bool:
    """Whether the one step of a diffusion model is such as sr3 trains: EDM's, from a noise that leaves nothing seen."""
    sampling, kinds = config["sampling"], [config[part].get("kind") for part in ("prediction", "schedule")]
    sampler = sampling["sampler"]
    straight = sampler.get("kind") in ("ancestral", "ddim", "heun", "dpmpp") and not sampler.get("churn")
    told = config["tell"] == "logsnr" and kinds == ["edm", "log-normal"] and not sampling.get("schedule")
    return sampling["steps"] == 1 and straight and told
