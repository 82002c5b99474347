"""Crops are a function of (seed, count), and real pieces of real pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr3.picture.collection import DataError, Pictures, load
from sr3.training.data import Crops, lit, reduction


def test_crops_depend_on_seed_and_count_only(folder):
    pictures = load(folder)
    crops = Crops(pictures, 32, seed=3)
    together = crops([5, 6, 7])
    torch.testing.assert_close(together[1:2], Crops(pictures, 32, seed=3)([6]), rtol=0, atol=0)
    assert not torch.equal(together, Crops(pictures, 32, seed=4)([5, 6, 7]))


def test_each_crop_is_a_piece_of_a_picture_in_all_eight_positions(folder):
    pictures = load(folder)
    pictures.names, pictures.pixels = pictures.names[:1], pictures.pixels[:1]
    whole = torch.from_numpy(pictures.pixels[0].copy()).permute(2, 0, 1).float() / 127.5 - 1
    side, found = 24, set()
    windows = whole.unfold(1, side, 1).unfold(2, side, 1)
    for crop in Crops(pictures, side)(range(40)):
        hits = []
        for turn in range(8):
            turned = crop.flip(-1) if turn & 1 else crop
            turned = turned.flip(-2) if turn & 2 else turned
            turned = turned.transpose(-1, -2) if turn & 4 else turned
            corner = (windows[..., 0, 0] - turned[:, :1, :1]).abs().amax(0) < 1e-6
            if any((windows[:, y, x] - turned).abs().max() < 1e-6 for y, x in corner.nonzero().tolist()):
                hits.append(turn)
        assert len(hits) == 1
        found.add(hits[0])
    assert found == set(range(8))


def test_larger_pictures_are_drawn_more_often():
    from sr3.picture.collection import Pictures

    small, large = np.zeros((16, 16, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    crops = Crops(Pictures(["s", "l"], [small, large]), 8)
    share = (crops(range(2000))[:, 0, 0, 0] > 0).float().mean().item()
    assert abs(share - 0.8) < 0.04


def test_whole_pictures_are_drawn_alike_whatever_their_size():
    """As the papers draw them, which cut one square out of each."""
    from sr3.picture.collection import Pictures

    small, large = np.zeros((16, 24, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)
    pictures = Pictures(["s", "l"], [small, large])
    assert Crops(pictures, 8, zoom=(64, 64)).shares.tolist() == pytest.approx([0.5, 1.0])
    assert Crops(pictures, 8).shares.tolist() == pytest.approx([16 / 272, 1.0])
    # of squares of up to 32 the small one holds 1.5, and the large one 6
    assert Crops(pictures, 8, zoom=(1, 4)).shares.tolist() == pytest.approx([1.5 / 7.5, 1.0])


def test_reduction_is_pillows_lanczos():
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    for size in (160, 104, 60):
        square = picture[:size, :size]
        matrix = reduction(size, 128 if size > 60 else 32).double()
        ours = (matrix @ torch.from_numpy(square.copy()).double().permute(2, 0, 1) @ matrix.T).permute(1, 2, 0)
        side = len(matrix)
        theirs = np.stack(
            [
                np.asarray(
                    Image.fromarray(square[..., c].astype(np.float32)).resize((side, side), Image.Resampling.LANCZOS)
                )
                for c in range(3)
            ],
            axis=-1,
        )
        np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3)


def test_a_zoomed_crop_is_the_whole_picture_where_the_picture_has_no_more():
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    crops = Crops(Pictures(["p"], [picture]), 32, turn=False, zoom=(1.5, 2.0))
    matrix = reduction(40, 32)
    whole = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1
    wanted = (matrix @ whole @ matrix.T).clamp(-1, 1)
    for crop in crops(range(8)):
        assert min((crop - w).abs().max() for w in (wanted, wanted.flip(-1))) < 1e-5


def test_zoom_and_no_turn_leave_faces_upright_and_do_not_depend_on_the_batch():
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[:, None, None] * np.ones((1, 64, 3), np.uint8)
    crops = Crops(Pictures(["p"], [ramp]), 32, turn=False, zoom=(0.5, 3.0))
    together = crops(range(40))
    rise = together.mean((1, 3)).diff(dim=1)
    assert (rise > 0).all()  # never upside down nor on its side
    assert rise.mean(1).std() > 0.1 * rise.mean()  # and at different zooms
    for i in (3, 17):
        torch.testing.assert_close(crops([i])[0], together[i], rtol=0, atol=1e-6)


@pytest.mark.parametrize("zoom", [(2.0, 1.0), (0.0, 1.0), (1.0, 1000.1), (1.0, 1e308)])
def test_a_zoom_that_is_no_range_is_refused(zoom):
    with pytest.raises(DataError, match="no range"):
        Crops(Pictures(["p"], [np.zeros((40, 40, 3), np.uint8)]), 32, zoom=zoom)
    Crops(Pictures(["p"], [np.zeros((40, 40, 3), np.uint8)]), 32, zoom=(1.0, 1000.0))


def test_another_light_by_hand():
    x = torch.tensor([0.4, 0.2, 0.1])[None, :, None, None] * 2 - 1
    grey = 0.299 * 0.4 + 0.587 * 0.2 + 0.114 * 0.1
    log = torch.log
    for by, wanted in (
        ((2.0, 1.0, 1.0), (0.8, 0.4, 0.2)),
        ((1.0, 0.5, 1.0), tuple(grey + (c - grey) / 2 for c in (0.4, 0.2, 0.1))),
        ((1.0, 1.0, 4.0), (0.8, 0.2, 0.05)),
        ((4.0, 1.0, 1.0), (1.0, 0.8, 0.4)),
    ):
        found = (lit(x, log(torch.tensor([by]))) + 1) / 2
        torch.testing.assert_close(found.flatten(), torch.tensor(wanted))


def test_each_crop_has_a_light_of_its_own():
    """Of a grey picture, whose brightness and warmth can be read; where the crops lie stays the same."""
    picture = np.full((40, 40, 3), 51, np.uint8)
    picture[20:, :, :] = 25
    pictures = Pictures(["p"], [picture])
    for zoom in ((1.0, 1.0), (0.5, 1.5)):
        cut = {"seed": 2, "zoom": zoom}
        plain, light = (Crops(pictures, 16, **cut, colour=c)(range(300)) for c in (0.0, 0.6))
        torch.testing.assert_close(light, Crops(pictures, 16, **cut, colour=0.6)(range(300)), rtol=0, atol=0)
        one = Crops(pictures, 16, **cut, colour=0.6)([7])
        torch.testing.assert_close(light[7:8], one, rtol=0, atol=1e-6)
        ratio = ((light + 1) / (plain + 1)).flatten(2)
        torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-4, atol=0)  # one light a crop
        red, green, blue = ratio[..., 0].log().unbind(1)
        torch.testing.assert_close(red - green, green - blue, rtol=0, atol=1e-4)
        for found, most in ((green, 0.6), (red - green, 0.3)):
            assert found.abs().max() < most
            assert found.std() == pytest.approx(most / 3**0.5, rel=0.1)
            assert abs(found.mean()) < 0.08 * most / 0.6


def test_the_light_owes_nothing_to_the_place():
    """Nor its three numbers to one another: where, how large, which way round, and in which light are drawn apart."""
    picture = Pictures(["p"], [np.zeros((80, 60, 3), np.uint8)])
    drawn = Crops(picture, 32, seed=1, zoom=(0.5, 1.5), colour=0.3).draw(range(2000)).astype(float)
    first, rows, columns, end, *_, bright, strong, warm = drawn.T
    parts = [first, rows, columns, np.abs(rows), np.sign(rows), np.sign(columns), end]
    for k, light in enumerate((bright, strong, warm)):
        assert light.min() < 0.01 * 2**24
        assert light.max() > 0.99 * 2**24
        for part in (*parts, *(bright, strong, warm)[:k]):
            assert abs(np.corrcoef(light, part)[0, 1]) < 0.08


@pytest.mark.parametrize("limit", ["TABLE", "GATHERED"])
@pytest.mark.parametrize("zoom", [(0.5, 3.0), (64.0, 64.0)])
def test_what_takes_too_much_together_is_cut_one_by_one(monkeypatch, limit, zoom):
    rng = np.random.default_rng(0)
    sizes = ((40, 90), (300, 41), (64, 64), (32, 33), (120, 150))
    pictures = Pictures([str(s) for s in sizes], [rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in sizes])
    together = Crops(pictures, 32, zoom=zoom)(range(24))
    monkeypatch.setattr(Crops, limit, 0)
    crops = Crops(pictures, 32, zoom=zoom)
    assert (crops.table is None) == (limit == "TABLE")
    gathered = []
    inner = torch.minimum
    monkeypatch.setattr(torch, "minimum", lambda a, b: gathered.append(len(b)) or inner(a, b))
    torch.testing.assert_close(crops(range(24)), together, rtol=0, atol=2e-6)
    assert set(gathered) == {1}
