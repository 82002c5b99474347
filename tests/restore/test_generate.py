"""Generation: from nothing, alone or in a cascade; the recipes of the papers; the command line."""

import numpy as np
import pytest
import torch
from conftest import noise_picture, tiny_config
from PIL import Image

from sr3.diffusion.tables import SAMPLERS
from sr3.evaluation.likeness import by_chance, distance, reduced
from sr3.model import cascade as cascades
from sr3.model import recipe as recipes
from sr3.model.config import ConfigError, Sampling, parse
from sr3.model.config import Recipe as RecipeConfig
from sr3.model.model import Model
from sr3.nn.sr3_unet import SR3UNet
from sr3.picture.collection import Pictures, load
from sr3.picture.image import read_note
from sr3.picture.resize import resize, round8, shrink
from sr3.random import mix
from sr3.restore.generate import Cascade, Made, Walking, grid
from sr3.restore.generate import sizes as sizes_of
from sr3.restore.restorer import Restorer
from sr3.task import Given
from sr3.training.data import Crops, reduction
from sr3.training.plan import check_crop
from sr3.training.train import make_accelerator, train

MAKER = {
    "name": "maker",
    "residual": False,
    "network": {"kind": "unet", "patch": 1, "widths": [8, 16], "blocks": [1, 1], "embedding": 16, "attention": 2},
    "prediction": {"kind": "edm", "sigma_data": 0.5},
    "task": {"kind": "generation", "size": 8},
    "schedule": {"kind": "log-normal", "mean": -1.2, "std": 1.2, "sigma_min": 0.002, "sigma_max": 80.0},
    "sampling": {"sampler": {"kind": "ancestral"}, "steps": 4},
}


def built(seed: int = 0, **changes: object) -> Model:
    torch.manual_seed(seed)
    model = Model(tiny_config(**changes))
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture
def maker() -> Model:
    return built(**MAKER)


@pytest.fixture
def larger() -> Model:
    return built(1, name="larger", task={"kind": "super-resolution", "factor": 2}, sides=(8, 16))


@pytest.fixture
def cascade(maker, larger) -> Cascade:
    return Cascade([maker, larger, larger], device="cpu", precision="fp32")


# --- the library


def test_the_same_seed_gives_the_same_picture_whatever_the_batch(cascade):
    together = cascade(5, seed=3, batch=5)
    assert together.shape == (5, 3, 32, 32)
    assert not torch.equal(together[0], together[1])
    torch.testing.assert_close(cascade(5, seed=3, batch=2), together, rtol=0, atol=1e-4)
    torch.testing.assert_close(cascade(1, seed=5), together[2:3], rtol=0, atol=1e-4)


def test_a_cascade_is_its_models_one_after_another(cascade, maker, larger):
    one = Cascade([maker], device="cpu", precision="fp32")(2, seed=7)
    two = Restorer(larger, device="cpu", precision="fp32").make(Given(round8(one)), [mix(7, 1), mix(8, 1)])
    three = Restorer(larger, device="cpu", precision="fp32").make(Given(round8(two)), [mix(7, 2), mix(8, 2)])
    torch.testing.assert_close(cascade(2, seed=7), three, rtol=0, atol=1e-4)


