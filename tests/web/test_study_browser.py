"""The study as people meet it: the command serves it, and two of them answer in a real browser."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from conftest import noise_picture
from PIL import Image

from sr3.evaluation.study import Study, plan, read_answers, read_pairs, wilson

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("selenium", reason="needs selenium to drive a browser")

from live import served
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sr3.web.study import Desk, application

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")

SECONDS = 0.3
METHODS = ("bicubic", "sr3")
NAMES = [f"face {i}" for i in range(4)]
RED, GREEN, BLUE = (200, 30, 30), (30, 180, 30), (30, 30, 200)


@pytest.fixture
def pairs(tmp_path):
    """Originals are red, made pictures green or blue, so that a screenshot shows which is where."""
    root = tmp_path / "pairs"
    for kind, colour in (("original", RED), ("bicubic", GREEN), ("sr3", BLUE)):
        (root / kind).mkdir(parents=True)
        for name in NAMES:
            Image.new("RGB", (32, 32), colour).save(root / kind / f"{name}.png")
    (root / "given").mkdir()
    for i, name in enumerate(NAMES):
        noise_picture(8, 8, seed=i).save(root / "given" / f"{name}.png")
    return root


@pytest.fixture
def serve(pairs):
    """Start the command; gives its address, and stops it as Ctrl-C does."""
    running: list[subprocess.Popen[str]] = []

    def start(*options):
        command = [
            sys.executable,
            "-m",
            "sr3",
            "study",
            pairs,
            "--no-open",
            "--port",
            "0",
            "--seconds",
            SECONDS,
            *options,
        ]
        running.append(subprocess.Popen(map(str, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        for line in running[-1].stdout:
            if found := re.match(r"http://\S+", line):
                return found[0]
        raise AssertionError(running[-1].stderr.read())

    def stop():
        server = running.pop()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=90)
        assert (server.returncode, err) == (0, "")
        return out

    start.stop = stop
    yield start
    for server in running:
        server.kill()
        server.communicate()


@pytest.fixture
def browse(tmp_path):
    """Open browsers, each with a profile of its own."""
    opened: list[webdriver.Chrome] = []

    def open_(width=1100, height=800):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        profile = tmp_path / f"profile {len(opened)}"
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # the driver is named, so selenium looks for none and fetches none
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        opened.append(browser)
        return browser

    yield open_
    for browser in opened:
        browser.quit()


def until(browser, what, seconds=90.0):
    return WebDriverWait(browser, seconds, poll_frequency=0.02).until(what)


def begin(browser, address, name=None):
    browser.get(address)
    if name is not None:
        field = browser.find_element(By.ID, "name")
        field.clear()
        field.send_keys(name)
    browser.find_element(By.CSS_SELECTOR, "#begin button").click()


def asked(browser):
    """Wait until an answer may be given; how far the rater is, as the page says it."""
    until(browser, lambda b: b.find_element(By.ID, "left").is_enabled())
    return browser.find_element(By.ID, "count").text


def gone(browser, count):
    """Wait until the trial is another, or there is none left."""
    until(
        browser,
        lambda b: b.find_element(By.ID, "end").is_displayed() or b.find_element(By.ID, "count").text != count,
    )


def click(browser, side):
    count = asked(browser)
    browser.find_element(By.ID, side).click()
    gone(browser, count)


def press(browser, key):
    count = asked(browser)
    ActionChains(browser).send_keys(key).perform()
    gone(browser, count)


def finished(browser):
    return until(browser, lambda b: b.find_element(By.ID, "end").is_displayed())


def trials(rater, names):
    return plan(names, METHODS, rater, tasks=("shown", "hidden"))


def forget(browser):
    """Leave nothing of who it was that used the browser."""
    browser.delete_all_cookies()
    browser.execute_script("localStorage.clear(); sessionStorage.clear();")


def test_two_raters_answer_and_one_goes_on_after_a_restart(serve, browse, pairs, sr3):
    *names, other = NAMES  # each trial takes a second
    for kind in pairs.iterdir():
        (kind / f"{other}.png").unlink()
    address = serve()
    anna, ben = browse(), browse(390, 844)
    wanted: list[tuple[str, str, str, str, str]] = []

    def expect(rater, sides):
        for trial, side in zip(trials(rater, names)[sum(w[0] == rater for w in wanted) :], sides):
            wanted.append((rater, trial.task, trial.picture, trial.method, side))

    begin(anna, address, " Anna ")
    begin(ben, address, "ben")
    for side in ("left", "right"):
        click(anna, side)
    expect("anna", ["left", "right"])
    for key in ("1", "2", Keys.ARROW_LEFT, Keys.ARROW_RIGHT):
        press(ben, key)
    expect("ben", ["left", "right", "left", "right"])

    # anna reloads in the middle, presses twice, and then the server stops while she is asked
    anna.refresh()
    begin(anna, address)
    assert asked(anna) == "3 of 6"
    anna.execute_script("const b = document.getElementById('left'); b.click(); b.click();")
    gone(anna, "3 of 6")
    expect("anna", ["left"])
    assert asked(anna) == "4 of 6"
    assert "the answers are in" in serve.stop()
    assert len(read_answers(pairs / "answers.jsonl")[0]) == len(wanted) == 7

    address = serve()
    forget(anna)  # as if she came back on another machine
    begin(anna, address, "ANNA")
    begin(ben, address, "ben")
    assert asked(anna) == "4 of 6"
    assert asked(ben) == "5 of 6"
    for side in ("right", "left", "right"):
        click(anna, side)
    expect("anna", ["right", "left", "right"])
    for side in ("left", "left"):
        click(ben, side)
    expect("ben", ["left"] * 2)
    finished(anna)
    finished(ben)
    begin(anna, address, "anna")
    finished(anna)
    serve.stop()

    # what is on the disk is what was clicked
    answers, notices = read_answers(pairs / "answers.jsonl")
    assert notices == []
    assert Counter((a.rater, a.task, a.picture, a.method, a.answer) for a in answers) == Counter(wanted)
    where = {(r, t.task, t.picture, t.method): t.side for r in ("anna", "ben") for t in trials(r, names)}
    assert all(where[a.key] == a.side for a in answers)
    assert all(a.milliseconds >= 1000 * SECONDS for a in answers)

    # and the figures are what the clicks imply
    written = pairs.parent / "summary.json"
    assert sr3("study", pairs, "--summary", "--json", written)[0] == 0
    rows = {(row["task"], row["method"]): row for row in json.loads(written.read_text("utf-8"))["rows"]}
    assert set(rows) == {(task, method) for task in ("shown", "hidden") for method in METHODS}
    for (task, method), row in rows.items():
        ours = [w for w in wanted if w[1] == task and w[3] == method]
        fooled = sum(said != where[rater, task, picture, method] for rater, task, picture, method, said in ours)
        assert (row["trials"], row["fooled"], row["raters"]) == (len(ours), fooled, 2)
        assert (row["low"], row["high"]) == pytest.approx(wilson(fooled, len(ours)))


WATCH = """
window.seen = [];
const stage = document.getElementById('stage'), images = [...stage.querySelectorAll('.left img, .right img')];
(function look() {
  const shown = images.filter(i => getComputedStyle(i).visibility === 'visible');
  seen.push({now: performance.now(), shown: shown.length,
             loaded: shown.every(i => i.complete && i.naturalWidth === 32),
             enabled: !document.getElementById('left').disabled});
  requestAnimationFrame(look);
})();
"""


def asking(pairs, task, **settings):
    """The server, of one task."""
    study = Study(read_pairs(pairs), pairs / "answers.jsonl", (task,))
    return served(application(Desk(study, **settings)))


def test_pictures_are_seen_for_the_seconds_and_then_no_more(pairs, browse):
    browser = browse()
    with asking(pairs, "hidden", rater="dora", seconds=SECONDS) as address:
        browser.get(address)
        look_on(browser)


def look_on(browser):
    browser.execute_script(WATCH)
    assert not browser.find_element(By.ID, "name").is_displayed()
    browser.find_element(By.CSS_SELECTOR, "#begin button").click()
    # a key that is pressed before the question is no answer
    ActionChains(browser).send_keys("1").perform()
    assert asked(browser) == "1 of 4"
    time.sleep(0.2)
    frames = browser.execute_script("return window.seen")
    while_shown = [f for f in frames if f["shown"]]
    assert all(f["shown"] == 2 and f["loaded"] and not f["enabled"] for f in while_shown)
    lasted = (while_shown[-1]["now"] - while_shown[0]["now"]) / 1000
    assert SECONDS - 0.1 <= lasted <= SECONDS + 0.3
    after = frames[frames.index(while_shown[-1]) + 1 :]
    assert after
    assert not any(f["shown"] for f in after)
    for figure in browser.find_elements(By.CSS_SELECTOR, "#stage img"):
        assert figure.get_attribute("src").startswith("data:image/gif")


def test_pictures_stand_where_the_plan_says_at_equal_sizes(pairs, browse, tmp_path):
    browser = browse()
    with asking(pairs, "shown", rater="eve", seconds=1.5) as address:
        for size in ((1100, 800), (500, 900), (900, 420)):
            browser.set_window_size(*size)
            look_at(browser, address, tmp_path)


def look_at(browser, address, tmp_path):
    browser.get(address)
    browser.find_element(By.CSS_SELECTOR, "#begin button").click()
    stage = until(browser, lambda b: b.find_element(By.CSS_SELECTOR, "#stage.seen"))
    browser.save_screenshot(str(tmp_path / "page.png"))
    boxes = {p: stage.find_element(By.CSS_SELECTOR, f".{p} img").rect for p in ("left", "given", "right")}
    for box in boxes.values():
        assert (box["width"], box["height"]) == (boxes["left"]["width"],) * 2
        assert box["width"] % 32 == 0
        assert box["width"] >= 96
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= browser.execute_script("return innerWidth")
        assert box["y"] + box["height"] <= browser.find_element(By.ID, "left").rect["y"]
    assert boxes["left"]["x"] + boxes["left"]["width"] < boxes["right"]["x"]
    assert boxes["left"]["y"] == boxes["right"]["y"]
    trial = plan(NAMES, METHODS, "eve", tasks=("shown",))[0]
    made = {"bicubic": GREEN, "sr3": BLUE}[trial.method]
    with Image.open(tmp_path / "page.png") as page:
        for place in ("left", "right"):
            box = boxes[place]
            middle = page.convert("RGB").getpixel((box["x"] + box["width"] // 2, box["y"] + box["height"] // 2))
            assert middle == (RED if place == trial.side else made)
    # nothing scrolls, and the browser had nothing to complain of
    assert browser.execute_script("return document.documentElement.scrollHeight <= innerHeight")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
