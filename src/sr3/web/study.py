"""The page of a study: shows two pictures for a moment and asks which is the photograph.

Nothing that reaches the browser tells the two apart.  Each picture of each trial has an address of its own, made by a
keyed hash; pictures are sent uncompressed, so that one has as many bytes as the other; and which is which is known
to the server alone.
"""

import hashlib
import hmac
import io
import json
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sr3.evaluation.study import QUESTIONS, SIDES, Side, Study, Trial, pixels_of, rater_name
from sr3.model.config import ConfigError
from sr3.web import problem
from sr3.web.assets import own
from sr3.web.guard import Guard
from sr3.web.problem import Problem

BODY = 10_000
"""Bytes of the largest answer; a page sends a few hundred."""

RATERS = 1000
"""So many are remembered, the last that were heard of; another is asked the same trial again."""

A_YEAR = 365 * 86_400_000.0
"""Milliseconds; no answer takes longer."""


class Desk:
    """Hands out trials under names that say nothing, and takes the answers.

    seconds: how long the pictures are shown.  rater: who answers, where the page need not ask.  enlarge: the whole
    number of the screen's pixels for one of the picture's; 0: as many as there is room for.
    """

    def __init__(self, study: Study, *, seconds: float = 3.0, rater: str | None = None, enlarge: int = 0):
        self.study = study
        self.settings = {"seconds": seconds, "rater": rater and rater_name(rater), "enlarge": enlarge}
        self._secret = secrets.token_bytes(32)
        self._trials: dict[str, tuple[str, Trial]] = {}
        self._pictures: dict[str, Path] = {}
        self._raters: OrderedDict[str, set[str]] = OrderedDict()
        """The names that each was given, of both."""
        self._lock = Lock()

    def page(self) -> str:
        """The page, with the settings in it."""
        template = Path(__file__).with_name("study.html").read_text("utf-8")
        settings = {**self.settings, "tasks": self.study.tasks, "questions": QUESTIONS}
        # "<" must not end the script that the settings stand in
        return template.replace("{{settings}}", json.dumps(settings).replace("<", "\\u003c"))

    def next(self, rater: str) -> dict[str, Any]:
        """What the page is told of the rater's next trial."""
        left, total = self.study.left(rater), len(self.study.plan(rater))
        told: dict[str, Any] = {"done": total - len(left), "total": total, "trial": None}
        if not left:
            return told
        trial, files = left[0], self.study.pairs.files
        name = self._name(rater, trial, "trial")
        kinds = {side: "original" if side == trial.side else trial.method for side in SIDES}
        if trial.task == "shown":
            kinds["given"] = "given"
        addresses = {place: self._name(rater, trial, place) for place in kinds}
        with self._lock:
            self._trials[name] = (rater, trial)
            self._pictures |= {addresses[place]: files[kind][trial.picture] for place, kind in kinds.items()}
            self._raters.setdefault(rater, set()).update((name, *addresses.values()))
            self._raters.move_to_end(rater)
            for old in self._raters.popitem(last=False)[1] if len(self._raters) > RATERS else ():
                self._trials.pop(old, None)
                self._pictures.pop(old, None)
        return {**told, "trial": name, "pictures": {place: f"p/{name}" for place, name in addresses.items()}}

    def picture(self, address: str) -> bytes | None:
        """A picture as PNG without compression: equal sizes give equally many bytes."""
        file = self._pictures.get(address)
        if file is None:
            return None
        written = io.BytesIO()
        pixels_of(file).save(written, "PNG", compress_level=0)
        return written.getvalue()

    def answer(self, name: str, side: Side, milliseconds: float) -> bool | None:
        """Take an answer: True when saved, False when there was one before, None for a trial there is none of."""
        found = self._trials.get(name)
        if found is None:
            return None
        rater, trial = found
        return self.study.answer(rater, trial, side, max(0, round(milliseconds)))

    def _name(self, rater: str, trial: Trial, what: str) -> str:
        # the same for a reload, another for every rater, trial and start of the server
        key = json.dumps([rater, trial.task, trial.picture, trial.method, what]).encode()
        return hmac.new(self._secret, key, hashlib.sha256).hexdigest()[:32]


def routes(desk: Desk, at: str = "") -> list[Route]:
    """The addresses below `at`: "/" the page, "/next" and "/answer" for it, "/p/…" the pictures."""

    async def page(request: Request) -> Response:
        return HTMLResponse(desk.page())

    async def following(request: Request) -> Response:
        sent = await _sent(request)
        rater = _rater(sent)
        return JSONResponse(await run_in_threadpool(desk.next, rater))

    async def answer(request: Request) -> Response:
        sent = await _sent(request)
        rater, side, took = _rater(sent), sent.get("answer"), sent.get("milliseconds")
        if side not in SIDES or not isinstance(took, int | float) or isinstance(took, bool) or not abs(took) < A_YEAR:
            raise Problem(400, "an answer is left or right, after some milliseconds")
        try:
            saved = await run_in_threadpool(desk.answer, str(sent.get("trial")), side, took)
        except OSError as error:
            raise Problem(507, f"the answer could not be saved: {error.strerror}") from error
        told = await run_in_threadpool(desk.next, rater)
        # a trial of before a restart is simply asked again
        return JSONResponse({"saved": bool(saved), "known": saved is not None, **told})

    async def picture(request: Request) -> Response:
        found = await run_in_threadpool(desk.picture, request.path_params["address"])
        if found is None:
            raise Problem(404, "there is no such picture")
        return Response(found, media_type="image/png")

    def _rater(sent: dict[str, Any]) -> str:
        try:
            return rater_name(str(desk.settings["rater"] or sent.get("rater") or ""))
        except ConfigError as error:
            raise Problem(400, str(error)) from error

    return [
        Route(f"{at}/", page),
        *(Route(f"{at}/{name}", own(name)) for name in ("study.css", "study.js")),
        Route(f"{at}/next", following, methods=["POST"]),
        Route(f"{at}/answer", answer, methods=["POST"]),
        Route(f"{at}/p/{{address}}", picture),
    ]


def application(desk: Desk, hosts: Sequence[str] = ("*",)) -> Starlette:
    """The study alone.  hosts: as for `Guard`."""
    return Starlette(
        routes=routes(desk), exception_handlers=problem.HANDLERS, middleware=[Middleware(Guard, hosts=hosts)]
    )


async def _sent(request: Request) -> dict[str, Any]:
    # only this page's own scripts can send JSON; a form on another site cannot
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Problem(415, "send JSON")
    body = await request.body()
    if len(body) > BODY:
        raise Problem(413, f"send at most {BODY} bytes")
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "send JSON") from error
    if not isinstance(sent, dict):
        raise Problem(400, "send a JSON object")
    return sent