def test_every_step_is_told(cascade):
    told = list(cascade.stream(3, seed=0, batch=2, steps=[4, 2, 3]))
    walking = [step for step in told if isinstance(step, Walking)]
    assert [w.done for w in walking] == list(range(1, 19))
    assert {w.total for w in walking} == {18}
    assert [w.stage for w in walking] == 2 * ([0] * 4 + [1] * 2 + [2] * 3)
    assert [m.seeds for m in told if isinstance(m, Made)] == [[0, 1], [2]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_generates(cascade, sampler):
    made = cascade(2, steps=3, sampler=sampler)
    assert torch.isfinite(made).all()
    assert made.abs().max() <= 1
    assert made.std() > 0.01


def test_noise_of_the_second_model_does_not_begin_like_the_firsts(cascade):
    starts = {
        step.stage: step.step.x for step in cascade.stream(1, seed=0, sampler="langevin") if hasattr(step, "step")
    }
    first, second = starts[0].flatten(), starts[1].flatten()[: starts[0].numel()]
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.3


def test_a_chain_that_does_not_fit_is_refused_with_the_reason(maker, larger):
    for chain, why in (
        ([], "a model to begin with"),
        ([larger], "larger needs a picture"),
        ([maker, maker], "maker makes pictures from nothing, which only the first"),
        ([maker, larger, larger, larger], "larger is for pictures of 8 to 16 pixels a side, .* has 32x32"),
    ):
        with pytest.raises(ConfigError, match=why):
            Cascade(chain)
    both = Cascade([maker, larger], device="cpu")
    for options, why in (
        ({"steps": [1, 2, 3]}, "3 steps are given for 2 models"),
        ({"count": 0}, "0 pictures"),
        ({"batch": 0}, "batches of 0"),
        ({"sampler": "anneled"}, "did you mean annealed"),
        ({"quality": "best"}, "maker has not been tuned"),
    ):
        with pytest.raises(ConfigError, match=why):
            both(**options)


def test_a_model_without_conditioning_is_no_restorer(maker):
    with pytest.raises(ConfigError, match="maker makes pictures from nothing and is given none; use sr3 generate"):
        Restorer(maker, device="cpu")(noise_picture(8, 8))


def test_a_grid_has_every_picture_in_order():
    pictures = torch.arange(7.0).view(7, 1, 1, 1).expand(7, 3, 4, 6) / 10
    page = grid(pictures, gap=1)
    assert page.shape == (3, 4 * 5 - 1, 2 * 7 - 1)  # two columns, as the pictures are wide
    assert [page[0, 5 * (k // 2), 7 * (k % 2)].item() for k in range(7)] == pytest.approx([k / 10 for k in range(7)])
    assert page[0, 4, 0] == 1
    # there is always a column
    assert grid(torch.zeros(1, 3, 1, 90)).shape == (3, 1, 90)


def test_what_is_asked_goes_before_what_a_cascades_file_says(cascade):
    for stage in cascade.stages:
        stage.model.config = stage.model.config.model_copy(update={"quality": {"best": Sampling(steps=7)}})
    cascade.told = {"steps": [2, 3, 4], "sampler": ["ddim", None, None]}
    assert [s.steps for s in cascade.settings()] == [2, 3, 4]
    assert [s.steps for s in cascade.settings(steps=5)] == [5, 5, 5]
    assert [(s.steps, s.sampler["kind"]) for s in cascade.settings(quality="best")] == [(7, "dpmpp")] * 3


def test_one_picture_is_made_unless_more_are_asked_for(cascade):
    assert len(cascade()) == 1
    assert len(cascade(2, batch=1)) == 2


# --- data and training


def test_bicubic_crops_are_what_shrink_makes():
    x = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    matrix = reduction(128, 16, "bicubic").double()
    torch.testing.assert_close(matrix @ x @ matrix.T, shrink(x, 8), rtol=0, atol=1e-6)
    picture = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    crops = Crops(Pictures(["p"], [picture]), 16, turn=False, zoom=(5, 5), resample="bicubic")
    whole = shrink(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1, 5).clamp(-1, 1)[0]
    assert min((crops([0])[0] - w).abs().max() for w in (whole, whole.flip(-1))) < 1e-5


def small_recipe(**training: object) -> RecipeConfig:
    model = tiny_config(**MAKER).model_dump(mode="json")
    numbers = {"pictures": 8, "batch": 4, "crop": 8, "warmup": 0, "save_every": 8, "report_every": 4, "turn": False}
    return parse("recipe", RecipeConfig, {"model": model, "training": {**numbers, "precision": "fp32", **training}})


def test_training_needs_crops_of_the_pictures_size(tmp_path, folder):
    crops = Crops(load(folder), 16)
    with pytest.raises(ConfigError, match=r"training.crop=16 must be the size .* which is 8"):
        next(train(small_recipe(crop=16), crops, tmp_path))
    for size, fits in ((8, True), ((8, 8), True), ((8, 6), False), (9, False)):
        recipe = small_recipe()
        task = {"kind": "generation", "size": size}
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"task": task})})
        if fits:
            check_crop(recipe)
        else:
            with pytest.raises(ConfigError, match="must be the size"):
                check_crop(recipe)


