"""Exact denoisers, for tests of samplers and objectives."""

from sr3.diffusion.exact import *  # noqa: F403
