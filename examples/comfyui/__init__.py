"""A node for ComfyUI that enlarges images with sr3: copy this folder to custom_nodes/sr3, and install sr3 there.

It needs no other package.  The models are those that come with sr3, and files of one's own by their path.
"""

from functools import lru_cache

import torch
from comfy.model_management import get_torch_device, throw_exception_if_processing_interrupted
from comfy_api.latest import ComfyAPISync, ComfyExtension, io

from sr3.model.model import Model, names
from sr3.restore.restorer import Restorer
from sr3.restore.usual import usual
from sr3.task import SuperResolution

USUAL = "the model's own"
"""Of the quality: what the model does when nothing is asked for."""


@lru_cache(maxsize=2)
def restorer(model: str) -> Restorer:
    """A model made ready on the device that ComfyUI works on."""
    return Restorer.load(model, device=str(get_torch_device()))


def models() -> list[str]:
    """The models that come with sr3 and enlarge, the usual one first."""
    found = [name for name in names() if isinstance(Model.from_pretrained(name, weights=False).task, SuperResolution)]
    return sorted(found, key=lambda name: name != usual(refined=False)[0])


class Enlarge(io.ComfyNode):
    """Images larger, each by a walk of its own: the first with the seed, the second with seed + 1, and so on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SR3Enlarge",
            display_name="Enlarge (SR3)",
            category="image/upscaling",
            description="Makes images larger by iterative refinement. Made small again, a result is the image given.",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("model", options=models()),
                io.Float.Input("scale", default=4.0, min=1.0, max=64.0, step=0.5),
                io.Combo.Input("quality", options=[USUAL, "fast", "balanced", "best"]),
                io.Int.Input("seed", default=0, min=0, max=2**53 - 1, control_after_generate=True),
                io.Float.Input("fidelity", default=1.0, min=0.0, max=1.0, step=0.05, tooltip="How far it is held to."),
                io.String.Input("file", default="", optional=True, tooltip="A model's file instead of the one above."),
            ],
            outputs=[io.Image.Output(display_name="IMAGE")],
        )

    @classmethod
    def execute(cls, image, model, scale, quality, seed, fidelity, file="") -> io.NodeOutput:
        ready, progress = restorer(file or model), ComfyAPISync().execution
        made: list[torch.Tensor] = []
        for k, one in enumerate(image):  # [H, W, C] in [0, 1]
            given = one[..., :3].permute(2, 0, 1)[None].float().cpu().clamp(0, 1) * 2 - 1
            how = {} if quality == USUAL else {"quality": quality}
            for step in ready.stream(given, scale=scale, seed=seed + k, fidelity=fidelity, **how):
                throw_exception_if_processing_interrupted()
                if hasattr(step, "done"):
                    progress.set_progress(k * step.total + step.done, len(image) * step.total)
            made.append((step.variants[0].rgb[0].permute(1, 2, 0) + 1) / 2)
        return io.NodeOutput(torch.stack(made))


class SR3(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [Enlarge]


async def comfy_entrypoint() -> SR3:
    return SR3()
