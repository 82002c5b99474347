"""Many clients at once against a server of `sr3 web`: is any job lost, any result wrong, how much memory is held?

    sr3 web --no-open --port 8077 &
    python experiments/web_load.py http://127.0.0.1:8077 --process $!

Every result is compared with the file that a single client was given before.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sr3.client import Client, ServerError

PICTURES = 5


def main() -> None:
    """Ask, and print one line of figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="photo-4x-regression")
    parser.add_argument("--process", type=int, help="The server's, to look at its memory.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Client(asked.address) as client:
        sources = [Path(folder) / f"{k}.png" for k in range(PICTURES)]
        for k, source in enumerate(sources):
            noise = np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(source)
        right = [client.restore(source, model=asked.model) for source in sources]
        done, wrong, refused, lost, waits = [], [], [], [], []
        end = time.monotonic() + asked.seconds

        def ask(n: int) -> None:
            with Client(asked.address, timeout=600) as own:
                while (began := time.monotonic()) < end:
                    n += 1
                    try:
                        made = own.restore(sources[n % PICTURES], model=asked.model)
                    except ServerError as error:
                        (refused if error.status == 429 else lost).append(error)
                        time.sleep(1)
                        continue
                    (done if made == right[n % PICTURES] else wrong).append(n)
                    waits.append(time.monotonic() - began)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(asked.clients)]
        for thread in threads:
            thread.start()
        held, health = [memory(asked.process)], []
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            client.ask("GET", "/healthz")
            health.append(time.monotonic() - began)
            held.append(memory(asked.process))
            time.sleep(0.5)
    print(
        f"{len(done)} done, {len(wrong)} wrong, {len(lost)} lost, {len(refused)} refused; longest wait {max(waits):.1f}"
        f" s; /healthz in {np.median(health) * 1000:.0f} ms, at most {max(health) * 1000:.0f};"
        f" memory {held[0]:.0f} MB before, at most {max(held):.0f}"
    )


def memory(process: int | None) -> float:
    """Megabytes that a process holds."""
    if process is None:
        return float("nan")
    return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * 4096 / 1e6


if __name__ == "__main__":
    main()
