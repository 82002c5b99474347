"""What the server counts, in Prometheus' text format."""

import os
import threading
from collections import Counter
from pathlib import Path

WEIGHT = 0.2
"""Of the last job in the usual length of jobs."""


class Metrics:
    """Counters.  May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: Counter[str] = Counter()
        self._seconds = 0.0
        self._done = 0
        self.usual_seconds = 5.0
        """Of a job, the last ones counting most."""

    def count(self, what: str) -> None:
        """A job has been submitted, has succeeded, failed or been canceled."""
        with self._lock:
            self._jobs[what] += 1

    def took(self, seconds: float) -> None:
        """A job has succeeded after so long."""
        with self._lock:
            self._seconds += seconds
            self._done += 1
            self.usual_seconds += WEIGHT * (seconds - self.usual_seconds)

    def text(self, *, queued: int, running: int, disk: int) -> str:
        """All of it, and how the queue, the memory and the disk stand."""
        with self._lock:
            states = ("submitted", "succeeded", "failed", "canceled")
            jobs = [f'sr3_jobs_total{{state="{state}"}} {self._jobs[state]}' for state in states]
            seconds = [f"sr3_job_seconds_sum {self._seconds:.3f}", f"sr3_job_seconds_count {self._done}"]
        parts = [
            ("sr3_jobs_total", "counter", "Jobs since the start.", jobs),
            ("sr3_job_seconds", "summary", "Seconds that jobs which succeeded ran.", seconds),
            ("sr3_jobs_queued", "gauge", "Jobs that wait.", [f"sr3_jobs_queued {queued}"]),
            ("sr3_jobs_running", "gauge", "Jobs that are being done.", [f"sr3_jobs_running {running}"]),
            ("sr3_memory_bytes", "gauge", "Memory that the server holds.", [f"sr3_memory_bytes {memory()}"]),
            ("sr3_disk_bytes", "gauge", "Files of all jobs.", [f"sr3_disk_bytes {disk}"]),
        ]
        lines = [
            line
            for name, kind, says, values in parts
            for line in (f"# HELP {name} {says}", f"# TYPE {name} {kind}", *values)
        ]
        return "\n".join(lines) + "\n"


def memory() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0
