"""The study's server is sent what no page sends."""

import pytest
from conftest import noise_picture
from fuzz import deep

from sr3.evaluation.study import Study, read_pairs

pytest.importorskip("starlette")
pytest.importorskip("httpx2")


@pytest.fixture
def desk(tmp_path):
    from sr3.web.study import Desk

    for kind in ("original", "sr3"):
        (tmp_path / kind).mkdir()
        noise_picture(8, 8).save(tmp_path / kind / "a.png")
    return Desk(Study(read_pairs(tmp_path), tmp_path / "answers.jsonl", ("hidden",)))


@pytest.fixture
def application(desk):
    from sr3.web.study import application

    return lambda *hosts: application(desk, *hosts)


BODIES = {
    "deep": (deep(4000).encode(), 400),
    "long": (b'{"rater": "' + b"x" * 20_000 + b'"}', 413),
    "digits": (b'{"rater": "a", "trial": "x", "answer": "left", "milliseconds": ' + b"9" * 400 + b"}", 400),
    "more digits": (b'{"rater": "a", "answer": "left", "milliseconds": ' + b"9" * 5000 + b"}", 400),
    "latin": (b'{"rater": "\xe9"}', 400),
    "nothing": (b"", 400),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/next", "/answer"])
def test_bodies(application, name, path):
    from starlette.testclient import TestClient

    body, code = BODIES[name]
    client = TestClient(application(), base_url="http://127.0.0.1")
    reply = client.post(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == (200 if (name, path) == ("digits", "/next") else code)


def test_many_names_fill_no_memory(desk, monkeypatch):
    from sr3.web import study

    monkeypatch.setattr(study, "RATERS", 2)
    first, second = desk.next("a"), desk.next("b")
    assert desk.next("a") == first  # heard of since
    desk.next("c")
    assert len(desk._trials) == len(desk._raters) == 2
    assert len(desk._pictures) == 4
    address = {rater: told["pictures"]["left"].removeprefix("p/") for rater, told in (("a", first), ("b", second))}
    assert desk.picture(address["a"]) is not None
    assert desk.picture(address["b"]) is None
    assert desk.answer(second["trial"], "left", 1) is None
    assert desk.next("b") == second
    assert desk.answer(second["trial"], "left", 1)


def test_it_answers_to_its_own_name(application):
    from starlette.testclient import TestClient

    client = TestClient(application(["127.0.0.1"]), base_url="http://127.0.0.1")
    assert client.get("/", headers={"host": "127.0.0.1:8008"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
