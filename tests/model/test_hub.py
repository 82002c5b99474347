"""The Hub: the real client against a stand-in of the Hub on this machine, and the cards."""

import base64
import hashlib
import json
import os
import socket
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from conftest import tiny_config

from sr3.model.checkpoint import CheckpointError
from sr3.model.model import Model
from sr3.model.shipped import names

hub = pytest.importorskip("sr3.model.hub")


class StandIn(ThreadingHTTPServer):
    """Repositories in memory: {"owner/name": {revision: {file: bytes}}}; asks every writer for the token."""

    TOKEN = "hf_right"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: list[str] = []
        self.created: list[dict] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_):
        pass

    def reply(self, code, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        if self.path.startswith("/api/models/"):  # old clients ask what is there before they commit
            return self.reply(200, {"id": "me/tiny", "siblings": []})
        owner, name, resolve, revision, file = self.path[1:].split("/", 4)
        assert resolve == "resolve"
        self.server.asked.append(file)
        branches = self.server.repositories.get(f"{owner}/{name}")
        if branches is None:
            return self.reply(404, X_Error_Code="RepoNotFound")
        branch = revision if revision in branches else next((b for b in branches if commit(b) == revision), None)
        if branch is None:
            return self.reply(404, X_Error_Code="RevisionNotFound")
        if file not in branches[branch]:
            return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit(branch))
        body = branches[branch][file]
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        return self.reply(200, body, ETag=etag, X_Repo_Commit=commit(branch))

    do_GET = do_HEAD  # noqa: N815

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers["Authorization"] != f"Bearer {self.server.TOKEN}":
            return self.reply(401, {"error": "who are you?"})
        if self.path == "/api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            told = json.loads(sent)
            self.server.created.append(told)
            repo = f"{told['organization']}/{told['name']}"
            self.server.repositories.setdefault(repo, {"main": {}})
            return self.reply(200, {"url": f"{self.server.url}/{repo}"})
        _, _, _, owner, name, what, revision = self.path.split("?")[0].split("/")
        branches = self.server.repositories[f"{owner}/{name}"]
        if what == "branch":
            branches[revision] = dict(branches["main"])
            return self.reply(200, {})
        if what == "preupload":
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in told_files(sent)]
            return self.reply(200, {"files": files})
        assert what == "commit"
        for line in map(json.loads, sent.splitlines()):
            if line["key"] == "file":
                branches[revision][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        address = f"https://huggingface.co/{owner}/{name}/commit/{commit(revision)}"
        return self.reply(200, {"commitUrl": address, "commitOid": commit(revision)})


def told_files(sent):
    return json.loads(sent)["files"]


def commit(branch):
    return hashlib.sha1(branch.encode()).hexdigest()


@pytest.fixture
def server(monkeypatch):
    found = StandIn()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "HfApi", partial(hub.HfApi, endpoint=found.url))
    monkeypatch.setattr(hub, "hf_hub_download", partial(hub.hf_hub_download, endpoint=found.url))
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_there_and_back(tiny, server, tmp_path):
    tiny.about.update(terms="none", pictures_seen=12)
    address = tiny.push_to_hub("me/tiny", private=True, token=server.TOKEN)
    assert address == f"https://huggingface.co/me/tiny/commit/{commit('main')}"
    # clients before 1.0 and after it say it so
    assert server.created[0].get("private") or server.created[0].get("visibility") == "private"
    files = server.repositories["me/tiny"]["main"]
    assert set(files) == {"model.safetensors", "config.json", "README.md"}
    assert json.loads(files["config.json"]) == tiny.config.model_dump(mode="json")
    again = Model.from_pretrained("me/tiny", cache_dir=tmp_path)
    assert again.config == tiny.config
    assert again.about == tiny.about
    for key, value in tiny.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[key], value.half().float())
    # the Hub counts a download where it is asked for this file
    assert "config.json" in server.asked


def test_revisions(tiny, server, tmp_path):
    tiny.push_to_hub("me/tiny", token=server.TOKEN)
    tiny.about["what"] = "another"
    tiny.push_to_hub("me/tiny", revision="better", token=server.TOKEN)
    found = {r: Model.from_pretrained("me/tiny", revision=r, cache_dir=tmp_path) for r in (None, "better")}
    assert {r: model.about.get("what") for r, model in found.items()} == {None: None, "better": "another"}
    by_commit = Model.from_pretrained("me/tiny", revision=commit("better"), cache_dir=tmp_path)
    assert by_commit.about["what"] == "another"


