"""The door that programs of the Stable Diffusion web UI's interface know: one picture enlarged, in one request."""

import base64
import io
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sr3.model.config import parse
from sr3.web import intake
from sr3.web.api import sent
from sr3.web.problem import Problem
from sr3.web.queue import Queue
from sr3.web.shapes import Enlarge, Enlarged
from sr3.web.store import Record

BODY = 40_000_000
"""Bytes of the largest request: it is held in memory, where a form goes to the disk."""

AT_ONCE = 4
"""So many requests are read at the same time."""


class Door:
    """What answers under /sdapi/v1."""

    def __init__(self, queue: Queue):
        self.queue = queue
        self._reading: anyio.Semaphore | None = None

    @property
    def routes(self) -> list[Route]:
        """Its addresses."""
        return [
            Route("/sdapi/v1/extra-single-image", self.enlarge, methods=["POST"]),
            Route("/sdapi/v1/upscalers", self.upscalers),
        ]

    async def upscalers(self, request: Request) -> Response:
        """The models that enlarge, as such programs list them."""
        catalogue = self.queue.catalogue
        models = [catalogue.models[name] for name in catalogue.of(catalogue.use("enlarge"))]
        none = {"model_path": None, "model_url": None}
        return JSONResponse([{"name": m.name, "model_name": m.name, "scale": m.factor, **none} for m in models])

    async def enlarge(self, request: Request) -> Response:
        """A picture in base64, enlarged: it is a job like any other, and this waits for its end."""
        self.queue.check_length()
        self._reading = self._reading or anyio.Semaphore(AT_ONCE)
        async with self._reading:
            body = await request.body()
            record = await run_in_threadpool(self._take, body)
        channel = await run_in_threadpool(self.queue.channel, record)
        async for event in channel.listen():
            if event.kind == "end":
                break
        ended = await run_in_threadpool(self.queue.store.get, record.id)
        if ended is None or ended.state != "succeeded":
            error = ended.error if ended else None
            raise Problem(error.status, error.detail) if error else Problem(409, "the job was canceled")
        made = await run_in_threadpool((self.queue.place(ended.id) / ended.results[0]).read_bytes)
        info = f"{ended.model}, {ended.size[0]}x{ended.size[1]}"
        return sent(Enlarged(html_info=info, image=base64.b64encode(made).decode("ascii")))

    def _take(self, body: bytes) -> Record:
        asked = parse("the request", Enlarge, intake.json_object(body, "the request"))
        try:
            data = base64.b64decode(asked.image.rpartition(",")[2], validate=True)
        except ValueError as error:
            raise Problem(422, "the image is no base64") from error
        options: dict[str, Any] = {"format": "png"}
        if asked.resize_mode == 0:
            options["scale"] = asked.upscaling_resize
        elif asked.upscaling_resize_w and asked.upscaling_resize_h:
            options["size"] = f"{asked.upscaling_resize_w}x{asked.upscaling_resize_h}"
        else:
            raise Problem(422, "resize_mode 1 needs upscaling_resize_w and upscaling_resize_h")
        known = self.queue.catalogue.models
        model = asked.upscaler_1 if asked.upscaler_1 in known else None
        picture = intake.Brought("picture", io.BytesIO(data))
        return intake.take(self.queue, intake.Request(picture, model=model, options=options))
