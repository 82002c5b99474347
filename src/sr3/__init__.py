"""sr3: enlarge and restore pictures by iterative refinement.

Importing this package is cheap: PyTorch is loaded when a name that needs it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Restorer": "sr3.restore.restorer",
    "Denoiser": "sr3.diffusion.denoiser",
    "Level": "sr3.diffusion.level",
}

__all__ = ["Denoiser", "Level", "Restorer", "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from sr3.diffusion.denoiser import Denoiser
    from sr3.diffusion.level import Level
    from sr3.restore.restorer import Restorer


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"sr3 has no {name}; it has {', '.join(sorted(_HOME))}")


def __dir__() -> list[str]:
    return sorted(__all__)
