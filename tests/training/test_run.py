"""A step: weights in one vector, batches drawn ahead, parts and processes alike, compiled or not."""

import numpy as np
import pytest
import torch
from conftest import noise_picture
from test_golden import recipe as golden_recipe
from torch.utils.flop_counter import FlopCounterMode

from sr3.model import recipe as recipes
from sr3.model.config import ConfigError, Training
from sr3.model.model import Model
from sr3.nn.plain import PlainNet
from sr3.picture.collection import Pictures, load
from sr3.random import Stream
from sr3.task import SuperResolution
from sr3.training import batches as ahead
from sr3.training.batches import Batches
from sr3.training.board import flops
from sr3.training.data import Crops
from sr3.training.flat import Flat
from sr3.training.plan import begin_from, dropout_seed, rate_at, share_at
from sr3.training.run import Run
from sr3.training.train import make_accelerator, train

SMALL = [
    "training.batch=4",
    "training.crop=32",
    "training.warmup=8",
    "training.report_every=4",
    "training.precision=fp32",
    "model.network.widths=[8,16]",
    "model.network.blocks=[1,1]",
    "model.network.embedding=16",
]


@pytest.fixture
def crops(folder):
    return Crops(load(folder), 32)


def test_weights_in_one_vector_are_the_networks(tiny):
    net = tiny.net.requires_grad_(True)
    net.register_buffer("count", torch.tensor(3))
    net.register_buffer("scratch", torch.zeros(5), persistent=False)
    x, told, cond = torch.randn(2, 3, 16, 16), torch.zeros(2), torch.randn(2, 3, 16, 16)
    net(x, told, cond).square().mean().backward()
    slopes = {name: p.grad.clone() for name, p in net.named_parameters()}
    values = {name: v.clone() for name, v in net.state_dict().items()}
    flat = Flat(net)
    net(x, told, cond).square().mean().backward()
    found = flat.named(flat.weights)
    assert found.keys() == values.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, values[name], rtol=0, atol=0)
    for name, value in flat.views(flat.gradient).items():
        torch.testing.assert_close(value, slopes[name])
    with torch.no_grad():
        flat.weights.zero_()
    assert all(not p.any() for p in net.parameters())
    flat.fill(flat.weights.detach(), values)
    assert all(torch.equal(p, values[name]) for name, p in net.named_parameters())


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_the_average_has_its_half_life(decay):
    recipe = recipes.load("photo-4x", [f"training.decay={decay}"])
    t = recipe.training
    assert share_at(0, recipe) == 1
    assert (1 - share_at(10**7, recipe)) ** (t.average / t.batch) == pytest.approx(0.5)
    assert (1 - share_at(8000, recipe)) ** (1000 / t.batch) == pytest.approx(0.5)  # an eighth of what was seen
    assert rate_at(t.pictures, recipe) == pytest.approx(t.rate if decay == "constant" else 0.01 * t.rate)


@pytest.mark.parametrize("zoom", [(1.0, 1.0), (0.8, 1.7), (64, 64)])
@pytest.mark.parametrize("world", [1, 2])
def test_batches_drawn_ahead_are_the_crops(monkeypatch, zoom, world):
    monkeypatch.setattr(ahead, "CHUNK", 24)
    pixels = [np.asarray(noise_picture(*size, seed=k)) for k, size in enumerate([(40, 48), (64, 33), (90, 70)])]
    crops = Crops(Pictures(list("abc"), pixels), 32, seed=3, zoom=zoom)
    training = Training.model_validate({"batch": 8, "accumulate": 2, "crop": 32, "seed": 3})
    for rank in range(world):
        batches = Batches(crops, SuperResolution(4), training, rank=rank, world=world)
        for seen in (0, 8, 16, 24, 800, 0):
            clean = torch.cat([part.clean for part in batches(seen)])
            torch.testing.assert_close(clean, crops(range(seen + rank, seen + 8, world)), rtol=0, atol=0)
            small = torch.cat([part.given.image for part in batches(seen)])
            torch.testing.assert_close(small, SuperResolution(4).degrade(clean).image, rtol=0, atol=0)


def test_processes_do_not_drop_the_same_units(crops, tmp_path, monkeypatch):
    seeds = {}
    for rank in (0, 1):
        accelerator = make_accelerator("cpu")
        run = Run(recipes.load("photo-4x-regression", SMALL), crops, tmp_path / str(rank), accelerator)
        run.rank = rank
        monkeypatch.setattr(torch, "manual_seed", lambda seed, rank=rank: seeds.setdefault(rank, seed))
        run.step()
        monkeypatch.undo()
    assert seeds == {rank: dropout_seed(0, 0, rank) for rank in (0, 1)}
    assert seeds[0] != seeds[1]
    assert len({dropout_seed(0, seen, rank) for seen in range(9) for rank in range(9)}) == 81


def begin(crops, folder):
    *_, (_, report) = train(recipes.load("photo-4x-regression", [*SMALL, "training.pictures=8"]), crops, folder)
    assert report.seen == 8
    return folder / "model.safetensors"


