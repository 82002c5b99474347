"""The report: all of the figures are in it, nothing is outside it, and a real browser shows it as it should be."""

import base64
import io
import json
import math
import re
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from sr3.cli import main
from sr3.evaluation import report
from sr3.evaluation.report import page, write_report
from sr3.evaluation.report.gallery import middle, side_for
from sr3.evaluation.report.plot import NAME, Box, Point, axis, place, planes, plots, points
from sr3.evaluation.result import Result, Shown

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")

NASTY = "<b>&\"x'{{table}}.png"
NAMES = [NASTY, "second.png", "third.png"]
METHODS = ("bicubic", "regression", "sr3", "sr3-mean-3")
EACH = {
    "bicubic": {"psnr": [21.25, 25.5, 23.125], "tint": [0.3, 0.1, 0.2]},
    "regression": {"psnr": [24.0, 27.0, math.inf], "tint": [0.2, 0.4, 0.1]},
    # the order of sr3's PSNR: second, first, third; of its calibration, by how near 1: third, first, second
    "sr3": {"psnr": [22.5, 26.75, 20.0], "calibration": [1.25, 0.5, 0.9], "spread": [3.0, math.nan, 9.0]},
    "sr3-mean-3": {"psnr": [23.5, 26.5, 22.0]},
}
ORDER = ["given", "bicubic", "regression", "sr3", "sr3-mean-3", "sr3 #2", "sr3 #3", "spread", "original"]


