"""Distances over features, accuracy and diversity: against torchmetrics, SciPy, formulas and synthetic samples."""

import itertools
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from sr3.metric import features
from sr3.metric.accuracy import Accuracy, read_labels
from sr3.metric.diversity import Diversity, apart, pairwise
from sr3.metric.extra import extra
from sr3.metric.features import (
    DISTANCES,
    BySize,
    FeatureDistance,
    MissingError,
    Remembered,
    frechet,
    kernel,
    kernel_of_pairs,
    kernels_left_out,
    named,
)
from sr3.metric.inception import FEATURES, INCEPTION, inception, inception_score
from sr3.metric.stats import GROUPS


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("count", "size"), [(200, 8), (12, 30)])
def test_frechet_is_the_formula_with_scipys_root(count, size):
    a, b = normal(count, size), 0.3 + normal(count, size, seed=1) @ normal(size, size, seed=2) / size**0.5
    A, B = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    # SciPy's root of a singular matrix is inexact: a little on the diagonal, as everybody adds
    little = 1e-10 * np.eye(size)
    root = sqrtm((A + little) @ (B + little)).real
    want = (a.mean(0) - b.mean(0)).square().sum().item() + np.trace(A + B - 2 * root)
    assert frechet(a, b) == pytest.approx(want, rel=1e-4)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_of_gaussians_is_known():
    """N(0, diag(1, 4)) and N((1, 2), diag(9, 1)): 1 + 4 + (3 - 1)^2 + (1 - 2)^2 = 10."""
    a = normal(200_000, 2) * torch.tensor([1.0, 2.0])
    b = normal(200_000, 2, seed=1) * torch.tensor([3.0, 1.0]) + torch.tensor([1.0, 2.0])
    assert frechet(a, b) == pytest.approx(10, rel=0.01)


def test_frechet_and_kernel_are_torchmetrics():
    pytest.importorskip("torchmetrics", reason="the extra `metrics` is not installed")
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    a, b = normal(60, 10), 1 + 2 * normal(60, 10, seed=1)
    moments = [m for x in (a, b) for m in (x.mean(0), torch.cov(x.T))]
    assert frechet(a, b) == pytest.approx(_compute_fid(*moments).item(), rel=1e-6)
    assert kernel(a, b) == pytest.approx(poly_mmd(a, b).item(), rel=1e-9)


def test_inception_score_is_torchmetrics():
    pytest.importorskip("torchmetrics", reason="the extra `metrics` is not installed")
    from torchmetrics.image.inception import InceptionScore

    class Same(torch.nn.Module):
        def forward(self, x):
            return x

    logits = 2 * normal(50, 7)
    with pytest.warns(UserWarning, match="buffer"):
        reference = InceptionScore(feature=Same(), splits=2)
    reference.update(logits)
    torch.manual_seed(0)
    want = reference.compute()[0].item()
    torch.manual_seed(0)  # it shuffles before it divides
    assert inception_score(logits[torch.randperm(50)], parts=2) == pytest.approx(want, rel=1e-5)
    # sure answers, all classes equally often: as many as there are classes; the same answer always: 1
    assert inception_score(100 * torch.eye(7).repeat(3, 1)) == pytest.approx(7)
    assert inception_score(logits[:1].repeat(9, 1)) == pytest.approx(1)


def test_kernel_is_the_sum_over_pairs_of_different_pictures():
    a, b = normal(5, 3), normal(7, 3, seed=1) + 0.5

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    def within(x):
        return sum(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) / (len(x) * (len(x) - 1))

    between = sum(k(x, y) for x in a for y in b) / 35
    assert kernel(a, b) == pytest.approx(within(a) + within(b) - 2 * between, rel=1e-9)


def test_kernel_is_unbiased_for_few_pictures():
    found = torch.tensor([kernel(normal(4, 3, seed=2 * i), normal(4, 3, seed=2 * i + 1)) for i in range(3000)])
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean()) < 4 * error
    # the biased estimator, with each picture's kernel with itself, is far outside what this test lets pass
    assert 20 * error < 3 / 4 * (1 + 1) ** 3


