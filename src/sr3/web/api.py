"""The interface under /v1: jobs, their events, their pictures, and what can be asked for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

import sr3
from sr3.web import intake, views
from sr3.web.problem import Problem
from sr3.web.queue import Queue
from sr3.web.shapes import Health, Job, Jobs, Links, Models, Progress, Tasks
from sr3.web.store import Record

KEEP = {"Cache-Control": "private, max-age=86400, immutable"}
"""Of what never changes: a job's pictures."""

MOST_LISTED = 1000

ACTIVE = "active"
"""What a request to delete says to cancel a job, and to forget none that has just ended."""

KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
}


def sent(shape: BaseModel, status: int = 200, **headers: str) -> Response:
    """A shape as JSON."""
    return Response(shape.model_dump_json(), status, headers=headers, media_type="application/json")


class Api:
    """What answers under /v1, over one queue."""

    def __init__(self, queue: Queue):
        self.queue = queue
        queue.tell = lambda record: self.job(record).model_dump(mode="json")
        self._eyes: anyio.CapacityLimiter | None = None

    @property
    def routes(self) -> list[Route]:
        """Its addresses."""
        one = "/v1/jobs/{id}"
        return [
            Route("/v1/models", self.models),
            Route("/v1/tasks", self.tasks),
            Route("/v1/jobs", self.submit, methods=["POST"]),
            Route("/v1/jobs", self.jobs),
            Route(one, self.get),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/events", self.events),
            Route(f"{one}/preview", self.preview),
            Route(f"{one}/picture", self.picture),
            Route(f"{one}/thumbnail", self.picture_thumbnail),
            Route(f"{one}/result/thumbnail", self.result_thumbnail),
            Route(f"{one}/result", self.result),
            Route(f"{one}/samples/{{k:int}}", self.result),
            Route(f"{one}/{{which:str}}", self.result),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
        ]

    def job(self, record: Record) -> Job:
        """A job as it is sent."""
        at = f"/v1/jobs/{record.id}"
        several, done = record.options.samples > 1, record.state == "succeeded"
        links = Links(
            self=at,
            events=f"{at}/events",
            picture=f"{at}/picture",
            thumbnail=f"{at}/thumbnail",
            preview=f"{at}/preview" if record.state == "running" else None,
            result=f"{at}/result" if done else None,
            result_thumbnail=f"{at}/result/thumbnail" if done else None,
            samples=[f"{at}/samples/{k + 1}" for k in range(record.options.samples)] if done and several else None,
            mean=f"{at}/mean" if done and several else None,
            spread=f"{at}/spread" if done and several else None,
        )
        kept = record.model_dump(include=set(Job.model_fields) - {"options", "error"})
        return Job(
            **kept,
            options=record.options,
            error=record.error,
            progress=self.queue.live.get(record.id, Progress(done=record.steps, total=record.steps)),
            position=self.queue.position(record.id) if record.state == "queued" else None,
            links=links,
        )

    async def models(self, request: Request) -> Response:
        return sent(Models(models=self.queue.catalogue.listed()))

    async def tasks(self, request: Request) -> Response:
        return sent(Tasks(tasks=self.queue.catalogue.tasks()))

    async def health(self, request: Request) -> Response:
        queue = self.queue
        return sent(Health(status="ok", version=sr3.__version__, queued=queue.length, running=len(queue.live)))

    async def metrics(self, request: Request) -> Response:
        queue = self.queue
        text = queue.metrics.text(queued=queue.length, running=len(queue.live), disk=queue.used)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def submit(self, request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Problem(415, "send a form (multipart/form-data) with the picture and the task")
        key = request.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= 200 and key.isprintable()):
            raise Problem(400, "an Idempotency-Key has 1 to 200 characters")
        if key is None or await run_in_threadpool(self.queue.store.by_key, key) is None:
            self.queue.check_length()  # before anything of it is read
        async with request.form(max_files=2, max_fields=4, max_part_size=20_000) as form:
            record = await run_in_threadpool(intake.take, self.queue, asked(form, key))
        job = await run_in_threadpool(self.job, record)
        return sent(job, 202, Location=job.links.self)

    async def jobs(self, request: Request) -> Response:
        most = number(request, "limit", 200, MOST_LISTED)
        found = await run_in_threadpool(lambda: [self.job(record) for record in self.queue.store.newest(most)])
        return sent(Jobs(jobs=found, hours=self.queue.limits.hours))

    async def get(self, request: Request) -> Response:
        return sent(await run_in_threadpool(self.job, await self.found(request)))

    async def delete(self, request: Request) -> Response:
        record = await self.found(request)
        only = request.query_params.get("only")
        if only not in (None, ACTIVE):
            raise Problem(422, f"only is {ACTIVE}, or is left out")
        stopped = await run_in_threadpool(self.queue.cancel, record.id)
        if stopped is None and only == ACTIVE:
            return sent(await run_in_threadpool(self.job, await self.found(request)))
        if stopped is None:
            await run_in_threadpool(self.queue.forget, record)
            return Response(status_code=204)
        return sent(self.job(stopped), 200 if stopped.ended else 202)

    async def events(self, request: Request) -> Response:
        channel = await run_in_threadpool(self.queue.channel, await self.found(request))
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 20 else 0

        async def told() -> AsyncIterator[ServerSentEvent]:
            async for event in channel.listen(after):
                yield ServerSentEvent(event.data, event=event.kind, id=str(event.number))

        return EventSourceResponse(told(), ping=15, send_timeout=60, sep="\n")

    async def preview(self, request: Request) -> Response:
        channel = await run_in_threadpool(self.queue.channel, await self.found(request))
        found = channel.preview()
        if found is None:
            return Response(status_code=204)  # none yet, or none any more: no fault of who asks
        return Response(found, media_type="image/webp")

    async def picture(self, request: Request) -> Response:
        record = await self.found(request)
        return await self.file(request, record, record.picture, record.name)

    async def picture_thumbnail(self, request: Request) -> Response:
        record = await self.found(request)
        return await self.seen(self.queue.place(record.id) / record.picture, views.THUMBNAIL, None, keep=True)

    async def result_thumbnail(self, request: Request) -> Response:
        record = await self.ended(request)
        return await self.seen(self.queue.place(record.id) / record.results[0], views.THUMBNAIL, None, keep=True)

    async def result(self, request: Request) -> Response:
        which, k = request.path_params.get("which"), request.path_params.get("k", 1)
        if which not in (None, "mean", "spread"):
            raise Problem(404, "there is nothing at this address; /docs says what there is")
        record = await self.ended(request)
        several = record.options.samples > 1
        if not (1 <= k <= record.options.samples) or (which is not None and not several):
            raise Problem(404, f"{record.name} has {record.options.samples} of the answers that were asked for")
        index = k - 1 if which is None else {"mean": -2, "spread": -1}[which]
        name = record.results[index]
        return await self.file(request, record, name, record.called_as(name))

    async def found(self, request: Request) -> Record:
        """The job of a request's address; Problem 404 where there is none."""
        record = await run_in_threadpool(self.queue.store.get, request.path_params["id"])
        if record is None:
            raise Problem(404, "there is no such job, or none any more")
        return record

    async def ended(self, request: Request) -> Record:
        """A job that has succeeded; Problem 409 for one that has not."""
        record = await self.found(request)
        if record.state != "succeeded":
            raise Problem(409, f"{record.name} has no result: its job is {record.state}")
        return record

    async def file(self, request: Request, record: Record, name: str, called: str) -> Response:
        """A file of a job as it is, or what ?view= and ?box= ask to see of it."""
        path = self.queue.place(record.id) / name
        if "view" in request.query_params:
            return await self.seen(path, number(request, "view", 0, views.LARGEST), box_of(request))
        if not path.exists():
            raise Problem(404, "this job was forgotten just now")
        return FileResponse(
            path,
            filename=called,
            media_type=KINDS.get(path.suffix, "application/octet-stream"),
            content_disposition_type="attachment",
            headers=KEEP,
        )

    async def seen(self, path: Path, wide: int, box: views.Box | None, *, keep: bool = False) -> Response:
        """A picture for the screen.  keep: make it once and keep it; it is then no higher than wide.

        Only two are made at a time, so that many who look do not fill the memory.
        """
        if not path.exists():
            raise FileNotFoundError(path)
        self._eyes = self._eyes or anyio.CapacityLimiter(2)
        made = await anyio.to_thread.run_sync(_view, path, wide, box, keep, limiter=self._eyes)
        if keep or box is not None:
            await run_in_threadpool(self.queue.weigh, path.parent.name)
        return Response(made, media_type="image/webp", headers=KEEP)


