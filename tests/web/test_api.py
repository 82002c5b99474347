"""The interface of `sr3 web`, by its own client, on a real server with a tiny model."""

import io
import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_picture
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("python_multipart", reason="needs the extra 'web'")
pytest.importorskip("httpx", reason="needs the extra 'web'")

import httpx
from live import gate, live, picture, state, tiny_file, until

from sr3.client import Client, ServerError
from sr3.picture.picture import PictureError
from sr3.web.limits import Limits
from sr3.web.shapes import Options
from sr3.web.uses import uses
from sr3.web.work import check_memory

AS_SERVED = ("--device", "cpu", "--precision", "fp32")
"""How `live` serves, whatever the processor would choose by itself."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    fills = {"task": {"kind": "several"}, "residual": False}
    once = {"kind": "regression", "prediction": {"kind": "x0"}, "residual": True}
    return [tiny_file(folder), tiny_file(folder, "tiny-fill", **fills), tiny_file(folder, "tiny-once", **once)]


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    with live(tmp_path_factory.mktemp("web"), models) as found:
        yield found


@pytest.fixture
def client(server):
    with Client(server[0]) as client:
        yield client
    queue = server[1]
    until(lambda: not queue.length and not queue.live)  # the next test finds nothing under way


@pytest.fixture
def small(tmp_path):
    return picture(tmp_path / "small.png")


def shown(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


CASES = {
    "plain": ("small.png", {"seed": 7}, ["--seed", 7]),
    "jpeg": ("small.jpg", {"scale": 2.5, "fidelity": 0.5}, ["--scale", 2.5, "--fidelity", 0.5]),
    "size": ("small.png", {"size": "50x40", "noise": 3}, ["--size", "50x40", "--noise", 3]),
    "side": ("small.png", {"size": " 50 \u00d7 "}, ["--size", "50x"]),
    "quality": ("small.jpg", {"output_quality": 80}, ["--output-quality", 80]),
    "steps": ("small.webp", {"steps": 2, "sampler": "ddim"}, ["--steps", 2, "--sampler", "ddim"]),
    "twice": ("small.png", {"scale": 10}, ["--scale", 10]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_the_command_lines(client, models, sr3, tmp_path, name):
    file, options, arguments = CASES[name]
    source = picture(tmp_path / file)
    made = client.restore(source, model="tiny", **options)
    out = tmp_path / f"out{source.suffix}"
    assert sr3("upscale", source, "-o", out, "--model", models[0], *AS_SERVED, *arguments)[0] == 0
    assert made == out.read_bytes()


def test_the_default_model_is_chosen_as_on_the_command_line(models):
    from sr3.web.catalogue import Catalogue
    from sr3.web.shapes import Options

    catalogue = Catalogue(models[:1], shipped=False)
    tiny = catalogue.models["tiny"]
    catalogue.models = {name: replace(tiny, name=name) for name in ("photo-4x", "photo-4x-fast", "photo-2x")}
    use = catalogue.use("enlarge")

    def usual(**options):
        return catalogue.model(use, None, Options(**options), (32, 24)).name

    assert usual() == "photo-4x-fast"
    for refined in ({"steps": 3}, {"samples": 2}, {"sampler": "ddim"}):
        assert usual(**refined) == "photo-4x"
    for twice in ({"scale": 2}, {"size": "64x64"}, {"size": "99x48"}):
        assert usual(**twice) == "photo-2x"
    assert usual(scale=2, steps=3) == "photo-4x"
    for plain in ({"seed": 1, "steps": None}, {"quality": "best"}, {"scale": 3}, {"size": "65x65"}):
        assert usual(**plain) == "photo-4x-fast"


def test_other_tasks_make_the_command_lines_files(client, models, sr3, tmp_path):
    source, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    noise_picture(16, 16).save(source)
    hole = np.zeros((16, 16), np.uint8)
    hole[4:9, 3:12] = 255
    Image.fromarray(hole).save(mask)
    grey = tmp_path / "grey.png"
    noise_picture(16, 16).convert("L").save(grey)
    for task, command, given, options, arguments in (
        ("inpainting", "inpaint", source, {"mask": mask, "grow": 1}, ["--mask", mask, "--grow", 1]),
        ("uncropping", "uncrop", source, {"to": "24x16"}, ["--to", "24x16"]),
        ("colorization", "colorize", grey, {"seed": 2}, ["--seed", 2]),
        ("jpeg-restoration", "dejpeg", picture(tmp_path / "worn.jpg", 16, 16), {"samples": 1}, []),
    ):
        made = client.restore(given, task, model="tiny-fill", **options)
        out = tmp_path / f"{task}.png"
        assert sr3(command, given, "-o", out, "--model", models[1], *AS_SERVED, *arguments)[0] == 0
        assert made == out.read_bytes(), task


def test_what_is_kept_is_only_enlarged(client, models, sr3, tmp_path):
    source, mask, out = picture(tmp_path / "a.png"), tmp_path / "mask.png", tmp_path / "out.png"
    keep = np.zeros((12, 16), np.uint8)
    keep[:, :6] = 255
    Image.fromarray(keep).save(mask)
    made = client.restore(source, mask=mask, model="tiny")
    assert sr3("upscale", source, "-o", out, "--model", models[0], "--keep", mask, *AS_SERVED)[0] == 0
    assert made == out.read_bytes()
    from sr3.picture.image import read
    from sr3.picture.resize import enlarge

    plain = ((enlarge(read(source).pixels[None], 4)[0].clamp(-1, 1) + 1) * 127.5).round().numpy().transpose(1, 2, 0)
    assert np.array_equal(shown(made)[:, :24], plain[:, :24])
    assert not np.array_equal(shown(made)[:, 24:], plain[:, 24:])
    # drawn at half the size it says the same
    Image.fromarray(keep[::2, ::2]).save(mask)
    assert np.array_equal(shown(client.restore(source, mask=mask, model="tiny"))[:, :24], plain[:, :24])


def test_several_answers_their_mean_and_their_spread(client, sr3, models, small, tmp_path):
    job = client.submit(small, model="tiny", samples=2, seed=5)
    *_, (_, kind, data) = client.events(job)
    assert (kind, data) == ("end", {"state": "succeeded"})
    job = client.ask("GET", job["links"]["self"]).json()
    links = [*job["links"]["samples"], job["links"]["mean"], job["links"]["spread"]]
    command = ("upscale", small, "-o", tmp_path / "o.png", "--model", models[0], "--samples", 2, "--seed", 5)
    assert sr3(*command, *AS_SERVED)[0] == 0
    written = [(tmp_path / f"o-{end}.png").read_bytes() for end in ("1", "2", "mean", "spread")]
    assert [client.ask("GET", link).content for link in links] == written
    assert client.ask("GET", job["links"]["result"]).content == written[0]
    other = client.submit(small, model="tiny")
    list(client.events(other))
    reply = client.ask("GET", "/v1/jobs.zip", params={"id": [job["id"], other["id"], job["id"]]})
    with zipfile.ZipFile(io.BytesIO(reply.content)) as packed:
        names = ["small-4x-1.png", "small-4x-2.png", "small-4x-mean.png", "small-4x-spread.png", "small-4x.png"]
        assert packed.namelist() == names
        assert [packed.read(name) for name in names[:4]] == written
    for gone in ("samples/3", "samples/0", "median"):
        with pytest.raises(ServerError) as error:
            client.ask("GET", f"{job['links']['self']}/{gone}")
        assert error.value.status == 404


def test_metadata_formats_and_quality(client, tmp_path):
    source = tmp_path / "with.jpg"
    image = noise_picture(16, 12)
    exif = image.getexif()
    exif[0x010E] = "a secret place"
    image.save(source, exif=exif)
    kept, bare = (client.restore(source, model="tiny", metadata=keep) for keep in (True, False))
    assert b"a secret place" in kept
    assert b"a secret place" not in bare
    assert np.array_equal(shown(kept), shown(bare))
    large, slight = (client.restore(source, model="tiny", output_quality=q, format="webp") for q in (100, 10))
    assert len(slight) < len(large)
    assert Image.open(io.BytesIO(slight)).format == "WEBP"


def test_events_can_be_gone_on_with(client, small, monkeypatch):
    turns = gate(monkeypatch, steps=5)
    job = client.submit(small)
    heard = client.events(job)
    number, kind, data = next(heard)
    assert kind == "state"
    turns.release()
    while (kind, data) != ("progress", {"done": 1, "total": 5, "seconds_left": None}):
        number, kind, data = next(heard)
    heard.close()
    for _ in range(4):
        turns.release()
    until(lambda: state(client._http, job) == "succeeded")
    later = list(client.events(job, after=number))
    assert all(n > number for n, _, _ in later)
    assert [kind for _, kind, _ in later][-2:] == ["state", "end"]
    assert later[-2][2]["state"] == "succeeded"
    last = later[-1][0]
    assert [kind for _, kind, _ in client.events(job)] == ["state", "end"]
    assert all(n > last for n, _, _ in client.events(job, after=last))


def test_previews_come_no_faster_than_they_are_taken(client, small, monkeypatch):
    turns = gate(monkeypatch)
    job = client.submit(small)
    heard = client.events(job)
    next(heard)

    def following(wanted, most=50):
        for _ in range(most):
            turns.release()
            _, kind, data = next(heard)
            if kind == wanted:
                return data
        raise AssertionError(f"no {wanted}")

    first = following("preview")
    for _ in range(30):
        turns.release()
    seen = []
    while not seen or seen[-1][1]["done"] < 30:  # nothing but progress until it is fetched
        _, kind, data = next(heard)
        assert kind == "progress"
        seen.append((kind, data))
    assert shown(client.ask("GET", first["url"]).content).shape == (40, 60, 3)
    assert following("preview")["url"] != first["url"]
    assert client.ask("DELETE", job["links"]["self"]).status_code == 202
    turns.release()
    turns.release()
    assert [data for _, kind, data in heard if kind == "end"] == [{"state": "canceled"}]


def test_canceling_and_forgetting(server, client, small, monkeypatch):
    turns = gate(monkeypatch)
    first, second, third = (client.submit(small) for _ in range(3))
    until(lambda: state(client._http, first) == "running")
    assert [client.ask("GET", j["links"]["self"]).json()["position"] for j in (first, second, third)] == [None, 1, 2]
    assert client.ask("DELETE", second["links"]["self"]).json()["state"] == "canceled"
    assert client.ask("GET", third["links"]["self"]).json()["position"] == 1
    assert client.ask("DELETE", first["links"]["self"]).status_code == 202
    assert state(client._http, first) == "running"
    turns.release()  # one step, and no more
    until(lambda: state(client._http, first) == "canceled")
    until(lambda: state(client._http, third) == "running")
    with pytest.raises(ServerError, match="has no result: its job is canceled"):
        client.ask("GET", f"{first['links']['self']}/result")
    place = server[1].place(first["id"])
    assert place.exists()
    assert client.ask("DELETE", first["links"]["self"]).status_code == 204
    assert not place.exists()
    with pytest.raises(ServerError, match="there is no such job"):
        client.ask("DELETE", first["links"]["self"])
    client.ask("DELETE", third["links"]["self"])
    turns.release()
    until(lambda: state(client._http, third) == "canceled")


def test_the_same_key_is_the_same_job(client, small, tmp_path):
    first = client.submit(small, key="k1", seed=3)
    assert client.submit(small, key="k1", seed=3)["id"] == first["id"]
    assert client.submit(small, key="k2", seed=3)["id"] != first["id"]
    with pytest.raises(ServerError, match="came with another request"):
        client.submit(small, key="k1", seed=4)
    with pytest.raises(ServerError, match="came with another request"):
        client.submit(picture(tmp_path / "b.png", seed=9), key="k1", seed=3)


def test_what_is_seen_is_small(client, server, tmp_path):
    source = tmp_path / "turned.jpg"
    image = noise_picture(100, 50)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(source, exif=exif, quality=95)
    job = client.submit(source, model="tiny-once")
    list(client.events(job))
    job = client.ask("GET", job["links"]["self"]).json()
    assert (job["size"], job["result_size"]) == ([50, 100], [200, 400])
    for link, size in (
        (job["links"]["thumbnail"], (100, 50)),
        (job["links"]["result_thumbnail"], (320, 160)),
        (f"{job['links']['picture']}?view=25", (50, 25)),
        (f"{job['links']['result']}?view=100", (200, 100)),
        (f"{job['links']['result']}?view=4000", (400, 200)),
        (f"{job['links']['result']}?view=40&box=10,20,80,60", (30, 40)),
        (f"{job['links']['picture']}?view=90&box=30,90,20,10", (10, 20)),
    ):
        reply = client.ask("GET", link)
        assert reply.headers["content-type"] == "image/webp"
        assert shown(reply.content).shape[:2] == size, link
    # the part is that part
    whole = shown(client.ask("GET", f"{job['links']['result']}?view=200").content).astype(int)
    part = shown(client.ask("GET", f"{job['links']['result']}?view=200&box=120,300,80,60").content).astype(int)
    assert np.abs(whole[300:360, 120:200] - part).mean() < 10
    assert np.abs(whole[290:350, 110:190] - part).mean() > 20
    assert client.ask("GET", job["links"]["picture"]).content == source.read_bytes()
    for bad in ("view=0", "view=9999", "view=x", "view=10&box=1,2,3", "view=10&box=190,0,20,20", "view=10&box=0,0,0,1"):
        with pytest.raises(ServerError) as error:
            client.ask("GET", f"{job['links']['result']}?{bad}")
        assert error.value.status == 422, bad


@pytest.mark.parametrize("file", ["smooth.png", "smooth.jpg", "clear.png", "grey.png"])
def test_parts_of_large_pictures_are_the_same_parts(file, tmp_path, monkeypatch):
    from sr3.web import views

    across, down = np.meshgrid(np.linspace(0, 255, 900), np.linspace(0, 255, 600))
    image = Image.fromarray(np.stack([across, down, 255 - across], -1).astype(np.uint8))
    if file == "clear.png":
        image.putalpha(Image.fromarray(down.astype(np.uint8)))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    (image.convert("L") if file == "grey.png" else image).save(tmp_path / file, exif=exif)
    boxes = (((0, 0, 600, 900), 100), ((37, 411, 333, 222), 111), ((500, 800, 100, 100), 100), ((599, 899, 1, 1), 50))
    plain = [views.part(tmp_path / file, (wide, 16_000), box) for box, wide in boxes]
    assert not list(tmp_path.glob("*.zoom"))
    monkeypatch.setattr(views, "LARGE", 1000)
    for (box, wide), expected in zip(boxes, plain):
        got = shown(views.part(tmp_path / file, (wide, 16_000), box)).astype(int)
        assert got.shape == shown(expected).shape
        assert np.abs(got - shown(expected)).mean() < 4, box
    assert len(list(tmp_path.glob("*.zoom"))) == 1
    with pytest.raises(ValueError, match="is not inside the picture, which is 600x900"):
        views.part(tmp_path / file, (9, 9), (500, 0, 101, 1))


def test_what_there_is_to_ask_for(client):
    models = {m["name"]: m for m in client.ask("GET", "/v1/models").json()["models"]}
    assert models["tiny"]["task"] == "enlarge"
    assert (models["tiny"]["factor"], models["tiny"]["varies"], models["tiny-once"]["varies"]) == (4, True, False)
    tasks = {t["name"]: t for t in client.ask("GET", "/v1/tasks").json()["tasks"]}
    assert tasks["enlarge"]["models"] == ["tiny", "tiny-once"]
    assert tasks["inpainting"]["needs"] == ["mask"]
    assert tasks["inpainting"]["models"] == ["tiny-fill"]
    assert tasks["denoising"]["models"] == []
    options = {o["name"]: o for o in tasks["enlarge"]["options"]}
    scale = options["scale"]
    assert (scale["type"], scale["default"], scale["minimum"], scale["maximum"]) == ("number", None, 1, 64)
    assert options["quality"]["choices"] == ["fast", "balanced", "best"]
    assert options["metadata"]["type"] == "boolean"
    assert "scale" not in {o["name"] for o in tasks["inpainting"]["options"]}


def test_a_new_task_appears_by_itself(monkeypatch):
    from sr3.task import TASKS, Denoising
    from sr3.web.uses import uses

    class Dehazing(Denoising):
        """A picture without its haze.  More of it."""

    monkeypatch.setitem(TASKS, "dehazing", Dehazing)
    found = {use.name: use for use in uses()}
    assert found["dehazing"].says == "A picture without its haze."
    assert {"generation", "several", "super-resolution"}.isdisjoint(found)


def test_the_command_lines_sentences(client, small, tmp_path):
    broken, text = tmp_path / "broken.png", tmp_path / "text.png"
    broken.write_bytes(small.read_bytes()[:-300])
    text.write_bytes(b"no picture")
    with pytest.raises(ServerError, match=r"^broken.png is damaged or incomplete"):
        client.restore(broken, model="tiny")
    for options, says in (
        ({"size": "4x4"}, "the size 4x3 is smaller than the picture's 16x12; sr3 only enlarges"),
        ({"size": "40x0"}, "'40x0' is not a size; write WIDTHxHEIGHT, as 1920x1080, or 1920x, or x1080"),
        ({"task": "uncropping", "to": "40x"}, "'40x' is not a size; write WIDTHxHEIGHT, as 1920x1080$"),
        ({"size": "40x40", "scale": 2}, "give a scale or a size, not both"),
        ({"quality": "best", "model": "tiny"}, "tiny has not been tuned and knows no 'best'"),
        ({"samples": 2, "model": "tiny-once"}, "it has one answer, so no 2 samples"),
        ({"model": "tinny"}, "there is no model 'tinny' for enlarge; did you mean tiny?"),
        ({"task": "enlarg"}, "there is no task 'enlarg'; did you mean enlarge?"),
        ({"task": "denoising"}, "no model for denoising is installed here"),
        ({"left": 3}, "enlarge has no 'left'"),
        ({"sede": 3}, "options has no 'sede'; did you mean seed?"),
        ({"scale": 100}, "less than or equal to 64"),
        ({"task": "inpainting"}, "inpainting needs a mask"),
        ({"task": "uncropping"}, "give --to or pixels for at least one of"),
        ({"task": "uncropping", "mask": small, "left": 4}, "uncropping takes no mask"),
        ({"mask": text}, "the mask is not a picture"),
    ):
        with pytest.raises(ServerError, match=says) as error:
            client.submit(small, **options)
        assert error.value.status == 422
    with pytest.raises(ServerError, match=r"^text.png is not a picture"):
        client.submit(text)


def test_another_programs_door(server, small, client):
    import base64

    http = client._http
    data = base64.b64encode(small.read_bytes()).decode()
    asked = {"resize_mode": 0, "show_extras_results": True, "upscaling_resize": 2, "upscaler_1": "tiny", "image": data}
    reply = http.post("/sdapi/v1/extra-single-image", json=asked)
    assert reply.status_code == 200
    made = base64.b64decode(reply.json()["image"])
    assert made == client.restore(small, model="tiny", scale=2, format="png")
    sized = {
        "resize_mode": 1,
        "upscaling_resize_w": 40,
        "upscaling_resize_h": 30,
        "image": f"data:image/png;base64,{data}",
    }
    made = base64.b64decode(http.post("/sdapi/v1/extra-single-image", json=sized).json()["image"])
    assert shown(made).shape == (30, 40, 3)
    assert {m["name"] for m in http.get("/sdapi/v1/upscalers").json()} == {"tiny", "tiny-once"}
    for bad in (
        {"image": "?"},
        {"image": ""},
        {},
        {"resize_mode": 1, "image": data},
        {"image": data, "upscaling_resize": 0},
    ):
        reply = http.post("/sdapi/v1/extra-single-image", json=bad)
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")


def test_metrics_health_and_the_description(server, client):
    text = client.ask("GET", "/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert int(values['sr3_jobs_total{state="succeeded"}']) > 0
    assert float(values["sr3_memory_bytes"]) > 1e7
    assert client.ask("GET", "/healthz").json()["status"] == "ok"
    described = client.ask("GET", "/openapi.json").json()
    from starlette.routing import Route

    from sr3.web.app import application

    there = {route.path.replace(":int", "") for route in application(server[1]).routes if isinstance(route, Route)}
    others = {"/", "/page/{name}", "/docs", "/docs.css", "/openapi.json", "/v1/jobs/{id}/{which:str}"}
    assert there - others | {"/v1/jobs/{id}/mean", "/v1/jobs/{id}/spread"} == set(described["paths"])
    page = client.ask("GET", "/docs").text
    assert "<script" not in page
    assert "style=" not in page
    for path in described["paths"]:
        assert path in page


def test_many_at_once_lose_nothing_and_mix_nothing_up(client, server, tmp_path):
    seeds = range(24)
    sources = [picture(tmp_path / f"{seed}.png", 8, 8, seed) for seed in range(3)]
    alone = {(k, seed): client.restore(sources[k], model="tiny", seed=seed) for k in range(3) for seed in (0, 1)}
    made: dict[int, bytes] = {}

    def ask(n: int) -> None:
        with Client(server[0]) as own:
            made[n] = own.restore(sources[n % 3], model="tiny", seed=n // 3 % 2)

    threads = [threading.Thread(target=ask, args=(n,)) for n in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == {n: alone[n % 3, n // 3 % 2] for n in seeds}


def test_the_newest_jobs_come_first(client, small):
    ids = [client.submit(small, model="tiny", seed=k)["id"] for k in range(3)]
    found = client.ask("GET", "/v1/jobs", params={"limit": 2}).json()["jobs"]
    assert [job["id"] for job in found] == ids[:0:-1]
    assert json.loads(client.ask("GET", "/v1/jobs").text)["jobs"][0]["name"] == "small.png"


def test_what_is_large_for_the_memory_is_made_by_bands_or_refused(client, models, tmp_path, monkeypatch):
    small = picture(tmp_path / "a.png", 24, 80)
    whole = client.restore(small, model="tiny", seed=3, metadata=False)
    monkeypatch.setattr("sr3.restore.large.in_use", lambda: 401_000_000)  # so that nothing is made at once
    with live(tmp_path / "web", models[:1], limits=Limits(memory=401_000_000)) as (address, _), Client(address) as few:
        job = few.submit(small, model="tiny", seed=3, metadata=False)
        events = list(few.events(job))
        # five bands of 64 rows, and that it has begun
        assert {data["total"] for _, kind, data in events if kind == "progress"} == {6}
        assert not any(kind == "preview" for _, kind, _ in events)
        made = few.ask("GET", f"/v1/jobs/{job['id']}/result").content
        a, b = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (made, whole))
        assert np.abs(a - b).max() <= 1
        assert (a != b).mean() < 1e-4
        for options, size in (({"samples": 2}, "96x320"), ({"scale": 5}, "384x1280")):
            with pytest.raises(
                ServerError, match=f"a.png takes 0.4 GB of memory while it becomes {size}, and 0.4 GB are"
            ):
                few.restore(small, model="tiny", **options)
        # a smaller scale is reduced as it is made
        job = few.submit(small, model="tiny", scale=3, seed=3, metadata=False)
        assert {data["total"] for _, kind, data in few.events(job) if kind == "progress"} == {6}
        made = few.ask("GET", f"/v1/jobs/{job['id']}/result").content
        whole = client.restore(small, model="tiny", scale=3, seed=3, metadata=False)
        a, b = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (made, whole))
        assert a.shape == (240, 72, 3)
        assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize(("task", "name"), [("jpeg-restoration", "a.jpg"), ("denoising", "a.png")])
def test_what_is_large_is_restored_by_bands_or_refused(tmp_path, monkeypatch, task, name):
    """As the command does it, of all tasks that look at what is near alone."""
    model, small = tiny_file(tmp_path, task={"kind": task}, residual=False), tmp_path / name
    noise_picture(70, 150).save(small, quality=40)
    with live(tmp_path / "whole", [model]) as (address, _), Client(address) as client:
        whole = client.restore(small, task=task, seed=3, metadata=False)
    monkeypatch.setattr("sr3.restore.large.in_use", lambda: 401_000_000)
    # 150 bytes for each pixel with the file's coefficients, and else 95
    enough = 400_000_000 + (150 if task == "jpeg-restoration" else 95) * 70 * 150
    with live(tmp_path / "web", [model], limits=Limits(memory=enough - 1)) as (address, _), Client(address) as few:
        job = few.submit(small, task=task, seed=3, metadata=False)
        assert {data["total"] for _, kind, data in few.events(job) if kind == "progress"} == {4}
        made = few.ask("GET", f"/v1/jobs/{job['id']}/result").content
        a, b = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (made, whole))
        assert np.abs(a - b).max() <= 1
        assert (a != b).mean() < 5e-3
        with pytest.raises(ServerError, match=f"{name} takes 0.4 GB of memory while it becomes 70x150, and 0.4 GB are"):
            few.submit(small, task=task, samples=2)
    use, asked = next(use for use in uses() if use.name == task), Options()
    check_memory(name, (70, 150), use, asked, enough)
    with pytest.raises(PictureError, match="send a smaller one, or ask for less"):
        check_memory(name, (70, 150), use, asked, enough - 1)


def test_bounds(models, tmp_path, monkeypatch):
    turns = gate(monkeypatch)
    bounds = Limits(upload=30_000, pixels=400, made=5000, queue=2, disk=40_000, seconds=0.0)
    with live(tmp_path / "web", models[:1], limits=bounds) as (address, queue), Client(address) as client:
        for name, size, options, status, says in (
            ("large.png", (30, 20), {}, 413, "large.png is 30x20, and at most 400 pixels are taken here"),
            ("a.png", (20, 16), {"scale": 5}, 413, "a.png would first become 320x256, and at most 5000"),
            ("a.png", (20, 16), {"scale": 1}, 413, "a.png would first become 80x64, and at most 5000"),
            ("a.png", (20, 20), {"scale": 4}, 413, "a.png would become 80x80, and at most 5000"),
        ):
            with pytest.raises(ServerError, match=says) as error:
                client.submit(picture(tmp_path / name, *size), **options)
            assert error.value.status == status
        heavy = tmp_path / "heavy.png"
        heavy.write_bytes(bytes(31_000))
        with pytest.raises(ServerError, match="more than 30000 bytes") as error:
            client.submit(heavy)
        assert error.value.status == 413
        small = picture(tmp_path / "small.png")
        first = client.submit(small)
        until(lambda: state(client._http, first) == "running")
        waiting = [client.submit(small, key=f"k{n}") for n in range(2)]
        reply = httpx.post(f"{address}/v1/jobs", files={"picture": small.read_bytes()})
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert client.submit(small, key="k1")["id"] == waiting[1]["id"]  # it waits already
        turns.release()
        until(lambda: state(client._http, first) == "failed")
        ended = client.ask("GET", first["links"]["self"]).json()
        assert ended["error"]["detail"].startswith("small.png took longer than the 0 s")
        for _ in waiting:
            turns.release()
        until(lambda: queue.length == 0 and not queue.live)
        # the oldest that have ended make room; where that is not enough, nothing is taken
        (queue.place(waiting[1]["id"]) / "more").write_bytes(bytes(39_000))
        queue._bytes[waiting[1]["id"]] += 39_000
        assert client.submit(small)["state"] == "queued"
        assert queue.store.get(first["id"]) is None
        assert not queue.place(first["id"]).exists()
        turns.release()
        queue.limits.__dict__["disk"] = 10
        with pytest.raises(ServerError, match="is used up") as error:
            client.submit(small)
        assert error.value.status == 507
        assert len(list((tmp_path / "web" / "jobs").iterdir())) == len(queue.store.ids())


def test_what_is_refused_lets_go_of_nothing(models, tmp_path):
    """Room is made by forgetting what has ended, and only once all else is known to be well."""
    with live(tmp_path / "web", models[:1], limits=Limits(disk=400_000)) as (address, queue), Client(address) as client:
        source = picture(tmp_path / "a.png", 64, 64)
        client.restore(source)
        (job,) = client.ask("GET", "/v1/jobs").json()["jobs"]
        junk = tmp_path / "junk.png"
        junk.write_bytes(bytes(300_000))
        with pytest.raises(ServerError, match="junk.png"):
            client.submit(junk)
        with junk.open("ab") as file:  # more than there can ever be
            picture(tmp_path / "b.png", 8, 8)
            file.seek(0)
            file.truncate()
            file.write((tmp_path / "b.png").read_bytes() + bytes(401_000))
        with pytest.raises(ServerError, match="is used up"):
            client.submit(junk)
        assert client.ask("GET", job["links"]["result"]).content
        assert queue.used < 300_000


def test_files_of_several_frames_are_refused(client, tmp_path):
    """Nothing of a file is left out in silence."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    for name, says in (("a.webp", "enlarge"), ("b.tif", "enlarge"), ("c.gif", "colorization")):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(ServerError, match=f"{name} has 3 frames or pages, and single pictures are made") as error:
            client.submit(tmp_path / name, task=says)
        assert error.value.status == 422
    frames[0].save(tmp_path / "one.gif")
    assert client.restore(tmp_path / "one.gif", model="tiny")