def test_kernel_of_pairs_is_unbiased_for_results_that_resemble_their_originals():
    """Pairs that correlate by 0.9, each alone standard normal: the distributions are equal, and the truth is 0."""
    pairs, all_terms = [], []
    for i in range(2000):
        a, more = normal(5, 3, seed=2 * i), normal(5, 3, seed=2 * i + 1)
        b = 0.9 * a + math.sqrt(1 - 0.9**2) * more
        pairs.append(kernel_of_pairs(a, b))
        all_terms.append(kernel(a, b))
    found, biased = torch.tensor(pairs), torch.tensor(all_terms)
    assert abs(found.mean()) < 4 * found.std() / len(found) ** 0.5
    assert biased.mean() < -4 * biased.std() / len(biased) ** 0.5
    assert kernel_of_pairs(a, a) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="not pairs"):
        kernel_of_pairs(a, a[:3])


def test_kernel_of_pairs_is_unbiased_where_pictures_have_several_rows():
    """Rows of one picture resemble each other: the two sets are still drawn alike, and the truth is 0."""
    found, all_rows = [], []
    of = torch.arange(6).repeat_interleave(torch.tensor([1, 4, 2, 4, 3, 4]))
    for i in range(2000):
        a, b = ((normal(6, 3, seed=4 * i + k)[of] + 0.3 * normal(len(of), 3, seed=4 * i + k + 1)) for k in (0, 2))
        found.append(kernel_of_pairs(a, b, of))
        all_rows.append(kernel_of_pairs(a, b))
    found, biased = torch.tensor(found), torch.tensor(all_rows)
    assert abs(found.mean()) < 4 * found.std() / len(found) ** 0.5
    assert biased.mean() > 4 * biased.std() / len(biased) ** 0.5


def test_the_kernel_without_a_group_is_that_of_the_others(monkeypatch):
    of, turn = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4]), torch.tensor([0, 0, 1, 2, 2, 2, 0, 1])
    a, b = normal(8, 5, seed=1), normal(8, 5, seed=2)
    for at_once in (2**23, 8, 1):  # by parts as in one piece
        monkeypatch.setattr(features, "_AT_ONCE", at_once)
        left = kernels_left_out(a, b, of, turn, 3)
        assert left == pytest.approx([kernel_of_pairs(a[turn != g], b[turn != g], of[turn != g]) for g in range(3)])
        k = [[0.0] * 8 for _ in range(8)]
        for i, j in itertools.product(range(8), repeat=2):
            xy = ((x @ y / 5 + 1) ** 3 for x, y in ((a[i], a[j]), (b[i], b[j]), (a[i], b[j])))
            k[i][j] = sum(sign * float(value) for sign, value in zip((1, 1, -2), xy, strict=True))
        pairs = [k[i][j] for i, j in itertools.product(range(8), repeat=2) if of[i] != of[j]]
        assert kernel_of_pairs(a, b, of) == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)
    assert math.isnan(kernel_of_pairs(a[:2], b[:2], of[:2]))


