"""The server is sent what no page sends: each request is refused by a clean 4xx, and the server goes on."""

import asyncio
import io
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import zlib

import pytest
from fuzz import deep

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")
pytest.importorskip("httpx", reason="needs the extra 'web'")

import httpx
from live import gate, live, picture, state, tiny_file, until
from PIL import Image

from sr3.client import Client, ServerError
from sr3.model.config import ConfigError
from sr3.web import guard
from sr3.web.catalogue import Catalogue
from sr3.web.disk import new_name
from sr3.web.limits import Limits
from sr3.web.problem import nobody_left
from sr3.web.queue import Queue
from sr3.web.store import Store
from sr3.web.work import Bench

BOUNDS = Limits(upload=2_000_000, pixels=10_000_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with live(tmp_path_factory.mktemp("web"), [model], limits=BOUNDS) as found:
        yield found


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server[0], timeout=30) as http:
        yield http


def png() -> bytes:
    whole = io.BytesIO()
    Image.new("RGB", (8, 8)).save(whole, "PNG")
    return whole.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def form(http, data=None, mask=None, name="a.png", headers=None, **fields):
    files = {"picture": (name, png() if data is None else data)} | ({"mask": ("m.png", mask)} if mask else {})
    return http.post("/v1/jobs", files=files, data=fields, headers=headers)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd" width="9" height="9"/></svg>'
