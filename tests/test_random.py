"""Randomness depends on its seeds and counts alone."""

import numpy as np
import pytest
import torch

from sr3.random import Rows, Seeds, Stream, generator, mix, staged, uniforms


def test_mix_stirs_every_bit():
    """Flipping any one bit of the input flips about half of the 63 bits of the output."""
    flips = [(mix(12345, 6) ^ mix(12345 ^ (1 << bit), 6)).bit_count() for bit in range(64)]
    assert 27 < np.mean(flips) < 36
    assert min(flips) > 12


def test_mix_depends_on_order_and_count_and_fits_a_seed():
    seeds = [mix(1, 2), mix(2, 1), mix(1), mix(1, 2, 0), mix(0, 1, 2), mix(-1), mix()]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generator_is_a_function_of_its_numbers():
    first, same, other = (torch.rand(3, generator=generator(*n)) for n in ((7, 1), (7, 1), (7, 2)))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_pictures_noise_does_not_depend_on_batch_or_order():
    x = torch.zeros(3, 2, 4, 5)
    batch, alone, turned = Seeds([7, 8, 9]), Seeds([8]), Seeds([9, 8, 7])
    for _ in range(3):  # the second and third draws too
        noise = batch(x)
        assert torch.equal(noise[1:2], alone(x[:1]))
        assert torch.equal(noise.flip(0), turned(x))


def test_noise_is_fresh_at_every_draw_and_for_every_seed():
    seeds, x = Seeds([1, 2]), torch.zeros(2, 3, 50, 50)
    draws = torch.cat([seeds(x), seeds(x)]).flatten(1)
    together = torch.corrcoef(draws)
    assert (together - torch.eye(4)).abs().max() < 0.06
    assert draws.std().item() == pytest.approx(1, abs=0.03)


