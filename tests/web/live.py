"""A server on a thread, as `sr3 web` has it, with a tiny model; for the tests of this folder."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
import uvicorn
from conftest import noise_picture, tiny_config

from sr3.model.model import Model
from sr3.web.app import application
from sr3.web.catalogue import Catalogue
from sr3.web.limits import Limits
from sr3.web.queue import Queue
from sr3.web.serving import listen
from sr3.web.work import Bench

LONG = 30.0
"""Seconds after which a test gives up; none waits so long where all is well."""


def tiny_file(folder: Path, name: str = "tiny", **changes: object) -> Path:
    """A model with random weights in a file."""
    torch.manual_seed(0)
    model = Model(tiny_config(name=name, **changes))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.save_pretrained(folder / name)


@contextmanager
def served(app, port: int = 0):
    """The address of a server that runs meanwhile."""
    where = listen("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [where]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{where.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(LONG)
        where.close()


@contextmanager
def live(folder: Path, models, *, limits: Limits | None = None, port: int = 0, **options):
    """(address, queue) of a server that runs meanwhile."""
    bench = Bench("cpu", "fp32", memory=(limits or Limits()).memory)
    queue = Queue(folder, Catalogue(models, shipped=False), [bench], limits)
    with served(application(queue, **options), port) as address:
        yield address, queue


def until(condition):
    """Wait for something that is soon so; what it gives."""
    end = time.monotonic() + LONG
    while not (found := condition()):
        assert time.monotonic() < end, "it does not become so"
        time.sleep(0.005)
    return found


def state(http: httpx.Client, job: dict) -> str:
    return http.get(job["links"]["self"]).json()["state"]


def picture(path: Path, wide: int = 16, high: int = 12, seed: int = 0) -> Path:
    noise_picture(wide, high, seed).save(path)
    return path


def gate(monkeypatch, steps: int = 1000):
    """Jobs that make nothing, and take a step each time that they are let to."""
    from sr3.diffusion.level import Level
    from sr3.diffusion.sample import Step
    from sr3.restore.restorer import Progress
    from sr3.web import queue

    turns = threading.Semaphore(0)

    def stand_in(record, folder, bench, catalogue):
        for done in range(1, steps + 1):
            assert turns.acquire(timeout=LONG)
            x = torch.full((1, 3, 40, 60), done / steps)
            yield Progress(done, steps, Step(x, x, Level(torch.ones(1), torch.zeros(1))))

    monkeypatch.setattr(queue, "make", stand_in)
    return turns