def test_an_unconditional_model_learns_one_picture(tmp_path):
    """The optimum for data of one picture is that picture."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[...] = (200, 100, 60)
    recipe = small_recipe(
        pictures=4800,
        batch=32,
        rate=1e-2,
        decay="cosine",
        average=0,
        save_every=4800,
        report_every=4800,
        objective={"kind": "denoising", "loss": "l2"},
    )
    crops = Crops(Pictures(["p"], [picture]), 8, turn=False)
    for _ in train(recipe, crops, tmp_path, accelerator=make_accelerator("cpu")):
        pass
    made = Cascade.load(tmp_path / "model.safetensors", device="cpu", precision="fp32")(4, steps=12, sampler="dpmpp")
    wanted = torch.tensor([200, 100, 60]).view(1, 3, 1, 1) / 127.5 - 1
    # a network this small leaves noise in, but knows the colour
    assert (made - wanted).mean((2, 3)).abs().max() < 0.15


# --- recipes


@pytest.mark.parametrize(
    ("name", "count"),
    [("ddpm-32", 35_746_307), ("ddpm-64", 78_700_803), ("ncsn-32", 35_746_307), ("ncsn-64", 78_700_803)],
)
def test_the_papers_recipes_are_the_papers(name, count):
    """35.7 million: Ho et al. (2020), appendix B; the numbers to the last are those of diffusers' network."""
    recipe = recipes.load(name)
    with torch.device("meta"):
        model = Model(recipe.model)
    assert sum(p.numel() for p in model.net.parameters()) == count
    t, side = recipe.training, int(name.split("-")[1])
    assert (t.crop, model.task.sides, t.batch, t.decay) == (side, (side, side), 128, "constant")
    assert t.objective == {"kind": "denoising", "loss": "l2"}
    if name.startswith("ddpm"):
        assert recipe.model.schedule == {"kind": "linear-beta", "start": 1e-4, "stop": 2e-2, "steps": 1000}
        assert (t.rate, t.warmup, recipe.model.network["dropout"]) == (2e-4, 5000 * 128, 0.1)
        # 0.9999 a step
        assert 0.5 ** (t.batch / t.average) == pytest.approx(0.9999, abs=1e-7)
    else:
        sampler, schedule = recipe.model.sampling.sampler, recipe.model.schedule
        eps, levels = {32: (6.2e-6, 232), 64: (3.3e-6, 500)}[side]
        # their sigmas are of pictures in [0, 1], and their step is half of ours
        assert sampler["step"] == pytest.approx(2 * eps / 0.01**2)
        assert recipe.model.sampling.steps == levels
        assert (schedule["sigma_min"], schedule["sigma_max"]) == (2 * 0.01, 2 * {32: 50, 64: 90}[side])
        assert 0.5 ** (t.batch / t.average) == pytest.approx(0.999, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in recipes.names() if n.startswith(("ddpm", "ncsn", "face-16"))])
def test_recipes_can_be_sampled_as_they_say(name):
    """With the network replaced by one that answers 0 the walk goes through, from its first level to its last."""
    recipe = recipes.load(name)
    check_crop(recipe)
    network = {"kind": "unet", "patch": 8, "widths": [4], "blocks": [1], "embedding": 4}
    config = recipe.model.model_copy(update={"network": network, "task": {**recipe.model.task, "size": 8}})
    told = [s for s in Cascade([Model(config)], device="cpu", precision="fp32").stream() if isinstance(s, Walking)]
    assert len(told) == config.sampling.steps
    assert told[-1].step.level.sigma == 0


