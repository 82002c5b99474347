"""The page of `sr3 web` where something goes wrong, or is not as usual: in a real browser, before a real server."""

import base64

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("selenium", reason="needs selenium to drive a browser")

from browsing import needs_browser
from live import gate, live, picture
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["shared"]
pytestmark = needs_browser
RED = (200, 30, 30)

HOLD = """
const real = window.fetch;
window.held = [];
window.posts = 0;
window.fetch = (url, how = {}) => {
  if (how.method !== "POST") return real(url, how);
  window.posts += 1;
  return new Promise((go, no) => {
    how.signal?.addEventListener("abort", () => no(how.signal.reason));
    window.held.push(() => go(real(url, how)));
  });
};
"""
"""Pictures that are sent wait until `held` lets them."""

BREAK = """
const real = window.fetch;
window.broken = true;
window.fetch = (url, how = {}) =>
  window.broken && how.method === arguments[0] ? Promise.reject(new TypeError("lost")) : real(url, how);
"""
"""Requests of a kind do not get through."""


@pytest.fixture
def three(tmp_path):
    return [picture(tmp_path / f"{name}.png", 40, 30, seed=k) for k, name in enumerate("abc")]


def task(page, name):
    page.script("task.value = arguments[0]; task.dispatchEvent(new Event('change'))", name)


def test_cancel_all_ends_what_is_sent_and_what_would_be_next(page, server, three):
    address, queue = server
    page.open(address)
    page.drop(*three)
    page.script(HOLD)
    page.click("#start")
    page.until(lambda: page.text("#left") == "Sending …")
    page.click("#stop-all")
    assert page.script("return document.activeElement.className") == "tile"  # not lost as the button goes
    page.until(lambda: not page.one("#walk").is_displayed())
    assert page.text("#status") == "a.png was cancelled"
    assert page.script("return document.title") == "sr3"
    assert not page.one("#stop-all").is_displayed()
    assert len(page.all('.tile[data-state="draft"]')) == 3
    assert page.script("return posts") == 1
    assert page.text("#start") == "Enlarge: 3 pictures"  # they can be sent still
    page.script("const go = setInterval(() => { while (held.length) held.pop()(); }, 20)")
    page.click("#start")
    page.wait_for("succeeded", 3)
    assert sorted(record.name for record in queue.store.of("succeeded")) == ["a.png", "b.png", "c.png"]


def test_a_job_made_while_its_sending_is_cancelled_is_cancelled_too(page, server, three, monkeypatch):
    address, queue = server
    turns = gate(monkeypatch)
    page.open(address)
    page.drop(three[0])
    page.script(HOLD)
    page.click("#start")
    page.until(lambda: page.script("return held.length") == 1)
    page.click("#cancel")
    assert page.script("return document.activeElement.id") == "title"  # not lost as the button goes
    page.script("held.pop()()")
    page.until(lambda: queue._stop)
    turns.release()
    page.wait_for("canceled")
    assert len(page.all(".tile")) == 1


def test_one_picture_is_held_at_a_time(page, server, three, tmp_path):
    counts = "const real = createImageBitmap; window.made = [];"
    counts += "window.createImageBitmap = async (...how) => (made.push(await real(...how)), made.at(-1));"
    with page.before(counts):
        page.open(server[0])
    red = tmp_path / "red.png"
    Image.new("RGB", (60, 40), RED).save(red)
    page.drop(red, *three)
    seen = "return made.filter((bitmap) => bitmap.width).length"  # one that is closed has none
    page.until(lambda: page.script(seen) == 1)
    page.until(lambda: page.pixel(0.5)[:3] == pytest.approx(RED, abs=3))
    page.one(".tile").send_keys(Keys.ARROW_RIGHT * 3 + Keys.ARROW_LEFT)
    page.until(lambda: page.pixel(0.5)[3] == 255 and page.pixel(0.5)[:3] != pytest.approx(RED, abs=3))
    page.one(".tile").send_keys(Keys.HOME)
    page.until(lambda: page.pixel(0.5)[:3] == pytest.approx(RED, abs=3))  # again, from its file
    page.until(lambda: page.script(seen) == 1)
    for left in (3, 2, 1, 0):
        page.one("#remove").click()
        page.until(lambda left=left: len(page.all(".tile")) == left)
    page.until(lambda: page.script(seen) == 0)
    assert page.severe() == []  # what is closed is not drawn


