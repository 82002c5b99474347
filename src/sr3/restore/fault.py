"""Faults as sentences: what to tell the person who asked for what cannot be had."""

from sr3.files import disk_full
from sr3.metric.features import MissingError
from sr3.model.checkpoint import CheckpointError
from sr3.model.config import ConfigError
from sr3.picture.collection import DataError
from sr3.picture.image import PictureError

EXTRAS = {
    **dict.fromkeys(("accelerate", "tensorboard"), "train"),
    "skimage": "demo",
    "matplotlib": "plot",
    "pi_heif": "heic",
    **dict.fromkeys(("starlette", "uvicorn", "sse_starlette", "multipart", "python_multipart", "httpx"), "web"),
    **dict.fromkeys(("ray", "pandas", "pyarrow"), "ray"),
    "onnxscript": "onnx",
    **dict.fromkeys(("onnx", "openvino", "pnnx", "ncnn"), "export"),
    "cv2": "fill",
    **dict.fromkeys(("torchmetrics", "torch_fidelity", "torchvision"), "metrics"),
}
"""Of each module that may be missing the extra that brings it."""


def code_and_sentence(error: Exception) -> tuple[int, str] | None:
    """(exit code, one sentence) for an error that a person can cause; None for a defect of ours."""
    sentence = " ".join(str(error).split())
    if isinstance(error, ConfigError | CheckpointError | DataError | MissingError):
        return 2, sentence
    if isinstance(error, PictureError):
        return 1, sentence
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("sr3"):
        extra = EXTRAS.get(error.name.split(".")[0])
        how = f": pip install 'sr3[{extra}]'" if extra else "; see pyproject.toml for the extras"
        return 2, f"this needs the package {error.name}, which is not installed{how}"
    if disk_full(error):  # whatever a library makes of it, such as TensorBoard's writer
        name = getattr(error, "filename", None)
        return 1, f"the disk is full{f' ({name})' if name else ''}; nothing written before is lost"
    if isinstance(error, OSError):
        return 1, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else sentence
    if isinstance(error, MemoryError) or "out of memory" in sentence.lower() or "can't allocate memory" in sentence:
        return 1, "not enough memory; give a smaller --memory or --tile, or close other programs"
    if type(error).__name__ == "TrainingError":
        return 1, sentence
    return None
