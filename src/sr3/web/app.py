"""The web application: the page, the interface, and the guard before them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sr3.web import assets, openapi, problem, study
from sr3.web.api import Api
from sr3.web.bundle import bundled
from sr3.web.guard import LOOPBACK, Guard
from sr3.web.queue import Queue
from sr3.web.sdapi import BODY, Door

OPEN = ("/", "/page/", "/healthz", "/docs", "/docs.css", "/openapi.json")
"""What needs no token: nothing of anybody is in it."""


def application(
    queue: Queue, *, hosts: Sequence[str] = LOOPBACK, token: str | None = None, desk: study.Desk | None = None
) -> Starlette:
    """The web application over a queue, which it starts and ends.

    hosts, token: as for `Guard`.  desk: a study, which is then one of the pages, at /study/.
    """
    api, door, page = Api(queue), Door(queue), assets.page()

    async def to_study(request: Request) -> Response:
        return RedirectResponse("/study/")

    @asynccontextmanager
    async def open_for_work(app: Starlette) -> AsyncGenerator[None]:
        queue.start()
        yield
        queue.close()

    asked = [] if desk is None else [Route("/study", to_study), *study.routes(desk, "/study")]
    return Starlette(
        routes=[
            Route("/", page),
            Route("/page/{name}", page),
            Route("/docs", openapi.docs),
            Route("/docs.css", assets.own("docs.css")),
            Route("/openapi.json", openapi.file),
            Route("/v1/jobs.zip", bundled(queue)),
            *door.routes,
            *api.routes,
            *asked,
        ],
        middleware=[
            Middleware(
                Guard,
                hosts=hosts,
                token=token,
                open=(*OPEN, *(() if desk is None else ("/study", "/study/"))),
                pictures={"/v1/jobs": queue.limits.upload, "/sdapi/v1/extra-single-image": BODY},
            )
        ],
        exception_handlers=problem.HANDLERS,
        lifespan=open_for_work,
    )
