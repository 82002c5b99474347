"""How long a person waits: from `sr3 web` to the first picture made larger and downloaded, in a real Chromium.

    python experiments/web_page.py                          # 256x256, as the page is when nothing is chosen
    python experiments/web_page.py --large 50 --scale 1     # then a picture of 50 megapixels, and what the server holds

Settles how soon the page answers, and that a large upload blocks neither the page nor the memory; docs/serving.md has
the figures.  The server is a process of its own, begun here; the result is compared with what `sr3 upscale` writes.
Needs the extras `web` and `test`, chromium and chromedriver.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from skimage import data

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "web"))
from browsing import Page

SR3 = [sys.executable, "-m", "sr3"]


class Watch:
    """The most memory that a process held, looked at ten times a second."""

    def __init__(self, process: int):
        self.most, self._of, self._over = 0, psutil.Process(process), threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.most = max(self.most, self._of.memory_info().rss)
            except psutil.Error:
                return


def paint(page: Page) -> float:
    """Milliseconds to the first paint that has anything in it."""
    return page.until(
        lambda: page.script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    )


def answer_times(page: Page, end) -> list[float]:
    """Milliseconds that the page takes to answer a script and a frame, again and again until `end()`."""
    times = []
    while not end():
        began = time.perf_counter()
        page.browser.execute_async_script("requestAnimationFrame(() => arguments[0]())")
        times.append(1e3 * (time.perf_counter() - began))
        time.sleep(0.05)
    return times


def large_picture(path: Path, megapixels: float) -> None:
    """A photograph of about so many megapixels, as a JPEG file."""
    photo = Image.fromarray(data.astronaut())
    side = round((megapixels * 1e6) ** 0.5)
    photo.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


def main() -> None:
    """Open, drop, wait, download, compare; print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--large", type=float, help="Then a picture of so many megapixels.")
    parser.add_argument("--scale", type=float, default=1.0, help="By which the large one is enlarged.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "photo.png"
        Image.fromarray(data.astronaut()[: asked.side, 130 : 130 + asked.side]).save(source)
        page = Page(folder)  # the browser is there already, as a person's is
        began = time.perf_counter()
        words = [*SR3, "web", "--no-open", "--port", "0", "--folder", str(folder / "jobs")]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            found = re.match(r"http://\S+", server.stdout.readline())
            assert found, "the server said no address"
            watch = Watch(server.pid)
            page.open(found[0])
            first = paint(page)
            page.drop(source)
            page.click("#start")
            page.wait_for("succeeded")
            steps = page.script("return document.getElementById('canvas').dataset.previews || 0")
            page.click("#download")
            made = page.loaded("photo-4x.png")
            took = time.perf_counter() - began
            print(f"{took:.1f} s from sr3 web to the file; first paint {first:.0f} ms; {steps} previews were drawn")
            print(page.text("#facts"))
            subprocess.run([*SR3, "upscale", source, "-o", folder / "c.png", "--quiet"], check=True)
            same = made == (folder / "c.png").read_bytes()
            print("the file is the command line's" if same else "the file is NOT the command line's")
            print(f"the server held {watch.most / 1e6:.0f} MB at most")
            if asked.large:
                large(page, folder, asked.large, asked.scale)
                print(f"the server held {watch.most / 1e6:.0f} MB at most")
        finally:
            page.browser.quit()
            server.terminate()
            server.wait()


def large(page: Page, folder: Path, megapixels: float, scale: float) -> None:
    """Drop a large picture, enlarge it, and say how soon the page answered meanwhile."""
    source = folder / "large.jpg"
    large_picture(source, megapixels)
    began = time.perf_counter()
    page.drop(source)
    print(f"{source.stat().st_size / 1e6:.1f} MB were seen after {time.perf_counter() - began:.1f} s")
    page.script("document.querySelector('details').open = true")
    page.pick('[value="other"]')
    field = page.one('[name="scale"]')
    field.clear()
    field.send_keys(f"{scale:g}")
    page.click("#start")
    began = time.perf_counter()

    def over() -> bool:
        return bool(page.all('.tile[data-state="failed"]')) or len(page.all('.tile[data-state="succeeded"]')) == 2

    times = answer_times(page, over)
    ended = "failed" if page.all('.tile[data-state="failed"]') else "succeeded"
    print(
        f"{ended} after {time.perf_counter() - began:.1f} s; the page answered in {np.median(times):.0f} ms, "
        f"at most {max(times):.0f} ms; {page.text('#facts')} {page.text('#said')}"
    )


if __name__ == "__main__":
    main()
