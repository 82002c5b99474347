"""The guard at the server's door: whom it answers, how much it reads, and what every reply tells the browser.

It stands before everything else, and is plain ASGI, so that events and large files pass through it unbuffered.
"""

import asyncio
import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sr3.web.problem import Problem, reply

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""The names of one's own machine."""

PATIENCE = 20.0
"""Seconds that a sender may be silent within a body."""

SLOWEST = 50_000
"""Bytes a second that a body must come with, after `PATIENCE`."""

SMALL = 100_000
"""Bytes of a body of a request that brings no picture."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # nothing inline and nothing from elsewhere; pictures that a script has fetched are blobs
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware.

    hosts: the names that the server answers to, without ports; "*" is any address in digits, which DNS cannot rebind.
    token: what a request must know; None: nothing.  open: paths that need none, as do those that begin with one that
    ends in "/": the page itself, which holds nothing of anybody.
    pictures: bytes that requests of some paths may bring, where that is more than `SMALL`.
    """

    app: ASGIApp
    hosts: Sequence[str] = LOOPBACK
    token: str | None = None
    open: Sequence[str] = ()
    pictures: Mapping[str, int] = field(default_factory=dict[str, int])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = _dressed(send)
        try:
            self._judge(scope, Headers(scope=scope))
        except Problem as problem:
            await reply(problem)(scope, receive, sent)
            return
        await self.app(scope, _bounded(receive, self.pictures.get(scope["path"], SMALL)), sent)

    def _judge(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            raise Problem(400, "this server does not answer to that name; open the address that it printed")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        foreign = origin not in (None, f"http://{hosts[0]}", f"https://{hosts[0]}")
        if changes and (foreign or site == "cross-site"):
            raise Problem(403, "a page of another site asked for this; use the server's own page")
        self._judge_length(scope, headers)
        if self.token is not None and not self._is_open(scope["path"]) and not self._knows(scope, headers):
            raise Problem(
                401,
                "this server wants its token; open the address that it printed, or send Authorization: Bearer TOKEN",
                www_authenticate='Bearer realm="sr3"',
            )

    def _judge_length(self, scope: Scope, headers: Headers) -> None:
        length = headers.get("content-length")
        most = self.pictures.get(scope["path"], SMALL)
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Problem(400, "the length of the body is no number")
        if length is not None and (len(length) > 15 or int(length) > most):
            raise _too_long(most)

    def _ours(self, host: str) -> bool:
        if any(c in host for c in "/@\\? \t"):
            return False
        try:
            found = urlsplit(f"//{host}")
            name, _port = found.hostname, found.port
        except ValueError:
            return False
        if not name:
            return False
        if "*" in self.hosts:
            try:
                ipaddress.ip_address(name)
                return True
            except ValueError:
                pass
        return name in {host.strip("[]").lower() for host in self.hosts}

    def _is_open(self, path: str) -> bool:
        return any(
            path == each or (each.endswith("/") and len(each) > 1 and path.startswith(each)) for each in self.open
        )

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        value = value.strip()
        if kind.lower() == "basic":  # what programs of the web UI's interface send; the name does not matter
            try:
                value = base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                value = ""
        elif kind.lower() != "bearer":
            # an <img> can send no header
            reads = scope["method"] in ("GET", "HEAD")
            value = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1] if reads else ""
        assert self.token is not None
        return hmac.compare_digest(value.encode(), self.token.encode())


def _too_long(most: int) -> Problem:
    return Problem(413, f"this request brings more than {most} bytes; send less")


def _dressed(send: Send) -> Send:
    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return dressed


def _bounded(receive: Receive, most: int) -> Receive:
    """What is received, and a `Problem` where it is too much or too slow."""
    began: float | None = None
    got, ended = 0, False

    async def bounded() -> Message:
        nonlocal began, got, ended
        if ended:  # what comes now is that the client left, whenever that is
            return await receive()
        now = asyncio.get_running_loop().time()
        began = now if began is None else began
        try:
            async with asyncio.timeout(PATIENCE):
                message = await receive()
        except TimeoutError as error:
            raise Problem(408, "the rest of the request did not come; send it sooner", connection="close") from error
        if message["type"] == "http.request":
            got += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if got > most:
                raise _too_long(most)
            if not ended and now - began > PATIENCE + got / SLOWEST:
                raise Problem(408, "the request comes too slowly; send it faster", connection="close")
        elif message["type"] == "http.disconnect":
            ended = True
            raise ClientDisconnect
        return message

    return bounded