def test_begin_has_the_average_begin_too(crops, tmp_path):
    weights = begin(crops, tmp_path / "begin")
    settings = [*SMALL, f'training.begin="{weights}"']
    for name, before in (("photo-4x-regression", 8), ("photo-4x", 0)):
        run = Run(recipes.load(name, settings), crops, tmp_path / "out", make_accelerator("cpu"))
        for key, value in Model.from_file(weights).net.state_dict().items():
            assert torch.equal(run.flat.named(run.average)[key], value)
            assert torch.equal(run.net.state_dict()[key], value)
        assert run.pictures == before  # of the same model: what it had seen counts
        assert run.begun == {"name": "photo-4x-regression", "pictures_seen": 8}


def test_a_stirred_network_begins_from_one_that_is_not():
    torch.manual_seed(0)
    still, stirred, wider = PlainNet(width=8), PlainNet(width=8, stirred=True), PlainNet(width=9)
    own = stirred.stir.weight.clone()
    begin_from(stirred, still)
    assert torch.equal(stirred.stir.weight, own)
    assert all(torch.equal(v, stirred.state_dict()[k]) for k, v in still.state_dict().items())
    for net, other in ((still, stirred), (stirred, wider), (wider, still)):
        with pytest.raises(ConfigError, match="another shape"):
            begin_from(net, other)


@pytest.mark.parametrize("broken", [False, True])
def test_a_compiled_network_takes_the_same_step(crops, tmp_path, monkeypatch, broken):
    """And where compiling fails, a sentence is said and the step is the plain one."""
    weights = begin(crops, tmp_path / "begin")
    more = [f'training.begin="{weights}"', f'model.first="{weights}"']
    real, found = torch.compile, []

    class Broken(torch.nn.Module):
        def forward(self, *given):
            raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda net, **o: Broken() if broken else real(net, backend="aot_eager", **o))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **o: None)
    for compiled in ("false", "true"):
        recipe = recipes.load("photo-4x", [*SMALL, *more, f"training.compile={compiled}"])
        run = Run(recipe, crops, tmp_path / compiled, make_accelerator("cpu"))
        assert (run.problem is not None and "no compiler" in run.problem) == (broken and compiled == "true")
        for _ in range(3):
            run.step()
        found.append((run.flat.weights.detach(), run.average))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["denoising", "implicit-score", "sliced-score"])
def test_flops_are_those_of_pytorchs_counter_and_of_every_pass(tmp_path, kind):
    pixels = [np.asarray(noise_picture(40, 40, seed=k)) for k in range(2)]
    recipe = golden_recipe(kind)
    run = Run(recipe, Crops(Pictures(["a", "b"], pixels), 16), tmp_path, make_accelerator("cpu"))
    found = flops(run)
    batch = run.batches(0)[0]
    x, told = torch.zeros(1, 3, 16, 16), torch.zeros(1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run.net(x, told, torch.zeros(1, 3, 16, 16) if run.model.task.channels else None)
    forward = counter.get_total_flops()
    # DREAM: two passes forward and one back; the others: one forward, one back, and those two once more
    low, high = (3.5, 4.1) if kind == "denoising" else (5.0, 6.5)
    assert low < found / forward < high
    if kind == "denoising":
        few = batch._replace(clean=batch.clean, rng=Stream(0, range(4)))
        with FlopCounterMode(display=False) as counter:
            run.loss(few).each.mean().backward()
        assert counter.get_total_flops() / 4 == pytest.approx(found, rel=1e-6)


class OneOf:
    """What a run asks of Accelerate, as process `rank` of two on the CPU."""

    device, num_processes = torch.device("cpu"), 2

    def __init__(self, rank):
        self.process_index, self.is_main_process = rank, rank == 0


@pytest.mark.parametrize("kind", ["denoising", "implicit-score", "sliced-score"])
def test_two_processes_add_up_to_one(tmp_path, monkeypatch, kind):
    """Also where the network is differentiated twice: the gradients are exchanged after all passes, by no hook."""
    monkeypatch.setattr("sr3.training.run.broadcast_object_list", lambda facts: None)
    monkeypatch.setattr("sr3.training.run.dist.broadcast", lambda vector, source: None)
    sent = []
    monkeypatch.setattr("sr3.training.run.dist.all_reduce", lambda tensor: sent.append(tensor.clone()))
    recipe, noise = golden_recipe(kind), [np.asarray(noise_picture(40, 40, seed=k)) for k in range(2)]
    # dropout differs between processes, and clipping would hide a wrong scale
    network = {**recipe.model.network, "dropout": 0.0}
    recipe = recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"network": network}),
            "training": recipe.training.model_copy(update={"clip": 1e9}),
        }
    )
    crops = Crops(Pictures(["a", "b"], noise), 16)
    alone = Run(recipe, crops, tmp_path, make_accelerator("cpu"))
    alone.step()
    assert not sent
    halves = []
    for rank in range(2):
        run = Run(recipe, crops, tmp_path, OneOf(rank))
        run.step()
        halves.append(sent[0])
        torch.testing.assert_close(run.flat.gradient, sent[0] / 2)
        sent.clear()
    assert not torch.equal(*halves)
    torch.testing.assert_close((halves[0] + halves[1]) / 2, alone.flat.gradient, rtol=1e-4, atol=1e-6)
    assert alone.flat.gradient.abs().max() > 1e-4
