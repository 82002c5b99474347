"""Ctrl-C, held back where it would leave something half done, and SIGTERM, which schedulers send, made the same."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


def terminate_as_interrupt() -> None:
    """Let SIGTERM raise KeyboardInterrupt, unless this program was told to do something else with it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def held() -> Generator[None, None, None]:
    """Raise KeyboardInterrupt after the block rather than inside it; a second Ctrl-C is raised at once.

    Does nothing outside the main thread, inside another such block, or where a program handles the signals itself.
    """
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread() or not numbers:
        yield
        return
    came = False

    def note(number: int, frame: object) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
