"""Configuration: plain tables of names, read strictly.  A misspelt key is an error that names its neighbours."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic_core import PydanticCustomError

_T = TypeVar("_T", bound=BaseModel)

Spec = dict[str, Any]
"""{"kind": a name from a table, **its options}."""


class ConfigError(ValueError):
    """A configuration that cannot be used, in one sentence."""


def nearest(word: str, known: list[str]) -> str:
    """'; did you mean X?' where a known word is close, else what is known."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there is {', '.join(sorted(known)) or 'nothing to set'}"


def cut(value: Any) -> str:
    """A value as it can stand in a sentence: in one line, and not too long."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # a number of thousands of digits, or a table deep in tables
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


LARGEST = 2**20
"""No number of channels, steps or pixels of a model is larger."""


def too_large(raw: Any) -> str:
    """What is wrong with a model's configuration in which a number is larger than any size; "" where none is."""
    left = [raw]  # a table may be deeper than Python's calls
    while left:
        value = left.pop()
        if isinstance(value, int) and abs(value) > LARGEST:
            return f"{cut(value)} in its configuration is more than any size can be"
        if isinstance(value, dict | list):
            left.extend(value.values() if isinstance(value, dict) else value)
    return ""


def file_name(name: str) -> str:
    """A name with _ for what would lead into another folder, or is not shown."""
    return "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)


def _sentence(what: str, error: ValidationError) -> str:
    """Pydantic's first complaint as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    count = len(error.errors())
    more = f" (and {count - 1} more)" if count > 1 else ""
    own = first.get("ctx", {}).get("error")  # a validator of ours, whose words stay as they are
    if first["type"] == "value_error" and own is not None:
        return f"{what}: {where or 'the whole'}: {own}{more}"
    return f"{what}: {where or 'the whole'}: {first['msg'].lower()}, got {cut(first.get('input'))}{more}"


def build(what: str, table: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any], **fixed: Any) -> Any:
    """Make the thing that a spec names: `table[spec["kind"]](**options, **fixed)`, options checked by type and name."""
    return _made(what, table, spec, fixed)


def check(what: str, table: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any], **fixed: Any) -> Spec:
    """The options that a spec gives, checked like `build` but nothing made."""
    _, options = _options(what, table, spec, fixed)
    return options


def _made(what: str, table: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any], fixed: Spec) -> Any:
    maker, options = _options(what, table, spec, fixed)
    try:
        return maker(**options, **fixed)
    except (ValueError, TypeError, ZeroDivisionError, RuntimeError) as error:
        raise ConfigError(f"{what} {spec['kind']}: {error}") from error


def _options(
    what: str, table: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any], fixed: Spec
) -> tuple[Callable[..., Any], Spec]:
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in table:
        raise ConfigError(f"there is no {what} {kind!r}{nearest(str(kind), list(table))}")
    maker: Callable[..., Any] = table[kind]
    given = {key: value for key, value in spec.items() if key != "kind"}
    known, model = _checker(kind, maker, frozenset(fixed))
    for key in given:
        if key not in known:
            raise ConfigError(f"{what} {kind} has no {key!r}{nearest(key, list(known))}")
    try:
        checked = model(**given)
    except ValidationError as error:
        raise ConfigError(_sentence(f"{what} {kind}", error)) from error
    return maker, {key: getattr(checked, key) for key in given}


@lru_cache(maxsize=256)
def _checker(kind: str, maker: Callable[..., Any], fixed: frozenset[str]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The names of the options of a maker and what checks them, which takes longer to build than most models."""
    parameters = inspect.signature(maker).parameters
    plain = is_dataclass(maker) or inspect.isfunction(maker)
    hints = get_type_hints(maker if plain else getattr(maker, "__init__"))  # noqa: B009
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), p.default)
        for name, p in parameters.items()
        if p.default is not inspect.Parameter.empty and name not in fixed and name != "noise"
    }
    return tuple(fields), create_model(kind, __config__=ConfigDict(arbitrary_types_allowed=True), **fields)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(_Strict):
    """How a model is sampled when nothing else is asked for."""

    sampler: Spec = Field(default_factory=lambda: {"kind": "dpmpp"})
    steps: int = Field(16, ge=1, le=10_000)
    spacing: str = "logsnr"
    noisiest: float | None = Field(None, gt=0)
    """sigma / alpha where the walk starts; None: the schedule's end."""
    cleanest: float | None = Field(None, gt=0)
    """sigma / alpha of the last level before the clean picture; None: the schedule's beginning."""
    schedule: Spec | None = None
    """What is walked along, where that is not the schedule of training: Palette's has fewer steps and more noise."""


