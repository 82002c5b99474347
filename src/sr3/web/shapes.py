"""The shapes of what the server takes and sends; the OpenAPI file is made of them."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from sr3.diffusion.tables import SAMPLERS

SIDE = "[1-9][0-9]{0,5}"
SIZE, BOX = f"^{SIDE}x{SIDE}$", f"^({SIDE}x({SIDE})?|x{SIDE})$"
State = Literal["queued", "running", "succeeded", "failed", "canceled"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "canceled")
MOST_SEED = 2**53 - 1
"""The largest whole number that every program of JSON reads as it was written."""


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Options(_Shape):
    """What may be asked of a task, which takes those that /v1/tasks lists for it.  Defaults are the command line's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    scale: float | None = Field(None, ge=1, le=64, description="How many times larger; default: the model's factor.")
    size: str | None = Field(
        None,
        description="WIDTHxHEIGHT to fit into, or one side, as 1920x, instead of a scale.",
        json_schema_extra={"pattern": BOX},
    )
    quality: Literal["fast", "balanced", "best"] | None = Field(
        None, description="As found for the model; default: its own way."
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="The same seed gives the same picture.")
    samples: int = Field(1, ge=1, le=8, description="Answers to make; for several also their mean and spread.")
    steps: int | None = Field(None, ge=1, le=1000, description="Refinement steps: more is slower and finer.")
    sampler: str | None = Field(
        None, description="How it is walked; default: the model's way.", json_schema_extra={"enum": [*SAMPLERS, None]}
    )
    fidelity: float = Field(1.0, ge=0, le=1, description="How far to hold it to the picture: 1 fully, 0 not at all.")
    noise: float | None = Field(None, ge=0, le=255, description="Its noise: sigma of 255; default: estimated.")
    free: bool = Field(False, description="Do not hold the result to what is given.")
    grey: bool = Field(False, description="Make a picture that has colours grey first.")
    grow: int = Field(0, ge=0, le=256, description="Pixels by which the hole is made larger.")
    feather: int = Field(0, ge=0, le=256, description="Pixels around it over which old meets new.")
    left: int = Field(0, ge=0, le=10_000, description="Pixels to add at the left.")
    right: int = Field(0, ge=0, le=10_000, description="Pixels to add at the right.")
    top: int = Field(0, ge=0, le=10_000, description="Pixels to add at the top.")
    bottom: int = Field(0, ge=0, le=10_000, description="Pixels to add at the bottom.")
    to: str | None = Field(
        None, description="The size wanted, with the picture in its middle.", json_schema_extra={"pattern": SIZE}
    )
    format: Literal["png", "jpg", "webp", "tif", "avif"] | None = Field(
        None, description="Of the result; default: the picture's own, where that can be written."
    )
    output_quality: int = Field(95, ge=1, le=100, description="Of formats that lose something.")
    metadata: bool = Field(True, description="Keep EXIF, XMP and IPTC; the colour profile is always kept.")

    @field_validator("size", "to")
    @classmethod
    def _is_size(cls, text: str | None, info: ValidationInfo) -> str | None:
        """As people write sizes: with spaces, and with the sign of multiplication."""
        if text is None:
            return None
        tidy = "".join(text.split()).lower().replace("\u00d7", "x")
        if not re.match(SIZE if info.field_name == "to" else BOX, tidy):
            more = "" if info.field_name == "to" else ", or 1920x, or x1080"
            raise ValueError(f"{text!r} is not a size; write WIDTHxHEIGHT, as 1920x1080{more}")
        return tidy

    @field_validator("sampler")
    @classmethod
    def _is_known(cls, sampler: str | None) -> str | None:
        if sampler is not None and sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler of that name; there is {', '.join(SAMPLERS)}")
        return sampler


COMMON = ("quality", "seed", "samples", "steps", "sampler", "format", "output_quality", "metadata")
"""Options of every task."""


class Option(_Shape):
    """An option of a task, as a form shows it."""

    name: str
    type: Literal["integer", "number", "boolean", "choice", "text"]
    default: Any
    says: str
    choices: list[str] | None = None
    minimum: float | None = None
    maximum: float | None = None


class TaskInfo(_Shape):
    """What can be done to a picture.  command: what is typed after `sr3`.  needs: "mask" where one must come."""

    name: str
    says: str
    command: str
    needs: list[str]
    takes: list[str]
    """What may come beside the picture: "mask"."""
    options: list[Option]
    models: list[str]


class ModelInfo(_Shape):
    """A model that this server has.  factor: how many times it enlarges; null where it does not."""

    name: str
    task: str
    qualities: list[str]
    default: bool
    says: str
    terms: str
    factor: int | None
    varies: bool
    """Whether several samples differ."""
    sides: tuple[int, int] | None
    """The smallest and the largest side of a picture that it is for."""


class ProblemShape(BaseModel):
    """RFC 9457.  detail: one sentence, the command line's where it has one."""

    type: str
    title: str
    status: int
    detail: str


class Progress(_Shape):
    """Steps; seconds_left: as the steps so far took, null before the second."""

    done: int = 0
    total: int = 0
    seconds_left: float | None = None


class Links(_Shape):
    """Addresses of what a job has; null where it is not there (yet)."""

    self: str
    events: str
    picture: str
    thumbnail: str
    preview: str | None = None
    result: str | None = None
    result_thumbnail: str | None = None
    samples: list[str] | None = None
    mean: str | None = None
    spread: str | None = None


class Job(_Shape):
    """A job as it is sent.  Times are seconds since 1970.  position: how many jobs are before a queued one."""

    id: str
    state: State
    task: str
    model: str
    options: Options
    name: str
    size: tuple[int, int]
    result_size: tuple[int, int] | None
    created: float
    started: float | None
    finished: float | None
    progress: Progress
    position: int | None
    error: ProblemShape | None
    links: Links


class Models(_Shape):
    """GET /v1/models."""

    models: list[ModelInfo]


class Tasks(_Shape):
    """GET /v1/tasks."""

    tasks: list[TaskInfo]


class Jobs(_Shape):
    """GET /v1/jobs: the newest first.  hours: that one is kept when it has ended."""

    jobs: list[Job]
    hours: float


class Health(_Shape):
    """GET /healthz."""

    status: Literal["ok"]
    version: str
    queued: int
    running: int


class Enlarge(BaseModel):
    """POST /sdapi/v1/extra-single-image: what programs of the Stable Diffusion web UI's interface send.

    Members that this server has no use for are left unread.
    """

    image: str = Field(description="A picture file in base64, with or without data:…;base64, before it.")
    resize_mode: Literal[0, 1] = 0
    upscaling_resize: float = Field(4, ge=1, le=64)
    upscaling_resize_w: int | None = Field(None, ge=1, le=999_999)
    upscaling_resize_h: int | None = Field(None, ge=1, le=999_999)
    upscaler_1: str = "None"


class Enlarged(_Shape):
    """Its answer."""

    html_info: str
    image: str
