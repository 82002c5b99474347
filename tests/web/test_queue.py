"""The queue where its folder has other things in it, its list cannot be written, or its files are gone."""

import sqlite3
import time
import zipfile
from io import BytesIO

import pytest

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")
pytest.importorskip("httpx", reason="needs the extra 'web'")

from live import gate, live, picture, tiny_file, until

from sr3.client import Client, ServerError
from sr3.model.config import ConfigError
from sr3.web import queue as queues
from sr3.web.catalogue import Catalogue
from sr3.web.disk import new_name
from sr3.web.limits import Limits
from sr3.web.store import Store
from sr3.web.work import Bench


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("models"))


@pytest.fixture
def source(tmp_path):
    return picture(tmp_path / "a.png")


def test_only_what_a_server_made_goes(model, tmp_path):
    jobs = tmp_path / "work" / "jobs"
    mine = [jobs / "thesis" / "a.txt", jobs / "0123456789ab" / "b.txt", jobs / ("A" * 24) / "c.txt"]
    left = jobs / new_name() / "picture.png"
    for path in (*mine, left):
        path.parent.mkdir(parents=True)
        path.write_text("precious")
    with live(tmp_path / "work", [model]):
        assert left.exists()  # without its list no server knows whose it is
    with live(tmp_path / "work", [model]):
        assert not left.parent.exists()  # an upload that was never taken
    assert all(path.read_text() == "precious" for path in mine)


def test_the_results_outlive_their_list(model, tmp_path, source):
    with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
        client.restore(source)
        (result,) = (queue.folder / "jobs").glob("*/result.png")
    for path in (tmp_path / "web").glob("jobs.sqlite*"):
        path.unlink()
    with live(tmp_path / "web", [model]):
        assert result.exists()


def full(kind):
    """A list of jobs that can be written to but where a job becomes of a kind."""
    real = Store.save

    def save(self, record):
        if record.state == kind:
            raise sqlite3.OperationalError("database or disk is full")
        real(self, record)

    return save


def test_a_job_that_cannot_be_begun_waits_until_it_can(model, tmp_path, source, monkeypatch):
    monkeypatch.setattr(queues, "PAUSE", 0.01)
    with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "save", full("running"))
            job = client.submit(source)
            time.sleep(0.1)
            assert queue.store.get(job["id"]).state == "queued"
            assert (queue.length, queue.live) == (1, {})
        assert list(client.events(job))[-1][1:] == ("end", {"state": "succeeded"})


def test_a_job_whose_end_cannot_be_written_has_ended_nevertheless(model, tmp_path, source, monkeypatch):
    turns = gate(monkeypatch, steps=1)
    with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
        job = client.submit(source)
        until(lambda: queue.store.get(job["id"]).state == "running")
        base = queue.store._base

        class Full:
            def execute(self, text, *values):
                if text.startswith("update"):
                    raise sqlite3.OperationalError("database or disk is full")
                return base.execute(text, *values)

        queue.store._base = Full()
        turns.release()
        assert list(client.events(job))[-1][1:] == ("end", {"state": "succeeded"})
        assert client.ask("GET", job["links"]["self"]).json()["state"] == "succeeded"
        assert queue.cancel(job["id"]) is None
        queue.store._base = base
        assert base.execute("select state from jobs").fetchall() == [("running",)]
        queue.sweep()
        assert base.execute("select state from jobs").fetchall() == [("succeeded",)]
        assert queue.store._late == {}


def test_it_says_how_long_results_stay(model, tmp_path):
    with live(tmp_path / "web", [model], limits=Limits(hours=3.5)) as (address, _), Client(address) as client:
        assert client.ask("GET", "/v1/jobs").json() == {"jobs": [], "hours": 3.5}


def test_what_is_gone_is_no_fault_of_the_others(model, tmp_path, source):
    with live(tmp_path / "web", [model]) as (address, queue), Client(address) as client:
        jobs = [client.submit(source, seed=k) for k in range(3)]
        for job in jobs:
            list(client.events(job))
        names = [job["id"] for job in jobs]
        client.ask("DELETE", jobs[0]["links"]["self"])
        links = client.ask("GET", jobs[1]["links"]["self"]).json()["links"]
        for file in queue.place(names[1]).iterdir():  # as by a cleaner of caches
            file.unlink()
        queue.place(names[1]).rmdir()
        packed = zipfile.ZipFile(BytesIO(client.ask("GET", "/v1/jobs.zip", params={"id": names}).content))
        assert packed.namelist() == ["a-4x.png"]
        ways = [links["result"], f"{links['result']}?view=8", links["thumbnail"], links["result_thumbnail"]]
        for way in (*ways, f"/v1/jobs.zip?id={names[0]}&id={names[1]}"):
            with pytest.raises(ServerError) as error:
                client.ask("GET", way)
            assert error.value.status == 404
            assert str(tmp_path) not in str(error.value)
        (queue.folder / "jobs" / names[2] / "picture.png").unlink()
        for place in (queue.folder / "jobs").glob("*/*"):
            place.unlink()
        for place in (queue.folder / "jobs").iterdir():
            place.rmdir()
        (queue.folder / "jobs").rmdir()
        assert client.restore(source)


def test_models_of_one_name_are_all_there(model, tmp_path):
    found = Catalogue([model, tiny_file(tmp_path, "tiny"), model], shipped=False)
    assert [(name, entry.name) for name, entry in found.models.items()] == [
        (n, n) for n in ("tiny", "tiny-2", "tiny-3")
    ]
    assert found.models["tiny-2"].source == tmp_path / "tiny" / "model.safetensors"


@pytest.mark.parametrize(
    ("how", "said"),
    [({"device": "gpu"}, "device 'gpu'"), ({"precision": "fp99"}, "precision 'fp99'"), ({"tile": -7}, "tile of -7")],
)
def test_what_no_job_could_have_is_said_at_the_start(how, said):
    with pytest.raises(ConfigError, match=said):
        Bench(**how)


@pytest.mark.parametrize("options", [("--disk", "inf"), ("--pixels", "inf"), ("--token", "\u5bc6\u7801")])
def test_bounds_are_numbers_and_a_token_can_be_sent(sr3, tmp_path, options):
    code, _, err = sr3("web", "--folder", tmp_path, "--no-open", *options)
    assert code == 2
    assert "a number" in err or "ASCII" in err
