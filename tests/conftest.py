"""Shared: one thread (small tensors are quicker so), tiny models, and pictures made on the spot."""

import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

from sr3.cli import main
from sr3.metric.swd import SWD
from sr3.model.config import ModelConfig
from sr3.model.model import Model

torch.set_num_threads(1)
# built anew at every call of the command line, which a process makes once and these tests a thousand times
typer.main.get_command = functools.cache(typer.main.get_command)

SLOW = (
    "web/test_study_browser.py",
    "training/test_stop.py",
    "web/test_page_browser.py",
    "model/test_export.py",
    "training/test_train.py",
    "training/test_session.py",
    "restore/test_generate.py",
    "scripts/test_mutate.py",
    "web/test_page_looks.py",
    "training/test_run.py",
    "web/test_api_attack.py",
    "experiments/test_faithful.py",
    "picture/test_image.py",
)
"""The files that take the longest: they come first, lest at the end one process has them and the others nothing."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A plugin that shuffles comes after, and has its way."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: place.get(item.path, len(SLOW)))


@pytest.fixture(autouse=True)
def fewer_directions(request, monkeypatch):
    """What measures takes the sliced distance along 16 directions, not 128, where it is no test's subject: it takes
    most of their time."""
    folder, name = request.path.parent.name, request.node.name
    measures = folder in ("cli", "evaluation", "training")
    if measures and "swd" not in name and "unless_told" not in request.path.name:
        monkeypatch.setattr(SWD.__init__, "__defaults__", (1024, 16, 0))


def noise_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random RGB picture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def spent(*arguments: str) -> float:
    """Seconds of processor time of the command line, the least of three: the clock on the wall counts all else too."""
    took: list[float] = []
    for _ in range(3):
        began = os.times()
        subprocess.run([sys.executable, "-m", "sr3", *arguments], capture_output=True)
        ended = os.times()
        took.append(ended.children_user - began.children_user + ended.children_system - began.children_system)
    return min(took)


def picture_folder(place: Path) -> Path:
    """A folder with four pictures of different sizes, one in a sub-folder."""
    root = place / "pictures"
    (root / "deep er").mkdir(parents=True)
    for i, (name, size) in enumerate({"a.png": (40, 48), "b.jpg": (64, 33), "deep er/c ü.webp": (50, 50)}.items()):
        noise_picture(*size, seed=i).save(root / name)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of pictures, of the test's own."""
    return picture_folder(tmp_path)


TINY = {"kind": "unet", "patch": 4, "widths": [8, 16], "blocks": [1, 1], "embedding": 16}


def tiny_config(**changes: object) -> ModelConfig:
    """A small model's configuration."""
    base: dict[str, object] = {
        "name": "tiny",
        "residual": True,
        "network": TINY,
        "prediction": {"kind": "edm", "sigma_data": 0.1},
        "tell": "logsnr",
        "schedule": {"kind": "log-normal", "mean": -2.3, "std": 1.4, "sigma_min": 0.001, "sigma_max": 5.0},
        "sampling": {"sampler": {"kind": "dpmpp"}, "steps": 3},
    }
    return ModelConfig.model_validate({**base, **changes})


@pytest.fixture
def tiny() -> Model:
    """A small model with random weights, the zero-initialised ones included."""
    torch.manual_seed(0)
    model = Model(tiny_config())
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


class Spoilt(torch.nn.Module):
    """A network whose answers are NaN: where it computes in half precision, or wherever what it is shown is bright."""

    def __init__(self, net: torch.nn.Module, above: float | None = None):
        super().__init__()
        self.net, self.above = net, above

    def forward(self, x: torch.Tensor, told: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        out = self.net(x, told, cond)
        if self.above is None:
            return out * float("nan") if torch.is_autocast_enabled("cpu") else out
        assert cond is not None
        return torch.where((cond.mean((1, 2, 3)) > self.above)[:, None, None, None], torch.nan, out)


@pytest.fixture(scope="session")
def diffusers():
    """Hugging Face's, which takes seconds to load: only a process that compares with it does."""
    return importlib.import_module("diffusers")


@pytest.fixture
def sr3(monkeypatch, capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sr3", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run
