"""The OpenAPI file: valid, and true of the server, by schemathesis."""

import warnings
from functools import cache
from importlib.util import find_spec

import pytest

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")
pytest.importorskip("httpx", reason="needs the extra 'web'")
if find_spec("schemathesis") is None:
    pytest.skip("needs schemathesis", allow_module_level=True)

import httpx
from live import live, picture, tiny_file, until

from sr3.client import Client
from sr3.web.limits import Limits
from sr3.web.openapi import description

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
LABELS = [f"{m.upper()} {path}" for path, item in description()["paths"].items() for m in item if m in METHODS]


@cache
def tool():
    """Schemathesis, which only the process that runs these tests takes the seconds to load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis
    return schemathesis


@cache
def schema():
    return tool().openapi.from_dict(description())


@cache
def operations():
    return {found.ok().label: found.ok() for found in schema().get_all_operations()}


def beyond():
    """Checks of what a schema cannot say, such as which bytes are a picture."""
    kinds = (("negative", "rejection"), ("positive", "acceptance"))
    return [tool().checks.CHECKS.get_one(f"{kind}_data_{what}") for kind, what in kinds]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    limits = Limits(seconds=2, pixels=10_000, made=100_000)
    with live(folder / "web", [tiny_file(folder)], limits=limits) as (address, _), Client(address) as client:
        job = client.submit(picture(folder / "a.png", 8, 8), samples=2)
        until(lambda: client.ask("GET", job["links"]["self"]).json()["state"] == "succeeded")
        yield address, job["id"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", LABELS)
def test_it_is_true_of_the_server(server, label):
    address, job = server
    operation = operations()[label]
    from hypothesis import HealthCheck, Phase, given, settings

    @settings(
        max_examples=4, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def answers(case):
        if "id" in (case.path_parameters or {}) and case.method != "DELETE":
            case.path_parameters["id"] = job  # a name that is drawn is of no job
        reply = case.call(base_url=address, timeout=30)
        assert reply.status_code < 500
        case.validate_response(reply, excluded_checks=beyond())

    answers()
    assert httpx.get(f"{address}/healthz").json()["status"] == "ok"


def test_every_operation_is_asked():
    assert list(operations()) == LABELS


def test_it_is_valid():
    schema().validate()
