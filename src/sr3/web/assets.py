"""Files that come with the package, read once and found by their names in tables: no address leads to the disk."""

import importlib.resources
from collections.abc import Awaitable, Callable
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from sr3.web.problem import Problem

TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "webp": "image/webp",
    "png": "image/png",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "ico": "image/x-icon",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def page() -> Endpoint:
    """What answers with the file of the folder `page` that is called as the address's "name", or index.html."""
    folder = importlib.resources.files("sr3.web") / "page"
    table = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rsplit(".")[-1] in TYPES}

    async def answer(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in table:
            raise Problem(404, "there is nothing at this address; /docs says what there is")
        return _sent(request, name, table[name])

    return answer


def own(name: str) -> Endpoint:
    """What answers with this file."""
    found = (importlib.resources.files("sr3.web") / name).read_bytes()

    async def answer(request: Request) -> Response:
        return _sent(request, name, found)

    return answer


def _sent(request: Request, name: str, found: bytes) -> Response:
    mark = f'"{sha256(found).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": mark}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    return Response(found, media_type=TYPES[name.rsplit(".")[-1]], headers=headers)