def test_a_mask_is_no_larger_than_its_picture(client, tmp_path):
    source, mask = picture(tmp_path / "a.png", 24, 24), tmp_path / "mask.png"
    for side, well in ((24, True), (25, False), (2000, False)):
        Image.new("L", (side, side), 255).save(mask)
        if well:
            client.restore(source, mask=mask, model="tiny")
            continue
        with pytest.raises(ServerError, match=f"the mask is {side}x{side} and the picture 24x24; give one that is no"):
            client.submit(source, mask=mask, model="tiny")


def test_cancel_alone_forgets_no_job_that_has_just_ended(client, small):
    client.restore(small, model="tiny")
    job = client.ask("GET", "/v1/jobs").json()["jobs"][0]
    reply = client.ask("DELETE", job["links"]["self"], params={"only": "active"})
    assert (reply.status_code, reply.json()["state"]) == (200, "succeeded")
    assert client.ask("GET", job["links"]["result"]).content
    with pytest.raises(ServerError, match="only is active, or is left out"):
        client.ask("DELETE", job["links"]["self"], params={"only": "ended"})
    assert client.ask("DELETE", job["links"]["self"]).status_code == 204


def test_what_pillow_opens_is_shown_in_its_colours(tmp_path, monkeypatch):
    from sr3.picture.picture import load_vips
    from sr3.web import views

    grey = Image.fromarray(np.full((8, 8), 32768, np.uint16))
    assert grey.mode == "I;16"
    grey.save(tmp_path / "grey.jp2")
    assert np.abs(shown(views.view(tmp_path / "grey.jp2", (8, 8))).astype(int) - 128).max() <= 2
    # a wide profile: what libvips reads and what Pillow reads look the same
    vips = load_vips()
    wide = vips.Image.black(8, 8, bands=3).linear(1, [200, 60, 60]).cast("uchar").copy(interpretation="srgb")
    wide.icc_transform("p3", input_profile="srgb").pngsave(str(tmp_path / "wide.png"))
    by_vips = shown(views.view(tmp_path / "wide.png", (8, 8)))[4, 4].astype(int)
    monkeypatch.setattr(views, "opened", lambda path, *_: Image.open(path))
    by_pillow = shown(views.view(tmp_path / "wide.png", (8, 8)))[4, 4].astype(int)
    assert np.abs(by_vips - [200, 60, 60]).max() <= 3
    assert np.abs(by_vips - by_pillow).max() <= 3


def test_what_is_old_goes(models, tmp_path, monkeypatch):
    turns = gate(monkeypatch, steps=1)
    with live(tmp_path / "web", models[:1], limits=Limits(hours=1)) as (address, queue), Client(address) as client:
        job = client.submit(picture(tmp_path / "small.png"))
        turns.release()
        until(lambda: state(client._http, job) == "succeeded")
        queue.sweep()
        assert state(client._http, job) == "succeeded"
        record = queue.store.get(job["id"])
        queue.store.save(record.model_copy(update={"finished": record.finished - 3601}))
        queue.sweep()
        assert queue.store.get(job["id"]) is None
        assert not Path(queue.place(job["id"])).exists()
        assert queue.used == 0
