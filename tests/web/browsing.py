"""A browser for the tests of the page: what it is given, what it does, and what is seen in it."""

import base64
import shutil
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium to drive a browser")

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
PATIENCE = 90.0

DROP = """
const [files, done] = arguments;
const brought = new DataTransfer();
for (const [name, type, data] of files) {
  brought.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, {type}));
}
const say = (kind) => document.body.dispatchEvent(
  new DragEvent(kind, {dataTransfer: brought, bubbles: true, cancelable: true}));
say("dragenter"), say("dragover"), say("drop"), done();
"""

PIXEL = """
const [x, y] = arguments, canvas = document.getElementById("canvas");
const pen = canvas.getContext("2d");
return [...pen.getImageData(Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1).data];
"""


SHOWN = """
const found = document.querySelector(arguments[0]);
if (!found?.checkVisibility({visibilityProperty: true})) return null;
found.scrollIntoView({block: "center"});
return found;
"""

STORES = "cookies,local_storage,indexeddb,cache_storage,service_workers,file_systems"
"""Where a page may keep something, for its address; what is for a tab is `sessionStorage`."""


class Page:
    """The page in a browser; one for many tests, with all that one of them changed put back by `open`."""

    def __init__(self, folder: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            f"--user-data-dir={folder / 'profile'}",
            "--window-size=1280,940",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # the driver is named, so selenium looks for none and fetches none
        self.browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        self.browser.set_script_timeout(PATIENCE)
        self.loads = folder / "loads"
        self.loads.mkdir()
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.loads))
        self.agent = self.browser.execute_script("return navigator.userAgent")

    def cdp(self, command: str, **values: object):
        return self.browser.execute_cdp_cmd(command, values)

    def open(
        self, address: str, *, language: str = "en-GB", dark: bool = False, phone: bool = False, fresh: bool = True
    ):
        """Open the page, as somebody with these habits would who was never here before."""
        self.cdp("Network.setUserAgentOverride", userAgent=self.agent, acceptLanguage=language)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        self.cdp("Emulation.clearDeviceMetricsOverride")
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=5 if phone else 1)
        if phone:
            self.cdp("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        if fresh:
            origin = "/".join(address.split("/")[:3])
            self.cdp("Storage.clearDataForOrigin", origin=origin, storageTypes=STORES)
        self.severe()  # of before
        with self.before("sessionStorage.clear()") if fresh else nullcontext():
            self.browser.get(address)
        self.until(lambda: self.script("return document.body.dataset.ready"))

    @contextmanager
    def before(self, code: str):
        """Run this before the page's own scripts wherever it is opened meanwhile."""
        found = self.cdp("Page.addScriptToEvaluateOnNewDocument", source=code)
        try:
            yield
        finally:
            self.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=found["identifier"])

    def script(self, code: str, *values: object):
        return self.browser.execute_script(code, *values)

    def until(self, what):
        """Wait until it is so; what it gives."""
        return WebDriverWait(self.browser, PATIENCE, poll_frequency=0.02).until(lambda _: what())

    def one(self, css: str):
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def click(self, css: str):
        """Click on it as soon as it is seen."""
        self.until(lambda: self.script(SHOWN, css)).click()

    def actions(self) -> ActionChains:
        """What a pointer and keys do; it moves at once, where by default it takes a quarter of a second."""
        return ActionChains(self.browser, duration=10)

    def pick(self, css: str):
        """Take a choice whose input is hidden behind its label, as a click on the label does."""
        self.script("arguments[0].click()", self.one(css))

    def text(self, css: str) -> str:
        return self.script("return arguments[0].textContent", self.one(css))

    def drop(self, *files: Path):
        """Drop files on the page, and wait until they are seen."""
        before = len(self.all(".tile"))
        kinds = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
        brought = [[f.name, kinds.get(f.suffix, ""), base64.b64encode(f.read_bytes()).decode()] for f in files]
        self.browser.execute_async_script(DROP, brought)
        self.until(lambda: len(self.all(".tile")) == before + len(files))
        self.until(lambda: len(self.all('.tile[data-state="draft"][data-looked="true"]')) >= len(files))

    def wait_for(self, state: str, count: int = 1):
        """Wait until so many pictures are in a state."""
        self.until(lambda: len(self.all(f'.tile[data-state="{state}"]')) >= count)

    def pixel(self, x: float, y: float = 0.5) -> list[int]:
        """What is drawn at a point of the stage, in shares of it: red, green, blue, alpha."""
        return self.script(PIXEL, x, y)

    def loaded(self, name: str) -> bytes:
        """A file that was downloaded, which is then gone: another of its name would be called otherwise."""
        path = self.loads / name
        self.until(path.exists)
        found = path.read_bytes()
        path.unlink()
        return found

    def severe(self) -> list[str]:
        """What the browser complained of."""
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]