@pytest.mark.parametrize("name", ["face-16", "ddpm-32-small", "ncsn-32-small"])
def test_small_models_are_small(name):
    with torch.device("meta"):
        assert 4 * sum(p.numel() for p in Model(recipes.load(name).model).net.parameters()) < 10e6


def test_the_ddpm_network_is_that_of_diffusers():
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=8,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        norm_eps=1e-6,
        attention_head_dim=None,
        downsample_padding=0,
        freq_shift=0,
        flip_sin_to_cos=False,
    ).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    ours = SR3UNet(128, (1, 2), 1, 8, (8,), cond_channels=0, ddpm=True).eval()
    down, middle, up = theirs.down_blocks, theirs.mid_block, theirs.up_blocks
    pairs = [
        (ours.embed.first, theirs.time_embedding.linear_1),
        (ours.embed.second, theirs.time_embedding.linear_2),
        (ours.enter, theirs.conv_in),
        (ours.norm, theirs.conv_norm_out),
        (ours.leave, theirs.conv_out),
        (ours.down[1].conv, down[0].downsamplers[0].conv),
        (ours.up[2].conv, up[0].upsamplers[0].conv),
    ]
    blocks = [
        (ours.down[0], down[0].resnets[0], down[0].attentions[0]),
        (ours.down[2], down[1].resnets[0], None),
        (ours.middle[0], middle.resnets[0], middle.attentions[0]),
        (ours.middle[1], middle.resnets[1], None),
        *((ours.up[k], up[0].resnets[k], None) for k in (0, 1)),
        *((ours.up[3 + k], up[1].resnets[k], up[1].attentions[k]) for k in (0, 1)),
    ]
    for mine, block, attention in blocks:
        pairs += [(mine.norm_first, block.norm1), (mine.first, block.conv1), (mine.told, block.time_emb_proj)]
        pairs += [(mine.norm_second, block.norm2), (mine.second, block.conv2)]
        if block.conv_shortcut is not None:
            pairs.append((mine.skip, block.conv_shortcut))
        if attention is not None:
            pairs.append((mine.attention.norm, attention.group_norm))
            pairs.append((mine.attention.out, attention.to_out[0]))
            parts = (attention.to_q, attention.to_k, attention.to_v)
            mine.attention.qkv.weight.data = torch.cat([p.weight.data for p in parts])[:, :, None, None]
            mine.attention.qkv.bias.data = torch.cat([p.bias.data for p in parts])
    for mine, other in pairs:
        mine.weight.data = other.weight.data.view(mine.weight.shape)
        mine.bias.data = other.bias.data
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 700])
    with torch.inference_mode():
        torch.testing.assert_close(ours(x, t.float()), theirs(x, t).sample, rtol=1e-4, atol=1e-4)


# --- the distance between sets


def test_the_distance_knows_another_set_from_the_same():
    rng = torch.Generator().manual_seed(0)
    same = torch.rand(16, 3, 8, 8, generator=rng) - 0.5
    chance = by_chance(same, 8, repeats=2)
    assert chance.pictures == 8
    again = distance(same[:8], same[8:])
    assert again.swd == pytest.approx(chance.swd, rel=0.5)
    assert again.interval[0] < again.swd < again.interval[1]
    assert distance(same[:8] + 0.4, same[8:]).swd > 3 * chance.swd
    assert distance(same, same).swd == 0
    assert by_chance(same, 300, repeats=1).pictures == 8
    with pytest.raises(ConfigError, match="cannot be compared"):
        distance(same, same[..., :7])


