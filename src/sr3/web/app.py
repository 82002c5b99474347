"""The web application: the page, the interface, and all that stands before them."""

import importlib.resources
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sr3.web import problem
from sr3.web.api import Api
from sr3.web.guard import LOOPBACK, Guard
from sr3.web.problem import Problem
from sr3.web.queue import Queue

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".ico": "image/x-icon",
}


def page_files() -> dict[str, bytes]:
    """The page's files by name: read once, so that an address is looked up in a table and never on the disk."""
    folder = importlib.resources.files("sr3.web") / "page"
    return {each.name: each.read_bytes() for each in folder.iterdir() if f".{each.name.rsplit('.')[-1]}" in TYPES}


def application(
    queue: Queue, *, hosts: Sequence[str] = LOOPBACK, token: str | None = None, more: Sequence[Route] = ()
) -> Starlette:
    """The web application over a queue, which it starts and ends.

    hosts, token: as for `Guard`.  more: other addresses beside these, such as a study's.
    """
    api, table = Api(queue), page_files()

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        found = table.get(name)
        if found is None:
            raise Problem(404, "there is nothing at this address; /docs says what there is")
        kind, mark = TYPES[f".{name.rsplit('.')[-1]}"], f'"{sha256(found).hexdigest()[:16]}"'
        headers = {"Cache-Control": "no-cache", "ETag": mark}
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(found, media_type=kind, headers=headers)

    @asynccontextmanager
    async def open_for_work(app: Starlette) -> AsyncIterator[None]:
        queue.start()
        yield
        queue.close()

    return Starlette(
        routes=[Route("/", page), Route("/page/{name}", page), *api.routes, *more],
        middleware=[
            Middleware(
                Guard,
                hosts=hosts,
                token=token,
                open=("/", "/page/", "/healthz"),
                pictures=(("/v1/jobs", queue.limits.upload),),
            )
        ],
        exception_handlers={
            Problem: problem.refused,
            HTTPException: problem.refused_by_starlette,
            ClientDisconnect: nobody_left,
            ValueError: problem.broke,
            Exception: problem.broke,
        },
        lifespan=open_for_work,
    )


async def nobody_left(request: Request, error: Exception) -> Response:
    """For nobody."""
    return problem.reply(Problem(400, "the request broke off"))
