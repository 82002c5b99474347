"""What `sr3.diffusion` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "diffusion.denoiser": {"TERMINAL_ALPHA_BAR": 0.001},
    "diffusion.denoiser:Denoiser": {"residual": False, "pasted": False},
    "diffusion.denoiser:Regressor": {"scale": 1.0, "residual": True},
    "diffusion.denoiser:start": {"spread": 1.0},
    "diffusion.exact:Gaussian": {"mean": 0.0, "std": 1.0},
    "diffusion.langevin:langevin": {"updates": 10, "step": 0.2},
    "diffusion.langevin:mala": {"updates": 10, "step": 0.2, "inside": 1},
    "diffusion.langevin:annealed": {"updates": 5, "denoised": True},
    "diffusion.langevin:predictor_corrector": {"updates": 1, "snr": 0.16},
    "diffusion.likelihood:log_likelihood": {"probes": 1, "mean": 0.0, "spread": 0.0},
    "diffusion.likelihood:bits_per_dim": {"width": 0.00784313725490196},
    "diffusion.objective": {"EARLIEST": 1e-05},
    "diffusion.objective:Denoising": {"gamma": 5.0, "dream": 0.0},
    "diffusion.path": {"LOWEST": 0.002},
    "diffusion.path:even_t": {"end_clean": True},
    "diffusion.path:even_logsnr": {"end_clean": True},
    "diffusion.path:karras": {"end_clean": True, "rho": 7.0},
    "diffusion.path:walk": {"end_clean": True},
    "diffusion.path:_path": {"cut": False},
    "diffusion.predict:EDM": {"sigma_data": 0.5},
    "diffusion.sample:ancestral": {"spread": 1.0},
    "diffusion.sample:ddim": {"eta": 0.0},
    "diffusion.sample:heun": {"churn": 0.0, "churn_low": 0.0, "churn_high": float("inf"), "churn_noise": 1.0},
    "diffusion.sample:dpmpp": {"order": 2, "eta": 0.0},
    "diffusion.schedule:LinearBeta": {"start": 1e-06, "stop": 0.01, "steps": 2000},
    "diffusion.schedule:Betas": {"values": (0.0001, 0.001, 0.01, 0.1, 0.99)},
    "diffusion.schedule:Cosine": {"high": 15.0, "low": -15.0, "shift": 0.0},
    "diffusion.schedule:Geometric": {"sigma_min": 0.01, "sigma_max": 50.0},
    "diffusion.schedule:Karras": {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0},
    "diffusion.schedule:LogNormal": {"mean": -1.2, "std": 1.2, "sigma_min": 0.002, "sigma_max": 80.0},
    "diffusion.score_matching:_Levels": {"needs_double_backward": False},
    "diffusion.score_matching:ImplicitScore": {"probes": 1, "needs_double_backward": True},
    "diffusion.score_matching:SlicedScore": {"reduced": True, "probes": 1, "needs_double_backward": True},
    "diffusion.wrap:clipped": {"low": -1.0, "high": 1.0},
    "diffusion.wrap:tiled": {"stride": 1, "blend": 0},
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}