def test_how_long_results_stay_and_those_that_have_gone_go_here(page, server, three):
    address, queue = server
    says = """
    const real = window.fetch, timeout = window.setTimeout;
    window.setTimeout = (does, wait, ...more) => timeout(does, wait === 60000 && window.soon ? 100 : wait, ...more);
    window.fetch = async (url, how) => {
      const reply = await real(url, how);
      return String(url).startsWith("/v1/jobs?") ? Response.json({...await reply.json(), hours: 24}) : reply;
    };"""
    with page.before(says):
        page.open(address)
    page.drop(*three[:2])
    page.click("#start")
    page.wait_for("succeeded", 2)
    assert page.one("#kept").is_displayed()
    assert page.text("#kept") == "Results stay here for 24 h."
    one, other = queue.store.of("succeeded")
    queue.forget(one)
    page.script("document.dispatchEvent(new Event('visibilitychange'))")
    page.until(lambda: len(page.all(".tile")) == 1)
    queue.forget(other)
    page.script("soon = true; document.dispatchEvent(new Event('visibilitychange'))")
    page.until(lambda: page.all(".tile") == [])
    assert page.one("#welcome").is_displayed()
    queue.store.add(other)  # as from another tab: looked for while nothing is done
    page.until(lambda: len(page.all(".tile")) == 1)


def test_what_is_sent_while_the_server_is_away_comes_when_it_is_back(page, models, three, tmp_path):
    with live(tmp_path / "web", models) as (address, _):
        page.open(address)
        page.drop(three[0])
    page.click("#start")
    page.until(lambda: "This page keeps trying" in page.text("#notice"))
    with live(tmp_path / "web", models, port=int(address.rpartition(":")[2])) as (_, queue):
        page.wait_for("succeeded")
        page.until(lambda: page.text("#notice") == "")
        assert len(queue.store.of("succeeded")) == 1


def test_a_cancel_and_a_removal_that_do_not_get_through_can_be_tried_again(page, server, three, monkeypatch):
    address, queue = server
    turns = gate(monkeypatch)
    page.open(address)
    page.drop(three[0])
    page.click("#start")
    page.wait_for("running")
    page.script(BREAK, "DELETE")
    page.click("#cancel")
    page.until(lambda: page.text("#notice").startswith("The server does not answer"))
    page.until(lambda: page.one("#cancel").is_enabled())
    page.script("broken = false")
    page.click("#cancel")
    page.until(lambda: queue._stop)
    turns.release()
    page.wait_for("canceled")
    page.script("broken = true")
    page.click("#remove")
    page.until(lambda: page.text("#notice").startswith("The server does not answer"))
    assert len(page.all(".tile")) == 1
    page.script("broken = false")
    queue.forget(queue.store.of("canceled")[0])  # there is none any more, which is as well
    page.click("#remove")
    page.until(lambda: page.all(".tile") == [])


def test_a_mask_lies_where_it_is_painted_after_the_picture_was_widened(page, server, tmp_path):
    address, queue = server
    page.open(address)
    source = tmp_path / "red.png"
    Image.new("RGB", (100, 100), RED).save(source)
    page.drop(source)
    task(page, "uncropping")
    page.one('[name="right"]').clear()
    page.one('[name="right"]').send_keys("100")
    page.click("#start")
    page.wait_for("succeeded")
    assert page.text("#facts").startswith("100 × 100 → 200 × 100")
    task(page, "inpainting")
    page.click("#mask")
    wide, high = page.script("return [view.clientWidth, view.clientHeight]")
    side = min(wide, high)  # the picture is as high as the stage, and in its middle
    page.until(lambda: page.pixel(0.5 + 0.45 * side / wide)[:3] == pytest.approx(RED, abs=6))
    page.actions().move_to_element_with_offset(page.one("#view"), round(-side / 4), 0).click().perform()
    page.click("#mask-done")
    page.click("#start")
    page.wait_for("succeeded", 2)
    [record] = [record for record in queue.store.of("succeeded") if record.task == "inpainting"]
    with Image.open(queue.place(record.id) / "mask") as mask:
        marked = np.argwhere(np.asarray(mask.convert("L")) > 0)
    assert marked.mean(0)[::-1] == pytest.approx([25, 50], abs=1)  # a brush of 8 pixels around it
    assert page.severe() == []


def test_what_no_mask_can_be_painted_on_is_told_how_it_can(page, server, tmp_path):
    Image.new("RGB", (60, 40), RED).save(tmp_path / "scan.tif")
    page.open(server[0])
    page.drop(tmp_path / "scan.tif")
    assert "It can be sent all the same" in page.text("#said")
    task(page, "inpainting")
    page.click("#start")
    told = "Your browser cannot show scan.tif, so no mask can be painted on it. Add it as JPEG or PNG."
    assert [page.text(where) for where in ("#notice", "#said", "#mask-note")] == [told] * 3
    assert page.one("#mask").get_attribute("aria-describedby") is None
    assert page.script("return mask.closest('[role=group]').getAttribute('aria-describedby')") == "mask-note"


