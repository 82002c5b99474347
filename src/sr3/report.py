"""A self-contained page of an evaluation: protocol, table and gallery."""

import base64
import html
import io
from pathlib import Path

from PIL import Image

from sr3.evaluate import Result
from sr3.files import write_text


def write_report(path: Path, result: Result) -> None:
    """Write one HTML file that needs nothing else."""
    names = sorted({k for row in result.rows for k, v in row.items() if isinstance(v, float)})
    head = "".join(f"<th>{html.escape(n)}" for n in names)
    lines = [
        f"<tr><th>{html.escape(str(row['method']))}" + "".join(f"<td>{row.get(n, float('nan')):.4g}" for n in names)
        for row in result.rows
    ]
    cards: list[str] = []
    for one in result.shown:
        figures: list[str] = []
        for name, pixels in one.pictures.items():
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            data = base64.b64encode(buffer.getvalue()).decode()
            figures.append(f'<figure><img src="data:image/png;base64,{data}"><figcaption>{html.escape(name)}</figure>')
        cards.append(f"<section><h3>{html.escape(one.name)}</h3>{''.join(figures)}</section>")
    protocol = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(str(v))}" for k, v in result.protocol.items())
    write_text(
        path,
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>sr3</title>"
        f"<table><tr><th>{head}{''.join(lines)}</table>{''.join(cards)}<table>{protocol}</table>",
    )
