"""Numbers of the picture folder that pictures alone do not show: 8 bits, tags of structure, conversion of colours."""

import pytest
import torch
from PIL import TiffTags

from sr3.picture import metadata
from sr3.picture.jpeg_twin import _RGB
from sr3.picture.resize import cubic, enlarge, round8, shrink, shrink_adjoint, shrink_inverse


def test_between_two_values_of_8_bits_is_the_nearer():
    value = 100 / 127.5 - 1
    for off, wanted in ((0.4, 100), (0.6, 101), (-0.4, 100), (-0.6, 99)):
        assert 127.5 * (round8(torch.tensor(value + off / 127.5)).item() + 1) == pytest.approx(wanted, abs=1e-4)


def test_the_cubic_is_keys_with_minus_one_half():
    """Keys (1981), eq. 4: 1 at 0, 0 at whole numbers, cubic between, a straight line reproduced."""
    x = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, -0.5])
    torch.testing.assert_close(cubic(x), torch.tensor([1.0, 0.5625, 0.0, -0.0625, 0.0, 0.0, 0.5625]))
    for shift in (0.0, 0.2, 0.7):
        taps = torch.arange(-3.0, 4.0)
        assert (cubic(taps - shift) * taps).sum().item() == pytest.approx(shift, abs=1e-6)


def test_a_factor_of_one_is_nothing():
    x = torch.rand(1, 3, 4, 5)
    for change in (shrink, shrink_adjoint, shrink_inverse, enlarge):
        assert change(x, 1) is x


def test_what_says_how_a_files_samples_are_stored_does_not_travel():
    """Of the first table, by Pillow's names; those it has no name for are inks, tiles' dots and JPEG's reserved."""
    names = {TiffTags.lookup(tag).name for tag in metadata._STRUCTURE} - {"unknown"}
    unnamed = {tag for tag in metadata._STRUCTURE if TiffTags.lookup(tag).name == "unknown"}
    assert unnamed == {0x146, 0x147, 0x157, 0x158, 0x159, 0x15A, 0x204}
    assert len(metadata._STRUCTURE) == 69
    wanted = """
        NewSubfileType SubfileType ImageWidth ImageLength BitsPerSample Compression PhotometricInterpretation
        Threshholding CellWidth CellLength FillOrder StripOffsets SamplesPerPixel RowsPerStrip StripByteCounts
        MinSampleValue MaxSampleValue PlanarConfiguration FreeOffsets FreeByteCounts GrayResponseUnit GrayResponseCurve
        T4Options T6Options TransferFunction Predictor ColorMap HalftoneHints TileWidth TileLength TileOffsets
        TileByteCounts SubIFDs InkSet ExtraSamples SampleFormat SMinSampleValue SMaxSampleValue TransferRange JPEGTables
        JPEGProc JPEGInterchangeFormat JPEGInterchangeFormatLength JPEGRestartInterval JPEGLosslessPredictors
        JPEGPointTransforms JPEGQTables JPEGDCTables JPEGACTables YCbCrCoefficients YCbCrSubSampling YCbCrPositioning
        ReferenceBlackWhite XMP ModelPixelScaleTag IptcNaaInfo ModelTiepointTag PhotoshopInfo ICCProfile
        GeoKeyDirectoryTag GeoDoubleParamsTag GeoAsciiParamsTag
    """
    assert names == set(wanted.split())
    assert not {"Orientation", "XResolution", "Make", "Model", "DateTime", "Artist", "Copyright", "Software"} & names


def test_jpegs_colours_are_bt_601_in_sixteen_bits():
    """ITU-T T.871, section 7, times 2**16 and rounded, as libjpeg has it."""
    exact = ((1, 0, 1.402), (1, -0.344136286, -0.714136286), (1, 1.772, 0))
    for row, numbers in zip(_RGB, exact, strict=True):
        assert row == pytest.approx([65536 * n for n in numbers], abs=1)