class Pixels(torch.nn.Module):
    """A feature network that one can see through, and that counts what it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, x):
        self.asked += len(x)
        return x.flatten(1)


def test_feature_distance_has_an_interval_and_merges():
    made, target = torch.rand(24, 3, 4, 4) * 0.9, torch.rand(24, 3, 4, 4)
    network = Pixels()
    whole, first, second = (FeatureDistance(Remembered(network), DISTANCES) for _ in range(3))
    whole.update(made, target, target)
    first.update(made[:10], target[:10], target)
    second.update(made[10:], target[10:], target)
    first.merge(second)
    want = {
        "frechet": frechet(made.flatten(1), target.flatten(1)),
        "kernel": kernel_of_pairs(made.flatten(1), target.flatten(1)),
    }
    for metric in (whole, first):
        assert metric.compute() == pytest.approx(want)
    ends = whole.intervals(0)
    assert all(ends[name][0] < want[name] < ends[name][1] for name in want)
    assert first.intervals(0)["kernel"] == pytest.approx(ends["kernel"])
    assert whole.each() == {}


def test_originals_are_looked_at_once():
    network, original = Pixels(), torch.rand(3, 3, 4, 4)
    shared = Remembered(network)
    for _ in range(4):
        FeatureDistance(shared, DISTANCES).update(torch.rand(3, 3, 4, 4), original, original)
    assert network.asked == 4 * 3 + 3


def test_jackknife_intervals_of_the_kernel_hold_the_truth():
    """Equal distributions: the truth is 0, and 95 % of the intervals hold it."""
    held = 0
    for i in range(150):
        metric = FeatureDistance(lambda x: x, {"kernel": lambda made, target, of: kernel(made, target)})
        metric.update(normal(40, 3, seed=2 * i), normal(40, 3, seed=2 * i + 1), torch.empty(0))
        low, high = metric.intervals(0)["kernel"]
        held += low <= 0 <= high
    assert held >= 0.85 * 150


def test_named_reads_modules_and_files(tmp_path, monkeypatch):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.mean((2, 3))\n"
    )
    found = named(f"{file}:Net")
    assert not found.training
    assert found(torch.ones(2, 3, 4, 4)).shape == (2, 3)
    monkeypatch.syspath_prepend(tmp_path)
    assert named("mine:Net")(torch.ones(1, 3, 2, 2)).sum() == 3
    sys.modules.pop("mine")
    (tmp_path / "bad.py").write_text("1 / 0")
    for spec, sentence in {
        "mine": "names no function",
        f"{tmp_path}/none.py:f": "there is no file",
        f"{file}:other": "no function called other",
        f"{tmp_path}/bad.py:f": "ZeroDivisionError",
        "no_such_module:f": "ModuleNotFoundError",
    }.items():
        with pytest.raises(MissingError, match=sentence):
            named(spec)


@pytest.mark.parametrize(
    "features", [lambda x: x, lambda x: x.flatten(1)[:1], lambda x: x.flatten(1) / 0, lambda x: x.nothing]
)
def test_features_that_do_not_work_are_said_so(features):
    with pytest.raises(MissingError, match="features"):
        FeatureDistance(features, DISTANCES).update(*[torch.rand(2, 3, 4, 4)] * 3)


def test_features_may_be_numpy():
    metric = FeatureDistance(lambda x: x.mean((2, 3)).numpy(), DISTANCES)
    metric.update(torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4), torch.empty(0))
    assert math.isfinite(metric.compute()["frechet"])


def test_what_is_not_to_be_had_is_a_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it now fails
    found = extra(("lpips", *INCEPTION))
    assert found.make() == []
    assert found.lpips is None
    assert [note for note in found.notes if "lpips is left out" in note and "LPIPS needs" in note]
    assert [note for note in found.notes if "fid, kid, is left out" in note]


class Extractor(torch.nn.Module):
    """Stands in for `torch_fidelity.FeatureExtractorInceptionV3`: the same call, and pixels for features."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        super().__init__()
        if feature_extractor_weights_path == "nowhere.pth":
            raise OSError("no  such\nfile")
        assert (name, features_list) == ("inception-v3-compat", ["2048", "logits_unbiased"])
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        assert x.dtype == torch.uint8
        assert not self.training
        flat = x.flatten(1).float() * self.scale
        return flat[:, :2], flat[:, 2:]


def test_inception_sees_bytes_and_gives_features_then_logits(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(FeatureExtractorInceptionV3=Extractor))
    found = inception()(torch.tensor([0.0, 0.5, 0.501, 1.0]).reshape(1, 1, 2, 2))
    # 0.5 is half way between two bytes, and goes to the even one
    assert found.tolist() == [[0, 128, 128, 255]]
    assert not found.requires_grad
    with pytest.raises(MissingError, match="weights that FID, KID and IS need could not be had: no such file"):
        inception(weights="nowhere.pth")


def test_without_its_package_inception_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingError, match=r"need the packages torch-fidelity and torchvision \(the extra `metrics`\)"):
        inception()


def test_fid_and_kid_take_the_features_and_is_the_logits():
    a, b = normal(6, FEATURES + 1008), normal(6, FEATURES + 1008, seed=1)
    assert INCEPTION["fid"](a, b, None) == frechet(a[:, :2048], b[:, :2048])
    assert INCEPTION["kid"](a, b, None) == kernel(a[:, :2048], b[:, :2048])
    assert INCEPTION["is"](a, b, None) == inception_score(a[:, 2048:])


