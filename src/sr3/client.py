"""A client of `sr3 web`'s interface.

    with Client("http://127.0.0.1:8008") as client:
        made = client.restore("small.jpg", scale=2, progress=lambda done, total, seconds_left: ...)
        Path("large.jpg").write_bytes(made)

Needs httpx, which the extra "web" has, and nothing else of this package.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx


class ServerError(Exception):
    """What the server said: one sentence.  status: HTTP's code."""

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status


class Client:
    """One server.  token: where it wants one.  timeout: seconds of silence after which it is given up."""

    def __init__(self, address: str, *, token: str | None = None, timeout: float = 60.0):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # reading all the world's certificates takes longer than most jobs
        sure = address.startswith("https:")
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, verify=sure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request; ServerError where it is refused."""
        return _fine(self._http.request(method, path, **more))

    def submit(
        self,
        picture: str | Path,
        task: str = "enlarge",
        *,
        mask: str | Path | None = None,
        model: str | None = None,
        key: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Queue a job; it as the server has it.  key: sent again with the same, the same job is meant."""
        said = {"task": task, "options": json.dumps(options), **({"model": model} if model else {})}
        files = {"picture": Path(picture), **({"mask": Path(mask)} if mask else {})}
        brought = {name: (path.name, path.read_bytes()) for name, path in files.items()}
        headers = {"Idempotency-Key": key} if key else {}
        return self.ask("POST", "/v1/jobs", data=said, files=brought, headers=headers).json()

    def events(self, job: Mapping[str, Any], after: int = 0) -> Iterator[tuple[int, str, Any]]:
        """(number, kind, data) of each event of a job, until its end; after: of the last one that was seen."""
        headers = {"Last-Event-ID": str(after)} if after else {}
        with self._http.stream("GET", job["links"]["events"], headers=headers) as reply:
            if reply.is_error:
                reply.read()
            fields: dict[str, str] = {}
            for line in _fine(reply).iter_lines():
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                    fields = {}

    def restore(
        self,
        picture: str | Path,
        task: str = "enlarge",
        *,
        progress: Callable[[int, int, float | None], object] | None = None,
        **options: Any,
    ) -> bytes:
        """Have a picture restored and wait for it: the result's file.  ServerError where nothing comes of it."""
        job = self.submit(picture, task, **options)
        for _, kind, data in self.events(job):
            if kind == "progress" and progress is not None:
                progress(data["done"], data["total"], data["seconds_left"])
        ended = self.ask("GET", job["links"]["self"]).json()
        if ended["state"] != "succeeded":
            error: dict[str, Any] = ended["error"] or {"status": 409, "detail": f"the job was {ended['state']}"}
            raise ServerError(error["status"], error["detail"])
        return self.ask("GET", ended["links"]["result"]).content


def _fine(reply: httpx.Response) -> httpx.Response:
    if reply.is_error:
        kind = reply.headers.get("content-type", "")
        detail = reply.json()["detail"] if kind.startswith("application/problem+json") else reply.text
        raise ServerError(reply.status_code, detail or reply.reason_phrase)
    return reply
