"""The colours are the photograph's, the luminance is the other student's, and the other student stays as it is."""

import pytest
import torch
from conftest import noise_picture

from sr3.diffusion.denoiser import start
from sr3.diffusion.level import Level
from sr3.diffusion.schedule import LogNormal
from sr3.model import recipe as recipes
from sr3.model.config import ConfigError
from sr3.model.model import Model
from sr3.picture.collection import load
from sr3.random import Stream
from sr3.training.colours import Colours
from sr3.training.data import Crops
from sr3.training.plan import objective_of
from sr3.training.run import Run
from sr3.training.train import make_accelerator

SCHEDULE = LogNormal(-2.3, 1.4, 0.001, 5.0)
PLANES = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]).double()
"""Y, Cb and Cr of red, green and blue: T.871, of JPEG files."""
SETTINGS = [
    "training.objective={kind='colours',colour=0.7}",
    "training.batch=2",
    "training.crop=32",
    "training.precision=fp32",
    "training.warmup=0",
    "model.network={kind='plain',patch=4,width=8,blocks=1,stirred=true}",
]


@pytest.fixture
def student():
    torch.manual_seed(0)
    model = Model(recipes.load("photo-4x-fast", SETTINGS).model)
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture
def example(student):
    clean = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return student.prepare(student.task.degrade(clean))._replace(target=clean)


def answer(denoiser, example, seed):
    """One pass from the noise of a seed, written out."""
    level = SCHEDULE(torch.ones(()))
    noise = Stream(seed, [0, 1]).normal(example.target)
    x = start(noise, level, example.base, 0.1)
    with torch.no_grad():
        return denoiser(x, Level(*(part.expand(2) for part in level)), example)


def planes(x):
    return torch.einsum("pc,bchw->pbhw", PLANES, x.double())


def test_the_loss_is_that_of_the_two_teachers(student, example):
    objective = Colours(SCHEDULE, colour=0.7)
    made, kept = answer(student.denoiser(), example, 3), answer(objective.keep, example, 3)
    light = planes(made - kept)[0].abs()
    step = 2 / 255
    huber = torch.where(light < step, light**2 / 2, step * (light - step / 2)) / step
    _, cb, cr = planes(made - example.target).abs()
    expected = (huber + 0.7 * (cb + cr)).flatten(1).mean(1) / 0.1
    found = objective(student.denoiser(), example, rng=Stream(3, [0, 1]))
    torch.testing.assert_close(found.each, expected.float(), rtol=1e-4, atol=1e-6)
    assert (objective(student.denoiser(), example, rng=Stream(4, [0, 1])).each != found.each).all()


def test_whoever_answers_as_the_other_does_is_pulled_at_in_its_colours_alone(example):
    objective = Colours(SCHEDULE)
    made = []

    def same(x, level, example):
        made.append(objective.keep(x, level, example).detach().requires_grad_(True))
        return made[0]

    same.prediction = objective.keep.prediction
    objective(same, example, rng=Stream(3, [0, 1])).each.sum().backward()
    _, cb, cr = planes(made[0].detach() - example.target)
    slope = made[0].grad.double()
    brighter = slope.sum(1)  # along grey
    torch.testing.assert_close(brighter, torch.zeros_like(brighter), rtol=0, atol=1e-6)
    assert (slope[:, 2].sign() == cb.sign()).float().mean() > 0.8
    assert (slope[:, 0].sign() == cr.sign()).float().mean() > 0.8


def test_a_run_teaches_the_student_and_leaves_the_other(tmp_path):
    recipe = recipes.load("photo-4x-fast", [*SETTINGS, "training.pictures=16"])
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"begin": None})})
    noise_picture(64, 64, 1).save(tmp_path / "a.png")
    run = Run(recipe, Crops(load(tmp_path / "a.png"), 32), tmp_path / "run", make_accelerator("cpu"))
    other = {k: v.clone() for k, v in run.objective.keep.net.state_dict().items()}
    before = [p.detach().clone() for p in run.denoiser.net.parameters()]
    while run.seen < 16:
        run.step()
    assert any((a != b).any() for a, b in zip(before, run.denoiser.net.parameters()))
    assert all(torch.equal(v, other[k]) for k, v in run.objective.keep.net.state_dict().items())
    assert not any(p.requires_grad for p in run.objective.keep.net.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": 0.0}, "above 0"),
        ({"keep": "photo-4x-regression"}, "must be a diffusion model"),
        ({"keep": "photo-4x"}, "must begin from what the student does"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, said):
    with pytest.raises((ValueError, ConfigError), match=said):
        Colours(SCHEDULE, **{"first": Model.from_pretrained("photo-4x-regression").config} | options)


def test_a_regression_has_no_noise_to_answer():
    with pytest.raises(ConfigError, match="colours needs a diffusion model"):
        objective_of(recipes.load("photo-4x-regression", ["training.objective={kind='colours'}"]))
