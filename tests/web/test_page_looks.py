"""The page of `sr3 web` in the dark, on a phone, in Chinese, and for those who do not see it."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("sse_starlette", reason="needs the extra 'web'")
pytest.importorskip("selenium", reason="needs selenium to drive a browser")

from browsing import needs_browser
from live import live, picture, tiny_file
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["shared"]
pytestmark = needs_browser
AXE = importlib.util.find_spec("axe_core_python")


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    """A server with two results in its list, of which one has four answers."""
    folder = tmp_path_factory.mktemp("looks")
    with live(folder / "web", [tiny_file(folder)]) as (address, _):
        page.open(address)
        page.drop(picture(folder / "a rather long name of a photograph.png", 64, 48))
        page.click("#start")
        page.wait_for("succeeded")
        page.pick('.segments input[value="4"]:not([disabled]):not(:checked)')
        page.drop(picture(folder / "second.png", 48, 64))
        page.click("#start")
        page.wait_for("succeeded", 2)
        yield address


def light(page, css):
    """How light the background of an element is, from 0 to 255."""
    colour = page.script("return getComputedStyle(arguments[0]).backgroundColor", page.one(css))
    parts = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]
    return sum(parts[:3]) / 3


def test_light_and_dark_by_the_system_and_by_the_switch(page, address):
    page.open(address)
    assert light(page, "body") > 200
    page.open(address, dark=True)
    assert light(page, "body") < 60
    page.click("#theme")  # light, whatever the system has
    assert page.text("#theme") == "Theme: light"
    assert light(page, "body") > 200
    page.open(address, dark=True, fresh=False)
    assert light(page, "body") > 200
    page.click("#theme")
    page.open(address, fresh=False)
    assert page.text("#theme") == "Theme: dark"
    assert light(page, "body") < 60


def test_chinese_by_the_browsers_language(page, address):
    page.open(address, language="zh-CN")
    assert page.script("return document.documentElement.lang") == "zh-CN"
    page.until(lambda: page.text("#tag-left") == "原图")
    assert page.text("#start") == "再次放大"
    # whatever has letters has Chinese ones
    words = page.script(
        "return [...document.querySelectorAll('button, label, legend, h2, summary, #task option, header a + *, nav a')]"
        ".map((e) => e.innerText.trim()).filter((text) => /[A-Za-z]/.test(text))"
    )
    assert [text for text in words if not re.search("[\u4e00-\u9fff]", text)] == []
    page.open(address, language="de-DE")
    assert page.script("return document.documentElement.lang") == "en"


def touch(page, kind, *points):
    page.cdp(
        "Input.dispatchTouchEvent",
        type=kind,
        touchPoints=[{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)],
    )


def test_a_phone_is_wide_enough_and_fingers_slide_and_pinch(page, address):
    page.open(address, phone=True)
    page.until(lambda: page.one("#handle").is_displayed())
    assert page.script("return document.documentElement.scrollWidth") == 390
    assert page.script("return scrollY") == 0
    small = page.script(
        "return [...document.querySelectorAll('button, a.button, select')]"
        ".filter((e) => e.offsetParent && e.offsetHeight < 44).map((e) => e.outerHTML)"
    )
    assert small == []
    page.script("arguments[0].scrollIntoView({block: 'center'})", page.one("#view"))
    box = page.script("const b = view.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
    left, top, wide, high = box
    middle = top + high / 2
    touch(page, "touchStart", (left + wide / 2, middle))
    touch(page, "touchMove", (left + wide * 0.6, middle))
    touch(page, "touchMove", (left + wide * 0.75, middle))
    touch(page, "touchEnd")
    page.until(lambda: page.one("#handle").get_attribute("aria-valuenow") == "75")
    before = int(page.text("#percent").split()[0])
    touch(page, "touchStart", (left + 130, middle))
    touch(page, "touchStart", (left + 130, middle), (left + 170, middle))
    for apart in (10, 20, 40):
        touch(page, "touchMove", (left + 130 - apart, middle), (left + 170 + apart, middle))
    touch(page, "touchEnd")
    page.until(lambda: int(page.text("#percent").split()[0]) > 2 * before)


def test_keys_move_zoom_and_show_the_original(page, address):
    page.open(address)
    page.until(lambda: page.one("#handle").is_displayed())
    handle = page.one("#handle")
    handle.send_keys("1")
    page.until(lambda: page.text("#percent") == "100 %")
    handle.send_keys("+")
    page.until(lambda: page.text("#percent") == "125 %")
    handle.send_keys("-")
    page.until(lambda: page.text("#percent") == "100 %")
    handle.send_keys("0")
    fit = page.until(lambda: page.text("#percent") != "100 %" and page.text("#percent"))
    page.click("#actual")
    page.until(lambda: page.text("#percent") == "100 %")
    page.click("#fit")
    page.until(lambda: page.text("#percent") == fit)
    handle.send_keys("l")
    assert page.one("#lens").get_attribute("aria-pressed") == "true"
    handle.send_keys("l")
    # a key that is typed into a field is that field's
    field = page.one("[name=seed]")
    field.clear()
    field.send_keys("11")
    assert page.text("#percent") == fit
    # the gallery has one stop for Tab and moves by arrows
    tiles = page.all(".tile")
    assert [tile.get_attribute("tabindex") for tile in tiles].count("0") == 1
    first = page.one('.tile[aria-selected="true"]')
    first.send_keys(Keys.END)
    page.until(lambda: tiles[-1].get_attribute("aria-selected") == "true")
    assert page.script("return document.activeElement === arguments[0]", tiles[-1])
    assert page.text("#title") == page.script("return arguments[0].title", tiles[-1])


@pytest.mark.skipif(AXE is None, reason="needs axe-core-python")
@pytest.mark.parametrize("look", ["light", "dark", "phone", "mask"])
def test_axe_finds_nothing_serious(page, address, look):
    page.open(address, dark=look == "dark", phone=look == "phone")
    page.until(lambda: page.one("#handle").is_displayed())
    page.script("document.querySelector('details').open = true")
    if look == "mask":
        page.click("#mask")
    audit(page)


@pytest.mark.skipif(AXE is None, reason="needs axe-core-python")
def test_axe_finds_nothing_serious_on_the_empty_page(page, tmp_path):
    with live(tmp_path / "web", [tiny_file(tmp_path)]) as (address, _):
        page.open(address)
        assert page.one("#welcome").is_displayed()
        audit(page)


def audit(page):
    assert AXE is not None
    assert AXE.origin is not None
    page.script((Path(AXE.origin).parent / "axe.min.js").read_text("utf-8"))
    found = page.browser.execute_async_script("axe.run().then(arguments[0])")
    assert len(found["passes"]) > 20
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in grave] == []