def test_noise_has_the_type_of_its_argument():
    assert Seeds([1])(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64


def test_as_many_seeds_as_pictures():
    with pytest.raises(ValueError, match="batch of 3"):
        Seeds([1, 2])(torch.zeros(3, 1))


def test_stream_depends_on_each_examples_index_alone():
    x = torch.zeros(3, 2, 4)
    whole, part = Stream(5, [10, 11, 12]), Stream(5, [12, 10])
    pick = [2, 0]
    assert torch.equal(whole.uniform()[pick], part.uniform())
    assert torch.equal(whole.normal(x)[pick], part.normal(x[:2]))
    assert torch.equal(whole.integers(1000)[pick], part.integers(1000))
    assert not torch.equal(Stream(6, [10]).uniform(), Stream(5, [10]).uniform())


def test_stream_is_uniform():
    t = Stream(0, range(4000)).uniform()
    assert t.dtype == torch.float64
    ranks = (torch.arange(4000) + 0.5) / 4000
    assert (t.sort().values - ranks).abs().max() < 0.03  # Kolmogorov-Smirnov, p about 1e-3
    dice = Stream(1, range(3000)).integers(6)
    assert (torch.bincount(dice, minlength=6) / 3000 - 1 / 6).abs().max() < 0.03
    assert torch.bincount(dice).shape == (6,)


def test_uniforms_are_uniform_and_a_function_of_seed_and_index():
    table = uniforms(3, range(5000), 4)
    assert np.array_equal(uniforms(3, [17, 4999], 4), table[[17, 4999]])
    assert np.array_equal(uniforms(3, [17], 2), table[[17], :2])
    assert not np.isin(uniforms(4, range(100), 4), table).any()
    ranks = (np.arange(5000) + 0.5) / 5000
    assert np.abs(np.sort(table, axis=0) - ranks[:, None]).max() < 0.03
    assert np.abs(np.corrcoef(table.T) - np.eye(4)).max() < 0.06  # columns do not know of each other
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 0.06  # nor do rows


def test_an_accelerators_levels_are_drawn_on_the_cpu(monkeypatch):
    """To fetch them would wait for the device; and Apple's has no float64."""
    monkeypatch.setattr("sr3.random.Generator", lambda device="cpu": torch.Generator())
    stream = Stream(3, [5, 6, 7], "mps")
    t = stream.uniform()
    assert (t.dtype, t.device.type) == (torch.float64, "cpu")
    assert torch.equal(t, torch.rand(3, generator=generator(3, 5), dtype=torch.float64))
    assert set(stream.integers(2).tolist()) <= {0, 1}


def test_seeds_make_what_they_made():
    """A seed's picture, and a run's order, are the same under every version of the library."""
    known = {(): 5700357409661599242, (0,): 3342518250691133789, (1, 2, 3): 8867090530221473367}
    assert {numbers: mix(*numbers) for numbers in known} == known
    assert mix(-1) == 3952864364094478165
    assert uniforms(5, [7], 2).tolist() == [[0.9265014695036412, 0.1663361998850752]]
    assert mix(2**64 + 3) == mix(3)  # of a larger number the last 64 bits count


def test_each_stage_has_a_seed_of_its_own_and_the_first_the_pictures():
    assert staged(5, 0) == 5
    assert staged(5, 2) == mix(5, 2)


def test_an_accelerators_noise_comes_from_the_streams_generator(monkeypatch):
    randn = torch.randn

    def on_device(shape, *, generator, device, dtype):
        assert torch.device(device).type == "mps"
        return randn(shape, generator=generator, dtype=dtype)

    monkeypatch.setattr("sr3.random.Generator", lambda device="cpu": torch.Generator())
    monkeypatch.setattr(torch, "randn", on_device)
    got = Stream(3, [5, 6], "mps").normal(torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(got, randn(2, 3, generator=torch.Generator().manual_seed(mix(3, 5)), dtype=torch.float64))


def test_noise_lies_where_its_argument_lies():
    """Validation draws on the CPU for pictures that are on an accelerator."""
    assert Stream(3, [5]).normal(torch.zeros(1, 3, device="meta", dtype=torch.float16)).device.type == "meta"


def test_a_draw_that_rounds_to_one_is_still_a_face_of_the_die():
    class One(Stream):
        def uniform(self):
            return torch.ones(self.size, dtype=torch.float64)

    assert One(0, range(2)).integers(6).tolist() == [5, 5]


def test_the_kth_draw_of_a_seed_is_the_generator_of_both():
    x, seeds = torch.zeros(2, 3, 4), Seeds([7, 9])
    for k in range(2):
        wanted = [torch.randn(3, 4, generator=generator(seed, k)) for seed in (7, 9)]
        assert torch.equal(seeds(x), torch.stack(wanted))


def test_some_examples_of_a_stream_are_the_stream_of_some_examples():
    some, alone = Stream(3, [10, 11, 12]).of([2, 0]), Stream(3, [12, 10])
    assert torch.equal(some.uniform(), alone.uniform())
    assert torch.equal(some.normal(torch.zeros(2, 3)), alone.normal(torch.zeros(2, 3)))
    assert some.size == 2


def test_an_example_of_a_run_has_the_generator_of_seed_and_index():
    for index, drawn in zip((10, 3), Stream(5, [10, 3]).uniform(), strict=True):
        assert drawn == torch.rand((), generator=generator(5, index), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(3, 8, 16), (3, 7, 17), (1, 5, 33), (3, 13, 50), (2, 4, 20), (3, 1, 16)])
def test_rows_are_those_of_the_whole_field(shape):
    """Whatever the field's size is beyond whole blocks of 16, and wherever it is cut."""
    channels, height, width = shape
    seeds = Seeds([5])
    for draw in range(2):
        whole = seeds(torch.zeros(1, *shape))[0]
        for cuts in ([0, height], [*range(height + 1)], [0, height // 2, height]):
            field = Rows(5, draw, shape)
            parts = [field(slice(a, b)) for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
            assert torch.equal(torch.cat(parts, dim=1), whole)
    assert whole.shape == (channels, height, width)


def test_rows_come_in_their_order():
    field = Rows(0, 0, (3, 8, 16))
    field(slice(0, 2))
    with pytest.raises(ValueError, match="from 4 on are asked for, and those from 2"):
        field(slice(4, 8))
    with pytest.raises(ValueError, match="rows of 15 numbers"):
        Rows(0, 0, (3, 8, 15))
