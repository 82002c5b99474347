"""The losses of the first 20 steps of every objective, as the trainers before this one gave them too."""

import numpy as np
import pytest

from sr3.diffusion.tables import OBJECTIVES
from sr3.model.config import Recipe
from sr3.picture.collection import Pictures
from sr3.training.data import Crops
from sr3.training.train import make_accelerator, train

UNET = {"kind": "unet", "patch": 4, "widths": [8, 16], "blocks": [1, 1], "embedding": 16, "dropout": 0.1}
LARGER = {"kind": "super-resolution", "factor": 4}
NEW = {"kind": "generation", "size": 16}
EDM = {"kind": "edm", "sigma_data": 0.1}
SPREAD = {"kind": "log-normal", "mean": -2.3, "std": 1.4, "sigma_min": 0.001, "sigma_max": 5.0}
SCORE = {"task": NEW, "prediction": {"kind": "score"}, "tell": "logsnr", "schedule": {"kind": "cosine"}}
MODELS = {
    "regression": {"kind": "regression", "residual": True, "task": LARGER, "prediction": EDM},
    "denoising": {"residual": True, "task": LARGER, "prediction": EDM, "tell": "logsnr", "schedule": SPREAD},
    "denoising-score": SCORE,
    "implicit-score": SCORE,
    "sliced-score": SCORE,
}
OPTIONS = {"denoising": {"loss": "l2", "dream": 1.0}, "implicit-score": {"trace": "hutchinson"}}
LOSSES = {
    "regression": """
        32.23686 31.48794 30.92693 30.90764 31.38548 31.90448 31.26285 30.95806 31.99485 31.10739 32.57359
        32.1101 31.52771 32.22832 32.32804 31.5196 32.12659 32.04478 32.33212 30.87382
    """,
    "denoising": """
        17.97687 13.46692 19.42706 16.32114 16.64299 17.52975 26.09275 15.39912 18.20116 18.40337 19.90757
        27.29019 10.32998 20.5104 16.72671 10.16048 20.66481 19.66899 19.57655 29.63759
    """,
    "denoising-score": """
        0.4880541 0.5017978 0.489606 0.5015759 0.5094987 0.4898344 0.50787 0.4910969 0.5218533 0.4937426
        0.5009028 0.4949569 0.5128004 0.4894202 0.4977424 0.4898316 0.4977471 0.4936749 0.5061328 0.4976112
    """,
    "implicit-score": """
        0 -1.457533e-05 -4.147873e-05 -6.760243e-05 -0.0001177211 -0.0001497055 -0.000357548 -0.0003044672
        -0.0002829064 -0.0004628883 -0.000468492 -0.0008239839 -0.0002483106 -0.0009043107 -0.0005860146
        -0.0005084206 -0.0009349009 -0.001005788 -0.001229021 -0.001877063
    """,
    "sliced-score": """
        0 -1.304566e-05 -7.100972e-05 -6.662661e-05 -0.0001738363 -0.0001583456 -0.0003144561 -0.0002722387
        -0.0003048626 -0.0004814363 -0.0005044768 -0.0009071467 -0.000248926 -0.0008464229 -0.0006785481
        -0.0005233575 -0.0007600781 -0.00115439 -0.001489102 -0.001942913
    """,
}


def recipe(objective):
    model = {"name": "m", "network": UNET, **MODELS[objective]}
    training = {"objective": {"kind": objective, **OPTIONS.get(objective, {})}, "pictures": 80, "batch": 4, "crop": 16}
    more = {"warmup": 8, "rate": 1e-3, "average": 40, "precision": "fp32", "report_every": 4, "betas": [0.9, 0.99]}
    return Recipe.model_validate({"model": model, "training": training | more})


def losses(objective, folder):
    pixels = [np.random.default_rng(k).integers(0, 256, (40 + 4 * k, 48, 3), dtype=np.uint8) for k in range(3)]
    crops = Crops(Pictures(list("abc"), pixels), 16)
    return [report.loss for _, report in train(recipe(objective), crops, folder, accelerator=make_accelerator("cpu"))]


def test_every_objective_is_here():
    assert LOSSES.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("objective", LOSSES)
def test_losses_are_what_they_were(tmp_path, objective):
    assert losses(objective, tmp_path) == pytest.approx(
        [float(x) for x in LOSSES[objective].split()], rel=1e-4, abs=1e-6
    )
