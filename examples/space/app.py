"""A Hugging Face Space: a picture in, and its refinement step by step."""

import tempfile
from functools import lru_cache
from pathlib import Path

import gradio as gr

from sr3 import Restorer
from sr3.picture.image import Picture, PictureError, read, read_size, to_pil, write
from sr3.restore.usual import usual

MOST = 512 * 512
"""Pixels of a picture that is taken: a minute or so on two cores."""


@lru_cache(maxsize=2)
def restorer(name: str) -> Restorer:
    return Restorer.load(name)


def enlarge(file: str | None, scale: float, quality: str, seed: float):
    """The picture as it comes to be; last the pair to compare and the file to download."""
    if file is None:
        raise gr.Error("Give a picture first.")
    source, how = Path(file), {} if quality == "usual" else {"quality": quality}
    try:
        width, height = read_size(source)
        if width * height > MOST:
            raise gr.Error(f"{width}x{height} is too large for this Space; crop it, or use sr3 on your own machine.")
        ready = restorer(usual(refined=bool(how), scale=scale)[0])
        for step in ready.stream(source, scale=scale, seed=int(seed), **how):
            if hasattr(step, "done"):
                now = to_pil(Picture(step.step.x0[0].float().cpu().clamp(-1, 1)))
                yield (now, now), None, f"step {step.done} of {step.total}"
    except (PictureError, ValueError) as error:
        raise gr.Error(str(error)) from error
    made = step.variants[0]
    out = Path(tempfile.mkdtemp()) / "large.png"
    write(out, made)
    large = to_pil(made).convert("RGB")
    yield (to_pil(read(source)).convert("RGB").resize(large.size), large), str(out), "done"


with gr.Blocks(title="SR3") as page:
    gr.Markdown("# SR3\nPictures made larger by iterative refinement. Made small again, the result is your picture.")
    with gr.Row():
        with gr.Column(scale=1):
            given = gr.Image(type="filepath", label="Your picture")
            times = gr.Slider(1, 8, value=4, step=0.5, label="Times larger")
            effort = gr.Radio(["usual", "fast", "balanced", "best"], value="usual", label="Quality")
            start = gr.Number(0, label="Seed", precision=0)
            button = gr.Button("Enlarge", variant="primary")
        with gr.Column(scale=2):
            pair = gr.ImageSlider(label="Before and after")
            said, download = gr.Textbox(label="Progress"), gr.File(label="The result")
    button.click(enlarge, [given, times, effort, start], [pair, download, said])

if __name__ == "__main__":
    page.launch()
