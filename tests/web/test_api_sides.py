"""What a model is not for is refused when it is sent, and what was made says in how many steps."""

import json

import httpx
import pytest

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")

from live import live, picture, state, tiny_file, until


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    models = [tiny_file(tmp_path_factory.mktemp("models"), sides=(8, 40))]
    with live(tmp_path_factory.mktemp("web"), models) as (address, _), httpx.Client(base_url=address) as client:
        yield client


def sent(http, file, **options) -> httpx.Response:
    with file.open("rb") as opened:
        return http.post("/v1/jobs", files={"picture": opened}, data={"options": json.dumps(options)})


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        ((41, 20), {}, "this one has 41x20"),
        ((20, 7), {}, "too little is left to go by"),
        ((16, 12), {"scale": 5}, "enlarge its own result, 64x48"),
    ],
)
def test_sides_that_no_model_is_for_are_refused_at_once(http, tmp_path, size, options, said):
    reply = sent(http, picture(tmp_path / "p.png", *size), **options)
    assert reply.status_code == 422, reply.text
    assert said in reply.json()["detail"]
    assert http.get("/v1/jobs").json()["jobs"] == []


def test_what_was_made_says_in_how_many_steps(http, tmp_path):
    reply = sent(http, picture(tmp_path / "p.png"), steps=3)
    assert reply.status_code < 300, reply.text
    job = reply.json()
    until(lambda: state(http, job) == "succeeded")
    told = http.get(job["links"]["self"]).json()["progress"]
    assert (told["done"], told["total"]) == (3, 3)
    assert http.delete(job["links"]["self"]).status_code < 300