def _view(path: Path, wide: int, box: views.Box | None, keep: bool) -> bytes:
    kept = path.with_name(f"{path.stem}-{wide}.webp.view")
    if keep and kept.exists():
        return kept.read_bytes()
    if box is not None:
        return views.part(path, (wide, 16_000), box)
    made = views.view(path, (wide, wide if keep else 16_000))
    if keep:
        half = kept.with_name(f"{kept.name}.{id(made)}")
        half.write_bytes(made)
        half.replace(kept)
    return made


def asked(form: FormData, key: str | None) -> intake.Request:
    """What a form asks for; Problem where it is not as it should be."""
    picture, mask = form.get("picture"), form.get("mask")
    if not isinstance(picture, UploadFile):
        raise Problem(422, "no picture has come; send it as the file 'picture'")
    if mask is not None and not isinstance(mask, UploadFile):
        raise Problem(422, "the mask is no file; send it as the file 'mask'")
    said: dict[str, Any] = {name: form.get(name) for name in ("task", "model", "options") if form.get(name)}
    if odd := [name for name, value in said.items() if not isinstance(value, str)]:
        raise Problem(422, f"{odd[0]} is a file and should be text")
    if unknown := [name for name in form if name not in ("picture", "mask", "task", "model", "options")]:
        raise Problem(
            422, f"there is no {json.dumps(unknown[0][:60])}; a job has picture, mask, task, model and options"
        )
    if "options" in said:
        said["options"] = intake.json_object(said["options"], "options")
    brought = intake.Brought(picture.filename or "picture", picture.file)
    return intake.Request(brought, None if mask is None else mask.file, key=key, **said)


def number(request: Request, name: str, usual: int, most: int) -> int:
    """A whole number of a request's query, from 1 to `most`."""
    text = request.query_params.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Problem(422, f"{name} is a whole number from 1 to {most}")
    return int(text)


def box_of(request: Request) -> views.Box | None:
    """?box=LEFT,TOP,WIDTH,HEIGHT."""
    text = request.query_params.get("box")
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts):
        raise Problem(422, "a box is LEFT,TOP,WIDTH,HEIGHT in pixels of the picture")
    left, top, wide, high = map(int, parts)
    if not wide or not high:
        raise Problem(422, "a box has a width and a height")
    return left, top, wide, high
