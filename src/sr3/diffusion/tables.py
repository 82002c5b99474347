"""The samplers and objectives that there are, by name: what recipes and the command line read."""

from sr3.diffusion.langevin import LANGEVIN
from sr3.diffusion.objective import REGRESSIONS, Objective
from sr3.diffusion.sample import WALKS, Sampler
from sr3.diffusion.score_matching import SCORE_MATCHING

SAMPLERS: dict[str, Sampler] = {**WALKS, **LANGEVIN}
OBJECTIVES: dict[str, type[Objective]] = {**REGRESSIONS, **SCORE_MATCHING}
