"""Tasks: what the world does to a picture, what the network sees of it, and what the user gets."""

from sr3.task.base import Given, Restoration, Task
from sr3.task.generation import Generation
from sr3.task.super_resolution import SuperResolution

TASKS = {"generation": Generation, "super-resolution": SuperResolution}

__all__ = ["TASKS", "Generation", "Given", "Restoration", "SuperResolution", "Task"]
