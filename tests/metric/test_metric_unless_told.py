"""What `sr3.metric` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "metric.accuracy:Accuracy": {"higher_is_better": True, "shares": True},
    "metric.base:Means.intervals": {"shares": False},
    "metric.base:PerPicture": {"shares": False},
    "metric.colourfulness:Colourfulness": {"higher_is_better": False},
    "metric.consistency:Consistency": {"higher_is_better": False},
    "metric.extra": {"ENOUGH": 2048},
    "metric.extra:extra": {"pictures": 2048, "factor": 4},
    "metric.features:Remembered": {"size": 2},
    "metric.features:FeatureDistance": {"higher_is_better": False},
    "metric.grid": {"PERIODS": 8, "NEAR": 2, "FAR": 3},
    "metric.grid:Grid": {"higher_is_better": False},
    "metric.identity:Identity": {"higher_is_better": True},
    "metric.inception": {"FEATURES": 2048},
    "metric.inception:inception_score": {"parts": 1},
    "metric.join:Join": {"higher_is_better": False},
    "metric.lite": {"TILE": 4, "LITTLE": 1e-08},
    "metric.lpips:LPIPS": {"higher_is_better": False},
    "metric.psnr": {"MOST": 100.0},
    "metric.psnr:psnr": {"border": 0},
    "metric.psnr:psnr_y": {"border": 0},
    "metric.psnr:PSNR": {"border": 0, "higher_is_better": True},
    "metric.ssim": {"SIDE": 11, "SIGMA": 1.5, "K1": 0.01, "K2": 0.03},
    "metric.ssim:ssim": {"border": 0},
    "metric.ssim:ssim_y": {"border": 0},
    "metric.ssim:SSIM": {"border": 0, "higher_is_better": True},
    "metric.stats": {"GROUPS": 20},
    "metric.stats:interval": {"draws": 2000, "level": 0.95},
    "metric.stats:wilson": {"z": 1.959963984540054},
    "metric.stats:paired": {"draws": 2000, "level": 0.95},
    "metric.stats:sign_flip": {"draws": 10000},
    "metric.stats:ratio": {"draws": 2000, "level": 0.95},
    "metric.swd": {"SIDE": 7, "SOME": 32, "MANY": 32},
    "metric.swd:pyramid": {"smallest": 16},
    "metric.swd:SWD": {"patches": 1024, "projections": 128, "seed": 0, "higher_is_better": False},
    "metric.tint:Tint": {"higher_is_better": False},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
