"""How long the rest of a walk will take."""

import time

from sr3.web.shapes import Progress


class Clock:
    """Says how long the rest of a walk will take, from how long its steps took."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def tick(self, done: int, total: int) -> Progress:
        """Where a walk stands after a step."""
        now = time.monotonic()
        if self._first is None or done <= self._first[1]:  # a picture made in several sizes counts anew
            self._first = (now, done)
        then, before = self._first
        left = (now - then) / (done - before) * (total - done) if done > before else None
        return Progress(done=done, total=total, seconds_left=None if left is None else round(left, 2))