def test_reduced_pictures_are_the_middle_ones():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    middle = torch.from_numpy(pixels[:, 8:40].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    found = reduced(Pictures(["p"], [pixels]), (16, 16))
    torch.testing.assert_close(found, round8(shrink(middle, 2)), rtol=0, atol=1 / 100)
    torch.testing.assert_close(found, round8(resize(middle, (16, 16))))
    with pytest.raises(ConfigError, match="less than the 64x64"):
        reduced(Pictures(["p"], [pixels]), (64, 64))


# --- the command line


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """What is written without a folder's name goes to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def files(maker, larger, tmp_path):
    return maker.save_pretrained(tmp_path / "maker"), larger.save_pretrained(tmp_path / "larger")


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_one_file_for_each_picture_with_its_note(sr3, files, tmp_path):
    code, _, err = sr3("generate", "--model", files[0], "--count", 3, "--seed", 5, "--out", tmp_path / "o")
    assert (code, err.strip()) == (0, f"{tmp_path}/o/maker-5.png to maker-7.png")
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["maker-5.png", "maker-6.png", "maker-7.png"]
    note = read_note(tmp_path / "o" / "maker-6.png")
    assert (note["model"], note["seed"], note["steps"]) == ("maker", "6", "4")
    code, out, err = sr3("generate", "--model", files[0], "--seed", 6)
    assert (code, out, err.strip()) == (0, "", "maker-6.png")
    assert np.array_equal(pixels_of(tmp_path / "maker-6.png"), pixels_of(tmp_path / "o" / "maker-6.png"))


def test_one_picture_goes_into_the_file_that_is_named(sr3, files, tmp_path):
    code, out, err = sr3("generate", "--model", files[0], "--out", "z.png", "--grid", "g.png")
    assert (code, out, err.strip()) == (0, "", "z.png, g.png")
    assert np.array_equal(pixels_of(tmp_path / "z.png"), pixels_of(tmp_path / "g.png"))
    assert sr3("generate", "--model", files[0], "--out", "y.png/")[0] == 0
    assert [p.name for p in (tmp_path / "y.png").iterdir()] == ["maker-0.png"]


def test_what_is_compared_with_is_read_before_anything_is_made(sr3, files, folder, tmp_path):
    for more in (["--against", "nothere"], ["--against", folder, "--chance", "nothere"]):
        code, out, err = sr3("generate", "--model", files[0], "--count", 4, "--out", "o", *more)
        assert (code, out) == (2, "")
        assert "nothere does not exist" in err
        assert not (tmp_path / "o").exists()


def test_grid_trace_and_cascade(sr3, files, folder, tmp_path):
    chain = f"{files[0]},{files[1]}"
    arguments = ["--count", 4, "--grid", "g.png", "--trace", "t.gif", "--out", "o", "--steps", "4,2"]
    code, out, _ = sr3("generate", "--cascade", chain, *arguments, "--against", folder)
    assert code == 0
    assert "between 3 made and as many of pictures" in out
    assert "so give more to --chance" in out  # halves of three pictures are one each
    page = pixels_of("g.png")
    assert page.shape == (2 * 16 + 2, 2 * 16 + 2, 3)
    assert np.array_equal(page[18:, :16], pixels_of("o/maker+larger-2.png"))
    with Image.open("t.gif") as gif:
        assert gif.n_frames >= 5
        assert gif.size == (512, 256)
        gif.seek(gif.n_frames - 1)
        last = np.asarray(gif.convert("RGB")).astype(int)
    # the animation ends at the first picture, on both sides
    made = np.kron(pixels_of("o/maker+larger-0.png"), np.ones((16, 16, 1))).astype(int)
    assert np.abs(last[:, :256] - made).mean() < 12
    assert np.abs(last[:, 256:] - made).mean() < 12


def test_what_cannot_be_made_is_refused_in_a_sentence(sr3, files, folder):
    picture = folder / "a.png"
    for arguments, why in (
        (["upscale", picture, "--model", files[0]], "use sr3 generate --model maker"),
        (["evaluate", "--data", folder, "--model", files[0]], "use sr3 generate --model maker"),
        (["tune", files[0], "--data", folder], "use sr3 generate --model maker"),
        (["generate", "--model", files[1]], "larger needs a picture and makes none from nothing"),
        (["generate", "--model", "photo-4x"], "photo-4x needs a picture"),
        (["generate", "--cascade", f"{files[0]},{files[0]}"], "only the first of a cascade"),
        (["generate", "--model", files[0], "--cascade", "a,b"], "not both"),
        (["generate", "--model", files[0], "--trace", "t.png"], "writes a .gif"),
        (["generate", "--model", files[0], "--grid", "g.txt"], "must end in one of"),
        (["generate", "--model", files[0], "--out", picture], "is there already"),
        (["generate", "--model", files[0], "--out", "z.png", "--count", 2], "z.png is no folder, as z.png/ would be"),
        (["generate", "--model", files[0], "--out", "-"], "generated pictures do not go into a pipe"),
        (["generate", "--model", files[0], "--out", "z.bmp"], "cannot write z.bmp: its name must end in one of"),
        (["generate", "--model", files[0], "--steps", "many"], "no number of steps"),
        (["generate", "--model", files[0], "--sampler", "anneled"], "did you mean annealed"),
        (["generate", "--model", files[0], "--chance", folder], "--against"),
        (["generate", "--model", "face-61"], "there is no model"),
    ):
        code, out, err = sr3(*arguments)
        assert code == 2, (arguments, err)
        assert why in err
        assert len(err.strip().splitlines()) == 1
        assert not out


# --- classes


LABELLED = {
    **MAKER,
    "network": {**MAKER["network"], "labels": 3},
    "task": {"kind": "generation", "size": 8, "classes": ["ant", "bee", "cat"]},
}


def test_a_pictures_class_follows_its_seed_and_not_its_batch():
    model = built(**LABELLED)
    torch.nn.init.normal_(model.net.label.weight, std=3.0)
    maker = Cascade([model], device="cpu", precision="fp32")
    assert maker.labels([4, 5, 6]).tolist() == [1, 2, 0]
    assert maker.labels([4, 5, 6], ["cat", 0]).tolist() == [2, 0, 2]
    together = maker(5, seed=3)
    torch.testing.assert_close(maker(5, seed=3, batch=2), together, rtol=0, atol=1e-4)
    torch.testing.assert_close(maker(1, seed=5, classes=["cat"])[0], together[2], rtol=0, atol=1e-4)
    assert (maker(1, seed=5, classes=["ant"])[0] - together[2]).abs().max() > 0.01
    for classes, why in ((["dog"], "maker: there is no class 'dog'; there are ant, bee, cat"), ([3], "no class 3")):
        with pytest.raises(ConfigError, match=why):
            maker(1, classes=classes)


def test_a_maker_without_classes_is_told_none(cascade):
    assert cascade.labels([1, 2]) is None
    with pytest.raises(ConfigError, match="maker: it knows no classes"):
        cascade(1, classes=["1"])


# --- cascades as files


SMALL = """
[model]
name = "{name}"
residual = {residual}
network = {{ kind = "unet", patch = 1, widths = [8], blocks = [1], embedding = 16{labels} }}
prediction = {{ kind = "edm", sigma_data = 0.5 }}
tell = "logsnr"
task = {task}
schedule = {{ kind = "log-normal" }}
sampling = {{ sampler = {{ kind = "dpmpp" }}, steps = 3 }}
[training]
pictures = 8
batch = 4
crop = {crop}
zoom = [64, 64]
precision = "fp32"
"""


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("sr3-1024", [(64, 64), (256, 256), (1024, 1024)]), ("sr3-class-256", [(64, 64), (256, 256)])],
)
def test_the_papers_cascades_fit(name, sizes):
    """Saharia et al. (2021): 64 to 256 to 1024, and table 4's two stages; most steps where pictures are small."""
    told = cascades.load(name)
    with torch.device("meta"):
        models = [Model(recipes.load(stage.recipe).model) for stage in told.stages]
    assert sizes_of(models) == sizes
    steps = [stage.steps or model.config.sampling.steps for stage, model in zip(told.stages, models, strict=True)]
    assert steps == sorted(steps, reverse=True)
    assert max(steps[1:]) <= 100
    with pytest.raises(ConfigError, match=f"has no weights of {told.stages[0].recipe}; run sr3 train {name}"):
        Cascade.from_toml(name)


def test_one_command_trains_a_cascade_and_one_generates_with_it(tmp_path, sr3):
    (tmp_path / "recipes").mkdir()
    maker = SMALL.format(
        name="m", residual="false", labels=", labels = 2", task='{ kind = "generation", size = 8, classes = 2 }', crop=8
    )
    larger = SMALL.format(
        name="l", residual="true", labels="", task='{ kind = "super-resolution", factor = 2 }', crop=16
    )
    (tmp_path / "recipes" / "first.toml").write_text(maker)
    (tmp_path / "recipes" / "second.toml").write_text(larger)
    plan = (
        'name = "both"\n[[stages]]\nrecipe = "first.toml"\nsteps = 4\n[[stages]]\nrecipe = "second.toml"\nsteps = 2\n'
    )
    (tmp_path / "recipes" / "cascade.toml").write_text(plan)
    for k in range(4):
        path = tmp_path / "data" / ("ant", "bee")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_picture(24, 24, seed=k).save(path)
    arguments = ["--data", tmp_path / "data", "--val", tmp_path / "data", "--out", tmp_path / "out", "--device", "cpu"]
    code, said, err = sr3("train", tmp_path / "recipes" / "cascade.toml", *arguments)
    assert code == 0, err
    assert "both: stage 2 of 2" in err
    file = tmp_path / "out" / "both.toml"
    assert f"sr3 generate --cascade {file}" in said
    assert [stage.steps for stage in cascades.load(str(file)).stages] == [4, 2]
    common = ["generate", "--cascade", file, "--class", "bee", "--device", "cpu", "--precision", "fp32"]
    code, _, err = sr3(*common, "--count", 2, "--out", tmp_path / "made")
    assert code == 0, err
    made = Image.open(tmp_path / "made" / "m+l-1.png")
    assert made.size == (16, 16)
    note = read_note(tmp_path / "made" / "m+l-1.png")
    assert (note["steps"], note["class"]) == ("4+2", "bee")
    models = [tmp_path / "out" / f / "model.safetensors" for f in ("1-first", "2-second")]
    alone = Cascade.load(*models, device="cpu", precision="fp32")(1, seed=1, steps=[4, 2], classes=["bee"])
    assert np.abs(np.asarray(made) - ((alone[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() < 1
    code, _, err = sr3("train", tmp_path / "recipes" / "cascade.toml", *arguments, "--begin", "face-16")
    assert code == 2
    assert "--begin is for one recipe" in err


def test_a_cascade_that_cannot_be_read_is_one_sentence(tmp_path, sr3):
    file = tmp_path / "c.toml"
    for text, why in (
        ('name = "x"\nstages = []', "stages"),
        ('name = "x"\n[[stages]]\nrecipe = "a"\nsteps = 0', "steps"),
        ('name = "x/y"\n[[stages]]\nrecipe = "a"', "neither / nor"),
        ('name = "x"\n[[stages]]\nrecipe = "a"\nmodle = "b"', "did you mean model"),
        ("stages =", "not a cascade in TOML"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=why):
            cascades.load(str(file))
    # which it is then not, for `sr3 train`, but must be for `sr3 generate`
    assert not cascades.is_cascade(str(file))
    code, _, err = sr3("generate", "--cascade", file)
    assert code == 2
    assert "is not a cascade in TOML" in err
    with pytest.raises(ConfigError, match="did you mean sr3-1024"):
        cascades.load("sr3-1042")