def test_the_parts_of_a_score_are_those_of_the_whole_set():
    """Of 5000 pictures the score is the mean of ten parts'; without a group they are 4750, and were one part."""
    parts = []

    def score(count):
        def one(made, target, of):
            parts.append((10 if count >= 40 else 1, len(made)))
            return made.mean().item()

        return one

    metric = FeatureDistance(lambda x: x.flatten(1), {"is": BySize(score)})
    x = torch.rand(40, 3, 1, 1)
    metric.update(x, x, x)
    assert "is" in metric.intervals(0)
    assert sorted(parts) == [(10, 38)] * GROUPS + [(10, 40)]
    assert metric.compute()["is"] == pytest.approx(x.double().mean().item())
    assert isinstance(INCEPTION["is"], BySize)
    logits = torch.zeros(5000, FEATURES + 2)
    logits[:, FEATURES] = torch.linspace(-3, 3, 5000)
    ten, one = (inception_score(logits[:, FEATURES:], parts=count) for count in (10, 1))
    assert INCEPTION["is"].of(5000)(logits[:4999], logits, None) == pytest.approx(ten, rel=1e-3)
    assert INCEPTION["is"].of(4999)(logits, logits, None) == pytest.approx(one) != pytest.approx(ten, rel=1e-2)


def test_accuracy_counts(tmp_path):
    """A "classifier" that reads its logits from the pixels of the first row."""
    order = torch.tensor([[7, 1, 2, 3, 4, 5, 6, 0.0], [0, 1, 2, 3, 4, 5, 6, 7]])
    made, original = (torch.zeros(2, 3, 1, 8) for _ in range(2))
    made[:, 0, 0], original[:, 0, 0] = order, order.flip(0)
    original[1, 0, 0] = order[1]
    file = tmp_path / "labels.csv"
    file.write_text("name,class\nb.png,3\na.png,0\n")
    metric = Accuracy(lambda x: x[:, 0, 0], read_labels(file, ["a.png", "b.png"]))
    for i in range(2):
        metric.update(made[i : i + 1], original[i : i + 1], original)
    assert metric.each() == {"agreement": [0, 1], "accuracy": [1, 0], "accuracy_5": [1, 1]}
    assert metric.compute() == {"agreement": 0.5, "accuracy": 0.5, "accuracy_5": 1}
    with pytest.raises(MissingError, match=r"no class for c\.png"):
        read_labels(file, ["c.png"])
    with pytest.raises(MissingError, match="a label is 9"):
        Accuracy(lambda x: x[:, 0, 0], [9]).update(made[:1], original[:1], original)


def test_diversity_of_gaussian_samples_is_known():
    """Samples and the original from N(0.5, 0.1^2): calibrated; |a - b| of two has the mean 2 * 0.1 / sqrt(pi)."""
    x = 0.5 + 0.1 * normal(5, 4, 3, 100, 100)
    metric = Diversity(lpips=apart)
    metric.update(x[1:], x[0])
    found = metric.compute()
    # the expected standard deviation of 4 draws is c4 = 0.9213 of the true one
    assert found["spread"] == pytest.approx(25.5 * 0.921318, rel=0.005)
    assert found["pairwise"] == pytest.approx(51 / math.sqrt(math.pi), rel=0.005)
    assert found["pairwise_lpips"] == found["pairwise"]
    assert found["calibration"] == pytest.approx(1, abs=0.01)
    low, high = metric.intervals(0)["calibration"]
    assert low < found["calibration"] < high
    unsure = Diversity()
    unsure.update(0.5 + (x[1:] - 0.5) / 2, x[0])
    # mean of 4 halved draws: error 0.01 (1 + 1/16), spread 0.01 / 4 * 5 / 4
    assert unsure.compute()["calibration"] == pytest.approx(math.sqrt((5 / 16) / (17 / 16)), rel=0.01)


def test_diversity_of_pairs_merges_and_of_equal_samples_is_zero():
    x = torch.rand(3, 2, 3, 4, 4)
    by_hand = sum(apart(x[i], x[j]) for i, j in ((0, 1), (0, 2), (1, 2))) / 3
    torch.testing.assert_close(pairwise(x, apart), by_hand)
    target = torch.rand(2, 3, 4, 4)
    whole, first, second = Diversity(), Diversity(), Diversity()
    whole.update(x, target)
    first.update(x[:, :1], target[:1])
    second.update(x[:, 1:], target[1:])
    first.merge(second)
    assert first.compute() == pytest.approx(whole.compute())
    assert first.each() == whole.each()
    same = Diversity()
    same.update(x[:1].repeat(3, 1, 1, 1, 1), target)
    assert same.compute() == pytest.approx({"spread": 0, "pairwise": 0, "calibration": 0}, abs=1e-6)
    with pytest.raises(ValueError, match="two samples"):
        same.update(x[:1], target)
