"""The OpenAPI file: valid, and true of the server, by schemathesis."""

import warnings

import pytest

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")
pytest.importorskip("httpx", reason="needs the extra 'web'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis")

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from live import live, picture, tiny_file, until

from sr3.client import Client
from sr3.web.limits import Limits
from sr3.web.openapi import description

SCHEMA = schemathesis.openapi.from_dict(description())
BEYOND = [
    schemathesis.checks.CHECKS.get_one(f"{kind}_data_{what}")
    for kind, what in (("negative", "rejection"), ("positive", "acceptance"))
]
"""Checks of what a schema cannot say, such as which bytes are a picture."""

OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    limits = Limits(seconds=2, pixels=10_000, made=100_000)
    with live(folder / "web", [tiny_file(folder)], limits=limits) as (address, _), Client(address) as client:
        job = client.submit(picture(folder / "a.png", 8, 8), samples=2)
        until(lambda: client.ask("GET", job["links"]["self"]).json()["state"] == "succeeded")
        yield address, job["id"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", OPERATIONS)
def test_it_is_true_of_the_server(server, label):
    address, job = server

    @settings(
        max_examples=4, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=OPERATIONS[label].as_strategy())
    def answers(case):
        if "id" in (case.path_parameters or {}) and case.method != "DELETE":
            case.path_parameters["id"] = job  # a name that is drawn is of no job
        reply = case.call(base_url=address, timeout=30)
        assert reply.status_code < 500
        case.validate_response(reply, excluded_checks=BEYOND)

    answers()
    assert httpx.get(f"{address}/healthz").json()["status"] == "ok"


def test_it_is_valid():
    SCHEMA.validate()
