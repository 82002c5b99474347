"""FID, KID and IS: the Inception network of `torch-fidelity`, whose weights it downloads at first use."""

import importlib

import torch
from torch import Tensor, nn

from sr3.metric.features import BySize, Distance, Features, MissingError, frechet, kernel

FEATURES = 2048
"""The first so many of `inception`'s numbers are the pooled features, the rest the 1008 logits without bias."""


def inception(device: torch.device | str = "cpu", weights: str | None = None) -> Features:
    """The network of FID (Heusel et al. 2017), pictures [B, 3, H, W] in [0, 1] -> [B, 2048 + 1008].

    weights: a file of its weights; without one torch-fidelity downloads 91 MB at first use and says so on stderr.
    Needs the packages torch-fidelity and torchvision.  MissingError where these or the weights are not to be had.
    """
    try:
        extractor = importlib.import_module("torch_fidelity").FeatureExtractorInceptionV3
    except Exception as error:  # packages that do not fit one another fail in many ways
        raise MissingError(
            "FID, KID and IS need the packages torch-fidelity and torchvision (the extra `metrics`): "
            + " ".join(str(error).split())
        ) from error
    try:
        net: nn.Module = extractor(
            "inception-v3-compat", [str(FEATURES), "logits_unbiased"], feature_extractor_weights_path=weights
        )
    except Exception as error:
        raise MissingError(
            f"the weights that FID, KID and IS need could not be had: {' '.join(str(error).split())}"
        ) from error
    net.eval().requires_grad_(False).to(device)

    def features(pictures: Tensor) -> Tensor:
        found: tuple[Tensor, ...] = net((pictures.to(device) * 255).round().to(torch.uint8))
        return torch.cat(found, dim=1)

    return features


def inception_score(made: Tensor, target: Tensor | None = None, parts: int = 1) -> float:
    """exp(mean KL(p(y | x) || p(y))) of the logits of the pictures made [N, K]; Salimans et al. (2016), section 4.

    parts: the score is the mean over so many parts of the set.  Of few pictures it comes out too low: p(y) is then
    sharper than it is.  target is not looked at; it is there because distances are of two sets.
    """
    scores: list[float] = []
    for part in made.double().chunk(parts):
        log = part.log_softmax(1)
        mean = log.exp().mean(0, keepdim=True).log()
        scores.append((log.exp() * (log - mean)).sum(1).mean().exp().item())
    return sum(scores) / len(scores)


INCEPTION: dict[str, Distance] = {
    "fid": lambda a, b, of: frechet(a[:, :FEATURES], b[:, :FEATURES]),
    "kid": lambda a, b, of: kernel(a[:, :FEATURES], b[:, :FEATURES]),
    # ten parts, as published, need 50 000 pictures; a part of a few says nothing
    "is": BySize(lambda count: lambda a, b, of: inception_score(a[:, FEATURES:], parts=10 if count >= 5000 else 1)),
}
"""For `sr3.metric.features.FeatureDistance` over `inception`."""
