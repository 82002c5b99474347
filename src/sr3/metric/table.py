"""What each measure is called, its unit, and which way is better: for tables, plots and comparisons."""

from typing import Literal, NamedTuple

Better = Literal["higher", "lower", "one", "neither"]
"""Which values are better; "one": those near 1; "neither": the measure does not say."""


class Measure(NamedTuple):
    """How a measure is shown.  form: as `format` takes it; unit: empty where it has none."""

    title: str
    form: str
    better: Better
    unit: str = ""


MEASURES = {
    "psnr": Measure("PSNR", ".2f", "higher", "dB"),
    "psnr_y": Measure("Y-PSNR", ".2f", "higher", "dB"),
    "ssim": Measure("SSIM", ".4f", "higher"),
    "ssim_y": Measure("Y-SSIM", ".4f", "higher"),
    "consistency": Measure("consistency", ".3f", "lower", "×1e-5"),
    "consistency_free": Measure("consistency, free", ".2f", "lower", "×1e-5"),
    "swd": Measure("SWD", ".2f", "lower", "×1e-3"),
    "tint": Measure("tint", ".3f", "lower", "of 255"),
    "colourfulness": Measure("colourfulness", ".2f", "neither", "of 255"),
    "colourfulness_share": Measure("share of colour", ".3f", "one"),
    "join": Measure("join", ".3f", "one"),
    "grid": Measure("grid", ".2f", "lower", "dB"),
    "lpips": Measure("LPIPS", ".4f", "lower"),
    "feature": Measure("feature", ".4f", "lower"),
    "fid": Measure("FID", ".2f", "lower"),
    "kid": Measure("KID", ".5f", "lower"),
    "is": Measure("IS", ".2f", "higher"),
    "frechet": Measure("Fréchet", ".4g", "lower"),
    "kernel": Measure("kernel", ".4g", "lower"),
    "accuracy": Measure("top-1", ".3f", "higher"),
    "accuracy_5": Measure("top-5", ".3f", "higher"),
    "agreement": Measure("agreement", ".3f", "higher"),
    "agreement_5": Measure("agreement, top-5", ".3f", "higher"),
    "identity": Measure("identity", ".3f", "higher"),
    "spread": Measure("spread", ".2f", "neither", "of 255"),
    "pairwise": Measure("pairwise", ".2f", "neither", "of 255"),
    "pairwise_lpips": Measure("pairwise LPIPS", ".4f", "neither"),
    "calibration": Measure("calibration", ".3f", "one"),
    "seconds": Measure("seconds", ".2f", "lower", "s/picture"),
}
"""By the names that rows have; in the order in which they are shown."""

DISTRIBUTION = ("swd", "fid", "kid", "frechet", "kernel")
"""Distances between the set of results and the set of originals: what perception is measured by."""

LEVEL = "swd_"


def measure(name: str) -> Measure:
    """How a measure is shown; one that is not known goes by its own name, and does not say what is better."""
    if name in MEASURES:
        return MEASURES[name]
    if name.startswith(LEVEL):
        which = name.removeprefix(LEVEL)
        return MEASURES["swd"]._replace(title=f"SWD, {'remainder' if which == 'low' else f'level {which}'}")
    return Measure(name, ".4g", "neither")


def ordered(names: set[str]) -> list[str]:
    """Names in the order of `MEASURES`; then levels of the distance, then those that are not known."""
    known = list(MEASURES)
    return sorted(names, key=lambda n: (known.index(n) if n in MEASURES else len(known), not n.startswith(LEVEL), n))


def worth(name: str, value: float) -> float | None:
    """A number that is larger where the value is better; None where the measure does not say."""
    match measure(name).better:
        case "higher":
            return value
        case "lower":
            return -value
        case "one":
            return -abs(value - 1)
        case "neither":
            return None
