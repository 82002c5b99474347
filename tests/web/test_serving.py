"""Listening and serving: where, under which names, and how it ends."""

import signal
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'web'")
pytest.importorskip("starlette", reason="needs the extra 'web'")

import uvicorn
from starlette.applications import Starlette

from sr3.model.config import ConfigError
from sr3.web.serving import address, default_folder, listen, serve


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_its_end_is_an_interrupt_even_where_a_shell_had_that_ignored(monkeypatch, handler):
    """As of a process in the background, whose server ends by Ctrl-C and has nothing to raise again."""

    def run(self, sockets):
        with self.capture_signals():
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    where, before = listen("127.0.0.1", 0), signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            serve(Starlette(), where)
    finally:
        signal.signal(signal.SIGINT, before)
    assert where.fileno() == -1


def test_how_many_are_served_and_how_long_the_last_are_awaited(monkeypatch):
    seen = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: seen.append((self.config, sockets)))
    where = listen("127.0.0.1", 0)
    with pytest.raises(KeyboardInterrupt):
        serve(Starlette(), where)
    ((settings, sockets),) = seen
    assert sockets == [where]
    assert (settings.limit_concurrency, settings.timeout_graceful_shutdown) == (500, 3)
    assert (settings.access_log, settings.log_config) == (False, None)


def test_a_port_is_had_once_and_hosts_are_known():
    with listen("127.0.0.1", 0) as where:
        port = where.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be used .*; give another --port"):
            listen("127.0.0.1", port)
    with pytest.raises(ConfigError, match="there is no host 'no such host' on this machine"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("", "127.0.0.1"),
        ("::1", "[::1]"),
        ("fe80::2", "[fe80::2]"),
        ("10.1.2.3", "10.1.2.3"),
        ("desk", "desk"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host, shown):
    where = SimpleNamespace(getsockname=lambda: ("ignored", 8008))
    assert address(host, where) == f"http://{shown}:8008/"


def test_any_token_comes_through_the_address():
    where, token = SimpleNamespace(getsockname=lambda: ("ignored", 8008)), "ab+c/d&e#f=%41 =="
    shown = urlsplit(address("localhost", where, token))
    assert (shown.netloc, parse_qs(shown.query)) == ("localhost:8008", {"token": [token]})


@pytest.mark.parametrize(
    ("platform", "name", "variable", "end"),
    [
        ("linux", "posix", {"XDG_CACHE_HOME": "/caches"}, "/caches/sr3/web"),
        ("linux", "posix", {}, "HOME/.cache/sr3/web"),
        ("darwin", "posix", {}, "HOME/Library/Caches/sr3/web"),
        ("win32", "nt", {"LOCALAPPDATA": "/local"}, "/local/sr3/web"),
        ("win32", "nt", {}, "HOME/AppData/Local/sr3/web"),
    ],
)
def test_jobs_are_kept_where_the_system_keeps_such_things(monkeypatch, tmp_path, platform, name, variable, end):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    for key, value in variable.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("sys.platform", platform)
    assert default_folder().as_posix() == end.replace("HOME", tmp_path.as_posix())
