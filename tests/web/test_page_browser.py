"""The page of `sr3 web` in a real browser, before a real server with a small model."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("selenium", reason="needs selenium to drive a browser")

import httpx
from browsing import needs_browser
from live import gate, live, picture
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["shared"]
pytestmark = needs_browser
RED = (200, 30, 30)


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (60, 40), RED).save(path)
    return path


def choose(page, name, value):
    """Choose a task or a model."""
    page.script(f"{name}.value = '{value}'; {name}.dispatchEvent(new Event('change'))")


def option(page, name, value):
    """Type into an option, which may be behind "More options"."""
    page.script("document.querySelector('details').open = true")
    field = page.one(f'[name="{name}"]')
    field.clear()
    field.send_keys(value)


def test_drop_live_steps_slider_and_the_command_lines_file(page, models, tmp_path, sr3):
    with live(tmp_path / "web", ["photo-4x", *models]) as (address, _):
        page.open(address)
        assert page.one("#welcome").is_displayed()
        small = picture(tmp_path / "small one.png", 64, 48)
        page.drop(small)
        assert page.text("#facts") == "64 × 48"
        option(page, "seed", "7")
        page.click("#start")
        page.until(lambda: page.script("return document.getElementById('canvas').dataset.previews"))  # live steps
        page.wait_for("succeeded")
        assert page.text("#facts").startswith("64 × 48 → 256 × 192 · 4× · photo-4x · seed 7")
        handle = page.one("#handle")
        handle.send_keys(Keys.ARROW_RIGHT * 5)
        assert handle.get_attribute("aria-valuenow") == "60"
        assert handle.get_attribute("aria-valuetext") == "60 % original"
        page.click("#download")
        made = page.loaded("small one-4x.png")
        assert page.severe() == []
    command = ("upscale", small, "--model", "photo-4x", "--seed", 7, "-o", tmp_path / "command.png")
    assert sr3(*command, "--precision", "fp32")[0] == 0  # as it is served
    assert made == (tmp_path / "command.png").read_bytes()


def test_the_slider_shows_the_original_at_its_left_while_the_walk_goes_on(page, server, red, monkeypatch):
    address, queue = server
    turns = gate(monkeypatch, steps=4)
    page.open(address)
    page.drop(red)
    page.click("#start")
    page.wait_for("running")
    seen = []
    for done in (1, 2):  # the stand-in's second step is mid-grey: its pictures go from dark to white
        turns.release()
        page.until(lambda done=done: page.text("#left").startswith(f"Step {done} of 4"))
        page.until(lambda done=done: int(page.script("return canvas.dataset.previews || 0")) >= done)
        seen.append(page.until(lambda: page.pixel(0.7)[0] == page.pixel(0.7)[1] and page.pixel(0.7)[0]))
    assert seen[0] < seen[1]
    assert page.pixel(0.3)[:3] == pytest.approx(RED, abs=6)
    handle = page.one("#handle")
    handle.send_keys(Keys.END)
    page.until(lambda: page.pixel(0.7)[:3] == pytest.approx(RED, abs=6))
    handle.send_keys(Keys.HOME)
    page.until(lambda: page.pixel(0.3)[:2] == [seen[1]] * 2)
    page.actions().key_down(" ").perform()  # held: the original
    page.until(lambda: page.pixel(0.3)[:3] == pytest.approx(RED, abs=6))
    page.actions().key_up(" ").perform()
    page.until(lambda: page.pixel(0.3)[:2] == [seen[1]] * 2)
    turns.release()
    page.until(lambda: "left" in page.text("#left") or "soon" in page.text("#left"))
    page.click("#cancel")
    page.until(lambda: queue._stop)
    turns.release()
    page.wait_for("canceled")
    assert page.text("#said") == "Cancelled"


def test_cancel_comes_between_two_steps_and_the_next_job_begins(page, server, red, tmp_path, monkeypatch):
    address, queue = server
    turns = gate(monkeypatch)
    page.open(address)
    page.drop(red, picture(tmp_path / "second.png", 20, 20))
    page.click("#start")
    page.wait_for("running")
    page.wait_for("queued")
    assert "before it" in page.text('.tile[data-state="queued"] .state')
    turns.release()
    page.until(lambda: page.text("#left").startswith("Step 1 of 1000"))
    page.click("#cancel")
    page.until(lambda: page.text("#left") == "Stops after this step …" and queue._stop)
    turns.release()  # one step, and no more
    page.wait_for("canceled")
    page.wait_for("running")
    assert "red.png was cancelled" in page.text("#status")
    page.all(".tile")[1].click()
    page.click("#cancel")
    page.until(lambda: queue._stop)
    turns.release()
    page.wait_for("canceled", 2)
    page.click("#remove")
    page.until(lambda: len(page.all(".tile")) == 1)
    assert page.script("return document.activeElement.role") == "option"


def test_the_queue_outlives_a_reload_and_a_server_that_ends(page, models, red, tmp_path, monkeypatch):
    """That nothing is lost where it is killed is shown in test_api_attack.py."""
    turns = gate(monkeypatch)
    with live(tmp_path / "web", models) as (address, queue):
        page.open(address)
        page.drop(red, picture(tmp_path / "second.png", 20, 20))
        page.click("#start")
        page.wait_for("running")
        page.wait_for("queued")
        page.open(address, fresh=False)
        page.wait_for("running")
        page.wait_for("queued")
        queue._ending.set()
        turns.release()
    page.until(lambda: "does not answer" in page.text("#notice"))
    with live(tmp_path / "web", models, port=int(address.rpartition(":")[2])) as (_, queue):
        page.until(lambda: page.text("#notice") == "")
        turns.release()
        page.until(lambda: "Step" in page.text('.tile[data-state="running"] .state'))
        page.wait_for("queued")
        page.click("#stop-all")
        page.until(lambda: queue._stop)
        turns.release()
        page.wait_for("canceled", 2)


def test_a_mask_is_painted_undone_and_filled(page, server, tmp_path):
    address, queue = server
    page.open(address)
    source = picture(tmp_path / "photo.png", 64, 48)
    page.drop(source)
    choose(page, "task", "inpainting")
    page.click("#start")  # needs a mask first
    page.until(lambda: "photo.png needs a mask" in page.text("#notice"))
    page.click("#mask")
    view = page.one("#view")
    drag = page.actions().move_to_element_with_offset(view, -40, 0).click_and_hold()
    drag.move_by_offset(60, 10).move_by_offset(20, 5).release().perform()
    page.until(lambda: page.pixel(0.5)[0] > page.pixel(0.5)[1] + 60)
    page.pick("#mask-tools button:nth-of-type(3)")  # the box
    drag = page.actions().move_to_element_with_offset(view, 80, 60).click_and_hold()
    drag.move_by_offset(40, 40).release().perform()
    page.click("#mask-undo")
    page.click("#mask-done")
    page.click("#start")
    page.wait_for("succeeded")
    [record] = queue.store.of("succeeded")
    place = queue.place(record.id)
    with Image.open(place / "mask") as mask, Image.open(place / "result.png") as made, Image.open(source) as given:
        white = np.asarray(mask.convert("L"))
        assert mask.size == (64, 48)
        assert set(np.unique(white)) == {0, 255}
        assert white[24, 32] == 255  # the stroke went through the middle
        assert white[:5].max() == white[-5:].max() == 0
        where = white == 0
        assert (np.asarray(made)[where] == np.asarray(given)[where]).all()
        assert (np.asarray(made)[~where] != np.asarray(given)[~where]).any()
    assert page.severe() == []


def test_the_keep_brush_by_keys_alone(page, server, tmp_path):
    address, queue = server
    page.open(address)
    choose(page, "model", "tiny-once")
    page.drop(picture(tmp_path / "photo.png", 100, 80))
    page.one("#mask").send_keys(Keys.ENTER)
    page.until(lambda: page.script("return document.activeElement.id") == "handle")
    handle = page.one("#handle")
    handle.send_keys(" ")
    handle.send_keys(Keys.ARROW_LEFT * 3 + " ")
    handle.send_keys(Keys.ARROW_LEFT * 3 + " " + "z")
    handle.send_keys(Keys.ESCAPE)
    page.until(lambda: page.script("return document.activeElement.id") == "mask")
    assert page.text('.tile[data-state="draft"] .state') == "With a mask"
    page.click("#start")
    page.wait_for("succeeded")
    [record] = queue.store.of("succeeded")
    with Image.open(queue.place(record.id) / "mask") as mask:
        marked = np.flatnonzero(np.asarray(mask.convert("L")).max(0))
    # a brush of 0.08 of the width, in the middle and three steps of half a brush to its left; the third was undone
    assert marked.min() == pytest.approx(100 * (0.5 - 0.12 - 0.04), abs=1)
    assert marked.max() == pytest.approx(100 * (0.5 + 0.04) - 1, abs=1)


def test_a_mask_is_for_the_task_that_it_was_drawn_for(page, server, tmp_path):
    """White is to be made in one task, and is to stay in another; and some take no mask."""
    address, queue = server
    page.open(address)
    source = picture(tmp_path / "photo.png", 64, 48)
    with Image.open(source) as image:
        image.convert("L").save(source)
    page.drop(source)
    choose(page, "task", "inpainting")
    page.click("#mask")
    page.until(lambda: page.script("return document.activeElement.id") == "handle")
    page.one("#handle").send_keys(" ")
    choose(page, "task", "colorization")  # while it is being drawn
    page.until(lambda: not page.one("#mask-tools").is_displayed())
    assert page.text(".tile .state") != "With a mask"
    page.click("#start")
    page.wait_for("succeeded")
    choose(page, "task", "enlarge")
    choose(page, "model", "tiny-once")
    assert not page.one("#unmask").is_displayed()
    page.click("#start")
    page.wait_for("succeeded", 2)
    choose(page, "task", "inpainting")
    page.click("#start")  # where the mask is again
    page.wait_for("succeeded", 3)
    assert {record.task: record.mask for record in queue.store.of("succeeded")} == {
        "colorization": None,
        "enlarge": None,
        "inpainting": "mask",
    }
    assert page.severe() == []


def test_what_is_not_seen_holds_nothing_up(page, server, red):
    address, queue = server
    page.open(address)
    page.drop(red)
    choose(page, "model", "tiny-once")
    page.pick('input[value="other"]')
    page.one('[name="scale"]').send_keys("100")  # more than there is
    page.click("#start")
    assert page.script("return document.activeElement.name") == "scale"  # it says so
    page.pick('input[value="4"]')
    option(page, "output_quality", "5000")
    page.script("document.querySelector('details').open = false")
    page.click("#start")
    page.until(lambda: page.script("return document.activeElement.name") == "output_quality")
    option(page, "output_quality", "90")
    page.click("#start")
    page.wait_for("succeeded")
    [record] = queue.store.of("succeeded")
    assert (record.options.scale, record.options.output_quality) == (4, 90)


def test_start_pressed_twice_sends_each_once_and_none_that_was_removed(page, server, tmp_path):
    address, queue = server
    page.open(address)
    page.drop(*(picture(tmp_path / f"{name}.png", seed=k) for k, name in enumerate("abc")))
    choose(page, "model", "tiny-once")
    page.script(
        """
        const real = window.fetch;
        window.posts = [];
        window.fetch = async (url, how) => {
          if (how?.method === "POST") await new Promise((go) => window.posts.push(go));
          return real(url, how);
        };
        """
    )
    page.click("#start")
    page.until(lambda: page.script("return posts.length") == 1)
    page.click("#start")
    page.until(lambda: page.script("return posts.length") == 2)
    page.click(".tile:nth-child(3)")
    page.one(".tile:nth-child(3)").send_keys(Keys.DELETE)
    page.until(lambda: len(page.all(".tile")) == 2)
    page.script("setInterval(() => { while (posts.length) posts.pop()(); }, 20)")
    page.wait_for("succeeded", 2)
    page.until(lambda: not queue.length and not queue.live)
    assert sorted(record.name for record in queue.store.of("succeeded")) == ["a.png", "b.png"]


def test_masks_are_small_and_erase(page, server):
    page.open(server[0])
    code = """
    const done = arguments[0];
    import("/page/mask.js").then(async ({Mask}) => {
      const mask = new Mask({width: 6000, height: 3000});
      mask.begin("box", [0, 0], 0.1), mask.extend([0.5, 0.5]), mask.end();
      mask.begin("eraser", [0.25, 0.25], 0.1), mask.end();
      const bitmap = await createImageBitmap(await mask.file());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), pen = canvas.getContext("2d");
      pen.drawImage(bitmap, 0, 0);
      const at = (x, y) => pen.getImageData(x * bitmap.width, y * bitmap.width, 1, 1).data[0];
      const said = [bitmap.width, bitmap.height, at(0.1, 0.1), at(0.25, 0.25), at(0.4, 0.4), at(0.6, 0.1)];
      mask.undo();
      const again = await createImageBitmap(await mask.file());
      pen.drawImage(again, 0, 0);
      done([...said, at(0.25, 0.25)]);
    });"""
    found = page.browser.execute_async_script(code)
    assert found == [2048, 1024, 255, 0, 255, 0, 255]


def test_four_answers_one_is_chosen_and_where_they_differ(page, server, tmp_path):
    address, queue = server
    page.open(address)
    choose(page, "model", "tiny")
    page.drop(picture(tmp_path / "photo.png", 40, 32))
    page.pick('.segments input[value="4"]:not([disabled]):not(:checked)')
    page.click("#start")
    page.wait_for("succeeded")
    page.until(lambda: len(page.all("#answers input[type=radio]")) == 5)
    shown = page.one("#download").get_attribute("href")
    assert shown.endswith("/samples/1")
    page.pick('#answers input[value="3"]')
    page.click("#download")
    [record] = queue.store.of("succeeded")
    assert page.loaded("photo-4x-3.png") == (queue.place(record.id) / record.results[2]).read_bytes()
    assert page.text("#tag-right") == "Answer 3"
    page.until(lambda: page.script("return [...document.querySelectorAll('#answers img')].every((i) => i.complete)"))
    page.one("#handle").send_keys(Keys.HOME)
    page.until(lambda: page.pixel(0.5)[3] == 255)
    plain = page.pixel(0.5)
    page.click("#differs")
    page.until(lambda: page.pixel(0.5) != plain)  # grey and dark, lit where they differ
    # any two can be beside each other: an answer and the mean
    page.script("beside.value = [...beside.options].find((o) => o.text === 'Mean').value;")
    page.script("beside.dispatchEvent(new Event('change'))")
    page.until(lambda: page.text("#tag-left") == "Mean")
    assert page.severe() == []


def test_ten_results_in_one_zip_and_any_two_beside_each_other(page, server, tmp_path):
    page.open(server[0])
    choose(page, "model", "tiny-once")
    page.drop(*(picture(tmp_path / f"{k}.png", 16, 12, seed=k) for k in range(10)))
    assert page.text("#start") == "Enlarge: 10 pictures"
    page.click("#start")
    page.wait_for("succeeded", 10)
    page.click("#zip")
    with zipfile.ZipFile(io.BytesIO(page.loaded("sr3.zip"))) as packed:
        assert sorted(packed.namelist()) == [f"{k}-4x.png" for k in range(10)]
        assert packed.testzip() is None
    assert len(page.all("#beside option")) == 10  # what was given, and nine others
    page.script("beside.selectedIndex = 9; beside.dispatchEvent(new Event('change'))")
    page.until(lambda: page.text("#tag-left").startswith("9.png"))
    # nothing but thumbnails and views was fetched to be looked at
    fetched = page.script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [url for url in fetched if url.endswith(("/picture", "/result"))] == []


def test_what_cannot_be_read_says_why_and_stops_nothing(page, server, red, tmp_path):
    (tmp_path / "broken.png").write_bytes(red.read_bytes()[:60])
    page.open(server[0])
    choose(page, "model", "tiny-once")
    page.drop(tmp_path / "broken.png", red)
    page.click("#start")
    page.wait_for("succeeded")
    page.wait_for("failed")
    page.until(lambda: page.text("#said").startswith("broken.png is damaged"))


def test_a_file_that_only_the_server_reads_is_seen_when_it_is_there(page, server, tmp_path):
    Image.new("RGB", (60, 40), RED).save(tmp_path / "scan.tif")
    page.open(server[0])
    choose(page, "model", "tiny-once")
    page.drop(tmp_path / "scan.tif")
    page.until(lambda: page.text("#said").startswith("Your browser cannot show scan.tif"))
    assert not page.one("#mask").is_enabled()
    page.click("#start")
    page.wait_for("succeeded")
    page.until(lambda: page.pixel(0.3)[:3] == pytest.approx(RED, abs=6))
    assert page.one("#mask").is_enabled()
    page.click("#start")  # once more, from the server's copy
    page.wait_for("succeeded", 2)


def test_a_new_task_needs_nothing_of_the_page(page, server, red, monkeypatch):
    from dataclasses import replace

    from sr3.web.uses import Use

    address, queue = server
    use = Use("sharpening", "Sharpen pictures.", options=("grey", "left", "to"))
    monkeypatch.setitem(queue.catalogue.uses, "sharpening", use)
    once = queue.catalogue.models["tiny-once"]
    monkeypatch.setitem(queue.catalogue.models, "tiny-once", replace(once, kinds=(*once.kinds, "sharpening")))
    page.open(address)
    page.drop(red)
    assert "Sharpen pictures" in page.text("#task")
    choose(page, "task", "sharpening")
    assert [o.text for o in page.all("#model option")] == ["The best for each picture", "tiny-once"]
    kinds = {name: page.one(f"[name={name}]").get_attribute("type") for name in ("grey", "left", "to")}
    assert kinds == {"grey": "checkbox", "left": "number", "to": "text"}
    assert page.one("[name=left]").get_attribute("max") == "10000"
    assert page.text("#start") == "Sharpen pictures: 1 picture"


def test_a_token_leaves_the_address_and_opens_everything(page, models, red, tmp_path):
    with live(tmp_path / "web", models, token="a secret") as (address, _):
        page.open(address)
        page.until(lambda: "token" in page.text("#notice"))
        page.open(f"{address}/?token=a+secret")
        assert page.browser.current_url == f"{address}/"
        page.drop(red)
        choose(page, "model", "tiny-once")
        page.click("#start")
        page.wait_for("succeeded")
        page.until(lambda: page.script("return document.querySelector('.tile img').naturalWidth") > 0)
        page.until(lambda: page.pixel(0.7)[3] == 255)
        href = page.one("#download").get_attribute("href")
        assert httpx.get(href).status_code == 200
        assert httpx.get(href.partition("?")[0]).status_code == 401
