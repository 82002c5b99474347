"""A model: a configuration and a network with weights, with everything that the configuration names."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import TELLS, Denoise, Denoiser, Example, Regressor
from sr3.diffusion.predict import PREDICTIONS
from sr3.diffusion.schedule import SCHEDULES, Schedule
from sr3.files import write_text
from sr3.model import checkpoint
from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError, ModelConfig, build, nearest
from sr3.model.recipe import change
from sr3.model.shipped import elsewhere, names, shipped
from sr3.model.walk import KINDS, NO_NOISE, Walk, spread_of
from sr3.nn.janspiry_palette import JanspiryPaletteUNet
from sr3.nn.janspiry_unet import JanspiryUNet
from sr3.nn.plain import PlainNet
from sr3.nn.sr3_unet import SR3UNet
from sr3.nn.unet import UNet
from sr3.task import TASKS, Generation, Given, Task
from sr3.task.inpainting import Filling

FIRST = "first."
"""What the names of the first model's weights begin with in a file."""

NETWORKS = {
    "unet": UNet,
    "plain": PlainNet,
    "sr3-unet": SR3UNet,
    "janspiry-unet": JanspiryUNet,
    "janspiry-palette-unet": JanspiryPaletteUNet,
}


class Model:
    """A network and what it is for.  Build one from a configuration, or read one with `from_pretrained`."""

    def __init__(self, config: ModelConfig, net: nn.Module | None = None, about: Mapping[str, Any] | None = None):
        self.first: Model | None = None
        if config.first is not None:
            self.first = Model.from_pretrained(config.first) if isinstance(config.first, str) else Model(config.first)
            _check_first(config, self.first.config)
            config = config.model_copy(update={"first": self.first.config})
        self.config = config
        self.about = dict(about or {})
        self.task: Task = build("task", TASKS, config.task)
        known, told = getattr(self.task, "count", 0), config.network.get("labels", 0)
        if isinstance(self.task, Generation) and known != told:
            raise ConfigError(
                f"{config.name}: the network can be told {told} labels and the task has {known} classes; "
                "let network.labels be their number"
            )
        shown = isinstance(self.task, Filling) and KINDS[config.kind].varies and not config.residual
        if config.pasted and not shown:
            raise ConfigError(
                f"{config.name}: pasted is for inpainting and uncropping, of diffusion models that are not residual"
            )
        self.schedule: Schedule = build("schedule", SCHEDULES, config.schedule)
        self.prediction = build("prediction", PREDICTIONS, config.prediction)
        if config.tell not in TELLS:
            raise ConfigError(
                f"there is no way to tell the noise called {config.tell!r}{nearest(config.tell, list(TELLS))}"
            )
        self.net: nn.Module = net or build("network", NETWORKS, config.network, cond_channels=self.task.channels)

    def change_task(self, settings: Sequence[str]) -> None:
        """Change what the task does to what is measured, by `key=value`; ConfigError for what it has not."""
        spec = deepcopy(dict(self.config.task))  # the configuration stays what it was learnt for
        change(spec, settings)
        found = build("task", TASKS, spec)
        if (found.channels, getattr(found, "told", False)) != (self.task.channels, getattr(self.task, "told", False)):
            raise ConfigError(f"{', '.join(settings)} changes what {self.config.name} is shown; train another for that")
        self.task = found

    @property
    def spread(self) -> float:
        """The standard deviation of what is diffused: sigma_data where known, else 1."""
        return spread_of(self.prediction)

    @property
    def walk(self) -> Walk:
        """How this kind of model comes to a picture."""
        return KINDS[self.config.kind](self.config, self.schedule, self.prediction)

    @property
    def chain(self) -> "list[Model]":
        """This model, the one whose answer it begins from, and so on."""
        return [self, *(self.first.chain if self.first else [])]

    def methods(self, samples: int = 1) -> list[str]:
        """What tables call one sample of this model, and with it the mean of several."""
        return self.walk.methods(self.task.method, samples)

    def denoiser(self, net: nn.Module | None = None) -> Denoiser | Regressor:
        """The denoiser over this network, or over a variant of it (averaged, compiled, wrapped)."""
        return self.walk.denoiser(self.net if net is None else net)  # a compiled network has no truth value

    def prepare(self, given: Given, run: "Run | None" = None) -> Example:
        """What the network sees of what is given: the task's example, with the first model's answer as its base.

        run: how that model's network is run; by default on the whole batch at once.
        """
        # products of pixels are not rounded as features are
        with torch.autocast(given.image.device.type, enabled=False):
            example = self.task.prepare(given)
        if self.first is None or example.base is None:
            return example
        with torch.no_grad():
            answer = (run or _plainly)(self.first, self.first.prepare(given, run), self.task.result_size(given))
            return example._replace(base=answer(torch.zeros_like(example.base), NO_NOISE.first))

    def tensors(self, net: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """All weights as a file holds them; net: others than the network's own, such as averaged ones."""
        found = dict(net or self.net.state_dict())
        return found | ({f"{FIRST}{k}": v for k, v in self.first.tensors().items()} if self.first else {})

    @cached_property
    def mark(self) -> str:
        """What tells the weights from others: the CRC-32 of the first numbers of each tensor, as a file holds them."""
        crc = 0
        for _, tensor in sorted(self.tensors().items()):
            crc = zlib.crc32(tensor.detach().flatten()[:256].half().cpu().numpy().tobytes(), crc)
        return f"{crc:08x}"

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        weights: bool = True,
    ) -> "Model":
        """A model by its name in a package, by a file's or folder's path, or by a Hub id ("owner/name").

        weights: False leaves them unread; the model then says what it is, and makes nothing.
        The rest is for the Hub alone.  revision: a branch, a tag or a commit; token: else the login's; cache_dir: where
        downloads are kept.
        """
        if str(name) in names():
            with as_file(shipped(str(name)).file) as path:
                return cls.from_file(path, weights=weights)
        path = Path(name)
        if path.is_dir() and (path / "model.safetensors").exists():
            return cls.from_file(path / "model.safetensors", weights=weights)
        if path.exists() or path.suffix:
            return cls.from_file(path, weights=weights)
        if str(name).count("/") == 1:
            from sr3.model import hub

            path = hub.download(str(name), revision=revision, token=token, cache_dir=cache_dir)
            return cls.from_file(path, weights=weights)
        raise CheckpointError(
            elsewhere(str(name))
            or f"there is no model {str(name)!r}{nearest(str(name), names())}, or give a .safetensors file or a Hub id"
        )

    @classmethod
    def from_file(cls, path: Path, *, weights: bool = True) -> "Model":
        """Read one safetensors file, or with weights=False its header.  CheckpointError says what does not fit."""
        config, tensors, about = checkpoint.load(path, weights=weights)
        try:
            with torch.device("meta"):
                model = cls(config, about=about)
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if not weights:
            return model
        described = model.tensors()
        wanted = {k: v.shape for k, v in described.items()}
        if missing := sorted(set(wanted) - set(tensors)):
            raise CheckpointError(f"{path}: the weights {missing[0]} are missing ({len(missing)} in all)")
        if extra := sorted(set(tensors) - set(wanted)):
            raise CheckpointError(f"{path}: the weights {extra[0]} belong to no layer ({len(extra)} in all)")
        for key, shape in wanted.items():
            if tensors[key].shape != shape:
                raise CheckpointError(
                    f"{path}: the weights {key} have shape {tuple(tensors[key].shape)}, "
                    f"and the network its header describes needs {tuple(shape)}"
                )
            if tensors[key].dtype != described[key].dtype:
                raise CheckpointError(
                    f"{path}: the weights {key} are {tensors[key].dtype}, and must be {described[key].dtype}"
                )
        model._load(tensors)
        return model

    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(FIRST)}, assign=True)
        self.net.eval().requires_grad_(False)
        if self.first:
            self.first._load({k.removeprefix(FIRST): v for k, v in tensors.items() if k.startswith(FIRST)})

    def save_pretrained(self, folder: str | Path, *, tensors: Mapping[str, Tensor] | None = None) -> Path:
        """Write `model.safetensors` and a copy of its configuration, `config.json`, into a folder.

        Returns the path of the weights, which are all that is needed to load the model.
        """
        path = Path(folder) / "model.safetensors"
        checkpoint.save(path, self.config, self.tensors(tensors), self.about)
        write_text(path.with_name("config.json"), self.config.model_dump_json(indent=2) + "\n")
        return path

    def push_to_hub(
        self, repo: str, *, private: bool | None = None, revision: str | None = None, token: str | bool | None = None
    ) -> str:
        """Upload to the Hugging Face Hub as `repo` ("owner/name"): weights, configuration, and a card made of `about`.

        private: None is the owner's default; revision: a branch, made where there is none; token: else the login's.
        Returns the commit's address.
        CheckpointError where the Hub refuses or cannot be reached.
        """
        from sr3.model import hub  # loads the Hub's client, which few programs need

        card = hub.model_card(repo, self.config, self.about)
        return hub.upload(repo, self.save_pretrained, card, private=private, revision=revision, token=token)


Run = Callable[[Model, Example, tuple[int, int]], Denoise]
"""(model, example, (height, width) of the result) -> the model's denoiser of this example."""


def _plainly(model: Model, example: Example, size: tuple[int, int]) -> Denoise:
    return model.denoiser().given(example)


def _check_first(config: ModelConfig, first: ModelConfig) -> None:
    """ConfigError where a model cannot correct the answers of the one named as its first."""
    if KINDS[first.kind].varies or not config.residual or not KINDS[config.kind].varies:
        raise ConfigError(f"{config.name}: first names a regression model, of which a residual diffusion model is made")
    if first.task.get("kind") != config.task.get("kind") or first.task.get("factor") != config.task.get("factor"):
        raise ConfigError(f"{config.name} and {first.name}, its first, are for different tasks")
