"""The world's damage between a clean picture and the small file that people have of it."""

from sr3.task.damage.damage import Damage

__all__ = ["Damage"]
