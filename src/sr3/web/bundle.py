"""Several results in one zip."""

import zipfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sr3.files import temporary_folder
from sr3.web.assets import Endpoint
from sr3.web.problem import Problem
from sr3.web.queue import Queue
from sr3.web.store import Record

MOST = 1000
"""Jobs in one zip."""


def bundled(queue: Queue) -> Endpoint:
    """What answers GET /v1/jobs.zip?id=…&id=…"""

    async def answer(request: Request) -> Response:
        asked = list(dict.fromkeys(request.query_params.getlist("id")))
        if not 0 < len(asked) <= MOST:
            raise Problem(422, f"say which results go into the zip: 1 to {MOST} of ?id=")
        stack = ExitStack()
        try:
            path = await run_in_threadpool(_written, queue, asked, stack)
        except BaseException:
            stack.close()
            raise
        return FileResponse(
            path, filename="sr3.zip", media_type="application/zip", background=BackgroundTask(stack.close)
        )

    return answer


def _written(queue: Queue, asked: list[str], stack: ExitStack) -> Path:
    found: list[Record] = []
    for name in asked:
        record = queue.store.get(name)
        if record is None or not all((queue.place(name) / file).exists() for file in record.results):
            continue  # forgotten since it was listed, which keeps nobody from the others
        if record.state != "succeeded":
            raise Problem(409, f"{record.name} has no result: its job is {record.state}")
        found.append(record)
    if not found:
        raise Problem(404, "none of these jobs is there, or none any more")
    whole = stack.enter_context(temporary_folder(queue.folder)) / "sr3.zip"
    names: Counter[str] = Counter()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as into:  # pictures cannot be packed any smaller
        for record in found:
            for file in record.results:
                called = record.called_as(file)
                names[called.casefold()] += 1
                count, path = names[called.casefold()], PurePosixPath(called)
                into.write(
                    queue.place(record.id) / file, called if count == 1 else f"{path.stem} ({count}){path.suffix}"
                )
    return whole
