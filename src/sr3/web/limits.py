"""How much the server takes: of bytes, pixels, time, places in the queue and room on the disk."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one server.

    upload: bytes that one request may bring.  pixels: of a picture that is given, in its header.  made: pixels of a
    result, and of what a model makes on the way to it.
    queue: jobs that may wait.  seconds: that a job may run.  hours: that a finished job is kept.
    disk: bytes of all jobs together; the oldest finished go first.  memory: bytes that the server may take while it
    makes a result: larger ones are made by bands, or refused.
    """

    upload: int = 120_000_000
    pixels: int = 100_000_000
    made: int = 64_000_000
    queue: int = 200
    seconds: float = 3600.0
    hours: float = 24.0
    disk: int = 10_000_000_000
    memory: int = 2_000_000_000