QUALITIES = ("fast", "balanced", "best")
"""What a person may ask for instead of samplers and steps; a tuned model knows what each means for it."""


class ModelConfig(_Strict):
    """Everything needed to build and use a model; written into its file."""

    name: str = Field(min_length=1)
    kind: Literal["diffusion", "regression"] = "diffusion"
    network: Spec
    prediction: Spec = Field(default_factory=lambda: {"kind": "eps"})
    tell: str = "alpha"
    residual: bool = False
    pasted: bool = False
    """Whether the known pixels around a hole are shown to the network as they are, and not noisy as the hole is."""
    first: "ModelConfig | str | None" = None
    """A regression model whose answer is the first guess that a residual model corrects; None: the enlargement.  In a
    recipe its name or file; in a model's file its configuration, as its weights are in the same file."""
    task: Spec = Field(default_factory=lambda: {"kind": "super-resolution", "factor": 4})
    schedule: Spec = Field(default_factory=lambda: {"kind": "linear-beta"})
    sampling: Sampling = Field(default_factory=lambda: Sampling())  # pyright: ignore[reportCallIssue]
    quality: dict[Literal["fast", "balanced", "best"], Sampling] = Field(default_factory=dict)
    """Found by `sr3 tune`; empty where the model has not been tuned."""
    sides: tuple[int, int] | None = None
    """The smallest and largest side, in pixels, of a picture that the model is for; None: any."""

    @field_validator("name")
    @classmethod
    def _names_no_folder(cls, name: str) -> str:
        if name != file_name(name):
            raise PydanticCustomError(
                "name", "a name becomes that of files and can have neither / nor \\ nor characters that are not shown"
            )
        return name


class Training(_Strict):
    """How a model is trained.  Everything that passes is counted in pictures seen, never in steps."""

    objective: Spec = Field(default_factory=lambda: {"kind": "denoising"})
    pictures: int = Field(1_000_000, ge=1)
    batch: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1)
    """Parts that the batch is cut into, to save memory."""
    crop: int = Field(128, ge=1)
    turn: bool = True
    """Turn crops upside down and by quarters too, not only left and right."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """The square cut from a picture is this many times as large as `crop`, and is resampled to it; see `data.Crops`."""
    colour: float = Field(0.0, ge=0, le=2)
    """How far the light of crops differs from their pictures'; see `data.Crops`."""
    resample: Literal["lanczos", "bicubic"] = "lanczos"
    """The kernel by which crops are resampled."""
    optimiser: Literal["adam", "muon"] = "adam"
    """adam: Adam, with decoupled weight decay.  muon: Muon for matrices and convolutions and Adam for the rest."""
    rate: float = Field(1e-4, gt=0)
    decay: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(10_000, ge=0)
    """Pictures over which the rate rises from 0."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    average: int = Field(100_000, ge=0)
    """Half-life of the weights' moving average, in pictures; 0: no average."""
    keep: Literal["last", "psnr"] = "last"
    """Which averaged weights a run ends with: the last, or those that measured best on --val, as SR3's regressions."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the hardware computes in it, else fp32, as bf16 is slower than that where it is emulated.  bf16
    needs no loss scaling and does not overflow; fp16 is not offered because it does."""
    compile: bool = False
    seed: int = 0
    begin: str | None = None
    """A model (name or file) whose weights to begin from."""
    save_every: int = Field(10_000, ge=1)
    report_every: int = Field(500, ge=1)
    sample_every: int = Field(50_000, ge=1)


class Recipe(_Strict):
    """A model and how it is trained."""

    model: ModelConfig
    training: Training = Field(default_factory=lambda: Training())  # pyright: ignore[reportCallIssue]


def parse(what: str, model: type[_T], raw: Any) -> _T:
    """`raw` as a checked model; ConfigError names the first thing wrong, and the neighbours of an unknown key."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            *path, key = (str(part) for part in first["loc"])
            known = _fields_at(model, path)
            where = ".".join(path) or what
            raise ConfigError(f"{what}: {where} has no {key!r}{nearest(key, known)}") from error
        raise ConfigError(_sentence(what, error)) from error


def _fields_at(model: Any, path: Sequence[str]) -> list[str]:
    """The names that a table may have which stands at `path` of one of these models."""
    for part in path:
        found = getattr(model, "model_fields", {}).get(part)
        if found is not None:  # else the name of a branch of a union, or a key of a plain table
            kinds = (found.annotation, *get_args(found.annotation))
            model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return list(getattr(model, "model_fields", {}))
