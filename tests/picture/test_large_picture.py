"""Pictures on the disk: what is written into them is what is saved, with all that a picture in memory has."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr3.picture import metadata
from sr3.picture.image import read, read_note
from sr3.picture.large import STRIP, LargePicture, Scratch
from sr3.picture.picture import from_samples


def samples(height: int, width: int, channels: int, bits: int) -> np.ndarray:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 2**bits, (height, width, channels)).astype(kind)


def test_a_part_of_a_part_is_that_part(tmp_path):
    given = samples(40, 23, 4, 8)
    scratch = Scratch((23, 40), 4, 8, tmp_path)
    scratch.write(given)
    part = LargePicture(scratch).cropped(slice(5, 35), slice(2, 20)).cropped(slice(3, 20), slice(1, 9))
    whole = from_samples(given[8:25, 3:11])
    assert part.size == whole.size == (8, 17)
    assert torch.equal(part.pixels, whole.pixels)
    part.save(tmp_path / "a.png")
    whole.save(tmp_path / "b.png")
    assert torch.equal(read(tmp_path / "a.png").pixels, read(tmp_path / "b.png").pixels)


@pytest.mark.parametrize("height", [1, STRIP, 50])
@pytest.mark.parametrize(("channels", "bits"), [(3, 8), (1, 8), (3, 16), (1, 16), (2, 8), (4, 8), (4, 16)])
def test_every_sample_is_kept(tmp_path, height, channels, bits):
    given = samples(height, 23, channels, bits)
    scratch = Scratch((23, height), channels, bits, tmp_path)
    for at in range(0, height, 7):
        scratch.write(given[at : at + 7])
    picture = LargePicture(scratch, {"xmp-data": b"<x/>"}, (300.0, 300.0))
    whole = from_samples(given, {"xmp-data": b"<x/>"}, (300.0, 300.0))
    assert (picture.size, picture.channels, picture.bits) == (whole.size, whole.channels, whole.bits)
    assert torch.equal(picture.pixels, whole.pixels)
    assert (picture.alpha is None) == (whole.alpha is None)
    assert picture.kept({}).keep == {}
    for suffix in ("png", "tif", "jpg", "webp"):
        picture.save(tmp_path / f"a.{suffix}")
        whole.save(tmp_path / f"b.{suffix}")
        ours, theirs = read(tmp_path / f"a.{suffix}"), read(tmp_path / f"b.{suffix}")
        assert (ours.size, ours.bits, ours.dpi, dict(ours.keep)) == (
            theirs.size,
            theirs.bits,
            theirs.dpi,
            dict(theirs.keep),
        )
        # samples of 8 bits are rounded from 16
        off = 0.04 if bits == 16 and suffix in ("webp", "jpg") else 0
        assert (ours.pixels - theirs.pixels).abs().max() <= off
        assert (ours.alpha is None) == (theirs.alpha is None)
        assert ours.alpha is None or torch.equal(ours.alpha, theirs.alpha)
    place = scratch.path.parent
    del picture, scratch
    assert not place.exists()


def test_a_picture_begins_again(tmp_path):
    scratch = Scratch((8, 4), 3, 8, tmp_path)
    scratch.write(samples(3, 8, 3, 8))
    with pytest.raises(ValueError, match="3 of 4 rows"):
        LargePicture(scratch).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="none of this picture"):
        scratch.write(samples(1, 7, 3, 8))
    scratch.restart()
    scratch.write(samples(4, 8, 3, 8))
    LargePicture(scratch).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), samples(4, 8, 3, 8))


def test_the_packet_of_a_png_is_put_before_all_that_follows(tmp_path, monkeypatch):
    """Whatever does not fit into one part is moved in several."""
    path = tmp_path / "a.png"
    noise = samples(900, 900, 3, 8)  # 2.4 MB that cannot be compressed
    Image.fromarray(noise).save(path)
    before = path.read_bytes()
    metadata.amend_png(path, None, b"<packet/>")
    after = path.read_bytes()
    added = len(after) - len(before)
    assert len(before) > 2 * 2**20
    assert after[:33] == before[:33]
    assert after[33 + added :] == before[33:]
    assert b"<packet/>" in after[33 : 33 + added]
    assert np.array_equal(np.asarray(Image.open(path)), noise)


def test_a_note_is_kept(tmp_path):
    scratch = Scratch((8, 4), 3, 8, tmp_path)
    scratch.write(samples(4, 8, 3, 8))
    from sr3.picture.write import write

    write(tmp_path / "a.jpg", LargePicture(scratch), note={"model": "m"})
    assert read_note(tmp_path / "a.jpg") == {"model": "m"}
