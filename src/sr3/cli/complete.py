"""What a shell completes after an option, without anything heavy being loaded."""

from importlib.resources import files

DEVICES = ("auto", "cpu", "cuda", "mps")


def models(incomplete: str) -> list[str]:
    """Names of models that begin so: those that come with the package."""
    found = (files("sr3.model") / "weights").iterdir()
    names = sorted(p.name.removesuffix(".safetensors") for p in found if p.name.endswith(".safetensors"))
    return [name for name in names if name.startswith(incomplete)]


def devices(incomplete: str) -> list[str]:
    """Names of devices that begin so."""
    return [name for name in DEVICES if name.startswith(incomplete)]
