"""Listening and serving, until interrupted."""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette

from sr3.model.config import ConfigError
from sr3.web.guard import LOOPBACK


def listen(host: str, port: int) -> socket.socket:
    """A socket that browsers can already connect to.  ConfigError where the port or the host cannot be had."""
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=kind, backlog=128)
    except socket.gaierror as error:
        raise ConfigError(f"there is no host {host!r} on this machine") from error
    except OSError as error:
        raise ConfigError(f"port {port} of {host} cannot be used ({error.strerror}); give another --port") from error


def serve(app: Starlette, where: socket.socket) -> None:
    """Serve until interrupted; raises KeyboardInterrupt then, with every request answered."""
    settings = uvicorn.Config(
        app, log_config=None, access_log=False, limit_concurrency=500, timeout_graceful_shutdown=3
    )
    try:
        uvicorn.Server(settings).run(sockets=[where])
    finally:
        where.close()
    raise KeyboardInterrupt  # what ends it raises that, but not where a shell had it ignored, as in the background


def address(host: str, where: socket.socket, token: str | None = None) -> str:
    """What is typed into a browser on this machine for a socket that listens at this host; token: which it asks for."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    asked = f"?token={quote(token, safe='')}" if token else ""
    return f"http://{shown}:{where.getsockname()[1]}/{asked}"


def default_folder() -> Path:
    """Where jobs are kept when nothing is said: in the user's cache, as the system has it."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "sr3" / "web"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "sr3" / "web"
    return Path(os.environ.get("XDG_CACHE_HOME", home / ".cache")) / "sr3" / "web"


def names_of(host: str) -> tuple[str, ...]:
    """The names, as `Guard` has them, by which browsers may ask for a server that listens at this host."""
    if host in ("127.0.0.1", "localhost", "::1"):
        return LOOPBACK
    own = socket.gethostname().lower()
    return *LOOPBACK, "*", host.lower(), own, f"{own}.local"
