"""The OpenAPI file, made from the shapes and one table of addresses, and the page that shows it."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import sr3
from sr3.web import shapes, views
from sr3.web.api import ACTIVE, MOST_LISTED
from sr3.web.problem import PROBLEM

JSON, WEBP, BINARY = "application/json", "image/webp", "application/octet-stream"
REF = "#/components/schemas/{model}"

Operation = dict[str, Any]


def _shape(shape: type[Any]) -> dict[str, Any]:
    return {"$ref": REF.format(model=shape.__name__)}


def _said(says: str, kind: str | None = None, schema: Any = None, **headers: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": says}
    if kind is not None:
        found["content"] = {kind: {"schema": schema or {"type": "string", "format": "binary"}}}
    if headers:
        found["headers"] = {name: {"description": s, "schema": {"type": "string"}} for name, s in headers.items()}
    return found


def _does(says: str, answers: dict[str, Any], *parameters: dict[str, Any], body: Any = None, id: str) -> Operation:
    problem = _said("What is wrong, in a sentence.", PROBLEM, _shape(shapes.ProblemShape))
    found: Operation = {"operationId": id, "summary": says, "responses": {**answers, "default": problem}}
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = {"required": True, "content": body}
    return found


def _parameter(where: str, name: str, says: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "description": says, "schema": schema}


ID = _parameter("path", "id", "The job's.", {"type": "string"})
VIEW = (
    _parameter(
        "query",
        "view",
        "Send a WebP at most so wide instead.",
        {"type": "integer", "minimum": 1, "maximum": views.LARGEST},
    ),
    _parameter(
        "query",
        "box",
        "With view: that part alone.",
        {"type": "string", "pattern": r"^\d{1,9},\d{1,9},\d{1,9},\d{1,9}$"},
    ),
)
FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["picture"],
            "additionalProperties": False,
            "properties": {
                "picture": {"type": "string", "format": "binary", "description": "The picture's file."},
                "mask": {
                    "type": "string",
                    "format": "binary",
                    "description": "A picture, white where pixels are to be made; with enlarge, where they stay.",
                },
                "task": {"type": "string", "default": "enlarge", "description": "One that /v1/tasks lists."},
                "model": {"type": "string", "description": "One that the task lists; default: its usual one."},
                "options": {"type": "string", "description": "Options, as JSON."},
            },
        },
        "encoding": {"options": {"contentType": JSON}},
    }
}


EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "progress", "preview", "end"]},
        "data": {"type": "string", "contentMediaType": JSON},
    },
}


def _file(says: str, id: str, *more: dict[str, Any]) -> dict[str, Operation]:
    return {"get": _does(says, {"200": _said("The file.", "image/*")}, ID, *more, *VIEW, id=id)}


def _paths() -> dict[str, dict[str, Operation]]:
    def json(shape: type[Any], says: str = "As asked.", **headers: str) -> dict[str, Any]:
        return _said(says, JSON, _shape(shape), **headers)

    key = _parameter("header", "Idempotency-Key", "The same key, the same job.", {"type": "string", "maxLength": 200})
    last = _parameter("header", "Last-Event-ID", "Only what came after this event.", {"type": "string"})
    limit = _parameter("query", "limit", "At most so many.", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED})
    only = _parameter("query", "only", "Leave a job that has ended.", {"enum": [ACTIVE]})
    ids = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    webp = {"200": _said("A WebP.", WEBP)}
    none = {"204": _said("There is none yet, or none any more.")}
    job = "/v1/jobs/{id}"
    taken = json(shapes.Job, "Taken, or taken before with this key.", Location="The job's address.")
    return {
        "/v1/tasks": {"get": _does("What can be done.", {"200": json(shapes.Tasks)}, id="tasks")},
        "/v1/models": {"get": _does("By what models.", {"200": json(shapes.Models)}, id="models")},
        "/v1/jobs": {
            "post": _does("Have something done to a picture.", {"202": taken}, key, body=FORM, id="submit"),
            "get": _does("The jobs, the newest first.", {"200": json(shapes.Jobs)}, limit, id="jobs"),
        },
        "/v1/jobs.zip": {
            "get": _does(
                "Several results in one file.",
                {"200": _said("A zip.", "application/zip")},
                {**_parameter("query", "id", "Of the jobs.", ids), "required": True},
                id="zip",
            )
        },
        job: {
            "get": _does("A job.", {"200": json(shapes.Job)}, ID, id="job"),
            "delete": _does(
                "Cancel a job; forget one that has ended.",
                {
                    "200": json(shapes.Job, "It had not begun, and will not; or it had ended, and only=active came."),
                    "202": json(shapes.Job, "It ends after the step that is being made."),
                    "204": _said("It had ended, and is forgotten."),
                },
                ID,
                only,
                id="cancel",
            ),
        },
        f"{job}/events": {
            "get": _does(
                "Server-sent events: state (a job), progress, preview (its url) and end.",
                {"200": _said("Events.", "text/event-stream", EVENT)},
                ID,
                last,
                id="events",
            )
        },
        f"{job}/preview": {"get": _does("What it is thought to become.", webp | none, ID, id="preview")},
        f"{job}/picture": _file("The picture given.", "picture"),
        f"{job}/thumbnail": {"get": _does("The picture given, small.", webp, ID, id="thumbnail")},
        f"{job}/result": _file("The result: the file that the command line writes.", "result"),
        f"{job}/result/thumbnail": {"get": _does("The result, small.", webp, ID, id="resultThumbnail")},
        f"{job}/samples/{{k}}": _file(
            "One of several answers.", "sample", _parameter("path", "k", "From 1.", {"type": "integer", "minimum": 1})
        ),
        f"{job}/mean": _file("The mean of several answers.", "mean"),
        f"{job}/spread": _file("Where they differ: the more, the whiter.", "spread"),
        "/sdapi/v1/extra-single-image": {
            "post": _does(
                "Enlarge a picture in one request, as programs of the Stable Diffusion web UI's interface ask.",
                {"200": json(shapes.Enlarged)},
                body={JSON: {"schema": _shape(shapes.Enlarge)}},
                id="extraSingleImage",
            )
        },
        "/sdapi/v1/upscalers": {
            "get": _does("The models that enlarge.", {"200": _said("A list.", JSON, {"type": "array"})}, id="upscalers")
        },
        "/healthz": {"get": {**_does("Whether it lives.", {"200": json(shapes.Health)}, id="health"), "security": []}},
        "/metrics": {
            "get": _does(
                "Counters for Prometheus.", {"200": _said("Text.", "text/plain", {"type": "string"})}, id="metrics"
            )
        },
    }


@cache
def description() -> dict[str, Any]:
    """The OpenAPI file, of version 3.1."""
    sent = (
        shapes.Tasks,
        shapes.Models,
        shapes.Job,
        shapes.Jobs,
        shapes.Health,
        shapes.Options,
        shapes.ProblemShape,
        shapes.Enlarge,
        shapes.Enlarged,
    )
    _, schemas = models_json_schema([(shape, "validation") for shape in sent], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sr3",
            "version": sr3.__version__,
            "description": "Enlarge and restore pictures: send one, hear how it comes along, fetch the result.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


async def file(request: Request) -> Response:
    """GET /openapi.json."""
    return JSONResponse(description())


@cache
def _page() -> str:
    template = (files("sr3.web") / "docs.html").read_text("utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template).render(description())
    )


async def docs(request: Request) -> Response:
    """GET /docs: the same for people, without a script."""
    return HTMLResponse(_page())
