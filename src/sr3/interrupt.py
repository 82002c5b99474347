"""Ctrl-C, held back where it would leave something half done, and SIGTERM, which schedulers send, made the same."""

import signal
import socket
import threading
from collections.abc import Callable, Generator
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
    came = False

    def note() -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    with heard(note):
        yield
    if came:
        raise KeyboardInterrupt


@contextmanager
def heard(note: Callable[[], None]) -> Generator[None, None, None]:
    """Call this at Ctrl-C and SIGTERM, where KeyboardInterrupt would be raised.

    Does nothing outside the main thread, inside another such block, or where a program handles the signals itself.
    """
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread() or not numbers:
        yield
        return
    for number in numbers:
        signal.signal(number, lambda *_: note())
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def swift(leave: Callable[[], None], seconds: float = 1.5) -> Generator[None, None, None]:
    """Let Ctrl-C and SIGTERM end the process within so many seconds, even inside one long step of a library.

    Python's own handlers wait for such a step, which may take minutes.  It holds where the library releases the GIL
    meanwhile, as PyTorch and libvips do: a step that keeps it is waited for all the same.
    leave: called from another thread to end the process by force, with nothing half-written.  For commands whose files
    are replaced whole.
    Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here, there = socket.socketpair()
    there.setblocking(False)
    before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        while came := here.recv(1):  # written by the signal itself, not by Python's handler
            if came[0] in (signal.SIGINT, signal.SIGTERM) and not over.wait(seconds):
                leave()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        there.close()
        thread.join()
        here.close()
