"""Tasks: what the world does to a picture, what the network sees of it, and what the user gets."""

from sr3.task.base import Given, Restoration, Task, again
from sr3.task.colorization import Colorization
from sr3.task.denoising import Denoising
from sr3.task.generation import Generation
from sr3.task.inpainting import Inpainting
from sr3.task.jpeg_restoration import JpegRestoration
from sr3.task.several import Several
from sr3.task.super_resolution import SuperResolution
from sr3.task.uncropping import Uncropping

TASKS = {
    "colorization": Colorization,
    "denoising": Denoising,
    "generation": Generation,
    "inpainting": Inpainting,
    "jpeg-restoration": JpegRestoration,
    "several": Several,
    "super-resolution": SuperResolution,
    "uncropping": Uncropping,
}

__all__ = [
    "TASKS",
    "Colorization",
    "Denoising",
    "Generation",
    "Given",
    "Inpainting",
    "JpegRestoration",
    "Restoration",
    "Several",
    "SuperResolution",
    "Task",
    "Uncropping",
    "again",
]
