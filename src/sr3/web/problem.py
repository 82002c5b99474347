"""Problems: what a request cannot have, as RFC 9457's `application/problem+json`."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from sr3.restore.fault import code_and_sentence

LOG = logging.getLogger("sr3.web")

PROBLEM = "application/problem+json"


class Problem(Exception):  # noqa: N818, as RFC 9457 calls it
    """A request that cannot be met.  status: HTTP's code; detail: one sentence; headers: of the reply."""

    def __init__(self, status: int, detail: str, **headers: str):
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return body(self.status, self.detail)


def body(status: int, detail: str) -> dict[str, Any]:
    """A problem's members: without a type of its own the title is the status's (RFC 9457, section 4.2.1)."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem_of(error: Exception) -> Problem:
    """What to tell of an error: the command line's sentence, or that the fault is ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, FileNotFoundError):  # of a job that is forgotten while it is looked at
        return Problem(404, "this job was forgotten just now")
    found = code_and_sentence(error)
    if found is None:
        return Problem(500, f"sr3 has a defect ({type(error).__name__}); the server's log says more")
    full = isinstance(error, OSError | MemoryError) or found[1].startswith(("not enough memory", "the disk is full"))
    return Problem(507 if full else 422, found[1])


def reply(problem: Problem) -> Response:
    """The response to a problem."""
    return JSONResponse(problem.body, problem.status, headers=problem.headers, media_type=PROBLEM)


async def refused(request: Request, error: Exception) -> Response:
    """Starlette's handler of problems."""
    assert isinstance(error, Problem)
    return reply(error)


async def refused_by_starlette(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, of unknown addresses and methods, in the same form."""
    assert isinstance(error, HTTPException)
    plain = error.detail == HTTPStatus(error.status_code).phrase
    said: Mapping[int, str] = {
        404: "there is nothing at this address; /docs says what there is",
        405: f"{request.method} means nothing here; /docs says what does",
    }
    detail = said.get(error.status_code, error.detail) if plain else error.detail
    headers = {name.replace("-", "_"): value for name, value in (error.headers or {}).items()}
    return reply(Problem(error.status_code, detail, **headers))


async def broke(request: Request, error: Exception) -> Response:
    """Whatever the library raises; a defect of ours goes to the log too."""
    found = problem_of(error)
    if found.status == 500:
        LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return reply(found)


async def nobody_left(request: Request, error: Exception) -> Response:
    """For nobody."""
    return reply(Problem(400, "the request broke off"))


HANDLERS: dict[Any, Any] = {
    Problem: refused,
    HTTPException: refused_by_starlette,
    ClientDisconnect: nobody_left,
    ValueError: broke,
    OSError: broke,
    ModuleNotFoundError: broke,
    MemoryError: broke,
    Exception: broke,
}
"""Of an application: every error is answered by a problem."""