FOREIGN = {"Origin": "http://evil.example"}
HOSTILE = {
    "another host": lambda h: h.get("/", headers={"Host": "evil.example"}),
    "a host by rebinding": lambda h: h.get("/v1/jobs", headers={"Host": "localhost.evil.example:8008"}),
    "a host with a user": lambda h: h.get("/v1/jobs", headers={"Host": "evil.example@127.0.0.1"}),
    "an empty host": lambda h: h.get("/v1/jobs", headers={"Host": ""}),
    "a page of another site": lambda h: form(h, headers=FOREIGN),
    "a page without an origin": lambda h: form(h, headers={"Origin": "null"}),
    "a form of another site": lambda h: form(h, headers={"Sec-Fetch-Site": "cross-site"}),
    "another site deletes": lambda h: h.delete("/v1/jobs/a", headers=FOREIGN),
    "out of the page's folder": lambda h: h.get("/page/..%2fapi.py"),
    "out of it by bytes": lambda h: h.get("/page/%2e%2e/%2e%2e/etc/passwd"),
    "a job that is a path": lambda h: h.get("/v1/jobs/..%2f..%2fjobs.sqlite"),
    "a job's file by a path": lambda h: h.get("/v1/jobs/x/..%2fpicture.png"),
    "a job that is SQL": lambda h: h.get("/v1/jobs/' or 1=1 --"),
    "a job with a nul": lambda h: h.get("/v1/jobs/%00"),
    "a method that means nothing": lambda h: h.request("PUT", "/v1/jobs"),
    "an address that is none": lambda h: h.get("/wp-login.php"),
    "a drawing that reads a file": lambda h: form(h, SVG, name="a.svg"),
    "a drawing called a picture": lambda h: form(h, SVG),
    "a document": lambda h: form(h, b"%PDF-1.4\n%%EOF"),
    "a script of PostScript": lambda h: form(h, b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file"),
    "a bomb": lambda h: form(h, bomb(60_000)),
    "a bomb for a mask": lambda h: form(h, mask=bomb(60_000)),
    "an empty picture": lambda h: form(h, b""),
    "no picture": lambda h: h.post("/v1/jobs", files={"other": b"x"}),
    "a picture that is text": lambda h: h.post("/v1/jobs", data={"picture": "x"}, files={"mask": b""}),
    "no form": lambda h: h.post("/v1/jobs", json={"picture": "x"}),
    "half a form": lambda h: h.post(
        "/v1/jobs", content=b"--b\r\nContent", headers={"Content-Type": "multipart/form-data; boundary=b"}
    ),
    "a form without a boundary": lambda h: h.post(
        "/v1/jobs", content=b"x", headers={"Content-Type": "multipart/form-data"}
    ),
    "many fields": lambda h: form(h, **{f"f{k}": "x" for k in range(50)}),
    "many files": lambda h: h.post("/v1/jobs", files=[("picture", png())] * 20),
    "a long field": lambda h: form(h, task="x" * 30_000),
    "too many bytes": lambda h: form(h, bytes(2_100_000)),
    "too many bytes in parts": lambda h: h.post(
        "/v1/jobs",
        content=(bytes(300_000) for _ in range(10)),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    ),
    "a long body where there is none": lambda h: h.post("/sdapi/v1/upscalers", content=bytes(200_000)),
    "deep options": lambda h: form(h, options=deep(4000)),
    "options that are no object": lambda h: form(h, options="[1]"),
    "options of another type": lambda h: form(h, options='{"seed": "1"}'),
    "not a number": lambda h: form(h, options='{"scale": NaN}'),
    "an endless number": lambda h: form(h, options='{"seed": ' + "9" * 5000 + "}"),
    "a model by a path": lambda h: form(h, model="/etc/passwd"),
    "a model by a Hub id": lambda h: form(h, model="evil/model"),
    "a task that is none": lambda h: form(h, task="../../enlarge"),
    "a key that is long": lambda h: form(h, headers={"Idempotency-Key": "k" * 300}),
    "a zip of nothing": lambda h: h.get("/v1/jobs.zip"),
    "a zip of a path": lambda h: h.get("/v1/jobs.zip", params={"id": "../../x"}),
    "a limit that is none": lambda h: h.get("/v1/jobs", params={"limit": "-1"}),
    "a picture that is not base64": lambda h: h.post("/sdapi/v1/extra-single-image", json={"image": "\u2603"}),
    "deep JSON": lambda h: h.post("/sdapi/v1/extra-single-image", content=deep(4000).encode()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(http, server, name):
    there = set((server[1].folder / "jobs").iterdir())
    reply = HOSTILE[name](http)
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    told = reply.json()
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["status"] == reply.status_code
    assert str(server[1].folder) not in reply.text
    assert set((server[1].folder / "jobs").iterdir()) <= there
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "name", ["../../../up.png", "C:\\windows\\up.png", 'a\nb".png', ".png", "x" * 300 + ".png", "\u202egnp.exe"]
)
def test_a_name_is_only_shown(http, server, name):
    job = form(http, name=name, model="tiny").json()
    until(lambda: state(http, job) == "succeeded")
    reply = http.get(f"{job['links']['self']}/result")
    assert reply.status_code == 200
    said = reply.headers["content-disposition"]
    assert not {"/", "\\", "\n"} & set(said.partition(";")[2])
    folder = server[1].folder
    assert {p.name for p in folder.iterdir()} <= {"jobs", "jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm"}
    assert {p.name for p in server[1].place(job["id"]).iterdir()} <= {"picture", "picture.png", "result.png"}
    http.delete(job["links"]["self"])


def raw(address: str, sent: bytes, timeout: float = 30) -> bytes:
    """What a server answers to bytes, until it closes."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as there:
        there.sendall(sent)
        got = b""
        while part := there.recv(65536):
            got += part
            if b"\r\n\r\n" in got:
                break
    return got


def test_requests_that_no_library_sends(server):
    host = server[0].removeprefix("http://").encode()
    first = b"GET /v1/jobs HTTP/1.1\r\nHost: " + host + b"\r\n"
    for sent in (
        first + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        first + b"Host: evil.example\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\n\r\n",
        first + b"Content-Length: -5\r\n\r\n",
        first + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"nonsense\r\n\r\n",
        b"GET /v1/jobs HTTP/9.9\r\n\r\n",
    ):
        assert raw(server[0], sent).split(b" ")[1].startswith(b"4"), sent[:80]
    assert httpx.get(f"{server[0]}/healthz").status_code == 200


def test_a_slow_body_is_given_up(server, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    host = server[0].removeprefix("http://").encode()
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: " + host + b"\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    got = raw(server[0], head + b"Content-Length: 1000\r\n\r\n--b\r\n")
    assert b" 408 " in got.partition(b"\r\n")[0]


def test_a_body_that_drips_is_given_up(server, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.3)
    with httpx.Client(base_url=server[0]) as http:

        def drips():
            import time

            for _ in range(20):
                yield b"x"
                time.sleep(0.05)

        reply = http.post("/v1/jobs", content=drips(), headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert reply.status_code in (400, 408)


def test_the_browser_is_told_what_it_may_do(http):
    for path in ("/", "/docs", "/v1/jobs", "/nowhere", "/openapi.json"):
        headers = http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert "set-cookie" not in headers


def test_a_token_is_asked_for(model, tmp_path):
    source = picture(tmp_path / "a.png", 8, 8)
    with live(tmp_path / "web", [model], token="right") as (address, _):
        with httpx.Client(base_url=address) as http:
            for reply in (
                http.get("/v1/jobs"),
                http.get("/metrics"),
                http.get("/v1/jobs?token=wrong"),
                http.get("/v1/jobs?token="),
                http.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}),
                http.get("/v1/jobs", headers={"Authorization": "Basic ???"}),
                http.get("/v1/jobs", headers={"Authorization": "Bearer"}),
                http.post("/v1/jobs?token=right", files={"picture": png()}),
                http.post("/sdapi/v1/extra-single-image", json={}, auth=("right", "wrong")),
            ):
                assert reply.status_code == 401
                assert reply.headers["www-authenticate"].startswith("Bearer")
            assert http.get("/").status_code == http.get("/healthz").status_code == http.get("/docs").status_code
            assert http.get("/healthz").status_code == 200
            assert http.get("/v1/jobs?token=right").status_code == 200
            assert http.get("/v1/jobs", auth=("anybody", "right")).status_code == 200
        with Client(address, token="right") as client:
            assert client.restore(source, model="tiny")
        with Client(address, token="wrong") as client, pytest.raises(ServerError, match="wants its token"):
            client.submit(source)


def test_hosts():
    ours = guard.Guard(None, hosts=(*guard.LOOPBACK, "*", "lab.local"))._ours
    for host in ("127.0.0.1:80", "localhost", "LOCALHOST:1", "[::1]:9", "10.0.0.7:8008", "[fe80::1]:80", "lab.local"):
        assert ours(host), host
    for host in (
        "",
        "evil.example",
        "10.0.0.7.evil.example",
        "a@127.0.0.1",
        "127.0.0.1/x",
        "[::1",
        "lab.local:x",
        ":80",
    ):
        assert not ours(host), host
    assert not guard.Guard(None)._ours("10.0.0.7")


# --- what survives


def test_a_queue_survives_its_server(model, tmp_path, monkeypatch):
    folder, source = tmp_path / "web", picture(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        turns = gate(patch)
        with live(folder, [model]) as (address, queue), Client(address) as client:
            jobs = [client.submit(source, seed=k) for k in range(3)]
            until(lambda: state(client._http, jobs[0]) == "running")
            queue._ending.set()
            turns.release()
    left = folder / "jobs" / new_name()
    left.mkdir()
    (left / "picture.png").write_bytes(b"of an upload that was never taken")
    with live(folder, [model]) as (address, queue), Client(address) as client:
        for job in jobs:
            until(lambda job=job: state(client._http, job) == "succeeded")
        made = [client.ask("GET", f"{job['links']['self']}/result").content for job in jobs]
        assert [client.restore(source, seed=k) for k in range(3)] == made
        assert not left.exists()
        starts = [client.ask("GET", job["links"]["self"]).json()["started"] for job in jobs]
        assert starts == sorted(starts)


def test_a_job_that_ends_its_server_is_not_begun_for_ever(model, tmp_path):
    catalogue, source = Catalogue([model], shipped=False), picture(tmp_path / "a.png")
    with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
        job = client.submit(source)
        until(lambda: state(client._http, job) == "succeeded")
        record = queue.store.get(job["id"])
        assert record.tries == 1
    for tries, then in ((1, "queued"), (2, "queued"), (3, "failed")):
        store = Store(tmp_path / "web" / "jobs.sqlite")
        store.save(record.model_copy(update={"state": "running", "tries": tries}))
        store.close()
        queue = Queue(tmp_path / "web", catalogue, [])
        found = queue.store.get(job["id"])
        queue.close()
        assert found.state == then
    assert found.error.detail.startswith("the server ended 3 times while it worked on a.png")


def test_a_server_that_is_ended_in_good_order_is_no_fault_of_its_jobs(model, tmp_path, monkeypatch):
    turns, source = gate(monkeypatch), picture(tmp_path / "a.png")
    job: dict = {}
    for _ in range(5):
        with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
            job.update({} if job else client.submit(source))
            until(lambda: queue.store.get(job["id"]).state == "running")
            assert queue.store.get(job["id"]).tries == 1
            closing = threading.Thread(target=lambda queue=queue: queue._ending.wait(30) and turns.release())
            closing.start()  # the step during which it is told to end ends
        closing.join()
    assert Store(tmp_path / "web" / "jobs.sqlite").get(job["id"]).state == "running"  # and is queued at the next start


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_server_loses_nothing(model, tmp_path):
    folder, source = tmp_path / "web", picture(tmp_path / "a.png")
    command = ("web", "--no-open", "--port", "0", "--folder", folder, "--model", model, "--device", "cpu")
    running = subprocess.Popen(
        [sys.executable, "-m", "sr3", *map(str, command), "--precision", "fp32"], stdout=subprocess.PIPE, text=True
    )
    try:
        address = running.stdout.readline().split()[0].rstrip("/")
        with Client(address) as client:
            done = client.submit(source, model="tiny", seed=1)
            until(lambda: state(client._http, done) == "succeeded")
            jobs = [client.submit(source, model="tiny", seed=k, steps=1000) for k in range(2)]
            until(lambda: state(client._http, jobs[0]) == "running")
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
    with live(folder, [model]) as (address, _), Client(address) as client:
        found = {job["id"]: job["state"] for job in client.ask("GET", "/v1/jobs").json()["jobs"]}
        assert set(found) == {job["id"] for job in (done, *jobs)}
        assert found[done["id"]] == "succeeded"
        assert {found[job["id"]] for job in jobs} <= {"queued", "running"}
        made = client.ask("GET", f"{done['links']['self']}/result").content
        for job in jobs:
            client.ask("DELETE", job["links"]["self"])
        assert client.restore(source, model="tiny", seed=1) == made


def test_a_folder_is_one_servers(model, tmp_path):
    catalogue, benches = Catalogue([model], shipped=False), [Bench("cpu")]
    queue = Queue(tmp_path / "web", catalogue, benches)
    with pytest.raises(ConfigError, match="in use by another sr3 web"):
        Queue(tmp_path / "web", catalogue, benches)
    queue.close()
    Queue(tmp_path / "web", catalogue, benches).close()
    other = tmp_path / "other"
    other.mkdir()
    (other / "jobs.sqlite").write_bytes(b"some other program's file" * 50)
    with pytest.raises(ConfigError, match="is no list of jobs"):
        Queue(other, catalogue, benches)
    with sqlite3.connect(tmp_path / "web" / "jobs.sqlite") as base:
        base.execute("pragma user_version = 9")
    base.close()
    with pytest.raises(ConfigError, match="of another sr3's"):
        Queue(tmp_path / "web", catalogue, benches)


def test_what_is_not_there_is_told_from_what_means_nothing(http):
    for method, path, status, said in (
        ("GET", "/wp-login.php", 404, "there is nothing at this address; /docs says what there is"),
        ("PUT", "/v1/jobs", 405, "PUT means nothing here; /docs says what does"),
    ):
        reply = http.request(method, path)
        assert (reply.status_code, reply.json()["detail"]) == (status, said)
    left = asyncio.run(nobody_left(None, None))  # what is sent to nobody is a reply all the same
    assert (left.status_code, json.loads(left.body)["title"]) == (400, "Bad Request")


def test_a_defect_says_so_and_the_next_job_is_done(server, http, tmp_path, monkeypatch, caplog):
    from sr3.web import queue

    def breaks(*_):
        raise RuntimeError("what only a developer understands")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(queue, "make", breaks)
        job = form(http, model="tiny").json()
        until(lambda: state(http, job) == "failed")
    error = http.get(job["links"]["self"]).json()["error"]
    assert error["status"] == 500
    assert "only a developer" not in json.dumps(error)
    assert "only a developer" in caplog.text
    job = form(http, model="tiny").json()
    until(lambda: state(http, job) == "succeeded")