BLOCKED = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, {get() { throw new DOMException("denied", "SecurityError"); }});
}"""


def test_a_browser_that_keeps_nothing(page, models, three, tmp_path):
    with live(tmp_path / "web", models, token="a secret") as (address, _), page.before(BLOCKED):
        page.browser.get("about:blank")
        page.browser.get(f"{address}/?token=a+secret")  # it stays in the address, so that a reload works
        page.until(lambda: page.script("return document.body.dataset.ready"))
        page.drop(three[0])
        page.click("#theme")
        assert page.text("#theme") == "Theme: light"
        page.pick('input[value="2"]')
        page.click("#start")
        page.wait_for("succeeded")
        page.browser.refresh()
        page.until(lambda: page.script("return document.body.dataset.ready"))
        page.wait_for("succeeded")
        assert page.severe() == []


@pytest.mark.parametrize("kept", ["{", "null", '{"values": null}', '{"task": 7, "values": 3}'])
def test_a_wish_that_is_damaged_is_none(page, server, three, kept):
    page.open(server[0])
    page.script("localStorage.setItem('sr3.wish', arguments[0])", kept)
    page.open(server[0], fresh=False)
    page.drop(three[0])
    assert page.text("#start") == "Enlarge: 1 picture"
    assert page.severe() == []


def test_what_was_set_another_day_is_seen(page, server, three):
    page.open(server[0])
    page.drop(three[0])
    assert not page.script("return document.querySelector('details').open")
    page.script("document.querySelector('details').open = true")
    page.one('[name="output_quality"]').clear()
    page.one('[name="output_quality"]').send_keys("60")
    page.open(server[0], fresh=False)
    assert page.script("return document.querySelector('details').open")
    page.drop(three[0])
    page.one('[name="output_quality"]').clear()
    page.one('[name="output_quality"]').send_keys("95")  # the usual
    page.open(server[0], fresh=False)
    assert not page.script("return document.querySelector('details').open")


@pytest.mark.parametrize("undo", ["z", Keys.CONTROL + "z", Keys.META + "z"])
def test_keys_that_undo(page, server, three, undo):
    page.open(server[0])
    page.drop(three[0])
    task(page, "inpainting")
    page.click("#mask")
    page.until(lambda: page.script("return document.activeElement.id") == "handle")
    handle = page.one("#handle")
    handle.send_keys(" ")
    handle.send_keys(undo)
    handle.send_keys(Keys.ESCAPE)
    page.until(lambda: page.script("return document.activeElement.id") == "mask")
    assert page.text(".tile .state") == "Not sent yet"  # there is no mask


FOLDER = """
const data = new Uint8Array(atob(arguments[0]).split("").map((c) => c.charCodeAt(0)));
const file = (name, broken) => ({isFile: true, name, file: (done, no) =>
  broken ? no(new DOMException("gone", "NotReadableError")) : done(new File([data], name))});
const folder = (name, inside) => ({isDirectory: true, name, createReader: () => {
  const parts = [inside, []];
  return {readEntries: (done, no) => inside ? done(parts.shift()) : no(new DOMException("closed", "NotReadableError"))};
}});
const names = (list) => list.map((name) => file(name.replace("!", ""), name.startsWith("!")));
const root = folder("holiday", [...names(arguments[1]), ...(arguments[2] ? [folder("locked", null)] : [])]);
const drop = new Event("drop", {bubbles: true, cancelable: true});
const dataTransfer = {types: ["Files"], files: [], items: [{webkitGetAsEntry: () => root}]};
document.body.dispatchEvent(Object.assign(drop, {dataTransfer}));
"""


@pytest.mark.parametrize(
    ("names", "locked", "taken", "said"),
    [
        (["a.jfif", "!b.png", "c.txt", "!d.pdf"], False, ["a.jfif"], "b.png could not be read and is left out."),
        (["!b.png", "a.png"], True, ["a.png"], "2 files could not be read and are left out, b.png among them."),
        (["c.txt"], False, [], "These are no pictures."),
    ],
)
def test_a_folder_of_which_something_cannot_be_read(page, server, three, names, locked, taken, said):
    page.open(server[0])
    page.script(FOLDER, base64.b64encode(three[0].read_bytes()).decode(), names, locked)
    page.until(lambda: page.text("#notice") == said)
    assert [tile.get_attribute("title") for tile in page.all(".tile")] == taken
    assert page.severe() == []


def test_a_picture_that_does_not_get_through_says_so_in_the_end(page, server, three):
    page.open(server[0])
    page.drop(three[0])
    page.script("const real = setTimeout; window.setTimeout = (does, wait) => real(does, wait === 2000 ? 50 : wait)")
    page.script(BREAK, "POST")
    page.click("#start")
    page.wait_for("failed")
    assert page.text("#said") == "a.png could not be sent. Try again."
    page.script("broken = false")
    page.click("#start")
    page.wait_for("succeeded")


def test_the_form_comes_when_the_server_does(page, models, tmp_path):
    first = """
    const real = window.fetch, timeout = window.setTimeout;
    let left = 3;
    window.fetch = (url, how) =>
      url === "/v1/tasks" && (left -= 1) ? Promise.reject(new TypeError("lost")) : real(url, how);
    window.setTimeout = (does, wait, ...more) => timeout(does, wait === 5000 ? 50 : wait, ...more);
    """
    with live(tmp_path / "web", models) as (address, _), page.before(first):
        page.open(address)
        page.until(lambda: page.all("#start"))