def test_a_repository_without_config_json(tiny, server, tmp_path):
    weights = tiny.save_pretrained(tmp_path / "m").read_bytes()
    server.repositories["me/old"] = {"main": {"model.safetensors": weights}}
    assert Model.from_pretrained("me/old", cache_dir=tmp_path).config == tiny.config


def test_refusals_in_a_sentence(tiny, server, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"^cannot get me/none/model\.safetensors from .*RepositoryNotFound"):
        Model.from_pretrained("me/none", cache_dir=tmp_path)
    server.repositories["me/empty"] = {"main": {}}
    with pytest.raises(CheckpointError, match="EntryNotFound"):
        Model.from_pretrained("me/empty", cache_dir=tmp_path)
    with pytest.raises(
        CheckpointError, match="at revision v9 from .*RevisionNotFound.*or give a local file, as me/empty.safetensors$"
    ):
        Model.from_pretrained("me/empty", revision="v9", cache_dir=tmp_path)
    with pytest.raises(CheckpointError, match="HFValidationError"):
        Model.from_pretrained("me/a--b", cache_dir=tmp_path)
    for token in ("hf_wrong", False):
        with pytest.raises(CheckpointError, match="^cannot upload me/tiny to .*log in with `hf auth login`"):
            tiny.push_to_hub("me/tiny", token=token)
    assert "me/tiny" not in server.repositories


def test_without_a_network_nobody_waits(tiny, server, tmp_path, monkeypatch):
    """Its client would try five times for each file; what is in the cache is found all the same."""
    tiny.push_to_hub("me/tiny", token=server.TOKEN)
    Model.from_pretrained("me/tiny", cache_dir=tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name in list(os.environ):
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy":
            monkeypatch.delenv(name)
    monkeypatch.setattr(hub, "HfApi", partial(hub.HfApi, endpoint=nowhere))
    began, asked = time.monotonic(), len(server.asked)
    assert Model.from_pretrained("me/tiny", cache_dir=tmp_path).config == tiny.config
    with pytest.raises(CheckpointError, match="check the name and the network, or give a local file, as me/none.safet"):
        Model.from_pretrained("me/none", cache_dir=tmp_path)
    assert time.monotonic() - began < 10
    assert len(server.asked) == asked


def test_the_hub_is_not_asked_for_ever_nor_where_it_may_not_be(tiny, server, tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy":
            monkeypatch.delenv(name)
    waits = threading.Event()

    def slow(*_):
        waits.wait(30)
        raise TimeoutError

    monkeypatch.setattr(hub, "WAIT", 0.1)
    monkeypatch.setattr(hub.socket, "create_connection", slow)
    assert not hub._answers()
    waits.set()
    monkeypatch.setattr(hub.socket, "create_connection", lambda *_: pytest.fail("an address that is none was asked"))
    assert hub._connects("http://[1")
    assert hub._connects("http://me:port")
    monkeypatch.setattr(hub, "_connects", lambda _: pytest.fail("offline, and asked"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert not hub._answers()


@pytest.mark.parametrize("name", names())
def test_shipped_models_have_whole_cards(name):
    model = Model.from_pretrained(name)
    card = hub.model_card(f"me/{name}", model.config, model.about)
    text = card.content
    for value in (model.about["what"], model.about["terms"], *model.about["data"], str(model.about["pictures_seen"])):
        assert value in text
    assert json.dumps(model.about["recipe"]["objective"]["kind"]) in text
    assert f"--model me/{name}" in text
    # read back by the client's own parser
    read = hub.ModelCard(text).data.to_dict()
    licence = "apache-2.0" if name.startswith("photo-jpeg") else "other"
    assert (read["library_name"], read["model_name"], read["license"]) == ("sr3", name, licence)
    assert read["pipeline_tag"] == ("unconditional-image-generation" if name == "face-16" else "image-to-image")
    assert "None" not in text.replace("None were recorded", "")


def test_cards_say_what_is_not_known():
    bare = hub.model_card("me/x", tiny_config(), {}).content
    for words in (
        "No terms were recorded",
        "Not recorded",
        "recipe was not recorded",
        "None were recorded",
        "never evid",
    ):
        assert words in bare
    about = {"license": "apache-2.0", "results": {"PSNR": 31.5}, "limits": "Small.", "curve": [{"psnr": 1.25}]}
    full = hub.model_card("me/x", tiny_config(), about)
    assert full.data.to_dict()["license"] == "apache-2.0"
    assert "- PSNR: 31.5" in full.content
    assert "psnr" not in full.content
    assert "Small." in full.content
    del about["results"]
    assert "- psnr: 1.25" in hub.model_card("me/x", tiny_config(), about).content
