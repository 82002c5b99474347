"""Models on the Hugging Face Hub: weights, config.json (by which the Hub counts downloads) and a model card.

The arguments are those of `huggingface_hub.ModelHubMixin`.  A model does not inherit from it, as then every program
that builds a network would load the Hub's client.
"""

import json
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import HfApi, ModelCard, ModelCardData, constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ModelConfig, build
from sr3.task import TASKS, Restoration, Task

WAIT, EACH = 10.0, 2.0
"""Seconds in which the Hub, and each address that it may have, must take a connection: without a network its client
tries for most of a minute."""

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""The files of a model's repository."""


def download(
    repo: str, *, revision: str | None = None, token: str | bool | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The weights of `repo` ("owner/name") in the Hub's cache, fetched where they are not there yet.

    revision: a branch, a tag or a commit; token: True, or one's own, where the cached login will not do.
    CheckpointError where they are not to be had.
    """

    alone = not _answers()

    def fetch(name: str) -> Path:
        where: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
        return Path(hf_hub_download(repo, name, **where, local_files_only=alone))

    try:
        with suppress(EntryNotFoundError):  # without it, or without a network, the weights decide
            fetch(CONFIG)
        return fetch(WEIGHTS)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(
            f"cannot get {repo}/{WEIGHTS}{at} from the Hugging Face Hub ({type(error).__name__}): "
            f"check the name and the network, or give a local file, as {repo}.safetensors"
        ) from error


def _answers() -> bool:
    """Whether anybody takes a connection where the Hub should be; what is behind a proxy is not asked."""
    if constants.HF_HUB_OFFLINE:
        return False
    if {"http", "https", "all"} & getproxies().keys():
        return True
    connected: list[bool] = []
    asking = Thread(target=lambda: connected.append(_connects(HfApi().endpoint)), daemon=True)
    asking.start()
    asking.join(WAIT)  # as nothing bounds the time in which a name's address is looked for
    return bool(connected and connected[0])


def _connects(address: str) -> bool:
    try:
        place = urlsplit(address)
        port = place.port or (80 if place.scheme == "http" else 443)
        socket.create_connection((place.hostname or "", port), EACH).close()
    except OSError:
        return False
    except ValueError:  # no address: the Hub's client says what is wrong with it
        pass
    return True


def upload(
    repo: str,
    save: Callable[[Path], object],
    card: ModelCard,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Make `repo` where there is none, and commit what `save` writes into a folder, with its card.

    private: None is the owner's default; revision: a branch, made where there is none.  Returns the commit's address.
    CheckpointError where the Hub refuses or cannot be reached.
    """
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        card.save(Path(folder) / CARD)
        try:
            repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
            if revision is not None:
                api.create_branch(repo, branch=revision, exist_ok=True)
            message = "Upload a model with its configuration and card"
            done = api.upload_folder(repo_id=repo, folder_path=folder, revision=revision, commit_message=message)
            return done.commit_url
        except Exception as error:  # the Hub's own errors, and those of the HTTP library, which differs by version
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise CheckpointError(
                f"cannot upload {repo} to the Hugging Face Hub ({said}): check the name and the network, "
                "and log in with `hf auth login` or give a token that may write"
            ) from error


def model_card(repo: str, config: ModelConfig, about: Mapping[str, Any]) -> ModelCard:
    """The card of a model from what its file says of itself: data, terms, recipe, pictures seen, results, limits.

    about: `what`, `terms`, `license` (one of the Hub's names, such as "apache-2.0"), `data`, `pictures_seen`, `recipe`,
    `results` (a table of names and values) or `curve` (whose last line is then shown), `limits`; all may be missing.
    """
    task: Task = build("task", TASKS, config.task)
    said = about.get("license")
    data = ModelCardData(
        model_name=config.name,
        library_name="sr3",
        pipeline_tag="image-to-image" if isinstance(task, Restoration) else "unconditional-image-generation",
        tags=[str(config.task.get("kind")), config.kind],
        license=said or "other",
        license_name=None if said else "terms-in-this-card",
        license_link=None if said else CARD,
    )
    curve = about.get("curve") or [{}]
    recipe = {key: about[key] for key in ("recipe", "runs", "machine", "minutes") if key in about}
    return ModelCard.from_template(
        data,
        template_path=str(Path(__file__).with_name("card.md")),
        repo=repo,
        name=config.name,
        command=task.command,
        recipe=json.dumps(recipe, indent=2) if recipe else "",
        results=about.get("results") or curve[-1],
        **{key: about.get(key) for key in ("what", "terms", "pictures_seen", "limits")},
        data=about.get("data") or [],
    )