def made(seed: int, size=(32, 24)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {name: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for name in ORDER}
    found["given"] = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    return found


@pytest.fixture
def result() -> Result:
    rows = []
    for i, method in enumerate(METHODS):
        mean = float(np.mean([v for v in EACH[method]["psnr"] if math.isfinite(v)]))
        row = {"method": method, "psnr": mean, "swd": 91.5 - 20.5 * i, "swd_0": 7.25 + i, "seconds": 0.5 * i}
        row["interval"] = {"psnr": [mean - 1.5, mean + 1.25], "swd": [80.25 - 20.5 * i, 99.75 - 20.5 * i]}
        rows.append(row)
    rows[0]["consistency_free"] = math.nan
    rows[2]["calibration"] = 0.875
    protocol = {
        "model": "photo-4x",
        "data": "<i>faces</i>",
        "pictures": 3,
        "factor": 4,
        "border": 0,
        "projection": True,
        "sampler": {"kind": "dpmpp", "eta": 1.0},
        "steps": 8,
        "quality": None,
        "seed": 0,
        "version": "1.2.3",
        "notes": ["FID of <3> pictures is biased"],
    }
    shown = [
        Shown(name, made(i), {m: {n: v[i] for n, v in values.items()} for m, values in EACH.items()})
        for i, name in enumerate(NAMES)
    ]
    return Result(protocol, rows, NAMES, EACH, shown)


class Reader(HTMLParser):
    """What a page holds: its words, its tags with their attributes; and that each tag is closed in its turn."""

    VOID = ("meta", "link", "img", "path", "circle", "br")

    def __init__(self, text: str):
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_figure_is_in_the_page(result):
    found = Reader(page(result, "sr3 evaluate --data '<faces>'"))
    words = set(found.words)
    assert "sr3 evaluate --data '<faces>'" in words
    for key, value in result.protocol.items():
        if key not in ("notes", "projection", "quality", "sampler"):
            assert {key, str(value)} <= words
    assert {"FID of <3> pictures is biased", "dpmpp, eta 1.0", "yes"} <= words
    numbers = [float(data["value"]) for data in found.all("data")]
    for row in result.rows:
        assert row["method"] in words
        for name, value in row.items():
            if isinstance(value, float) and math.isfinite(value):
                assert value in numbers, name
                assert f"{value:.2f}" in words or f"{value:.3f}" in words
    assert {"91.50", "80.25 – 99.75", "SWD, level 0", "0.875"} <= words
    # each value stands by what it is of
    wanted = {(f"{m} {n}", repr(v)) for m, each in EACH.items() for n, values in each.items() for v in values}
    stands = {
        (data["data-of"], data["value"].replace("Infinity", "inf")) for data in found.all("data") if "data-of" in data
    }
    assert stands == {(of, value) for of, value in wanted if value != "nan"}
    # and the whole is there as `sr3 compare` reads it
    link = next(a for a in found.all("a") if "download" in a)
    assert json.loads(base64.b64decode(link["href"].partition(",")[2])) == result.as_dict()


def test_the_page_needs_nothing_else_and_names_are_words(result):
    text = page(result)
    found = Reader(text)
    assert "http:" not in text
    assert "https:" not in text
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in text
    assert "@import" not in text
    assert found.words.count(NASTY) == 1
    assert found.all("i") == []
    assert "photo-4x on <i>faces</i>" in found.words
    alts = [image["alt"] for image in found.all("img")]
    assert alts[:3] == [f"{NASTY}: {label}" for label in ("low resolution", "bicubic", "regression")]
    assert len(set(alts[:-1])) == 3 * len(ORDER)
    assert "{{" not in text.replace("{{table}}", "")


def test_the_picture_given_is_called_what_the_task_calls_it(result):
    result.protocol["given"] = "JPEG"
    alts = [image["alt"] for image in Reader(page(result)).all("img")]
    assert alts[:2] == [f"{NASTY}: JPEG", f"{NASTY}: bicubic"]


def test_hostile_words_stay_words(result):
    """Wherever a name can come from, it is shown as it is and opens no tag and no attribute."""
    bad = "'\"><script>alert(1)</script><img src=x onerror=y>{{7*7}}{% x %}"
    rows = [{**row, "method": row["method"] + bad} for row in result.rows]
    each = {method + bad: values for method, values in EACH.items()}
    shown = [
        Shown(
            one.name + bad,
            {key + bad if key in METHODS else key: pixels for key, pixels in one.pictures.items()},
            {method + bad: values for method, values in one.measures.items()},
        )
        for one in result.shown
    ]
    protocol = {**result.protocol, "data": bad, bad: bad, "sampler": {"kind": bad, bad: 1.0}, "notes": [bad]}
    clean, found = Reader(page(result, "x")), Reader(page(Result(protocol, rows, NAMES, each, shown), bad))
    assert [tag for tag, _ in found.tags if tag in ("script", "img")] == [
        tag for tag, _ in clean.tags if tag in ("script", "img")
    ]
    names = {name for _, attributes in clean.tags for name in attributes}
    assert {name for _, attributes in found.tags for name in attributes} == names
    # the command, the data, a key and its value, the note
    assert found.words.count(bad) == 5
    assert {f"bicubic{bad}", f"{NAMES[1]}{bad}", f"photo-4x on {bad}", f"{bad}, {bad} 1.0"} <= set(found.words)


def test_pictures_are_exact_and_in_order(result):
    images = [image for image in Reader(page(result)).all("img") if image["alt"]]
    order = ["given", "bicubic", "regression", "sr3", "sr3 #2", "sr3 #3", "sr3-mean-3", "spread", "original"]
    for i, one in enumerate(result.shown):
        for image, name in zip(images[i * 9 : i * 9 + 9], order, strict=True):
            with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as picture:
                assert np.array_equal(np.asarray(picture.convert("RGB")), one.pictures[name])
            # the low-resolution picture too stands at the size of the others
            assert (image["width"], image["height"]) == ("24", "32")


def test_large_pictures_are_shown_in_part():
    pixels = np.arange(40 * 61 * 3, dtype=np.int64).reshape(40, 61, 3)
    cut = middle(pixels, 18, 4)
    assert cut.shape == (16, 16, 3)
    # the grid of the low-resolution picture: 12 is (40 - 16) / 2, and 20 the last multiple of 4 below (61 - 16) / 2
    assert np.array_equal(cut, pixels[12:28, 20:36])
    assert middle(pixels, 64, 4) is pixels
    small, large = ([Shown("", {"original": np.zeros((side, side, 3), np.uint8)}, {})] for side in (900, 1000))
    assert side_for(small) == side_for(large) == 1024
    assert side_for(large * 20) == 768
    assert side_for(large * 2000) == 256


def test_without_pictures_there_is_still_a_report(result, tmp_path):
    write_report(tmp_path / "r.html", Result(result.protocol, result.rows[:1], NAMES, EACH))
    found = Reader((tmp_path / "r.html").read_text("utf-8"))
    assert "No pictures were kept." in found.words
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    # one method alone is no plane
    assert planes(result.rows[:1]) == ""
    Reader(page(Result({}, [], [], {})))


def test_plots_are_to_scale(result):
    found = points(result.rows, "psnr")
    assert [(p.method, p.value) for p in found] == [(row["method"], row["psnr"]) for row in result.rows]
    x = axis(found, 100.0, 300.0)
    ends = x(min(p.low for p in found)), x(max(p.high for p in found))
    assert 100 < ends[0] < ends[1] < 300
    assert x((found[0].value + found[1].value) / 2) == pytest.approx((x(found[0].value) + x(found[1].value)) / 2)
    assert planes(result.rows).count("<circle") == 4
    for low, high in ((0.0, 0.0), (1e-7, 2e-7), (24.4, 31.0), (-3.0, 1e6), (0.98, 0.9801)):
        ticks = axis([Point("a", 0, low, low, high)], 0.0, 1.0).ticks
        assert 2 <= len(ticks) <= 8
        steps = np.diff(ticks)
        assert steps == pytest.approx(steps[0])


def test_the_commands_fit_together(tiny, folder, tmp_path, monkeypatch, capsys):
    """What `sr3 evaluate` writes is what the report holds and what `sr3 compare` reads."""

    def sr3(*arguments):
        monkeypatch.setattr(sys, "argv", ["sr3", *map(str, arguments)])
        with pytest.raises(SystemExit, match="^0$"):
            main()
        return capsys.readouterr().out

    data, report = tmp_path / "e.json", tmp_path / "report.html"
    model = tiny.save_pretrained(tmp_path / "model")
    options = ["--model", model, "--data", folder, "--samples", 2, "--keep", 2]
    sr3("evaluate", *options, "--json", data, "--report", report)
    found = Reader(report.read_text("utf-8"))
    link = next(a for a in found.all("a") if "download" in a)
    figures = json.loads(base64.b64decode(link["href"].partition(",")[2]))
    assert figures == json.loads(data.read_text("utf-8"))
    assert found.all("article")[1:] == [found.all("article")[-1]]
    assert [h for h in found.words if h in figures["names"]] == figures["names"][:2]
    lines = sr3("compare", data, data).splitlines()
    assert "pictures in both: 3" in lines
    assert {line.split("  ")[0] for line in lines if line.endswith("equal")} >= {
        "PSNR",
        "Y-SSIM",
        "consistency",
        "tint",
    }
    assert "better" not in "".join(lines)


@pytest.fixture
def browser(result, tmp_path):
    """Open the report in a window of a width, as a phone where it is narrow."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium to drive a browser")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver on the PATH")
    write_report(tmp_path / "r.html", result)
    opened = []

    def start(width: int, height: int):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        opened.append(webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)))
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        opened[-1].execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        opened[-1].get((tmp_path / "r.html").as_uri())
        return opened[-1]

    yield start
    for one in opened:
        one.quit()


def test_in_a_browser(browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    phone = browser(390, 844)
    assert phone.execute_script("return innerWidth") == 390
    for details in phone.find_elements(By.TAG_NAME, "summary"):
        details.click()
    assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
    # while what is wider scrolls in its box
    row = phone.find_element(By.CSS_SELECTOR, ".row")
    assert phone.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", row)
    boxes = [image.rect for image in row.find_elements(By.TAG_NAME, "img")]
    assert len({(box["width"], box["height"]) for box in boxes}) == 1
    assert boxes[0]["width"] == 96

    def order():
        return [NAMES.index(h.text) for h in phone.find_elements(By.CSS_SELECTOR, "#cards h3")]

    by, first = (Select(phone.find_element(By.ID, name)) for name in ("by", "first"))
    assert order() == [0, 1, 2]
    by.select_by_visible_text("sr3: PSNR")
    assert order() == [1, 0, 2]
    assert phone.find_element(By.CSS_SELECTOR, "#cards output").text == "sr3: PSNR 26.75"
    first.select_by_value("worst")
    assert order() == [2, 0, 1]
    by.select_by_visible_text("bicubic: tint")
    assert order() == [0, 2, 1]
    by.select_by_visible_text("regression: PSNR")
    assert order() == [0, 1, 2]
    first.select_by_value("best")
    assert order() == [2, 1, 0]
    by.select_by_visible_text("sr3: calibration")
    assert order() == [2, 0, 1]
    by.select_by_visible_text("sr3: spread")
    assert order() == [2, 0, 1]
    first.select_by_value("worst")
    # what has no value stays last
    assert order() == [0, 2, 1]
    by.select_by_visible_text("the order of the files")
    assert order() == [0, 1, 2]

    # looking closely, by keyboard alone
    dialog = phone.find_element(By.TAG_NAME, "dialog")
    picture = dialog.find_element(By.TAG_NAME, "img")
    phone.execute_script("arguments[0].focus()", row.find_elements(By.TAG_NAME, "button")[1])
    ActionChains(phone).send_keys(Keys.ENTER).perform()
    assert dialog.is_displayed()
    assert picture.get_attribute("alt") == f"{NASTY}: bicubic"
    # 390 holds 24 pixels 16 times
    assert (picture.rect["width"], picture.rect["height"]) == (24 * 16, 32 * 16)
    assert picture.value_of_css_property("image-rendering") == "pixelated"
    ActionChains(phone).send_keys(Keys.ENTER).perform()
    assert (picture.rect["width"], picture.rect["height"]) == (24, 32)
    ActionChains(phone).send_keys(Keys.ENTER, Keys.ARROW_LEFT).perform()
    assert picture.get_attribute("alt") == f"{NASTY}: low resolution"
    assert picture.rect["width"] == 24 * 16
    ActionChains(phone).send_keys(Keys.ARROW_LEFT).perform()
    assert picture.get_attribute("alt") == f"{NASTY}: original"
    ActionChains(phone).send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()
    # the page is told of the closing a moment after the dialog is gone, and moves the focus then
    last = row.find_elements(By.TAG_NAME, "button")[-1]
    WebDriverWait(phone, 10).until(lambda page: page.switch_to.active_element == last)
    loaded = """
        const done = arguments[0], images = [...document.querySelectorAll('.row img')];
        images.forEach(image => image.loading = 'eager');
        Promise.all(images.map(image => image.decode())).then(() => done(images.length), error => done(String(error)));
    """
    assert phone.execute_async_script(loaded) == 27
    assert [entry for entry in phone.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_picture_larger_than_the_screen(browser, result, tmp_path):
    """Shown whole first, then at its own size; the low-resolution picture keeps its squares."""
    from selenium.webdriver.common.by import By

    rng = np.random.default_rng(0)
    large = {name: rng.integers(0, 256, (300, 500, 3), dtype=np.uint8) for name in ("bicubic", "original")}
    large["given"] = large["original"][::4, ::4]
    write_report(tmp_path / "r.html", Result(result.protocol, result.rows, NAMES[1:2], {}, [Shown("x", large, {})]))
    phone = browser(390, 844)
    assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
    given, bicubic = phone.find_elements(By.CSS_SELECTOR, ".row img")[:2]
    assert given.rect["width"] == bicubic.rect["width"] == 256
    assert given.value_of_css_property("image-rendering") == "pixelated"
    assert bicubic.value_of_css_property("image-rendering") == "auto"
    bicubic.click()
    stage = phone.find_element(By.ID, "stage")
    picture = stage.find_element(By.TAG_NAME, "img")
    assert (picture.rect["width"], picture.rect["height"]) == (390, 234)
    picture.click()
    assert (picture.rect["width"], picture.rect["height"]) == (500, 300)
    assert picture.value_of_css_property("image-rendering") == "pixelated"
    # its middle was clicked, and is in the middle: (500 - 390) / 2
    assert phone.execute_script("return arguments[0].scrollLeft", stage) == pytest.approx(55, abs=2)
    picture.click()
    assert picture.rect["width"] == 390


def boxes(svg: str, kind: str, letter: float) -> list[list[Box]]:
    """Where the words of one class stand, by plot."""
    found: list[list[Box]] = []
    for plot in svg.split("<figure")[1:]:
        pattern = rf'<text class="{kind}" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]*)<'
        found.append([])
        for x, y, anchor, words in re.findall(pattern, plot):
            width = len(words) * letter
            left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
            found[-1].append(Box(left, float(y) - 10, left + width, float(y) + 2))
    return found


def crowd(count: int) -> list[dict[str, object]]:
    """Methods with long names, nearly in one place."""
    rng = np.random.default_rng(0)
    return [
        {"method": f"long name {k:02d} of one", "psnr": 24.1 + 0.0001 * rng.random(), "swd": 71 + rng.random()}
        for k in range(count)
    ]


def test_words_of_a_plot_do_not_meet():
    low = [*crowd(12), {"method": "far above", "psnr": 24.1, "swd": 300.0}]
    for rows in (crowd(2), crowd(12), low):
        for svg, kind, letter in ((planes(rows), "name", NAME), (planes(rows) + plots(rows), "tick", 6.0)):
            for plot in boxes(str(svg), kind, letter):
                plot = [box for box in plot if box.top < 280 or kind == "name"]  # but the axis's title
                assert not [1 for i, a in enumerate(plot) for b in plot[:i] if a.meets(b)]
                assert all(box.left >= 0 and box.right <= 341 for box in plot)
                assert kind != "name" or all(box.bottom <= 260 for box in plot)  # above the axis
    full = Box(0, 0, 100, 26)
    assert place(50, 13, 40, full, [Box(0, 0, 100, 26)]).top == 26  # nowhere is room
    assert place(50, 13, 30, full, []) == Box(58, 6.5, 88, 19.5)
    assert place(90, 13, 30, full, []).right == 82


def test_a_plane_is_drawn_between_its_axes():
    """Two methods stand 6 % of their difference from the ends, at the bottom 260 and at the top 12."""
    rows = [{"method": name, "psnr": 20.0 + k, "swd": 50.0 + k} for k, name in enumerate("ab")]
    high = [float(y) for y in re.findall(r'<circle[^>]*cy="([\d.]+)"', str(planes(rows)))]
    room = 248 * 0.06 / 1.12
    assert sorted(high) == pytest.approx([12 + room, 260 - room], abs=0.1)


def test_a_page_that_asks_for_what_is_not_there_is_no_page():
    with pytest.raises(UndefinedError):
        report._template().environment.from_string("a {{ title }}").render()


def test_of_a_protocol_only_what_it_says_is_told():
    said = {"pictures": 5, "table": "3 of Saharia et al. (2021)", "sampler": {"kind": "ddim"}, "steps": 4, "seed": 1}
    assert report._summary(said) == "5 pictures, table 3 of Saharia et al. (2021) · ddim, 4 steps · seed 1"
    said = {"pictures": 1, "table": "4 and 5", "seed": 0, "version": "9"}
    assert report._summary(said) == "1 picture, table 4 and 5 · seed 0 · sr3 9"
    said = {"pictures": 2, "factor": 1, "degradation": "noise", "border": 0, "projection": False, "version": "9"}
    assert report._summary(said) == "2 pictures, noise · border 0 · projection off · sr3 9"
    assert report._summary({**said, "factor": 4, "projection": True}).startswith(
        "2 pictures, ×4 · border 0 · projection on"
    )
