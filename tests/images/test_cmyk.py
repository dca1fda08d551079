from contextlib import nullcontext

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ldrestore.errors import UnsupportedFormatError
from ldrestore.images import cmyk
from ldrestore.images.cmyk import deep_cmyk_to_srgb
from ldrestore.images.files import read_photo


@pytest.fixture
def inks(rng):
    """(20, 30, 4) uint16, random."""
    return rng.integers(0, 65536, (20, 30, 4)).astype(np.uint16)


def test_without_a_profile_it_is_pillows_complement_with_more_levels(inks):
    deep = deep_cmyk_to_srgb(inks, None, "a")
    shallow = np.asarray(Image.fromarray((inks // 257).astype(np.uint8), mode="CMYK").convert("RGB"))
    assert np.abs(deep / 257 - shallow).max() < 2
    ramp = np.zeros((1, 4096, 4), np.uint16)
    ramp[..., 0] = np.arange(4096) * 16
    assert len(np.unique(deep_cmyk_to_srgb(ramp, None, "a")[..., 0])) == 4096


def test_with_a_profile_it_is_littlecms_with_more_levels(inks, monkeypatch):
    # There is no profile of inks at hand: a curved conversion stands in for LittleCMS.
    def convert(band):
        inverted = 1 - np.asarray(band, np.float32) / 255
        return Image.fromarray(np.rint(255 * (inverted[..., :3] * inverted[..., 3:]) ** 0.8).astype(np.uint8))

    monkeypatch.setattr(cmyk, "cmyk_to_srgb", lambda *_: convert)
    deep = deep_cmyk_to_srgb(inks, b"profile", "a") / 257
    exact = 255 * ((1 - inks[..., :3] / 65535) * (1 - inks[..., 3:] / 65535)) ** 0.8
    assert np.abs(deep - exact).max() < 6
    assert np.abs(deep - exact).mean() < 0.6
    nodes = np.zeros((1, 18, 4), np.uint16)
    nodes[..., 1] = np.arange(18) * 15 * 257
    shallow = np.asarray(convert(Image.fromarray((nodes // 257).astype(np.uint8), mode="CMYK")))
    np.testing.assert_array_equal(deep_cmyk_to_srgb(nodes, b"profile", "a"), shallow.astype(np.uint16) * 257)


def test_a_profile_that_is_none_of_inks_is_told(inks):
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with pytest.warns(UserWarning, match="a: the CMYK profile cannot be used"):
        assert deep_cmyk_to_srgb(inks, rgb, "a").dtype == np.uint16


@pytest.mark.parametrize("extra", [None, "unassalpha", "unspecified"])
def test_16_bit_cmyk_files_stay_16_bit(tmp_path, rng, extra):
    values = rng.integers(0, 65536, (9, 7, 4 if extra is None else 5)).astype(np.uint16)
    options = {} if extra is None else {"extrasamples": [extra]}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", planarconfig="contig", **options)
    if extra == "unspecified":
        with pytest.warns(UserWarning, match="neither colour nor alpha"):
            photo = read_photo(tmp_path / "a.tif")
    else:
        photo = read_photo(tmp_path / "a.tif")
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, deep_cmyk_to_srgb(values[..., :4], None, "a"))
    assert photo.icc_profile is None
    if extra == "unassalpha":
        np.testing.assert_array_equal(photo.alpha, values[..., 4])
    else:
        assert photo.alpha is None


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
def test_8_bit_cmyk_with_another_sample_is_that_without_it(tmp_path, rng, extra):
    values = rng.integers(0, 256, (9, 7, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", values[..., :4], photometric="separated", planarconfig="contig")
    options = {"extrasamples": [extra], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", **options)
    with nullcontext() if extra == "unassalpha" else pytest.warns(UserWarning, match="neither colour nor alpha"):
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, read_photo(tmp_path / "plain.tif").pixels)
    assert (photo.alpha is None) == (extra == "unspecified")
    if photo.alpha is not None:
        np.testing.assert_array_equal(photo.alpha, values[..., 4])


def test_inks_of_float_are_refused(tmp_path):
    values = np.zeros((9, 7, 4), np.float16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", planarconfig="contig")
    with pytest.raises(UnsupportedFormatError, match="not supported"):
        read_photo(tmp_path / "a.tif")
