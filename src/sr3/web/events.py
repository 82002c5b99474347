"""Events of a job: from the thread that works on it to all who listen, of each kind only the last.

A later state, progress or preview makes an earlier one worthless.  So nothing piles up for a slow listener, and one
that comes back with the number of the last event that it saw is sent what has changed since.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

_count = time.time_ns() // 1000
"""Numbers go on after a restart: no earlier run has given so many in so many microseconds."""
_lock = threading.Lock()


def _next() -> int:
    global _count
    with _lock:
        _count += 1
        return _count


class Event(NamedTuple):
    """number: larger than that of every event before it.  data: JSON."""

    number: int
    kind: str
    data: str


class Channel:
    """The events of one job.  `publish` may be called from any thread, `listen` in any loop."""

    def __init__(self) -> None:
        self._last: dict[str, Event] = {}
        self._ears: dict[object, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._mutex = threading.Lock()
        self._preview: bytes | None = None
        self._taken = True

    @property
    def wants_preview(self) -> bool:
        """Whether somebody listens, and the last preview has been taken: previews are made no faster."""
        return bool(self._ears) and self._taken

    def show(self, preview: bytes, url: str) -> None:
        """Hand out a preview."""
        self._preview, self._taken = preview, False
        self.publish("preview", {"url": f"{url}?n={_next()}"})

    def preview(self) -> bytes | None:
        """The last preview; the next one may then be made."""
        self._taken = True
        return self._preview

    def publish(self, kind: str, data: Any) -> None:
        """Tell all listeners; "end" is the last event."""
        with self._mutex:
            self._last[kind] = Event(_next(), kind, json.dumps(data, allow_nan=False))
            if kind == "end":
                self._last.pop("preview", None)
            ears = list(self._ears.values())
        for loop, ear in ears:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ear.set)

    async def listen(self, after: int = 0) -> AsyncIterator[Event]:
        """The events after a number, the last of each kind, until the end."""
        me, ear = object(), asyncio.Event()
        with self._mutex:
            self._ears[me] = (asyncio.get_running_loop(), ear)
            self._taken = True  # a preview that nobody fetched before must not stop those to come
        try:
            while True:
                ear.clear()
                with self._mutex:
                    news = sorted(event for event in self._last.values() if event.number > after)
                for event in news:
                    yield event
                    after = event.number
                    if event.kind == "end":
                        return
                await ear.wait()
        finally:
            with self._mutex:
                self._ears.pop(me, None)
