"""What the tests of the page share: browsers, and a server whose list is empty for each test.

A plugin that their modules name, as a `conftest.py` here would hide that of `tests`, from which they import.
"""

from contextlib import ExitStack

import pytest


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The browsers of this process, by their numbers: each takes a second to start."""
    from browsing import Page

    with ExitStack() as ends:
        started: list[Page] = []

        def numbered(number: int) -> Page:
            while len(started) <= number:
                started.append(Page(tmp_path_factory.mktemp("browser")))
                ends.callback(started[-1].browser.quit)
            return started[number]

        yield numbered


@pytest.fixture(scope="session")
def page(browser):
    """The page in the first browser; `open` puts back all that another test changed."""
    return browser(0)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The first is the usual one of its task, and the quickest."""
    from live import tiny_file

    folder = tmp_path_factory.mktemp("models")
    once = {"kind": "regression", "prediction": {"kind": "x0"}, "residual": True}
    fills = {"task": {"kind": "several"}, "residual": False}
    return [tiny_file(folder, "tiny-once", **once), tiny_file(folder, "tiny-fill", **fills), tiny_file(folder)]


@pytest.fixture(scope="session")
def serving(models, tmp_path_factory):
    from live import live

    with live(tmp_path_factory.mktemp("web"), models) as found:
        yield found


@pytest.fixture
def server(page, serving):
    """(address, queue) of a server that has no jobs, and forgets those that it gets."""
    from live import until

    _, queue = serving
    yield serving
    page.browser.get("about:blank")  # what the page does still would be done to the next test
    for name in queue.store.ids():
        queue.cancel(name)
    until(lambda: not (queue.length or queue.live or queue._stop))
    for name in queue.store.ids():
        queue.forget(queue.store.get(name))
